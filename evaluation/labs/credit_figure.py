"""The figure of `perlhf lab credit`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.labs.figures import COLOURS, INK, figure_at

SCALED = "GRPO"  # whose estimates are in another unit, spreads of their group
_KINDS = ("GAE", "RLOO", "GRPO", "GiGPO", "VinePPO")


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws the estimates: how they go with the truth, and what they are off by, on average and by chance.

    Args:
        report: of `evaluation.labs.credit.summary`.
        path: of the PNG file.
    """
    methods = report["methods"]
    names = list(methods)[::-1]
    colours = [COLOURS[next(i for i, kind in enumerate(_KINDS) if name.startswith(kind))] for name in names]
    with figure_at(path, 9.5, 4.8) as figure:
        left, middle, right = figure.subplots(1, 3, sharey=True, width_ratios=(1, 1.15, 1))
        for y, (name, colour) in enumerate(zip(names, colours, strict=True)):
            of = methods[name]
            mean, low, high = of["correlation"]
            left.errorbar(mean, y, xerr=[[mean - low], [high - mean]], fmt="o", color=colour, capsize=2, linewidth=1)
            if name == SCALED:
                continue
            bias, noise = of["bias"][0], of["noise"][0]
            middle.barh(y + 0.18, bias, 0.34, color=colour, label="bias" if y == 0 else None)
            middle.barh(y - 0.18, noise, 0.34, color=colour, alpha=0.4, label="noise" if y == 0 else None)
            right.barh(y, noise * of["turns"] ** 0.5, 0.6, color=colour, alpha=0.4)
        middle.axvline(report["spread"], color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        left.set_yticks(range(len(names)), names)
        left.axvline(0, color=INK, linewidth=0.8)
        left.set_title("Correlation with the truth")
        middle.set_title("Bias (full) and noise (pale);\ndashed: spread of the truth")
        right.set_title("Noise at equal cost:\ntimes the root of turns played")
        for axes in (left, middle, right):
            axes.grid(axis="y", visible=False)
