"""`PictureQuestion`: a question on a picture as a task needs it, whether it was generated or read from files."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from envs.corpora.lazy import Lazy
from envs.vqav2.files.folders import folder_pairs, read_folder
from envs.vqav2.files.records import VQARecord, load_image
from envs.vqav2.scenes.corpus import VQACorpus


class PictureQuestion(NamedTuple):
    """A question, people's answers and a picture.

    Attributes:
        question: as it was asked; of NLVR a statement, true or false of the picture.
        answers: of the people who were asked, as they stand; a single one where the data have a label; none where they
            have no answers.
        load: gives the picture, (height, width, 3) uint8, when it is needed; it is given the side in pixels at which a
            generated picture, which has no size of its own, is to be drawn.
        meta: plain values: question_id, image_id, question_type and answer_type (None if unknown), `groups` (rows of
            tables that it counts in), and what else the data say.
    """

    question: str
    answers: tuple[str, ...]
    load: Callable[[int], np.ndarray]
    meta: Mapping[str, Any]

    @property
    def consensus(self) -> str:
        """The answer of most people, by the data where they say it; "" without answers."""
        said = self.meta.get("multiple_choice_answer")
        return said or next((answer for answer, _ in Counter(self.answers).most_common(1)), "")


class PictureQuestions(Lazy[PictureQuestion]):
    """The questions of one split, read-only."""

    @property
    @abstractmethod
    def pairs(self) -> Sequence[tuple[int, int]]:
        """Positions of complementary pairs: the same question on two pictures, with different answers."""

    @abstractmethod
    def plausible_answer(self, index: int, rng: np.random.Generator) -> str:
        """Draws a plausible answer, good or bad."""


class MiniatureQuestions(PictureQuestions):
    """The generated questions; `meta` has what `ImageQuestion.meta` has, and its ids and types."""

    def __init__(self, corpus: VQACorpus) -> None:
        self.corpus = corpus

    def __len__(self) -> int:
        return len(self.corpus)

    def make(self, index: int) -> PictureQuestion:
        record = self.corpus[index]
        fields = ("question_id", "image_id", "question_type", "answer_type", "multiple_choice_answer")
        meta = {**{name: getattr(record, name) for name in fields}, **record.meta}
        answers = tuple(str(given["answer"]) for given in record.answers)
        return PictureQuestion(record.question, answers, partial(self.corpus.image, index), meta)

    @property
    def pairs(self) -> Sequence[tuple[int, int]]:
        return [(first, first + 1) for first in range(0, len(self), 2)]

    def plausible_answer(self, index: int, rng: np.random.Generator) -> str:
        return self.corpus.plausible_answer(index, rng)


class FolderQuestions(PictureQuestions):
    """The questions of a folder, see `envs.vqav2.files.folders`."""

    def __init__(self, folder: Path, split: str) -> None:
        self._folder, self._records = folder, read_folder(folder, split)

    def __len__(self) -> int:
        return len(self._records)

    def make(self, index: int) -> PictureQuestion:
        record = self._records[index]
        kind = record.meta["answer_type"]
        meta = {**record.meta, "groups": [] if kind is None else [kind]}
        return PictureQuestion(record.question, record.answers, partial(_load, record), meta)

    @cached_property
    def pairs(self) -> Sequence[tuple[int, int]]:
        return folder_pairs(self._folder, self._records)

    def plausible_answer(self, index: int, rng: np.random.Generator) -> str:
        """Somebody's answer to this question, or as often to any other one; a guess where nobody answered."""
        other = self._records[int(rng.integers(len(self)))]
        answers = (self._records[index] if rng.random() < 0.5 else other).answers or ("yes", "no")
        return answers[int(rng.integers(len(answers)))]


def _load(record: VQARecord, side: int) -> np.ndarray:
    """Returns the picture as it lies on disk; the side is for drawings alone."""
    return load_image(record)
