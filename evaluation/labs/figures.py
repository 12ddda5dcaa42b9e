"""Figures of labs, drawn by matplotlib for a light page; the same bytes for the same figures."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from evaluation.reporting.page import NEEDED
from perlhf.errors import UserError

COLOURS = ("#2f6fb0", "#d1702b", "#3b8f5a", "#8b5aa8", "#b03a4a", "#6b6f76", "#a38a1f", "#2a9aa5")
INK = "#22262b"
_STYLE = {
    "font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": "#e3e6ea",
    "grid.linewidth": 0.7, "axes.axisbelow": True, "axes.edgecolor": "#9aa1a9", "text.color": INK,
    "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK, "figure.facecolor": "white",
    "axes.facecolor": "white", "legend.frameon": False, "axes.titlesize": 10, "axes.titlelocation": "left",
}  # fmt: skip


def require_figures() -> None:
    """Makes sure that figures can be drawn, before hours are spent on what they show.

    Raises:
        UserError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise UserError(f"figures need matplotlib: {NEEDED}") from None


@contextmanager
def figure_at(path: Path, width: float, height: float) -> Iterator[Any]:
    """Gives a figure of so many inches, to be drawn inside; it is written to a PNG file at the end.

    Raises:
        UserError: matplotlib is not installed.
    """
    require_figures()
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        yield figure
        figure.savefig(path, dpi=150, metadata={"Software": None})
