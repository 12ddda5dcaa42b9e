"""The mathematics that the algorithms are made of: pure functions of tensors.

Shapes: B rows (one turn each), T response tokens, padded on the right; N rows of a whole rollout. `mask` (B, T) is True
on response tokens. Nothing outside the mask ever changes a result. Sources: PPO, arXiv 1707.06347; GAE, arXiv
1506.02438; the details for language models, arXiv 2403.17031; KL in the reward, arXiv 1909.08593.
"""

from collections.abc import Callable
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

    For watching, and for GRPO: as a loss its gradient is that of the other direction, KL(reference || policy).
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


class Order(NamedTuple):
    """Says which rows of a rollout are the turns of one episode, one after the other, and what follows them."""

    steps: Tensor  # (N,) the env step of each row; rows stand in the order of steps
    envs: Tensor  # (N,) the env of each row; it plays one episode after the other
    over: Tensor  # (N,) bool: no turn of its episode follows in this rollout
    goes_on: Tensor  # (N,) bool: since the rollout ends there, and not the episode
    after: Tensor  # (N,) value of what follows a row that is over, where its episode is only cut there; else 0


def chain_gae(rewards: Tensor, values: Tensor, mask: Tensor, order: Order, gamma: float, gae_lambda: float) -> Tensor:
    """GAE over the response tokens of each episode laid end to end, (N, T): the last step first."""
    n_envs = int(order.envs.max()) + 1
    value, advantage = torch.zeros(n_envs), torch.zeros(n_envs)  # that each env hands to its row before
    advantages = torch.zeros_like(rewards)
    for step in range(int(order.steps.max()), -1, -1):
        rows = torch.nonzero(order.steps == step).squeeze(1)
        envs, over = order.envs[rows], order.over[rows]
        carry = Carry(torch.where(over, order.after[rows], value[envs]), torch.where(over, 0.0, advantage[envs]))
        advantages[rows], carry = gae(rewards[rows], values[rows], mask[rows], carry, gamma, gae_lambda)
        value[envs], advantage[envs] = carry
    return advantages


def compare_in_groups(
    compare: Callable[[Tensor, Tensor], Tensor], rewards: Tensor, mask: Tensor, order: Order, group_size: int
) -> Tensor:
    """Advantages of whole episodes, one an env, on all their tokens, (N, T).

    Args:
        compare: makes advantages, (groups, G), of the summed rewards of episodes, (groups, G), and of which of them are
            sound, (groups, G) bool: one that the env failed at has no token to learn from, and says nothing.
        rewards, mask: (N, T).
        order: each env plays one episode.
        group_size: G; envs 0 to G - 1 are the first group, and so on.
    """
    n_envs = int(order.envs.max()) + 1
    returns = torch.zeros(n_envs).index_add(0, order.envs, rewards.sum(1)).view(-1, group_size)
    sound = torch.zeros(n_envs, dtype=torch.long).index_add(0, order.envs, mask.sum(1)).view(-1, group_size) > 0
    return compare(returns, sound).flatten()[order.envs, None] * mask


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


def score_function_loss(log_probs: Tensor, advantages: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """-log p times the advantage per token, (B, T), whose gradient is REINFORCE's; nothing is clipped."""
    return torch.where(mask, -log_probs * advantages, 0.0), torch.zeros_like(mask)


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
    """KL(old || new) per token as SB3 estimates it (k3), (B, T), 0 outside the mask."""
    log_ratio = torch.where(mask, log_probs - old_log_probs, 0.0)
    return (log_ratio.exp() - 1) - log_ratio


def adapt_kl_coef(kl_coef: float, kl: float, target: float, episodes: int, horizon: int) -> float:
    """Returns the KL coefficient after `episodes` episodes of mean KL `kl` per response (arXiv 1909.08593, 2.2)."""
    error = min(max(kl / target - 1.0, -0.2), 0.2)
    return kl_coef * (1.0 + error * episodes / horizon)
