"""Fits a probe: a linear reward on the states of the frozen backbone, and chooses where it reads.

Features first, adapters after: a head that is fitted before anything else moves keeps what the backbone knows (arXiv
2202.10054). What is chosen, all by the loss of logistic regressions on records whose first user turn they have not
seen: the layer, the pooling, the strength of the penalty, and whether log p of the response counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from backbones.backbone import Backbone
from backbones.model.anatomy import layer_count
from backbones.pooled import POOLINGS, Pooling, Reading, check_reading, reads_layers
from backbones.roles import HeadRole, Role
from perlhf.conversation import first_user_turn
from perlhf.errors import UserError
from perlhf.options import option
from rewards.linear_fit import STRENGTHS, Examples, Linear, fit_path, grouped_folds, losses, out_of_fold
from rewards.preferences import Preferences
from rewards.reward_model import RewardModel
from rewards.states import States


@dataclass
class ReadingOptions:
    """What a reward model reads."""

    group: ClassVar[str] = "what is read"
    pooling: Literal["auto", "last", "mean"] = option(
        "auto",
        "read the state of the response's end token (last) or the mean over its tokens (mean); auto takes what a probe "
        "finds better, and last without one",
    )
    read_layer: str = option(
        "auto",
        "after how many layers, or last; the layers above it do not run; auto takes what a probe finds best of a "
        "handful, and the last without one",
    )
    log_prob_weight: float | None = option(
        None,
        "weight of the response's log-probability in the score; 0 reads the head alone; by default what a probe finds, "
        "and 0.1 without one",
        low=0,
    )


FOLDS = 5  # in which a probe is tried before it is fitted on all
_SHARES = (0.2, 0.4, 0.6, 0.8, 1.0)  # of the layers, after which states are read


class Tried(NamedTuple):
    """Says how well one reading does on records that its fits have not seen, at its best strength."""

    reading: Reading
    log_prob_weight: float | None  # of log p, in score per nat, as it was given; None where it is fitted
    strength: float
    scores: Tensor  # (n,), of pairs the chosen response's less the other's
    losses: Tensor  # (n,)

    @property
    def loss(self) -> float:
        return float(self.losses.mean())


class Probe(NamedTuple):
    """A linear reward.

    Attributes:
        reading: which states it reads.
        linear: the head's weights, in float64, and a bias, 0 of pairs.
        log_prob_weight: of log p of the response, in score per nat.
        strength: of the penalty that it was fitted with.
    """

    reading: Reading
    linear: Linear
    log_prob_weight: float
    strength: float

    def scores(self, states: States) -> Tensor:
        """Returns the raw scores of responses, (n,) float64."""
        scores = states.of[self.reading].double() @ self.linear.weights + self.linear.bias
        return scores if not self.log_prob_weight else scores + self.log_prob_weight * _log_probs(states)


def readings_to_try(backbone: Backbone, pooling: str, read_layer: str) -> list[Reading]:
    """Lists what a probe may read.

    Args:
        backbone: whose layers.
        pooling: "last", "mean" or "auto", both.
        read_layer: a number, "last" or "auto", a handful of layers from low to the last.

    Raises:
        UserError: no such layer.
    """
    count = layer_count(backbone.model)
    layers = [layer_of(backbone, read_layer)]
    if read_layer == "auto":
        numbers = sorted({max(1, round(share * count)) for share in _SHARES}) if reads_layers(backbone.model) else []
        layers = [*(number for number in numbers if number < count), None]
    poolings: Sequence[Pooling] = [p for p in POOLINGS if pooling in (p, "auto")]
    return [Reading(p, layer) for layer in layers for p in poolings]


def layer_of(backbone: Backbone, read_layer: str) -> int | None:
    """Returns the layer that an option names, None for the last; "auto" names the last.

    Raises:
        UserError: it is no number, or there is no such layer.
    """
    if read_layer in ("last", "auto"):
        return None
    if not read_layer.isdecimal():
        raise UserError(f"read_layer: expected 'auto', 'last' or the number of a layer, got {read_layer!r}.")
    return check_reading(backbone.model, int(read_layer))


def examples_of(
    preferences: Preferences, records: Sequence[Any], states: States, reading: Reading, log_prob_weight: float | None
) -> Examples:
    """Makes what a logistic regression takes of the states of records: of pairs the differences.

    Args:
        preferences: what the records are.
        records: n of them.
        states: of their responses.
        reading: which of them.
        log_prob_weight: of log p of the response, which is added to the logits; where None it is one more feature, the
            last.
    """
    targets, offsets = (values.double() for values in preferences.targets(records))
    features = states.of[reading].double()
    if log_prob_weight is None:
        features = torch.cat([features, _log_probs(states)[:, None]], dim=1)
    inputs = _compared(features, preferences)
    if log_prob_weight:
        offsets = offsets + log_prob_weight * _compared(_log_probs(states)[:, None], preferences)[:, 0]
    return Examples(inputs, targets, offsets, intercept=preferences.samples == 1)


def _compared(values: Tensor, preferences: Preferences) -> Tensor:
    """Returns of values (n * rows of a record, d) the differences within pairs, or them as they are, (n, d)."""
    return values if preferences.samples == 1 else values[0::2] - values[1::2]


def _log_probs(states: States) -> Tensor:
    assert states.log_probs is not None, "log p was not asked for"
    return states.log_probs.double()


def try_all(
    preferences: Preferences,
    records: Sequence[Any],
    states: States,
    log_prob_weight: float | None,
    folds: int = FOLDS,
    seed: int = 0,
) -> list[Tried]:
    """Tries every reading on records that fits have not seen, and the best of them with log p where that is open.

    Args:
        preferences: what the records are.
        records: at least two of different first user turns.
        states: of their responses.
        log_prob_weight: of log p of the response; None where the fit is to say it.
        folds: of the records, those of one first user turn in one.
        seed: of the folds.
    """
    groups = [first_user_turn(record.prompt) for record in records]
    if len(set(groups)) < 2:
        raise UserError(
            f"all {len(records)} records have the same first user turn, so none can be held out to choose a probe; "
            "give records of more prompts, or --start random."
        )
    numbers = grouped_folds(groups, folds, seed)

    def tried(reading: Reading, weight: float | None) -> Tried:
        examples = examples_of(preferences, records, states, reading, weight)
        logits = out_of_fold(examples, numbers)
        of_each = losses(logits, examples)
        k = int(of_each.mean(0).argmin())
        scores = logits[:, k] - preferences.targets(records)[1]  # less the margins
        return Tried(reading, weight, STRENGTHS[k], scores, of_each[:, k])

    found = [tried(reading, log_prob_weight or 0.0) for reading in states.of]
    if log_prob_weight is None and states.log_probs is not None:
        found.append(tried(min(found, key=lambda t: t.loss).reading, None))
    return found


def chosen(tried: Sequence[Tried]) -> Tried:
    """Returns the reading of the least loss; log p counts only where it lowers that by more than its standard error.

    It takes the layers above the one that is read, and rewards what the backbone would say anyway.
    """
    best = min((t for t in tried if t.log_prob_weight is not None), key=lambda t: t.loss)
    for other in (t for t in tried if t.log_prob_weight is None):
        gain = best.losses - other.losses
        if float(gain.mean()) > float(gain.std()) / len(gain) ** 0.5:
            return other
    return best


def fit_probe(preferences: Preferences, records: Sequence[Any], states: States, choice: Tried) -> Probe:
    """Fits what was chosen on records, of whose responses these are the states."""
    weight = choice.log_prob_weight
    examples = examples_of(preferences, records, states, choice.reading, weight)
    (linear,) = fit_path(examples, [choice.strength])
    if weight is not None:
        return Probe(choice.reading, linear, weight, choice.strength)
    weight = float(linear.weights[-1])
    if weight <= 0:  # likelier is worse: true of these records at most, and nothing to reward
        return fit_probe(preferences, records, states, choice._replace(log_prob_weight=0.0))
    return Probe(choice.reading, Linear(linear.weights[:-1], linear.bias), weight, choice.strength)


def described(probe: Probe) -> dict[str, Any]:
    """Returns what summary.json says of where a probe reads."""
    return {"pooling": probe.reading.pooling, "read_layer": probe.reading.layer} | {
        "log_prob_weight": probe.log_prob_weight,
        "strength": probe.strength,
    }


@torch.no_grad()
def put_into(probe: Probe, role: Role, **settings: Any) -> RewardModel:
    """Makes a reward model of a role whose head becomes a probe's; further `settings` are `RewardModel`'s."""
    assert role.head is not None
    role.head.weight.copy_(probe.linear.weights[None])
    return RewardModel(
        role, log_prob_weight=probe.log_prob_weight, reading=probe.reading, bias=probe.linear.bias, **settings
    )


def alone(probe: Probe, backbone: Backbone, **settings: Any) -> RewardModel:
    """Makes a reward model that is a probe and nothing else: a head on the bare backbone."""
    return put_into(probe, HeadRole(backbone, "reward", backbone.reference), **settings)
