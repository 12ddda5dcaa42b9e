"""Commands that a table stands on: run once, and taken as they are while what they start from stays the same."""

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, Protocol

import yaml

from agents.setup import RECIPES, Setup, recipe_of
from backbones.model.loading import SHIPPED
from envs.ensembles import ensemble_of
from evaluation.reproduce.tables import Summary
from perlhf.errors import UserError
from perlhf.options import config_file
from perlhf.run_folder import read_summary, write_json

MARKER = "reproduce.json"
_BUNDLED = "rewards.bundled:"
ROOT = Path(__file__).parents[2]
PRETRAINING = "agents.pretrain"  # makes a backbone from nothing
STAGES = {"agents.train_ppo": "ppo", "rewards.train_reward_model": "reward", "agents.train_sft": "sft"}  # of recipes
EVALUATE, VERDICTS = "evaluation.evaluate", "evaluation.verdicts"


class Run(NamedTuple):
    """One command, and the folder that its summary is in."""

    folder: Path
    words: list[str]


class Table(NamedTuple):
    """The runs of a table, and how their summaries make its rows."""

    title: str
    runs: dict[str, Run]
    rows: Callable[[dict[str, Summary]], list[str]]


def finish(run: Run) -> Summary:
    """Runs a command unless it is finished already, from the same weights and defaults; its summary."""
    wanted = {"command": run.words, "weights": weights_of(run.words), "defaults": defaults_of(run.words)}
    marker = run.folder / MARKER
    if not marker.is_file() or json.loads(marker.read_text(encoding="utf-8")) != {**wanted, "finished": True}:
        clear(run.folder)
        write_json(marker, {**wanted, "finished": False})
        execute(run)
        write_json(marker, {**wanted, "finished": True})
    return read_summary(run.folder)


def setup_of(words: list[str]) -> Setup:
    """Returns the setup of a command, with the reward that it names, else its recipe's."""
    given = dict(itertools.pairwise(words))
    settings = {name: value for of_file in settings_of(words) for name, value in of_file.items()}
    reward = given.get("--reward", settings.get("reward", "bundled"))
    return Setup.of(given["--env"], given.get("--env-options", ""), reward=reward)


def settings_of(words: list[str]) -> list[dict[str, Any]]:
    """Returns what the recipe of a training command says, and over it its --config; nothing of other commands."""
    given, stage = dict(itertools.pairwise(words)), STAGES.get(words[0])
    if stage is None:
        return []
    choices = SimpleNamespace(
        env=given["--env"], env_options=given.get("--env-options", ""), data=given.get("--data", "miniature"),
        backbone=given.get("--backbone", "tiny"), referee="--referee" in words, full="--full" in words,
    )  # fmt: skip
    files = (recipe_of(stage, choices), config_file(given["--config"]) if "--config" in given else None)
    return [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files if file]


def weights_of(words: list[str]) -> dict[str, str]:
    """sha256 of what a command starts from, in the folders it names, else the shipped ones.

    That is all weights, and what stands beside a reward model's: its centre, weight and limit.
    """
    if words[0] == PRETRAINING:
        return {}
    given = dict(itertools.pairwise(words))
    if words[0] in (EVALUATE, VERDICTS):  # of a run that is itself made anew where other weights were
        return _hashes([Path(given["--run"]) / "policy"])
    setup = setup_of(words)
    backbone = given.get("--backbone", setup.backbone_name)
    folders = [SHIPPED.get(backbone, backbone)]
    if words[0] in ("agents.train_ppo", "evaluation.audit_reward"):
        folders += [given["--reward"]] if "--reward" in given else bundled(setup)
    return _hashes(folders)


