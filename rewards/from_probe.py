"""Trains adapters from a probe: the head begins where it was fitted, and what is kept is not worse than the probe.

A fifth of the records is held out, those of one first user turn together. The head begins at a probe on the others, and
after each pass the loss on the held-out fifth says whether what came out is better, each at its best scale: a penalty
holds the scores of a probe down, and to raise them is no merit of adapters. Adapters are kept where their loss is lower
by more than twice its standard error, since the probe that they are held against learns from the fifth too in the end;
else that probe is.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from backbones import group
from backbones.backbone import Backbone
from backbones.checkpoints import Saved
from backbones.fit import FitSettings, fit
from backbones.fit_checkpoints import FitCheckpoints
from backbones.pooled import Reading
from backbones.roles import Role
from rewards.linear_fit import fit_path, grouped_folds, losses
from rewards.preferences import Learned
from rewards.probing import (
    MEASURED,
    NEXT_TO_NONE,
    Choice,
    Probe,
    ReadingOptions,
    choose,
    examples_of,
    fit_probe,
    put_into,
    readings_to_try,
    standard_error,
)
from rewards.reward_model import RewardModel
from rewards.states import States, read_states, with_all_log_probs

_PARTS = 5  # one of which is held out
_ERRORS = 2.0  # standard errors that adapters have to be better by


class Start(NamedTuple):
    """Holds a probe with what it was chosen and fitted by."""

    states: States  # of the responses of all records
    choice: Choice
    probe: Probe  # fitted on all records


class Adapted(NamedTuple):
    """Says what training from a probe came to.

    Attributes:
        model: the adapted one, at its best.
        history: step, held-out loss and accuracy, of the probe on the other records (step 0) and after each pass.
        best: the step that the model is of; None where none was better than the probe.
    """

    model: RewardModel
    history: list[dict[str, float]]
    best: int | None


def probe_first(backbone: Backbone, data: Learned, options: ReadingOptions, seed: int = 0) -> Start:
    """Reads the states of all responses off the bare backbone, chooses a reading and fits a probe.

    Args:
        backbone: the frozen model.
        data: to fit on.
        options: what is open.
        seed: of the folds.

    Raises:
        UserError: no such layer; records of one first user turn alone.
    """
    readings = readings_to_try(backbone, options.pooling, options.read_layer)
    weight = options.log_prob_weight
    measured = MEASURED if weight is None else len(data.records) if weight else 0
    states = read_states(backbone.reference, data.rows, readings, measured)
    choice = group.from_first(lambda: choose(data, states, weight, seed=seed))  # the same on all, whatever they round
    if choice.log_prob_weight:  # then it is a part of every score
        states = with_all_log_probs(backbone.reference, data.rows, states)
    return Start(states, choice, group.from_first(lambda: fit_probe(data, states, choice)))


def adapt(
    start: Start,
    data: Learned,
    role: Role,
    settings: FitSettings,
    rng: np.random.Generator,
    log: Path,
    seed: int = 0,
    checkpoints: FitCheckpoints | None = None,
) -> Adapted:
    """Trains a role from a probe; see `backbones.fit.fit`.

    Args:
        start: the probe, and the states of all of `data`.
        data: to learn from, less what is held out.
        role: an adapter with a head, or a whole model.
        settings: how to train; a head's rate of None is the rate times the length of the probe's weights, as a drawn
            head has length 1.
        rng: of the order of the records.
        log: the file to write.
        seed: of what is held out.
        checkpoints: where it is saved on the way.
    """
    folds = grouped_folds(data.groups, _PARTS, seed)
    learned, held_out = ((folds != 0).nonzero().squeeze(1), (folds == 0).nonzero().squeeze(1))
    fitted, unseen = data.at(learned.tolist()), data.at(held_out.tolist())
    per_record = data.preferences.samples
    read = start.states.at(learned, per_record)
    probe = group.from_first(lambda: fit_probe(fitted, read, start.choice))  # the same on all, whatever they round
    model = put_into(probe, role)
    at_first = probe.scores(start.states.at(held_out, per_record))
    passes = _Passes(model, unseen, at_first)
    if settings.head_learning_rate is None:
        settings = settings._replace(head_learning_rate=settings.learning_rate * float(probe.linear.weights.norm()))
    if checkpoints is not None:
        checkpoints.kept = passes
    fit(role, fitted.lengths, fitted.loss(model), settings, rng, log, passes.look, checkpoints)
    passes.put_best()
    return Adapted(model, passes.history, passes.best)


class _Passes:
    """Looks at the adapted model after each pass, and keeps it where it is better than the probe, at its best.

    Args:
        model: the adapted one.
        unseen: what is held out.
        at_first: (n,) scores of the probe on it.
    """

    def __init__(self, model: RewardModel, unseen: Learned, at_first: Tensor) -> None:
        self._model, self._unseen = model, unseen
        self._before = losses_at_best_scale(unseen, at_first)
        self._lowest = float(self._before.mean())
        self._saved: dict[str, Tensor] = {}
        self.history = [figures(unseen, at_first, 0)]
        self.best: int | None = None

    def look(self, step: int) -> None:
        """Looks at the model after so many steps."""
        scores = self._model.raw_scores_of(self._unseen.rows).flatten()
        self.history.append(figures(self._unseen, scores, step))
        now = losses_at_best_scale(self._unseen, scores)
        gain = self._before - now
        is_better = float(now.mean()) < self._lowest and float(gain.mean()) > _ERRORS * standard_error(gain)
        if group.from_first(lambda: is_better):
            self._lowest, self.best = float(now.mean()), step
            self._saved = {name: p.detach().clone() for name, p in self._model.role.parameters().items()}
            self._model.centre = centre_of(self._unseen, scores)

    @torch.no_grad()
    def put_best(self) -> None:
        """Puts the weights of the best pass in place of the last one's, where one was better than the probe."""
        for name, parameter in self._model.role.parameters().items():
            parameter.copy_(self._saved.get(name, parameter))

    def get_state(self) -> Saved:
        known = {"history": self.history, "best": self.best, "lowest": self._lowest, "centre": self._model.centre}
        return Saved(dict(self._saved), known)

    def set_state(self, saved: Saved) -> None:
        self._saved, state = dict(saved.tensors), saved.state
        self.history, self.best, self._lowest = state["history"], state["best"], state["lowest"]
        self._model.centre = state["centre"]


