"""Figures with their uncertainty, and what texts look like as a set. Pure functions."""

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from math import comb, sqrt
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike


class Interval(TypedDict):
    """A mean over n independent items with its 95% bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int


def interval(value: Mapping[str, Any]) -> str:
    """Returns a mean with its interval as text."""
    return f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"


def signed(value: Mapping[str, Any]) -> str:
    """Returns a mean difference with its interval as text."""
    return f"{value['mean']:+.3f} [{value['low']:+.3f}, {value['high']:+.3f}]"


def bootstrap_mean(values: ArrayLike, resamples: int = 2000, seed: int = 0) -> Interval:
    """Returns the mean of `values` (n,) with its 95% percentile-bootstrap interval.

    Raises:
        ValueError: no values, or one that is not finite.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0 or not np.isfinite(array).all():
        raise ValueError(f"expected a non-empty list of finite numbers, got shape {array.shape}")
    draws = np.random.default_rng(seed).integers(array.size, size=(resamples, array.size))
    low, high = np.quantile(array[draws].mean(axis=1), [0.025, 0.975])
    return {"mean": float(array.mean()), "low": float(low), "high": float(high), "n": int(array.size)}


def share(holds: Sequence[bool]) -> Interval:
    """Returns the share of items (n,) for which something holds, with Wilson's 95% score interval.

    Where all or none of a few items have it, resampling them knows no doubt, and this does (Wilson, Journal of the
    American Statistical Association 22, 1927; Brown, Cai and DasGupta, Statistical Science 16, 2001).

    Raises:
        ValueError: there is no item.
    """
    n, z = len(holds), 1.959964
    if n == 0:
        raise ValueError("expected at least one item")
    p = sum(holds) / n
    middle, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + (z / (2 * n)) ** 2)
    low, high = ((middle + side) / (1 + z * z / n) for side in (-half, half))
    return {"mean": p, "low": 0.0 if p == 0 else low, "high": 1.0 if p == 1 else high, "n": n}


def gold_keys(golds: ArrayLike, suffix: str = "") -> dict[str, float]:
    """Returns the mean of golds (n,) and its interval as the flat keys of summary.json."""
    gold = bootstrap_mean(golds)
    return {f"gold{suffix}": gold["mean"], f"gold{suffix}_low": gold["low"], f"gold{suffix}_high": gold["high"]}


def gold_in_words(side: Mapping[str, Any], suffix: str = "") -> str:
    """Writes what `gold_keys` gave, to stand behind a score; nothing where there is no judge."""
    if f"gold{suffix}" not in side:
        return ""
    mean, low, high = (side[f"gold{suffix}{end}"] for end in ("", "_low", "_high"))
    official = f", by the official script {side[f'official{suffix}']:.3f}" if f"official{suffix}" in side else ""
    return f"  gold {interval({'mean': mean, 'low': low, 'high': high})}{official}"


def group_means(values: ArrayLike, groups: Sequence[Sequence[str]]) -> dict[str, Interval]:
    """Returns the mean of `values` (n,) over each group of items; an item may be in several, named in a fixed order."""
    array = np.asarray(values, dtype=np.float64)
    return {name: bootstrap_mean(array[members]) for name, members in members_of(groups).items()}


def group_aucs(scores: ArrayLike, labels: ArrayLike, groups: Sequence[Sequence[str]]) -> dict[str, Interval]:
    """Returns the AUC over each group of items that has both labels, as `group_means`."""
    array, truth = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    both = {n: members for n, members in members_of(groups).items() if len(set(truth[members] > 0.5)) == 2}
    return {name: bootstrap_auc(array[members], truth[members]) for name, members in both.items()}


def members_of(groups: Sequence[Sequence[str]]) -> dict[str, np.ndarray]:
    """Returns which of the items (n,) are in each group, from the groups of each item."""
    names = dict.fromkeys(name for position in zip_longest(*groups) for name in position if name is not None)
    return {name: np.array([name in of_item for of_item in groups]) for name in names}


def pair_accuracy(first: ArrayLike, second: ArrayLike) -> np.ndarray:
    """1 where the first of a pair scores higher, 0 where lower, 1/2 for a tie; (n,)."""
    difference = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    return (np.sign(difference) + 1) / 2


def auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Returns the AUC: the share of (label 1, label 0) couples whose first scores higher, ties half.

    1/2 where one of the labels is missing.
    """
    array, positive = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64) > 0.5
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if n_positive == 0 or n_negative == 0:
        return 0.5
    _, group, count = np.unique(array, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[group]  # from 1; equal scores share their middle rank
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def bootstrap_auc(scores: ArrayLike, labels: ArrayLike, resamples: int = 1000, seed: int = 0) -> Interval:
    """Returns the AUC with its 95% percentile-bootstrap interval over items."""
    array, truth = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    draws = np.random.default_rng(seed).integers(array.size, size=(resamples, array.size))
    low, high = np.quantile([auc(array[draw], truth[draw]) for draw in draws], [0.025, 0.975])
    return {"mean": auc(array, truth), "low": float(low), "high": float(high), "n": int(array.size)}


def distinct_n(texts: Sequence[str], n: int = 2) -> float:
    """Returns the share of word n-grams of all texts together that are distinct (arXiv 1510.03055); 0 without any."""
    grams = [tuple(words[i : i + n]) for t in texts for words in [t.split()] for i in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else 0.0


def best_of_k(values: ArrayLike, k: int) -> np.ndarray:
    """Returns the expected largest value among k of the samples of each item, drawn without replacement, (n,).

    Of successes, 0 or 1, it is pass@k: 1 - C(samples - successes, k) / C(samples, k), without bias however many
    samples there are (Chen et al., arXiv 2107.03374, equation 1).

    Args:
        values: (n, samples).
        k: 1 to samples.

    Raises:
        ValueError: k is not.
    """
    array = np.sort(np.asarray(values, dtype=np.float64), axis=1)
    return array @ chances_to_be_largest(array.shape[1], k)


def chances_to_be_largest(samples: int, k: int) -> np.ndarray:
    """Returns the chance of each sample, from the smallest on, to be the largest of k drawn of them, (samples,).

    Raises:
        ValueError: k is not 1 to samples.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"expected k from 1 to the {samples} samples, got {k}")
    # The i-th smallest, from 0, is the largest of k where the other k - 1 are among the i below it.
    return np.array([comb(i, k - 1) / comb(samples, k) for i in range(samples)])


def interquartile_mean(values: ArrayLike) -> float:
    """Returns the mean of the middle half of `values` (n,): of one at its border the part inside counts.

    Of few runs it is less at the mercy of one of them than the mean, and sees more of them than the median (Agarwal et
    al., arXiv 2108.13264).

    Raises:
        ValueError: there are no values.
    """
    array = np.sort(np.asarray(values, dtype=np.float64))
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"expected a non-empty list of numbers, got shape {array.shape}")
    ends, n = np.arange(array.size + 1.0), array.size
    inside = np.clip(np.minimum(ends[1:], 0.75 * n) - np.maximum(ends[:-1], 0.25 * n), 0, None)
    return float(array @ inside / inside.sum())


def stratified_interval(
    groups: Sequence[Sequence[float]],
    statistic: Callable[[np.ndarray], float],
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Returns a statistic of all values of some groups with its 95% interval, resampled within each group.

    As runs of several tasks are resampled in Agarwal et al., arXiv 2108.13264: each task keeps its number of runs.

    Args:
        groups: of values, (groups, values of each).
        statistic: from all values (n,) to a number.
        resamples: how many are drawn.
        seed: of the draws.
    """
    rng, arrays = np.random.default_rng(seed), [np.asarray(group, dtype=np.float64) for group in groups]
    drawn = [
        statistic(np.concatenate([array[rng.integers(array.size, size=array.size)] for array in arrays]))
        for _ in range(resamples)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    every = np.concatenate(arrays)
    return {"mean": float(statistic(every)), "low": float(low), "high": float(high), "n": int(every.size)}


def correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Pearson's correlation; 0 where one side does not vary."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.size < 2 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def ranks(values: ArrayLike) -> np.ndarray:
    """Returns the ranks of values (n,), from 0; equal ones share the mean of theirs."""
    array = np.asarray(values, dtype=np.float64)
    return np.array([(array < value).sum() + ((array == value).sum() - 1) / 2 for value in array], dtype=np.float64)


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's correlation, that of the ranks; 0 where one side does not vary."""
    return correlation(ranks(first), ranks(second))
