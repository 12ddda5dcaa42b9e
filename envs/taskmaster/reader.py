"""The reader of the Taskmaster reward files: one JSON array of dialogs cut off at an agent's turn, with labels.

    [{"conversation_id": "dlg-1", "context": "[{\\"role\\": \\"user\\", \\"text\\": \\"a latte please\\"}]",
      "generation": "{\\"role\\": \\"agent\\", \\"api\\": {\\"get_menu_items\\": {\\"query\\": \\"latte\\"}}}",
      "reward": 1.0}]

`context` and `generation` are JSON in strings. Turns become lines that a language model reads:

    user: a latte please
    agent: call get_menu_items(query: latte)
    api: get_menu_items -> items: latte = latte-0004, mocha = mocha-0006
    agent:

A value follows a space wherever it can, so that a word is the same token where it is said and where it is copied.
Source of the format: github.com/google-research-datasets/Taskmaster, TM-3-2020 and TM-4-2024 (CC BY 4.0).
"""

import gzip
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from envs.corpora.jsonl import STRICT, json_faults, read_jsonl, text_field
from envs.corpora.records import Content, LabelledRecord, content_of
from envs.corpora.splits import hashed_split
from envs.corpora.surrogates import has_lone_surrogate
from envs.taskmaster.turns import MAX_DEPTH, render_context, render_turn
from perlhf.errors import DataError

_KINDS = {"user": ("text",), "agent": ("text", "api"), "api": ("response",)}
_SPACE = re.compile(r"[ \t\n\r]*")


# Reading


def read_taskmaster(path: str | Path) -> Content[LabelledRecord]:
    """Reads a `.json`, `.jsonl` or `.gz` of either; every row is a record, repeated ones too.

    Raises:
        DataError: a row that is not of the format, with FILE:LINE of its first line.
    """
    path = Path(path)
    lines = path.name.removesuffix(".gz").endswith(".jsonl")
    rows = read_jsonl(path) if lines else _read_array(path)
    return content_of((_record(row, f"{path}:{number}") for number, row in rows), path)


def _read_array(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (line on which it starts, object) of one JSON array of objects."""
    text = _read_text(path)
    position, number, counted = _skip(text, 0), 1, 0
    separator = "["
    while True:
        number, counted = number + text.count("\n", counted, position), position
        where = f"{path}:{number}"
        if separator == "," and text.startswith("]", position):
            break
        if not text.startswith(separator, position):
            raise DataError(f"{where}: not JSON: expected {separator!r}{' or ]' * (separator == ',')}.")
        position = _skip(text, position + 1)
        if separator == "[" and text.startswith("]", position):
            break
        separator = ","
        number, counted = number + text.count("\n", counted, position), position
        row, position = _decode(text, position, f"{path}:{number}")
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: expected a JSON object, got {type(row).__name__}.")
        yield number, row
        position = _skip(text, position)
    if _skip(text, position + 1) < len(text):
        raise DataError(f"{where}: there is more after the end of the array.")


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _read_text(path: Path) -> str:
    """Returns the whole file as text, without a byte-order mark."""
    data = bytearray()
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            while chunk := file.read(1 << 16):
                data += chunk
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        line = data.count(b"\n") + 1
        raise DataError(f"{path}:{line}: the gzip stream is damaged or cut short ({error}).") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, start = data.count(b"\n", 0, error.start) + 1, data.rfind(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8 at byte {error.start - start} of the line.") from None
    if text.startswith("\ufeff"):
        raise DataError(f"{path}:1: starts with a byte-order mark; save the file as plain UTF-8.")
    return text


def _decode(text: str, position: int, where: str) -> tuple[Any, int]:
    """Returns the JSON value that starts at `position`, and where it ends."""
    with json_faults(where, ", see line {0.lineno} column {0.colno}"):
        return STRICT.raw_decode(text, position)


def _record(row: Mapping[str, Any], where: str) -> LabelledRecord:
    meta: dict[str, Any] = {"where": where, "conversation_id": text_field(row, "conversation_id", where)}
    context = _inner(row, "context", where)
    if not isinstance(context, list):
        raise DataError(f"{where}: field 'context' must hold a list of turns, got {type(context).__name__}.")
    generation = _inner(row, "generation", where)
    for number, turn in enumerate([*context, generation], start=1):
        name = f"turn {number} of the context" if number <= len(context) else "the generation"
        _check_turn(turn, f"{where}: {name}")
    if generation["role"] != "agent":
        raise DataError(f"{where}: the generation must be a turn of the agent, got {generation['role']!r}.")
    label = row.get("reward")
    if isinstance(label, bool) or not isinstance(label, int | float):
        raise DataError(f"{where}: field 'reward' must be 0 or 1, got {type(label).__name__}.")
    if label not in (0, 1):
        raise DataError(f"{where}: field 'reward' must be 0 or 1, got {label:.6g}.")
    if row.get("synthetic") is True:
        meta["synthetic"] = True
    return LabelledRecord(render_context(context), render_turn(generation), float(label), meta)


def _inner(row: Mapping[str, Any], key: str, where: str) -> Any:
    """Returns the value of a field that holds JSON in a string."""
    text, where = text_field(row, key, where), f"{where}: field {key!r}"
    value, end = _decode(text, _skip(text, 0), where)
    if _skip(text, end) < len(text):
        raise DataError(f"{where}: there is more after the end of the JSON value.")
    return value


def _check_turn(turn: Any, where: str) -> None:
    """Refuses what is no turn of a user, an agent or the api."""
    role = turn.get("role") if isinstance(turn, dict) else None
    kinds = _KINDS.get(role, ()) if isinstance(role, str) else ()
    kind = next((k for k in kinds if isinstance(turn, dict) and set(turn) == {"role", k}), None)
    if kind is None:
        raise DataError(f"{where} is none of user or agent with 'text', agent with 'api', api with 'response'.")
    _check_value(turn[kind], where, MAX_DEPTH)
    if kind == "text":
        if not isinstance(turn["text"], str):
            raise DataError(f"{where}: 'text' must be a string, got {type(turn['text']).__name__}.")
    elif not isinstance(turn[kind], dict) or len(turn[kind]) != 1:
        raise DataError(f"{where}: {kind!r} must be an object with the name of one function.")
    elif kind == "api" and not isinstance(next(iter(turn["api"].values())), dict):
        raise DataError(f"{where}: the arguments of the call must be an object.")


def _check_value(value: Any, where: str, depth: int) -> None:
    """Refuses what no tokenizer can hold, and nesting beyond what is rendered."""
    if depth == 0:
        raise DataError(f"{where}: nested too deeply, more than {MAX_DEPTH} levels.")
    if isinstance(value, str) and (has_lone_surrogate(value) or "\0" in value):
        raise DataError(f"{where}: holds a lone surrogate or a NUL character.")
    if isinstance(value, dict | list):
        for part in [*value, *value.values()] if isinstance(value, dict) else value:
            _check_value(part, where, depth - 1)


# Splits


def first_user_turn(prompt: str) -> str:
    """Returns the first turn of the user: a fair split keeps it on one side, since dialogs recur step by step."""
    return next((line[6:] for line in prompt.split("\n") if line.startswith("user: ")), prompt)


def split_of(record: LabelledRecord) -> str:
    """ "train", "validation" or "test", by a hash of the first user turn."""
    return hashed_split(first_user_turn(record.prompt))
