"""Which learning rates are tried: a few, and then on where the best one lies at the edge of what was tried."""

from collections.abc import Mapping, Sequence

LADDER = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # factors of a rate


def to_try(start: Sequence[float], found: Mapping[float, float]) -> list[float]:
    """Returns the factors that have to be tried now; none where the best one is known.

    Args:
        start: the factors that are tried at first, of `LADDER`.
        found: how good what was tried is, by factor.
    """
    if missing := [factor for factor in start if factor not in found]:
        return missing
    at = LADDER.index(best(found))
    beside = [LADDER[i] for i in (at - 1, at + 1) if 0 <= i < len(LADDER)]
    return [factor for factor in beside if factor not in found]


def best(found: Mapping[float, float]) -> float:
    """Returns the factor that is best, of equal ones the lowest."""
    return max(sorted(found), key=lambda factor: found[factor])
