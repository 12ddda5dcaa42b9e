"""Which columns a row has: the names that are known, and those that `--columns` gives them."""

from collections.abc import Mapping
from typing import Any

from envs.corpora.fields import shown
from perlhf.errors import DataError, UserError, did_you_mean

TEXTS = ("prompt", "chosen", "rejected", "completion", "messages")  # text, or but for the last lists of messages
NUMBERS = ("label", "margin")
KNOWN = (*TEXTS, *NUMBERS)
_SHOWN = 20  # columns of a row that a message lists


def parse_columns(text: Any) -> tuple[tuple[str, str], ...]:
    """Returns (known name, column) of each part of "prompt=question,chosen=good".

    Raises:
        UserError: no text of that form, an unknown name, a name or a column that is given twice.
    """
    if not isinstance(text, str):
        raise UserError(f"columns must be text such as 'prompt=question,chosen=good', got {text!r}.")
    found: list[tuple[str, str]] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, sign, column = (word.strip() for word in part.partition("="))
        if not sign or not name or not column:
            raise UserError(f"columns: {part!r}: expected NAME=COLUMN, with commas between, as in prompt=question.")
        if name not in KNOWN:
            raise UserError(f"columns: {part!r}: unknown name {name!r}.{did_you_mean(name, KNOWN)}")
        for given, other in found:
            if name == given or column == other:
                raise UserError(f"columns: {part!r}: {(name if name == given else column)!r} is given twice.")
        found.append((name, column))
    return tuple(found)


def known_fields(row: Mapping[str, Any], columns: tuple[tuple[str, str], ...], where: str) -> dict[str, Any]:
    """Returns the fields of a row under the known names, as far as it has them; null is as if there were none.

    A column that was given a name no longer counts under its own; nor does one whose name went to another.

    Raises:
        DataError: the row has no column of a name in `columns`.
    """
    for name, column in columns:
        if column not in row:
            raise DataError(f"{where}: no column {column!r}, which columns names for {name!r}; {described(row)}.")
    given = {name for pair in columns for name in pair}
    fields = {name: row.get(name) for name in KNOWN if name not in given}
    fields |= {name: row[column] for name, column in columns}
    return {name: fields[name] for name in KNOWN if fields.get(name) is not None}


def described(row: Mapping[str, Any]) -> str:
    """Returns the columns of a row, for messages."""
    names = [shown(name) for name in row]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"its columns are {', '.join(names[:_SHOWN])}{more}" if names else "it has no columns"
