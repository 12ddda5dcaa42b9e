"""Group relative policy optimization (arXiv 2402.03300, section 4.1).

    A_i  =  (R_i - mean R) / std R        over the scores of a group's episodes; 0 where they are all alike
    L_t  =  -min(rho_t A_i, clip(rho_t, 1 - eps, 1 + eps) A_i)  +  beta (q/p - 1 - log q/p)_t

with the ratio rho_t = pi / pi_old, p = pi and q = pi_ref: the KL is in the loss, by the estimate k3, and not in the
reward. "Dr. GRPO" (arXiv 2503.20783) finds two biases in the paper's form. Dividing each response's loss by its own
length favours long wrong responses: here a token counts as much as any other, whatever response it is in (as in arXiv
2503.14476). Dividing by the spread favours prompts that are nearly always or nearly never solved: that is kept, since
it is what GRPO is; `rloo` does not divide.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from agents.algorithms import functional as F
from agents.algorithms.algorithm import OF_VALUES, Algorithm

if TYPE_CHECKING:
    from agents.hyperparameters import Hyperparameters
    from agents.rollout import Part, Rollout, ScoreSettings

_FLOOR = 1e-4  # spread of a group below which nothing is learned from it


def group_normalized(returns: Tensor, sound: Tensor) -> Tensor:
    """Returns less the group's mean over its spread (of all, not of a sample), (groups, G); 0 for what is not sound."""
    count = sound.sum(1, keepdim=True).clamp(min=1)
    centred = (returns - (returns * sound).sum(1, keepdim=True) / count) * sound
    spread = (centred.square().sum(1, keepdim=True) / count).sqrt()
    return torch.where(spread > _FLOOR, centred / spread, 0.0)


class GRPO(Algorithm):
    """Episodes of a group by their spread, a clipped ratio, the KL in the loss, no value function."""

    has_values, group_size, compares = False, 8, True
    unused = OF_VALUES | {"gamma"}

    def reward_weights(self, kl_coef: float) -> tuple[float, float]:
        return 1.0, 0.0

    def loss_kl_coef(self, kl_coef: float) -> float:
        return kl_coef

    def advantages(self, rollout: "Rollout", settings: "ScoreSettings") -> Tensor:
        return F.compare_in_groups(
            group_normalized, rollout.rewards, rollout.response_mask, rollout.order, settings.group_size
        )

    def policy_loss(self, log_probs: Tensor, part: "Part", h: "Hyperparameters") -> tuple[Tensor, Tensor]:
        losses, clipped = F.policy_loss(log_probs, part.old_log_probs, part.advantages, part.mask, h.clip_range)
        kl = torch.where(part.mask, F.kl_k3(log_probs, part.reference_log_probs), 0.0)
        return losses + h.kl_coef * part.counts[:, None] * kl, clipped
