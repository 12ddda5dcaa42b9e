"""Writes the episodes of an evaluation as one page that needs nothing else: no network, no other file.

The page is evaluation/agents/explorer.html with the episodes put in as JSON. Whatever an agent or a screen says is
shown as text and never read as HTML, and the page's own policy lets it load nothing.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from envs.task import Task
from envs.uinav.task import UINav
from perlhf.chat_endpoint import data_url
from perlhf.run_folder import write_text

_PAGE = Path(__file__).with_name("explorer.html")
_PLACE = "__EPISODES__"
_FORM: dict[str, Any] = {"format": "WEBP", "quality": 70, "method": 2}  # a screen takes about 7 kB and 8 ms


class _Frames:
    """Holds pictures as data URLs, each of them once."""

    def __init__(self) -> None:
        self.urls: list[str] = []
        self._known: dict[bytes, int] = {}

    def add(self, picture: np.ndarray) -> int:
        """Returns the number of a picture."""
        number = self._known.setdefault(picture.tobytes(), len(self.urls))
        if number == len(self.urls):
            self.urls.append(data_url(picture, **_FORM))
        return number


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
    frames = _Frames()
    drawn = count if isinstance(task, UINav) and task.repeats else 0  # a screen is drawn by playing it again
    episodes = [_episode(task, record, frames if i < drawn else None) for i, record in enumerate(records)]
    data = {"results": results, "episodes": episodes, "frames": frames.urls}
    # "<" is left out, so that nothing in it can end the element that it stands in.
    text = json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    write_text(path, _PAGE.read_text(encoding="utf-8").replace(_PLACE, text))


def _episode(task: Task, record: Mapping[str, Any], frames: _Frames | None) -> dict[str, Any]:
    """Returns what the page shows of an episode."""
    shown = {name: record[name] for name in ("episode", "goal", "template", "groups", "outcome", "verdict")}
    steps = [
        {name: step[name] for name in ("prompt", "said", "problem", "note") if name in step} for step in record["steps"]
    ]
    if frames is not None and isinstance(task, UINav):
        state = task.state_from_json(record["start"])
        for step in steps:
            picture = task.draw(task.turn(state), None, None)
            step["frame"] = frames.add(picture)
            played = task.play(state, step["said"])
            if (tap := task.tapped(played.turn)) is not None:
                height, width = picture.shape[:2]
                step["tap"] = [round(100 * tap[0] / width, 1), round(100 * tap[1] / height, 1)]
            state = played.state
        shown["last"] = frames.add(task.draw(task.turn(state), None, None))
    return {**shown, "steps": steps}
