"""Rows of any file that holds a table: json lines, an array of json objects, csv or parquet, one at a time.

The place of a row is FILE:LINE where a row is a line (json lines) or begins in one (csv), else FILE:ROW, from 1.
"""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from envs.corpora.csv_rows import read_csv
from envs.corpora.json_stream import read_objects
from envs.corpora.jsonl import open_packed, read_jsonl
from envs.corpora.parquet_rows import read_parquet
from perlhf.errors import DataError

Numbered = Iterator[tuple[int, dict[str, Any]]]


def read_json(path: str | Path) -> Numbered:
    """Yields the rows of a `.json` file: an array of objects, or as many tools write it one object a line."""
    try:
        with open_packed(path) as file:
            first = file.read(4096).lstrip(b" \t\r\n")[:1]
    except (OSError, EOFError, zlib.error):
        first = b""  # whoever reads on has the words for it
    return read_jsonl(path) if first == b"{" else read_objects(path)


READERS: dict[str, Callable[[str | Path], Numbered]] = {
    ".jsonl": read_jsonl,
    ".json": read_json,
    ".csv": read_csv,
    ".parquet": read_parquet,
}


def kind_of(path: str | Path) -> str | None:
    """Returns the kind of a file by its name, a key of `READERS`; None for another file."""
    name = Path(path).name.lower()
    packed = (".parquet",) if name.endswith(".parquet") else (".jsonl", ".json", ".csv")  # parquet is packed inside
    return next((kind for kind in packed if name.removesuffix(".gz").endswith(kind)), None)


def iter_rows(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields (place, row) of a file by the ending of its name; a row is in memory until the next one is asked for.

    Raises:
        DataError: another ending, or a row that is not of the format, with its place.
        UserError: parquet without pyarrow.
    """
    kind = kind_of(path)
    if kind is None:
        raise DataError(f"{path}: is of no known kind; known are {', '.join(READERS)}, and all but the last with .gz.")
    return ((f"{path}:{number}", row) for number, row in READERS[kind](path))