def describe_choice(adapted: Adapted) -> str:
    """Returns a line on which is kept, the probe or what was trained from it."""
    first, best = adapted.history[0], min(adapted.history[1:], key=lambda figures: figures["loss"])
    kept = f"kept: step {adapted.best}"
    if adapted.best is None:
        better = best["loss"] < first["loss"]
        kept = "the probe is kept" + (f", as that is within {_ERRORS} standard errors" if better else "")
    return (
        f"loss on a fifth of the records, held out: probe {first['loss']:.4f} (accuracy {first['accuracy']:.3f}), "
        f"at its lowest after training {best['loss']:.4f} ({best['accuracy']:.3f}); {kept}"
    )


def losses_at_best_scale(data: Learned, scores: Tensor) -> Tensor:
    """Computes the loss of each record under raw scores, (n,), times the number from 0 up that lowers the mean most.

    Of labels a constant is added too.
    """
    states = States({Reading(): scores.cpu()[:, None]}, None)
    examples = examples_of(data, states, Reading())
    (linear,) = fit_path(examples, NEXT_TO_NONE)
    linear = linear._replace(weights=linear.weights.clamp(min=0.0))  # scores that say the opposite say nothing
    return losses(linear.logits(examples), examples)


def figures(data: Learned, scores: Tensor, step: int) -> dict[str, float]:
    """Returns step, mean loss at the best scale and accuracy, under raw scores."""
    right = data.preferences.loss(scores, data.records)[1]
    loss = float(losses_at_best_scale(data, scores).mean())
    return {"step": step, "loss": loss, "accuracy": right / len(data.records)}


def centre_of(data: Learned, scores: Tensor) -> float:
    """Computes the mean raw score of the responses that were liked, which score 0 on average then; 0 without any."""
    first = scores.view(len(data.records), -1)[:, 0]
    liked = [i for i, record in enumerate(data.records) if data.preferences.good(record) is not None]
    return float(first[liked].mean()) if liked else 0.0
