"""Advantages of turns as trainers estimate them, and how they stand to the true ones: pure functions of arrays.

Shapes: N groups of G episodes that begin in one state, of T turns at most. `mask` (N, G, T) is True on turns that were
played. The return of an episode is what it is paid at its end; nothing is discounted.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch

from agents.algorithms.functional import Carry, gae
from agents.algorithms.grpo import group_normalized
from agents.algorithms.rloo import leave_one_out


class Played(NamedTuple):
    """Holds groups of episodes.

    Attributes:
        nodes: (N, G, T + 1), the state before each turn, and behind the last turn the one it led to; 0 beyond.
        mask: (N, G, T).
        returns: (N, G).
    """

    nodes: np.ndarray
    mask: np.ndarray
    returns: np.ndarray


def of_whole_episodes(played: Played, normalized: bool) -> np.ndarray:
    """Returns the advantage of an episode in its group for all its turns, (N, G, T).

    Less the mean of the others, as RLOO has it (arXiv 2402.14740), or by the group's spread, as GRPO (2402.03300).
    """
    returns = torch.from_numpy(played.returns).float()
    compare = group_normalized if normalized else leave_one_out
    found = compare(returns, torch.ones_like(returns, dtype=torch.bool)).numpy()
    return found[..., None] * played.mask


def of_equal_states(played: Played, anchors: np.ndarray) -> np.ndarray:
    """Returns each turn's return less the mean over all turns of its group at the same anchor, (N, G, T).

    That is the step part of GiGPO (arXiv 2505.10978, section 4.2), without a division by the spread: what is on the
    screen is the anchor. A turn that is alone at its anchor has 0.

    Args:
        played: the episodes.
        anchors: (nodes,), the anchor of each state.
    """
    number, groups = int(anchors.max()) + 1, np.arange(len(played.nodes))[:, None, None]
    keys = (groups * number + anchors[played.nodes[..., :-1]])[played.mask]
    returns = np.broadcast_to(played.returns[..., None], played.mask.shape)[played.mask]
    size = len(played.nodes) * number
    mean = np.bincount(keys, returns, size) / np.maximum(np.bincount(keys, minlength=size), 1)
    found = np.zeros(played.mask.shape)
    found[played.mask] = returns - mean[keys]
    return found


def of_values(played: Played, values: np.ndarray, gae_lambda: float) -> np.ndarray:
    """Returns generalised advantages (arXiv 1506.02438) over turns by a value of each state, (nodes,), (N, G, T)."""
    shape = played.mask.shape
    mask = torch.from_numpy(played.mask.reshape(-1, shape[-1]))
    last = mask.sum(1) - 1
    rewards = torch.zeros(mask.shape, dtype=torch.float64)
    rewards[torch.arange(len(mask)), last] = torch.from_numpy(played.returns.reshape(-1)).double()
    of_states = torch.from_numpy(values[played.nodes[..., :-1]].reshape(mask.shape)).double() * mask
    nothing = torch.zeros(len(mask), dtype=torch.float64)
    found, _ = gae(rewards, of_states, mask, Carry(nothing, nothing), 1.0, gae_lambda)
    return found.numpy().reshape(shape)


def of_forks(played: Played, values: np.ndarray, forks: int, rng: np.random.Generator) -> np.ndarray:
    """Returns the success of forks after each turn less that of forks before it (VinePPO, arXiv 2410.01679), (N, G, T).

    A fork is an episode that goes on from a state; of each state that is come through, so many are played anew, and of
    one in which the episode is over the outcome is known. Forks succeed or not, each on its own, by the true value: so
    their successes are drawn here, and not played.

    Args:
        played: the episodes.
        values: (nodes,), the true chance of success of each state.
        forks: from each state.
        rng: of their outcomes.
    """
    n, g, t = played.mask.shape
    over = np.arange(t + 1) >= played.mask.sum(-1)[..., None]  # the state behind the last turn
    drawn = rng.binomial(forks, np.clip(values[played.nodes], 0, 1)) / forks
    found = np.where(over, played.returns[..., None], drawn)
    assert found.shape == (n, g, t + 1)
    return (found[..., 1:] - found[..., :-1]) * played.mask


SUMS = ("turns", "e", "a", "ee", "aa", "ea", "pairs", "error", "within", "signs", "right")


def sums_of(played: Played, estimates: np.ndarray, values: np.ndarray, least: float = 0.05) -> dict[str, float]:
    """Returns sums over turns that figures of any number of starts follow from.

    A turn is a state and the one it led to: its true advantage is how much the value changed. Where a turn was played
    once only, nothing is known of how its estimate varies, and it does not count for bias and noise.

    Args:
        played: the episodes.
        estimates: (N, G, T).
        values: (nodes,), the true ones.
        least: the true advantage, by its absolute value, from which on its sign is asked for.
    """
    before, after = played.nodes[..., :-1][played.mask], played.nodes[..., 1:][played.mask]
    e, a = estimates[played.mask], values[after] - values[before]
    _, turn, count = np.unique(before * len(values) + after, return_inverse=True, return_counts=True)
    mean = np.bincount(turn, e) / count
    squares = np.bincount(turn, (e - mean[turn]) ** 2)
    several = count > 1
    within = float((count * squares)[several].dot(1 / (count[several] - 1)))  # each turn's variance, as often as it is
    told = np.abs(a) >= least
    right = (np.sign(e) == np.sign(a)) + 0.5 * (e == 0)
    found = (
        len(e), e.sum(), a.sum(), (e * e).sum(), (a * a).sum(), (e * a).sum(), count[several].sum(),
        ((e - a) ** 2)[several[turn]].sum(), within, told.sum(), right[told].sum(),
    )  # fmt: skip
    return dict(zip(SUMS, map(float, found), strict=True))


class Judged(NamedTuple):
    """Holds how estimates stand to the true advantages.

    Attributes:
        bias: the root of the mean squared difference between what a turn's estimate is on average and the truth, but
            for what all turns have in common, which normalized advantages are without.
        noise: the root of the mean variance of a turn's estimate.
        correlation: of estimates with the truth, over turns as they are played.
        sign: the share of turns that matter whose estimate has the sign of the truth; one that is 0 counts half.
    """

    bias: float
    noise: float
    correlation: float
    sign: float


def judged(sums: Mapping[str, float]) -> Judged:
    """Returns the figures that follow from sums, of one start or added up over several."""
    n, pairs = sums["turns"], max(sums["pairs"], 1.0)
    noise, constant = sums["within"] / pairs, (sums["e"] - sums["a"]) / n
    bias = max(sums["error"] / pairs - noise - constant**2, 0.0)
    spread_e, spread_a = (sums[2 * k] / n - (sums[k] / n) ** 2 for k in "ea")
    together = sums["ea"] / n - sums["e"] / n * sums["a"] / n
    varies = spread_e > 1e-12 and spread_a > 1e-12
    correlation = together / (spread_e * spread_a) ** 0.5 if varies else 0.0
    return Judged(bias**0.5, noise**0.5, correlation, sums["right"] / max(sums["signs"], 1.0))
