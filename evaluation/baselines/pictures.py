"""What a task of picture questions cannot be won by: answers that look at the question and not at the picture."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator

import numpy as np

from envs.vqav2.accuracy import vqa_accuracy
from envs.vqav2.questions import PictureQuestion
from envs.vqav2.scenes.baselines import commonest
from envs.vqav2.task import VQAv2
from evaluation.metrics import Interval, group_means
from perlhf.errors import UserError

Answer = Callable[[int, np.random.Generator], str]  # to record i of the test split

KEYS: dict[str, Callable[[PictureQuestion], Hashable]] = {
    "the commonest answer": lambda record: None,
    "the commonest answer of the answer type": lambda record: record.meta["answer_type"],
    "the commonest answer of the question type": lambda r: (r.meta["question_type"], r.meta["answer_type"]),
    "the commonest answer to the very question": lambda record: record.question,
}
_FAMILY = "the commonest answer of the question's family"


def blind_rows(train: VQAv2, test: VQAv2, count: int, seed: int) -> Iterator[tuple[str, dict[str, Interval]]]:
    """Name of each policy and its VQA accuracy on the first `count` test records, over all and by group.

    Raises:
        UserError: nobody answered the questions.
    """
    records = test.records[:count]
    if not all(record.answers for record in records):
        raise UserError(f"{test.data} has questions that nobody answered: there is nothing to compare with.")
    groups = [["all", *record.meta["groups"]] for record in records]
    for name, answer in answers_of(train, test).items():
        rng = np.random.default_rng(seed)
        said = [answer(index, rng) for index in range(len(records))]
        scores = [vqa_accuracy(text, record.answers) for text, record in zip(said, records, strict=True)]
        yield name, group_means(scores, groups)


def answers_of(train: VQAv2, test: VQAv2) -> dict[str, Answer]:
    """The policies by name; those that learn learn from all training records."""
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


def _learned(train: list[PictureQuestion], test: VQAv2, key: Callable[[PictureQuestion], Hashable]) -> Answer:
    best = commonest((key(record), record.meta["answer_type"], record.consensus) for record in train)

    def answer(index: int, rng: np.random.Generator) -> str:
        record = test.records[index]
        return best(key(record), record.meta["answer_type"])

    return answer


def _random(train: list[PictureQuestion], test: VQAv2) -> Answer:
    """One of the answers that training questions of the type have, each as often as it comes."""
    known: defaultdict[str, list[str]] = defaultdict(list)
    for record in train:
        known[record.meta["answer_type"]].append(record.consensus)

    def answer(index: int, rng: np.random.Generator) -> str:
        answers = known[test.records[index].meta["answer_type"]] or [""]
        return answers[int(rng.integers(len(answers)))]

    return answer
