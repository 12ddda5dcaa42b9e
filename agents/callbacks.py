"""Show progress, save checkpoints and write logs while a run learns."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stable_baselines3.common import logger as sb3_logger
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger, make_output_format
from tqdm import tqdm

from agents.checkpoint import save_earlier, whole_state
from agents.trackers import TRACKERS, Tracker, is_installed
from backbones import group
from backbones.checkpoints import Saved, is_sound, keep_newest, place_of
from perlhf import stopping
from perlhf.errors import UserError, did_you_mean
from perlhf.measure import Stopwatch, progress_bar, show_figures
from perlhf.metrics_log import MetricsLog, read_metrics
from perlhf.run_folder import require_config

_FORMATS = ("csv", "stdout", "tensorboard", *TRACKERS)


class ProgressBar(BaseCallback):
    """One line with the score, the gold score where there is one, the KL, and the time left.

    It moves with every turn that is played, and its figures with every rollout.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm | None = None
        self._told = False

    def _on_training_start(self) -> None:
        total = self.model._total_timesteps
        self._begun = self.num_timesteps
        self._bar = progress_bar(total=total, initial=self.num_timesteps, unit="turn", desc="PPO", smoothing=0.1)

    def _on_step(self) -> bool:
        assert self._bar is not None
        self._bar.update(self.num_timesteps - self._bar.n)
        return True

    def _on_rollout_start(self) -> None:
        if self.num_timesteps == self._begun:
            self._clock = Stopwatch()  # not sooner: the policy may have been looked at on held-out prompts
            return
        if self._told:
            return
        self._told = True  # after the first update
        told = estimate(
            self._clock.seconds, self.num_timesteps - self._begun, self.model._total_timesteps - self._begun
        )
        cuts = self.model.policy.backbone.describe_cuts()  # type: ignore[union-attr, operator]
        tqdm.write("\n".join(filter(None, [told, cuts])))

    def _on_rollout_end(self) -> None:
        assert self._bar is not None
        recorded = self.logger.name_to_value
        shown = {"score": "rollout/score", "gold": "rollout/gold", "KL": "rollout/kl_to_reference"}
        show_figures(self._bar, {k: f"{recorded[v]:.2f}" for k, v in shown.items() if v in recorded})

    def _on_training_end(self) -> None:
        self.close()

    def close(self) -> None:
        """Ends the bar, also of a run that ends early."""
        if self._bar is not None:
            self._bar.close()


def estimate(seconds: float, turns: int, all_turns: int) -> str:
    """Returns a line that says how long a run of `all_turns` takes, from the seconds that the first `turns` took."""
    whole = seconds * all_turns / turns
    said = f"{whole:.0f} s" if whole < 100 else f"{whole / 60:.0f} min" if whole < 6000 else f"{whole / 3600:.1f} h"
    return f"the first {turns} turns took {seconds:.1f} s; all {all_turns} will take about {said}, evaluation apart"


