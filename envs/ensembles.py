"""Ensembles of rewards: the least of several scores, their mean, or their mean less what they disagree by.

In a spec, and in short where the members are names (arXiv 2310.02743 compares the three):

    {"ensemble": "uncertainty", "members": ["runs/a", "runs/b"], "penalty": 0.5}
    uncertainty(runs/a, runs/b, penalty=0.5)
"""

import numbers
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from envs.entry_points import quoted
from perlhf.errors import RewardError, did_you_mean

KINDS = ("min", "mean", "uncertainty")
_SHORT = re.compile(rf"\s*({'|'.join(KINDS)})\((.*)", re.DOTALL)
_OPTION = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*(.*?)\s*", re.DOTALL)
_KEYS = ("ensemble", "members", "penalty")


class Ensemble(NamedTuple):
    """Holds an ensemble of rewards.

    Attributes:
        kind: one of `KINDS`.
        members: a spec of each.
        penalty: of "uncertainty": what the variance of the scores is multiplied by before it is taken off their mean.
    """

    kind: str
    members: tuple[Any, ...]
    penalty: float = 0.5

    def combine(self, scores: np.ndarray) -> np.ndarray:
        """Returns one score for each turn, (n,), from those of all members, (members, n).

        "min" is worst-case optimization of arXiv 2310.02743; "uncertainty" its uncertainty-weighted optimization: the
        mean less `penalty` times the variance over the members, that of the members there are (divided by their
        number).
        """
        if self.kind == "min":
            return scores.min(axis=0)
        mean: np.ndarray = scores.mean(axis=0)
        return mean if self.kind == "mean" else mean - self.penalty * scores.var(axis=0)


def ensemble_of(spec: Any) -> Ensemble | None:
    """Returns the ensemble that a spec stands for, a mapping or its short form; None of any other spec.

    Raises:
        RewardError: an ensemble of an unknown kind, of fewer than two members, or with an unknown or wrong option.
    """
    if isinstance(spec, Mapping) and set(spec) == {"reward"} and isinstance(spec["reward"], str):
        spec = spec["reward"]  # of a sum
    if isinstance(spec, str):
        short = _SHORT.fullmatch(spec)
        return None if short is None else _checked(_read_short(spec, short[1], short[2].rstrip()))
    return _checked(spec) if isinstance(spec, Mapping) and "ensemble" in spec else None


def _read_short(text: str, kind: str, inside: str) -> dict[str, Any]:
    """Reads the short form: names and options with commas between, and parentheses around those of a member."""
    found: dict[str, Any] = {"ensemble": kind, "members": []}
    if not inside.endswith(")"):
        raise RewardError(f"reward {quoted(text)}: its parentheses do not match.")
    for part in _split(text, inside[:-1]):
        option = _OPTION.fullmatch(part)
        if option is None:
            found["members"].append(part.strip())
            continue
        if option[1] != "penalty":
            hint = did_you_mean(option[1], ["penalty"])
            raise RewardError(f"reward {quoted(text)} has no option {quoted(option[1])}.{hint}")
        try:
            found[option[1]] = float(option[2])
        except ValueError:
            problem = f"{option[1]} must be a number, got {quoted(option[2])}"
            raise RewardError(f"reward {quoted(text)}: {problem}.") from None
    return found


def _split(text: str, inside: str) -> list[str]:
    """Splits at commas outside of parentheses."""
    parts, depth = [""], 0
    for character in inside:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            break
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth != 0:
        raise RewardError(f"reward {quoted(text)}: its parentheses do not match.")
    return parts


def _checked(spec: Mapping[str, Any]) -> Ensemble:
    """Returns the ensemble of a mapping."""
    kind, members = spec["ensemble"], spec.get("members")
    asked = f"reward ensemble {quoted(kind)}"
    if kind not in KINDS:
        raise RewardError(f"{asked}: expected one of {', '.join(KINDS)}.{did_you_mean(str(kind), KINDS)}")
    for key in spec:
        if key not in _KEYS:
            raise RewardError(f"{asked} has no option {quoted(key)}.{did_you_mean(str(key), _KEYS)}")
    if not isinstance(members, list | tuple) or len(members) < 2:
        raise RewardError(f"{asked}: 'members' is a list of at least two rewards, got {quoted(members)}.")
    for member in members:
        if not isinstance(member, str | Mapping | list | tuple) or not member:
            raise RewardError(f"{asked}: each member is a name, a mapping or a sum, got {quoted(member)}.")
    if kind != "uncertainty" and "penalty" in spec:
        raise RewardError(f"{asked} has no option 'penalty': that is of 'uncertainty'.")
    penalty = spec.get("penalty", 0.5)
    number = isinstance(penalty, numbers.Real) and not isinstance(penalty, bool)
    if not number or not np.isfinite(float(penalty)) or penalty < 0:
        raise RewardError(f"{asked}: penalty must be a number of at least 0, got {quoted(penalty)}.")
    return Ensemble(kind, tuple(members), float(penalty))
