"""Strict JSON Lines: every row is a JSON object of the expected fields, or an error that names FILE:LINE.

Lines end at the newline byte only (a U+2028 inside a string is text). Refused: bytes that are not UTF-8, lone
surrogates, duplicate keys, NaN and infinities, a byte-order mark, blank lines, a truncated last line, nesting
beyond Python's limit, numbers too long to read, a damaged gzip stream.
"""

import gzip
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from envs.corpora.surrogates import has_lone_surrogate
from perlhf.errors import DataError


def read_jsonl(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (line number from 1, object) of a `.jsonl` or `.jsonl.gz` file.

    Raises:
        DataError: "FILE:LINE: what is wrong"; a file that cannot be opened is named with the reason.
    """
    for number, line in read_lines(path):
        yield number, _parse(line, f"{path}:{number}")


def read_lines(path: str | Path) -> Iterator[tuple[int, bytes]]:
    """Yields (line number from 1, line with its newline byte) of a file, unpacked where its name ends in `.gz`.

    Raises:
        DataError: the file cannot be opened or unpacked.
    """
    number = 0
    try:
        with open_packed(path) as file:
            for number, line in enumerate(file, start=1):
                yield number, line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}:{number + 1}: the gzip stream is damaged or cut short ({error}).") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from None


def open_packed(path: str | Path) -> BinaryIO:
    """Opens a file for its bytes, unpacked where its name ends in `.gz`."""
    return cast(BinaryIO, gzip.open(path, "rb")) if Path(path).suffix == ".gz" else open(path, "rb")


def decoded(line: bytes, where: str) -> str:
    """Returns a line as text; DataError where it is not UTF-8."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 at byte {error.start} of the line.") from None


def _parse(line: bytes, where: str) -> dict[str, Any]:
    text = decoded(line, where)
    if text.startswith("\ufeff"):
        raise DataError(f"{where}: starts with a byte-order mark; save the file as plain UTF-8.")
    if not text.strip():
        raise DataError(f"{where}: blank line; every line holds one JSON object.")
    with json_faults(where, " at column {0.colno}"):
        row = STRICT.decode(text)
    if not isinstance(row, dict):
        raise DataError(f"{where}: expected a JSON object, got {type(row).__name__}.")
    return row


@contextmanager
def json_faults(where: str, place: str) -> Iterator[None]:
    """Whatever `STRICT` raises becomes a DataError of `where`; `place` formats a JSONDecodeError's own place."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON{place.format(error)}: {error.msg}.") from None
    except RecursionError:
        raise DataError(f"{where}: nested too deeply.") from None
    except ValueError as error:  # an integer of more digits than Python converts
        raise DataError(f"{where}: {error}.") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise DataError(f"key {repeated!r} is given twice.")
    return row


def _refuse_constant(name: str) -> NoReturn:
    raise DataError(f"{name} is not a JSON number.")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise DataError(f"number {digits} is too large.")
    return value


STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant, parse_float=_finite)


def text_field(row: Mapping[str, Any], key: str, where: str) -> str:
    """Returns the text under `key`.

    Raises:
        DataError: the key is missing, is no string, or holds a lone surrogate or NUL.
    """
    if key not in row:
        raise DataError(f"{where}: no field {key!r}; got {', '.join(map(repr, row)) or 'an empty object'}.")
    value = row[key]
    if not isinstance(value, str):
        raise DataError(f"{where}: field {key!r} must be a string, got {type(value).__name__}.")
    if has_lone_surrogate(value):
        raise DataError(f"{where}: field {key!r} holds a lone surrogate.")
    if "\0" in value:
        raise DataError(f"{where}: field {key!r} holds a NUL character.")
    return value