class Checkpoints(BaseCallback):
    """Saves the whole state to RUN/checkpoints/step-N after every `every` updates, and at the end.

    Saving happens at the start of a rollout: only there nothing is under way. What the run has cost so far, and how
    many episodes it has ended, earlier parts included, is in the state, of all processes together.

    A run of adapters that is asked to stop (`perlhf.stopping`) does so in the middle of an update: the state of its
    start is held until the next one, and `save_start` writes it. With all weights that would be as much memory again,
    so there the update under way is finished first.

    Args:
        run: the run folder.
        every: updates between two.
        keep: how many, the newest ones, stay.
        holds: whether the state of the start of an update is held.
    """

    def __init__(self, run: Path, every: int, keep: int, holds: bool) -> None:
        super().__init__()
        self._run, self._every, self._keep, self._holds = run, every, keep, holds
        self._rollouts = 0
        self._start: Saved | None = None  # of the update under way

    def _on_training_start(self) -> None:
        self._clock, self._before = Stopwatch(), dict(self.model.cost)  # type: ignore[attr-defined]
        # None in a run that began when episodes were not counted yet.
        self._episodes = self._before.pop("episodes", None if self.num_timesteps else 0)
        self._ended = 0  # since then, in this process
        if self._holds:
            self.model.asked_to_stop = stopping.asked  # type: ignore[attr-defined]

    def _on_step(self) -> bool:
        self._ended += int(self.locals["dones"].sum())
        return True

    def _on_rollout_start(self) -> None:
        self._count_cost()
        number = max(group.gather(stopping.asked()))
        is_due = self._rollouts > 0 and self._rollouts % self._every == 0
        if is_due or (number and self.num_timesteps):  # a run that is stopped at 0 begins anew
            self._save()
        if number:
            stopping.stop(number)
        self._rollouts += 1
        self._start = whole_state(self.model) if self._holds else None  # type: ignore[arg-type]

    def _on_rollout_end(self) -> None:
        # When the rollout's samples were there: time to a given gold is read off the log.
        self._count_cost()
        self.logger.record("time/cpu_seconds", self.model.cost["cpu_seconds"])  # type: ignore[attr-defined]

    def _on_training_end(self) -> None:
        self._count_cost()
        self._save()

    def _count_cost(self) -> None:
        parts = group.gather((self._clock.seconds, self._clock.cpu_seconds, self._ended))
        seconds, cpu_seconds, ended = zip(*parts, strict=True)
        cost = {"seconds": max(seconds), "cpu_seconds": sum(cpu_seconds)}
        self.model.cost = {  # type: ignore[attr-defined]
            **{name: before + cost[name] for name, before in self._before.items()},
            "episodes": None if self._episodes is None else self._episodes + sum(ended),
        }

    def _save(self) -> None:
        folder = place_of(self._run, self.num_timesteps)
        self.model.save(folder)
        self._start = None
        group.from_first(lambda: keep_newest(folder, self._keep))
        group.from_first(lambda: require_config(self._run))

    def save_start(self) -> None:
        """Saves the state of the start of the update that was broken off, unless it is saved."""
        start, self._start = self._start, None
        if start is None or not start.state["num_timesteps"]:
            return
        folder = place_of(self._run, start.state["num_timesteps"])
        if not group.from_first(lambda: is_sound(folder)):
            save_earlier(self.model, start, folder)  # type: ignore[arg-type]
            group.from_first(lambda: keep_newest(folder, self._keep))


class MetricsFile(KVWriter):
    """metrics.jsonl: a JSON object for each update and each look; NaN is written as null."""

    def __init__(self, path: Path) -> None:
        self._log = MetricsLog(path)

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        self._log.write({"step": step, **{k: _number(v) for k, v in sorted(key_values.items())}})

    def close(self) -> None:
        self._log.close()


def log_formats(text: str) -> list[str]:
    """Returns the names in "csv,tensorboard,wandb".

    Raises:
        UserError: a format that there is not, or one whose package is not installed.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in _FORMATS:
            raise UserError(f"unknown log format {name!r}.{did_you_mean(name, _FORMATS)}")
        is_missing = name in TRACKERS and not is_installed(name)
        if is_missing or (name == "tensorboard" and sb3_logger.SummaryWriter is None):
            raise UserError(f"log format {name!r} needs a package that is not installed: pip install {name}.")
    return names


def run_logger(run: Path, formats: str, trackers: Sequence[Tracker] = ()) -> Logger:
    """SB3's logger on a run folder: metrics.jsonl, the files named in "csv,tensorboard,stdout", and trackers.

    In all processes but the first it writes nothing.

    SB3 empties progress.csv when it opens it, so what metrics.jsonl holds from before a resume is written to it again.
    """
    if not group.is_first():
        return Logger(None, [])
    rows = read_metrics(run)
    writers: list[KVWriter] = [MetricsFile(run / "metrics.jsonl")]
    for name in (name for name in log_formats(formats) if name not in TRACKERS):
        writers.append(make_output_format(name, str(run)))
        for row in rows if name == "csv" else []:
            writers[-1].write({key: value for key, value in row.items() if key != "step"}, {})
    return Logger(str(run), [*writers, *trackers])


def _number(value: Any) -> float | int | str | None:
    if isinstance(value, str):
        return value
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
