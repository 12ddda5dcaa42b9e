"""Looks at the policy on held-out prompts while it learns, keeps the best one, and ends the run at a figure or a KL.

One look is no verdict: with 240 episodes a mean of successes swings by .03 from one to the next. So a look has as many
episodes as the comparison at the end, the same ones every time and answered greedily, and its standard error is logged
beside it. A policy takes the place of the best one where it is better by more than one standard error of the
difference, episode by episode. That is the rule of one standard error (Breiman et al., Classification and Regression
Trees, 1984, section 3.4.3): what is not clearly better does not replace what is nearer to the start.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from agents.watched import Look, Watched
from backbones import group
from backbones.backbone import Backbone
from backbones.roles import Role
from perlhf.errors import UserError, did_you_mean
from perlhf.options import option

MEASURES = ("gold", "score")
BEST = "best"  # the folder of the best policy so far
_COUNTS = ("read_prompts", "cut_prompts", "read_responses", "cut_responses")


@dataclass
class WatchOptions:
    """How a run is watched while it learns."""

    group: ClassVar[str] = "the run"
    eval_every: int = option(0, "updates between looks at --eval-prompts validation episodes", low=0)
    keep_best: Literal["gold", "score"] | None = option(None, "make the policy that was best there the final one")
    stop_at: str | None = option(None, "end where gold there has reached this; score=X is taken too")
    max_kl: float | None = option(None, "end where the KL to SFT is above this, in nats a response", above=0)


class Answered(Protocol):
    """What a policy answered in n episodes; see `evaluation.evaluator.Answers`."""

    rows: list[Any]
    scores: np.ndarray
    golds: np.ndarray | None


class Evaluates(Protocol):
    """Plays held-out episodes; see `evaluation.evaluator.Evaluator`."""

    def answer(self, role: Role, temperature: float) -> Any:
        """One episode from each state; 0 is greedy."""


# The rules: pure functions.


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean of n values and its standard error; 0 for a single one."""
    array = np.asarray(values, dtype=np.float64)
    return float(array.mean()), float(array.std(ddof=1) / math.sqrt(len(array))) if len(array) > 1 else 0.0


def is_better(new: Sequence[float], best: Sequence[float]) -> bool:
    """Returns whether the mean of `new` is above that of `best` by more than a standard error of the difference.

    Args:
        new, best: (n,) what two policies did in the same n episodes.
    """
    gain, error = mean_and_error(np.asarray(new, dtype=np.float64) - np.asarray(best, dtype=np.float64))  # type: ignore[arg-type]
    return gain > error


def target_of(text: str, has_gold: bool) -> tuple[str, float]:
    """Returns what "gold=.8", "score=1.5" or ".8" asks for: a measure and a number.

    Args:
        text: of the option; a number alone is one of gold where there is a judge, else of the score.
        has_gold: whether there is one.

    Raises:
        UserError: it is none of these, or asks for gold where there is no judge.
    """
    name, sign, number = text.rpartition("=")
    name = name.strip() if sign else ("gold" if has_gold else "score")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UserError(f"--stop-at must be gold=X, score=X or a number X, got {text!r}.")
    if name not in MEASURES:
        raise UserError(f"--stop-at {text}: unknown measure {name!r}.{did_you_mean(name, MEASURES)}")
    if name == "gold" and not has_gold:
        raise UserError(f"--stop-at {text}: the task has no judge that gives gold for these data; take score=X.")
    return name, value


def why_to_stop(watched: Watched, stop_at: str | None, max_kl: float | None) -> str | None:
    """Returns in words why a run is over before its last turn; None where it is not."""
    if max_kl is not None and watched.kl is not None and watched.kl > max_kl:
        return f"the KL to SFT, {watched.kl:.2f} nats a response, is above --max-kl {max_kl:g}"
    if stop_at is None or watched.look is None:
        return None
    name, target = target_of(stop_at, watched.look["golds"] is not None)
    mean, error = mean_and_error(values_of_look(watched.look, name))
    if mean < target:
        return None
    return f"held-out {name} {mean:.3f} (standard error {error:.3f}) has reached --stop-at {target:g}"


def values_of_look(look: Look, measure: str) -> list[float]:
    """Returns the figures of a look by "gold" or "score"."""
    values = look["golds"] if measure == "gold" else look["scores"]
    assert values is not None
    return values


def first_of(look: Look) -> int:
    """Returns the number of a look's first episode; older checkpoints do not know it, and began at 0."""
    return look.get("first", 0)


def check_watch(options: WatchOptions, eval_prompts: int, has_gold: bool | None = None) -> None:
    """Refuses options of watching that cannot be met, before anything is learned.

    Args:
        options: as given.
        eval_prompts: how many episodes a look has.
        has_gold: whether the task has a judge; None where that is not known yet.

    Raises:
        UserError: one needs another, or gold where there is none.
    """
    if not options.eval_every:
        for name in ("keep_best", "stop_at"):
            if (value := getattr(options, name)) is not None:
                flag = f"--{name.replace('_', '-')} {value}"
                raise UserError(f"{flag} needs looks at held-out prompts; give --eval-every N, updates between them.")
    elif not eval_prompts:
        raise UserError("--eval-every needs held-out prompts, and --eval-prompts is 0; give how many.")
    if options.stop_at is not None:
        target_of(options.stop_at, has_gold is not False)
    if options.keep_best == "gold" and has_gold is False:
        raise UserError("--keep-best gold: the task has no judge that gives gold for these data; take score.")


# The callback.


