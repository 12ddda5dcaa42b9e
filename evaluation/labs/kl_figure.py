"""The figure of `perlhf lab kl`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.labs.figures import COLOURS, INK, figure_at
from evaluation.labs.kl_estimators import ESTIMATORS, WAYS

_OF = dict(zip(ESTIMATORS, COLOURS, strict=False))


def draw(values: Mapping[str, Any], gradients: Mapping[str, Any], path: Path) -> None:
    """Draws estimators as numbers above, and as penalties below, policy by policy.

    Args:
        values: what `evaluation.labs.kl` found of each policy.
        gradients: the same of the penalties.
        path: of the PNG file.
    """
    with figure_at(path, 9.5, 6.6) as figure:
        from matplotlib.ticker import PercentFormatter

        (bias, spread), (cosine, noise) = figure.subplots(2, 2)
        _bars(bias, values, "bias", "As a number: bias at a token, by the KL there")
        bias.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        _bars(spread, values, "sd", "Standard deviation at a token, by the KL there")
        spread.legend(title="estimator")
        _dots(cosine, gradients, "cosine", "As a penalty: cosine of its mean gradient with the true one")
        cosine.set_ylim(-1.05, 1.05)
        cosine.axhline(0, color=INK, linewidth=0.8)
        _dots(noise, gradients, "noise", "Noise in a batch, in lengths of the true gradient")
        noise.set_yscale("log")
        figure.legend(*noise.get_legend_handles_labels(), loc="outside lower center", ncols=6)


def has_direction(judged: Mapping[str, Any]) -> bool:
    """Returns whether a mean gradient is longer than two standard errors of its length; else it may be 0."""
    return bool(judged["length"] > 2 * judged["standard_error"]["length"])


def _bars(axes: Any, values: Mapping[str, Any], what: str, title: str) -> None:
    """Draws one figure of the estimators at a token, in parts of the KL."""
    for i, name in enumerate(ESTIMATORS):
        places = [place + (i - 1) * 0.26 for place in range(len(values))]
        heights = [of["tokens"][name][what] / of["tokens"]["kl"] for of in values.values()]
        axes.bar(places, heights, 0.24, color=_OF[name], label=name)
    axes.axhline(0, color=INK, linewidth=0.8)
    labels = [f"{name}\nKL {of['tokens']['kl']:.3g} a token" for name, of in values.items()]
    _finish(axes, labels, title)


def _dots(axes: Any, gradients: Mapping[str, Any], what: str, title: str) -> None:
    """Draws one figure of the penalties with two standard errors: filled in the reward, hollow as a loss."""
    for i, way in enumerate(WAYS):
        shown = [(n, of[way]) for n, of in enumerate(gradients.values()) if what != "cosine" or has_direction(of[way])]
        places = [n + (i - 2.5) * 0.13 for n, _ in shown]
        heights = [of[what] for _, of in shown]
        errors = [2 * of["standard_error"][what] for _, of in shown]
        colour, hollow = _OF[way[:2]], way.endswith("loss")
        style = {"color": colour, "markerfacecolor": "white" if hollow else colour, "fmt": "s" if hollow else "o"}
        axes.errorbar(places, heights, yerr=errors, markersize=5, linewidth=1, capsize=2, label=way, **style)
    _finish(axes, list(gradients), title)


def _finish(axes: Any, labels: list[str], title: str) -> None:
    axes.set_xticks(range(len(labels)), labels)
    axes.grid(axis="x", visible=False)
    axes.set_title(title)
