"""`Run`: what a run folder says of itself, read for a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.finished_run import ppo_config
from perlhf.errors import UserError
from perlhf.metrics_log import read_metrics
from perlhf.run_folder import read_json


@dataclass(frozen=True)
class Run:
    """Holds what is in the files of a run of agents.train_ppo.

    Attributes:
        folder: the run folder.
        name: what to call it.
        config: its options.
        rows: of metrics.jsonl.
        summary: summary.json; empty while the run is on.
        evaluation: evaluation.json; empty where there was none.
    """

    folder: Path
    name: str
    config: dict[str, Any]
    rows: list[dict[str, Any]]
    summary: dict[str, Any]
    evaluation: dict[str, Any]

    @property
    def about(self) -> str:
        """What it learned, and how, in a line."""
        config = self.config
        named = [f"{name} {config[name]}" for name in ("reward", "data", "backbone", "seed") if name in config]
        said = [config["env"], config["env_options"], config.get("algorithm", "ppo"), *named]
        return ", ".join(part for part in said if part)


def read_run(folder: str | Path, name: str | None = None) -> Run:
    """Reads a run folder.

    Args:
        folder: of the run.
        name: what to call it; by default as its folder.

    Raises:
        UserError: it holds no run of agents.train_ppo, nothing was logged yet, or a file is not what it should be.
    """
    folder = Path(folder)
    config = ppo_config(folder)
    rows = read_metrics(folder)
    if not rows:
        raise UserError(f"{folder} has no line in metrics.jsonl yet; wait for its first update, or go on with it.")
    files = {name: read_json(folder / f"{name}.json") for name in ("summary", "evaluation")}
    return Run(folder, name or folder.resolve().name, config, rows, **files)


def read_runs(folders: Sequence[str]) -> list[Run]:
    """Reads run folders; those with one name are called by their paths.

    Raises:
        UserError: there are fewer than two, one is given twice, or see `read_run`.
    """
    if len(folders) < 2:
        raise UserError("give two run folders or more: compare RUN RUN ...")
    places = [Path(folder).resolve() for folder in folders]
    for i, place in enumerate(places):
        if place in places[:i]:
            raise UserError(f"{folders[i]} is given twice; give other runs beside it.")
    names = [place.name for place in places]
    return [
        read_run(folder, name if names.count(name) == 1 else str(folder))
        for folder, name in zip(folders, names, strict=True)
    ]
