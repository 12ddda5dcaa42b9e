"""BrowserGym's calls: `click('12')`, `fill('12', 'text')`, `scroll(0, 200)`, `send_msg_to_user('7:30')`.

The calls are those of ServiceNow/BrowserGym: browsergym/core/src/browsergym/core/action/functions.py, and how they are
written of its parsers.py there. A scroll has pixels to the right and down: `scroll(0, 200)` shows what is further down,
`scroll(0, -200)` further up. A message to the user ends the episode and is the answer; `fill` does not press Enter.

A bid is the number of an element. A browser has no apps: `open_app`, `home` and `long_press` are of our own, as custom
actions of BrowserGym's `HighLevelActionSet`.
"""

from collections.abc import Callable, Iterable, Sequence

from envs.uinav.dialects.around import last_part
from envs.uinav.dialects.calls import Call, Value, calls_in, calls_of, quoted
from envs.uinav.dialects.dialect import Dialect
from envs.uinav.dialects.objects import is_number
from envs.uinav.dialects.said import Said
from envs.uinav.interface.actions import Action, ActionError
from envs.uinav.interface.screen import Screen

_SCROLLS = {"down": "0, 200", "up": "0, -200", "right": "200, 0", "left": "-200, 0"}
_SAYING = {"send_msg_to_user": "done", "report_infeasible": "infeasible", "open_app": "open_app"}
_BARE = {"go_back": "back", "home": "home", "noop": "wait"}
_TYPING = ("keyboard_type", "keyboard_insert_text")


class BrowserGym(Dialect):
    """BrowserGym's calls: `click('12')`."""

    name = "browsergym"

    def told(self) -> str:
        return f"""\
You operate a phone. Answer with one action and nothing else; BID is the number of an element. The actions are
click('BID'), long_press('BID')
fill('BID', 'TEXT'): put TEXT into a field
press('BID', 'Enter'), keyboard_press('Enter'): press Enter in a field, or in the one in use
keyboard_type('TEXT'): put TEXT into the field in use; mouse_click(X, Y): {self.scale.words}
scroll(DX, DY): show what is further to the right and down, or with negative numbers left and up
open_app('NAME'), home(), go_back()
noop(): let time pass
send_msg_to_user('ANSWER'): the goal is reached; the message is the answer, if one was asked for
report_infeasible('WHY'): the goal cannot be reached"""

    def calls(self, response: str) -> Sequence[Said]:
        return [self._call(call) for call in calls_of(response)]

    def found(self, response: str) -> Iterable[Said]:
        return (self._call(call) for call in calls_in(last_part(response), tuple(_READERS)))

    def _call(self, call: Call) -> Said:
        read = _READERS.get(call.name)
        if read is None:
            raise ActionError(f"no action {call.name[:40]!r}, expected one of {', '.join(_READERS)}")
        return read(self, call)

    def write(self, action: Action, screen: Screen) -> str:
        kind, number, text = action
        if kind in ("click", "long_press"):
            return f"{kind}('{number}')"
        if kind in ("type", "submit"):
            enter = f"\npress('{number}', 'Enter')" if kind == "submit" else ""
            return f"fill('{number}', {quoted(text)}){enter}"
        if kind == "scroll":
            return f"scroll({_SCROLLS[text]})"
        name = next(name for name, other in (_SAYING | _BARE).items() if other == kind)
        return f"{name}()" if name in _BARE else f"{name}({quoted(text)})"


def _pointing(dialect: BrowserGym, call: Call) -> Said:
    if call.named.get("button", "left") != "left" or len(call.values) > 1:
        raise ActionError(f"{call.name} takes a bid, the number of an element in quotes; a phone has one button")
    return Said("click" if call.name == "focus" else call.name, _bid(call))


def _filled(dialect: BrowserGym, call: Call) -> Said:
    return Said("type", _bid(call), "" if call.name == "clear" else _argument(call, 1, "value"))


def _pressed(dialect: BrowserGym, call: Call) -> Said:
    key = _argument(call, 1, "key_comb") if call.name == "press" else _argument(call, 0, "key")
    if key != "Enter":
        raise ActionError(f"this phone has no key {key[:40]!r}, only Enter")
    return Said("enter", _bid(call) if call.name == "press" else None)


def _scrolled(dialect: BrowserGym, call: Call) -> Said:
    across, down = _number(call, 0, "delta_x"), _number(call, 1, "delta_y")
    if across == down == 0:
        raise ActionError("scroll(0, 0) goes nowhere")
    if abs(down) >= abs(across):
        return Said("scroll", None, "down" if down > 0 else "up")
    return Said("scroll", None, "right" if across > 0 else "left")


def _clicked(dialect: BrowserGym, call: Call) -> Said:
    return Said("click", dialect.scale.point(_number(call, 0, "x"), _number(call, 1, "y")))


def _typed(dialect: BrowserGym, call: Call) -> Said:
    return Said("type", None, _argument(call, 0, "text"))


def _saying(dialect: BrowserGym, call: Call) -> Said:
    key = {"report_infeasible": "reason", "open_app": "name"}.get(call.name, "text")
    return Said(_SAYING[call.name], None, _argument(call, 0, key))


def _bare(dialect: BrowserGym, call: Call) -> Said:
    return Said(_BARE[call.name])  # `noop` has a time that does not matter


_READERS: dict[str, Callable[[BrowserGym, Call], Said]] = {
    **dict.fromkeys(("click", "long_press", "focus"), _pointing),
    **dict.fromkeys(("fill", "clear"), _filled),
    **dict.fromkeys(("press", "keyboard_press"), _pressed),
    **dict.fromkeys(_TYPING, _typed),
    "mouse_click": _clicked,
    "scroll": _scrolled,
    **dict.fromkeys(_SAYING, _saying),
    **dict.fromkeys(_BARE, _bare),
}


def _value(call: Call, place: int, key: str) -> Value | None:
    return call.named.get(key, call.values[place] if place < len(call.values) else None)


def _argument(call: Call, place: int, key: str) -> str:
    value = _value(call, place, key)
    if not isinstance(value, str):
        raise ActionError(f"{call.name} takes {key}, a text in quotes")
    return value


def _number(call: Call, place: int, key: str) -> float:
    value = _value(call, place, key)
    if not isinstance(value, float):
        raise ActionError(f"{call.name} takes {key}, a number")
    return value


def _bid(call: Call) -> int:
    value = _value(call, 0, "bid")
    text = f"{value:g}" if isinstance(value, float) else value
    if not is_number(text.strip("[]# ") if isinstance(text, str) else text):
        raise ActionError(f"{call.name} takes a bid, the number of an element in quotes")
    return int(str(text).strip("[]# "))
