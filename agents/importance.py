"""Importance weights: responses that a server sampled count by how much likelier they are under the policy itself.

A server computes in other kernels, and often in fewer bits, so it samples from a model that is not quite the policy.
Its gradient is right again where each token counts by p / q, which is cut at a cap, so that no token rules the others
(arXiv 1602.01783 and 1802.01561 cut them so; verl's `rollout_is` and TRL's `vllm_importance_sampling_correction`, too).
PPO's ratio is still taken against the policy's own log-probabilities, and is 1 before the first update.
"""

from typing import Literal

from torch import Tensor

from agents.functional import importance_ratios, masked_mean
from agents.rollout import Rollout


def weigh(
    rollout: Rollout, advantages: Tensor, per: Literal["token", "sequence"], cap: float
) -> tuple[Tensor, dict[str, float]]:
    """Multiplies advantages by importance weights, which multiplies PPO's loss of each token by them: they are above 0.

    Args:
        rollout: whose responses they are.
        advantages: (N, T), normalized.
        per: what has a weight of its own.
        cap: the largest weight.

    Returns:
        The advantages, unchanged where the policy sampled for itself, and figures for the log: the mean of the weights,
        the largest ratio before it was cut, and the share of tokens whose ratio was cut.
    """
    if rollout.sampled_log_probs is None:
        return advantages, {}
    mask = rollout.response_mask
    ratios = importance_ratios(rollout.old_log_probs, rollout.sampled_log_probs, mask, per)
    weights = ratios.clamp(max=cap)
    return advantages * weights, {
        "train/importance_mean": masked_mean(weights, mask).item(),
        "train/importance_max": (ratios * mask).max().item(),
        "train/importance_cut": masked_mean((ratios > cap).float(), mask).item(),
    }
