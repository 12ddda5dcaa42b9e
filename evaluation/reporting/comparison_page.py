"""Writes a page that sets runs beside each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.setup import Setup
from evaluation.reporting.curves import COLOURS, SHOWN, curves_of
from evaluation.reporting.page import write_page
from evaluation.reporting.run import Run
from evaluation.reporting.samples import Chosen, Episodes, shown_of
from evaluation.reporting.screens import Frames
from evaluation.reporting.sentences import sentences_of
from evaluation.reporting.tables import beside, different_settings
from perlhf.errors import UserError, line_of

_BORDERS = ("solid", "dashed", "dotted", "double")  # of the legend, as the dashes of curves


def write_comparison(runs: Sequence[Run], path: Path, setup: Setup, samples: int) -> list[str]:
    """Writes the page.

    Args:
        runs: two or more.
        path: of the page.
        setup: what the first of them was on.
        samples: of the answers, drawn by lot among the episodes that all runs were evaluated in; 0 for none.

    Returns:
        What was left out, a sentence each.
    """
    frames, notices = Frames(), []
    rows = _common(runs)
    drawn = sorted(np.random.default_rng(0).permutation(len(rows))[:samples].tolist())
    chosen = [Chosen(rows[k][0], "drawn by lot") for k in drawn]
    shown = [shown_of(each, _answers(runs, rows[k])) for each, k in zip(chosen, drawn, strict=True)]
    if shown:
        try:
            episodes = Episodes(runs[0], setup, chosen)
            for one in shown:
                episodes.add_to(one, frames)
            episodes.task.close()
        except (UserError, OSError) as error:
            notices.append(f"Left out is what more there would be to see: {line_of(error)}")
    curves, constant = curves_of(runs)
    envs = dict.fromkeys(run.config["env"] for run in runs)
    alike = f"All are runs on {next(iter(envs))}." if len(envs) == 1 else (
        f"These are runs on {' and '.join(envs)}: their figures are not of one kind."
    )  # fmt: skip
    write_page(
        path, "comparison.html", title=" beside ".join(run.name for run in runs), about=f"{len(runs)} runs",
        alike=alike, runs=[_in_short(run, i) for i, run in enumerate(runs)], tables=beside(runs),
        settings=different_settings(runs), curves=curves, constant=constant, named=SHOWN,
        samples=shown, notices=notices, frames=frames.urls,
        chosen=f"{len(shown)} of the {len(rows)} episodes whose answers all runs have kept, drawn by lot. "
        "Sampled at temperature 1; SFT is that of the first run.",
    )  # fmt: skip
    return notices


def _in_short(run: Run, number: int) -> dict[str, Any]:
    """Returns what the page says of a run in words, and in what colour its curves are."""
    return {
        "name": run.name, "about": run.about, "sentences": sentences_of(run), "colour": number % COLOURS,
        "dash": _BORDERS[number // COLOURS % len(_BORDERS)],
    }  # fmt: skip


def _common(runs: Sequence[Run]) -> list[list[dict[str, Any]]]:
    """Returns the rows of the same prompts, one of each run, with the number of the episode; none where they differ."""
    kept = [run.evaluation.get("samples", []) for run in runs]
    return [
        [{"episode": k, **row} for row in rows]
        for k, rows in enumerate(zip(*kept, strict=False))
        if len({row["prompt"] for row in rows}) == 1
    ]


def _answers(runs: Sequence[Run], rows: Sequence[dict[str, Any]]) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Returns the answers to a prompt, sampled and greedy, with who said them: SFT of the first run, all policies."""
    sides = [("SFT", rows[0], "sft"), *((run.name, row, "policy") for run, row in zip(runs, rows, strict=True))]
    return [(name, row[f"{side}_sampled"], row[f"{side}_greedy"]) for name, row, side in sides]
