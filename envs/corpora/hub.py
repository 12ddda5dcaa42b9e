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
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from envs.corpora.disk import DiskRecords, RecordWriter, cache_folder, code_hash, made_by_one, made_whole, spans_path
from envs.corpora.records import Skipped
from envs.corpora.splits import SPLITS, Hub, NotUsed, Source, split_of_record
from perlhf.errors import DataError, UserError, one_line
from perlhf.measure import progress_bar

logger = logging.getLogger(__name__)

_NAME = re.compile(r"hub:(?P<repository>[\w.-]+/[\w.-]+)(/(?P<folder>[\w./-]+))?")


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
        raise DataError(f"{place_of(_named(source, data))}: no records in split {split!r}.")
    return records


@lru_cache(maxsize=8)
def streamed(source: Source, data: str) -> Path:
    """Returns the folder of a corpus, whole; what was not used is reported once."""
    hub = _named(source, data)
    folder = kept_folder(hub, data)
    if not folder.is_dir():
        with made_by_one(folder):
            if not folder.is_dir():
                with made_whole(folder) as part:
                    _write(source, hub, part, folder.parent.name)
    for line in json.loads((folder / "not_used.json").read_text(encoding="utf-8")):
        logger.warning("%s", line)
    return folder


def _named(source: Source, data: str) -> Hub:
    """Returns the corpus that `data` names; of the task's own repository branch and folder are known."""
    assert source.hub is not None
    if data == "hub":
        return source.hub
    repository, folder = name_on_hub(data, "'hub', 'hub:ORG/NAME' or 'hub:ORG/NAME/FOLDER'")
    if repository == source.hub.repository:
        return source.hub._replace(folder=folder or source.hub.folder)
    return source.hub._replace(repository=repository, folder=folder, branch=None)


def name_on_hub(data: str, forms: str = "'hub:ORG/NAME' or 'hub:ORG/NAME/FOLDER'") -> tuple[str, str | None]:
    """Returns repository and folder of "hub:ORG/NAME/FOLDER"; UserError where it is none of the `forms`."""
    match = _NAME.fullmatch(data)
    if match is None:
        raise UserError(f"data {data!r}: expected {forms}.")
    return match["repository"], match["folder"]


def place_of(hub: Hub) -> str:
    """Returns what messages call a corpus of the hub."""
    return f"hub:{hub.repository}/{hub.folder}" if hub.folder else f"hub:{hub.repository}"


# Where it is kept


def kept_folder(hub: Hub, data: str) -> Path:
    """Returns where the records at the newest commit belong; if the hub does not answer, the newest that are there.

    The commit is the name of the folder that it lies in.

    Raises:
        UserError: `datasets` is not installed; there is no such corpus; nothing is there and the hub does not answer.
    """
    if find_spec("datasets") is None:
        raise UserError(f"data {data!r} needs the library datasets: pip install 'perlhf[hub]'.")
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    home, key, place = cache_folder() / hub.repository.replace("/", "--"), _key(hub), place_of(hub)
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


def _key(hub: Hub) -> str:
    """Returns a hash of all but the commit; with the reader's code, since another reader makes other records."""
    parse = hub.parse.func if isinstance(hub.parse, partial) else hub.parse
    code = code_hash(Path(inspect.getfile(parse)))
    return hashlib.sha256(repr((hub.repository, hub.folder, hub.branch, hub.options, code)).encode()).hexdigest()[:16]


# What is asked of the hub


def commit_of(hub: Hub) -> str:
    """Returns the newest commit of the branch; it fails at once where `datasets` tries again and again."""
    from huggingface_hub import dataset_info

    return str(dataset_info(hub.repository, revision=hub.branch, timeout=10).sha)


def open_streams(hub: Hub, commit: str) -> Mapping[str, Iterable[dict[str, Any]]]:
    """Returns the rows of each split at a commit; they are fetched as they are iterated."""
    from datasets import load_dataset

    return load_dataset(hub.repository, data_dir=hub.folder, revision=commit, streaming=True)


def streams_of(hub: Hub, commit: str) -> Mapping[str, Iterable[dict[str, Any]]]:
    """`open_streams`; UserError where the hub does not give the rows."""
    try:
        return open_streams(hub, commit)
    except Exception as error:  # as in `numbered_rows`
        raise UserError(f"{place_of(hub)}: the hub does not give its rows ({_said(error)}).") from None


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


def _write(source: Source, hub: Hub, part: Path, commit: str) -> None:
    """Writes the records of every split, and what was not used."""
    place, streams = place_of(hub), streams_of(hub, commit)
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
    np.delete(records.spans, list(surplus), axis=0).tofile(spans_path(path))
    return not_used.lines(place)
