"""The tables of docs/reproduction.md: ours beside those of PE-RLHF (arXiv 2403.10704 v2)."""

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.kept import paper
from evaluation.kept.cells import SEEDS, Experiment, Known
from evaluation.kept.paper_cells import (
    FULL,
    GROUPS,
    POLICY,
    REWARD,
    SIZES,
    TASKS,
    asked_for,
    backbone,
    chosen,
    name_of,
    plan,
    rate_of,
    reported,
    settings_of,
    values_of,
)
from evaluation.kept.rows import MISSING, beside, command_lines, count, mean_of, over, sound
from evaluation.labs.cells import table

Runs = Sequence[Mapping[str, Any]]  # of one setting, a seed each


def tables(known: Known) -> dict[str, list[str]]:
    """Returns the tables of the page by their names on it."""
    return {
        "costs": cost_rows(known),
        "reward models": reward_rows(known),
        "policies": policy_rows(known),
        "backbones": backbone_rows(known),
        "rates": rate_rows(known),
        "commands": commands(known),
    }


def names_of(stage: str, task: str, size: str, setting: str) -> list[str]:
    """Returns the names of the cells of a setting, a seed each."""
    return [name_of(stage, task, size, setting, seed) for seed in SEEDS]


def runs_of(known: Known, stage: str, task: str, size: str, setting: str) -> Runs:
    """Returns the runs of a setting that are there."""
    return sound(known, names_of(stage, task, size, setting))


def reward_rows(known: Known) -> list[str]:
    """Returns Table 2: accuracy of reward models, ours and the paper's."""
    head = ["reward model of", "backbone", "trained", "accuracy", "seeds", "the paper's, %", "rate", "CPU s"]
    rows = []
    for task, size, setting in _settings(REWARD):
        runs, full = (runs_of(known, REWARD, task, size, of) for of in (setting, FULL))
        cells = [over([run["accuracy"]["mean"] for run in runs]), count(known, names_of(REWARD, task, size, setting))]
        cells += [_paper(paper.REWARD, task, size, setting), _rate(known, REWARD, task, size, setting)]
        cells += [
            mean_of(_each(runs, "cpu_seconds"), 0),
            beside(_each(runs, "cpu_seconds"), _each(full, "cpu_seconds")),
        ]
        cells += [
            mean_of(_each(runs, "peak_rss_mb"), 0),
            beside(_each(runs, "peak_rss_mb"), _each(full, "peak_rss_mb")),
        ]
        rows.append([task, size, setting, *cells])
    return table([*head, "by full's", "peak MB", "by full's"], rows)


def policy_rows(known: Known) -> list[str]:
    """Returns Table 3: gold of SFT and of policies, ours and what the paper's judge says."""
    head = ["policy on", "backbone", "trained", "gold, sampled", "gold, greedy", "beyond sharpening", "KL (nats)"]
    head += ["seeds", "the paper's, %", "rate", "CPU s", "by full's", "held MB", "by full's"]
    rows = []
    for task, size, setting in _settings(POLICY):
        full = runs_of(known, POLICY, task, size, FULL)
        if setting == FULL:
            sft = [over([run["sft"][key] for run in full]) for key in ("gold", "gold_greedy")]
            rows.append(
                [task, size, "SFT", *sft, "", "", str(len(full)), _paper(paper.POLICY, task, size, "SFT"), *[""] * 5]
            )
        runs = runs_of(known, POLICY, task, size, setting)
        cells = [over([run["policy"][key] for run in runs]) for key in ("gold", "gold_greedy")]
        cells += [over([run["beyond_sharpening"]["mean"] for run in runs], with_sign=True)]
        cells += [mean_of(_each(runs, "kl")), count(known, names_of(POLICY, task, size, setting))]
        cells += [_paper(paper.POLICY, task, size, setting)]
        cells += [_rate(known, POLICY, task, size, setting)]
        for key in ("cpu_seconds", "held_mb"):
            cells += [mean_of(_each(runs, key)), beside(_each(runs, key), _each(full, key))]
        rows.append([task, size, setting, *cells])
    return table(head, rows)


