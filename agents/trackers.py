"""Sends the log of a run to trackers: Weights & Biases, trackio and MLflow, each one of SB3's writers.

Keys, servers and modes are the packages' own affair, read from their own environment variables and files
(`WANDB_MODE=offline`, `TRACKIO_DIR`, `MLFLOW_TRACKING_URI`); nothing of ours asks for a key or writes one down.

A run of a tracker is known by an id in RUN/trackers.json, beside how many rows it has been sent. So a resumed run goes
on in the same one, and the rows that it makes again, bit for bit, are not sent twice. With other options it makes other
rows, so that a hash of these is noted too: where it differs, all that is made from the checkpoint on is sent.
"""

import hashlib
import json
import math
import os
import sys
import time
import uuid
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from stable_baselines3.common.logger import KVWriter

from backbones import group
from perlhf.errors import UserError, one_line
from perlhf.run_folder import read_json, write_json

PROJECT = "perlhf"  # where the environment names no other
FILE = "trackers.json"
_LONGEST = 500  # characters of a value of MLflow's params, for servers of before
# Options that change no row, but say where things are kept, or which of the same rows is the last.
_SAME_ROWS = {"output_dir", "checkpoint_every", "log_formats", "memory_report", "keep_best", "stop_at", "max_kl"}


class Tracker(KVWriter):
    """A run of a tracker. What it refuses once is said in a line, and nothing more is sent: metrics.jsonl has all.

    Args:
        folder: the run folder; its name is the run's.
        config: the options of the run.
        rows: of metrics.jsonl, which a tracker that is new to a resumed run gets first.

    Raises:
        UserError: the tracker cannot be started.
    """

    name: ClassVar[str]

    def __init__(self, folder: Path, config: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
        self._folder, self._failed = folder, False
        known = read_json(folder / FILE).get(self.name)
        self.id: str = uuid.uuid4().hex[:8] if known is None else known["id"]
        self._sent: int = 0 if known is None else known["rows"]
        self._seen, self._made_by = len(rows), hash_of(config)
        if known is not None and known.get("options", self._made_by) != self._made_by:
            self._sent = min(self._sent, len(rows))  # those behind the checkpoint are of options given up since
        try:
            self.start(dict(config), resumed=known is not None)
        except Exception as error:  # each package has errors of its own
            raise UserError(f"log format {self.name!r} cannot start: {one_line(error)}") from error
        self._note()
        for row in rows[self._sent :]:
            self._send({name: value for name, value in row.items() if name != "step"}, row["step"])

    @abstractmethod
    def start(self, config: dict[str, Any], resumed: bool) -> None:
        """Begins the run, or goes on in it."""

    @abstractmethod
    def send(self, numbers: dict[str, float], step: int) -> None:
        """Sends a row of numbers, all finite, at a count of turns."""

    @abstractmethod
    def end(self, summary: dict[str, Any], failed: bool) -> None:
        """Sends what summary.json says, and ends the run."""

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0) -> None:
        self._seen += 1
        if self._seen > self._sent:
            self._send(key_values, step)

    def close(self) -> None:
        """Does nothing: the log is closed before the summary is known, and `finish` comes after it."""

    def finish(self, summary: Mapping[str, Any], failed: bool = False) -> None:
        """Sends the summary and ends the run of the tracker."""
        self._try(lambda: self.end(dict(summary), failed))

    def _send(self, values: Mapping[str, Any], step: int) -> None:
        self._try(lambda: self.send(finite(values), step))
        if not self._failed:
            self._sent += 1
            self._note()

    def _try(self, act: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            act()
        except Exception as error:  # a run of days does not end because a server is away
            self._failed = True
            said = f"{self.name} takes no more rows: {one_line(error)}; metrics.jsonl has them all"
            print(f"warning: {said}", file=sys.stderr)

    def _note(self) -> None:
        known = read_json(self._folder / FILE)
        write_json(
            self._folder / FILE, {**known, self.name: {"id": self.id, "rows": self._sent, "options": self._made_by}}
        )


class Wandb(Tracker):
    """Weights & Biases. Offline, a resumed run has a folder of its own in RUN/wandb with the same id."""

    name = "wandb"

    def start(self, config: dict[str, Any], resumed: bool) -> None:
        import wandb

        project = os.environ.get("WANDB_PROJECT", PROJECT)
        where = {"project": project, "name": self._folder.name, "dir": str(self._folder)}
        self._run = wandb.init(**where, id=self.id, resume="allow", config=config)

    def send(self, numbers: dict[str, float], step: int) -> None:
        self._run.log(numbers, step=step)

    def end(self, summary: dict[str, Any], failed: bool) -> None:
        self._run.summary.update(summary)
        self._run.finish(exit_code=int(failed))


class Trackio(Tracker):
    """trackio: a database on this machine. The run's name has the id behind it, since that is all it is known by."""

    name = "trackio"

    def start(self, config: dict[str, Any], resumed: bool) -> None:
        import trackio

        project = os.environ.get("TRACKIO_PROJECT", PROJECT)
        name = f"{self._folder.name}-{self.id}"
        self._run = trackio.init(project=project, name=name, config=config, resume="allow")

    def send(self, numbers: dict[str, float], step: int) -> None:
        self._run.log(numbers, step=step)

    def end(self, summary: dict[str, Any], failed: bool) -> None:
        self._run.log({f"summary/{name}": value for name, value in numbers_in(summary).items()})
        self._run.finish()


class MLflow(Tracker):
    """MLflow: options are params, rows are metrics, and summary.json is an artifact."""

    name = "mlflow"

    def start(self, config: dict[str, Any], resumed: bool) -> None:
        import mlflow
        from mlflow.entities import Param

        self._client = mlflow.MlflowClient()
        if resumed:
            self._client.update_run(self.id, status="RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self._client.get_experiment_by_name(name)
        experiment = self._client.create_experiment(name) if found is None else found.experiment_id
        self.id = self._client.create_run(experiment, run_name=self._folder.name).info.run_id
        params = [Param(key, str(value)[:_LONGEST]) for key, value in config.items() if value not in (None, "")]
        self._client.log_batch(self.id, params=params)

    def send(self, numbers: dict[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self.id, metrics=[Metric(name, value, now, step) for name, value in numbers.items()])

    def end(self, summary: dict[str, Any], failed: bool) -> None:
        self._client.log_dict(self.id, summary, "summary.json")
        self._client.set_terminated(self.id, "FAILED" if failed else "FINISHED")


TRACKERS: Mapping[str, type[Tracker]] = {kind.name: kind for kind in (Wandb, Trackio, MLflow)}


def hash_of(config: Mapping[str, Any]) -> str:
    """Returns a hash of the options that a run's rows depend on."""
    without = _SAME_ROWS | ({"total_timesteps"} if config.get("schedule") == "constant" else set())
    kept = {name: value for name, value in config.items() if name not in without}
    return hashlib.sha256(json.dumps(kept, sort_keys=True, default=str).encode()).hexdigest()[:16]


def is_installed(name: str) -> bool:
    """Returns whether a package is; a folder of its name with no code, such as runs leave behind, is none."""
    spec = find_spec(name)
    return spec is not None and spec.origin is not None


@contextmanager
def tracked(
    names: Sequence[str], folder: Path, config: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> Iterator[list[Tracker]]:
    """Starts the trackers named, on the first process alone; where the block fails their runs are marked as failed.

    Whoever has the summary calls `finish` of each.
    """
    trackers: list[Tracker] = []
    try:
        for name in names:
            group.from_first(lambda name=name: trackers.append(TRACKERS[name](folder, config, rows)))  # type: ignore[misc]
        yield trackers
    except BaseException:
        for tracker in trackers:
            tracker.finish({}, failed=True)
        raise


def finite(values: Mapping[str, Any]) -> dict[str, float]:
    """Returns the finite numbers among values, as floats; those of numpy too."""
    found = {}
    for name, value in values.items():
        value = value.item() if hasattr(value, "item") else value
        if isinstance(value, (int, float)) and math.isfinite(value):
            found[name] = float(value)
    return found


def numbers_in(summary: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Returns the numbers in nested mappings by their paths, as {"policy/gold": 0.8}."""
    found: dict[str, float] = {}
    for name, value in summary.items():
        if isinstance(value, Mapping):
            found |= numbers_in(value, f"{prefix}{name}/")
        else:
            found |= finite({f"{prefix}{name}": value})
    return found
