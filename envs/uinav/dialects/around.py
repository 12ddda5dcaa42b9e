"""Finds where in a response the action stands, as `lenient` has it."""

import re

_MARKER = re.compile(r"\b(?:next )?action\s*:\s*", re.IGNORECASE)
_FENCE = re.compile(r"```[a-z]*")
_AROUND = " \t\n`*_.;!-"


def last_part(response: str) -> str:
    """Returns what follows the last "Action:", or stands before it where nothing follows; without code fences."""
    parts = [part for part in _MARKER.split(_FENCE.sub("\n", response)) if part.strip(_AROUND)]
    return parts[-1] if parts else ""
