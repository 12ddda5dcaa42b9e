"""From a path that a user gives to the records of a split, for any reader of files."""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from envs.data.records import Content
from perlhf.errors import DataError

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
SHOWN = 10  # skipped rows of a file that are named one by one


class Source(NamedTuple):
    """How a corpus lies on disk.

    Attributes:
        read: reads one file, whole.
        split_of: the split of a record by what it says itself, the same for all that must not be on both sides.
        patterns: of the names of its files, as in "*.jsonl".
        what: the files in words, for messages.
        named: whether files called train and test (and validation) say the split, and not `split_of`.
    """

    read: Callable[[Path], Content[Any]]
    split_of: Callable[[Any], str]
    patterns: tuple[str, ...]
    what: str
    named: bool = False


def hashed_split(key: str) -> str:
    """ "train" (8 of 10), "validation" or "test", by a hash of what must not be on both sides."""
    tenth = hashlib.sha256(key.encode("utf-8")).digest()[0] * 10 // 256
    return {0: "test", 1: "validation"}.get(tenth, "train")


@lru_cache(maxsize=8)
def read_split(source: Source, path: Path, split: str) -> tuple[Any, ...]:
    """The records of a split.

    Raises:
        DataError: nothing there, a row that is not of the format, or no record in this split.
    """
    files = _files(source, path)
    sides = {_stem(file) for file in files}
    official = source.named and bool(sides & {"train", "test"}) and len(files) > 1
    if official:
        _check_official(files, path)
    records: list[Any] = []
    for file in files:
        side = _stem(file) if official else None
        records += [r for r in _read_file(source, file) if _split(source, r, side, sides) == split]
    if not records:
        raise DataError(f"{path}: no records in split {split!r}.")
    return tuple(records)


def _files(source: Source, path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; give {source.what}, or 'miniature'.")
    files = sorted(
        file
        for file in path.rglob("*")
        if any(fnmatch(file.name.lower(), pattern) for pattern in source.patterns)
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    if not files:
        raise DataError(f"{path}: no file named {' or '.join(source.patterns)} in this folder.")
    for file in files:
        if file.with_name(f"{file.name}.gz") in files:
            raise DataError(f"{file}: is there twice, packed and not; leave one of the two.")
    return files


def _stem(file: Path) -> str:
    return file.name.split(".")[0].lower()


def _check_official(files: list[Path], path: Path) -> None:
    """Where some files carry the name of a split, all must: a stray file would bring test rows into training."""
    for file in files:
        if _stem(file) not in SPLITS:
            raise DataError(f"{file}: is neither {', '.join(SPLITS)}, as other files of {path} are; move it elsewhere.")


@lru_cache(maxsize=16)
def _read_file(source: Source, path: Path) -> tuple[Any, ...]:
    """The records of one file; what was not used is reported, once."""
    content = source.read(path)
    for skipped in content.skipped[:SHOWN]:
        logger.warning("%s: not used: %s", skipped.where, skipped.reason)
    if len(content.skipped) > SHOWN:
        reasons = Counter(skipped.reason for skipped in content.skipped[SHOWN:])
        for reason, count in reasons.most_common():
            logger.warning("%s: %d more not used: %s", path, count, reason)
    return tuple(content.records)


def _split(source: Source, record: Any, side: str | None, sides: set[str]) -> str:
    """The split of a record; where only train and test files exist, a part of train is the validation split."""
    if side is None:
        return source.split_of(record)
    if side == "train" and "validation" not in sides:
        return "validation" if source.split_of(record) == "validation" else "train"
    return side