class HeldOut(BaseCallback):
    """Looks at the policy at the start, every `eval_every` updates and at the end; says when the run is over.

    A look is a row of its own in the log, `eval/gold` and `eval/score` with their standard errors, at the turn that it
    is of. It draws no random number and leaves counts and kept states as they were, so that a run learns the same with
    looks and without. With several processes each plays its part of the episodes.

    Args:
        evaluator: of the held-out episodes; None where only the KL is watched.
        options: when, and what to do then.
        run: the run folder, for `best/`.
        first: number of the evaluator's first episode in its split.
    """

    def __init__(self, evaluator: Evaluates | None, options: WatchOptions, run: Path, first: int = 0) -> None:
        super().__init__()
        self._evaluator, self._options, self._run, self._first = evaluator, options, run, first

    def _on_training_start(self) -> None:
        self._watch(every=self._options.eval_every)
        if self._options.keep_best is not None and self._watched.best is not None:
            self._write_best()  # a resumed run may find there the best of a later moment

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self._watch(every=self._options.eval_every)

    def _on_rollout_end(self) -> None:
        kl = self.model.rollout.response_kl  # type: ignore[attr-defined]
        if len(kl):
            self._watched.kl = float(kl.mean())

    def _on_training_end(self) -> None:
        self._watch(every=1)

    @property
    def _watched(self) -> Watched:
        return self.model.watched  # type: ignore[attr-defined]

    @property
    def _role(self) -> Role:
        return self.model.policy.policy_role  # type: ignore[return-value]

    def _watch(self, every: int) -> None:
        watched, model = self._watched, self.model
        update = model.n_updates // model.n_epochs  # type: ignore[attr-defined]
        last = watched.look
        seen = last is not None and last["update"] == update and first_of(last) == self._first
        if self._evaluator is not None and every and update % every == 0 and not seen:
            self._look(self._evaluator, update)
        watched.ended = watched.ended or why_to_stop(watched, self._options.stop_at, self._options.max_kl)

    def _look(self, evaluator: Evaluates, update: int) -> None:
        model: Any = self.model
        with model.averaged():
            with undisturbed(model.policy.backbone):
                answers = evaluator.answer(model.policy.policy_role, 0.0)
            golds = None if answers.golds is None else answers.golds.tolist()
            look: Look = {
                "update": update, "step": model.num_timesteps, "first": self._first,
                "scores": answers.scores.tolist(), "golds": golds,
            }  # fmt: skip
            self._watched.look = look
            is_best = self._options.keep_best is not None and self._replaces_best(look, self._options.keep_best)
        self._log(look, answers, is_best)

    def _replaces_best(self, look: Look, by: str) -> bool:
        """Keeps the weights where they are the best so far; those of before were, where they were measured alike."""
        watched, role = self._watched, self._role
        if watched.best is not None and watched.best_by == by:
            new, best = values_of_look(look, by), values_of_look(watched.best, by)
            alike = len(new) == len(best) and first_of(look) == first_of(watched.best)
            if alike and not group.from_first(lambda: is_better(new, best)):
                return False
        watched.best, watched.best_by = look, by
        watched.best_weights = {name: weight.detach().clone() for name, weight in role.parameters().items()}
        self._write_best()
        return True

    def _write_best(self) -> None:
        with best_swapped_in(self._role, self._watched):
            group.from_first(lambda: self._role.save(self._run / BEST))

    def _log(self, look: Look, answers: Answered, is_best: bool) -> None:
        said = []
        for name in MEASURES if look["golds"] is not None else MEASURES[1:]:
            mean, error = mean_and_error(values_of_look(look, name))
            self.logger.record(f"eval/{name}", mean)
            self.logger.record(f"eval/{name}_standard_error", error)
            said.append(f"{name} {mean:.3f} (standard error {error:.3f})")
        length = np.mean([sum(len(response) for _, response in episode) for episode in answers.rows])
        self.logger.record("eval/response_length", float(length))
        self.logger.record("time/total_timesteps", look["step"], exclude="tensorboard")
        self.logger.dump(look["step"])
        if group.is_first():
            best = ", the best so far" if is_best else ""
            tqdm.write(f"held-out after {look['step']} turns, {len(look['scores'])} episodes: {', '.join(said)}{best}")


@contextmanager
def undisturbed(backbone: Backbone) -> Iterator[None]:
    """Leaves what a backbone counts and keeps for training as it was before the block."""
    before = {name: getattr(backbone, name) for name in _COUNTS}
    try:
        with backbone.frozen_states.kept(0):
            yield
    finally:
        vars(backbone).update(before)


@contextmanager
def best_swapped_in(role: Role, watched: Watched) -> Iterator[None]:
    """Puts the best policy's weights in the place of a role's inside the block, where they are kept."""
    parameters = role.parameters() if watched.best_weights else {}
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    _put(parameters, watched.best_weights)
    try:
        yield
    finally:
        _put(parameters, before)


@torch.no_grad()
def _put(parameters: Any, tensors: dict[str, torch.Tensor]) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(tensors[name])


def held_out_summary(watched: Watched, keeps_best: bool) -> dict[str, Any]:
    """Returns what summary.json says of looks, diagnoses and an early end; nothing where there is none."""
    found: dict[str, Any] = {}
    for name, look in (("last", watched.look), ("best", watched.best if keeps_best else None)):
        if look is not None:
            found[name] = {"turns": look["step"], "n": len(look["scores"])}
            for measure in MEASURES if look["golds"] is not None else MEASURES[1:]:
                mean, error = mean_and_error(values_of_look(look, measure))
                found[name] |= {measure: mean, f"{measure}_standard_error": error}
    summary: dict[str, Any] = {"held_out": found} if found else {}
    if watched.diagnoses:
        summary["diagnosis"] = list(watched.diagnoses.values())
    return summary if watched.ended is None else {**summary, "ended": watched.ended}
