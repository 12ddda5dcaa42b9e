"""One rollout: what the policy said, what it was worth, and the advantages that follow. One row is one turn."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.algorithms import ALGORITHMS, Algorithm
from agents.algorithms.functional import Order, kl_k1, token_rewards
from agents.policy import LoRAPolicy, Observation
from agents.steps import Step, first_of_equal_rows, order_of, own_rows, values_after
from backbones import group
from backbones.forward import log_probs_of, map_batches
from backbones.model.tokens import TokenBatch, length_mask, like_lengths
from backbones.passes import SCORED
from backbones.shortcuts.equal_prompts import first_of_each


class Part(NamedTuple):
    """Some rows of a rollout as an update reads them: (B, T) tensors where the policy is."""

    batch: TokenBatch
    mask: Tensor  # True on the tokens that are learned from
    old_log_probs: Tensor
    reference_log_probs: Tensor
    advantages: Tensor
    counts: Tensor  # (B,) how many equal rows each stands for
    old_values: Tensor | None
    returns: Tensor | None


@dataclass
class Rollout:
    """Rows in the order of steps, then of envs. Tensors are (N, T) on the CPU; none is read outside the mask."""

    prompts: list[list[int]]
    responses: list[list[int]]
    response_mask: Tensor
    scores: Tensor  # (N,) as trained on: the env's reward by its scale, less the penalty for not ending
    ended: Tensor  # (N,) bool: the response has an end token or a stop string
    failed: Tensor  # (N,) bool: the env failed at this turn; its mask is empty, so nothing is learned from it
    order: Order  # which rows are one episode
    old_log_probs: Tensor
    reference_log_probs: Tensor
    entropy: Tensor
    values: Tensor | None  # None where the algorithm has none
    rewards: Tensor  # per token
    advantages: Tensor
    returns: Tensor | None = None  # advantages + values
    counts: Tensor | None = None  # (N,) how many equal rows each stands for; None: one each
    batches: Sequence[Sequence[int]] | None = None  # rows that were scored in one forward, where that was said
    sampled_log_probs: list[list[float]] | None = None  # of each response token, where a server sampled
    all_tokens: int | None = None  # with those of rows that were left out, where equal ones were merged
    monitored: Tensor | None = None  # (N,) what the env's monitor says an episode that ends there was paid, else NaN

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

    def tokens(self, rows: Sequence[int]) -> tuple[float, float]:
        """Returns what sums over some rows are divided by: losses, and figures of what is trained on.

        Where rows were left out, losses are means over all that there were: these rows have their share of them.
        """
        if self.counts is None or self.all_tokens is None:
            return (max(1, int(self.response_mask[rows].sum())),) * 2
        trained_on = float((self.response_mask[rows].sum(1) * self.counts[rows]).sum())
        return self.all_tokens * len(rows) / len(self), max(1.0, trained_on)

    def chunks(self, rows: Sequence[int], size: int) -> list[list[int]]:
        """This process's of these rows in parts of like lengths, at most `size` in each, so that little is padding."""
        lengths = [len(p) + len(r) for p, r in zip(self.prompts, self.responses, strict=True)]
        prompts = self.prompts if self.batches is None else None  # where it was said, these are the same parts
        return chunks_of(lengths, group.own_part(lengths, rows), size, prompts)

    def part(self, rows: Sequence[int], policy: LoRAPolicy) -> Part:
        """Some rows, with their tokens as `policy` takes them; for none of them one that nothing is learned from."""
        learned, rows = len(rows) > 0, rows or [0]
        batch = policy.batch([self.prompts[i] for i in rows], [self.responses[i] for i in rows])
        mask, device = self.response_mask & learned, batch.input_ids.device
        counts = torch.ones(len(rows)) if self.counts is None else self.counts[rows]

        def of_rows(tensor: Tensor) -> Tensor:  # as wide as these need: the rollout is as wide as its longest response
            return tensor[rows, : batch.length].to(device)

        spoken = (of_rows(mask), of_rows(self.old_log_probs), of_rows(self.reference_log_probs))
        of_values = (None if tensor is None else of_rows(tensor) for tensor in (self.values, self.returns))
        return Part(batch, *spoken, of_rows(self.advantages), counts.to(device), *of_values)


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
    algorithm: Algorithm = ALGORITHMS["ppo"]
    group_size: int = 1


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
    algorithm, backbone, order = settings.algorithm, policy.backbone, order_of(steps)
    prompts = [row for step in steps for row in step.prompts]
    responses = [row for step in steps for row in step.responses]
    said = [row for step in steps for row in step.sampled_log_probs or []]
    failed = torch.tensor([row in step.failed for step in steps for row in range(len(step.prompts))])
    if not algorithm.has_values:  # then an episode that failed says nothing of its turns before
        failed = torch.isin(order.envs, order.envs[failed])
    mask = length_mask(responses) & ~failed[:, None]
    lengths = [len(p) + len(r) for p, r in zip(prompts, responses, strict=True)]
    merges = batches is None and not algorithm.has_values
    first = first_of_equal_rows(prompts, responses) if merges else list(range(len(prompts)))  # whose figures each has
    own = [row for row in own_rows(order) if first[row] == row]
    parts = chunks_of(lengths, own, SCORED, prompts) if batches is None else batches
    forward = policy.log_probs_and_values if algorithm.has_values else policy.log_probs_and_entropy
    old, entropies, *found = map_batches(backbone, prompts, responses, forward, parts)
    reference = log_probs_of(policy.reference_role, prompts, responses, policy.temperature, parts)
    if algorithm.has_values:
        order = order._replace(after=values_after(policy, steps, order, last_observation))
    group.add_up([old, entropies, *found, reference, order.after])  # each is 0 where another process has it
    old, entropies, reference = (of_rows[first] for of_rows in (old, entropies, reference))
    ended = torch.tensor([backbone.has_ended(row) for row in responses])
    scores = torch.tensor(np.concatenate([step.scores for step in steps]), dtype=torch.float32) / settings.scale
    scores = scores - settings.missing_eos_penalty * ~ended
    told = torch.tensor([step.monitored.get(row, math.nan) for step in steps for row in range(len(step.prompts))])
    unknown = torch.zeros_like(old)  # until the rewards are known
    rollout = Rollout(
        prompts, responses, mask, scores, ended, failed, order, old, reference, entropies,
        found[0] if found else None, rewards=unknown, advantages=unknown, batches=batches,
        sampled_log_probs=said or None, monitored=told,
    )  # fmt: skip
    return credited(rollout, settings)


def credited(rollout: Rollout, settings: ScoreSettings) -> Rollout:
    """Returns a rollout with the rewards, advantages and returns that follow from its scores, KL and values."""
    algorithm, mask = settings.algorithm, rollout.response_mask
    score_weight, kl_weight = algorithm.reward_weights(settings.kl_coef)
    kl = kl_k1(rollout.old_log_probs, rollout.reference_log_probs)
    rollout = replace(rollout, rewards=token_rewards(score_weight * rollout.scores, kl, mask, kl_weight))
    rollout.advantages = algorithm.advantages(rollout, settings)
    if rollout.values is not None:
        rollout.returns = (rollout.advantages + rollout.values) * mask
    return rollout
