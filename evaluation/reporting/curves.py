"""Curves of runs as SVG, drawn by matplotlib, in the colours of the page that they stand in, in both themes."""

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from evaluation.reporting.page import NEEDED
from evaluation.reporting.run import Run
from perlhf.errors import UserError

COLOURS = 8  # of runs, see shared.css; further ones have the same in other dashes
WINDOW = 5  # rows that a smoothed curve is the mean of at least
_WIDTH, _HEIGHT = 3.9, 2.15  # inches of 72 points
# Colours that nothing else has; the SVG says in their place which colour of the page it is.
_INK, _FAINT, _LINE = "#0a0a01", "#0a0a02", "#0a0a03"
_SERIES = [f"#0b0b0{i}" for i in range(COLOURS)]
_PLACES = {_INK: "--ink", _FAINT: "--faint", _LINE: "--line"} | {c: f"--s{i}" for i, c in enumerate(_SERIES)}
_STYLE = {
    "svg.fonttype": "none", "svg.hashsalt": "perlhf", "font.size": 8, "axes.spines.top": False,
    "axes.spines.right": False, "axes.edgecolor": _LINE, "axes.grid": True, "grid.color": _LINE, "grid.linewidth": 0.6,
    "axes.axisbelow": True, "xtick.color": _LINE, "ytick.color": _LINE, "xtick.labelcolor": _FAINT,
    "ytick.labelcolor": _FAINT, "axes.labelcolor": _FAINT, "axes.linewidth": 0.8,
}  # fmt: skip
_DASHES = ("-", "--", ":", "-.")

# What has a name, by its own in the log. Those down to the length of episodes are shown at once.
NAMED = {
    "rollout/gold": ("Gold", "the verdict of the task's own judge on what was sampled"),
    "rollout/score": ("Score", "what the reward gives a turn"),
    "rollout/kl_to_reference": ("KL to SFT", "nats a response"),
    "rollout/entropy": ("Entropy", "nats a token"),
    "train/value_loss": ("Value loss", "half the squared error of V, a token"),
    "train/explained_variance": ("Explained variance", "of the returns by V: 1 is all, 0 none"),
    "rollout/success_rate": ("Success rate", "share of the last hundred episodes"),
    "rollout/response_length": ("Response length", "tokens"),
    "rollout/ep_len_mean": ("Episode length", "turns"),
    "rollout/ended": ("Ended", "share of the responses that were not cut"),
    "train/clip_fraction": ("Clip fraction", "share of the tokens whose ratio is clipped"),
    "train/approx_kl": ("Approximate KL of an update", "nats a token, to the policy that sampled"),
    "train/policy_loss": ("Policy loss", "a token"),
    "train/grad_norm": ("Gradient norm", "before it is clipped"),
    "train/kl_coef": ("KL coefficient", "the weight of the KL penalty"),
    "train/learning_rate": ("Learning rate", "of the policy"),
}
SHOWN = tuple(NAMED)[: list(NAMED).index("rollout/ep_len_mean") + 1]
_LOOKS = {"rollout/gold": "eval/gold", "rollout/score": "eval/score"}  # of held-out episodes, in the same plot
_LEFT_OUT = {"step", "train/n_updates", "rollout/ep_rew_mean"}  # counters, and what is the score once more


class Curve(NamedTuple):
    """Holds a plot of one figure.

    Attributes:
        key: its name in the log.
        title, what: what it is, in a word or two and in a line.
        said: what the curve does, for those who do not see it.
        svg: the plot, without text that came from outside.
        looks: whether it shows held-out episodes too.
        level: whether it shows what SFT reaches.
    """

    key: str
    title: str
    what: str
    said: str
    svg: str
    looks: bool = False
    level: bool = False


