"""Writes the episodes of an evaluation as one page that needs nothing else: no network, no other file.

The page is evaluation/agents/explorer.html with what all pages share, and with the episodes put in as JSON. Whatever an
agent or a screen says is shown as text and never read as HTML, and the page's own policy lets it load nothing.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from envs.task import Task
from envs.uinav.task import UINav
from evaluation.reporting.page import SHARED, THEME
from evaluation.reporting.screens import Frames, screens_of
from perlhf.run_folder import write_text

_PAGE = Path(__file__).with_name("explorer.html")
_PLACE = "__EPISODES__"


def write_explorer(
    path: Path, task: Task, results: Mapping[str, Any], records: Sequence[Mapping[str, Any]], count: int
) -> None:
    """Writes the page.

    Args:
        path: of the file.
        task: that the episodes are of.
        results: that stand in results.json.
        records: of the episodes.
        count: of the episodes whose screens are drawn, the first ones; all of them are listed.
    """
    frames = Frames()
    drawn = count if isinstance(task, UINav) and task.repeats else 0  # a screen is drawn by playing it again
    episodes = [_episode(task, record, frames if i < drawn else None) for i, record in enumerate(records)]
    data = {"results": results, "episodes": episodes, "frames": frames.urls}
    # "<" is left out, so that nothing in it can end the element that it stands in.
    text = json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    page = _PAGE.read_text(encoding="utf-8").replace("__SHARED__", SHARED).replace("__THEME__", THEME)
    write_text(path, page.replace(_PLACE, text))


def _episode(task: Task, record: Mapping[str, Any], frames: Frames | None) -> dict[str, Any]:
    """Returns what the page shows of an episode."""
    shown = {name: record[name] for name in ("episode", "goal", "template", "groups", "outcome", "verdict")}
    steps = [
        {name: step[name] for name in ("prompt", "said", "problem", "note") if name in step} for step in record["steps"]
    ]
    if frames is not None and isinstance(task, UINav):
        screens = screens_of(task, task.state_from_json(record["start"]), [step["said"] for step in steps], frames)
        for step, screen in zip(steps, screens[:-1], strict=True):
            step |= {name: screen[name] for name in ("frame", "tap") if screen[name] is not None}
        shown["last"] = screens[-1]["frame"]
    return {**shown, "steps": steps}
