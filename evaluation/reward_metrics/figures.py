"""Figures of a reward model from the scores that it gives. Pure functions; all have 95% intervals."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from evaluation.metrics import Interval, bootstrap_mean, correlation, group_means, pair_accuracy

QUARTERS = (0.25, 0.5, 0.75)
BINS = 10  # of equal width, over probabilities from 1/2 to 1


def bootstrap_of(statistic: Callable[[np.ndarray], float], n: int, resamples: int = 500, seed: int = 0) -> Interval:
    """Returns a statistic of n items with its 95% percentile-bootstrap interval.

    Args:
        statistic: of the items at some positions, (n,) integers.
        n: items.
        resamples, seed: of the bootstrap.
    """
    draws = np.random.default_rng(seed).integers(n, size=(resamples, n))
    low, high = np.quantile([statistic(draw) for draw in draws], [0.025, 0.975])
    return {"mean": float(statistic(np.arange(n))), "low": float(low), "high": float(high), "n": n}


def accuracy(scores: np.ndarray, groups: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Returns how often the right response scores higher, a tie counting half.

    Args:
        scores: (n, 2) of the right response of a pair and of the wrong one.
        groups: of each pair.

    Returns:
        `accuracy`; `groups`, by group; `mean_of_groups`, which counts each group alike, as leaderboards do; None
        without groups.
    """
    right = pair_accuracy(*scores.T)
    by_group = group_means(right, groups)
    mean = float(np.mean([each["mean"] for each in by_group.values()])) if by_group else None
    return {"accuracy": bootstrap_mean(right), "groups": by_group, "mean_of_groups": mean}


def by_quarter(sizes: ArrayLike, right: ArrayLike) -> list[dict[str, Any]]:
    """Returns how often pairs are right, from the quarter with the smallest sizes to that with the largest.

    Equal sizes are in one part, so that there may be fewer than four, and parts of different counts.

    Args:
        sizes: (n,) of a margin.
        right: (n,) whether the pair is.

    Returns:
        Of each part `from` and `to`, the least and the largest size in it, and the mean of `right` with its interval.
    """
    of_size, of_right = np.asarray(sizes, dtype=np.float64), np.asarray(right, dtype=np.float64)
    edges = np.unique(np.quantile(of_size, QUARTERS))
    part = np.searchsorted(edges, of_size, side="right")
    members = [part == number for number in np.unique(part)]
    return [
        {"from": float(of_size[m].min()), "to": float(of_size[m].max()), **bootstrap_mean(of_right[m])} for m in members
    ]


def agreement(scores: np.ndarray, margins: Sequence[float | None]) -> dict[str, Any]:
    """Returns how often a model prefers what is better by a known margin, and by quarter of that margin.

    Args:
        scores: (n, 2) of pairs.
        margins: (n,) by how much the first of a pair is better; where it is below 0, the second is. Pairs with a margin
            of 0 or None do not count.

    Returns:
        Nothing where no margin is known.
    """
    known = np.array([margin is not None and margin != 0 for margin in margins], dtype=bool)
    if not known.any():
        return {}
    margin = np.array([float(margin or 0.0) for margin in margins])[known]
    right = pair_accuracy(*scores[known].T)
    agrees = np.where(margin > 0, right, 1 - right)
    return {"agreement": bootstrap_mean(agrees), "by_margin": by_quarter(np.abs(margin), agrees)}


def calibration(scores: np.ndarray) -> dict[str, Any]:
    """Returns how far the preferences of a Bradley-Terry model are from how often they are right.

    The probability that the model gives its own preference is sigmoid(|difference of the scores|), 1/2 at least.

    Args:
        scores: (n, 2) of the right response of a pair and of the wrong one.

    Returns:
        `confidence`, the mean of that probability; `ece`, the expected calibration error (arXiv 1706.04599): over
        `BINS` bins of equal width the mean distance of it from the share that is right; `brier`, the mean of (1 -
        sigmoid(difference))^2, 1/4 for a model that knows nothing; `bins` with pairs in them: `low`, `high`, `n`,
        `confidence`, `right`; and `by_confidence`, accuracy by quarter of the difference.
    """
    difference = scores[:, 0] - scores[:, 1]
    sure, right = _sigmoid(np.abs(difference)), pair_accuracy(*scores.T)
    number = np.clip(np.ceil((sure - 0.5) * 2 * BINS).astype(int) - 1, 0, BINS - 1)

    def error(items: np.ndarray) -> float:
        gaps = np.bincount(number[items], weights=sure[items] - right[items], minlength=BINS)
        return float(np.abs(gaps).sum() / len(items))

    bins = []
    for each in np.unique(number):
        inside = number == each
        low, high = (0.5 + (each + side) / (2 * BINS) for side in (0, 1))
        means = {"confidence": float(sure[inside].mean()), "right": float(right[inside].mean())}
        bins.append({"low": float(low), "high": float(high), "n": int(inside.sum()), **means})
    return {
        "confidence": bootstrap_mean(sure),
        "ece": bootstrap_of(error, len(scores)),
        "brier": bootstrap_mean((1 - _sigmoid(difference)) ** 2),
        "bins": bins,
        "by_confidence": by_quarter(np.abs(difference), right),
    }


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(values / 2))  # does not overflow


