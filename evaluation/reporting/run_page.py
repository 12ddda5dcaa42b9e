"""Writes report.html: one run on a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agents.setup import Setup
from evaluation.finished_run import load_policy, load_value
from evaluation.reporting.curves import SHOWN, curves_of
from evaluation.reporting.page import write_page
from evaluation.reporting.run import Run
from evaluation.reporting.samples import Episodes, Turned, chosen_of, shown_of
from evaluation.reporting.screens import Frames
from evaluation.reporting.sentences import sentences_of
from evaluation.reporting.tables import settings_of, tables_of
from evaluation.reporting.tokens import coloured, tokens_of
from perlhf.errors import UserError, line_of

_SIDES = {"sft": "SFT", "policy": "policy"}


def write_run_page(run: Run, path: Path, setup: Setup, samples: int, tokens: int, threads: int = 0) -> list[str]:
    """Writes the page of a run.

    What needs the task or the policy is left out where they cannot be had any more, and the page says why.

    Args:
        run: the run.
        path: of the page.
        setup: what the run was on.
        samples: of the answers, drawn by lot; 0 leaves out all answers.
        tokens: how many of the policy's answers have their tokens coloured.
        threads: of torch.

    Returns:
        What was left out, a sentence each.
    """
    chosen, how = chosen_of(run.evaluation, samples)
    frames, notices = Frames(), []
    shown = [
        shown_of(
            each, [(name, each.row[f"{side}_sampled"], each.row[f"{side}_greedy"]) for side, name in _SIDES.items()]
        )
        for each in chosen
    ]
    scales: Mapping[str, Any] = {}
    if chosen:
        try:
            episodes = Episodes(run, setup, chosen)
            replayed = [episodes.add_to(one, frames) for one in shown]
            missing = sum(turns is None for turns in replayed)
            if missing:
                notices.append(f"{missing} of the policy's episodes do not end again as they did; they are text alone.")
            if tokens:
                scales = _colour(run, setup, replayed, shown, tokens, threads)
            episodes.task.close()
        except (UserError, OSError) as error:
            notices.append(f"Left out is what more there would be to see: {line_of(error)}")
    curves, constant = curves_of([run])
    write_page(
        path, "run.html", title=run.name, about=run.about, sentences=sentences_of(run), curves=curves,
        constant=constant, named=SHOWN, tables=tables_of(run), samples=shown, chosen=how,
        notices=notices, scales=scales, settings=settings_of(run), frames=frames.urls,
        again=f"perlhf train-ppo --config {run.folder / 'config.yaml'} --output-dir ANOTHER runs it again.",
    )  # fmt: skip
    return notices


def _colour(
    run: Run, setup: Setup, replayed: Sequence[Sequence[Turned] | None], shown: Sequence[dict[str, Any]], count: int,
    threads: int,
) -> Mapping[str, Any]:  # fmt: skip
    """Adds coloured tokens to the first of the policy's answers; returns the scales of the colours."""
    known = [i for i, turns in enumerate(replayed) if turns is not None][:count]
    if not known:
        return {}
    policy = load_policy(run.folder, setup, threads)
    flat = [turn for i in known for turn in replayed[i] or ()]
    scales, found = coloured(tokens_of(policy, load_value(run.folder, policy), flat))
    rest = iter(found)
    for i in known:
        shown[i]["tokens"] = [next(rest) for _ in replayed[i] or ()]
    return scales
