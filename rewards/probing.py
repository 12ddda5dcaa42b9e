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
from perlhf.errors import UserError
from perlhf.options import option
from rewards.linear_fit import STRENGTHS, Examples, Linear, fit_path, grouped_folds, losses, out_of_fold
from rewards.preferences import Learned
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
MEASURED = 256  # records whose log p says whether it counts: one number is fitted to them
NEXT_TO_NONE = (1e-4,)  # a penalty, of one weight
_SHARES = (0.2, 0.4, 0.6, 0.8)  # of the layers, after which states are read; the last ones too of a model with
_FEW_LAYERS = 12  # or fewer: of a deep one they are about the next token, cost a fifth more, and told less


class Tried(NamedTuple):
    """Says how well one reading does on records that its fits have not seen, at its best strength."""

    reading: Reading
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
    if read_layer == "auto" and reads_layers(backbone.model):
        below = sorted({round(share * count) for share in _SHARES} - {0, count})
        layers = [*below, None] if count <= _FEW_LAYERS else list(below)
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


def examples_of(data: Learned, states: States, reading: Reading, log_prob_weight: float = 0.0) -> Examples:
    """Makes what a logistic regression takes of the states of records: of pairs the differences.

    Args:
        data: n records.
        states: of their responses.
        reading: which of them.
        log_prob_weight: of log p of the response, which is added to the logits.
    """
    targets, offsets = (values.double() for values in data.preferences.targets(data.records))
    if log_prob_weight:
        offsets = offsets + log_prob_weight * _compared(_log_probs(states), data)
    return Examples(_compared(states.of[reading].double(), data), targets, offsets, data.preferences.samples == 1)


def _compared(values: Tensor, data: Learned) -> Tensor:
    """Returns of values (n * rows of a record, ...) the differences within pairs, or them as they are, (n, ...)."""
    return values if data.preferences.samples == 1 else values[0::2] - values[1::2]


def _log_probs(states: States) -> Tensor:
    assert states.log_probs is not None, "log p was not asked for"
    return states.log_probs.double()


def try_all(
    data: Learned, states: States, log_prob_weight: float | None = None, folds: int = FOLDS, seed: int = 0
) -> list[Tried]:
    """Tries every reading on records that its fits have not seen, those of one first user turn being in one fold.

    Args:
        data: records of at least two first user turns.
        states: of their responses, by what may be read.
        log_prob_weight: of log p of the response, where it is given.
        folds: how many.
        seed: of the folds.

    Raises:
        UserError: all records have one first user turn.
    """
    if len(set(data.groups)) < 2:
        raise UserError(
            f"{len(data.records)} records of one first user turn: none can be held out to choose a "
            "probe; give records of more prompts, or --start random."
        )
    numbers, found = grouped_folds(data.groups, folds, seed), []
    for reading in states.of:
        examples = examples_of(data, states, reading, log_prob_weight or 0.0)
        logits = out_of_fold(examples, numbers)
        of_each = losses(logits, examples)
        k = int(of_each.mean(0).argmin())
        scores = logits[:, k] - data.preferences.targets(data.records)[1]  # less the margins
        found.append(Tried(reading, STRENGTHS[k], scores, of_each[:, k]))
    return found


def fit_log_prob_weight(data: Learned, states: States, choice: Tried, folds: int = FOLDS, seed: int = 0) -> float:
    """Fits the weight of log p beside what a reading says of records that it has not seen; 0 where log p adds nothing.

    It adds something where the loss on records that neither has seen falls by more than its standard error: log p takes
    the layers above the one that is read, and rewards what the backbone would say anyway. Less likely responses are
    never rewarded.
    """
    if states.log_probs is None:
        return 0.0
    log_probs = _compared(_log_probs(states), data)
    known = log_probs.isfinite().nonzero().squeeze(1)
    targets, offsets = (values.double()[known] for values in data.preferences.targets(data.records))
    examples = Examples(log_probs[known, None], targets, offsets + choice.scores[known], intercept=False)
    groups = [data.groups[i] for i in known.tolist()]
    if len(set(groups)) < 2:
        return 0.0
    logits = out_of_fold(examples, grouped_folds(groups, folds, seed), NEXT_TO_NONE)[:, 0]
    gain = losses(examples.offsets, examples) - losses(logits, examples)
    (linear,) = fit_path(examples, NEXT_TO_NONE)
    return max(0.0, float(linear.weights[0])) if float(gain.mean()) > standard_error(gain) else 0.0


def standard_error(values: Tensor) -> float:
    """Computes the standard error of a mean of values (n,); infinite of one."""
    return float(values.std() / len(values) ** 0.5) if len(values) > 1 else float("inf")


class Choice(NamedTuple):
    """Says what a probe reads, and how it was found.

    Attributes:
        tried: all readings.
        best: the one of the least loss.
        log_prob_weight: of log p of the response.
        given: whether that weight was given, and the reading is fitted beside it.
    """

    tried: list[Tried]
    best: Tried
    log_prob_weight: float
    given: bool


def choose(
    data: Learned, states: States, log_prob_weight: float | None = None, folds: int = FOLDS, seed: int = 0
) -> Choice:
    """Tries every reading, takes the one of the least loss, and asks whether log p adds to it; see `try_all`."""
    tried = try_all(data, states, log_prob_weight, folds, seed)
    best = min(tried, key=lambda each: each.loss)
    if log_prob_weight is not None:
        return Choice(tried, best, log_prob_weight, given=True)
    return Choice(tried, best, fit_log_prob_weight(data, states, best, folds, seed), given=False)


def fit_probe(data: Learned, states: States, choice: Choice, reading: Tried | None = None) -> Probe:
    """Fits what was chosen on records, of whose responses these are the states; or another `reading` that was tried."""
    best = reading or choice.best
    weight = choice.log_prob_weight if best is choice.best or choice.given else 0.0
    examples = examples_of(data, states, best.reading, weight if choice.given else 0.0)
    (linear,) = fit_path(examples, [best.strength])
    return Probe(best.reading, linear, weight, best.strength)


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
