"""Reads calls as of Python, `click('12')` and `type(content='hi')`, with literals for arguments; nothing is run."""

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from envs.uinav.interface.actions import ActionError

Value = str | float

_NAME = re.compile(r"\s*([A-Za-z_]+)\s*\(\s*")
_KEY = re.compile(r"([A-Za-z_]+)\s*=\s*")
_STRING = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_BACKSLASH, _ESCAPED = re.compile(r"\\(.)"), "\\'\"abfnrtvxNuU01234567"  # and what has a meaning behind it
_NUMBER = re.compile(r"[+-]?[0-9]{1,9}(?:\.[0-9]{0,9})?")
_CURLY = re.compile(r"‘([^’]{0,999})’|“([^”]{0,999})”|`([^`]{0,999})`")
_BARE = re.compile(r"[^,()'\"\s][^,()\n]*")
_NEXT, _END = re.compile(r"\s*,\s*"), re.compile(r"\s*\)")


class Call(NamedTuple):
    """A call: its name, its arguments in their order, and those that have names."""

    name: str
    values: Sequence[Value]
    named: Mapping[str, Value]


def calls_of(text: str) -> list[Call]:
    """Returns the calls that a text consists of, one behind the other.

    Raises:
        ActionError: it has something else.
    """
    found, place, end = [], 0, len(text.rstrip())
    while place < end:
        call, place = _call(text, place, loosely=False)
        found.append(call)
    return found


def calls_in(text: str, names: Sequence[str]) -> Iterator[Call]:
    """Yields the calls of these names that stand in a text, in any case of letters and with other quotes or none."""
    begins = re.compile(rf"(?<![A-Za-z_])(?:{'|'.join(names)})\s*\(", re.IGNORECASE)
    place = 0
    while (begin := begins.search(text, place)) is not None:
        try:
            call, place = _call(text, begin.start(), loosely=True)
        except ActionError:
            place = begin.end()
        else:
            yield call._replace(name=call.name.lower())


def quoted(text: str) -> str:
    """Returns a text as a literal in single quotes; `calls_of` reads it back."""
    return "'" + repr('"' + text)[2:]  # with a double quote in it `repr` takes single ones


def _call(text: str, place: int, loosely: bool) -> tuple[Call, int]:
    """Reads a call from a place on; returns it and where it ends."""
    begin = _NAME.match(text, place)
    if begin is None:
        raise ActionError("not an action, expected calls such as click(...)")
    values: list[Value] = []
    named: dict[str, Value] = {}
    name, place = begin[1], begin.end()
    while (end := _END.match(text, place)) is None:
        key = _KEY.match(text, place)
        value, place = _value(text, key.end() if key else place, loosely, name)
        if key:
            named[key[1]] = value
        else:
            values.append(value)
        following = _NEXT.match(text, place)
        if following is None and _END.match(text, place) is None:
            raise ActionError(f"{name} has no closing bracket behind its arguments")
        place = following.end() if following else place
    return Call(name, values, named), end.end()


def _value(text: str, place: int, loosely: bool, name: str) -> tuple[Value, int]:
    """Reads one literal; returns it and where it ends."""
    if (found := _STRING.match(text, place)) is not None:
        return unescaped(found[0]), found.end()
    if (found := _NUMBER.match(text, place)) is not None and text[found.end() : found.end() + 1] in (",", ")", " "):
        return float(found[0]), found.end()
    if loosely and (found := _CURLY.match(text, place)) is not None:
        return next(part for part in found.groups() if part is not None), found.end()
    if loosely and (found := _BARE.match(text, place)) is not None:
        return found[0].strip(), found.end()
    raise ActionError(f"the arguments of {name} must be numbers, or texts in quotes")


def unescaped(literal: str) -> str:
    """Returns the text of a Python string literal, which may go over several lines.

    Raises:
        ActionError: it is none, as with an escape that stands for nothing.
    """
    try:
        said = str(ast.literal_eval(_BACKSLASH.sub(_doubled, literal.replace("\r", "\\r").replace("\n", "\\n"))))
    except (ValueError, SyntaxError):
        raise ActionError("a text in quotes has a backslash that stands for nothing") from None
    return said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # no half of a pair is left


def _doubled(found: re.Match[str]) -> str:
    """Returns a backslash and what follows as Python reads them without a warning, which it gives of `\\d`."""
    return found[0] if found[1] in _ESCAPED else f"\\{found[0]}"
