"""AndroidWorld's actions: `{"action_type": "click", "index": 3}`, the JSON form of its `JSONAction`.

The names are those of google-research/android_world: android_world/env/json_action.py, what they do that of
android_world/env/actuation.py, and the answer comes before the status, as its android_world/agents/m3a.py tells models.
A scroll names what is to be seen, "down" what is further down. A swipe "up" and "down" is the way of the finger, but
"left" and "right" of both move the finger alike there, the swipe "left" from the left edge to the right: so it is here.
`input_text` presses Enter after the text, and no action types without it.

`index` is the number of the element in the observation, from 1 where the observation counts from 1. Of our own is that
"text" beside the status "infeasible" says why, and that an answer and the status may stand in one response.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from envs.uinav.dialects.around import last_part
from envs.uinav.dialects.dialect import Dialect
from envs.uinav.dialects.objects import is_number, number_in, objects_in, objects_of, text_in
from envs.uinav.dialects.said import Said, Target
from envs.uinav.interface.actions import DIRECTIONS, OTHER_NAMES, Action, ActionError
from envs.uinav.interface.screen import Screen

_TYPES = tuple(
    "click long_press input_text keyboard_enter scroll swipe "
    "navigate_back navigate_home open_app wait answer status".split()
)
_BARE = {"keyboard_enter": "enter", "navigate_back": "back", "navigate_home": "home", "wait": "wait"}
_SWIPES = {"up": "down", "down": "up", "left": "left", "right": "right"}  # what the finger's way shows
_STATUS = {"complete": "done", "infeasible": "infeasible"}


class AndroidWorld(Dialect):
    """AndroidWorld's JSONAction: `{"action_type": "click", "index": 3}`."""

    name = "androidworld"

    def told(self) -> str:
        return f"""\
You operate a phone. Answer with one action as JSON and nothing else. The actions are
{{"action_type": "click", "index": N}}, {{"action_type": "long_press", "index": N}}: element N
{{"action_type": "input_text", "text": TEXT, "index": N}}: put TEXT into field N and press Enter
{{"action_type": "keyboard_enter"}}, {{"action_type": "navigate_back"}}, {{"action_type": "navigate_home"}}: press that
{{"action_type": "scroll", "direction": "down"}}: show what is further down, or up, left, right
{{"action_type": "open_app", "app_name": NAME}}; {{"action_type": "wait"}}
{{"action_type": "answer", "text": TEXT}}: say the answer, before the end, where the goal asks for something
{{"action_type": "status", "goal_status": "complete"}}: the goal is reached
{{"action_type": "status", "goal_status": "infeasible", "text": WHY}}: it cannot be reached
Instead of "index": N there may be "x": X, "y": Y; {self.scale.words}."""

    def calls(self, response: str) -> Sequence[Said]:
        reason, marker, behind = response.partition("Action:")
        if marker and reason.lstrip().startswith("Reason:"):  # as its agent M3A is told to say
            response = behind
        return [self._call(one) for one in objects_of(response)]

    def found(self, response: str) -> Iterable[Said]:
        actions = (one for one in objects_in(last_part(response)) if "action_type" in one)
        return (self._call({**one, "action_type": str(one["action_type"]).casefold()}) for one in actions)

    def _call(self, one: Mapping[str, Any]) -> Said:
        kind = text_in(one, "action_type", "an action")
        if kind in ("click", "long_press"):
            target = self._target(one, kind)
            if target is None:
                raise ActionError(f'{kind} takes "index", or "x" and "y"')
            return Said(kind, target)
        if kind == "input_text":
            return Said("submit", self._target(one, kind), text_in(one, "text", kind))
        if kind in ("scroll", "swipe"):
            direction = text_in(one, "direction", kind)
            if direction not in DIRECTIONS:
                raise ActionError(f'{kind} takes "direction", one of {", ".join(DIRECTIONS)}')
            return Said("scroll", None, _SWIPES[direction] if kind == "swipe" else direction)
        if kind in _BARE:
            return Said(_BARE[kind])
        if kind == "open_app":
            return Said(kind, None, text_in(one, "app_name", kind))
        if kind == "answer":
            return Said(kind, None, text_in(one, "text", kind))
        if kind == "status":
            return _status(one)
        raise ActionError(f"no action_type {kind[:40]!r}, expected one of {', '.join(_TYPES)}")

    def _target(self, one: Mapping[str, Any], kind: str) -> Target:
        """Returns what an action points at; None where it says nothing of it."""
        index = one.get("index")
        point = [one.get(key) for key in "xy"]
        if index is None and point == [None, None]:
            return None
        if index is None:
            return self.scale.point(number_in(one, "x", kind), number_in(one, "y", kind))
        if point != [None, None]:
            raise ActionError(f'{kind} takes "index", or "x" and "y", not both')
        number = int(index) if is_number(index) else index
        if type(number) is not int or not 0 <= number < 10_000:
            raise ActionError(f'{kind} takes "index", the number of an element')
        return number

    def write(self, action: Action, screen: Screen) -> str:
        return "\n".join(json.dumps(one, ensure_ascii=False) for one in _objects(action))


def _objects(action: Action) -> Sequence[Mapping[str, Any]]:
    """Returns the actions of AndroidWorld that an action is."""
    kind, number, text = action
    if kind in ("click", "long_press"):
        return [{"action_type": kind, "index": number}]
    if kind in ("type", "submit"):
        return [{"action_type": "input_text", "text": text, "index": number}]
    if kind == "scroll":
        return [{"action_type": kind, "direction": text}]
    if kind == "open_app":
        return [{"action_type": kind, "app_name": text}]
    if kind == "answer":
        return [{"action_type": kind, "text": text}]
    if kind == "done":
        answer = [{"action_type": "answer", "text": text}] if text else []
        return [*answer, {"action_type": "status", "goal_status": "complete"}]
    if kind == "infeasible":
        return [{"action_type": "status", "goal_status": kind, "text": text}]
    return [{"action_type": OTHER_NAMES[kind][1]}]


def _status(one: Mapping[str, Any]) -> Said:
    status = text_in(one, "goal_status", "status")
    kind = _STATUS.get(status)
    if kind is None:
        raise ActionError(f'status takes "goal_status", {" or ".join(_STATUS)}')
    why = text_in(one, "text", kind) if "text" in one else status
    return Said(kind, None, why if kind == "infeasible" else "")
