"""Does the reward reach the weights? Checks of a trainer by rewards that are not the real ones.

Before the first update a few rows are paid +1 and -1 instead of what they were. What must follow is then known without
the trainer: the gradient is that of the log-probabilities of what was paid, turns with the rewards, and is none where
all are paid alike and the value function knows it.

All of it goes through the code that trains (`credited`, `PPO.learned_from`, `PPO.backward`) and is held against plain
forwards of one row (`agents.who_speaks`). Nothing is left of it: gradients are cleared, weights are what they were bit
for bit, no random state is touched, and what is kept of the rollout's frozen layers stays as it is.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents import who_speaks
from agents.algorithms import ALGORITHMS
from agents.algorithms.functional import masked_mean
from agents.hyperparameters import Hyperparameters
from agents.merging import taken
from agents.policy import LoRAPolicy
from agents.preflight import TOLERANCE, Check
from agents.rollout import Rollout, ScoreSettings, credited
from backbones.roles import Role

if TYPE_CHECKING:
    from agents.ppo import PPO

# Rows that are looked at: one in `_SHARE` that the update goes through, between these.
_FEWEST, _MOST, _SHARE = 4, 8, 16
_SMALL = 1e-6  # length of a gradient below which its direction says nothing
_UNTRAINED = "the adapter is not trained (another role is active, or requires_grad is off)"

Gradient = list[Tensor]  # of each parameter


class Paid(NamedTuple):
    """The gradients of what policy and value train on some rows, for one way to pay them."""

    policy: Gradient
    value: Gradient
    moved: float = 0.0  # KL per token of what is trained to what was scored


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
    if idle := [role.name for role in policy.roles if not _takes_gradients(role)]:
        question, said = "policy and value take gradients", f"no gradient for {', '.join(idle)}"
        return [*found, Check(question, False, said, _UNTRAINED)]
    signs = signs_of(rollout, settings.group_size)
    rows = rows_to_pay(rollout, signs, max(_FEWEST, min(_MOST, len(rollout) * h.n_epochs // _SHARE)))
    with policy.backbone.frozen_states.kept(0):
        if rows:
            found += _rewards(trainer, h, signs, rows)
        found += who_speaks.checks(trainer, rows or [0])
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
            signs[episode] = (1.0, -1.0)[number.bit_count() % 2]  # with no period, so that a shift does not go unseen
    return signs


def rows_to_pay(rollout: Rollout, signs: Tensor, count: int) -> list[int]:
    """Returns up to `count` rows that say different things, half of them of each sign; none where all say the same."""
    seen: set[tuple[tuple[int, ...], tuple[int, ...]]] = set()
    found: dict[float, list[int]] = {1.0: [], -1.0: []}
    for row in torch.nonzero((signs != 0) & rollout.response_mask.any(1)).flatten().tolist():
        of_sign, said = found[float(signs[row])], (tuple(rollout.prompts[row]), tuple(rollout.responses[row]))
        if len(of_sign) < count // 2 and said not in seen:
            seen.add(said)
            of_sign.append(row)
    return sorted([*found[1.0], *found[-1.0]]) if all(found.values()) else []


def paid(rollout: Rollout, settings: ScoreSettings, amounts: Tensor, known: bool) -> Rollout:
    """Returns the rollout as if each episode had been paid an amount at its end, and nothing else counted.

    Args:
        rollout: the real one.
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
    policy = trainer.policy
    learned, _ = trainer.learned_from(taken(rollout, rows), h)
    policy.optimizer.zero_grad(set_to_none=True)
    if not len(learned):
        return _of(policy)
    try:
        sums = trainer.backward(learned, list(range(len(learned))), replace(h, ent_coef=0.0), values_alone=False)
    except RuntimeError as error:
        if "does not require grad" not in str(error):
            raise
        return _of(policy)  # nothing that is trained has a say in the loss
    return _of(policy, sums["approx_kl"] / float(learned.response_mask.sum()))


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
            log_probs = who_speaks.plain_log_probs(model, policy, prompt, response)[0]
            said[row, : len(log_probs)] = log_probs.detach().cpu()
            (-weights[row, : len(log_probs)] * log_probs).sum().backward()
        if policy.value_role is not None:
            with policy.value_role.active():
                values = policy.values(policy.batch(prompt, response))[0]
                (-float(amounts[row]) * values).sum().backward()
    return _of(policy), said


