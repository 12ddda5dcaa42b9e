"""Reads what agents say on phone screens: AndroidControl's and AndroidWorld's JSON, Qwen's `mobile_use`, UI-TARS calls.

Which of them it is follows from the text itself. A thought before it, "Action:", tags and code fences are left out.
Nothing of a prediction is ever run. What no dialect can say is None; an action that AndroidControl has not, such as
`double_tap`, keeps its name and so matches nothing.

Sources: google-research/google-research: android_control/README.md; google-research/android_world:
android_world/env/json_action.py; the `mobile_use` tool of QwenLM/Qwen2.5-VL, as in OpenBMB/AgentCPM-GUI:
eval/utils/qwen_mobile_tool.py; bytedance/UI-TARS: codes/ui_tars/action_parser.py.
"""

import json
import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

from evaluation.android.steps import DIRECTIONS, OPPOSITE, AndroidAction, Node, Point, Rect, middle

_MARKER = re.compile(r"\baction\s*:\s*", re.IGNORECASE)
_CALL = re.compile(r"\b([A-Za-z_]+)\s*\((?=\s*(?:\)|\w+\s*=))")
_ARGUMENT = re.compile(r"(\w+)\s*=\s*(['\"])(.*?)\2\s*(?=,\s*\w+\s*=|\)?\s*$)", re.DOTALL)
_BARE = re.compile(r"(\w+)\s*=\s*(-?\d+(?:\.\d+)?|\([^()]*\)|\[[^][]*\])")  # an argument without quotes
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_FENCE = re.compile(r"```(?:\w+\n)?|`")
_ESCAPED = {r"\n": "\n", r"\'": "'", r"\"": '"'}
_DECODER = json.JSONDecoder()

# Actions that other dialects call otherwise, without those that need a second look.
_NAMES = {
    "type": "input_text",
    "open": "open_app",
    "press_back": "navigate_back",
    "press_home": "navigate_home",
    "press_enter": "keyboard_enter",
}
_BUTTONS = {"back": "navigate_back", "home": "navigate_home", "enter": "keyboard_enter"}
_SWIPES = ("swipe", "drag")
_STARTS, _ENDS = ("start_box", "start_point", "point", "coordinate"), ("end_box", "end_point", "coordinate2")


class Reading(NamedTuple):
    """Says how numbers and directions of predictions are meant.

    Attributes:
        coordinates: "pixels", of the picture where a row has one and else of its screen; "0-1000" or "0-1" of a side.
        scroll: "content": a scroll "down" shows what is further down; "finger": the finger moves down. Swipes between
            two points, and AndroidWorld's `swipe` up and down, are always the finger's (google-research/android_world:
            android_world/env/actuation.py).
    """

    coordinates: str = "pixels"
    scroll: str = "content"


class Shown(NamedTuple):
    """Says what a prediction was made from: the screen, pixels, and the size of the picture of it, and its nodes."""

    width: float
    height: float
    picture: tuple[float, float] | None = None
    nodes: tuple[Node, ...] = ()


def read_action(said: Any, reading: Reading, shown: Shown) -> AndroidAction | None:
    """Returns the action that a prediction says, its point in pixels of the screen; None where nobody can read it.

    Args:
        said: an object of JSON, or the text of a response.
        reading: how its numbers are meant.
        shown: what it is about.
    """
    found = _call_of(said) if isinstance(said, str) else said
    if not isinstance(found, Mapping):
        return None
    if isinstance(found.get("arguments"), Mapping):  # a call of a tool, Qwen's mobile_use
        found = found["arguments"]
    name = found.get("action_type", found.get("action"))
    if not isinstance(name, str):
        return None
    return _action(_NAMES.get(name, name), found, reading, shown)


def read_place(said: Any, reading: Reading, shown: Shown) -> Point | Rect | None:
    """Returns the point or the box that a prediction says, in pixels of the screen; None where nobody can read it.

    Args:
        said: an array of two or four numbers, an object of JSON, or the text of a response: an action, or anything with
            two or four numbers in it and no others.
        reading, shown: as of `read_action`.
    """
    if isinstance(said, str):
        found = _call_of(said)
        said = _MARKER.split(said)[-1] if found is None else found
    if isinstance(said, list) and len(said) == 1 and not _is_number(said[0]):
        said = said[0]  # Qwen's lists of objects
    if isinstance(said, Mapping):
        inner = said.get("arguments")
        said = inner if isinstance(inner, Mapping) else said
        known = (said[key] for key in (*_STARTS, "point_2d", "bbox_2d", "bbox") if key in said)
        said = [said["x"], said["y"]] if "x" in said and "y" in said else next(known, None)
    numbers = _numbers(said)
    if len(numbers) not in (2, 4):
        return None
    place = tuple(_scaled(number, side, reading, shown) for number, side in zip(numbers, (0, 1, 0, 1), strict=False))
    return place  # type: ignore[return-value]  # of two or four numbers


