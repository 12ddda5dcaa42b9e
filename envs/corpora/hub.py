"""Corpora on the Hugging Face hub: rows are streamed once, go through the parsers of the files, and are kept on disk.

`data` is "hub" for a task's own corpus, or "hub:ORG/NAME" or "hub:ORG/NAME/FOLDER" for another of the same rows, where
FOLDER is a folder of the repository (`data_dir` of `datasets`). A record is in memory only while it is parsed, and
later while it is used. What was streamed lies in $HF_HOME/perlhf, or else ~/.cache/perlhf, as ORG--NAME/COMMIT/KEY; KEY
is a hash of what else decides the records: folder, branch, the reader's options and the code of the readers. The folder
gets that name when it is whole, so that what was interrupted is streamed again. If the hub does not answer, the newest
folder of that key is taken; HF_HUB_OFFLINE=1 holds on to it, where the hub may have a newer commit.

Not tried on the hub itself, for want of a network. Read from stored copies of public pages instead:

- stanfordnlp/SHP: its card (jsonl files DOMAIN/{train,validation,test}.json, all merged without a `data_dir`), and the
  15 columns with their types as its viewer gave them in August 2026: as `parse_shp` takes them.
- Anthropic/hh-rlhf: its card, and public code that calls `load_dataset` with data_dir="harmless-base" and the splits
  train and test; each line has `chosen` and `rejected`.
- openai/summarize_from_feedback: its card (the config "comparisons" has the splits train and validation only), and a
  copy of its loading script: names and types of all fields; valid1 and valid2 are both in the split validation; absent
  `id`, `post`, `subreddit`, `site` and `article` are null. `datasets` runs no scripts since 4.0, so the rows are taken
  from the branch refs/convert/parquet, which the hub makes itself, with a folder for each config. Public code does the
  same.

Not checked: that no real row is refused by the parsers, such as a comparison of a post without an id.
"""

import hashlib
import inspect
import json
import logging
import os
import re
import shutil
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, overload

import numpy as np

from envs.corpora.records import AnyRecord, Demonstration, LabelledRecord, Record, Skipped
from envs.corpora.splits import SPLITS, Hub, NotUsed, Source, split_of_record
from perlhf.errors import DataError, UserError, one_line
from perlhf.measure import progress_bar

logger = logging.getLogger(__name__)

_NAME = re.compile(r"hub:(?P<repository>[\w.-]+/[\w.-]+)(/(?P<folder>[\w./-]+))?")
_KINDS = {kind.__name__: kind for kind in (Record, LabelledRecord, Demonstration)}


