"""One rollout: what the policy said, what it was worth, and the advantages that follow. One row is one turn."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.functional import Carry, gae, kl_k1, token_rewards
from agents.policy import LoRAPolicy, Observation
from backbones import group
from backbones.forward import log_probs_of, map_batches
from backbones.model.tokens import TokenBatch, length_mask, like_lengths
from backbones.sharding import in_step
from backbones.shortcuts.equal_prompts import first_of_each

_SCORED = 16  # rows in a forward without gradients


class Step(NamedTuple):
    """One env step of all envs, those of other processes too."""

    prompts: list[list[int]]  # token ids, one row an env
    responses: list[list[int]]  # token ids as sampled, the end token included
    scores: np.ndarray  # (n_envs,) rewards of the env
    dones: np.ndarray  # (n_envs,) bool
    cut_at: dict[int, Observation]  # env -> last observation, where an episode of this process was truncated
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
    sampled_log_probs: list[list[float]] | None = None  # of each response token, where a server sampled

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
        """This process's of these rows in parts of like lengths, at most `size` in each, so that little is padding."""
        lengths = [len(p) + len(r) for p, r in zip(self.prompts, self.responses, strict=True)]
        prompts = self.prompts if self.batches is None else None  # where it was said, these are the same parts
        return chunks_of(lengths, group.own_part(lengths, rows), size, prompts)

    def part(self, rows: Sequence[int], policy: LoRAPolicy) -> Part:
        """Some rows, with their tokens as `policy` takes them; for none of them one that nothing is learned from."""
        learned, rows = len(rows) > 0, rows or [0]
        batch = policy.batch([self.prompts[i] for i in rows], [self.responses[i] for i in rows])
        mask = self.response_mask & learned
        tensors = (mask, self.old_log_probs, self.values, self.advantages, self.returns)
        # As wide as these rows need: the rollout is as wide as its longest response.
        return Part(batch, *(tensor[rows, : batch.length].to(batch.input_ids.device) for tensor in tensors))


def chunks_of(
    lengths: Sequence[int], rows: Sequence[int], size: int, prompts: Sequence[Sequence[int]] | None = None
) -> list[list[int]]:
    """Puts some rows in parts of like lengths, at most `size` in each; with prompts, equal ones side by side."""
    equal = None if prompts is None else first_of_each([prompts[i] for i in rows])
    return [[rows[k] for k in chunk] for chunk in like_lengths([lengths[i] for i in rows], size, equal)]


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

    Every process runs the model on a part of the rows, and then all have the figures of the whole rollout.

    Args:
        policy: who acted; it has not been updated since.
        steps: in time order, of all processes.
        last_observation: what follows the last step in this process's envs, to bootstrap episodes that are cut there.
        settings: see `ScoreSettings`.
        batches: rows that this process scores in one forward each; by default its envs', as many as suit scoring.
    """
    prompts = [row for step in steps for row in step.prompts]
    responses = [row for step in steps for row in step.responses]
    said = [row for step in steps for row in step.sampled_log_probs or []]
    failed = torch.tensor([env in step.failed for step in steps for env in range(len(step.prompts))])
    mask = length_mask(responses) & ~failed[:, None]
    backbone, n_envs = policy.backbone, len(steps[0].prompts)
    lengths = [len(p) + len(r) for p, r in zip(prompts, responses, strict=True)]
    own = [step * n_envs + env for step in range(len(steps)) for env in group.share(n_envs, "envs")]
    parts = chunks_of(lengths, own, _SCORED, prompts) if batches is None else batches
    old, entropies, values = map_batches(backbone, prompts, responses, policy.log_probs_and_values, parts)
    reference = log_probs_of(policy.reference_role, prompts, responses, policy.temperature, parts)
    after = values_after(policy, steps, last_observation)
    group.add_up([old, entropies, values, reference, after])  # each is 0 where another process has it
    ended = torch.tensor([backbone.has_ended(row) for row in responses])
    scores = torch.tensor(np.concatenate([step.scores for step in steps]), dtype=torch.float32) / settings.scale
    scores = scores - settings.missing_eos_penalty * ~ended
    rewards = token_rewards(scores, kl_k1(old, reference), mask, settings.kl_coef)
    advantages = chain_gae(steps, rewards, values, mask, after, settings)
    return Rollout(
        prompts, responses, mask, scores, ended, failed, old, reference, entropies, values, rewards, advantages,
        returns=(advantages + values) * mask, batches=batches, sampled_log_probs=said or None,
    )  # fmt: skip


def values_after(policy: LoRAPolicy, steps: Sequence[Step], last_observation: Observation) -> Tensor:
    """Computes V of what follows where an episode is cut, by a time limit or by the rollout's end, (steps + 1, n_envs).

    0 where an episode terminated or goes on, and for the envs of other processes.
    """
    n_envs = len(steps[0].prompts)
    after = torch.zeros(len(steps) + 1, n_envs)
    if not steps[-1].dones.all():
        after[-1, list(group.share(n_envs, "envs"))] = policy.predict_values(last_observation).cpu()
    cuts = [(number, env) for number, step in enumerate(steps) for env in step.cut_at]
    for cut in in_step(policy.backbone, cuts, None):
        if cut is None:
            policy.predict_values({key: value[:1] for key, value in last_observation.items()})
        else:
            number, env = cut
            after[number, env] = policy.predict_values(one_row(steps[number].cut_at[env]))[0]
    return after


def chain_gae(
    steps: Sequence[Step], rewards: Tensor, values: Tensor, mask: Tensor, after: Tensor, settings: ScoreSettings
) -> Tensor:
    """GAE over the response tokens of each episode laid end to end, (N, T): the last step first."""
    n_envs = len(steps[0].prompts)
    carry = Carry(after[-1], torch.zeros(n_envs))
    advantages = torch.zeros_like(rewards)
    for number in range(len(steps) - 1, -1, -1):
        rows, done = slice(number * n_envs, (number + 1) * n_envs), torch.tensor(steps[number].dones)
        carry = Carry(torch.where(done, after[number], carry.value), torch.where(done, 0.0, carry.advantage))
        advantages[rows], carry = gae(
            rewards[rows], values[rows], mask[rows], carry, settings.gamma, settings.gae_lambda
        )
    return advantages


def one_row(observation: Observation) -> Observation:
    """Returns a single observation as a batch of one."""
    return {key: [value] for key, value in observation.items()}
