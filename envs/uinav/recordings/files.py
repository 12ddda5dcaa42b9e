"""Files of trajectories: JSON Lines with AndroidControl's field names, one line an episode.

    {"episode_id": 7, "goal": "Log in as bob", "step_instructions": ["Type bob", "Press Log in"],
     "screenshots": ["7_0.png", "7_1.png", "7_2.png"], "screenshot_widths": [1080, 1080, 1080],
     "screenshot_heights": [2400, 2400, 2400], "accessibility_trees": [[{"class": "android.widget.EditText",
     "text": "", "content_description": "Name", "resource_id": "name", "bounds": [40, 200, 1040, 330],
     "clickable": true, "editable": true, "scrollable": false, "focused": false, "checked": null, "enabled": true,
     "long_clickable": false}], [..], [..]],
     "actions": [{"action_type": "input_text", "text": "bob", "x": 540, "y": 265},
                 {"action_type": "click", "x": 540, "y": 900}]}

Screens and trees are as many as actions (the last screen is that of the last action) or one more (the screen after
it). `screenshots` and `step_instructions` may be []. Of a node only `class` and `bounds`, [left, top, right, bottom] in
pixels, must be there. Actions are AndroidControl's: click and long_press {x, y}, scroll {direction}, open_app
{app_name}, input_text {text}, type {x, y, text}, navigate_home, navigate_back, wait. Beyond them:

- `input_text` may have x and y: it is then the whole macro, a field that is focused and filled. One that has none is
  joined with the click before it, see `trajectory.merged`. AndroidControl's `type`, which also presses
  Enter, is read as the same macro; its Enter is not kept.
- AndroidWorld's `answer` {text, accepted: []} and `status` {goal_status: "complete", "successful" or "infeasible",
  text} may stand at the end. A trajectory without them ends with its last action.
- `source`, `group`, `success` of a trajectory, `kind` of a node and `screens`, a list of {app, title, notice, above,
  below}, are ours, and may be left out.

Source of the format: google-research/google-research: android_control/README.md, and google-research/android_world:
android_world/env/json_action.py.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from envs.corpora.fields import int_field, limited_text, list_field, mapping_field, shown
from envs.corpora.jsonl import read_jsonl
from envs.corpora.records import Content, Skipped, content_of
from envs.uinav.interface.actions import DIRECTIONS, OTHER_NAMES
from envs.uinav.interface.screen import ANDROID_CLASSES, Box, Element
from envs.uinav.recordings.trajectory import ENDINGS, Move, Shot, Step, Trajectory, complaint, kind_of, merged
from perlhf.errors import DataError, UserError

MAX_SIDE = 100_000  # pixels of a screen
_MARKS = ("clickable", "editable", "scrollable", "focused", "enabled", "long_clickable")
_OURS = {theirs: ours for ours, (theirs, _) in OTHER_NAMES.items() if theirs}
_ABOUT = {"app": str, "title": str, "notice": str, "above": bool, "below": bool}


def read_trajectories(path: str | Path) -> Content[Trajectory]:
    """Reads a whole file; every line is a trajectory or is reported in `skipped`.

    Raises:
        DataError: a line that is not of the format, with FILE:LINE.
    """
    return content_of((parse_trajectory(row, f"{path}:{number}") for number, row in read_jsonl(path)), path)


def parse_trajectory(row: Mapping[str, Any], where: str) -> Trajectory | Skipped:
    """One episode.

    Raises:
        DataError: the row is not of the format; the message starts with `where`.
    """
    shots = list(_shots(row, where))
    moves = [_move(value, i, where) for i, value in enumerate(list_field(row, "actions", where))]
    if not moves or len(moves) not in (len(shots), len(shots) - 1):
        wanted = "there must be as many, or one fewer, and at least one"
        raise DataError(f"{where}: field 'actions' has {len(moves)} for {len(shots)} screens; {wanted}.")
    for i, move in enumerate(moves[:-1]):
        if move.kind in ENDINGS:
            raise DataError(f"{where}: actions[{i}] ends the episode, and {len(moves) - 1 - i} more follow.")
    words = _texts(row, "step_instructions", len(moves), where)
    steps = merged([Step(*triple) for triple in zip(shots, moves, words, strict=False)])
    episode = _episode_id(row, where)
    source, group = (_text(row, key, where) for key in ("source", "group"))
    last = shots[-1] if len(shots) > len(moves) else None
    success = _flag(row, "success", True, where)
    goal = limited_text(row, "goal", where)
    trajectory = Trajectory(goal, steps, episode, source, group, last, success)
    problem = complaint(trajectory)
    return Skipped(where, problem) if problem else trajectory


def _episode_id(row: Mapping[str, Any], where: str) -> int | str:
    if isinstance(row.get("episode_id"), str):
        return limited_text(row, "episode_id", where)
    return int_field(row, "episode_id", where)


def _shots(row: Mapping[str, Any], where: str) -> Iterator[Shot]:
    trees = list_field(row, "accessibility_trees", where)
    files = _texts(row, "screenshots", len(trees), where)
    sides = [_sides(row, f"screenshot_{name}s", len(trees), where) for name in ("width", "height")]
    abouts = list_field(row, "screens", where) if "screens" in row else [{}] * len(trees)
    if len(abouts) != len(trees):
        raise DataError(f"{where}: field 'screens' has {len(abouts)} for {len(trees)} screens.")
    for i, tree in enumerate(trees):
        nodes = list_field({f"accessibility_trees[{i}]": tree}, f"accessibility_trees[{i}]", where)
        elements = tuple(_element(node, f"{where}: accessibility_trees[{i}][{j}]") for j, node in enumerate(nodes))
        about = _about(abouts[i], f"{where}: screens[{i}]")
        yield Shot(elements, sides[0][i], sides[1][i], _inside(files[i], where), **about)


def _inside(name: str, where: str) -> str:
    """Returns a file name that leads nowhere else; where it leads is checked again when the picture is read."""
    if name.startswith("/") or ".." in name.split("/"):
        raise DataError(f"{where}: screenshot {shown(name)} leads out of the folder of the file.")
    return name


def _about(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise DataError(f"{where} must be an object, got {shown(value)}.")
    known = {key: kind for key, kind in _ABOUT.items() if key in value}
    return {k: _text(value, k, where) if kind is str else _flag(value, k, False, where) for k, kind in known.items()}


def _sides(row: Mapping[str, Any], key: str, count: int, where: str) -> list[int]:
    values = list_field(row, key, where)
    if len(values) != count:
        raise DataError(f"{where}: field {key!r} has {len(values)} for {count} screens.")
    for i, value in enumerate(values):
        if not 0 < int_field({f"{key}[{i}]": value}, f"{key}[{i}]", where) <= MAX_SIDE:
            raise DataError(f"{where}: {key}[{i}] must be from 1 to {MAX_SIDE} pixels, got {shown(value)}.")
    return values


def _texts(row: Mapping[str, Any], key: str, count: int, where: str) -> list[str]:
    """Returns a list of so many texts; [] stands for that many empty ones."""
    values = list_field(row, key, where)
    if values and len(values) != count:
        raise DataError(f"{where}: field {key!r} has {len(values)}, expected {count} or none.")
    return [limited_text({f"{key}[{i}]": v}, f"{key}[{i}]", where) for i, v in enumerate(values)] or [""] * count


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    return limited_text(row, key, where) if key in row else ""


def _flag(row: Mapping[str, Any], key: str, default: bool, where: str) -> bool:
    value = row.get(key, default)
    if not isinstance(value, bool):
        raise DataError(f"{where}: field {key!r} must be true or false, got {shown(value)}.")
    return value


def _element(node: Any, where: str) -> Element:
    if not isinstance(node, Mapping):
        raise DataError(f"{where} must be an object, got {shown(node)}.")
    name = limited_text(node, "class", where)
    kind = _text(node, "kind", where) or kind_of(name)
    if kind not in ANDROID_CLASSES:
        raise DataError(f"{where}: no kind of element is called {shown(kind)}.")
    text, description, resource = (_text(node, key, where) for key in ("text", "content_description", "resource_id"))
    marks: dict[str, Any] = {key: _flag(node, key, key == "enabled", where) for key in _MARKS}
    checked = None if node.get("checked") is None else _flag(node, "checked", False, where)
    return Element(kind, text, description, resource, _box(node, where), checked=checked, **marks)


def _box(node: Mapping[str, Any], where: str) -> Box:
    values = list_field(node, "bounds", where)
    if len(values) != 4:
        raise DataError(f"{where}: field 'bounds' must have 4 numbers, got {len(values)}.")
    left, top, right, bottom = (int_field({"bounds": value}, "bounds", where) for value in values)
    if right < left or bottom < top:
        raise DataError(f"{where}: 'bounds' must be [left, top, right, bottom], got right or bottom before the other.")
    return Box(left, top, right, bottom)


def _move(value: Any, number: int, where: str) -> Move:
    where = f"{where}: actions[{number}]"
    action = mapping_field({"action": value}, "action", where)
    name = limited_text(action, "action_type", where)
    if name == "answer":
        count = len(list_field(action, "accepted", where)) if "accepted" in action else 0
        accepted = _texts(action, "accepted", count, where) if count else []
        return Move("done", None, limited_text(action, "text", where), tuple(accepted))
    if name == "status":
        return _status(action, where)
    kind = "type" if name == "type" else _OURS.get(name)
    if kind is None:
        raise DataError(f"{where}: no action_type is called {shown(name)}; known: {', '.join(_OURS)}, type.")
    pointed = name in ("click", "long_press", "type") or (name == "input_text" and ("x" in action or "y" in action))
    point = _point(action, where) if pointed else None
    return Move(kind, point, _said(action, kind, where))


def _status(action: Mapping[str, Any], where: str) -> Move:
    status = limited_text(action, "goal_status", where)
    if status == "infeasible":
        return Move("infeasible", None, _text(action, "text", where))
    if status not in ("complete", "successful"):
        raise DataError(f"{where}: goal_status must be complete, successful or infeasible, got {shown(status)}.")
    return Move("done")


def _point(action: Mapping[str, Any], where: str) -> tuple[int, int]:
    return int_field(action, "x", where), int_field(action, "y", where)


def _said(action: Mapping[str, Any], kind: str, where: str) -> str:
    if kind == "scroll" and limited_text(action, "direction", where) not in DIRECTIONS:
        raise DataError(f"{where}: direction must be {', '.join(DIRECTIONS)}, got {shown(action['direction'])}.")
    key = {"scroll": "direction", "open_app": "app_name", "type": "text"}.get(kind)
    return limited_text(action, key, where) if key else ""


def write_trajectories(path: str | Path, trajectories: Iterable[Trajectory]) -> None:
    """Writes a `.jsonl` or `.jsonl.gz` file that `read_trajectories` reads back as the same trajectories.

    Raises:
        UserError: a trajectory that would not be read back: see `trajectory.complaint` and `merged`.
    """
    lines = [json.dumps(trajectory_row(t), ensure_ascii=False) + "\n" for t in trajectories]
    content = "".join(lines).encode("utf-8")
    Path(path).write_bytes(gzip.compress(content, mtime=0) if Path(path).suffix == ".gz" else content)


def trajectory_row(trajectory: Trajectory) -> dict[str, Any]:
    """Returns a trajectory as an object of the format; the inverse of `parse_trajectory`."""
    problem = complaint(trajectory)
    if problem or merged(trajectory.steps) != trajectory.steps:
        raise UserError(f"episode {trajectory.episode_id}: {problem or 'a click and a type would be joined'}.")
    shots = [step.shot for step in trajectory.steps] + ([trajectory.last] if trajectory.last else [])
    files = [shot.screenshot for shot in shots]
    return {
        "episode_id": trajectory.episode_id,
        "goal": trajectory.goal,
        "source": trajectory.source,
        "group": trajectory.group,
        "success": trajectory.success,
        "screenshots": files if any(files) else [],
        "screenshot_widths": [shot.width for shot in shots],
        "screenshot_heights": [shot.height for shot in shots],
        "screens": [{key: getattr(shot, key) for key in _ABOUT if getattr(shot, key)} for shot in shots],
        "accessibility_trees": [[_node(element) for element in shot.elements] for shot in shots],
        "actions": [_action(step.move) for step in trajectory.steps],
        "step_instructions": [step.instruction for step in trajectory.steps],
    }


def _node(element: Element) -> dict[str, Any]:
    name = ANDROID_CLASSES[element.kind]
    node = {
        "class": name,
        "text": element.text,
        "content_description": element.description,
        "resource_id": element.resource_id,
        "bounds": list(element.box),
        **{key: getattr(element, key) for key in _MARKS},
        "checked": element.checked,
    }
    return node if kind_of(name) == element.kind else {**node, "kind": element.kind}


def _action(move: Move) -> dict[str, Any]:
    if move.kind == "infeasible":
        return {"action_type": "status", "goal_status": "infeasible", "text": move.text}
    if move.kind == "done" and (move.text or move.accepted):
        return {"action_type": "answer", "text": move.text, "accepted": list(move.accepted)}
    if move.kind == "done":
        return {"action_type": "status", "goal_status": "complete"}
    action: dict[str, Any] = {"action_type": OTHER_NAMES[move.kind][0]}
    if move.point is not None:
        action |= {"x": move.point[0], "y": move.point[1]}
    key = {"scroll": "direction", "open_app": "app_name", "type": "text"}.get(move.kind)
    return action | {key: move.text} if key else action