class DiskRecords(Sequence[AnyRecord]):
    """Records in a file, read when they are asked for; any number of threads and processes may ask.

    Attributes:
        path: the file, one JSON array ["Record", prompt, chosen, rejected, meta] a line.
        spans: (n, 2) int64, first byte and length of each record's line; from the file PATH.spans.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.spans = np.fromfile(_spans(path), dtype=np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.spans)

    @overload
    def __getitem__(self, index: int) -> AnyRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[AnyRecord]: ...
    def __getitem__(self, index: int | slice) -> AnyRecord | list[AnyRecord]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        start, length = self.spans[index].tolist()
        with open(self.path, "rb") as file:  # opened anew: a file that is open has one position, and cannot be pickled
            file.seek(start)
            kind, *fields = json.loads(file.read(length))
        return _KINDS[kind](*fields)


def is_hub(data: str) -> bool:
    """Returns whether `data` names a corpus on the hub. A file of that name is "./hub"."""
    return data == "hub" or data.startswith("hub:")


@lru_cache(maxsize=8)
def read_hub(source: Source, data: str, split: str) -> DiskRecords:
    """Returns the records of a split, streamed from the hub if they are not on disk yet.

    Raises:
        UserError: `data` is not of the form above, `datasets` is not installed, or the hub does not give the rows.
        DataError: a row that is not of the format, as hub:ORG/NAME/SPLIT:ROW, or no record in this split.
    """
    records = DiskRecords(streamed(source, data) / f"{split}.jsonl")
    if not records:
        raise DataError(f"{_place(_named(source, data))}: no records in split {split!r}.")
    return records


@lru_cache(maxsize=8)
def streamed(source: Source, data: str) -> Path:
    """Returns the folder of a corpus, whole; what was not used is reported once."""
    hub = _named(source, data)
    if find_spec("datasets") is None:
        raise UserError(f"data {data!r} needs the library datasets: pip install 'perlhf[hub]'.")
    folder = _folder(hub)
    if not folder.is_dir():
        _stream(source, hub, folder)
    for line in json.loads((folder / "not_used.json").read_text(encoding="utf-8")):
        logger.warning("%s", line)
    return folder


def _named(source: Source, data: str) -> Hub:
    """Returns the corpus that `data` names; of the task's own repository branch and folder are known."""
    assert source.hub is not None
    if data == "hub":
        return source.hub
    match = _NAME.fullmatch(data)
    if match is None:
        raise UserError(f"data {data!r}: expected 'hub', 'hub:ORG/NAME' or 'hub:ORG/NAME/FOLDER'.")
    repository, folder = match["repository"], match["folder"]
    if repository == source.hub.repository:
        return source.hub._replace(folder=folder or source.hub.folder)
    return source.hub._replace(repository=repository, folder=folder, branch=None)


def _place(hub: Hub) -> str:
    return f"hub:{hub.repository}/{hub.folder}" if hub.folder else f"hub:{hub.repository}"


# Where it is kept


def _folder(hub: Hub) -> Path:
    """Returns where the records at the newest commit belong; if the hub does not answer, the newest that are there."""
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    home, key, place = cache_folder() / hub.repository.replace("/", "--"), _key(hub), _place(hub)
    try:
        return home / commit_of(hub) / key
    except GatedRepoError:
        raise UserError(f"{place}: is gated; accept its terms on its page, then log in with `hf auth login`.") from None
    except RevisionNotFoundError:
        raise UserError(f"{place}: this data set has no branch {hub.branch!r} on the Hugging Face hub.") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise UserError(
            f"{place}: no such data set on the Hugging Face hub; mind the name, or log in with `hf auth login`."
        ) from None
    except Exception as error:  # the hub's HTTP library changes from version to version, and its errors with it
        kept = sorted(home.glob(f"*/{key}"), key=lambda folder: folder.stat().st_mtime)
        if not kept:
            raise UserError(
                f"{place}: the Hugging Face hub does not answer ({_said(error)}); connect, or give a path as 'data'."
            ) from None
        logger.warning("%s: the hub does not answer; using commit %s from disk.", place, kept[-1].parent.name)
        return kept[-1]


def cache_folder() -> Path:
    """Returns the folder in which all that was streamed is kept."""
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser() if home else Path.home() / ".cache") / "perlhf"


def _key(hub: Hub) -> str:
    """Returns a hash of all but the commit; with the reader's code, since another reader makes other records."""
    digest = hashlib.sha256(repr((hub.repository, hub.folder, hub.branch, hub.options)).encode())
    parse = hub.parse.func if isinstance(hub.parse, partial) else hub.parse
    parser = Path(inspect.getfile(parse))
    for module in [parser, *sorted(Path(__file__).parent.glob("*.py"))]:
        digest.update(module.read_bytes())
    return digest.hexdigest()[:16]


def _spans(path: Path) -> Path:
    return path.with_name(f"{path.name}.spans")


# What is asked of the hub


def commit_of(hub: Hub) -> str:
    """Returns the newest commit of the branch; it fails at once where `datasets` tries again and again."""
    from huggingface_hub import dataset_info

    return str(dataset_info(hub.repository, revision=hub.branch, timeout=10).sha)


