"""The figure of `perlhf lab overoptimise`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.labs.figures import COLOURS, figure_at

_STYLES = ("-", "--")  # of right labels, and with wrong ones


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Draws gold and proxy by the root of the KL: best-of-n by pairs and by kind, and PPO.

    Args:
        report: what `evaluation.labs.overoptimise` found.
        path: of the PNG file.
    """
    shares = sorted({of["wrong"] for of in report["best_of_n"]})
    styles = dict(zip(shares, _STYLES, strict=False))
    sizes = sorted({of["pairs"] for of in report["best_of_n"]})
    kinds = list(dict.fromkeys(of["kind"] for of in report["ppo"]))
    by_size = dict(zip(sizes, COLOURS, strict=False))
    by_kind = dict(zip(kinds, COLOURS[3:], strict=False))
    with figure_at(path, 9.5, 6.6) as figure:
        (gold, proxy), (of_kinds, ppo) = figure.subplots(2, 2)
        for of in report["best_of_n"]:
            style = {"color": by_size[of["pairs"]], "linestyle": styles[of["wrong"]]}
            label = f"{of['pairs']} pairs, {of['wrong']:.0%} wrong"
            gold.plot(*_curve(of["kl"], of["single"]["gold"]), label=label, **style)
            proxy.plot(np.sqrt(of["kl"]), of["single"]["proxy"], **style)
            if of["pairs"] == sizes[0]:
                for kind in kinds:
                    shown = {"color": by_kind[kind], "linestyle": styles[of["wrong"]]}
                    label = f"{kind}, {of['wrong']:.0%} wrong"
                    of_kinds.plot(*_curve(of["kl"], of[kind]["gold"]), label=label, **shown)
        for of in report["ppo"]:
            shown = {"color": by_kind[of["kind"]], "linestyle": styles[of["wrong"]]}
            ppo.plot(np.sqrt(of["kl"]), of["gold"], marker=".", markersize=4, **shown)
        titles = ["Best-of-n: gold, one reward model", "Best-of-n: proxy, in standard deviations of SFT's samples"]
        titles += [f"Best-of-n: gold, {sizes[0]} pairs, alone and as ensembles", "PPO: gold, the same kinds"]
        for axes, title in zip((gold, proxy, of_kinds, ppo), titles, strict=True):
            axes.set_title(title)
            axes.set_xlabel("root of the KL to SFT, nats")
        gold.legend(fontsize=7)
        of_kinds.legend(fontsize=7, ncols=2)


def _curve(kls: Sequence[float], values: Sequence[Mapping[str, float]]) -> tuple[Any, list[float]]:
    return np.sqrt(kls), [value["mean"] for value in values]
