"""Defines the records of a text corpus: preference pairs, labelled responses, demonstrations; and what a file held."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from envs.corpora.lazy import Lazy
from perlhf.conversation import Conversation, behind, instructed_by
from perlhf.errors import DataError


class Record(NamedTuple):
    """One preference pair. `meta` holds what else the dataset says, as plain JSON values, and see `image_of`."""

    prompt: str
    chosen: str
    rejected: str
    meta: Mapping[str, Any]


class LabelledRecord(NamedTuple):
    """One response with its label, 1.0 good or 0.0 bad, or between them where people disagree."""

    prompt: str
    response: str
    label: float
    meta: Mapping[str, Any]


class Demonstration(NamedTuple):
    """A prompt and, where the dataset has one, a response to imitate."""

    prompt: str
    response: str | None
    meta: Mapping[str, Any]


AnyRecord = Record | LabelledRecord | Demonstration


def responses_of(record: AnyRecord) -> dict[str, Any]:
    """Returns the responses of a record: all fields but the prompt and `meta`."""
    return {k: v for k, v in record._asdict().items() if k not in ("prompt", "meta")}


class InstructedRecords(Lazy[AnyRecord]):
    """Records whose prompts have instructions beside them, each made when it is asked for.

    A prompt that is messages keeps a system's message of its own, behind the instructions.
    """

    def __init__(
        self, records: Sequence[AnyRecord], instructions: str, examples: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self._records, self._instructions = records, instructions
        self._of_text = instructed_by(instructions, examples)

    def __len__(self) -> int:
        return len(self._records)

    def make(self, index: int) -> AnyRecord:
        record = self._records[index]
        return record._replace(prompt=self._told(record.prompt))

    def _told(self, prompt: str) -> Conversation:
        if not isinstance(prompt, Conversation):
            return self._of_text(prompt)
        told, own = behind(self._instructions, prompt.messages)
        return Conversation((told, *own), str.__str__(prompt))


def image_of(record: AnyRecord) -> np.ndarray | None:
    """Returns the image that the prompt is shown with, (height, width, 3) uint8; None where there is none."""
    image: np.ndarray | None = record.meta.get("image")
    return image


def good_response(record: AnyRecord) -> str | None:
    """Returns the response to imitate; None where the dataset has none."""
    if isinstance(record, Record):
        return record.chosen
    if isinstance(record, LabelledRecord):
        return record.response if record.label >= 0.5 else None
    return record.response


class Skipped(NamedTuple):
    """A row that is sound and yet of no use, with FILE:LINE and the reason."""

    where: str
    reason: str


Kind = TypeVar("Kind")


class Content(NamedTuple, Generic[Kind]):
    """Holds the content of a file: `len(records) + len(skipped)` is its number of rows."""

    records: list[Kind]
    skipped: list[Skipped]


def content_of(items: Iterable[Kind | Skipped], path: str | Path) -> Content[Kind]:
    """Sorts the rows of a file.

    Raises:
        DataError: there are none.
    """
    content: Content[Kind] = Content([], [])
    for item in items:
        if isinstance(item, Skipped):
            content.skipped.append(item)
        else:
            content.records.append(item)
    if not content.records and not content.skipped:
        raise DataError(f"{path}:1: the file has no rows.")
    return content
