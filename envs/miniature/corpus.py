"""`MiniatureCorpus`: a grammar as splits of records, made when asked for and the same every time."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from envs.corpora.lazy import Lazy
from envs.corpora.records import LabelledRecord, Record, good_response
from envs.miniature.annotator import Annotator, Rater
from envs.miniature.grammar import Grammar
from perlhf.conversation import instructed_by
from perlhf.errors import UserError

SIZES = {"train": 20_000, "validation": 1_000, "test": 2_000}  # 2,000 pairs: an accuracy within 2 points
ANNOTATOR, RATER = Annotator(), Rater()
MiniatureRecord = Record | LabelledRecord
# The seeds mean nothing, but others make other records than those that the bundled models learned from.
_SEED_OF_SPLIT = {"train": 0, "validation": 1, "test": 3}
_SEED = 20240310
_SPLIT_OF_FOLD = {0: "test", 1: "validation"}  # of tenths of the cases; the others are train
_TRIES = 10_000  # of drawing, before it is given up
PROMPT_META = ("synthetic", "groups", "case")  # of a record's `meta`; the rest is about its responses
UNSEEN_SHARE = 0.25  # of the documents that the backbone reads: 8 of 32 topics


class MiniatureCorpus(Lazy[MiniatureRecord]):
    """One split of a generated corpus.

    Train records are about the seen topics only; of validation and test every second record is about a topic
    that is in no train record. No case is in two splits, whatever its wording.
    """

    def __init__(
        self, grammar: Grammar, split: str, instructions: str | None = None, examples: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self.grammar, self.split = grammar, split
        self._prompt = None if instructions is None else instructed_by(instructions, examples)
        self._records: list[MiniatureRecord | None] = [None] * SIZES[split]

    def __len__(self) -> int:
        return len(self._records)

    def make(self, index: int) -> MiniatureRecord:
        record = self._records[index]
        if record is None:
            record = self._records[index] = self._drawn(index)
        return record

    def _drawn(self, index: int) -> MiniatureRecord:
        rng = np.random.default_rng([_SEED, _SEED_OF_SPLIT[self.split], index])
        record = draw_record(self.grammar, rng, self.split != "train" and index % 2 == 1, self.split)
        return record if self._prompt is None else record._replace(prompt=self._prompt(record.prompt))

    def case(self, meta: Mapping[str, Any]) -> Any:
        """Returns the case behind a record, from its `meta`."""
        return self.grammar.case_type(*meta["case"])

    def judge(self, meta: Mapping[str, Any], response: str) -> float:
        """Returns the gold score of a response to the record that `meta` is of."""
        return self.grammar.judge(self.case(meta), response)

    def oracle(self, index: int) -> str:
        """Returns a response with full marks."""
        index = range(len(self))[index]
        return self.grammar.good_response(self.case(self[index].meta), np.random.default_rng([_SEED, index]))

    def draw_response(self, index: int, rng: np.random.Generator) -> str:
        """Returns a response of mixed quality."""
        return self.grammar.draw_response(self.case(self[index].meta), rng)


@lru_cache(maxsize=32)
def miniature(
    grammar: Grammar, split: str, instructions: str | None = None, examples: tuple[tuple[str, str], ...] = ()
) -> MiniatureCorpus:
    """Returns a split of a generated corpus, shared by all envs of the process; see `envs.task.Task.instructions`."""
    return MiniatureCorpus(grammar, split, instructions, examples)


def draw_record(grammar: Grammar, rng: np.random.Generator, unseen: bool, split: str) -> MiniatureRecord:
    """Returns a record whose case belongs to `split`: a pair, or one response where the grammar is pointwise."""
    case = _draw_case(grammar, rng, unseen, split)
    prompt = grammar.word_prompt(case, rng)
    meta = dict(zip(PROMPT_META, (True, grammar.groups(case), list(case)), strict=True))
    if grammar.pointwise:
        response = grammar.draw_response(case, rng)
        return LabelledRecord(prompt, response, RATER.label(grammar.judge(case, response), rng), meta)
    chosen, rejected, feedback = _labelled_pair(grammar, case, rng)
    return Record(prompt, chosen, rejected, {**meta, **feedback})


def _draw_case(grammar: Grammar, rng: np.random.Generator, unseen: bool, split: str) -> Any:
    for _ in range(_TRIES):
        case = grammar.draw_case(rng, unseen)
        if _SPLIT_OF_FOLD.get(grammar.fold(case), "train") == split:
            return case
    raise UserError(f"{type(grammar).__name__}: none of {_TRIES} cases drawn is in split {split!r}; it needs more.")


def _labelled_pair(grammar: Grammar, case: Any, rng: np.random.Generator) -> tuple[str, str, dict[str, Any]]:
    """Two different responses, the one that the noisy annotator prefers first, and what else is said of them."""
    first, second = _two_responses(grammar, case, rng)
    golds = grammar.judge(case, first), grammar.judge(case, second)
    preferred = ANNOTATOR.label(*golds, rng)
    feedback = grammar.feedback(preferred, golds[0] - golds[1], rng)
    return (first, second, feedback) if preferred else (second, first, feedback)


def _two_responses(grammar: Grammar, case: Any, rng: np.random.Generator) -> tuple[str, str]:
    first = grammar.draw_response(case, rng)
    for _ in range(_TRIES):
        second = grammar.draw_response(case, rng)
        if second != first:
            return first, second
    raise UserError(f"{type(grammar).__name__}: all of {_TRIES} responses drawn to {case} are the same.")


def pretraining_documents(grammar: Grammar, rng: np.random.Generator, liked: bool = False) -> Iterator[tuple[str, str]]:
    """Endless (prompt, response) of all topics and of train cases only.

    The response is a person's demonstration where the grammar has some, else, or where `liked`, one that was liked.
    """
    while True:
        record = draw_record(grammar, rng, bool(rng.random() < UNSEEN_SHARE), "train")
        shown = None if liked else grammar.demonstration(grammar.case_type(*record.meta["case"]), rng)
        response = good_response(record) if shown is None else shown
        if response is not None:
            yield record.prompt, response
