"""The figure of `perlhf lab hack`."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from evaluation.labs.figures import COLOURS, INK, figure_at


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the hack's proxy and gold, run by run; below, gold with each remedy, and where all of them end.

    Args:
        report: what `evaluation.labs.hack` found.
        path: of the PNG file.
    """
    with figure_at(path, 9.5, 6.6) as figure:
        (proxy, gold), (remedies, ends) = figure.subplots(2, 2)
        runs = report["arms"]["none"]["runs"]
        _runs(proxy, report["updates"], runs, "proxy", "No remedy: the reward model's score")
        _runs(gold, report["updates"], runs, "gold", "No remedy: gold, its peak marked")
        for run, colour in zip(runs, COLOURS, strict=False):
            place = report["updates"].index(run["peaked_at"])
            gold.plot(run["peaked_at"], run["gold"][place], "o", color=colour, markersize=6)
        gold.set_ylim(bottom=0)
        colours = dict(zip(report["arms"], (INK, *COLOURS), strict=False))
        for name, of in report["arms"].items():
            mean = np.mean([run["gold"] for run in of["runs"]], axis=0)
            remedies.plot(report["updates"], mean, color=colours[name], linewidth=2 if name == "none" else 1.4)
        remedies.set_ylim(bottom=0)
        remedies.set_xlabel("update")
        remedies.set_title("Gold with each remedy, mean over seeds")
        _ends(ends, report, colours)


def _runs(axes: Any, updates: list[int], runs: list[Mapping[str, Any]], what: str, title: str) -> None:
    for number, (run, colour) in enumerate(zip(runs, COLOURS, strict=False)):
        axes.plot(updates, run[what], color=colour, linewidth=1.4, label=f"seed {number}")
    axes.set_xlabel("update")
    axes.set_title(title)
    if what == "proxy":
        axes.legend(loc="lower right", ncols=2)


def _ends(axes: Any, report: Mapping[str, Any], colours: Mapping[str, str]) -> None:
    """Draws gold at the end of every arm: each seed, and the mean with its interval."""
    names = list(report["arms"])
    for place, name in enumerate(names):
        of, row = report["arms"][name], len(names) - place
        axes.plot([run["end"] for run in of["runs"]], [row] * len(of["runs"]), "|", color=colours[name], markersize=9)
        low, high = of["end"]["mean"] - of["end"]["low"], of["end"]["high"] - of["end"]["mean"]
        axes.errorbar(of["end"]["mean"], row, xerr=[[low], [high]], fmt="o", color=colours[name], capsize=3)
    axes.axvline(report["arms"]["none"]["start"]["mean"], color=INK, linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(names), 0, -1), [fill(name, 16) for name in names])
    axes.set_ylim(0.4, len(names) + 0.6)
    axes.grid(axis="y", visible=False)
    axes.set_title("Gold at the end; dotted: SFT")
