"""The miniature HH corpus as records: `MiniatureHH(split)`, made when asked for and the same every time."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np

from envs.data.miniature.annotator import Annotator
from envs.data.miniature.hh import (
    TOPICS,
    UNSEEN_TOPICS,
    Request,
    draw_request,
    draw_response,
    good_response,
    word_request,
)
from envs.data.miniature.hh_judge import judge
from envs.data.records import Record

SIZES = {"train": 20_000, "validation": 1_000, "test": 2_000}
_SEED_OF_SPLIT = {"train": 0, "validation": 1, "test": 3}
SEEN = tuple(range(len(TOPICS) - UNSEEN_TOPICS))
UNSEEN = tuple(range(len(TOPICS) - UNSEEN_TOPICS, len(TOPICS)))
ANNOTATOR = Annotator()
_SPLIT_OF_FOLD = {0: "test", 1: "validation"}
_SEED = 20240310


class MiniatureHH(Sequence[Record]):
    """One split of the miniature corpus.

    Train records are about the seen topics only; of validation and test every second record is about a topic
    that is in no train record. No combination of skill, thing and modifier is in two splits.
    """

    def __init__(self, split: str) -> None:
        self.split = split
        self._records: list[Record | None] = [None] * SIZES[split]

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> list[Record]: ...
    def __getitem__(self, index: int | slice) -> Record | list[Record]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        record = self._records[index]
        if record is None:
            record = self._records[index] = self._make(index)
        return record

    def _make(self, index: int) -> Record:
        rng = np.random.default_rng([_SEED, _SEED_OF_SPLIT[self.split], index])
        topics = UNSEEN if self.split != "train" and index % 2 else SEEN
        return draw_record(rng, topics, self.split)

    def request(self, index: int) -> Request:
        """What record `index` asks for."""
        return Request(*self[index].meta["request"])

    def oracle(self, index: int) -> str:
        """A response with full marks."""
        return good_response(self.request(index), np.random.default_rng([_SEED, index]))

    def draw_response(self, index: int, rng: np.random.Generator) -> str:
        """A response of mixed quality."""
        return draw_response(self.request(index), rng)


def draw_record(rng: np.random.Generator, topics: Sequence[int], split: str) -> Record:
    """A record about one of `topics` whose combination belongs to `split`, labelled by the noisy annotator."""
    request = draw_request(rng, topics)
    while _SPLIT_OF_FOLD.get(request.fold(), "train") != split:
        request = draw_request(rng, topics)
    prompt = word_request(request, rng)
    first, second = draw_response(request, rng), draw_response(request, rng)
    while second == first:
        second = draw_response(request, rng)
    if not ANNOTATOR.label(judge(request, first), judge(request, second), rng):
        first, second = second, first
    groups = ["harmful" if request.harmful else "harmless"]
    groups.append("unseen topics" if request.topic in UNSEEN else "seen topics")
    meta = {"synthetic": True, "topic": request.subject.name, "groups": groups, "request": list(request)}
    return Record(prompt, first, second, meta)


def pretraining_documents(rng: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Endless (prompt, response) of all topics and of train combinations only; the response is the chosen one."""
    while True:
        record = draw_record(rng, SEEN + UNSEEN, "train")
        yield record.prompt, record.chosen


def write_hh(path: str | Path, records: Sequence[Record]) -> None:
    """Writes records in the schema of HH-RLHF's own files, with `"synthetic": true` beside the two transcripts."""
    with open(path, "w", encoding="utf-8") as file:
        for record in records:
            row = {key: f"{record.prompt} {getattr(record, key)}" for key in ("chosen", "rejected")}
            file.write(json.dumps({**row, "synthetic": True}) + "\n")
