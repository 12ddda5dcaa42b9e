"""Turns of Taskmaster dialogs as lines of text, and an agent's turn read back from its line.

A value follows a space wherever it can, so that a word is the same token where it is said and where it is copied.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

Turn = Mapping[str, Any]
MAX_DEPTH = 20  # of nested values in a turn; the real files have 6

_NAME = re.compile(r"[\w.\-]+")  # of functions and arguments: anything else stands in JSON
_BARE = re.compile(r"""[^\s,;:=(){}\[\]"#\\][^,;=(){}\[\]"\\\0-\x1f\x7f\x85\u2028\u2029]*""")
_JSON_SPACE = re.compile(" *")


def render_context(turns: Sequence[Turn]) -> str:
    """Returns the prompt: one line per turn, and a last line "agent:"."""
    return "\n".join([*(f"{turn['role']}: {render_turn(turn)}" for turn in turns), "agent:"])


def render_turn(turn: Turn) -> str:
    """One line without the role: "call NAME(KEY: VALUE, ...)", "NAME -> ..." of the api, or what is said.

    What an agent says or calls can be read back by `parse_turn`.
    """
    if "text" in turn:
        text = turn["text"]
        plain = text.strip() == text and len(text.splitlines()) == 1 and not text.startswith(("call ", '"'))
        return text if plain else json.dumps(text)
    if "api" in turn:
        ((name, arguments),) = turn["api"].items()
        return f"call {_name(name)}({_pairs(arguments)})"
    ((name, response),) = turn["response"].items()
    if not isinstance(response, dict):
        return f"{_name(name)} -> {_answer(response)}"
    return f"{_name(name)} -> {'; '.join(f'{_name(k)}: {_answer(v)}' for k, v in response.items()) or 'nothing'}"


def _name(text: str) -> str:
    return text if _NAME.fullmatch(text) else json.dumps(text)


def _pairs(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{_name(key)}: {_value(value)}" for key, value in arguments.items())


def _value(value: Any) -> str:
    """Returns a value in a call: bare text, "text in JSON", #NUMBER (or #true, #null), [list], {object}."""
    if isinstance(value, dict):
        return "{" + _pairs(value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if not isinstance(value, str):
        return "#" + json.dumps(value)
    return value if _BARE.fullmatch(value) and value.strip() == value else json.dumps(value)


def _answer(value: Any) -> str:
    """Returns a value in a response: lists without brackets, things as "name = id (the rest)"."""
    if isinstance(value, list):
        return ", ".join(map(_answer, value)) or "none"
    if not isinstance(value, dict):
        return _value(value) if isinstance(value, str) else json.dumps(value)
    rest = dict(value)
    named = [_value(rest.pop(k)) for k in ("name", "attribute_name", "menu_item_name") if isinstance(rest.get(k), str)]
    ids = ("menu_item_id", "attribute_id", "addon_id", "theater_id")  # which of them follows from the function
    named += [_value(rest.pop(k)) for k in ids if isinstance(rest.get(k), str)]
    for key in ("options", "option"):  # what can be chosen, what was chosen
        if key in rest and named:
            named[-1] += f": {_answer(rest.pop(key))}"
    inside = "; ".join(f"{_name(k)}: {_answer(v)}" for k, v in rest.items())
    return " ".join([" = ".join(named), f"({inside})" if inside or not named else ""]).strip()


def parse_turn(text: str) -> dict[str, Any]:
    """Returns the agent's turn that `render_turn` gave as `text`.

    Raises:
        ValueError: `text` begins like a call or like JSON and is none.
    """
    if text.startswith("call "):
        return {"role": "agent", "api": _Call(text).read()}
    if not text.startswith('"'):
        return {"role": "agent", "text": text}
    said, end = json.JSONDecoder().raw_decode(text)
    if end < len(text):
        raise ValueError(f"more text after the JSON string at {end}")
    return {"role": "agent", "text": said}


class _Call:
    """A reader of "call NAME(KEY: VALUE, ...)" from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = len("call ")

    def read(self) -> dict[str, Any]:
        name = self._read_name() if not self.text.startswith("(", self.position) else ""
        self._expect("(")
        arguments = self._read_pairs(")", MAX_DEPTH)
        if self.position < len(self.text):
            raise ValueError(f"more text after the call at {self.position}")
        return {name: arguments}

    def _read_pairs(self, end: str, depth: int) -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        while self._more(end, first=not pairs):
            key = self._read_name()
            self._expect(": ")
            if key in pairs:
                raise ValueError(f"{key!r} is given twice")
            pairs[key] = self._read_value(depth)
        return pairs

    def _read_value(self, depth: int) -> Any:
        if depth == 0:
            raise ValueError("nested too deeply")
        start = self.text[self.position : self.position + 1]
        if start == "{":
            self.position += 1
            return self._read_pairs("}", depth - 1)
        if start == "[":
            self.position += 1
            values: list[Any] = []
            while self._more("]", first=not values):
                values.append(self._read_value(depth - 1))
            return values
        if start in ('"', "#"):
            return self._read_json(self.position + (start == "#"))
        return self._read(_BARE)

    def _more(self, end: str, first: bool) -> bool:
        """Steps over the end of a list, or over the comma before its next part."""
        if self.text.startswith(end, self.position):
            self.position += len(end)
            return False
        if not first:
            self._expect(", ")
        return True

    def _read_name(self) -> str:
        if self.text.startswith('"', self.position):
            return str(self._read_json(self.position))
        return self._read(_NAME)

    def _read_json(self, start: int) -> Any:
        value, self.position = json.JSONDecoder().raw_decode(self.text, start)
        return value

    def _read(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.position)
        if not match:
            raise ValueError(f"expected a name or a value at {self.position}")
        self.position = match.end()
        return match.group()

    def _expect(self, sign: str) -> None:
        if not self.text.startswith(sign, self.position):
            raise ValueError(f"expected {sign!r} at {self.position}")
        self.position += len(sign)
