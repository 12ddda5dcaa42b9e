"""Show progress, save checkpoints and write logs while a run learns."""

import json
import math
from pathlib import Path
from typing import Any

from stable_baselines3.common import logger as sb3_logger
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import KVWriter, Logger, make_output_format
from tqdm import tqdm

from agents.checkpoint import keep_newest
from backbones import group
from perlhf.errors import UserError, did_you_mean
from perlhf.measure import Stopwatch, progress_bar
from perlhf.run_folder import write_text

_FORMATS = ("csv", "stdout", "tensorboard")


class ProgressBar(BaseCallback):
    """One line with the score, the gold score where there is one, the KL, and the time left."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: tqdm | None = None
        self._told = False

    def _on_training_start(self) -> None:
        total = self.model._total_timesteps
        self._clock, self._begun = Stopwatch(), self.num_timesteps
        self._bar = progress_bar(total=total, initial=self.num_timesteps, unit="turn", desc="PPO", smoothing=0.1)

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        if self._told or self.num_timesteps == self._begun:
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
        self._bar.set_postfix({k: f"{recorded[v]:.2f}" for k, v in shown.items() if v in recorded}, refresh=False)
        self._bar.update(self.num_timesteps - self._bar.n)

    def _on_training_end(self) -> None:
        if self._bar is not None:
            self._bar.close()


def estimate(seconds: float, turns: int, all_turns: int) -> str:
    """Returns a line that says how long a run of `all_turns` takes, from the seconds that the first `turns` took."""
    whole = seconds * all_turns / turns
    said = f"{whole:.0f} s" if whole < 100 else f"{whole / 60:.0f} min" if whole < 6000 else f"{whole / 3600:.1f} h"
    return f"the first {turns} turns took {seconds:.1f} s; all {all_turns} will take about {said}, evaluation apart"


class Checkpoints(BaseCallback):
    """Saves the whole state to RUN/checkpoints/step-N after every `every` updates, and at the end.

    Saving happens at the start of a rollout: only there is nothing under way. What the run has cost so far, and how
    many episodes it has ended, earlier parts included, is in the state, of all processes together.
    """

    def __init__(self, run: Path, every: int, keep: int = 2) -> None:
        super().__init__()
        self._run, self._every, self._keep = run, every, keep
        self._rollouts = 0

    def _on_training_start(self) -> None:
        self._clock, self._before = Stopwatch(), dict(self.model.cost)  # type: ignore[attr-defined]
        # None in a run that began when episodes were not counted yet.
        self._episodes = self._before.pop("episodes", None if self.num_timesteps else 0)
        self._ended = 0  # since then, in this process

    def _on_step(self) -> bool:
        self._ended += int(self.locals["dones"].sum())
        return True

    def _on_rollout_start(self) -> None:
        if self._rollouts > 0 and self._rollouts % self._every == 0:
            self._save()
        self._rollouts += 1

    def _on_training_end(self) -> None:
        self._save()

    def _save(self) -> None:
        parts = group.gather((self._clock.seconds, self._clock.cpu_seconds, self._ended))
        seconds, cpu_seconds, ended = zip(*parts, strict=True)
        cost = {"seconds": max(seconds), "cpu_seconds": sum(cpu_seconds)}
        self.model.cost = {  # type: ignore[attr-defined]
            **{name: before + cost[name] for name, before in self._before.items()},
            "episodes": None if self._episodes is None else self._episodes + sum(ended),
        }
        folder = self._run / "checkpoints" / f"step-{self.num_timesteps}"
        self.model.save(folder)
        group.from_first(lambda: keep_newest(folder, self._keep))


class MetricsFile(KVWriter):
    """metrics.jsonl: one JSON object an update, flushed at once; NaN is written as null."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - closed in close()

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        row = {"step": step, **{k: _number(v) for k, v in sorted(key_values.items())}}
        self._file.write(json.dumps(row, allow_nan=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def log_formats(text: str) -> list[str]:
    """Returns the names in "csv,tensorboard,stdout".

    Raises:
        UserError: a format that there is not, or one whose package is not installed.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in _FORMATS:
            raise UserError(f"unknown log format {name!r}.{did_you_mean(name, _FORMATS)}")
    if "tensorboard" in names and sb3_logger.SummaryWriter is None:
        raise UserError("log format 'tensorboard' needs a package that is not installed: pip install tensorboard.")
    return names


def run_logger(run: Path, formats: str) -> Logger:
    """SB3's logger on a run folder: metrics.jsonl, and the formats named ("csv,tensorboard,stdout").

    In all processes but the first it writes nothing.

    SB3 empties progress.csv when it opens it, so what metrics.jsonl holds from before a resume is written to it again.
    """
    if not group.is_first():
        return Logger(None, [])
    rows = read_metrics(run)
    writers: list[KVWriter] = [MetricsFile(run / "metrics.jsonl")]
    for name in log_formats(formats):
        writers.append(make_output_format(name, str(run)))
        for row in rows if name == "csv" else []:
            writers[-1].write({key: value for key, value in row.items() if key != "step"}, {})
    return Logger(str(run), writers)


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Returns the rows of metrics.jsonl; none where there is no such file."""
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def drop_metrics_after(run: Path, step: int) -> None:
    """Cuts from metrics.jsonl what came after the checkpoint that a run resumes from."""
    path = run / "metrics.jsonl"
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        write_text(path, "".join(line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step))


def _number(value: Any) -> float | int | str | None:
    if isinstance(value, str):
        return value
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
