"""Who samples, who scores, who trains? Checks of a policy whose weights are nudged, and of what it said in a rollout.

Before the first update the policy says what the reference says, so that a role in the place of another goes unnoticed.
With a nudge to its weights all must say something else, but the reference and the value. What they say is held against
plain forwards: no lines that are shared, no states that are kept, no adapter that is merged.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from agents.merging import taken
from agents.policy import LoRAPolicy
from agents.preflight import TOLERANCE, Check
from agents.rollout import Rollout, ScoreSettings, score_rollout
from agents.steps import Step
from backbones import group
from backbones.draws import draw, row_seeds, uniforms
from backbones.engine.engine import LocalEngine
from backbones.forward import chosen_log_probs, response_logits, speak
from backbones.log_probs import is_large
from backbones.model.tokens import TokenBatch

if TYPE_CHECKING:
    from agents.ppo import PPO

_SAMPLED = 8  # tokens of a response that are drawn again
_ROUNDING = 1e-5  # of a probability: this near to the border between two tokens either may be drawn
_NUDGE, _FROM_ZERO = 0.05, 0.02  # of the size of a tensor's numbers, and where they are all 0

SCORING = (
    "scoring by another role or at another temperature than `policy.temperature`; prompts or responses that are cut or "
    "shifted in a batch; wrong positions or padding"
)


@contextmanager
@torch.no_grad()
def nudged(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Moves parameters a little inside, always alike; after it they are what they were, bit for bit."""
    generator, before = torch.Generator().manual_seed(0), [p.detach().clone() for p in parameters]
    try:
        for parameter in parameters:
            size = _NUDGE * float(parameter.square().mean().sqrt()) or _FROM_ZERO
            noise = size * torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise.to(parameter.device, parameter.dtype))
        yield
    finally:
        for parameter, kept in zip(parameters, before, strict=True):
            parameter.copy_(kept)


@torch.no_grad()
def checks(trainer: "PPO", rows: Sequence[int]) -> list[Check]:
    """Returns the checks of who speaks, on some rows of the last rollout of `trainer`, before its next one."""
    policy, rollout, settings = trainer.policy, trainer.rollout, trainer.score_settings
    assert rollout is not None
    some, own = taken(rollout, rows), isinstance(policy.engine, LocalEngine)  # a server is held to account elsewhere
    turns = (trainer.turns - 1 - rollout.order.steps.max() + some.order.steps).tolist()
    envs = some.order.envs.tolist()
    seeds = [row_seeds(policy.seed, [env], turn)[0] for env, turn in zip(envs, turns, strict=True)]
    found = [_drawn("samples are the policy's own", policy, some.prompts, some.responses, seeds)] if own else []
    with nudged(list(policy.policy_role.parameters().values())):
        again = _scored(policy, some, settings)
        with policy.policy_role.active() as model:
            plain = plain_log_probs(model, policy, some.prompts, some.responses).cpu()
        part = replace(again, response_mask=some.response_mask[:, : plain.shape[1]]).part(range(len(rows)), policy)
        spoken = policy.outputs(policy.trained_roles[0], part.batch, with_entropy=False).spoken
        if own:
            said = _few_tokens(policy, some.prompts, seeds)
            found.append(_drawn("sampling follows the policy's weights", policy, some.prompts, said, seeds))
    assert spoken is not None
    mask = some.response_mask[:, : plain.shape[1]]

    def compare(question: str, ours: Tensor, theirs: Tensor, causes: str) -> None:
        width = mask.shape[1]
        found.append(same(question, policy, ours[:, :width], theirs[:, :width], mask, causes))

    moved = float((plain - some.old_log_probs[:, : plain.shape[1]]).abs()[mask].max()) if mask.any() else 1.0
    why = "the adapter has no effect: its scale is 0, or another role is active in its place"
    found.append(Check("the policy's weights have a say", moved > 0, f"log p moves by up to {moved:.1e}", why))
    compare("scoring follows the policy's weights", again.old_log_probs, plain, SCORING)
    compare("training follows the policy's weights", spoken[0].cpu(), plain, "training by another role; dropout is on")
    why = "the policy itself, or an adapter that is trained, stands for the reference"
    compare("the reference keeps still", again.reference_log_probs, some.reference_log_probs, why)
    if again.values is not None and some.values is not None and not policy.shares_states:
        compare("the value keeps still", again.values, some.values, "it is read off the policy's states")
    _, weight = settings.algorithm.reward_weights(settings.kl_coef)
    owed = -weight * (plain - again.reference_log_probs[:, : plain.shape[1]])
    compare("the KL is taken off the reward", again.rewards, owed, "its sign, its place, or its coefficient")
    return found


