"""Scores predicted actions on Android screens, and points on screenshots, under all published conventions at once.

    perlhf score-android predictions.jsonl
    perlhf score-android predictions.jsonl --coordinates 0-1000 --differences differences.jsonl

docs/score_android.md says what a row is, and what each convention takes for right.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from evaluation.android.predictions import Reading
from evaluation.android.report import describe_differences, describe_points, describe_steps
from evaluation.android.rows import read_rows
from evaluation.android.scores import (
    Judged,
    differences,
    judge_steps,
    judge_targets,
    misreadings,
    point_figures,
    repeated,
    step_figures,
    unreadable,
)
from evaluation.android.steps import KINDS, Step, Target
from perlhf.errors import UserError, did_you_mean, run_command
from perlhf.options import option, parse_options
from perlhf.run_folder import write_text


@dataclass
class Options:
    """Scores predictions for AndroidControl and for ScreenSpot-style sets under all published conventions at once."""

    group: ClassVar[str] = "what to score"
    predictions: str = option("", "a .jsonl file: docs/score_android.md", positional=True)
    coordinates: Literal["pixels", "0-1000", "0-1"] = option(
        "pixels", "what coordinates of predictions are: pixels of the row's `picture` or else its `screen`, or parts"
    )
    scroll: Literal["content", "finger"] = option(
        "content", "what a direction that is said means: 'down' shows what is further down, or the finger moves down"
    )
    box_format: Literal["corners", "size"] | None = option(
        None, "what the `box` of a target is: [left, top, right, bottom] or [left, top, width, height]"
    )
    without: str = option("open_app", "kinds of recorded actions to leave out of the second column, joined by '+'")
    differences: str = option("", "where to write the rows on which conventions differ, a .jsonl file")
    show: int = option(5, "how many of these rows to print", low=0)
    json: bool = option(False, "print all figures as JSON instead of tables")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.score_android")
    if not options.predictions:
        raise UserError("give the file of predictions: perlhf score-android FILE.jsonl.")
    left_out = [kind for kind in options.without.split("+") if kind]
    for kind in left_out:
        if kind not in KINDS:
            raise UserError(f"--without: no action is called {kind!r}.{did_you_mean(kind, KINDS)}")
    if options.differences and Path(options.differences).resolve() == Path(options.predictions).resolve():
        raise UserError(f"--differences {options.differences} is the file of predictions; give another.")
    reading = Reading(options.coordinates, options.scroll)
    step_rows, target_rows = read_rows(options.predictions, options.box_format)
    steps, targets = judge_steps(step_rows, reading), judge_targets(target_rows, reading)
    found = [*differences(steps), *differences(targets)]
    if options.differences:
        write_text(Path(options.differences), "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found))
    figures = figures_of(steps, targets, left_out, reading)
    if options.json:
        print(json.dumps({**figures, "differences": len(found)}, indent=2, ensure_ascii=False))
        return
    for sort, describe in (("steps", describe_steps), ("targets", describe_points)):
        if sort in figures:
            print("\n".join(describe(figures[sort])), end="\n\n")
    for hint in figures["hints"]:
        print(f"note: {hint}")
    print("\n".join(describe_differences(found, options.show)))


def figures_of(steps: Judged[Step], targets: Judged[Target], left_out: list[str], reading: Reading) -> dict[str, Any]:
    """Returns `steps` and `targets`, where there are any, and `hints`."""
    figures: dict[str, Any] = {"steps": step_figures(steps, left_out)} if steps.rows else {}
    if targets.rows:
        figures["targets"] = point_figures(targets)
    hints = [*unreadable(steps), *unreadable(targets), *repeated(steps.rows), *misreadings(steps, reading)]
    return {**figures, "hints": hints}


if __name__ == "__main__":
    run_command(main)
