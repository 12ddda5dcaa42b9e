"""pass@k and best@k of SFT and of a policy: what is within reach of them, and not only what they say first.

A policy that has only become surer has a higher pass@1 and a lower pass@16 than the SFT policy that it comes from.
Where answers are few, guessing stands beside them.
"""

from collections.abc import Mapping, Sequence
from math import isinf
from typing import Any

import numpy as np

from backbones.roles import Role
from evaluation.evaluator import Evaluator, Samples
from evaluation.metrics import best_of_k, bootstrap_mean, gold_in_words, gold_keys, group_means, signed
from evaluation.short_answers import guesses

AT = 0.7  # temperature of the samples
KS = (1, 4, 16)  # tries
BESIDE = ("guess", "blind")  # what stands beside SFT and policy where answers are few


def of_samples(
    evaluator: Evaluator, roles: Mapping[str, Role], count: int, answers: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns what `count` samples from each state say of "sft" and "policy".

    Args:
        evaluator: of the held-out episodes.
        roles: "sft" and "policy".
        count: of samples from each state.
        answers: to guess with where answers are few, the likeliest first; none where they are not.

    Returns:
        `best_of`, SFT's answer with the highest score of all, by group too; where there is a judge `pass_at`, the
        chance that one of k answers is a success (`Task.success_at`), and `best_at`, the highest gold of k answers (see
        `figures_of`). With answers to guess with `pass_at` has `guess`, and of tasks with pictures `blind`, SFT's
        samples before grey ones.
    """
    sft = evaluator.samples(roles["sft"], AT, count)
    groups = [evaluator.task.groups(state) for state in evaluator.states]
    found: dict[str, Any] = {"best_of": {"n": count, "temperature": AT, **_chosen(sft, groups)}}
    if sft.golds is None:
        return found
    policy = evaluator.without_scores().samples(roles["policy"], AT, count)
    assert policy.golds is not None  # in the same episodes
    golds = {"sft": sft.golds, "policy": policy.golds}
    success = evaluator.task.success_at
    if isinf(success):
        return {**found, "best_at": figures_of(golds, groups)}
    passes = figures_of({name: of_side >= success for name, of_side in golds.items()}, groups)
    if answers:
        passes["guess"] = guesses(evaluator, answers, tries(count))
    if answers and evaluator.task.image_shape is not None:
        blind = evaluator.without_scores().samples(roles["sft"], AT, count, blind=True).golds
        assert blind is not None
        passes["blind"] = {str(k): bootstrap_mean(best_of_k(blind >= success, k)) for k in tries(count)}
    return {**found, "pass_at": passes, "best_at": figures_of(golds, groups)}


def tries(samples: int) -> list[int]:
    """Returns the values of k that there are samples for."""
    return [k for k in KS if k <= samples]


def figures_of(values: Mapping[str, np.ndarray], groups: Sequence[Sequence[str]] = ()) -> dict[str, Any]:
    """Returns the largest of k values, over all items, for each side and each k of `KS` that there are samples for.

    Args:
        values: of "sft" and "policy", (n, samples) each, in the same n episodes.
        groups: of each episode.

    Returns:
        `temperature` and `samples`; for each side, and as `gain` the policy less SFT episode by episode, from k as text
        to a mean with its interval; `groups`, the same of each side for each group.
    """
    samples = values["sft"].shape[1]
    by_k = {str(k): {name: best_of_k(of_side, k) for name, of_side in values.items()} for k in tries(samples)}
    report: dict[str, Any] = {"temperature": AT, "samples": samples}
    for name in values:
        report[name] = {k: bootstrap_mean(sides[name]) for k, sides in by_k.items()}
    report["gain"] = {k: bootstrap_mean(sides["policy"] - sides["sft"]) for k, sides in by_k.items()}
    report["groups"] = {
        name: {k: group_means(sides[name], groups) for k, sides in by_k.items()} for name in ("sft", "policy")
    }
    return report


def _chosen(samples: Samples, groups: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Returns the score of the answer in each episode that has the highest one.

    Where there is a judge also its gold, and in `groups` that of each group.
    """
    rows, best = np.arange(len(samples.scores)), samples.scores.argmax(axis=1)
    found: dict[str, Any] = {"score": float(samples.scores[rows, best].mean())}
    if samples.golds is not None:
        golds = samples.golds[rows, best]
        found |= {**gold_keys(golds), "groups": group_means(golds, groups)}
    return found


def describe_samples(report: Mapping[str, Any]) -> list[str]:
    """Writes what samples said in lines for the terminal; none where there were none."""
    lines = []
    if "best_of" in report:
        chosen = report["best_of"]
        title = f"sft best of {chosen['n']} by score, T = {chosen['temperature']:g}"
        lines.append(f"  {title:31} score {chosen['score']:+.3f}{gold_in_words(chosen)}")
        if chosen.get("groups"):
            of_groups = (f"{name} {gold['mean']:.3f}" for name, gold in chosen["groups"].items())
            lines.append(f"    by group: {', '.join(of_groups)}")
    for key, title in (("pass_at", "pass@"), ("best_at", "best gold of ")):
        if key not in report:
            continue
        of_sides, gains = report[key], report[key]["gain"]
        for k, gain in gains.items():
            before, after = (f"{of_sides[side][k]['mean']:.3f}" for side in ("sft", "policy"))
            beside = "".join(f", {side} {of_sides[side][k]['mean']:.3f}" for side in BESIDE if side in of_sides)
            at = f"at T = {of_sides['temperature']:g}"
            lines.append(f"  {title}{k} {at}: {before} -> {after}, gain {signed(gain)}{beside}")
    return lines
