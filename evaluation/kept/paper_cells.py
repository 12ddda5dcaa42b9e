"""The runs behind Tables 1 to 3 of PE-RLHF (arXiv 2403.10704 v2), on the miniature tasks and three sizes of backbone.

Reward models and policies as in the paper: adapters on attention in all layers, a head on the last state, REINFORCE
with a learned baseline against one reward model of a task. Learning rates of LoRA and of full tuning are each chosen on
validation, with a seed of their own, for each task and size.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evaluation.kept.cells import SEARCHED_WITH, Cell, Known, folder_of
from evaluation.kept.rates import best, to_try
from evaluation.labs.cells import weights_hash
from evaluation.reproduce.cached_runs import PRETRAINING
from perlhf.run_folder import read_json, read_summary

REWARD, POLICY = "reward", "policy"
RANKS = (16, 8, 4, 1)
FULL = "full"
# Factors that are tried first, of what a rate is by the width of the backbone.
_START = {"LoRA": (0.3, 1.0, 3.0), FULL: (0.03, 0.1, 0.3)}
_BY_WIDTH = {REWARD: 1.3, POLICY: 0.8}
_SEARCHED_RANK = {REWARD: 4, POLICY: 8}


class Size(NamedTuple):
    """Describes a backbone.

    Attributes:
        width, layers: of it.
        seconds: CPU seconds of a run on it beside those on the shipped one, about.
    """

    width: int
    layers: int
    seconds: float = 1.0


SIZES = {"S": Size(128, 4), "XS": Size(96, 3, 0.65), "XXS": Size(64, 2, 0.4)}
_PRETRAINING_SECONDS = 1600  # of the shipped size


class Task(NamedTuple):
    """Describes what is trained on a task.

    Attributes:
        words: of the command.
        seconds: that a run takes on the shipped backbone, about.
        ranks: that are tried, by size of the backbone.
    """

    words: tuple[str, ...]
    seconds: float
    ranks: Mapping[str, Sequence[int]]


_ALL_RANKS = dict.fromkeys(SIZES, RANKS)
_FROM_RANDOM = ("--start", "random", "--warmup", "0", "--micro-batch-size", "8", "--policy-pairs", "0")
_HEAD = ("--log-prob-weight", "0", *_FROM_RANDOM)
# Of TLDR-v0 a head alone learns next to nothing from so many pairs (docs/results.md, "What the log-probability adds").
_HEAD_AND_LOG_PROB = ("--log-prob-weight", "0.1", *_FROM_RANDOM)
_AS_IN_THE_PAPER = (
    "--algorithm", "reinforce", "--lora-targets", "attention", "--lora-layers", "all", "--kl-coef", "0.05",
    "--total-timesteps", "1536", "--memory-report",
)  # fmt: skip
TASKS: Mapping[str, Mapping[str, Task]] = {
    REWARD: {
        "HH": Task(("--env", "HH-v0", "--pairs", "2000", *_HEAD), 45, _ALL_RANKS),
        "TLDR": Task(("--env", "TLDR-v0", "--pairs", "2000", *_HEAD_AND_LOG_PROB), 65, {"S": RANKS}),
        "UINav": Task(("--env", "UINav-v0", "--pairs", "3000", "--score-limit", "5", *_HEAD), 50, {"S": RANKS}),
    },
    POLICY: {
        "HH": Task(("--env", "HH-v0", *_AS_IN_THE_PAPER), 110, {"S": RANKS, "XS": (16,), "XXS": (16,)}),
        "TLDR": Task(("--env", "TLDR-v0", *_AS_IN_THE_PAPER), 115, {"S": (16,)}),
    },
}
_MODULES = {REWARD: "rewards.train_reward_model", POLICY: "agents.train_ppo"}
_CHOOSING = {
    REWARD: ("--eval-split", "validation", "--eval-pairs", "1000"),
    POLICY: ("--eval-split", "validation", "--eval-prompts", "160"),
}
_MEASURING = {REWARD: ("--eval-pairs", "2000"), POLICY: ("--eval-prompts", "500")}
# In this order, so that the tables of the shipped backbone on HH are whole first.
GROUPS = (
    (REWARD, "HH", "S"), (POLICY, "HH", "S"), (REWARD, "HH", "XXS"), (POLICY, "HH", "XXS"), (REWARD, "HH", "XS"),
    (POLICY, "HH", "XS"), (REWARD, "UINav", "S"), (REWARD, "TLDR", "S"), (POLICY, "TLDR", "S"),
)  # fmt: skip


def plan(known: Known, seeds: Sequence[int], quick: bool) -> list[Cell]:
    """Returns all cells; see `evaluation.kept.cells.Experiment`."""
    cells = _quick(seeds) if quick else []
    for seed in () if quick else seeds:
        for group in GROUPS:
            cells += [*backbone(group[2]), *searches(known, *group), *reported(known, *group, seed)]
    return list({cell.name: cell for cell in cells}.values())


def _quick(seeds: Sequence[int]) -> list[Cell]:
    """Returns a few cells of the smallest size: a rate that is tried, and the seeds of one setting of each stage."""
    size = "XXS"
    reward, policy = (REWARD, "HH", size), (POLICY, "HH", size)
    cells = [*backbone(size), searched(*policy, "LoRA", 1.0)]
    for seed in seeds:
        cells.append(_at(*reward, FULL, 0.1, seed))
        cells.append(_at(*policy, "LoRA 16", 1.0, seed))
    return cells


def settings_of(stage: str, task: str, size: str) -> list[str]:
    """Returns what is trained on a task and a size, by name: full tuning, and the ranks of LoRA."""
    return [FULL, *(f"LoRA {rank}" for rank in TASKS[stage][task].ranks[size])]


def backbone(size: str) -> list[Cell]:
    """Returns the cell that makes the backbone of a size, where it is not a shipped one."""
    of = SIZES[size]
    if size == "S":
        return []
    words = (PRETRAINING, "tiny", "--hidden-size", str(of.width), "--layers", str(of.layers))
    return [Cell(f"backbone {size}", words, kept_of_backbone, of.seconds * _PRETRAINING_SECONDS)]


def searches(known: Known, stage: str, task: str, size: str) -> list[Cell]:
    """Returns the cells that rates are chosen by, those of which it is known now that they are asked."""
    return [
        searched(stage, task, size, kind, factor)
        for kind in _START
        for factor in asked_for(known, stage, task, size, kind)
    ]


def asked_for(known: Known, stage: str, task: str, size: str, kind: str) -> list[float]:
    """Returns the factors of a rate that were tried, and those to try now, from the lowest on."""
    values = values_of(known, stage, task, size, kind)
    return sorted({*values, *to_try(_START[kind], values)})


def values_of(known: Known, stage: str, task: str, size: str, kind: str) -> dict[float, float]:
    """Returns how good rates were on validation, by factor."""
    start = f"{stage} {task} {size} {kind}, rate x"
    return {float(name[len(start) :]): of["chosen_by"] for name, of in known.items() if name.startswith(start)}


def chosen(known: Known, stage: str, task: str, size: str, kind: str) -> float | None:
    """Returns the factor of the rate that is best on validation; None as long as it is not known."""
    values = values_of(known, stage, task, size, kind)
    return None if to_try(_START[kind], values) else best(values)


def rate_of(stage: str, size: str, factor: float) -> str:
    """Returns a learning rate as a word of a command."""
    return f"{factor * _BY_WIDTH[stage] / SIZES[size].width:.3g}"


def searched(stage: str, task: str, size: str, kind: str, factor: float) -> Cell:
    """Returns the cell that says how good a rate is on validation: of LoRA at one rank, which all take it from."""
    setting = kind if kind == FULL else f"LoRA {_SEARCHED_RANK[stage]}"
    words = (*_CHOOSING[stage], "--seed", str(SEARCHED_WITH))
    return _cell(f"{stage} {task} {size} {kind}, rate x{factor:g}", stage, task, size, setting, factor, words)


def reported(known: Known, stage: str, task: str, size: str, seed: int) -> list[Cell]:
    """Returns the cells of a seed that the tables are of, at the rates that were chosen."""
    cells = []
    for setting in settings_of(stage, task, size):
        factor = chosen(known, stage, task, size, setting.split()[0])
        cell = _at(stage, task, size, setting, factor or 1.0, seed)
        cells.append(cell._replace(ready=factor is not None))
    return cells


def _at(stage: str, task: str, size: str, setting: str, factor: float, seed: int) -> Cell:
    """Returns a cell that the tables are of, at a rate."""
    words = (*_MEASURING[stage], "--seed", str(seed))
    return _cell(name_of(stage, task, size, setting, seed), stage, task, size, setting, factor, words)


def name_of(stage: str, task: str, size: str, setting: str, seed: int) -> str:
    """Returns the name of a cell that the tables are of."""
    return f"{stage} {task} {size} {setting}, seed {seed}"


def _cell(name: str, stage: str, task: str, size: str, setting: str, factor: float, words: Sequence[str]) -> Cell:
    of, trained = TASKS[stage][task], ("--full",) if setting == FULL else ("--lora-rank", setting.split()[1])
    base = "" if size == "S" else f"backbone {size}"
    on = ("--backbone", folder_of(base)) if base else ()
    rate = ("--learning-rate", rate_of(stage, size, factor))
    keep = kept_of_reward if stage == REWARD else kept_of_policy
    return Cell(
        name, (_MODULES[stage], *of.words, *on, *trained, *rate, *words), keep, SIZES[size].seconds * of.seconds, base
    )


# What is kept of a run.

_COST = ("cpu_seconds", "peak_rss_mb")


def kept_of_backbone(folder: Path) -> dict[str, Any]:
    """Returns what a pretraining says of itself, and the hash of the weights that it made."""
    return {**read_json(folder / "pretraining.json"), "sha256": weights_hash([folder])}


def kept_of_reward(folder: Path) -> dict[str, Any]:
    """Returns the accuracy of a reward model on held-out records, and its cost."""
    summary = read_summary(folder)
    found = {key: summary[key] for key in ("accuracy", "baselines", "pairs_per_cpu_second", *_COST)}
    agreement = {"gold_agreement": summary["gold_agreement"]["mean"]} if "gold_agreement" in summary else {}
    return {**found, **agreement, "chosen_by": summary["accuracy"]["mean"]}


def kept_of_policy(folder: Path) -> dict[str, Any]:
    """Returns the gold of a policy and of SFT, how far apart they are, and the cost."""
    summary = read_summary(folder)
    golds = {
        side: {key: summary[side][key] for key in summary[side] if key.startswith(("gold", "score"))}
        for side in ("sft", "policy")
    }
    found = {key: summary[key] for key in ("kl", "samples_per_cpu_second", *_COST)}
    found["beyond_sharpening"] = {key: of for key, of in summary["beyond_sharpening"].items() if key != "groups"}
    if "memory" in summary:
        found["held_mb"] = sum(sum(of_role.values()) for of_role in summary["memory"]["held"].values()) / 2**20
    return {**golds, **found, "chosen_by": summary["policy"]["gold"]}
