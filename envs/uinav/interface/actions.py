"""Defines the actions of a UI policy, prints them, and reads them from responses.

An action is printed compactly, `type(4, bob@x.com)`, because small language models copy bare words more easily than
quoted ones; `type(4, "bob@x.com")` is read as the same. Text is quoted, as a JSON string, only where it has to be.
Reading is a regular expression and `json`; nothing of a response is ever run.
"""

import json
import re
from functools import lru_cache
from typing import NamedTuple

DIRECTIONS = ("up", "down", "left", "right")  # where the screen moves to: "down" shows what is further down

# The name of each action in AndroidControl's records and in AndroidWorld's JSONAction (google-research/google-research:
# android_control/README.md, google-research/android_world: android_world/env/json_action.py). None: it has none.
OTHER_NAMES: dict[str, tuple[str | None, str]] = {
    "click": ("click", "click"),
    "long_press": ("long_press", "long_press"),
    "type": ("input_text", "input_text"),
    "scroll": ("scroll", "scroll"),
    "back": ("navigate_back", "navigate_back"),
    "home": ("navigate_home", "navigate_home"),
    "open_app": ("open_app", "open_app"),
    "wait": ("wait", "wait"),
    "done": (None, "answer"),
    "infeasible": (None, "status"),
}
KINDS = tuple(OTHER_NAMES)
_POINTING, _SAYING, _BARE = ("click", "long_press"), ("open_app", "done", "infeasible"), ("back", "home", "wait")

# What a model with a chat template is told first, since the prompt itself says nothing of the grammar. SmolLM2-135M
# says actions in nearly all turns where the examples are earlier turns, and in none where the instructions hold them.
# One of them goes on from an error: without it greedy decoding says again and again what has just failed.
INSTRUCTIONS = """\
You operate a phone. Answer with one action and nothing else. The actions are
click(N): tap element N
long_press(N): press element N long
type(N, TEXT): put TEXT into field N
scroll(DIRECTION): move the screen down, up, left or right
open_app(NAME): open an app
home(): go to the home screen
back(): go back
wait(): let time pass
done() or done(ANSWER): the goal is reached
infeasible(WHY): the goal cannot be reached"""
EXAMPLES = (
    (
        "GOAL Send the text Hello to bob@x.com\nSCREEN Home\n1 icon Mail\n2 icon Clock\nACTION:",
        "open_app(Mail)",
    ),
    (
        "GOAL Send the text Hello to bob@x.com\nDID open_app(Mail)\nERROR type takes the number of an element, a comma "
        "and a text\nSCREEN Mail\n1 icon Search\n2 icon New\nACTION:",
        "click(2)",
    ),
    (
        "GOAL Send the text Hello to bob@x.com\nDID open_app(Mail); click(2)\nSCREEN Mail: Compose\n1 icon Back\n"
        "2 field To:\n3 field Message\nACTION:",
        "type(2, bob@x.com)",
    ),
)

_CALL = re.compile(r"\s*([a-z_]+)\s*\((.*)\)\s*", re.DOTALL)
_TYPED = re.compile(r"\s*([0-9]{1,4})\s*,(.*)", re.DOTALL)
_NUMBER = re.compile(r"\s*([0-9]{1,4})\s*")


class Action(NamedTuple):
    """One action.

    Attributes:
        kind: one of `KINDS`; of other dialects also "submit", to type and press Enter, or "answer", and to go on.
        element: the number of an element on the screen, for click, long_press, type and submit; else 0.
        text: what is typed, said or opened, or the direction of a scroll; else "".
    """

    kind: str
    element: int = 0
    text: str = ""

    def __str__(self) -> str:
        if self.kind in _POINTING:
            return f"{self.kind}({self.element})"
        if self.kind in ("type", "submit"):
            return f"{self.kind}({self.element}, {write_text(self.text)})"
        return f"{self.kind}({write_text(self.text) if self.text else ''})"


class ActionError(ValueError):
    """A response that is no action; the message says why, for the next observation."""


@lru_cache(maxsize=256)  # most responses are among a few clicks
def parse_action(response: str) -> Action:
    """Returns the action that a response says; the inverse of `str(action)`.

    Raises:
        ActionError: it says none.
    """
    call = _CALL.fullmatch(response)
    if call is None or call[1] not in OTHER_NAMES:
        raise ActionError(f"not an action, expected one of {', '.join(KINDS)}")
    kind, inside = call[1], call[2]
    if kind in _POINTING:
        number = _NUMBER.fullmatch(inside)
        if number is None:
            raise ActionError(f"{kind} takes the number of an element")
        return Action(kind, int(number[1]))
    if kind == "type":
        typed = _TYPED.fullmatch(inside)
        if typed is None:
            raise ActionError("type takes the number of an element, a comma and a text")
        return Action(kind, int(typed[1]), read_text(typed[2]))
    return _parse_rest(kind, read_text(inside))


def is_beginning(text: str) -> bool:
    """Returns whether an action may begin so, space before it left aside: what constrained decoding goes by."""
    text = text.lstrip(" ")
    kind, bracket, inside = text.partition("(")
    if not bracket:
        return any(each.startswith(kind) for each in KINDS)
    if kind not in KINDS or "\n" in inside:
        return False
    if kind in _BARE:
        return inside in ("", ")")
    if kind == "scroll":
        return any(f"{direction})".startswith(inside) for direction in DIRECTIONS)
    if kind in _SAYING:
        return True
    if kind == "type":
        number = inside.partition(",")[0]
        return _is_number(number) or inside == ""
    return inside == "" or _is_number(inside.removesuffix(")"))


def _is_number(text: str) -> bool:
    """At most four of the digits that an element's number is read from."""
    return 0 < len(text) <= 4 and text.isascii() and text.isdecimal()


def _parse_rest(kind: str, text: str) -> Action:
    if kind in _SAYING:
        return Action(kind, 0, text)
    if kind == "scroll":
        if text not in DIRECTIONS:
            raise ActionError(f"scroll takes {', '.join(DIRECTIONS)}")
        return Action(kind, 0, text)
    if text:
        raise ActionError(f"{kind} takes nothing")
    return Action(kind)


def write_text(text: str) -> str:
    """Returns a text as an argument: bare, or as a JSON string where it would not be read back bare."""
    return text if read_text(text) == text and text.isprintable() and text else json.dumps(text, ensure_ascii=False)


def read_text(written: str) -> str:
    """Returns the text of an argument: what a JSON string stands for, all else as it is, without outer space.

    The inverse of `write_text`.
    """
    bare = written.strip()
    if len(bare) > 1 and bare[0] == bare[-1] == '"':
        try:
            said = str(json.loads(bare))
            return said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # no half of a pair is left
        except ValueError:
            pass
    return bare
