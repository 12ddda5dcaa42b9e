"""Fields of a row of JSON, checked: every mistake is a DataError that starts with where the row is, FILE:LINE."""

from collections.abc import Mapping
from typing import Any

from envs.corpora.jsonl import text_field
from perlhf.errors import DataError

MAX_LENGTH = 20_000  # characters of one text; what the spaces of the envs admit of a response
MAX_PROMPT = 100_000  # and of a prompt


def limited_text(row: Mapping[str, Any], key: str, where: str) -> str:
    """`text_field` of at most `MAX_LENGTH` characters, what the spaces of the envs admit; DataError beyond."""
    text = text_field(row, key, where)
    if len(text) > MAX_LENGTH:
        raise DataError(f"{where}: field {key!r} has {len(text)} characters, more than {MAX_LENGTH}.")
    return text


def mapping_field(row: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """Returns the object under `key`; DataError where there is none."""
    value = row.get(key)
    if not isinstance(value, Mapping):
        raise DataError(f"{where}: field {key!r} must be an object, got {shown(value)}.")
    return value


def list_field(row: Mapping[str, Any], key: str, where: str) -> list[Any]:
    """Returns the array under `key`; DataError where there is none."""
    value = row.get(key)
    if not isinstance(value, list):
        raise DataError(f"{where}: field {key!r} must be an array, got {shown(value)}.")
    return value


def int_field(row: Mapping[str, Any], key: str, where: str) -> int:
    """Returns the whole number of at most 64 bits under `key`; DataError where there is none."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise DataError(f"{where}: field {key!r} must be a whole number, got {shown(value)}.")
    return value


def shown(value: Any) -> str:
    """Returns a value as an error names it: short, on one line; what is not a short plain value by its type."""
    if value is None:
        return "nothing"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:  # Python refuses to print the longest
        return "an integer of more than 64 bits"
    if isinstance(value, (str, bool, int, float)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    return type(value).__name__
