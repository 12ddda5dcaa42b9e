"""The figure of `perlhf lab credit`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.labs.figures import COLOURS, INK, figure_at

_KINDS = ("GAE", "RLOO", "GRPO", "GiGPO", "VinePPO")
_OFF = (("bias", 1.0), ("offset", 0.6), ("noise", 0.25))  # and how much colour each has
_MOST = 200  # played turns that are shown: some intervals have no end


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the estimates: how they go with the truth, what they are off by, and what they cost.

    Args:
        report: of `evaluation.labs.credit_report.summary`.
        path: of the PNG file.
    """
    methods = report["methods"]
    with figure_at(path, 10, 7.4) as figure:
        left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=(1, 1.2, 1))
        for y, (name, of) in enumerate(methods.items()):
            colour = COLOURS[next(i for i, kind in enumerate(_KINDS) if name.startswith(kind))]
            _dot(left, y, of["correlation"], colour)
            for place, (what, alpha) in enumerate(_OFF):
                middle.barh(y + (place - 1) * 0.27, of[what][0], 0.26, color=colour, alpha=alpha)
            _dot(right, y, of["needed"], colour)
        left.set_yticks(range(len(methods)), list(methods))
        left.set_ylim(len(methods) - 0.5, -0.5)
        left.axvline(0, color=INK, linewidth=0.8)
        left.set_title("Correlation with the true advantage")
        handles = [middle.barh(0, 0, color=INK, alpha=alpha, label=what) for what, alpha in _OFF]
        handles.append(middle.axvline(report["spread"], color=INK, linewidth=0.9, linestyle=(0, (4, 3)), label="truth"))
        middle.legend(handles=handles, loc="center right")
        middle.set_title("Off by (root mean square)")
        right.set_xscale("log")
        right.set_xlim(0.9, _MOST)
        right.set_xticks((1, 3, 10, 30, 100), ("1", "3", "10", "30", "100"))
        right.minorticks_off()
        right.axvline(1, color=INK, linewidth=0.8)
        right.set_title("Played turns needed\nfor one of true advantages")
        for axes in (left, middle, right):
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)


def _dot(axes: Any, y: int, of: Sequence[float], colour: str) -> None:
    """Draws a figure and its interval."""
    mean, low, high = of
    axes.errorbar(mean, y, xerr=[[mean - low], [high - mean]], fmt="o", color=colour, capsize=2, linewidth=1)
