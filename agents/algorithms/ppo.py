"""Proximal policy optimization (arXiv 1707.06347), with a learned value function and a KL penalty in the reward.

    r_t  =  score at the last token  -  beta (log pi_old - log pi_ref)_t         (arXiv 1909.08593, eq. 2)
    A_t  =  GAE(gamma, lambda) over the tokens of an episode                     (arXiv 1506.02438), normalized
    L_t  =  -min(rho_t A_t, clip(rho_t, 1 - eps, 1 + eps) A_t)  +  c1 L^VF_t     with rho_t = pi / pi_old

L^VF is half the squared error to the return A_t + V_t, the worse of clipped and unclipped.
"""

from typing import TYPE_CHECKING

from torch import Tensor

from agents.algorithms import functional as F
from agents.algorithms.algorithm import Algorithm

if TYPE_CHECKING:
    from agents.hyperparameters import Hyperparameters
    from agents.rollout import Part, Rollout, ScoreSettings


class PPO(Algorithm):
    """The default: advantages by GAE, a clipped ratio, clipped values."""

    normalizes = True

    def advantages(self, rollout: "Rollout", settings: "ScoreSettings") -> Tensor:
        assert rollout.values is not None
        of_rows = (rollout.rewards, rollout.values, rollout.response_mask, rollout.order)
        return F.chain_gae(*of_rows, settings.gamma, settings.gae_lambda)

    def policy_loss(self, log_probs: Tensor, part: "Part", h: "Hyperparameters") -> tuple[Tensor, Tensor]:
        return F.policy_loss(log_probs, part.old_log_probs, part.advantages, part.mask, h.clip_range)

    def value_loss(self, values: Tensor, part: "Part", h: "Hyperparameters") -> Tensor:
        assert part.old_values is not None
        assert part.returns is not None
        return F.value_loss(values, part.old_values, part.returns, part.mask, h.clip_range_vf)
