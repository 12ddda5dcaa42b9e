"""Does the reward reach the weights? Checks of a trainer by rewards, and by weights, that are not the real ones.

Before the first update a few rows are paid +1 and -1 instead of what they were. Then what must follow is known without
the trainer: the gradient is that of the log-probabilities of what was paid, turns with the rewards, and is none where
all are paid alike. Then the policy is nudged, so that it is not the reference any more: what samples, what scores and
what trains must all have noticed, and the reference must not.

All of it goes through the code that trains (`PPO.learned_from`, `PPO.backward`, `score_rollout`), and is held
against plain forwards without its shortcuts. Nothing is left of it: weights are put back bit for bit, gradients are
cleared, no random state is touched, and what is kept of the rollout's frozen layers stays as it is.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from agents.algorithms import ALGORITHMS
from agents.algorithms.functional import masked_mean
from agents.hyperparameters import Hyperparameters
from agents.merging import taken
from agents.policy import LoRAPolicy
from agents.preflight import TOLERANCE, Check
from agents.rollout import Rollout, ScoreSettings, credited, score_rollout
from agents.steps import Step
from backbones import group
from backbones.draws import draw, row_seeds, uniforms
from backbones.engine.engine import LocalEngine
from backbones.forward import chosen_log_probs, response_logits, speak
from backbones.log_probs import is_large
from backbones.model.tokens import TokenBatch

if TYPE_CHECKING:
    from agents.ppo import PPO

_ROWS, _SHARE = 8, 16  # rows that are looked at: so many at most, and one in so many that the update goes through
_SAMPLED = 8  # tokens that the nudged policy says for each of them
_NUDGE, _FROM_ZERO = 0.05, 0.02  # of the size of a tensor's numbers, and where they are all 0
_SMALL = 1e-6  # length of a gradient below which its direction says nothing

_OF_SCORING = (
    "scoring by another role or at another temperature than `policy.temperature`; prompts or responses that are cut or "
    "shifted in a batch; wrong positions or padding"
)

Gradient = list[Tensor]  # of each parameter


class Paid(NamedTuple):
    """The gradients of what policy and value train on some rows, for one way to pay them."""

    policy: Gradient
    value: Gradient


def checks(trainer: "PPO", h: Hyperparameters) -> list[Check]:
    """Returns the checks on the last rollout of `trainer`, before its first update.

    Args:
        trainer: which is afterwards what it was.
        h: its hyperparameters, the clip range as a number.
    """
    policy, rollout, settings = trainer.policy, trainer.rollout, trainer.score_settings
    assert rollout is not None
    found = [_advantages(rollout, settings), _ends(policy, rollout)]
    if trainer.n_updates == 0:  # else an episode may have begun before
        found.append(_payments(rollout, settings))
    signs = signs_of(rollout, settings.group_size)
    rows = rows_to_pay(rollout, signs, max(2, min(_ROWS, len(rollout) * h.n_epochs // _SHARE)))
    if rows:
        with policy.backbone.frozen_states.kept(0):
            found += [*_rewards(trainer, h, signs, rows), *_roles(policy, rollout, settings, rows)]
        policy.optimizer.zero_grad(set_to_none=True)
    return found


# 1. What follows from the scores.


def _advantages(rollout: Rollout, settings: ScoreSettings) -> Check:
    anew, mask = credited(rollout, settings), rollout.response_mask
    gap = float(((anew.advantages - rollout.advantages) * mask).abs().max())
    if anew.returns is not None and rollout.returns is not None:
        gap = max(gap, float(((anew.returns - rollout.returns) * mask).abs().max()))
    causes = "advantages of other rows, shifted by a token, or of scores that changed since; returns without values"
    limit = 1e-4 * max(1.0, float((anew.advantages * mask).abs().max()))
    return Check("advantages follow from the scores", gap <= limit, f"largest difference {gap:.1e}", causes)


def _ends(policy: LoRAPolicy, rollout: Rollout) -> Check:
    room = min(policy.max_new_tokens, policy.backbone.max_response_tokens)
    right = sum(len(row) >= room or ended for row, ended in zip(rollout.responses, rollout.ended.tolist(), strict=True))
    causes = "the end token is dropped behind the sampler, or the response is cut a second time"
    question, found = f"responses end, or are cut at {room} tokens", f"{right} of {len(rollout)} rows"
    return Check(question, right == len(rollout), found, causes)


def _payments(rollout: Rollout, settings: ScoreSettings) -> Check:
    """Holds the scores of each episode that ended against what SB3's monitor of the env added up."""
    assert rollout.monitored is not None
    scores = settings.scale * (rollout.scores + settings.missing_eos_penalty * ~rollout.ended)
    pairs = [(float(scores[e].sum()), float(rollout.monitored[e[-1]])) for e in episodes_of(rollout)]
    known = [(ours, theirs) for ours, theirs in pairs if np.isfinite(theirs)]
    right = sum(abs(ours - theirs) <= 1e-3 * max(1.0, abs(theirs)) for ours, theirs in known)
    causes = "rewards of another env or of another step; a reward that is changed on the way"
    found = f"{right} of {len(known)} episodes as their monitor says"
    return Check("scores are what the env paid", right == len(known), found, causes)


