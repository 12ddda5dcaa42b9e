"""Who is measured: settings of perlhf and of TRL on one backbone, with one reward model and one gold judge."""

import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.performance.cases import TRL_PPO, TRL_REWARD
from benchmarks.performance.environments import prepare
from benchmarks.performance.runner import run
from benchmarks.quality.verdict import RESULT
from perlhf.run_folder import write_json, write_text

BUDGET = 160.0  # CPU seconds of a run of TRL's GRPO and RLOO, about what the 3,072 completions of perlhf take
PPO_EPISODES = 2176  # of TRL's PPO, whose rate falls to 0 over them, in about as much


@dataclass(frozen=True)
class Setting:
    """One row of the table.

    Attributes:
        name: of its folders.
        title: in the table.
        program: the module that trains.
        install: the program of `benchmarks.performance.environments` whose packages it needs; "" for perlhf.
        words: options of `train_ppo`, for perlhf.
        given: settings of TRL's trainer.
    """

    name: str
    title: str
    program: str = "agents.train_ppo"
    install: str = ""
    words: tuple[str, ...] = ()
    given: dict[str, Any] = field(default_factory=dict)


def _group(name: str, title: str, **given: Any) -> Setting:
    return Setting(name, f"TRL 1.16, {title}", "benchmarks.quality.trl_group", TRL_REWARD, given=given)


_BEFORE = (
    "--lora-targets", "attention", "--lora-layers", "all", "--gae-lambda", "0.95", "--kl-coef", "0.1",
)  # fmt: skip
_QUARTER = ("--lora-layers", "quarter", "--value-adapter", "shared")  # "learns" of benchmarks.performance
_PPO = {"learning_rate": 6.25e-3, "total_episodes": PPO_EPISODES}
_ALL = (
    Setting("ppo", "perlhf, PPO: the default"),
    _group("trl-grpo", "GRPO, beta 0", algorithm="grpo", learning_rate=3e-3, beta=0.0),
    _group("trl-rloo", "RLOO, beta .05", algorithm="rloo", learning_rate=3e-3, beta=0.05),
    Setting("trl-ppo", "TRL 1.12, PPO", "benchmarks.quality.trl_ppo", TRL_PPO, given=_PPO),
    Setting("grpo", "perlhf, GRPO", words=("--algorithm", "grpo")),
    Setting("rloo", "perlhf, RLOO", words=("--algorithm", "rloo")),
    Setting("rloo-long", "perlhf, RLOO, 6,400 completions", words=("--algorithm", "rloo", "--total-timesteps", "6400")),
    _group("trl-grpo-half", "GRPO, beta 0, top half", algorithm="grpo", learning_rate=3e-3, beta=0.0, layers="half"),
    _group("trl-grpo-kl", "GRPO, beta .04", algorithm="grpo", learning_rate=3e-3, beta=0.04),
    Setting("ppo-quarter", "perlhf, PPO, top quarter, shared value", words=_QUARTER),
    Setting("ppo-attention", "perlhf, PPO by its earlier recipe, adapters on attention", words=_BEFORE),
)
SETTINGS = {setting.name: setting for setting in _ALL}


def place_of(folder: Path, env: str, setting: str, seed: int) -> Path:
    """Returns where a run is kept."""
    return folder / "quality" / f"{env}-{setting}-seed{seed}"


def make(folder: Path, env: str, setting: Setting, seed: int) -> None:
    """Runs a setting on an env with a seed and judges it, unless that is done.

    Raises:
        MeasurementError: it failed.
        UserError: what it needs cannot be installed.
    """
    place = place_of(folder, env, setting.name, seed).resolve()
    if (place / RESULT).is_file():
        return
    print(f"{env}, seed {seed}: {setting.title}", flush=True)
    shutil.rmtree(place, ignore_errors=True)
    write_text(folder / ".gitignore", "*\n")
    if setting.install:
        python, variables = prepare(setting.install, folder)
        place.mkdir(parents=True)
        cell = {"env": env, "seed": seed, "setting": setting.given, "budget": BUDGET, "folder": str(place)}
        write_json(place / "cell.json", cell)
        run([python, "-m", setting.program, json.dumps(cell)], variables)
    else:
        words = ["--seed", str(seed), "--eval-prompts", "0", "--threads", "1", *setting.words]
        run([sys.executable, "-m", setting.program, env, *words, "--output-dir", str(place)], {})
    run([sys.executable, "-m", "benchmarks.quality.judge", str(place), "--env", env], {})