def open_streams(hub: Hub, commit: str) -> Mapping[str, Iterable[dict[str, Any]]]:
    """Returns the rows of each split at a commit; they are fetched as they are iterated."""
    from datasets import load_dataset

    return load_dataset(hub.repository, data_dir=hub.folder, revision=commit, streaming=True)


def numbered_rows(rows: Iterable[dict[str, Any]], place: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Yields (row, "PLACE:NUMBER" from 1)."""
    number = 0
    try:
        for number, row in enumerate(progress_bar(rows, desc=place, unit=" rows"), start=1):
            yield row, f"{place}:{number}"
    except Exception as error:  # of the network, or of any file format
        raise DataError(f"{place}:{number + 1}: the hub does not give this row ({_said(error)}).") from None


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {one_line(error)}"


# From one to the other


def _stream(source: Source, hub: Hub, folder: Path) -> None:
    """Makes the folder, under another name until it is whole; another process that was faster wins."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".part-", dir=folder.parent))
    try:
        _write(source, hub, part, folder.parent.name)
        for path in part.iterdir():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        part.rename(folder)
    except OSError:
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(source: Source, hub: Hub, part: Path, commit: str) -> None:
    """Writes the records of every split, and what was not used."""
    place = _place(hub)
    try:
        streams = open_streams(hub, commit)
    except Exception as error:  # as in `numbered_rows`
        raise UserError(f"{place}: the hub does not give its rows ({_said(error)}).") from None
    sides = {side for side in SPLITS if side in streams}
    if not sides:
        raise DataError(f"{place}: has no split named {', '.join(SPLITS)}; it has {', '.join(streams)}.")
    lines = [f"{place}: split {name!r} not used" for name in streams if name not in SPLITS]
    with ExitStack() as stack:
        writers = {split: stack.enter_context(RecordWriter(part / f"{split}.jsonl")) for split in SPLITS}
        for side in sorted(sides):
            not_used = NotUsed()
            for split, item in _items(source, hub, numbered_rows(streams[side], f"{place}/{side}"), side, sides):
                if isinstance(item, Skipped):
                    not_used.add(item)
                else:
                    writers[split].add(item)
            lines += not_used.lines(f"{place}/{side}")
    for split in SPLITS:
        lines += _leave_out(hub, part / f"{split}.jsonl", f"{place}/{split}")
    (part / "not_used.json").write_text(json.dumps(lines), encoding="utf-8")


def _items(
    source: Source, hub: Hub, rows: Iterable[tuple[dict[str, Any], str]], side: str, sides: set[str]
) -> Iterator[tuple[str, Any]]:
    """Yields (split, record) or ("", skipped). As with files, a lone one says nothing of the split of its rows."""
    known = side if len(sides) > 1 else None
    parse = hub.parse if source.named else partial(hub.parse, split=known)
    for row, where in rows:
        item = parse(row, where)
        skipped = isinstance(item, Skipped)
        yield "" if skipped else split_of_record(source, item, known if source.named else None, sides), item


def _leave_out(hub: Hub, path: Path, place: str) -> list[str]:
    """Takes the surplus of records out of a file's spans."""
    if hub.surplus is None:
        return []
    records, not_used = DiskRecords(path), NotUsed()
    surplus = hub.surplus(records)
    for index, reason in surplus.items():
        not_used.add(Skipped(records[index].meta["where"], reason))
    np.delete(records.spans, list(surplus), axis=0).tofile(_spans(path))
    return not_used.lines(place)


class RecordWriter:
    """Writes records to a file, and their spans to another when it is closed."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, open(path, "wb")  # noqa: SIM115 - `__exit__` closes it
        self._spans, self._end = array("q"), 0

    def add(self, record: AnyRecord) -> None:
        line = json.dumps([type(record).__name__, *record]).encode() + b"\n"
        self._file.write(line)
        self._spans.extend((self._end, len(line)))
        self._end += len(line)

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        with open(_spans(self._path), "wb") as file:
            self._spans.tofile(file)