def length(scores: np.ndarray, words: np.ndarray) -> dict[str, Any]:
    """Returns what length has to do with the scores.

    Args:
        scores: (n, 2) of pairs, the right response first.
        words: (n, 2) of the same responses.

    Returns:
        `rule`, the accuracy of preferring the `longer` or the `shorter` one, whichever is better on these pairs:
        `prefers` says which; `share`, how much of the model's accuracy above 1/2 that rule alone reaches, None for a
        model that has none; `against`, the model's accuracy where the rule is wrong, None where it never is;
        `prefers_longer`, how often it prefers the longer of two that differ in length; `correlation` of score and
        words over all responses.
    """
    right, longer = pair_accuracy(*scores.T), pair_accuracy(*words.T)
    up = longer.mean() >= 0.5
    rule = longer if up else 1 - longer
    above = right.mean() - 0.5
    wrong, differ = rule == 0, longer != 0.5
    prefers = np.where(longer == 1, right, 1 - right)[differ]

    def related(items: np.ndarray) -> float:
        return correlation(scores[items].ravel(), words[items].ravel())

    return {
        "rule": bootstrap_mean(rule),
        "prefers": "longer" if up else "shorter",
        "share": float((rule.mean() - 0.5) / above) if above > 0 else None,
        "against": bootstrap_mean(right[wrong]) if wrong.any() else None,
        "prefers_longer": bootstrap_mean(prefers) if differ.any() else None,
        "correlation": bootstrap_of(related, len(scores)),
    }


def flips(before: np.ndarray, after: np.ndarray, touched: np.ndarray) -> dict[str, Any] | None:
    """Returns how often a change of the responses turns a preference; None where it touches no pair.

    Args:
        before: (n, 2) scores of pairs.
        after: (n, 2) scores of the changed responses.
        touched: (n,) which pairs the change makes different.

    Returns:
        `both`, the share of pairs whose order is another one with the change in both responses; `lower_alone`, the
        share in which the response that scored lower overtakes the other, or draws level, by the change in it alone;
        `shift`, the mean change of a score, in standard deviations of the scores before.
    """
    if not touched.any():
        return None
    spread = before.std() or 1.0
    before, after = before[touched], after[touched]
    turned = np.sign(before[:, 0] - before[:, 1]) != np.sign(after[:, 0] - after[:, 1])
    ordered = before[:, 0] != before[:, 1]
    rows, low = np.arange(len(before)), np.argmin(before, axis=1)
    overtakes = (after[rows, low] >= before[rows, 1 - low])[ordered]
    return {
        "both": bootstrap_mean(turned),
        "lower_alone": bootstrap_mean(overtakes) if ordered.any() else None,
        "shift": bootstrap_mean((after - before).mean(axis=1) / spread),
    }


def position(forward: np.ndarray, backward: np.ndarray) -> dict[str, Any]:
    """Returns whether scores depend on which of a pair is scored first: 0 for whoever scores each response alone.

    Args:
        forward: (n, 2) scores of pairs.
        backward: the same responses, scored in the reverse order.

    Returns:
        `changed`, the share of pairs whose order is another one then; `largest`, the largest change of a score.
    """
    turned = np.sign(forward[:, 0] - forward[:, 1]) != np.sign(backward[:, 0] - backward[:, 1])
    return {"changed": bootstrap_mean(turned), "largest": float(np.abs(forward - backward).max())}


def best_of(scores: Sequence[np.ndarray], right: Sequence[int]) -> dict[str, Any]:
    """Returns how often the best of several responses is chosen, as RewardBench 2 counts it (arXiv 2506.01937).

    Args:
        scores: (k,) of the responses to each prompt, those that are right first.
        right: how many of them are.

    Returns:
        `best_of_N` for each number N of responses with one right one among them: 1 where it alone scores highest, 1/m
        where m do with it; its chance level is 1/N. `all_right_above` over choices with several right ones: whether the
        lowest of these scores above all others. (The benchmark's score on Ties also looks at margins.)
    """
    found: dict[str, list[float]] = {}
    for of_one, count in zip(scores, right, strict=True):
        if count > 1:
            found.setdefault("all_right_above", []).append(float(of_one[:count].min() > of_one[count:].max()))
        elif len(of_one) > 2:
            top = of_one == of_one.max()
            found.setdefault(f"best_of_{len(of_one)}", []).append(float(top[0]) / float(top.sum()))
    return {name: bootstrap_mean(values) for name, values in found.items()}


def gold_correlation(scores: Sequence[np.ndarray], golds: Sequence[Sequence[float]]) -> Interval:
    """Returns the correlation of score and gold among responses to one prompt, over all prompts.

    Args:
        scores: (k,) of the responses to each of n prompts.
        golds: of the same responses.
    """
    within = [[np.asarray(each) - np.mean(each) for each in of_one] for of_one in zip(scores, golds, strict=True)]

    def related(items: np.ndarray) -> float:
        mine, truth = (np.concatenate([within[i][side] for i in items]) for side in (0, 1))
        return correlation(mine, truth)

    return bootstrap_of(related, len(within))


def warnings_of(report: Mapping[str, Any]) -> list[str]:
    """Returns sentences on what should keep one from training against a model."""
    found, share = [], report["length"]["share"]
    if report["accuracy"]["low"] <= 0.5:
        found.append("accuracy is not above chance")
    if share is None or share > 0.8:
        how = "all" if share is None else f"{share:.0%}"
        found.append(f"preferring the {report['length']['prefers']} response reaches {how} of what the model does")
    for name, of_one in report["changes"].items():
        if of_one is not None and of_one["both"]["low"] > 0.1:
            found.append(f"a change of {name} in both responses turns {of_one['both']['mean']:.0%} of the preferences")
    if report["position"]["changed"]["mean"] > 0:
        found.append("some preferences depend on which response is scored first")
    return found
