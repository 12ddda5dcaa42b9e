"""Best-of-n exactly: what the highest-scored of n samples is worth, how far it is from SFT, and curves of both.

From many samples the expectation over all draws of n of them is a sum, so no draw adds noise to it.
"""

from collections.abc import Sequence
from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from evaluation.metrics import chances_to_be_largest


class Fit(NamedTuple):
    """Holds what a curve of gold by d, the root of the KL, is like.

    Attributes:
        alpha: how steeply it goes up at first.
        beta: what bends it down; below 0 it bends up.
    """

    alpha: float
    beta: float


def kl_of(n: int) -> float:
    """Returns the KL of best-of-n to what is sampled, log n - (n - 1) / n nats.

    It is exact where no two responses have one score (arXiv 2009.01325, appendix G.3), and else the most that it can be
    (arXiv 2401.01879).
    """
    return log(n) - (n - 1) / n


def expected_best(scores: ArrayLike, values: ArrayLike, n: int) -> np.ndarray:
    """Returns the expected value of the highest-scored of n samples, drawn without replacement, (prompts,).

    Of equal scores each is as likely to be taken.

    Args:
        scores, values: of the samples of each prompt, (prompts, samples).
        n: 1 to samples.

    Raises:
        ValueError: n is not, or the two differ in shape.
    """
    by, of = np.asarray(scores, dtype=np.float64), np.asarray(values, dtype=np.float64)
    samples = by.shape[1]
    if by.shape != of.shape or not 1 <= n <= samples:
        raise ValueError(f"expected scores and values of one shape and n of 1 to {samples}, got {of.shape} and {n}")
    weights = chances_to_be_largest(samples, n)
    return np.array([_fair(row, of_row) @ weights for row, of_row in zip(by, of, strict=True)])


def _fair(scores: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns the values by rising score, those of equal scores as their mean."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.bincount(place, values) / count
    rising: np.ndarray = means[np.sort(place)]
    return rising


def fit_best_of_n(kls: Sequence[float], gains: Sequence[float]) -> Fit:
    """Fits gains in gold by d (alpha - beta d), the form that best-of-n has in arXiv 2210.10760; d is the root KL."""
    d = np.sqrt(np.asarray(kls, dtype=np.float64))
    return _least_squares(d, -(d**2), gains)


def fit_learned(kls: Sequence[float], gains: Sequence[float]) -> Fit:
    """Fits gains in gold by d (alpha - beta log d), the form that reinforcement learning has there; d is above 0."""
    d = np.sqrt(np.asarray(kls, dtype=np.float64))
    return _least_squares(d, -d * np.log(d), gains)


def _least_squares(first: np.ndarray, second: np.ndarray, gains: Sequence[float]) -> Fit:
    alpha, beta = np.linalg.lstsq(np.stack([first, second], 1), np.asarray(gains, dtype=np.float64), rcond=None)[0]
    return Fit(float(alpha), float(beta))
