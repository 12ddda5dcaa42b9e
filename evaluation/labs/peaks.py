"""Where gold peaked and how far it fell from there, without taking noise for a peak; and means over seeds.

The highest of several noisy means is too high. So the peak is chosen by the gold of one half of the prompts and read
off the other half, both ways, and what is read is a plain mean again: where nothing falls, such a fall is 0 on average.
"""

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike

# Of Student's t, two-sided, 95%, by the degrees of freedom: a few seeds are too few for a bootstrap.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


class Peak(NamedTuple):
    """Says where the gold of a run was highest.

    Attributes:
        look: the number of the look at which it is over all prompts; the first of several.
        gold: at peaks chosen by the other half of the prompts.
        end: at the last look.
        fall: `gold` less `end`, prompt by prompt, and its standard error over prompts.
        error: that standard error.
    """

    look: int
    gold: float
    end: float
    fall: float
    error: float


class OverSeeds(TypedDict):
    """A mean over a few seeds with its 95% interval by Student's t."""

    mean: float
    low: float
    high: float
    n: int


def halves(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers of n prompts in two halves, in turns of two: every second one may be of another kind."""
    first = np.arange(n) // 2 % 2 == 0
    return np.flatnonzero(first), np.flatnonzero(~first)


def peak_of(golds: ArrayLike) -> Peak:
    """Returns the peak of golds (looks, prompts), chosen on one half of the prompts and read on the other, both ways.

    Raises:
        ValueError: there are fewer than four prompts.
    """
    array = np.asarray(golds, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] < 4:
        raise ValueError(f"expected the golds of looks at four prompts or more, got shape {array.shape}")
    read = np.empty(array.shape[1])
    one, other = halves(array.shape[1])
    for chosen, told in ((one, other), (other, one)):
        read[told] = array[array[:, chosen].mean(1).argmax(), told]
    falls = read - array[-1]
    error = float(falls.std(ddof=1) / sqrt(len(falls)))
    return Peak(int(array.mean(1).argmax()), float(read.mean()), float(array[-1].mean()), float(falls.mean()), error)


def chosen_by(measure: ArrayLike, golds: ArrayLike) -> float:
    """Returns the gold at the look at which a measure is highest, each (looks, prompts).

    The look is chosen by the measure on one half of the prompts, and its gold is that of the other half, both ways.
    """
    by, array = np.asarray(measure, dtype=np.float64), np.asarray(golds, dtype=np.float64)
    one, other = halves(array.shape[1])
    read = [array[by[:, chosen].mean(1).argmax(), told] for chosen, told in ((one, other), (other, one))]
    return float(np.concatenate(read).mean())


def last_within(kls: Sequence[float], most: float) -> int:
    """Returns the number of the last look before the first one whose KL is above `most`."""
    beyond = [i for i, kl in enumerate(kls) if kl > most]
    return max(0, beyond[0] - 1) if beyond else len(kls) - 1


def over_seeds(values: Sequence[float]) -> OverSeeds:
    """Returns the mean over seeds with its 95% interval by Student's t.

    Raises:
        ValueError: there are fewer than 2 seeds, or more than 11.
    """
    n = len(values)
    if not 2 <= n <= len(_T) + 1:
        raise ValueError(f"expected 2 to {len(_T) + 1} seeds, got {n}")
    array = np.asarray(values, dtype=np.float64)
    mean, half = float(array.mean()), _T[n - 2] * float(array.std(ddof=1)) / sqrt(n)
    return {"mean": mean, "low": mean - half, "high": mean + half, "n": n}