def window_of(count: int) -> int:
    """Returns how many of so many rows a smoothed curve is the mean of: an odd number, about a 25th."""
    return max(WINDOW, count // 25) | 1


def smoothed(values: Sequence[float], window: int | None = None) -> list[float]:
    """Returns the mean of each value and its neighbours, `window` of them together, and fewer at the ends."""
    half = (window_of(len(values)) if window is None else window) // 2
    return [float(np.mean(values[max(0, i - half) : i + half + 1])) for i in range(len(values))]


def series(rows: Sequence[Mapping[str, Any]], key: str) -> tuple[list[int], list[float]]:
    """Returns the turns at which a figure was logged as a finite number, and what it was."""
    found = [(row["step"], row[key]) for row in rows if is_number(row.get(key))]
    return [step for step, _ in found], [float(value) for _, value in found]


def is_number(value: Any) -> bool:
    """Tells whether a value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def curves_of(runs: Sequence[Run]) -> tuple[list[Curve], dict[str, float]]:
    """Draws everything that runs have logged, a plot for each figure.

    Returns:
        The plots, those of `NAMED` first; and what has one value in all rows of all runs, with that value.

    Raises:
        UserError: matplotlib is not installed.
    """
    logged = dict.fromkeys(key for run in runs for row in run.rows for key in row)
    keys = [key for key in NAMED if key in logged]
    shown_with = set(_LOOKS.values()) | {"eval/gold_standard_error", "eval/score_standard_error"}
    keys += sorted(key for key in logged if not {key} & {*NAMED, *_LEFT_OUT, *shown_with} and key[:5] != "time/")
    curves, constant = [], {}
    for number, key in enumerate(keys):
        values = {value for run in runs for value in series(run.rows, key)[1]}
        if len(values) == 1:
            constant[key] = values.pop()
        elif values:
            curves.append(_curve(runs, key, number))
    return curves, constant


def _curve(runs: Sequence[Run], key: str, number: int) -> Curve:
    title, what = NAMED.get(key, (key, ""))
    said, looks, level = [], False, False
    with _figure() as figure:
        axes = figure.subplots()
        for i, run in enumerate(runs):
            steps, values = series(run.rows, key)
            if not values:
                continue
            colour, dash = _SERIES[i % COLOURS], _DASHES[i // COLOURS % len(_DASHES)]
            means = smoothed(values)
            if len(values) > WINDOW:
                axes.plot(steps, values, color=colour, linewidth=0.7, alpha=0.35)
            axes.plot(steps, means, color=colour, linewidth=1.6, linestyle=dash, marker="" if len(steps) > 1 else "o")
            said.append(f"{run.name}: {means[0]:.3g} at first, {means[-1]:.3g} in the end")
            looks |= _add_looks(axes, run, key, colour)
            if len(runs) == 1 and (sft := _level_of(run, key)) is not None:
                axes.axhline(sft, color=_FAINT, linewidth=1, linestyle=(0, (4, 3)))
                level = True
        svg = _svg(figure, f"c{number}")
    return Curve(key, title, what, "; ".join(said), svg, looks, level)


def _add_looks(axes: Any, run: Run, key: str, colour: str) -> bool:
    """Adds looks at held-out episodes with their standard errors; tells whether there are any."""
    name = _LOOKS.get(key, "")
    steps, values = series(run.rows, name)
    if values:
        errors = [row.get(f"{name}_standard_error", 0.0) for row in run.rows if is_number(row.get(name))]
        axes.errorbar(steps, values, yerr=errors, color=colour, fmt="o", markersize=3, linewidth=0.9, capsize=2)
    return bool(values)


def _level_of(run: Run, key: str) -> float | None:
    """Returns what SFT reaches at its best temperature on held-out prompts, beside its curve; None elsewhere."""
    if "sft_temperature" not in run.summary or key != f"rollout/{run.summary['sft_temperature']['by']}":
        return None
    return float(run.summary["sft"]["best"]["mean"])


@contextmanager
def _figure() -> Iterator[Any]:
    """Gives a figure of matplotlib's in the style of pages, to be drawn and saved inside.

    Raises:
        UserError: it is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError(f"curves need matplotlib: {NEEDED}") from None
    with rc_context(_STYLE):
        yield Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")


def _svg(figure: Any, prefix: str) -> str:
    """Returns a figure as an SVG element whose names are its own on a page with many."""
    from matplotlib.ticker import EngFormatter, MaxNLocator

    (axes,) = figure.axes
    axes.set_xlabel("turns")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    out = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(out, format="svg", transparent=True, metadata=nothing)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", text, flags=re.S)
    text = re.sub(r' (xmlns(:xlink)?|version)="[^"]*"', "", text)
    text = re.sub(r'^<svg width="[^"]*" height="[^"]*"', "<svg", text)
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{prefix}-", text).replace("xlink:href", "href")
    text = re.sub(r" font-family: [^;\"]*;?", "", text)  # the page has its own
    for colour, name in _PLACES.items():
        text = text.replace(colour, f"var({name})")
    return re.sub(r"\s*\n\s*", "\n", text).strip()
