"""Advantages of turns as trainers estimate them: pure functions of arrays.

Shapes: N groups of G episodes that begin in one state, of T turns at most. `mask` (N, G, T) is True on turns that were
played. The return of an episode is what it is paid at its end; nothing is discounted. An advantage is 0 outside `mask`.
"""

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

    Less the mean of the others, as RLOO has it (arXiv 2402.14740), or less that of all and by their spread, as GRPO
    has it (arXiv 2402.03300, section 4.1.2).
    """
    returns = torch.from_numpy(played.returns).double()
    compare = group_normalized if normalized else leave_one_out
    found = compare(returns, torch.ones_like(returns, dtype=torch.bool)).numpy()
    return found[..., None] * played.mask


def of_equal_states(played: Played, anchors: np.ndarray, normalized: bool) -> np.ndarray:
    """Returns each turn's return less the mean over all turns of its group at the same anchor, (N, G, T).

    That is the step part of GiGPO (arXiv 2505.10978, equations 6 and 7). A turn that is alone at its anchor has 0.

    Args:
        played: the episodes.
        anchors: (nodes,), the anchor of each state: what is on the screen.
        normalized: by the spread of those returns too (0 where they are all alike), as the paper has it where its
            F_norm is not 1.
    """
    number, groups = int(anchors.max()) + 1, np.arange(len(played.nodes))[:, None, None]
    keys = (groups * number + anchors[played.nodes[..., :-1]])[played.mask]
    returns = np.broadcast_to(played.returns[..., None], played.mask.shape)[played.mask]
    size = len(played.nodes) * number
    count = np.maximum(np.bincount(keys, minlength=size), 1)
    centred = returns - (np.bincount(keys, returns, size) / count)[keys]
    if normalized:
        spread = np.sqrt(np.bincount(keys, centred**2, size) / count)[keys]
        centred = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-6)
    found = np.zeros(played.mask.shape)
    found[played.mask] = centred
    return found


def of_values(played: Played, values: np.ndarray, gae_lambda: float) -> np.ndarray:
    """Returns generalised advantages (arXiv 1506.02438, equation 16) over turns, (N, G, T).

    Args:
        played: the episodes.
        values: (nodes,), the value of each state.
        gae_lambda: the decay, a turn.
    """
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
    """Returns the success of forks after each turn less that of forks before it, (N, G, T).

    That is VinePPO (arXiv 2410.01679). A fork is an episode that goes on from a state; of each state
    that is come through, so many are played anew, and of one in which the episode is over the outcome is known. Forks
    succeed or not, each on its own, by the true value: so their successes are drawn here, and not played.

    Args:
        played: the episodes.
        values: (nodes,), the true chance of success of each state.
        forks: from each state.
        rng: of their outcomes.
    """
    turns = np.arange(played.nodes.shape[-1])
    over = turns >= played.mask.sum(-1)[..., None]  # the state behind the last turn
    drawn = rng.binomial(forks, np.clip(values[played.nodes], 0, 1)) / forks
    found = np.where(over, played.returns[..., None], drawn)
    return np.diff(found, axis=-1) * played.mask
