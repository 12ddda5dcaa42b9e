"""REINFORCE++ (arXiv 2501.03262): PPO's clip without its value function.

    r_t  =  score at the last token  -  beta (log pi_old - log pi_ref)_t
    A_t  =  r_t + gamma r_{t+1} + ...  to the end of the episode, then normalized over all tokens of the rollout
    L_t  =  -min(rho_t A_t, clip(rho_t, 1 - eps, 1 + eps) A_t)                   with rho_t = pi / pi_old

With a group size above 1 the mean return of the group is taken off first: the paper's "REINFORCE++ with baseline", but
for its KL, which stays in the reward here.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from agents.algorithms import functional as F
from agents.algorithms.algorithm import OF_VALUES, Algorithm

if TYPE_CHECKING:
    from agents.hyperparameters import Hyperparameters
    from agents.rollout import Part, Rollout, ScoreSettings


def group_mean(returns: Tensor, sound: Tensor) -> Tensor:
    """The mean return of each group, (groups, G)."""
    mean = (returns * sound).sum(1, keepdim=True) / sound.sum(1, keepdim=True).clamp(min=1)
    return mean.expand_as(returns)


class ReinforcePlusPlus(Algorithm):
    """What is still to come of an episode, by the spread of the whole rollout, and a clipped ratio."""

    has_values, normalizes = False, True
    unused = OF_VALUES

    def advantages(self, rollout: "Rollout", settings: "ScoreSettings") -> Tensor:
        rewards, mask, order = rollout.rewards, rollout.response_mask, rollout.order
        to_come = F.chain_gae(rewards, torch.zeros_like(rewards), mask, order, settings.gamma, gae_lambda=1.0)
        if settings.group_size == 1:
            return to_come
        return to_come - F.compare_in_groups(group_mean, rewards, mask, order, settings.group_size)

    def policy_loss(self, log_probs: Tensor, part: "Part", h: "Hyperparameters") -> tuple[Tensor, Tensor]:
        return F.policy_loss(log_probs, part.old_log_probs, part.advantages, part.mask, h.clip_range)