def _scored(policy: LoRAPolicy, some: Rollout, settings: ScoreSettings) -> Rollout:
    """Scores rows again, as episodes that end at once and are paid nothing."""
    count = len(some) * group.size()  # each process scores its part: as many
    prompts, responses = some.prompts * group.size(), some.responses * group.size()
    step = Step(prompts, responses, np.zeros(count), np.ones(count, bool), {}, envs=range(count))
    unpaid = settings._replace(missing_eos_penalty=0.0, group_size=1)
    return taken(score_rollout(policy, [step], {}, unpaid), range(len(some)))


def _few_tokens(policy: LoRAPolicy, prompts: list[list[int]], seeds: Sequence[int]) -> list[list[int]]:
    room = policy.max_new_tokens
    policy.max_new_tokens = min(room, _SAMPLED)
    try:
        return policy.sample(prompts, seeds)[0]
    finally:
        policy.max_new_tokens = room


def _drawn(
    question: str, policy: LoRAPolicy, prompts: list[list[int]], responses: list[list[int]], seeds: Sequence[int]
) -> Check:
    """Draws the first tokens again from plain forwards, by the numbers of the same seeds."""
    right, count, numbers = 0, 0, uniforms(seeds, _SAMPLED)
    with policy.policy_role.active() as model:
        for prompt, whole, of_row in zip(prompts, responses, numbers, strict=True):
            response = whole[:_SAMPLED]
            logits = response_logits(model, _batch(policy, [prompt], [response]), 1.0)[0, : len(response)].cpu()
            around = [(of_row[: len(response)] + by).clamp(0, 1 - 1e-12) for by in (-_ROUNDING, 0, _ROUNDING)]
            drawn = torch.stack([draw(logits, policy.temperature, each) for each in around])
            right += int((drawn == torch.tensor(response)).any(dim=0).sum())
            count += len(response)
    limit = 0.99 if policy.backbone.precision == "fp32" else 0.8  # a last bit may decide between two tokens
    causes = "another role samples, at another temperature, from other prompts, or from the likeliest tokens alone"
    found = f"{right} of {count} tokens are what it would draw"
    return Check(question, right >= limit * count, found, causes)


def _batch(policy: LoRAPolicy, prompts: Sequence[list[int]], responses: Sequence[list[int]]) -> TokenBatch:
    return TokenBatch.of(prompts, responses, policy.backbone.pad_id, policy.backbone.device)


def plain_log_probs(
    model: PreTrainedModel, policy: LoRAPolicy, prompts: Sequence[list[int]], responses: Sequence[list[int]]
) -> Tensor:
    """Computes log p of response tokens, (B, T), without lines that are shared and states that are kept."""
    batch = _batch(policy, prompts, responses)
    if is_large(model, batch.response_ids.numel()):
        return speak(model, batch, policy.temperature).log_probs
    return chosen_log_probs(response_logits(model, batch, policy.temperature), batch.response_ids)


def same(question: str, policy: LoRAPolicy, ours: Tensor, theirs: Tensor, mask: Tensor, causes: str) -> Check:
    """Compares (B, T) figures; in half precision, where a last bit grows, in their median."""
    gaps = (ours - theirs).abs()[mask] if mask.any() else torch.zeros(1)
    exact = policy.backbone.precision == "fp32"
    gap, limit = float(gaps.max() if exact else gaps.median()), TOLERANCE[policy.backbone.precision]
    found = f"{'largest' if exact else 'median'} difference {gap:.1e}"
    return Check(question, gap < (10 * limit if exact else limit), found, causes)