def _hashes(folders: Iterable[str | Path]) -> dict[str, str]:
    kinds = ("*.safetensors", "perlhf.json")
    files = [file for folder in folders for kind in kinds for file in sorted(Path(folder).glob(kind))]
    return {f"{file.parent.name}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def defaults_of(words: list[str]) -> dict[str, Any]:
    """Returns what a command takes beside its words: its recipe, and of PPO the reward that it names."""
    if words[0] == PRETRAINING:
        return {"training": [yaml.safe_load((RECIPES / "pretrain" / f"{words[1]}.yaml").read_text(encoding="utf-8"))]}
    stage = STAGES.get(words[0])
    if stage is None:
        return {}
    return {"training": settings_of(words), **({"reward": setup_of(words).reward} if stage == "ppo" else {})}


def bundled(setup: Setup) -> Iterator[Path]:
    """Yields the folders of the bundled reward models that a task is trained with."""
    names = (setup.task("train").default_reward if n == "bundled" else n for n in _names_in(setup.reward))
    yield from (ROOT / "rewards" / "bundled" / n.removeprefix(_BUNDLED) for n in names if n.startswith(_BUNDLED))


def _names_in(spec: Any) -> Iterator[str]:
    """Yields the names in a reward spec: of an ensemble's members, of the parts of a sum, of a mapping, or its own."""
    if isinstance(spec, Mapping):
        spec = {key: value for key, value in spec.items() if key != "weight"}
    ensemble = ensemble_of(spec)
    if ensemble is not None or isinstance(spec, list | tuple):
        for part in spec if ensemble is None else ensemble.members:
            yield from _names_in(part)
    else:
        yield spec["reward"] if isinstance(spec, Mapping) else spec


def clear(folder: Path) -> None:
    """Removes a run of an earlier reproduction.

    Raises:
        UserError: the folder holds something else.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).is_file():
        raise UserError(f"{folder} is not of a reproduction (no {MARKER}); move it away or give another --output-dir.")
    if folder.exists():
        shutil.rmtree(folder)


def execute(run: Run) -> None:
    """Runs a command with one thread; what it prints goes to a log beside its folder.

    Raises:
        UserError: it failed.
    """
    log_file = run.folder.with_name(f"{run.folder.name}.log")
    environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    with open(log_file, "w", encoding="utf-8") as log:
        words = [sys.executable, "-m", *run.words]
        status = subprocess.run(words, stdout=log, stderr=log, env=environment, check=False).returncode  # noqa: S603
    if status != 0:
        raise UserError(f"{' '.join(run.words)} failed; see {log_file}.")


class Where(Protocol):
    """Options that say where runs go, and whether a few steps of everything will do."""

    output_dir: str
    quick: bool


def command(options: Where, name: str, *words: object) -> Run:
    """Returns a command that writes to its own folder; made small by `options.quick`."""
    folder = Path(options.output_dir, "quick" if options.quick else "", name)
    module = str(words[0])
    small = {
        "agents.train_ppo": ["--total-timesteps", "16", "--n-envs", "16", "--batch-size", "8", "--eval-prompts", "20"],
        "rewards.train_reward_model": ["--pairs", "64", "--policy-pairs", "0", "--eval-pairs", "50"],
        "agents.train_sft": ["--records", "64", "--eval-records", "20"],
        "rewards.probe": ["--pairs", "64", "--folds", "3"],
        "evaluation.zero_shot": ["--prompts", "2"],
        EVALUATE: ["--prompts", "4", "--validation-prompts", "2"],
        VERDICTS: ["--prompts", "4", "--sampled-prompts", "2", "--samples", "4", "--validation-prompts", "2"],
        "evaluation.report_reward_model": ["--prompts", "20"],
        "evaluation.audit_reward": ["--prompts", "4", "--constants", "4", "--budget", "0"],
        PRETRAINING: ["--steps", "4", "--batch-size", "4", "--hidden-size", "32", "--layers", "2"],
    }
    extra = small.get(module, []) if options.quick else []
    return Run(folder, [*map(str, words), *extra, "--output-dir", str(folder)])


def show(table: Table, parallel: int) -> None:
    """Runs what a table stands on, so many commands at a time, and prints it."""
    with ThreadPoolExecutor(parallel) as pool:
        summaries = dict(zip(table.runs, pool.map(finish, table.runs.values()), strict=True))
    print(f"\n### {table.title}\n")
    print("\n".join(table.rows(summaries)), flush=True)
