"""Qwen's tool call `mobile_use`, of Qwen2.5-VL and Qwen3-VL.

Its calls and their arguments are those of QwenLM/Qwen3-VL: cookbooks/utils/agent_function_call.py and
cookbooks/mobile_agent.ipynb; `answer` comes before `terminate`, as in X-PLUG/MobileAgent:
Mobile-Agent-v3.5/android_world_v3.5/android_world/agents/gui_owl.py. Qwen2.5-VL says points in pixels of the picture
as it was scaled for it, Qwen3-VL from 0 to 1000 (QwenLM/Qwen3-VL issues 1485 and 1741; its mobile agent has 999).
A swipe is the way of the finger: from (144, 360) to (144, 160) shows what is further down.

Of our own are a "text" beside the status "failure", which says why, and that several calls may stand in one response
where together they are one action.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from envs.uinav.dialects.dialect import Dialect
from envs.uinav.dialects.objects import number_in, objects_in, objects_of, text_in
from envs.uinav.dialects.said import STROKES, Point, Said, finger
from envs.uinav.interface.actions import Action, ActionError
from envs.uinav.interface.screen import Screen

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_ACTIONS = ("click", "long_press", "swipe", "type", "key", "system_button", "open", "wait", "answer", "terminate")
_BUTTONS = {"back": "back", "home": "home", "enter": "enter"}
_STATUS = {"success": "done", "failure": "infeasible"}


class Qwen(Dialect):
    """Qwen's `mobile_use`: `{"name": "mobile_use", "arguments": {"action": "click", "coordinate": [144, 82]}}`."""

    name = "qwen"
    apart = True

    def told(self) -> str:
        return f"""\
You operate a phone by the function mobile_use; {self.scale.words}. Answer with one call of it and nothing else:
<tool_call>
{{"name": "mobile_use", "arguments": {{"action": ACTION, ...}}}}
</tool_call>
"click", "long_press": at "coordinate": [x, y]
"swipe": move a finger from "coordinate": [x, y] to "coordinate2": [x2, y2]
"type": put "text" into the field in use, click it first; "open": open the app "text"
"system_button": press "button": "Back", "Home" or "Enter"; "wait": let time pass
"answer": say "text", before the end, where the goal asks for something
"terminate": end with "status": "success", or "failure" where the goal cannot be reached"""

    def calls(self, response: str) -> Sequence[Said]:
        blocks = response.split(_OPEN)
        if blocks[0].strip() or len(blocks) < 2:
            raise ActionError(f"not an action, expected a call of mobile_use in {_OPEN}")
        found = []
        for block in blocks[1:]:
            inside, close, behind = block.partition(_CLOSE)
            if not close or behind.strip():
                raise ActionError(f"not an action, expected nothing but calls that end with {_CLOSE}")
            found += [self._call(one) for one in objects_of(inside)]
        return found

    def found(self, response: str) -> Iterable[Said]:
        called = response.split(_OPEN)[-1] if response.count(_OPEN) == 1 else response
        return (self._call(one, loosely=True) for one in objects_in(called) if "arguments" in one or "action" in one)

    def _call(self, one: Mapping[str, Any], loosely: bool = False) -> Said:
        arguments = one.get("arguments", one if loosely else None)
        if not isinstance(arguments, Mapping) or (one.get("name") != "mobile_use" and not loosely):
            raise ActionError('not an action, expected {"name": "mobile_use", "arguments": {...}}')
        action = text_in(arguments, "action", "mobile_use")
        action = action.casefold() if loosely else action
        if action in ("click", "long_press"):
            return Said(action, self._point(arguments, "coordinate", action))
        if action == "swipe":
            ends = (self._point(arguments, key, action) for key in ("coordinate", "coordinate2"))
            return Said("scroll", None, finger(*ends))
        if action in ("type", "open", "answer"):
            kind = "open_app" if action == "open" else action
            return Said(kind, None, text_in(arguments, "text", action))
        if action == "terminate":
            return _terminated(arguments)
        if action in ("key", "system_button"):
            return _pressed(text_in(arguments, "text" if action == "key" else "button", action))
        if action == "wait":
            return Said("wait")
        raise ActionError(f"no action {action[:40]!r}, expected one of {', '.join(_ACTIONS)}")

    def _point(self, arguments: Mapping[str, Any], key: str, kind: str) -> Point:
        point = arguments.get(key)
        if not isinstance(point, Sequence) or isinstance(point, str) or len(point) != 2:
            raise ActionError(f'{kind} takes "{key}", [x, y]')
        pair = dict(zip("xy", point, strict=True))
        return self.scale.point(number_in(pair, "x", kind), number_in(pair, "y", kind))

    def write(self, action: Action, screen: Screen) -> str:
        return "\n".join(f"{_OPEN}\n{_object(**arguments)}\n{_CLOSE}" for arguments in self._arguments(action, screen))

    def _arguments(self, action: Action, screen: Screen) -> Sequence[Mapping[str, Any]]:
        """Returns the arguments of the calls that an action is."""
        kind, number, text = action
        if kind in ("click", "long_press"):
            return [{"action": kind, "coordinate": self._numbers(*self.where(number, screen))}]
        if kind in ("type", "submit"):
            click = {"action": "click", "coordinate": self._numbers(*self.where(number, screen))}
            first = [] if number and number == screen.focused() else [click]
            last = [{"action": "system_button", "button": "Enter"}] if kind == "submit" else []
            return [*first, {"action": "type", "text": text}, *last]
        if kind == "scroll":
            start, end = (self._numbers(*self.scale.written(*point)) for point in STROKES[text])
            return [{"action": "swipe", "coordinate": start, "coordinate2": end}]
        if kind in ("back", "home"):
            return [{"action": "system_button", "button": kind.capitalize()}]
        if kind == "done":
            answer = [{"action": "answer", "text": text}] if text else []
            return [*answer, {"action": "terminate", "status": "success"}]
        if kind == "infeasible":
            return [{"action": "terminate", "status": "failure", "text": text}]
        return [{"action": "open" if kind == "open_app" else kind, **({} if kind == "wait" else {"text": text})}]

    def _numbers(self, x: str, y: str) -> list[float]:
        return [json.loads(x), json.loads(y)]


def _object(**arguments: Any) -> str:
    return json.dumps({"name": "mobile_use", "arguments": arguments}, ensure_ascii=False)


def _terminated(arguments: Mapping[str, Any]) -> Said:
    status = text_in(arguments, "status", "terminate").casefold()
    if status not in _STATUS:
        raise ActionError(f'terminate takes "status", {" or ".join(_STATUS)}')
    kind = _STATUS[status]
    why = text_in(arguments, "text", "terminate") if "text" in arguments else status
    return Said(kind, None, why if kind == "infeasible" else "")


def _pressed(button: str) -> Said:
    """Returns the call of a system button, or of a key of adb."""
    kind = _BUTTONS.get(button.casefold())
    if kind is not None:
        return Said(kind)
    if button == "clear":
        return Said("type", None, "")
    raise ActionError(f"this phone has no button {button[:40]!r}, only {', '.join(_BUTTONS)}")
