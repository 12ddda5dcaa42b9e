"""Keeps the records of a set: in memory while they are few, on disk from `IN_MEMORY` characters on.

On disk they lie in the folder `files` of `envs.corpora.disk.cache_folder` (those of the hub beside it), under a hash of
the files' paths, sizes and times and of how they are read, so that the same files are read once. A folder that no file
needs any more may be deleted.
"""

import json
import logging
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from envs.corpora.disk import DiskRecords, RecordWriter, made_whole
from envs.corpora.records import AnyRecord, Skipped
from envs.corpora.splits import NotUsed
from envs.preferences.rows import RowParser
from envs.preferences.splits import code_of, key_of
from perlhf.errors import DataError
from perlhf.measure import progress_bar

logger = logging.getLogger(__name__)

IN_MEMORY = 2**24  # characters of prompts and answers
_RECORDS, _KEYS, _SIDES, _NOT_USED = "records.jsonl", "keys", "sides", "not_used.json"


class Part(NamedTuple):
    """Rows of one place.

    Attributes:
        place: the file, or split of the hub.
        side: the split that it is by its name; None where it says nothing.
        rows: (FILE:LINE, row) of each.
        all_text: whether it is csv.
    """

    place: str
    side: str | None
    rows: Iterator[tuple[str, dict[str, Any]]]
    all_text: bool = False


class Kept(NamedTuple):
    """The records of a set.

    Attributes:
        records: n of them, in the order of the files.
        keys: (n,) uint64, of their prompts; see `envs.preferences.splits`.
        sides: (n,) int8, the split that their file is, or `BY_HASH`.
    """

    records: Sequence[AnyRecord]
    keys: np.ndarray
    sides: np.ndarray

    def rows(self, rows: np.ndarray) -> Sequence[AnyRecord]:
        """Returns some of the records; those on disk stay there."""
        if isinstance(self.records, DiskRecords):
            return DiskRecords(self.records.path, self.records.spans[rows])
        return [self.records[i] for i in rows.tolist()]


def kept_records(parts: Iterable[Part], parser: RowParser, folder: Path, what: str, in_memory: int) -> Kept:
    """Returns the records of all parts; what was not used is reported.

    Args:
        parts: of one set, all rows of one form.
        parser: makes records of rows.
        folder: where they are on disk, or will be if they are too many for memory.
        what: was given, for messages.
        in_memory: characters of prompts and answers from which on they go to disk.

    Raises:
        DataError: a row that is not of the form, or no record at all.
    """
    if folder.is_dir():
        lines = json.loads((folder / _NOT_USED).read_text(encoding="utf-8"))
        kept = _read(folder)
    else:
        with ExitStack() as stack:
            sink = _Sink(folder, in_memory, stack)
            lines = _collect(parts, parser, sink, what)
            sink.write_beside(lines, what)
        kept = sink.kept()
    for line in lines:
        logger.warning("%s", line)
    return kept


def _read(folder: Path) -> Kept:
    keys, sides = np.fromfile(folder / _KEYS, np.uint64), np.fromfile(folder / _SIDES, np.int8)
    return Kept(DiskRecords(folder / _RECORDS), keys, sides)


def _collect(parts: Iterable[Part], parser: RowParser, sink: "_Sink", what: str) -> list[str]:
    """Hands all records to the sink; returns the report of what was not used."""
    lines: list[str] = []
    first: Skipped | None = None
    for part in parts:
        not_used, before = NotUsed(), len(sink.keys)
        shown = progress_bar(part.rows, desc=part.place, unit=" rows", delay=3)
        for where, row in shown:
            item = parser(row, where, part.all_text)
            if isinstance(item, Skipped):
                not_used.add(item)
                first = first or item
            else:
                sink.add(item, part.side)
        of_part = not_used.lines(part.place)
        if not of_part and len(sink.keys) == before:
            raise DataError(f"{part.place}:1: the file has no rows.")
        lines += of_part
    if not sink.keys:
        reason = "" if first is None else f"; {first.where}: {first.reason}"
        raise DataError(f"{what}: no row is of use{reason}.")
    return lines


class _Sink:
    """Takes records into memory, and from some number of characters on all of them to disk."""

    def __init__(self, folder: Path, in_memory: int, stack: ExitStack) -> None:
        self._folder, self._room, self._stack = folder, in_memory, stack
        self._records: list[AnyRecord] = []
        self._writer: RecordWriter | None = None
        self._part = folder
        self.keys, self._sides = array("Q"), array("b")

    def add(self, record: AnyRecord, side: str | None) -> None:
        self.keys.append(key_of(record.prompt))
        self._sides.append(code_of(side))
        if self._writer is not None:
            self._writer.add(record)
            return
        self._records.append(record)
        self._room -= sum(len(text) for text in record if isinstance(text, str))
        if self._room < 0:
            self._to_disk()

    def _to_disk(self) -> None:
        self._part = self._stack.enter_context(made_whole(self._folder))
        self._writer = self._stack.enter_context(RecordWriter(self._part / _RECORDS))
        for record in self._records:
            self._writer.add(record)
        self._records = []

    def write_beside(self, lines: list[str], what: str) -> None:
        """Writes what belongs to records on disk, and says where they are."""
        if self._writer is None:
            return
        for name, numbers in ((_KEYS, self.keys), (_SIDES, self._sides)):
            with open(self._part / name, "wb") as file:
                numbers.tofile(file)
        (self._part / _NOT_USED).write_text(json.dumps(lines), encoding="utf-8")
        logger.warning("%s: %d records, kept on disk in %s", what, len(self.keys), self._folder)

    def kept(self) -> Kept:
        if self._writer is not None:
            return _read(self._folder)
        return Kept(tuple(self._records), np.array(self.keys, np.uint64), np.array(self._sides, np.int8))
