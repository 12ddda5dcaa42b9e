"""Scores answers that look at the question and not at the picture: what picture questions cannot be won by."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from envs.task import Scored
from envs.vqav2.accuracy import ASKED, vqa_accuracy
from envs.vqav2.files.vqa import ANSWER_TYPES
from envs.vqav2.questions import PictureQuestion
from perlhf.errors import UserError

if TYPE_CHECKING:  # the task stands on this module
    from envs.vqav2.task import VQAv2

Answer = Callable[[int, np.random.Generator], str]  # to record i of the test split

KEYS: dict[str, Callable[[PictureQuestion], Hashable]] = {
    "the commonest answer": lambda record: None,
    "the commonest answer of the answer type": lambda record: record.meta["answer_type"],
    "the commonest answer of the question type": lambda r: (r.meta["question_type"], r.meta["answer_type"]),
    "the commonest answer to the very question": lambda record: record.question,
}
_FAMILY = "the commonest answer of the question's family"
# The groups of the first table; "true/false" are NLVR's statements.
_OVERALL = ("all", "all, official script", *ANSWER_TYPES, "true/false")


def blind_scores(train: "VQAv2", test: "VQAv2", count: int, seed: int) -> Iterator[Scored]:
    """VQA accuracy of each policy on the first `count` test records, over all and by group.

    Raises:
        UserError: nobody answered the questions.
    """
    records = test.records[:count]
    if not all(record.answers for record in records):
        raise UserError(f"{test.data} has questions that nobody answered: there is nothing to compare with.")
    groups = [["all", *record.meta["groups"]] for record in records]
    for name, answer in answers_of(train, test).items():
        rng = np.random.default_rng(seed)
        texts = [answer(index, rng) for index in range(len(records))]
        golds = [vqa_accuracy(text, record.answers) for text, record in zip(texts, records, strict=True)]
        yield Scored(name, golds, groups, _officially(texts, records))


def _officially(texts: Sequence[str], records: Sequence[PictureQuestion]) -> list[float]:
    """Returns the accuracies of the official script; none where fewer answered than it is made for."""
    if any(len(record.answers) != ASKED for record in records):
        return []
    return [vqa_accuracy(text, record.answers, official=True) for text, record in zip(texts, records, strict=True)]


def tables_by_type(groups: Iterable[str]) -> list[list[str]]:
    """All and the answer types in one table, what else groups questions in another."""
    names = list(groups)
    first = [name for name in _OVERALL if name in names]
    others = [name for name in names if name not in first]
    return [first, others] if others else [first]


def answers_of(train: "VQAv2", test: "VQAv2") -> dict[str, Answer]:
    """Returns the policies by name; those that learn learn from all training records."""
    learned = train.records[:]
    by_family = "family" in learned[0].meta
    keys = {**KEYS, **({_FAMILY: lambda record: record.meta["family"]} if by_family else {})}
    return {
        'always "yes"': lambda index, rng: "yes",
        **{name: _learned(learned, test, key) for name, key in keys.items()},
        "any answer of the answer type, at random": _random(learned, test),
        "a beginner, who knows 3 of 10" if by_family else "a beginner, who knows half": test.plausible_action,
        "oracle": lambda index, rng: test.oracle(index),
    }


def _learned(train: list[PictureQuestion], test: "VQAv2", key: Callable[[PictureQuestion], Hashable]) -> Answer:
    best = commonest((key(record), record.meta["answer_type"], record.consensus) for record in train)

    def answer(index: int, rng: np.random.Generator) -> str:
        record = test.records[index]
        return best(key(record), record.meta["answer_type"])

    return answer


def _random(train: list[PictureQuestion], test: "VQAv2") -> Answer:
    """One of the answers that training questions of the type have, each as often as it comes."""
    known: defaultdict[str, list[str]] = defaultdict(list)
    for record in train:
        known[record.meta["answer_type"]].append(record.consensus)

    def answer(index: int, rng: np.random.Generator) -> str:
        answers = known[test.records[index].meta["answer_type"]] or [""]
        return answers[int(rng.integers(len(answers)))]

    return answer


def commonest(rows: Iterable[tuple[Hashable, Hashable, str]]) -> Callable[[Hashable, Hashable], str]:
    """Returns a function that gives the commonest answer to a key; to a new one that of its type, "" to a new type too.

    Args:
        rows: (key, type, answer) of each question to learn from.
    """
    known: defaultdict[Hashable, Counter[str]] = defaultdict(Counter)
    for key, kind, answer in rows:
        known["key", key][answer] += 1
        known["type", kind][answer] += 1
    best = {name: counts.most_common(1)[0][0] for name, counts in known.items()}
    return lambda key, kind: best.get(("key", key), best.get(("type", kind), ""))
