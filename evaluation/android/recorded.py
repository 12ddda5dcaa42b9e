"""Makes rows for `perlhf score-android` of recorded trajectories: all but what an agent says on their screens.

    from envs.uinav.recordings.convert.android_control import read_android_control
    from evaluation.android.recorded import rows_of

    rows = [row for trajectory in read_android_control("android_control-00000").records for row in rows_of(trajectory)]
    for row in rows:
        row["prediction"] = agent(row)

A click on a field and the text that follows it are one step there, as AndroidControl's own agents have them
(google-research/google-research#2150).
"""

from collections.abc import Iterator
from typing import Any

from envs.uinav.interface.actions import OTHER_NAMES
from envs.uinav.recordings.trajectory import Move, Shot, Trajectory, meant

_WORDS = {"scroll": "direction", "open_app": "app_name", "type": "text", "done": "text"}


def rows_of(trajectory: Trajectory) -> Iterator[dict[str, Any]]:
    """Yields a row for each step, without its `prediction`; `id` is EPISODE/STEP, `goal` and `instruction` its words.

    The box of a step at a point is that of the element that it means (`envs.uinav.recordings.trajectory.meant`); that
    of an opened app its icon's, where an element is called so.
    """
    for number, (shot, move, instruction) in enumerate(trajectory.steps):
        boxes = [list(shot.elements[i].box) for i in _right(shot, move)]
        yield {
            "id": f"{trajectory.episode_id}/{number}",
            "goal": trajectory.goal,
            "instruction": instruction,
            "screen": [shot.width, shot.height],
            "gold": _gold(move),
            **({"boxes": boxes} if boxes else {}),
            "elements": [
                {"bounds": list(e.box), "text": e.text, "content_description": e.description} for e in shot.elements
            ],
        }


def _right(shot: Shot, move: Move) -> list[int]:
    """Returns the indices of the elements that a move may be done on."""
    if move.kind == "open_app":
        return [i for i, e in enumerate(shot.elements) if move.text.lower() in (e.text.lower(), e.description.lower())]
    index = meant(shot.elements, move.point)
    return [] if index is None else [index]


def _gold(move: Move) -> dict[str, Any]:
    """Returns a move as AndroidControl's or AndroidWorld's action."""
    if move.kind in ("done", "infeasible") and not (move.kind == "done" and move.text):
        return {"action_type": "status", "goal_status": "complete" if move.kind == "done" else "infeasible"}
    action: dict[str, Any] = {"action_type": OTHER_NAMES[move.kind][1]}
    if move.point is not None:
        action |= {"x": move.point[0], "y": move.point[1]}
    return {**action, _WORDS[move.kind]: move.text} if move.kind in _WORDS else action
