"""Holds the verdicts on policies against those on SFT, episode by episode and group by group. Pure functions.

Verdicts are what `evaluation.verdicts` writes: of one policy, in episodes that begin alike for all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.metrics import Interval, best_of_k, bootstrap_mean, interval, members_of
from evaluation.pass_at import tries
from perlhf.errors import UserError

Verdicts = Mapping[str, Any]
ALL = "all episodes"
# What must be alike of verdicts that are held against each other, beside the shape of their samples.
_ALIKE = ("env", "env_options", "data", "columns", "max_new_tokens", "split", "success_at")


def paired(sft: Verdicts, policies: Sequence[Verdicts]) -> dict[str, dict[str, Any]]:
    """Returns what SFT and policies reach in each group of the episodes, and in all of them.

    Args:
        sft: with `best` of it.
        policies: one or several, as of several seeds, whose verdicts on an episode are averaged: then an interval is
            over episodes, and the spread of the seeds stands beside it.

    Returns:
        For each group: `greedy`, `best` and `policy`, means with intervals; `gain`, the policies' greedy verdict less
        SFT's best, episode by episode; `by_policy`, the mean of that for each policy; and where all were sampled
        `pass_at`, see `passes`.

    Raises:
        UserError: the verdicts are of different episodes, or were not played alike; it names what differs.
    """
    _require_same_episodes([sft, *policies])
    greedy, best = np.array(sft["greedy"]), np.array(sft["best"])
    each = np.array([policy["greedy"] for policy in policies])
    found = {}
    for name, members in {ALL: np.full(greedy.shape, True), **members_of(sft["groups"])}.items():
        gains = each[:, members] - best[members]
        found[name] = {
            "greedy": bootstrap_mean(greedy[members]),
            "best": bootstrap_mean(best[members]),
            "policy": bootstrap_mean(each[:, members].mean(axis=0)),
            "gain": bootstrap_mean(gains.mean(axis=0)),
            "by_policy": gains.mean(axis=1).tolist(),
            **passes(sft, policies, members),
        }
    return found


def passes(sft: Verdicts, policies: Sequence[Verdicts], members: np.ndarray) -> dict[str, Any]:
    """Returns `pass_at` of some of the episodes: for SFT, policies and their difference, from k as text to a mean.

    Args:
        sft: sampled from.
        policies: likewise; what they reach in an episode is averaged.
        members: which of the episodes are meant, of all; those that were sampled from are the first ones.

    Returns:
        Nothing where not all were sampled from, or none of the episodes meant.
    """
    if any("sampled" not in each for each in (sft, *policies)):
        return {}
    kept = members[: len(sft["sampled"])]
    if not kept.any():
        return {}
    by_side: dict[str, dict[str, Interval]] = {"sft": {}, "policy": {}, "gain": {}}
    solved = [np.array(each["sampled"])[kept] >= each["success_at"] for each in (sft, *policies)]
    for k in tries(solved[0].shape[1]):
        before, *after = (best_of_k(of_side, k) for of_side in solved)
        mean = np.mean(after, axis=0)
        values = {"sft": before, "policy": mean, "gain": mean - before}
        for side, of_side in values.items():
            by_side[side][str(k)] = bootstrap_mean(of_side)
    return {"pass_at": by_side}


def _require_same_episodes(verdicts: Sequence[Verdicts]) -> None:
    first = verdicts[0]
    for other in verdicts[1:]:
        differ = [
            f"{key} ({first.get(key)!r}, {other.get(key)!r})" for key in _ALIKE if first.get(key) != other.get(key)
        ]
        if first["groups"] != other["groups"]:
            differ.append(f"episodes ({len(first['groups'])}, {len(other['groups'])}) or their groups")
        if "sampled" in first and "sampled" in other:
            one, two = ((np.shape(each["sampled"]), each.get("temperature")) for each in (first, other))
            if one != two:
                differ.append(f"samples and their temperature ({one}, {two})")
        if differ:
            raise UserError(
                f"verdicts on different episodes; these differ: {', '.join(differ)}. Play all on the same task, "
                "with the same split, prompts and samples."
            )


def describe_verdicts(found: Verdicts) -> str:
    """Writes the means of verdicts in a line each for the terminal."""
    lines = [f"{len(found['greedy'])} episodes of {found['split']}"]
    lines.append(f"  greedy {interval(bootstrap_mean(found['greedy']))}")
    for name, values in found.get("greedy_verdicts", {}).items():
        known = [bool(each) if isinstance(each, (list, tuple)) else each for each in values if each is not None]
        if known:
            lines.append(f"    {name.replace('_', ' ')} {interval(bootstrap_mean(known))}, of {len(known)}")
    if "best" in found:
        at = f"T = {found['sft_temperature']['temperature']:g}"
        lines.append(f"  at its best, {at}: {interval(bootstrap_mean(found['best']))}")
    if "sampled" in found:
        solved = np.array(found["sampled"]) >= found["success_at"]
        passed = {k: bootstrap_mean(best_of_k(solved, k)) for k in tries(solved.shape[1])}
        at = f"T = {found['temperature']:g}, {len(solved)} episodes"
        lines += [f"  pass@{k} at {at}: {interval(mean)}" for k, mean in passed.items()]
    return "\n".join(lines)
