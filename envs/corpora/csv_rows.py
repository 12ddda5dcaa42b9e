"""Strict csv: a header, then rows of as many fields, all text; or an error that names FILE:LINE.

Python's `csv` parses, with commas between fields and double quotes around those that hold a comma, a quote (written
twice) or a line end. A byte-order mark is taken off, since Excel writes one. Refused: another sign between fields,
bytes that are not UTF-8, NUL, blank lines, a row of more or fewer fields, a quote that is never closed.
"""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from envs.corpora.fields import shown
from envs.corpora.jsonl import decoded, read_lines
from perlhf.errors import DataError

LONGEST = 2**24  # characters of one field; a quote that is never closed would otherwise take in the whole file


def read_csv(path: str | Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields (number of the line that a row begins in, its fields by the names of the header).

    Raises:
        DataError: "FILE:LINE: what is wrong"; a file that cannot be opened is named with the reason.
    """
    csv.field_size_limit(max(LONGEST, csv.field_size_limit()))  # of the whole process; Python's own is 131,072
    rows = csv.reader(_lines(path), strict=True)
    names: list[str] | None = None
    while True:
        line = rows.line_num + 1
        try:
            fields = next(rows, None)
        except csv.Error as error:
            _fail(path, line, f"not csv: {error}")
        if fields is None:
            return
        if not fields:
            _fail(path, line, "blank line; every line holds one row")
        if names is None:
            names = _checked_header(path, line, fields)
            continue
        if len(fields) != len(names):
            _fail(path, line, f"has {len(fields)} fields, and the header {len(names)}: {', '.join(map(shown, names))}")
        yield line, dict(zip(names, fields, strict=True))


def _lines(path: str | Path) -> Iterator[str]:
    for number, line in read_lines(path):
        text = decoded(line, f"{path}:{number}")
        if "\0" in text:
            _fail(path, number, "holds a NUL character")
        yield text.removeprefix("\ufeff") if number == 1 else text


def _checked_header(path: str | Path, line: int, names: list[str]) -> list[str]:
    if len(names) == 1 and any(sign in names[0] for sign in ";\t|"):
        _fail(path, line, f"the header is one field, {shown(names[0])}; expected commas between fields")
    for name in names:
        if not name.strip():
            _fail(path, line, "a column has no name in the header")
        if names.count(name) > 1:
            _fail(path, line, f"the header has {shown(name)} twice")
    return names


def _fail(path: str | Path, line: int, problem: str) -> NoReturn:
    raise DataError(f"{path}:{line}: {problem}.")
