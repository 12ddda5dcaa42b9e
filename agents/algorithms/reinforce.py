"""REINFORCE with a learned baseline: what the paper trains with (arXiv 2403.10704).

    objective  =  (1 - beta) score  -  beta KL(pi || pi_ref)
    r_t  =  (1 - beta) score at the last token  -  beta (log pi_old - log pi_ref)_t
    A_t  =  r_t + gamma r_{t+1} + gamma^2 r_{t+2} + ...  -  V_t
    L_t  =  -log pi(a_t) A_t  +  c1 (V_t - return_t)^2 / 2

The gradient is that of the objective where the policy is the one that sampled: in the first optimizer step on a
rollout. With `batch_size` as large as a rollout and one epoch there is no other.
"""

from typing import TYPE_CHECKING

from torch import Tensor

from agents.algorithms import functional as F
from agents.algorithms.algorithm import Algorithm

if TYPE_CHECKING:
    from agents.hyperparameters import Hyperparameters
    from agents.rollout import Part, Rollout, ScoreSettings


class Reinforce(Algorithm):
    """Returns less a learned baseline, no ratio and no clip."""

    # Nothing would keep a coefficient that is steered below 1, from where on the score would be fought.
    unused = frozenset({"clip_range", "clip_range_vf", "gae_lambda", "kl_target", "kl_horizon"})

    def reward_weights(self, kl_coef: float) -> tuple[float, float]:
        return 1.0 - kl_coef, kl_coef

    def advantages(self, rollout: "Rollout", settings: "ScoreSettings") -> Tensor:
        assert rollout.values is not None
        of_rows = (rollout.rewards, rollout.values, rollout.response_mask, rollout.order)
        return F.chain_gae(*of_rows, settings.gamma, gae_lambda=1.0)

    def policy_loss(self, log_probs: Tensor, part: "Part", h: "Hyperparameters") -> tuple[Tensor, Tensor]:
        return F.score_function_loss(log_probs, part.advantages, part.mask)
