"""`VQAAnswers`: answers to picture questions, and what people make of them: what SFT and reward models learn from."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.corpora.lazy import Lazy
from envs.corpora.records import LabelledRecord, Record
from envs.corpora.splits import SPLITS
from envs.feedback import Feedback
from envs.turn import Turn
from perlhf.errors import UserError

if TYPE_CHECKING:  # the task makes its feedback
    from envs.vqav2.task import VQAv2

_SEED = 20150503  # any; another makes other records than the bundled reward model learned from
_TRIES = 100  # of two answers that differ in accuracy
Answered = LabelledRecord | Record


class VQAAnswers(Feedback):
    """A `VQAv2` task as records of the kind that its option `feedback` names, one for each question.

    "labels": a plausible answer, good or bad, labelled with VQA's accuracy, from 0 to 1. "pairs": two such answers of
    which people agree more with the first. People's answers rate any other response, too, so a policy's own samples can
    join the records.

    Args:
        task: whose questions they are.

    Raises:
        UserError: nobody answered them.
    """

    def __init__(self, task: "VQAv2") -> None:
        if not task.records[0].answers:
            raise UserError(f"{task.data} has no answers, so there is nothing to learn from.")
        self.task = task
        make = self._labelled if task.feedback_kind == "labels" else self._pair
        super().__init__(task.data, task.split, _Lazily(len(task.records), make))

    def _labelled(self, index: int) -> LabelledRecord:
        answer = self.plausible_action(index, self._rng(index))
        turn = self.turn(index, answer)
        return LabelledRecord(turn.prompt, answer, self.judge(turn), _meta(turn))

    def _pair(self, index: int) -> Record:
        rng = self._rng(index)
        for _ in range(_TRIES):
            first, second = self.plausible_action(index, rng), self.plausible_action(index, rng)
            if (preferred := self.annotate(index, first, second, rng)) is not None:
                break
        else:
            first, second, preferred = self.oracle(index), "", True
        turn = self.turn(index)
        texts = (first, second) if preferred else (second, first)
        return Record(turn.prompt, *texts, _meta(turn))

    def _rng(self, index: int) -> np.random.Generator:
        return np.random.default_rng([_SEED, SPLITS.index(self.split), index])

    @property
    def can_rate(self) -> bool:
        return True

    def turn(self, state: int, response: str = "") -> Turn:
        return self.task.turn(state, response)

    def judge(self, turn: Turn) -> float:
        return self.task.judge(turn) or 0.0

    def oracle(self, state: int) -> str:
        return self.task.oracle(state)

    def plausible_action(self, state: int, rng: np.random.Generator) -> str:
        return self.task.plausible_action(state, rng)

    def rate(self, index: int, response: str, rng: np.random.Generator) -> float:
        """VQA's accuracy, from 0 to 1, without noise: the ten people's own disagreement is in it."""
        return self.judge(self.turn(index, response))

    def annotate(self, index: int, first: str, second: str, rng: np.random.Generator) -> bool | None:
        """Returns whether people agree more with `first`; None where they agree as much with `second`."""
        accuracies = [self.rate(index, answer, rng) for answer in (first, second)]
        return None if accuracies[0] == accuracies[1] else accuracies[0] > accuracies[1]

    def gold_margin(self, pair: Record) -> float:
        chosen, rejected = (Turn(pair.prompt, text, pair.meta) for text in (pair.chosen, pair.rejected))
        return self.judge(chosen) - self.judge(rejected)

    def label_ceiling(self, pair: Record) -> float:
        """1: the first answer is always the one that people agree more with."""
        return 1.0


def _meta(turn: Turn) -> dict[str, Any]:
    """Returns the meta of a record: people's answers, groups, and the picture."""
    return {**turn.reference, "image": turn.image}


class _Lazily(Lazy[Answered]):
    """Records that are made whenever they are asked for: each holds its picture."""

    def __init__(self, count: int, make: Callable[[int], Answered]) -> None:
        self._count, self._made = count, make

    def __len__(self) -> int:
        return self._count

    def make(self, index: int) -> Answered:
        return self._made(index)
