"""Records on disk, read when they are asked for, and the folder in which what was streamed is kept."""

import hashlib
import json
import os
import shutil
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from envs.corpora.lazy import Lazy
from envs.corpora.records import AnyRecord, Demonstration, LabelledRecord, Record
from perlhf.conversation import Conversation, Message, transcript

_KINDS = {kind.__name__: kind for kind in (Record, LabelledRecord, Demonstration)}


class DiskRecords(Lazy[AnyRecord]):
    """Records in a file, read when they are asked for; any number of threads and processes may ask.

    Attributes:
        path: the file, one JSON array ["Record", prompt, chosen, rejected, meta] a line; a prompt that is a
            `Conversation` is an object there.
        spans: (n, 2) int64, first byte and length of each record's line; from the file PATH.spans.
    """

    def __init__(self, path: Path, spans: np.ndarray | None = None) -> None:
        """
        Args:
            path: the file.
            spans: those of the records that are wanted; all of the file by default.
        """
        self.path = path
        self.spans = np.fromfile(spans_path(path), dtype=np.int64).reshape(-1, 2) if spans is None else spans

    def __len__(self) -> int:
        return len(self.spans)

    def make(self, index: int) -> AnyRecord:
        start, length = self.spans[index].tolist()
        with open(self.path, "rb") as file:  # opened anew: a file that is open has one position, and cannot be pickled
            file.seek(start)
            kind, prompt, *fields = json.loads(file.read(length))
        return _KINDS[kind](_prompt_of(prompt), *fields)


class RecordWriter:
    """Writes records to a file, and their spans to another when it is closed."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, open(path, "wb")  # noqa: SIM115 - `__exit__` closes it
        self._spans, self._end = array("q"), 0

    def add(self, record: AnyRecord) -> None:
        prompt, *fields = record
        line = json.dumps([type(record).__name__, _json_of(prompt), *fields]).encode() + b"\n"
        self._file.write(line)
        self._spans.extend((self._end, len(line)))
        self._end += len(line)

    def __enter__(self) -> "RecordWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        with open(spans_path(self._path), "wb") as file:
            self._spans.tofile(file)


def _json_of(prompt: str) -> Any:
    """Returns a prompt as JSON: text, or of a conversation its messages, and its text where that is one of its own."""
    if not isinstance(prompt, Conversation):
        return prompt
    own = {} if str(prompt) == transcript(prompt.messages) else {"text": str(prompt)}
    return {"messages": prompt.messages, **own}


def _prompt_of(value: Any) -> str:
    if isinstance(value, str):
        return value
    return Conversation([Message(*message) for message in value["messages"]], value.get("text"))


def spans_path(path: Path) -> Path:
    """Returns where the spans of a file of records are."""
    return path.with_name(f"{path.name}.spans")


def cache_folder() -> Path:
    """Returns the folder in which all that was streamed is kept: $HF_HOME/perlhf, or else ~/.cache/perlhf."""
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser() if home else Path.home() / ".cache") / "perlhf"


def code_hash(*sources: Path) -> str:
    """Returns a hash of some modules and of this folder's: other readers make other records."""
    digest = hashlib.sha256()
    for module in [*sources, *sorted(Path(__file__).parent.glob("*.py"))]:
        digest.update(module.read_bytes())
    return digest.hexdigest()


@contextmanager
def made_by_one(folder: Path) -> Iterator[None]:
    """Waits while another process makes a folder, which is there then: what several want is fetched once."""
    locks = cache_folder() / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{folder.parent.name}-{folder.name}"):
        yield


@contextmanager
def made_whole(folder: Path) -> Iterator[Path]:
    """Gives a folder to write to, which gets the name `folder` at the end; another process that was faster wins.

    What was interrupted or failed is removed, so that a folder of that name is always whole.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=".part-", dir=folder.parent))
    try:
        yield part
        for path in part.iterdir():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
        try:
            part.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
