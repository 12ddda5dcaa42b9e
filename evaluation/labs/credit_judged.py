"""How estimated advantages stand to the true ones: sums over the turns of a start, and figures that follow from them.

The estimate of a turn (s, a) is a random number: other episodes of the same policy would have given another. Less the
true advantage A(s, a) it is off by

    what is common to all turns of its state       offset(s), the mean over the policy's turns in s
    what is left of its mean                       bias(s, a)
    how it varies from one batch to the next       noise

An offset is a baseline: it adds noise to a policy's gradient and leaves its mean as it is, since the policy's
probabilities add up to 1 in each state (Williams, 1992). A bias changes the mean.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from evaluation.labs.credit_estimates import Played

_PRODUCTS = ("ee", "ea", "aa")
SUMS = (
    "turns", "e", "a", *_PRODUCTS, "signs", "right", "seen",
    *(f"{of}_{product}" for of in ("single", "turn", "state") for product in _PRODUCTS),
)  # fmt: skip


def sums_of(played: Played, estimates: np.ndarray, values: np.ndarray, least: float = 0.05) -> dict[str, float]:
    """Returns sums over turns that figures of any number of starts follow from.

    A turn is a state and the one it led to: its true advantage is how much the value changed. One that was played in a
    single group says nothing of what is chance, and counts for correlation and sign alone.

    Args:
        played: the episodes.
        estimates: (N, G, T).
        values: (nodes,), the true ones.
        least: the true advantage, by its absolute value, from which on its sign is asked for.
    """
    before, after = played.nodes[..., :-1][played.mask], played.nodes[..., 1:][played.mask]
    e, a = estimates[played.mask], values[after] - values[before]
    groups = np.broadcast_to(np.arange(len(played.nodes))[:, None, None], played.mask.shape)[played.mask]
    told = np.abs(a) >= least
    right = (np.sign(e) == np.sign(a)) + 0.5 * (e == 0)
    found = [len(e), e.sum(), a.sum(), e @ e, e @ a, a @ a, told.sum(), right[told].sum()]
    _, turns = np.unique(before * len(values) + after, return_inverse=True)
    seen = (_groups_of(turns, groups) > 1)[turns]
    e, a, turns, groups, before = e[seen], a[seen], turns[seen], groups[seen], before[seen]
    found += [len(e), e @ e, e @ a, a @ a, *_squared_means(turns, groups, e, a), *_squared_means(before, groups, e, a)]
    return dict(zip(SUMS, map(float, found), strict=True))


def _groups_of(cells: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Returns in how many groups each cell was seen, (cells,)."""
    pairs = np.unique(np.stack([cells, groups]), axis=1)
    return np.bincount(pairs[0])


def _squared_means(cells: np.ndarray, groups: np.ndarray, e: np.ndarray, a: np.ndarray) -> list[float]:
    """Adds up mean e times mean e, mean e times mean a and the square of mean a, of the cell of each turn.

    Products of a group with itself are left out, so that what varies from group to group does not count as a mean:
    the sums over two groups are independent, and the mean of their product is the product of their means.
    """
    _, pair = np.unique(cells * (int(groups.max(initial=0)) + 1) + groups, return_inverse=True)
    cell = np.zeros(int(pair.max(initial=-1)) + 1, dtype=int)
    cell[pair] = cells
    sums = [np.bincount(pair, each) for each in (np.ones(len(e)), e, a)]  # of each cell in each group
    products = {}
    for i, j in ((0, 0), (1, 1), (1, 2), (2, 2)):
        whole = np.bincount(cell, sums[i]) * np.bincount(cell, sums[j])
        products[i, j] = whole - np.bincount(cell, sums[i] * sums[j])
    count, between = np.bincount(cell, sums[0]), products.pop((0, 0))
    several = between > 0
    return [float(count[several] @ (of[several] / between[several])) for of in products.values()]


class Judged(NamedTuple):
    """Holds how estimates stand to the true advantages.

    Attributes:
        correlation: with the truth, over turns as they are played.
        sign: the share of turns that matter whose estimate has the sign of the truth; one that is 0 counts half.
        slope: of the estimate over the truth; 1 where it is right on average but for what has nothing to do with it.
        bias, offset, noise: roots of mean squares, see above.
        needed: by how much more turns must be learned from than with true advantages, for a gradient that is as exact,
            if turns were all alike but for their advantage and nothing but chance mattered.
    """

    correlation: float
    sign: float
    slope: float
    bias: float
    offset: float
    noise: float
    needed: float


def judged(sums: Mapping[str, float], in_own_unit: bool) -> Judged:
    """Returns the figures that follow from sums, of one start or added up over several.

    Args:
        sums: of `sums_of`.
        in_own_unit: the estimate is divided by its slope before bias, offset and noise are asked for; a factor that
            is the same for all turns is a learning rate.
    """
    n, seen = sums["turns"], max(sums["seen"], 1.0)
    slope = sums["ea"] / max(sums["aa"], 1e-12)
    scale = 1 / slope if in_own_unit and abs(slope) > 1e-6 else 1.0
    single, turn, state = (
        (scale**2 * sums[f"{of}_ee"] - 2 * scale * sums[f"{of}_ea"] + sums[f"{of}_aa"]) / seen
        for of in ("single", "turn", "state")
    )
    bias, offset, noise = (max(square, 0.0) ** 0.5 for square in (turn - state, state, single - turn))
    right = sums["right"] / max(sums["signs"], 1.0)
    needed = sums["ee"] * sums["aa"] / max(sums["ea"] ** 2, 1e-12)
    return Judged(correlation_of(n, sums), right, slope, bias, offset, noise, needed)


def correlation_of(n: float, sums: Mapping[str, float]) -> float:
    """Returns the correlation of two numbers e and a over n pairs of them, from their sums; 0 where one is constant."""
    of_e, of_a = (sums[2 * k] / n - (sums[k] / n) ** 2 for k in "ea")
    together = sums["ea"] / n - sums["e"] / n * sums["a"] / n
    return float(together / (of_e * of_a) ** 0.5) if of_e > 1e-12 and of_a > 1e-12 else 0.0
