"""Cells of Markdown tables: figures over the seeds that were run, and the commands that print them again."""

from collections.abc import Iterable, Sequence
from typing import Any

from evaluation.kept.cells import Cell, Known
from evaluation.labs.peaks import over_seeds
from evaluation.metrics import interval, signed

MISSING = "not run yet"
_COMMANDS = {
    "agents.train_ppo": "train-ppo", "rewards.train_reward_model": "train-reward-model", "agents.pretrain": "pretrain",
    "evaluation.report_reward_model": "report-reward-model",
}  # fmt: skip


def sound(known: Known, names: Iterable[str]) -> list[dict[str, Any]]:
    """Returns the runs that are there, less those whose numbers did not stay finite."""
    return [dict(known[name]) for name in names if name in known and "failed" not in known[name]]


def count(known: Known, names: Iterable[str]) -> str:
    """Returns how many runs are there, and how many of them did not stay finite."""
    there = [known[name] for name in names if name in known]
    lost = sum("failed" in run for run in there)
    return f"{len(there)}, {lost} of them diverged" if lost else str(len(there))


def over(values: Sequence[float], with_sign: bool = False) -> str:
    """Returns the mean over seeds with its 95% interval by Student's t; of one seed the figure alone."""
    if len(values) < 2:
        return f"{values[0]:{'+' if with_sign else ''}.3f}" if values else MISSING
    return (signed if with_sign else interval)(over_seeds(values))


def mean_of(values: Sequence[float], digits: int = 1) -> str:
    """Returns a mean over seeds; nothing where none was run."""
    return f"{sum(values) / len(values):.{digits}f}" if values else ""


def beside(values: Sequence[float], others: Sequence[float]) -> str:
    """Returns the mean of some values by that of others; nothing where one of them is not known."""
    if not values or not others:
        return ""
    return f"{sum(values) / len(values) / (sum(others) / len(others)):.2f}"


def command_lines(cells: Sequence[Cell], folder: str = "runs/reproduce") -> list[str]:
    """Returns the command of each cell below its name, as lines of code in Markdown."""
    lines, bases = [], {cell.base for cell in cells}
    for cell in cells:
        module, *given = cell.words_in(folder)
        words = [_COMMANDS[module], *given]
        if cell.name in bases or cell.words[0] == "agents.pretrain":  # what is made to begin from
            words += ["--output-dir", f"{folder}/{cell.folder}"]
        lines += [f"    # {cell.name}", f"    perlhf {' '.join(words)}"]
        if cell.then:
            lines.append(f"    perlhf evaluate RUN {' '.join(cell.then)}")
    return lines
