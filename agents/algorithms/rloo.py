"""REINFORCE leave-one-out (arXiv 2402.14740; the estimator is that of Kool et al., 2019).

    R_i  =  score_i  -  beta sum_t (log pi_old - log pi_ref)_t      of a whole episode
    A_i  =  R_i  -  the mean of R over the other episodes of its group
    L_t  =  -log pi(a_t) A_i                                        for every token of episode i

An episode is one action: all its tokens have its advantage. As in `reinforce`, the gradient is exact in the first
optimizer step on a rollout.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from agents.algorithms import functional as F
from agents.algorithms.algorithm import OF_VALUES, Algorithm

if TYPE_CHECKING:
    from agents.hyperparameters import Hyperparameters
    from agents.rollout import Part, Rollout, ScoreSettings


def leave_one_out(returns: Tensor, sound: Tensor) -> Tensor:
    """Returns less the mean of the others in the group, (groups, G); 0 for one that is not sound or has no others."""
    count = sound.sum(1, keepdim=True)
    others = ((returns * sound).sum(1, keepdim=True) - returns) / (count - 1).clamp(min=1)
    return torch.where(sound & (count > 1), returns - others, 0.0)


class RLOO(Algorithm):
    """Episodes of a group against each other, no value function, no ratio and no clip."""

    has_values, group_size, compares = False, 8, True
    unused = OF_VALUES | {"clip_range", "gamma"}

    def advantages(self, rollout: "Rollout", settings: "ScoreSettings") -> Tensor:
        return F.compare_in_groups(
            leave_one_out, rollout.rewards, rollout.response_mask, rollout.order, settings.group_size
        )

    def policy_loss(self, log_probs: Tensor, part: "Part", h: "Hyperparameters") -> tuple[Tensor, Tensor]:
        return F.score_function_loss(log_probs, part.advantages, part.mask)
