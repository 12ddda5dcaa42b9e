"""Importance weights: responses that a server sampled count by how much likelier they are under the policy itself.

A server computes in other kernels, and often in fewer bits, so it samples from a model that is not quite the policy.
Its gradient is right again where each token counts by p / q, which is cut at a cap, so that no token rules the others
(arXiv 1602.01783 and 1802.01561 cut them so; verl's `rollout_is` and TRL's `vllm_importance_sampling_correction`, too).
PPO's ratio is still taken against the policy's own log-probabilities, and is 1 before the first update.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from agents.algorithms.functional import masked_mean
from agents.rollout import Rollout

_LARGEST_LOG_RATIO = 20.0  # so that a ratio is a finite number


def importance_ratios(log_probs: Tensor, sampled: Tensor, mask: Tensor, per: Literal["token", "sequence"]) -> Tensor:
    """How much likelier what was sampled is under the policy than under its sampler, (B, T); 1 outside the mask.

    exp(log p - log q) of each token, or of the whole response on all its tokens. What a gradient is multiplied by where
    another model sampled (arXiv 2110.00641).

    Args:
        log_probs: log p of the policy as it was when the response was sampled.
        sampled: log q, what the sampler says.
        mask: True on response tokens.
        per: what has a ratio of its own.
    """
    log_ratio = torch.where(mask, log_probs - sampled, 0.0)
    if per == "sequence":
        log_ratio = log_ratio.sum(1, keepdim=True) * mask
    return log_ratio.clamp(-_LARGEST_LOG_RATIO, _LARGEST_LOG_RATIO).exp()


def log_probs_of_sampler(rollout: Rollout) -> Tensor | None:
    """Returns what a server said of the tokens that it sampled, (N, T); None where the policy sampled them itself."""
    said = rollout.sampled_log_probs
    return None if said is None else pad_sequence([torch.tensor(row) for row in said], batch_first=True)


def weigh(
    rollout: Rollout, advantages: Tensor, per: Literal["token", "sequence"], cap: float
) -> tuple[Tensor, dict[str, list[float]]]:
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
    sampled, mask = log_probs_of_sampler(rollout), rollout.response_mask
    if sampled is None:
        return advantages, {}
    ratios = importance_ratios(rollout.old_log_probs, sampled, mask, per)
    weights = ratios.clamp(max=cap)
    return advantages * weights, {
        "importance_mean": [masked_mean(weights, mask).item()],
        "importance_max": [(ratios * mask).max().item()],
        "importance_cut": [masked_mean((ratios > cap).float(), mask).item()],
    }