# 2. Other rewards.


def episodes_of(rollout: Rollout) -> list[list[int]]:
    """Returns the rows of each episode, or of its part in this rollout, in their order; env by env."""
    found: dict[int, list[list[int]]] = {}
    for row, (env, over) in enumerate(zip(rollout.order.envs.tolist(), rollout.order.over.tolist(), strict=True)):
        found.setdefault(env, [[]])[-1].append(row)
        if over:
            found[env].append([])
    return [episode for env in sorted(found) for episode in found[env] if episode]


def signs_of(rollout: Rollout, group_size: int) -> Tensor:
    """Returns +1 or -1 for the rows of each episode, (N,): as many of each in a group, 0 for one that is left over.

    So the mean of a group is 0. An episode without a token to learn from has 0 too.
    """
    groups: dict[int, list[list[int]]] = {}
    for episode in episodes_of(rollout):
        if rollout.response_mask[episode].any():
            env = int(rollout.order.envs[episode[0]])
            groups.setdefault(env // group_size if group_size > 1 else 0, []).append(episode)
    signs = torch.zeros(len(rollout))
    for episodes in groups.values():
        for number, episode in enumerate(episodes[: len(episodes) // 2 * 2]):
            signs[episode] = (1.0, -1.0)[number % 2]
    return signs


def rows_to_pay(rollout: Rollout, signs: Tensor, count: int) -> list[int]:
    """Returns up to `count` rows of different responses, half of them of each sign."""
    seen: set[tuple[int, ...]] = set()
    found: dict[float, list[int]] = {1.0: [], -1.0: []}
    for row in torch.nonzero((signs != 0) & rollout.response_mask.any(1)).flatten().tolist():
        of_sign, response = found[float(signs[row])], tuple(rollout.responses[row])
        if len(of_sign) < count // 2 and response not in seen:
            seen.add(response)
            of_sign.append(row)
    return sorted([*found[1.0], *found[-1.0]])


def paid(rollout: Rollout, settings: ScoreSettings, amounts: Tensor, known: bool) -> Rollout:
    """Returns the rollout as if each episode had been paid an amount at its end, and nothing else counted.

    Args:
        rollout: the real one, from a policy with any KL.
        settings: how it was scored; without its discount, decay and KL here.
        amounts: of each row's episode, (N,).
        known: whether the value function foretold it. Else it foretold nothing.
    """
    ends = [[row for row in e if rollout.response_mask[row].any()][-1:] for e in episodes_of(rollout)]
    scores, mask = torch.zeros(len(rollout)), rollout.response_mask
    for end in ends:
        scores[end] = amounts[end]
    values = None if rollout.values is None else amounts[:, None] * mask * known
    order = rollout.order._replace(after=torch.zeros(len(rollout)))
    foretold = replace(
        rollout, scores=scores, values=values, order=order, reference_log_probs=rollout.old_log_probs
    )  # so that there is no KL
    found = credited(foretold, settings._replace(kl_coef=0.0, gamma=1.0, gae_lambda=1.0))
    if rollout.values is None:
        return found
    surprise = 0.0 if known else amounts[:, None]
    return replace(found, values=rollout.values, returns=(rollout.values + surprise) * mask)


def _gradients(trainer: "PPO", h: Hyperparameters, rollout: Rollout, rows: Sequence[int]) -> Paid:
    """Computes the gradients that an optimizer step on some rows would take."""
    learned, _ = trainer.learned_from(taken(rollout, rows), h)
    trainer.policy.optimizer.zero_grad(set_to_none=True)
    if len(learned):
        trainer.backward(learned, list(range(len(learned))), replace(h, ent_coef=0.0), values_alone=False)
    return _taken(trainer.policy)


def _plain_gradients(policy: LoRAPolicy, rollout: Rollout, amounts: Tensor, normalizes: bool) -> tuple[Paid, Tensor]:
    """Computes what the gradients should be but for their length, and log p of the tokens, (B, T), by plain forwards.

    Of the policy -A log p with the amount as A, of the value -amount V: the errors of V are the amounts.
    """
    mask = rollout.response_mask[:, : max(map(len, rollout.responses))]
    mean = masked_mean(amounts[:, None] * mask, mask) if normalizes else 0.0
    weights = ((amounts[:, None] - mean) * mask).to(policy.backbone.device)
    policy.optimizer.zero_grad(set_to_none=True)
    said = torch.zeros(mask.shape)
    for row in range(len(rollout)):
        prompt, response = [rollout.prompts[row]], [rollout.responses[row]]
        with policy.policy_role.active() as model:
            log_probs = _log_probs(model, policy, prompt, response)[0]
            said[row, : len(log_probs)] = log_probs.detach().cpu()
            (-weights[row, : len(log_probs)] * log_probs).sum().backward()
        if policy.value_role is not None:
            with policy.value_role.active():
                values = policy.values(policy.batch(prompt, response))[0]
                (-float(amounts[row]) * values).sum().backward()
    return _taken(policy), said


def _rewards(trainer: "PPO", h: Hyperparameters, signs: Tensor, rows: Sequence[int]) -> list[Check]:
    policy, rollout, settings = trainer.policy, trainer.rollout, trainer.score_settings
    assert rollout is not None
    algorithm, exact = ALGORITHMS[h.algorithm], policy.backbone.precision == "fp32"
    right, said = _plain_gradients(policy, taken(rollout, rows), signs[rows], algorithm.normalizes)
    idle = [p for p in policy.backbone.model.parameters() if p.grad is None]  # but those of others have been learning
    up = _gradients(trainer, h, paid(rollout, settings, signs, known=False), rows)
    own = {id(p) for p in policy.parameters()}
    strays = sum(p.grad is not None and id(p) not in own for p in idle)
    trains = _trains(policy, up, right, strays)
    down = _gradients(trainer, h, paid(rollout, settings, -signs, known=False), rows)
    alike = _gradients(trainer, h, paid(rollout, settings, torch.ones_like(signs), known=True), rows)
    mask, old = rollout.response_mask[rows][:, : said.shape[1]], rollout.old_log_probs[rows][:, : said.shape[1]]
    found = [_same("log-probabilities are those of a plain forward", policy, said, old, mask, _OF_SCORING), trains]
    found += _follows("policy", up.policy, down.policy, alike.policy, right.policy, exact)
    if algorithm.has_values and h.vf_coef:
        found += _follows("value", up.value, down.value, alike.value, right.value, exact)
    return found


def _trains(policy: LoRAPolicy, up: Paid, right: Paid, strays: int) -> Check:
    """Looks at what has a gradient now and what the optimizer holds."""
    own = {id(p): p for role in policy.roles for p in role.parameters().values()}
    groups = policy.optimizer.param_groups
    held = {id(p) for of_group in groups for p in of_group["params"]}
    pairs = [*zip(up.policy, right.policy, strict=True), *zip(up.value, right.value, strict=True)]
    idle = sum(bool(wanted.any()) and not bool(got.any()) for got, wanted in pairs)
    uphill = any(of_group.get("maximize") for of_group in groups)
    missing, foreign = len(own.keys() - held), len(held - own.keys())
    found = (
        f"of {len(own)} tensors {idle} without a gradient and {missing} not in the optimizer, which holds {foreign} "
        f"others{' and goes uphill' if uphill else ''}; {strays} others have a gradient"
    )
    causes = (
        "the adapter is not trained (another role is active or requires_grad is off), the base trains along, or the "
        "optimizer was made of other parameters"
    )
    return Check(
        "just policy and value are trained", not (idle or strays or missing or foreign or uphill), found, causes
    )


def _follows(name: str, up: Gradient, down: Gradient, alike: Gradient, right: Gradient, exact: bool) -> list[Check]:
    """Returns the checks of a role's gradients: with rewards, with these negated, and with equal ones."""
    length, plain = _length(up), _length(right)
    if 0 < plain < _SMALL:
        return []  # what is said is certain: no reward could move it
    toward, turned, left = _cosine(up, right), _cosine(up, down), _length(alike) / max(length, _SMALL)
    said = {"policy": "log p of what was paid", "value": "V of what was paid"}[name]
    return [
        Check(
            f"the {name}'s gradient is that of the reward", toward > (0.99 if exact else 0.9),
            f"cosine {toward:.4f} to that of {said}, length {length:.1e}",
            "no gradient: advantages are 0, all is clipped, or detached" if length == 0 else
            "the sign; advantages unused or of another row; a mask shifted by a token; another role's outputs",
        ),
        Check(
            f"the {name}'s gradient turns with the reward", turned < -0.9,
            f"cosine {turned:.4f} where rewards are negated", "the loss does not follow the advantages or returns",
        ),
        Check(
            f"the {name} has nothing to learn from equal rewards", left < 1e-3,
            f"gradient of {left:.1e} of its length where all are paid alike",
            "the loss has another part than the reward; advantages that are no differences",
        ),
    ]  # fmt: skip


# 3. Other weights.


@contextmanager
@torch.no_grad()
def nudged(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Moves parameters a little inside, always alike; after it they are what they were, bit for bit."""
    generator, before = torch.Generator().manual_seed(0), [p.detach().clone() for p in parameters]
    try:
        for parameter in parameters:
            size = _NUDGE * float(parameter.square().mean().sqrt()) or _FROM_ZERO
            parameter.add_(size * torch.randn(parameter.shape, generator=generator).to(parameter))
        yield
    finally:
        for parameter, kept in zip(parameters, before, strict=True):
            parameter.copy_(kept)


@torch.no_grad()
def _roles(policy: LoRAPolicy, rollout: Rollout, settings: ScoreSettings, rows: Sequence[int]) -> list[Check]:
    """Returns the checks of who speaks: with a nudged policy all must say something else, but reference and value."""
    some, count = taken(rollout, rows), len(rows) * group.size()  # each process scores its part: as many
    prompts, responses = some.prompts * group.size(), some.responses * group.size()
    scores, dones = np.zeros(count), np.ones(count, bool)
    step = Step(prompts, responses, scores, dones, {}, frozenset(), None, range(count))
    with nudged(list(policy.policy_role.parameters().values())):
        scored = score_rollout(policy, [step], {}, settings._replace(group_size=1))
        again = taken(scored, range(len(rows)))
        with policy.policy_role.active() as model:
            plain = _log_probs(model, policy, some.prompts, some.responses).cpu()
        part = replace(again, response_mask=some.response_mask).part(range(len(rows)), policy)
        spoken = policy.outputs(policy.trained_roles[0], part.batch, with_entropy=False).spoken
        drawn = _drawn(policy, some.prompts)
    assert spoken is not None
    width = plain.shape[1]
    mask, before = some.response_mask[:, :width], some.old_log_probs[:, :width]
    moved = float(((plain - before) * mask).abs().max())
    same = [
        ("scoring follows the policy's weights", again.old_log_probs, plain, _OF_SCORING),
        ("training follows the policy's weights", spoken[0].cpu(), plain, "training by another role; dropout is on"),
        ("the reference keeps still", again.reference_log_probs, some.reference_log_probs, "it is the policy"),
    ]
    if again.values is not None and some.values is not None and not policy.shares_states:
        same.append(("the value keeps still", again.values, some.values, "it is read off the policy's states"))
    causes = "the adapter has no effect: its scale is 0, or another role is active in its place"
    found = [Check("the policy's weights have a say", moved > 0, f"log p moves by up to {moved:.1e}", causes)]
    found += [_same(name, policy, a[:, :width], b[:, :width], mask, why) for name, a, b, why in same]
    return found if drawn is None else [*found, drawn]


def _drawn(policy: LoRAPolicy, prompts: list[list[int]]) -> Check | None:
    """Draws again, from plain forwards, what the policy samples; None where a server does, which is held to account."""
    if not isinstance(policy.engine, LocalEngine):
        return None
    seeds, room = row_seeds(policy.seed, range(len(prompts)), 0), policy.max_new_tokens
    policy.max_new_tokens = min(room, _SAMPLED)
    try:
        responses, _ = policy.sample(prompts, seeds)
    finally:
        policy.max_new_tokens = room
    numbers, right, count = uniforms(seeds, _SAMPLED), 0, sum(map(len, responses))
    with policy.policy_role.active() as model:
        for prompt, response, of_row in zip(prompts, responses, numbers, strict=True):
            logits = response_logits(model, _batch(policy, [prompt], [response]), 1.0)[0].cpu()
            drawn = draw(logits, policy.temperature, of_row[: len(response)])
            right += int((drawn == torch.tensor(response)).sum())
    limit = {"fp32": 0.99}.get(policy.backbone.precision, 0.8)  # a last bit may decide between two tokens
    causes = "another role samples, at another temperature, from cut prompts, or only from the likeliest tokens"
    found = f"{right} of {count} tokens are what it would draw"
    return Check("samples are the policy's own", right >= limit * count, found, causes)


# What both have in common.


def _batch(policy: LoRAPolicy, prompts: Sequence[list[int]], responses: Sequence[list[int]]) -> TokenBatch:
    return TokenBatch.of(prompts, responses, policy.backbone.pad_id, policy.backbone.device)


def _log_probs(
    model: PreTrainedModel, policy: LoRAPolicy, prompts: Sequence[list[int]], responses: Sequence[list[int]]
) -> Tensor:
    """Computes log p of response tokens, (B, T), without lines that are shared and states that are kept."""
    batch = _batch(policy, prompts, responses)
    if is_large(model, batch.response_ids.numel()):
        return speak(model, batch, policy.temperature).log_probs
    return chosen_log_probs(response_logits(model, batch, policy.temperature), batch.response_ids)


def _taken(policy: LoRAPolicy) -> Paid:
    """Returns the gradients as they are now, 0 where there is none."""
    of_roles = (policy.policy_parameters, {} if policy.value_role is None else policy.value_parameters)
    return Paid(*([torch.zeros_like(p) if p.grad is None else p.grad for p in role.values()] for role in of_roles))


def _length(gradient: Gradient) -> float:
    return float(sum(part.double().square().sum() for part in gradient)) ** 0.5


def _cosine(one: Gradient, other: Gradient) -> float:
    product = float(sum((a.double() * b.double()).sum() for a, b in zip(one, other, strict=True)))
    return product / max(_length(one) * _length(other), _SMALL**2)


def _same(question: str, policy: LoRAPolicy, ours: Tensor, theirs: Tensor, mask: Tensor, causes: str) -> Check:
    """Compares (B, T) figures; in half precision, where a last bit grows, in their median."""
    gaps = (ours - theirs).abs()[mask]
    exact = policy.backbone.precision == "fp32"
    gap, limit = float(gaps.max() if exact else gaps.median()), TOLERANCE[policy.backbone.precision]
    found = f"{'largest' if exact else 'median'} difference {gap:.1e}"
    return Check(question, gap < (10 * limit if exact else limit), found, causes)
