"""Reads JSON objects in responses."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from envs.uinav.interface.actions import ActionError

_TRIED = 30  # braces, at which an object may begin
_DECODER = json.JSONDecoder()
_QUOTES = str.maketrans("“”„‘’", '"""\'\'')


def objects_of(text: str) -> list[Mapping[str, Any]]:
    """Returns the JSON objects that a text consists of, one behind the other.

    Raises:
        ActionError: it has something else.
    """
    found, place, text = [], 0, text.strip()
    while place < len(text):
        one, place = _object(text, place)
        found.append(one)
        while text[place : place + 1].isspace():
            place += 1
    return found


def objects_in(text: str) -> Iterator[Mapping[str, Any]]:
    """Yields the JSON objects in a text that lie in no other; curly quotes are read as straight ones."""
    place = 0
    for _ in range(_TRIED):
        place = text.find("{", place)
        if place < 0:
            return
        for tried in (text, text.translate(_QUOTES), text.replace("'", '"')):
            try:
                one, end = _object(tried, place)
            except ActionError:
                continue
            yield one
            place = end
            break
        else:
            place += 1


def _object(text: str, place: int) -> tuple[Mapping[str, Any], int]:
    try:
        one, end = _DECODER.raw_decode(text, place)
    except (ValueError, RecursionError):
        raise ActionError("not an action, expected a JSON object") from None
    if not isinstance(one, Mapping):
        raise ActionError("not an action, expected a JSON object")
    return one, end


def text_in(one: Mapping[str, Any], key: str, kind: str) -> str:
    """Returns a text of an object; numbers count as texts.

    Raises:
        ActionError: it is not there, or no text.
    """
    value = one.get(key)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ActionError(f'{kind} takes "{key}", a text')
    return str(value).encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # no half of a pair is left


def number_in(one: Mapping[str, Any], key: str, kind: str) -> float:
    """Returns a number of an object, of at most nine digits.

    Raises:
        ActionError: it is not there, or no number.
    """
    value = one.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e9:
        raise ActionError(f'{kind} takes "{key}", a number')
    return float(value)


def is_number(text: object) -> bool:
    """Tells whether a text is a whole number of at most four digits, as elements have."""
    return isinstance(text, str) and re.fullmatch("[0-9]{1,4}", text) is not None
