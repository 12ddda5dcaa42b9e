"""From a path that a user gives to the records of a split, for any reader of files."""

import hashlib
import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from envs.data.records import Content
from perlhf.errors import DataError

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


class Source(NamedTuple):
    """How a corpus lies on disk.

    Attributes:
        read: reads one file, whole.
        split_of: the split of a record by what it says itself, the same for all that must not be on both sides.
        suffixes: of its files, as in ".jsonl.gz".
        what: the files in words, for messages.
    """

    read: Callable[[Path], Content[Any]]
    split_of: Callable[[Any], str]
    suffixes: tuple[str, ...]
    what: str


def hashed_split(key: str) -> str:
    """ "train" (8 of 10), "validation" or "test", by a hash of what must not be on both sides."""
    tenth = hashlib.sha256(key.encode("utf-8")).digest()[0] * 10 // 256
    return {0: "test", 1: "validation"}.get(tenth, "train")


@lru_cache(maxsize=8)
def read_split(source: Source, path: Path, split: str) -> tuple[Any, ...]:
    """The records of a split: by the names of train, validation and test files, else by `split_of`.

    Raises:
        DataError: nothing there, a row that is not of the format, or no record in this split.
    """
    files = _files(source, path)
    names = {file.name.split(".")[0] for file in files}
    official = {"train", "test"} <= names <= set(SPLITS)
    records: list[Any] = []
    for file in files:
        side = file.name.split(".")[0] if official else None
        records += [r for r in _read_file(source, file) if _split(source, r, side, names) == split]
    if not records:
        raise DataError(f"{path}: no records in split {split!r}.")
    return tuple(records)


def _files(source: Source, path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; give {source.what}, or 'miniature'.")
    files = sorted(p for p in path.rglob("*") if p.name.endswith(source.suffixes))
    if not files:
        raise DataError(f"{path}: no {' or '.join(source.suffixes)} file in this folder.")
    return files


@lru_cache(maxsize=16)
def _read_file(source: Source, path: Path) -> tuple[Any, ...]:
    """The records of one file; what was not used is reported, once."""
    content = source.read(path)
    for skipped in content.skipped:
        logger.warning("%s: not used: %s", skipped.where, skipped.reason)
    return tuple(content.records)


def _split(source: Source, record: Any, side: str | None, names: set[str]) -> str:
    """The split of a record; where only train and test files exist, a part of train is the validation split."""
    if side is None:
        return source.split_of(record)
    if side == "train" and "validation" not in names:
        return "validation" if source.split_of(record) == "validation" else "train"
    return side