def _rewards(trainer: "PPO", h: Hyperparameters, signs: Tensor, rows: Sequence[int]) -> list[Check]:
    policy, rollout, settings = trainer.policy, trainer.rollout, trainer.score_settings
    assert rollout is not None
    algorithm, exact = ALGORITHMS[h.algorithm], policy.backbone.precision == "fp32"
    right, said = _plain_gradients(policy, taken(rollout, rows), signs[rows], algorithm.normalizes)
    idle = [p for p in policy.backbone.model.parameters() if p.grad is None]  # but those of others that have learned
    # What a group is compared with is its own mean, whatever other groups are paid.
    groups = 3.0 * (rollout.order.envs // settings.group_size)
    amounts = signs + groups if settings.group_size > 1 and not algorithm.has_values else signs
    up = _gradients(trainer, h, paid(rollout, settings, amounts, known=False), rows)
    own = {id(p) for p in policy.parameters()}
    trains = _trains(policy, up, right, sum(p.grad is not None and id(p) not in own for p in idle))
    down = _gradients(trainer, h, paid(rollout, settings, -amounts, known=False), rows)
    alike = _gradients(trainer, h, paid(rollout, settings, torch.ones_like(signs), known=True), rows)
    mask, old = rollout.response_mask[rows][:, : said.shape[1]], rollout.old_log_probs[rows][:, : said.shape[1]]
    found = [
        who_speaks.same("log-probabilities are those of a plain forward", policy, said, old, mask, who_speaks.SCORING),
        _agrees(up.moved, TOLERANCE[policy.backbone.precision] * (10 if exact else 2)),
        trains,
        *_follows("policy", up.policy, down.policy, alike.policy, right.policy, exact),
    ]
    if algorithm.has_values and h.vf_coef:
        found += _follows("value", up.value, down.value, alike.value, right.value, exact)
    return found


def _agrees(moved: float, limit: float) -> Check:
    """Compares what is trained with what was scored: the KL of two that differ by d a token is d^2 / 2."""
    gap = (2 * max(0.0, moved)) ** 0.5
    causes = "dropout is on; prompts or responses are cut, or the temperature is another one, in training alone"
    question, found = "training says what scoring said", f"differences of {gap:.1e} a token"
    return Check(question, gap < limit, found, causes)


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
    causes = f"{_UNTRAINED}, the base trains along, or the optimizer was made of other parameters"
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
            f"the {name} has nothing to learn from equal rewards", left < (1e-3 if exact else 0.1),
            f"gradient of {left:.1e} of its length where all are paid alike",
            "the loss has another part than the reward; advantages that are no differences",
        ),
    ]  # fmt: skip


def _of(policy: LoRAPolicy, moved: float = 0.0) -> Paid:
    """Returns the gradients as they are now, 0 where there is none."""
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in policy.parameters()]
    count = len(policy.policy_parameters)  # which come first
    return Paid(found[:count], found[count:], moved)


def _takes_gradients(role: Role) -> bool:
    with role.active():
        return all(parameter.requires_grad for parameter in role.parameters().values())


def _length(gradient: Gradient) -> float:
    return float(sum(part.double().square().sum() for part in gradient)) ** 0.5


def _cosine(one: Gradient, other: Gradient) -> float:
    product = float(sum((a.double() * b.double()).sum() for a, b in zip(one, other, strict=True)))
    return product / max(_length(one) * _length(other), _SMALL**2)