def _action(kind: str, found: Mapping[str, Any], reading: Reading, shown: Shown) -> AndroidAction | None:
    """Returns the action of a call that is read already."""
    start, end = _place(found, _STARTS, reading, shown), _place(found, _ENDS, reading, shown)
    text = next((value for key in ("text", "content", "app_name") if isinstance(value := found.get(key), str)), "")
    if kind in ("click", "long_press"):
        return AndroidAction(kind, start)
    if kind == "input_text":
        return AndroidAction(kind, start, text.removesuffix("\n"))
    if kind == "system_button":
        return AndroidAction(_BUTTONS.get(str(found.get("button")).lower(), kind))
    if kind in ("terminate", "finished", "status"):
        failed = (
            "failure" in (found.get("status"), found.get("goal_status")) or found.get("goal_status") == "infeasible"
        )
        return AndroidAction("status", text="infeasible" if failed else "complete")
    if kind == "scroll" or kind in _SWIPES:
        return AndroidAction("scroll", text=_direction(kind, found, start, end, reading))
    return AndroidAction(kind, text=text if kind in ("open_app", "answer") else "")


def _direction(kind: str, found: Mapping[str, Any], start: Point | None, end: Point | None, reading: Reading) -> str:
    """Returns where the content goes: "down" shows what is further down; "" where it is not said."""
    word = found.get("direction")
    if isinstance(word, str) and word.lower() in DIRECTIONS:
        word = word.lower()
        if kind in _SWIPES:  # AndroidWorld's, whose left and right are those of its scroll
            return OPPOSITE[word] if word in ("up", "down") else word
        return OPPOSITE[word] if reading.scroll == "finger" else word
    if start is None or end is None or start == end:
        return ""
    across, down = end[0] - start[0], end[1] - start[1]
    if abs(across) > abs(down):
        return OPPOSITE["right" if across > 0 else "left"]
    return OPPOSITE["down" if down > 0 else "up"]


def _place(found: Mapping[str, Any], keys: Sequence[str], reading: Reading, shown: Shown) -> Point | None:
    """Returns the point under the first of some keys, or of x and y, or of the element with an index; None for none."""
    first = keys is _STARTS
    index = found.get("index")
    if first and isinstance(index, int) and not isinstance(index, bool):
        return middle(shown.nodes[index].box) if 0 <= index < len(shown.nodes) else None
    value = next((found[key] for key in keys if key in found), None)
    if first and value is None and "x" in found and "y" in found:
        value = [found["x"], found["y"]]
    numbers = _numbers(value)
    if len(numbers) not in (2, 4):
        return None
    scaled = [_scaled(number, side, reading, shown) for number, side in zip(numbers, (0, 1, 0, 1), strict=False)]
    return (scaled[0], scaled[1]) if len(scaled) == 2 else middle((scaled[0], scaled[1], scaled[2], scaled[3]))


def _scaled(number: float, side: int, reading: Reading, shown: Shown) -> float:
    """Returns a coordinate in pixels of the screen; side 0 is the width."""
    whole = (shown.width, shown.height)[side]
    if reading.coordinates == "pixels":
        return number * whole / shown.picture[side] if shown.picture else number
    return number * whole / (1000 if reading.coordinates == "0-1000" else 1)


def _numbers(value: Any) -> list[float]:
    """Returns the numbers of an array or a text; none where it holds something else."""
    if isinstance(value, str):
        found = [float(digits) for digits in _NUMBER.findall(value)[:5]]
        return found if all(isfinite(number) for number in found) else []
    if not isinstance(value, list) or not all(_is_number(number) for number in value):
        return []
    return [float(number) for number in value]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9


def _call_of(text: str) -> Any:
    """Returns the JSON value or the call that a response says, as an object of JSON; None where it says none.

    It stands behind the last "Action:", or behind the first where the last is in a text that is typed.
    """
    parts = [part for part in (_MARKER.split(text)[-1], _MARKER.split(text, 1)[-1], text) if _FENCE.sub("", part)]
    return next((found for part in parts[:2] if (found := _call_in(_FENCE.sub("", part))) is not None), None)


def _call_in(said: str) -> Any:
    if "<tool_call>" in said:
        said = said.rpartition("<tool_call>")[2]
    brackets = [place for sign in "{[" if (place := said.find(sign)) >= 0]
    call = _CALL.search(said)
    if brackets and (call is None or min(brackets) < call.start()):
        try:
            return _DECODER.raw_decode(said, min(brackets))[0]
        except (ValueError, RecursionError):
            return None
    if call is None:
        return None
    inside = said[call.end() :]
    quoted = {key: _unescaped(value) for key, _, value in _ARGUMENT.findall(inside)}
    bare = {key: float(value) if _NUMBER.fullmatch(value) else value for key, value in _BARE.findall(inside)}
    return {**(quoted or bare), "action_type": call[1]}


def _unescaped(text: str) -> str:
    for written, meant in _ESCAPED.items():
        text = text.replace(written, meant)
    return text