def cost_rows(known: Known) -> list[str]:
    """Returns Table 1: what LoRA reaches and costs beside full tuning, on the shipped backbone."""
    head = ["", "full", "LoRA", "the paper's, %", "memory by full's", "the paper's", "times as fast", "the paper's"]
    rows = []
    for stage, task, size in (group for group in GROUPS if group[2] == "S"):
        settings = settings_of(stage, task, size)
        # The paper takes rank 4 of reward models, and of policies the best, here the best by gold when sampled.
        ranks = ["LoRA 4"] if stage == REWARD else settings[1:]
        by_rank = {rank: _figures(runs_of(known, stage, task, size, rank), stage) for rank in ranks}
        best = max(by_rank, key=lambda rank: sum(by_rank[rank]) / len(by_rank[rank]) if by_rank[rank] else -1.0)
        full, lora = (runs_of(known, stage, task, size, setting) for setting in (FULL, best))
        of = paper.REWARD if stage == REWARD else paper.POLICY
        both = "{} and {}".format(*(_paper(of, task, size, setting) for setting in (FULL, best)))
        memory = "peak_rss_mb" if stage == REWARD else "held_mb"
        cost = paper.COSTS[stage][task]
        cells = [over(_figures(full, stage)), f"{over(_figures(lora, stage))} ({best})", both]
        cells += [beside(_each(lora, memory), _each(full, memory)), f"{cost.memory:g}"]
        cells += [beside(_each(full, "cpu_seconds"), _each(lora, "cpu_seconds")), f"{cost.speed:g}"]
        rows.append([f"{stage} {task}", *cells])
    return table(head, rows)


def backbone_rows(known: Known) -> list[str]:
    """Returns the backbones of other sizes than the shipped one's, and what they are like after pretraining."""
    head = ["backbone", "width", "layers", "loss", "gold, sampled", "gold, greedy", "CPU s"]
    rows = []
    for size, of in SIZES.items():
        for cell in backbone(size):
            made = known.get(cell.name)
            cells = [MISSING, "", "", ""]
            if made is not None:
                gold = made["gold"]["hh"] if "hh" in made["gold"] else made["gold"]
                cells = [f"{made['loss']:.3f}", f"{gold['sampled']:.3f}", f"{gold['greedy']:.3f}"]
                cells.append(f"{made['process_cpu_seconds']:.0f}")
            rows.append([size, str(of.width), str(of.layers), *cells])
    return table(head, rows)


def rate_rows(known: Known) -> list[str]:
    """Returns what rates were tried, and how good each was on validation."""
    rows = []
    for stage, task, size in GROUPS:
        for kind in ("LoRA", FULL):
            values, best = values_of(known, stage, task, size, kind), chosen(known, stage, task, size, kind)
            tried = [
                f"{rate_of(stage, size, factor)}: {_value(values[factor])}" if factor in values else
                f"{rate_of(stage, size, factor)}: {MISSING}"
                for factor in asked_for(known, stage, task, size, kind)
            ]  # fmt: skip
            said = MISSING if best is None else rate_of(stage, size, best)
            rows.append([f"{stage} {task} {size} {kind}", said, ", ".join(tried)])
    return table(["", "chosen", "tried: figure on validation"], rows)


def commands(known: Known) -> list[str]:
    """Returns the command of each row, with its first seed; of what is not known yet how it is asked, there is none."""
    made = [cell for size in SIZES for cell in backbone(size)]
    made += [cell for group in GROUPS for cell in reported(known, *group, SEEDS[0]) if cell.ready]
    return command_lines(made)


def _settings(stage: str) -> list[tuple[str, str, str]]:
    """Returns (task, size, setting) of each row of a stage's table."""
    groups = [(task, size) for task in TASKS[stage] for size in SIZES if (stage, task, size) in GROUPS]
    return [(task, size, setting) for task, size in groups for setting in settings_of(stage, task, size)]


def _each(runs: Runs, key: str) -> list[float]:
    return [run[key] for run in runs]


def _figures(runs: Runs, stage: str) -> list[float]:
    """Returns the figure of each run that Table 1 is of."""
    return [run["accuracy"]["mean"] if stage == REWARD else run["policy"]["gold"] for run in runs]


def _value(figure: float) -> str:
    return f"{figure:.3f}" if figure >= 0 else "diverged"


def _paper(of: Mapping[str, paper.Figures], task: str, size: str, setting: str) -> str:
    figure = of[task].get(size, {}).get(setting)
    return "" if figure is None else f"{figure:g}"


def _rate(known: Known, stage: str, task: str, size: str, setting: str) -> str:
    factor = chosen(known, stage, task, size, setting.split()[0])
    return "" if factor is None else rate_of(stage, size, factor)


PAPER = Experiment("Tables 1 to 3 of arXiv 2403.10704 on the miniature tasks", "reproduction.md", plan, tables)
