"""Reads the action in what a language model writes around it, where a task is asked to (`lenient`).

A full stop behind it, capitals, back ticks and code fences, "ACTION:" before it, quotes of other kinds, a call without
its brackets, a thought before it: all are common in answers of chat models, and none says another action.
"""

import re
from functools import lru_cache

from envs.uinav.interface.actions import KINDS, Action, ActionError, parse_action

_QUOTES = {"'": "'", "`": "`", "‘": "’", "“": "”", "„": "“", "«": "»"}
_MARKER = re.compile(r"\b(?:next )?action\s*:\s*", re.IGNORECASE)
_CALL = re.compile(rf"\b({'|'.join(KINDS)})\s*\((.*)\)", re.IGNORECASE)
_BARE = re.compile(r"(back|home|wait|done)", re.IGNORECASE)
_AROUND = " \t`*_.;!-"


@lru_cache(maxsize=256)
def find_action(response: str) -> Action:
    """Returns the action that a response says, with whatever stands around it.

    What `parse_action` reads is read as it does, without quotes that JSON has not. Else what follows the last "ACTION:"
    counts, or stands before it where nothing follows, and of that the first line that is a call, then the first call in
    a line.

    Raises:
        ActionError: it says none; as `parse_action` puts it.
    """
    try:
        return _unquoted(parse_action(response))
    except ActionError as error:
        first = error
    said = [part for part in _MARKER.split(response) if part.strip(_AROUND + "\n")]
    lines = [line.strip(_AROUND) for line in (said or [""])[-1].split("\n")]
    alone = [line for line in lines if _CALL.fullmatch(line) or _BARE.fullmatch(line)]
    for line in [*alone, *(line for line in lines if _CALL.search(line))]:
        try:
            return _unquoted(_action_in(line))
        except ActionError:
            continue
    raise first


def _action_in(line: str) -> Action:
    call = _CALL.search(line)
    if call is None:
        return parse_action(f"{line.lower()}()")
    number, comma, text = call[2].partition(",")
    digits = number.strip(" '`\"[]#")
    inside = f"{digits}{comma}{text}" if digits.isdecimal() else call[2]
    return parse_action(f"{call[1].lower()}({inside})")


def _unquoted(action: Action) -> Action:
    return action._replace(text=unquoted(action.text)) if action.text else action


def unquoted(text: str) -> str:
    """Returns a text without quotes around it, but for JSON's own, which are read already."""
    return text[1:-1] if len(text) > 1 and _QUOTES.get(text[0]) == text[-1] else text
