"""The mathematics of PPO for language models: pure functions of tensors.

Shapes: B rows (one turn each), T response tokens, padded on the right. `mask` (B, T) is True on response tokens.
Nothing outside the mask ever changes a result. Sources: PPO, arXiv 1707.06347; GAE, arXiv 1506.02438; the details
for language models, arXiv 2403.17031; KL in the reward, arXiv 1909.08593.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean over all True positions, (); 0 where there is none."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def kl_k1(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """log p - log q of the sampled tokens: the unbiased estimate of KL(policy || reference); may be negative."""
    return log_probs - reference_log_probs


def kl_k3(log_probs: Tensor, reference_log_probs: Tensor) -> Tensor:
    """r - 1 - log r with r = q/p: an estimate of the same KL that is never negative (Schulman, 2020).

    For watching only: its gradient is not that of the reverse KL, neither as reward nor as loss.
    """
    log_ratio = reference_log_probs - log_probs
    return torch.expm1(log_ratio) - log_ratio


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """Per-token rewards (B, T): -kl_coef * k1 everywhere, and the score (B,) on the last action token.

    The last action token is the end token, or the last one of a response that was cut; not the slot after it.
    """
    rewards = -kl_coef * kl * mask
    last = mask.sum(1) - 1
    rewards[torch.arange(len(scores)), last] += scores.to(rewards.dtype)
    return rewards * mask  # a row without any action has no last one


class Carry(NamedTuple):
    """Carry value and advantage from the row after to the row before in the same episode."""

    value: Tensor  # (B,) value of the first state of the row after
    advantage: Tensor  # (B,) advantage of its first token


def gae(
    rewards: Tensor, values: Tensor, mask: Tensor, carry: Carry, gamma: float, gae_lambda: float
) -> tuple[Tensor, Carry]:
    """Generalised advantage estimation over the response tokens of one row per episode.

    Args:
        rewards, values, mask: (B, T).
        carry: what follows each row: zeros at termination, (V(next state), 0) where it is truncated or the
            rollout cuts it, the carry of the next row where the episode goes on. Prompt tokens between two rows
            of an episode are thereby skipped.

    Returns:
        Advantages (B, T), 0 outside the mask, and the carry for the row before.
    """
    next_value, advantage = carry
    advantages = torch.zeros_like(rewards)
    for t in range(rewards.shape[1] - 1, -1, -1):
        delta = rewards[:, t] + gamma * next_value - values[:, t]
        here = mask[:, t]
        advantage = torch.where(here, delta + gamma * gae_lambda * advantage, advantage)
        next_value = torch.where(here, values[:, t], next_value)
        advantages[:, t] = torch.where(here, advantage, 0.0)
    return advantages, Carry(next_value, advantage)


def normalize(advantages: Tensor, mask: Tensor, floor: float = 1e-4) -> Tensor:
    """Zero mean and unit variance over all valid tokens; all 0 where their spread is below `floor`.

    The floor keeps rounding noise of constant rewards from being blown up to unit variance.
    """
    centred = (advantages - masked_mean(advantages, mask)) * mask
    std = masked_mean(centred.square(), mask).sqrt()
    return centred / std if std > floor else torch.zeros_like(advantages)


def policy_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, mask: Tensor, clip_range: float
) -> tuple[Tensor, Tensor]:
    """PPO's clipped surrogate per token, to be minimised, and where it is clipped; both (B, T), 0 outside the mask."""
    log_ratio = torch.where(mask, log_probs - old_log_probs, 0.0)
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    loss = -torch.min(ratio * advantages, clipped * advantages)
    return loss * mask, ((ratio - 1).abs() > clip_range) & mask


def value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip_range_vf: float | None
) -> Tensor:
    """Half the squared error per token, (B, T); with a clip range the worse of clipped and unclipped."""
    loss = (values - returns).square()
    if clip_range_vf is not None:
        clipped = old_values + (values - old_values).clamp(-clip_range_vf, clip_range_vf)
        loss = torch.max(loss, (clipped - returns).square())
    return 0.5 * loss * mask


def approx_kl(log_probs: Tensor, old_log_probs: Tensor, mask: Tensor) -> Tensor:
    """KL(old || new) per token as SB3 estimates it (k3), summed over the mask, ()."""
    log_ratio = torch.where(mask, log_probs - old_log_probs, 0.0)
    return ((log_ratio.exp() - 1) - log_ratio).sum()


def adapt_kl_coef(kl_coef: float, kl: float, target: float, episodes: int, horizon: int) -> float:
    """Returns the KL coefficient after `episodes` episodes of mean KL `kl` per response (arXiv 1909.08593, 2.2)."""
    error = min(max(kl / target - 1.0, -0.2), 0.2)
    return kl_coef * (1.0 + error * episodes / horizon)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns) over valid tokens; NaN where the returns do not vary, or are none."""
    returns, values = returns[mask], values[mask]
    if len(returns) == 0:
        return float("nan")
    variance = returns.var(unbiased=False)
    return float(1 - (returns - values).var(unbiased=False) / variance) if variance > 0 else float("nan")


def sums_of(figures: Mapping[str, Sequence[Tensor]]) -> dict[str, float]:
    """Sums up scalars by name, in float64, all read from the device at once; 0 where there is none."""
    flat = [value.float() for values in figures.values() for value in values]
    read = iter(torch.stack(flat).tolist() if flat else [])
    return {name: sum(next(read) for _ in values) for name, values in figures.items()}
