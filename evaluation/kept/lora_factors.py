"""LoRA beyond maths: one factor at a time around the recipe's adapter, on two text tasks. See docs/lora_factors.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.kept.cells import SEEDS, Cell, Experiment, Known
from evaluation.kept.forgetting import forgotten
from evaluation.kept.paper_cells import kept_of_policy
from evaluation.kept.rows import MISSING, command_lines, count, mean_of, over, sound
from evaluation.labs.cells import table

DEFAULT = "default"
TASKS = {"HH": "HH-v0", "TLDR": "TLDR-v0"}
_RATE = 0.8 / 128  # of the recipe, by the width of the backbone
SETTINGS: Mapping[str, tuple[str, ...]] = {
    DEFAULT: (),
    "targets: attention": ("--lora-targets", "attention"),
    "targets: mlp": ("--lora-targets", "mlp"),
    "layers: all": ("--lora-layers", "all"),
    "rank: 1": ("--lora-rank", "1"),
    "rank: 64": ("--lora-rank", "64"),
    "rate: x 0.3": ("--learning-rate", f"{0.3 * _RATE:.3g}"),
    "rate: x 3": ("--learning-rate", f"{3 * _RATE:.3g}"),
    "variant: rslora": ("--lora-variant", "rslora"),
    "variant: dora": ("--lora-variant", "dora"),
    "init: orthogonal": ("--lora-init", "orthogonal"),
    "no adapter: full": ("--full",),
}
_TURNS = "1536"
_SECONDS = 85


def plan(known: Known, seeds: Sequence[int], quick: bool) -> list[Cell]:
    """Returns all cells; see `evaluation.kept.cells.Experiment`. Quick are the default and one change on one task."""
    tasks, settings = (list(TASKS)[:1], list(SETTINGS)[:2]) if quick else (TASKS, SETTINGS)
    return [cell_of(task, setting, seed) for seed in seeds for task in tasks for setting in settings]


def cell_of(task: str, setting: str, seed: int) -> Cell:
    """Returns the run of a setting with a seed."""
    words = ("agents.train_ppo", "--env", TASKS[task], "--total-timesteps", _TURNS, *SETTINGS[setting])
    return Cell(f"{task} {setting}, seed {seed}", (*words, "--seed", str(seed)), kept_of, _SECONDS)


def kept_of(folder: Path) -> dict[str, Any]:
    """Returns what a policy is worth, what it forgot, and how large the file of it is."""
    weights = sum(file.stat().st_size for file in (folder / "policy").glob("*.safetensors"))
    return {**kept_of_policy(folder), "forgotten": forgotten(folder), "adapter_mb": weights / 2**20}


def tables(known: Known) -> dict[str, list[str]]:
    """Returns the tables of the page by their names on it."""
    found = {task.lower(): rows_of(known, task) for task in TASKS}
    return {**found, "commands": command_lines([cell_of(task, of, SEEDS[0]) for task in TASKS for of in SETTINGS])}


def rows_of(known: Known, task: str) -> list[str]:
    """Returns a row of each setting: what it is worth, and its gold less the default's, seed by seed."""
    head = ["", "gold, sampled", "less the default's", "gold, greedy", "score", "KL (nats)", "forgotten of prompts"]
    head += ["of responses", "MB", "CPU s", "seeds"]
    rows = []
    for setting in SETTINGS:
        runs = runs_of(known, task, setting)
        cells = [over([run["policy"]["gold"] for run in runs.values()])]
        cells.append("" if setting == DEFAULT else over(effects(known, task, setting), with_sign=True))
        cells.append(over([run["policy"]["gold_greedy"] for run in runs.values()]))
        cells += [mean_of([run["policy"]["score"] for run in runs.values()], 2)]
        cells += [mean_of([run["kl"] for run in runs.values()], 2)]
        cells += [mean_of([run["forgotten"][part] for run in runs.values()], 3) for part in ("prompts", "responses")]
        cells += [mean_of([run[key] for run in runs.values()], d) for key, d in (("adapter_mb", 2), ("cpu_seconds", 0))]
        rows.append([setting, *cells, count(known, [cell_of(task, setting, seed).name for seed in SEEDS])])
    return [*table(head, rows), "", spread(known, task)]


def runs_of(known: Known, task: str, setting: str) -> dict[int, Mapping[str, Any]]:
    """Returns the runs of a setting that are there, by seed."""
    found = {seed: sound(known, [cell_of(task, setting, seed).name]) for seed in SEEDS}
    return {seed: run for seed, runs in found.items() for run in runs}


def effects(known: Known, task: str, setting: str) -> list[float]:
    """Returns the gold of a setting less that of the default, of each seed that both were run with."""
    ours, default = runs_of(known, task, setting), runs_of(known, task, DEFAULT)
    return [ours[seed]["policy"]["gold"] - default[seed]["policy"]["gold"] for seed in ours if seed in default]


def spread(known: Known, task: str) -> str:
    """Says how far the seeds of the default are apart."""
    golds = [run["policy"]["gold"] for run in runs_of(known, task, DEFAULT).values()]
    if len(golds) < 2:
        return f"The spread of the default's seeds: {MISSING}."
    return f"The seeds of the default are {max(golds) - min(golds):.3f} apart in gold, sampled (n = {len(golds)})."


LORA = Experiment("LoRA's targets, rank, rate and variant, one at a time", "lora_factors.md", plan, tables)
