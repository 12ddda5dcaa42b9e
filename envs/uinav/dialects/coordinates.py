"""Actions at points: `click(144, 82)`, with what is typed and said written as in UINav's own.

The names are AndroidControl's (google-research/google-research: android_control/README.md), whose `type` has a point
too. Which way signs go: a scroll names what is to be seen, as there; a swipe is the way of the finger.
"""

import re
from collections.abc import Sequence
from contextlib import suppress

from envs.uinav.dialects.around import last_part
from envs.uinav.dialects.dialect import Dialect
from envs.uinav.dialects.said import Point, Said, finger, typed, typed_text
from envs.uinav.interface.actions import DIRECTIONS, Action, ActionError, read_text, write_text
from envs.uinav.interface.lenient import unquoted
from envs.uinav.interface.screen import Screen

_NUMBER = r"-?[0-9]{1,9}(?:\.[0-9]{0,9})?"
_PAIR = re.compile(rf"\s*\(?\s*({_NUMBER})\s*,\s*({_NUMBER})\s*\)?\s*")
_TAP = re.compile(rf"click\(({_NUMBER}), ({_NUMBER})\)")
_SWIPE = re.compile(rf"{_PAIR.pattern},{_PAIR.pattern}")
_TYPED = re.compile(rf"\s*({_NUMBER})\s*,\s*({_NUMBER})\s*,(.*)", re.DOTALL)
_CALL = re.compile(r"\s*([a-z_]+)\s*\((.*)\)\s*", re.DOTALL)
_TAKES = {
    "click": "a point, x and y",
    "long_press": "a point, x and y",
    "type": "a text, or a point and a text",
    "swipe": "two points, from and to",
    "scroll": f"one of {', '.join(DIRECTIONS)}",
    "open_app": "a name",
    "enter": "nothing",
    "back": "nothing",
    "home": "nothing",
    "wait": "nothing",
    "answer": "a text",
    "done": "nothing, or an answer",
    "infeasible": "a reason",
    "terminate": "success or failure",
}
_SEARCHED = re.compile(rf"\b({'|'.join(_TAKES)})\s*\((.*)\)", re.IGNORECASE)
_ALONE = re.compile(r"[ \t`*_.;!-]*(enter|back|home|wait|done)[ \t`*_.;!-]*", re.IGNORECASE)


class Coordinates(Dialect):
    """Actions at points of the picture."""

    name = "coordinates"

    def told(self) -> str:
        return f"""\
You operate a phone. Answer with one action and nothing else; {self.scale.words}. The actions are
click(X, Y), long_press(X, Y): tap a point, press it long
type(TEXT): put TEXT into the field in use; type(X, Y, TEXT): into the field at a point
enter(): press the keyboard's Enter; back(), home(): press the button
scroll(DIRECTION): show what is further down, up, left or right
swipe(X1, Y1, X2, Y2): move a finger from one point to another
open_app(NAME): open an app
wait(): let time pass
done() or done(ANSWER): the goal is reached
infeasible(WHY): the goal cannot be reached"""

    def calls(self, response: str) -> Sequence[Said]:
        call = _CALL.fullmatch(response)
        if call is None or call[1] not in _TAKES:
            raise ActionError(f"not an action, expected one of {', '.join(_TAKES)}")
        return [self._call(call[1], call[2])]

    def _call(self, kind: str, inside: str) -> Said:
        if kind in ("click", "long_press"):
            pair = _PAIR.fullmatch(inside)
            if pair is not None:
                return Said(kind, self._point(*pair.groups()))
        elif kind == "swipe":
            swipe = _SWIPE.fullmatch(inside)
            if swipe is not None:
                x1, y1, x2, y2 = swipe.groups()
                return Said("scroll", None, finger(self._point(x1, y1), self._point(x2, y2)))
        elif kind == "type":
            at = _TYPED.fullmatch(inside)
            return typed(None, read_text(inside)) if at is None else typed(self._point(at[1], at[2]), read_text(at[3]))
        elif _TAKES[kind] == "nothing":
            if not inside.strip():
                return Said(kind)
        elif kind == "terminate":
            return _terminated(inside)
        elif kind != "scroll" or read_text(inside) in DIRECTIONS:
            return Said(kind, None, read_text(inside))
        raise ActionError(f"{kind} takes {_TAKES[kind]}")

    def _point(self, x: str, y: str) -> Point:
        return self.scale.point(float(x), float(y))

    def _said(self, response: str, lenient: bool) -> Said:
        tap = _TAP.fullmatch(response)  # most responses, and read in half the time
        if tap is not None:
            return Said("click", self.scale.point(float(tap[1]), float(tap[2])))
        said = super()._said(response, lenient)
        return said._replace(text=unquoted(said.text)) if lenient and said.text else said

    def found(self, response: str) -> Sequence[Said]:
        for line in last_part(response).split("\n"):
            alone = _ALONE.fullmatch(line)
            if alone is not None:
                return [self._call(alone[1].lower(), "")]
            call = _SEARCHED.search(line, 0, line.rfind(")") + 1)  # so that no call is tried in vain
            if call is None:
                continue
            for inside in (call[2], call[2].partition(")")[0]):  # a text may hold a bracket, or one stand behind
                with suppress(ActionError):
                    return [self._call(call[1].lower(), inside)]
        return []

    def write(self, action: Action, screen: Screen) -> str:
        kind, number, _ = action
        if kind in ("click", "long_press"):
            return f"{kind}({', '.join(self.where(number, screen))})"
        if kind in ("type", "submit"):
            said = write_text(typed_text(action))
            if number and number == screen.focused() and _TYPED.fullmatch(said) is None:
                return f"type({said})"
            return f"type({', '.join(self.where(number, screen))}, {said})"
        return str(action)


def _terminated(inside: str) -> Said:
    status, comma, why = inside.partition(",")
    status = read_text(status).casefold()
    if status in ("success", "failure"):
        return Said("done" if status == "success" else "infeasible", None, read_text(why) if comma else _why(status))
    raise ActionError(f"terminate takes {_TAKES['terminate']}")


def _why(status: str) -> str:
    return "" if status == "success" else status
