"""Finds the records of a split behind a path that a user gives, for any reader of files."""

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from envs.corpora.records import Content, Demonstration, Record, Skipped
from perlhf.errors import DataError

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
JSON_FILES = ("*.json", "*.jsonl", "*.json.gz", "*.jsonl.gz")
SHOWN = 10  # skipped rows of a file that are named one by one


def side_by_name(file: Path) -> str:
    """Returns the name of a file up to its first dot: "train" of train.jsonl.gz."""
    return file.name.split(".")[0].lower()


class Hub(NamedTuple):
    """Names a corpus on the Hugging Face hub, and what becomes of its rows; see `envs.corpora.hub`.

    Attributes:
        parse: from a row and its place to a record; of a source that is not `named`, with a keyword `split`.
        repository: "ORG/NAME".
        folder: of the repository; None for all of it.
        branch: None for main.
        surplus: of the records of one split those to leave out, each with the reason; None for none.
        options: the reader's options in words; other records have other ones.
    """

    parse: Callable[..., Any]
    repository: str
    folder: str | None = None
    branch: str | None = None
    surplus: Callable[[Iterable[Any]], Mapping[int, str]] | None = None
    options: str = ""


class Source(NamedTuple):
    """Describes how a corpus lies on disk, and on the hub.

    Attributes:
        read: reads one file, whole.
        split_of: the split of a record by what it says itself, the same for all that must not be on both sides.
        patterns: of the names of its files, as in "*.jsonl".
        what: the files in words, for messages.
        named: whether files called train and test (and validation) say the split, and not `split_of`.
        hub: where it lies on the hub; None where it does not.
        side: of a source that is `named`, the split that a file is by its path.
    """

    read: Callable[[Path], Content[Any]]
    split_of: Callable[[Any], str]
    patterns: tuple[str, ...]
    what: str
    named: bool = False
    hub: Hub | None = None
    side: Callable[[Path], str] = side_by_name


def recorded_split(record: Record | Demonstration) -> str:
    """Returns the split that a record's own `meta` names."""
    return str(record.meta["split"])


def hashed_split(key: str) -> str:
    """ "train" (8 of 10), "validation" or "test", by a hash of what must not be on both sides."""
    tenth = hashlib.sha256(key.encode("utf-8")).digest()[0] * 10 // 256
    return {0: "test", 1: "validation"}.get(tenth, "train")


@lru_cache(maxsize=8)
def read_split(source: Source, path: Path, split: str) -> tuple[Any, ...]:
    """Returns the records of a split.

    Raises:
        DataError: nothing there, a row that is not of the format, or no record in this split.
    """
    files = _files(source, path)
    sides = {source.side(file) for file in files}
    official = source.named and bool(sides & {"train", "test"}) and len(files) > 1
    if official:
        _check_official(source, files, path)
    records: list[Any] = []
    for file in files:
        side = source.side(file) if official else None
        records += [r for r in _read_file(source, file) if split_of_record(source, r, side, sides) == split]
    if not records:
        way_out = "; give more prompts, or a folder with files named train and test" if source.named else ""
        raise DataError(f"{path}: no records in split {split!r}{way_out}.")
    return tuple(records)


def _files(source: Source, path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix in (".parquet", ".csv") and not any(fnmatch(path.name.lower(), p) for p in source.patterns):
            raise DataError(f"{path}: is not {source.what}; --env Preferences-v0 reads such files of preference data.")
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


def _check_official(source: Source, files: list[Path], path: Path) -> None:
    """Refuses files of which only some are named after a split: a stray one could bring test rows into training."""
    for file in files:
        if source.side(file) not in SPLITS:
            raise DataError(f"{file}: is neither {', '.join(SPLITS)}, as other files of {path} are; move it elsewhere.")


@lru_cache(maxsize=16)
def _read_file(source: Source, path: Path) -> tuple[Any, ...]:
    """Returns the records of one file; what was not used is reported, once."""
    content = source.read(path)
    not_used = NotUsed()
    for skipped in content.skipped:
        not_used.add(skipped)
    for line in not_used.lines(path):
        logger.warning("%s", line)
    return tuple(content.records)


class NotUsed:
    """Collects what was skipped: the first rows one by one, of the others only how many for which reason."""

    def __init__(self) -> None:
        self._first: list[Skipped] = []
        self._others: Counter[str] = Counter()

    def add(self, skipped: Skipped) -> None:
        if len(self._first) < SHOWN:
            self._first.append(skipped)
        else:
            self._others[skipped.reason] += 1

    def lines(self, place: str | Path) -> list[str]:
        """Returns the report; reasons that few rows have in common, such as those that name a number, are summed up."""
        lines = [f"{where}: not used: {reason}" for where, reason in self._first]
        common = self._others.most_common(SHOWN)
        lines += [f"{place}: {count} more not used: {reason}" for reason, count in common]
        rest = self._others.total() - sum(count for _, count in common)
        return [*lines, f"{place}: {rest} more not used for other reasons"] if rest else lines


def split_of_record(source: Source, record: Any, side: str | None, sides: set[str]) -> str:
    """Returns the split of a record in a file (or split of the hub) named `side`; None for a name that says nothing.

    Where only train and test files exist, a part of train is the validation split.
    """
    if side is None:
        return source.split_of(record)
    if side == "train" and "validation" not in sides:
        return "validation" if source.split_of(record) == "validation" else "train"
    return side
