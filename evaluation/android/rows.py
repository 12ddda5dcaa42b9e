"""Reads files of predictions: JSON Lines, one step or one target a line.

A step of AndroidControl, or of a set like it:

    {"id": "7/0", "screen": [1080, 2400], "gold": {"action_type": "click", "x": 540, "y": 900},
     "boxes": [[40, 840, 1040, 960]], "elements": [{"bounds": [40, 840, 1040, 960], "text": "Log in",
     "content_description": ""}], "prediction": "click(start_box='(500,375)')", "picture": [1092, 2408]}

A target of a ScreenSpot-style set:

    {"id": "mobile_1.png", "screen": [1170, 2532], "box": [100, 200, 300, 260], "group": "mobile/text",
     "prediction": [180, 230]}

`screen` is in pixels, as are `gold`, `boxes`, `bounds` and `box`; [1, 1] where they are parts of its sides. `gold` is
AndroidControl's or AndroidWorld's action; its scroll is where the content goes. `boxes` are those of the elements that
are right, `elements` the nodes of the accessibility tree; either may be left out. `prediction` is what the agent said:
JSON or the text of its response (`evaluation.android.predictions`). `picture` is the size of the picture that it saw,
where that is not the screen's. `id` and `group` may be left out; other fields are of no matter.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from envs.corpora.fields import limited_text, list_field, mapping_field
from envs.corpora.fields import shown as in_short
from envs.corpora.jsonl import read_jsonl
from evaluation.android.predictions import Shown
from evaluation.android.steps import DIRECTIONS, KINDS, POINTING, AndroidAction, Node, Rect, Step, Target
from perlhf.errors import DataError, did_you_mean

LARGEST = 1e6  # pixels of a screen, and how far a coordinate may be from it
BOX_FORMATS = {"corners": "[left, top, right, bottom]", "size": "[left, top, width, height]"}
_STEP = frozenset({"id", "screen", "gold", "boxes", "elements", "prediction", "picture"})
_TARGET = frozenset({"id", "screen", "box", "group", "prediction", "picture"})


Kind = TypeVar("Kind", Step, Target)


class Row(NamedTuple, Generic[Kind]):
    """One line: the step or the target, what was said for it, and what was shown."""

    of: Kind
    said: Any
    shown: Shown


def read_rows(path: str | Path, box_format: str | None = None) -> tuple[list[Row[Step]], list[Row[Target]]]:
    """Reads a whole file: its steps and its targets.

    Args:
        path: a `.jsonl` or `.jsonl.gz` file.
        box_format: what the four numbers of a target's `box` are, a key of `BOX_FORMATS`; needed for targets alone.

    Raises:
        DataError: "FILE:LINE: what is wrong" with the first line that is not of the format; or there is none.
    """
    steps: list[Row[Step]] = []
    targets: list[Row[Target]] = []
    for number, row in read_jsonl(path):
        where = f"{path}:{number}"
        _check(row, where)
        if "gold" in row:
            steps.append(_step(row, where))
        else:
            targets.append(_target(row, where, box_format))
    if not steps and not targets:
        raise DataError(f"{path}:1: the file has no rows.")
    return steps, targets


def _check(row: Mapping[str, Any], where: str) -> None:
    if ("gold" in row) == ("box" in row):
        raise DataError(f"{where}: a row has either 'gold', the action of a step, or 'box', of a target.")
    known = _STEP if "gold" in row else _TARGET
    for key in row:
        if key not in known and get_close_matches(key, known, cutoff=0.8):
            raise DataError(f"{where}: unknown field {key!r}.{did_you_mean(key, known)}")
    if "prediction" not in row:
        raise DataError(f"{where}: no field 'prediction'; null where the agent said nothing.")


def _step(row: Mapping[str, Any], where: str) -> Row[Step]:
    nodes = tuple(
        _node(node, f"{where}: elements[{i}]") for i, node in enumerate(_optional_list(row, "elements", where))
    )
    boxes = tuple(_rect(box, f"{where}: boxes[{i}]") for i, box in enumerate(_optional_list(row, "boxes", where)))
    shown = _shown(row, where, nodes)
    gold = _gold(mapping_field(row, "gold", where), where)
    return Row(Step(where, _name(row), shown.width, shown.height, gold, boxes, nodes), row["prediction"], shown)


def _target(row: Mapping[str, Any], where: str, box_format: str | None) -> Row[Target]:
    group = limited_text(row, "group", where) if "group" in row else ""
    target = Target(where, _name(row), _target_box(row, box_format, where), group)
    return Row(target, row["prediction"], _shown(row, where, ()))


def _name(row: Mapping[str, Any]) -> str:
    return str(row["id"]) if isinstance(row.get("id"), (str, int)) else ""


def _shown(row: Mapping[str, Any], where: str, nodes: tuple[Node, ...]) -> Shown:
    width, height = _sides(row, "screen", where)
    return Shown(width, height, _sides(row, "picture", where) if "picture" in row else None, nodes)


def _optional_list(row: Mapping[str, Any], key: str, where: str) -> list[Any]:
    return list_field(row, key, where) if key in row else []


def _sides(row: Mapping[str, Any], key: str, where: str) -> tuple[float, float]:
    values = _numbers(row.get(key), 2, f"{where}: field {key!r}")
    if min(values) <= 0:
        raise DataError(f"{where}: field {key!r} must be [width, height], both above 0, got {values}.")
    return values[0], values[1]


def _numbers(value: Any, count: int, where: str) -> list[float]:
    if not isinstance(value, list) or len(value) != count:
        raise DataError(f"{where} must be an array of {count} numbers, got {in_short(value)}.")
    for number in value:
        if isinstance(number, bool) or not isinstance(number, (int, float)) or abs(number) > LARGEST:
            raise DataError(f"{where} must hold numbers up to {LARGEST:g}, got {in_short(number)}.")
    return [float(number) for number in value]


def _rect(value: Any, where: str) -> Rect:
    """Returns a box; one whose sides are the other way round, as of what is scrolled away, is empty."""
    left, top, right, bottom = _numbers(value, 4, where)
    return left, top, max(left, right), max(top, bottom)


def _target_box(row: Mapping[str, Any], box_format: str | None, where: str) -> Rect:
    values = _numbers(row["box"], 4, f"{where}: field 'box'")
    if box_format not in BOX_FORMATS:
        meanings = " or ".join(f"{name}, {what}" for name, what in BOX_FORMATS.items())
        raise DataError(f"{where}: say what the four numbers of 'box' are: --box-format {meanings}.")
    if box_format == "size":
        values = [values[0], values[1], values[0] + values[2], values[1] + values[3]]
    if values[2] < values[0] or values[3] < values[1]:
        raise DataError(f"{where}: 'box' {row['box']} is no {BOX_FORMATS[box_format]}; see --box-format.")
    return values[0], values[1], values[2], values[3]


def _node(node: Any, where: str) -> Node:
    if not isinstance(node, Mapping):
        raise DataError(f"{where} must be an object, got {in_short(node)}.")
    text, description = (
        limited_text(node, key, where) if node.get(key) is not None else "" for key in ("text", "content_description")
    )
    return Node(_rect(node.get("bounds"), f"{where}: field 'bounds'"), text, description)


def _gold(action: Mapping[str, Any], where: str) -> AndroidAction:
    """Returns a recorded action; AndroidControl's `type`, which clicks and types, as an input_text with a point."""
    name = limited_text(action, "action_type", where)
    kind = "input_text" if name == "type" else name
    if kind not in KINDS:
        raise DataError(f"{where}: no recorded action_type is called {in_short(name)}.{did_you_mean(name, KINDS)}")
    point = None
    if name in (*POINTING, "type") or (kind == "input_text" and "x" in action):
        x, y = _numbers([action.get("x"), action.get("y")], 2, f"{where}: x and y of 'gold'")
        point = (x, y)
    key = {"input_text": "text", "answer": "text", "open_app": "app_name", "scroll": "direction"}.get(kind)
    text = limited_text(action, key, where) if key else ""
    if kind == "scroll" and text not in DIRECTIONS:
        raise DataError(f"{where}: direction of 'gold' must be {', '.join(DIRECTIONS)}, got {in_short(text)}.")
    if kind == "status":
        text = "infeasible" if action.get("goal_status") == "infeasible" else "complete"
    return AndroidAction(kind, point, text)
