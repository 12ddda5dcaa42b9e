"""One rollout: what the policy said, what it was worth, and the advantages that follow. One row is one turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from agents.functional import Carry, gae, kl_k1, token_rewards
from agents.policy import LoRAPolicy, Observation
from backbones.forward import log_probs_of, map_batches
from backbones.model.tokens import TokenBatch, length_mask, like_lengths


class Step(NamedTuple):
    """One env step of all envs."""

    prompts: list[list[int]]  # token ids, one row an env
    responses: list[list[int]]  # token ids as sampled, the end token included
    scores: np.ndarray  # (n_envs,) rewards of the env
    dones: np.ndarray  # (n_envs,) bool
    cut_at: dict[int, Observation]  # env -> last observation, where the episode was truncated
    failed: frozenset[int] = frozenset()  # envs that failed at this step, whose rows are not learned from
    sampled_log_probs: list[list[float]] | None = None  # of each response token, where a server sampled


class Part(NamedTuple):
    """Some rows of a rollout as an update reads them: (B, T) tensors where the policy is."""

    batch: TokenBatch
    mask: Tensor  # True on the tokens that are learned from
    old_log_probs: Tensor
    old_values: Tensor
    advantages: Tensor
    returns: Tensor


@dataclass
class Rollout:
    """Rows in step order: row `step * n_envs + env`. Tensors are (N, T) on the CPU; none is read outside the mask."""

    prompts: list[list[int]]
    responses: list[list[int]]
    response_mask: Tensor
    scores: Tensor  # (N,) as trained on: the env's reward by its scale, less the penalty for not ending
    ended: Tensor  # (N,) bool: the response has an end token or a stop string
    failed: Tensor  # (N,) bool: the env failed at this turn; its mask is empty, so nothing is learned from it
    old_log_probs: Tensor
    reference_log_probs: Tensor
    entropy: Tensor
    values: Tensor
    rewards: Tensor  # per token
    advantages: Tensor
    returns: Tensor
    batches: Sequence[Sequence[int]] | None = None  # rows that were scored in one forward, where that was said
    sampled_log_probs: Tensor | None = None  # as a server sampled; None where the policy did, as `old_log_probs` say

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def kl(self) -> Tensor:
        """k1 per token, (N, T)."""
        return kl_k1(self.old_log_probs, self.reference_log_probs) * self.response_mask

    @property
    def response_kl(self) -> Tensor:
        """k1 of each response that the env did not fail at, in nats, (responses,)."""
        return self.kl.sum(1)[~self.failed]

    def minibatches(self, epochs: int, size: int, rng: np.random.Generator) -> list[list[int]]:
        """Row numbers of each optimizer step: every row once an epoch, in an order that `rng` draws."""
        orders = [rng.permutation(len(self)).tolist() for _ in range(epochs)]
        return [order[i : i + size] for order in orders for i in range(0, len(self), size)]

    def chunks(self, rows: Sequence[int], size: int) -> list[list[int]]:
        """These rows in parts of like lengths, at most `size` in each, so that little of a forward is padding."""
        return chunks_of([len(p) + len(r) for p, r in zip(self.prompts, self.responses, strict=True)], rows, size)

    def part(self, rows: Sequence[int], policy: LoRAPolicy) -> Part:
        """Some rows, with their tokens as `policy` takes them."""
        batch = policy.batch([self.prompts[i] for i in rows], [self.responses[i] for i in rows])
        tensors = (self.response_mask, self.old_log_probs, self.values, self.advantages, self.returns)
        # As wide as these rows need: the rollout is as wide as its longest response.
        return Part(batch, *(tensor[rows, : batch.length].to(batch.input_ids.device) for tensor in tensors))


def chunks_of(lengths: Sequence[int], rows: Sequence[int], size: int) -> list[list[int]]:
    """Puts some rows in parts of like lengths, at most `size` in each."""
    return [[rows[k] for k in chunk] for chunk in like_lengths([lengths[i] for i in rows], size)]


class ScoreSettings(NamedTuple):
    """Says how rewards and advantages are computed from a rollout."""

    kl_coef: float
    missing_eos_penalty: float
    gamma: float
    gae_lambda: float
    scale: float = 1.0  # what scores are divided by


@torch.no_grad()
def score_rollout(
    policy: LoRAPolicy,
    steps: Sequence[Step],
    last_observation: Observation,
    settings: ScoreSettings,
    batches: Sequence[Sequence[int]] | None = None,
) -> Rollout:
    """Log-probabilities, values, KL, rewards, advantages and returns of what was rolled out.

    Args:
        policy: who acted; it has not been updated since.
        steps: in time order.
        last_observation: what follows the last step, to bootstrap episodes that the rollout cuts.
        settings: see `ScoreSettings`.
        batches: rows to score in one forward each; by default as many as suit scoring.
    """
    prompts = [row for step in steps for row in step.prompts]
    responses = [row for step in steps for row in step.responses]
    failed = torch.tensor([env in step.failed for step in steps for env in range(len(step.prompts))])
    mask = length_mask(responses) & ~failed[:, None]
    backbone = policy.backbone
    old, entropies, values = map_batches(backbone, prompts, responses, policy.log_probs_and_values, batches)
    reference = log_probs_of(policy.reference_role, prompts, responses, policy.temperature, batches)
    ended = torch.tensor([backbone.has_ended(row) for row in responses])
    scores = torch.tensor(np.concatenate([step.scores for step in steps]), dtype=torch.float32) / settings.scale
    scores = scores - settings.missing_eos_penalty * ~ended
    rewards = token_rewards(scores, kl_k1(old, reference), mask, settings.kl_coef)
    advantages = chain_gae(policy, steps, rewards, values, mask, last_observation, settings)
    return Rollout(
        prompts, responses, mask, scores, ended, failed, old, reference, entropies, values, rewards, advantages,
        returns=(advantages + values) * mask, batches=batches, sampled_log_probs=_sampled_log_probs(steps),
    )  # fmt: skip


def _sampled_log_probs(steps: Sequence[Step]) -> Tensor | None:
    """Returns what a server said of the tokens that it sampled, (N, T); None where the policy sampled them itself."""
    if any(step.sampled_log_probs is None for step in steps):
        return None
    rows = [torch.tensor(row) for step in steps for row in step.sampled_log_probs or []]
    return pad_sequence(rows, batch_first=True)


def chain_gae(
    policy: LoRAPolicy,
    steps: Sequence[Step],
    rewards: Tensor,
    values: Tensor,
    mask: Tensor,
    last_observation: Observation,
    settings: ScoreSettings,
) -> Tensor:
    """GAE over the response tokens of each episode laid end to end, (N, T): the last step first."""
    n_envs = len(steps[0].prompts)
    zeros = torch.zeros(n_envs)
    follows = zeros if steps[-1].dones.all() else policy.predict_values(last_observation).cpu()
    carry = Carry(follows, zeros)
    advantages = torch.zeros_like(rewards)
    for number in range(len(steps) - 1, -1, -1):
        step, rows = steps[number], slice(number * n_envs, (number + 1) * n_envs)
        done = torch.tensor(step.dones)
        after = zeros.clone()  # terminated: nothing follows
        for env, observation in step.cut_at.items():
            after[env] = policy.predict_values(one_row(observation))[0]
        carry = Carry(torch.where(done, after, carry.value), torch.where(done, 0.0, carry.advantage))
        advantages[rows], carry = gae(
            rewards[rows], values[rows], mask[rows], carry, settings.gamma, settings.gae_lambda
        )
    return advantages


def one_row(observation: Observation) -> Observation:
    """Returns a single observation as a batch of one."""
    return {key: [value] for key, value in observation.items()}
