"""The calls of UI-TARS on phones: `Action: click(start_box='(144,82)')`, with or without a thought before it.

How points are written, that text which ends with a line break is submitted, and how responses are taken apart:
bytedance/UI-TARS: codes/ui_tars/action_parser.py; the calls are those of its prompt MOBILE_USE, and `hotkey` and
`call_user` those of its others. Points are pixels of the picture as it was scaled for UI-TARS-1.5 (from Qwen2.5-VL),
and from 0 to 1000 of the first UI-TARS (from Qwen2-VL). A scroll "shows more information on the `direction` side": it
is where one looks, not where the finger goes; a drag is the way of the finger.

Of our own are the content of `call_user`, which says why a goal cannot be reached, and that a click on a field and the
typing into it may stand in one response, as its parser allows.
"""

import re
from collections.abc import Iterable, Sequence

from envs.uinav.dialects.around import last_part
from envs.uinav.dialects.calls import Call, Value, calls_in, calls_of, quoted
from envs.uinav.dialects.dialect import Dialect
from envs.uinav.dialects.said import Point, Said, finger, typed, typed_text
from envs.uinav.interface.actions import DIRECTIONS, Action, ActionError
from envs.uinav.interface.screen import Screen

_CALLS = tuple(
    "click long_press type scroll drag open_app "
    "press_home press_back press_enter hotkey wait finished call_user".split()
)
_BARE = {"press_home": "home", "press_back": "back", "press_enter": "enter", "wait": "wait"}
_NUMBER = r"[0-9]{1,9}(?:\.[0-9]{0,9})?"
_TAG = r"(?:<[a-z_|]{1,20}>)?"
_POINT = re.compile(rf"{_TAG}\s*[\[(]?\s*({_NUMBER}(?:[\s,]+{_NUMBER}){{1,3}})\s*[\])]?\s*(?:</?[a-z_|]{{1,20}}>)?")
_THOUGHT = re.compile(r"\s*(?:Thought:(.*?))?Action:", re.DOTALL)


class UITars(Dialect):
    """UI-TARS's calls: `Action: click(start_box='(144,82)')`."""

    name = "ui-tars"
    apart = True

    def told(self) -> str:
        return f"""\
You operate a phone; {self.scale.words}. Answer with
Thought: ...
Action: one of
click(start_box='(x,y)'), long_press(start_box='(x,y)')
type(content='') # into the field in use; with "\\n" at the end it is submitted
scroll(start_box='(x,y)', direction='down or up or right or left') # shows more on that side
drag(start_box='(x1,y1)', end_box='(x2,y2)')
open_app(app_name=''), press_home(), press_back(), wait()
finished(content='') # the goal is reached; the content is the answer, if one was asked for
call_user(content='') # the goal cannot be reached; the content says why"""

    def calls(self, response: str) -> Sequence[Said]:
        begin = _THOUGHT.match(response)
        if begin is None:
            raise ActionError("not an action, expected 'Action: ', with or without 'Thought: ...' before it")
        return [self._call(call, (begin[1] or "").strip()) for call in calls_of(response[begin.end() :])]

    def found(self, response: str) -> Iterable[Said]:
        return (self._call(call, "") for call in calls_in(last_part(response), _CALLS))

    def _call(self, call: Call, thought: str) -> Said:
        name = call.name
        if name not in _CALLS:
            raise ActionError(f"no action {name[:40]!r}, expected one of {', '.join(_CALLS)}")
        if name in ("click", "long_press"):
            return Said(name, self._point(call, "start_box", "point"))
        if name in _BARE:
            return Said(_BARE[name])
        if name == "type":
            return typed(None, _text(call, "content"))
        if name == "scroll":
            direction = _text(call, "direction").casefold()
            if direction not in DIRECTIONS:
                raise ActionError(f"scroll takes direction, one of {', '.join(DIRECTIONS)}")
            return Said("scroll", None, direction)
        if name == "drag":
            ends = self._point(call, "start_box", "start_point"), self._point(call, "end_box", "end_point")
            return Said("scroll", None, finger(*ends))
        if name == "open_app":
            return Said("open_app", None, _text(call, "app_name"))
        if name == "hotkey":
            return _pressed(_text(call, "key"))
        content = _text(call, "content") if call.values or call.named else None
        if name == "finished":
            return Said("done", None, content or "")
        return Said("infeasible", None, (thought or name) if content is None else content)

    def _point(self, call: Call, *keys: str) -> Point:
        said = next((call.named[key] for key in keys if key in call.named), None)
        if said is None and call.values:
            said = call.values[0]
        found = _POINT.fullmatch(said.strip()) if isinstance(said, str) else None
        numbers = [float(number) for number in re.split(r"[\s,]+", found[1])] if found else []
        if len(numbers) not in (2, 4):
            raise ActionError(f"{call.name} takes {keys[0]}='(x,y)'")
        x, y = numbers[:2] if len(numbers) == 2 else ((numbers[0] + numbers[2]) / 2, (numbers[1] + numbers[3]) / 2)
        return self.scale.point(x, y)

    def write(self, action: Action, screen: Screen) -> str:
        kind, number, text = action
        click = f"click(start_box='({','.join(self.where(number, screen))})')"
        if kind in ("click", "long_press"):
            return f"Action: {click.replace('click', kind)}"
        if kind in ("type", "submit"):
            said = f"type(content={quoted(typed_text(action))})"
            return f"Action: {said}" if number and number == screen.focused() else f"Action: {click}\n\n{said}"
        if kind == "scroll":
            middle = ",".join(self.scale.written(*screen.root.box.middle))
            return f"Action: scroll(start_box='({middle})', direction='{text}')"
        if kind in ("back", "home"):
            return f"Action: press_{kind}()"
        if kind == "wait":
            return "Action: wait()"
        name, key = _SAYING[kind]
        return f"Action: {name}({key}={quoted(text)})"


_SAYING = {
    "open_app": ("open_app", "app_name"),
    "done": ("finished", "content"),
    "infeasible": ("call_user", "content"),
}


def _text(call: Call, key: str) -> str:
    """Returns the text of an argument, by its name or as the last one without a name."""
    value: Value | None = call.named.get(key, call.values[-1] if call.values else None)
    if not isinstance(value, str):
        raise ActionError(f"{call.name} takes {key}, a text in quotes")
    return value


def _pressed(key: str) -> Said:
    if key.casefold() not in ("enter", "back", "home"):
        raise ActionError(f"this phone has no key {key[:40]!r}, only enter, back and home")
    return Said(key.casefold())
