"""What miniature VQA cannot be won by: answers that look at the question and not at the picture."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from envs.vqav2.scenes.corpus import FAMILIES, ImageQuestion
from envs.vqav2.shortcuts import commonest

Accuracy = Callable[[str, Sequence[str]], float]  # of an answer, beside those of the ten
Key = Callable[[ImageQuestion], Hashable]
KEYS: dict[str, Key] = {
    "question": lambda record: record.question,
    "family": lambda record: record.meta["family"],
    "question type": lambda record: (record.question_type, record.answer_type),
    "answer type": lambda record: record.answer_type,
}


class Blind(NamedTuple):
    """How well a question alone can be answered, as means over `n` test records.

    Attributes:
        accuracy: of the commonest training answer.
        exact: how often it is the consensus.
        chance: the accuracy of a guess among what questions of the kind are answered with.
        exact_chance: how often such a guess is the consensus.
        n: the number of records.
    """

    accuracy: float
    exact: float
    chance: float
    exact_chance: float
    n: int


def question_only(
    train: Iterable[ImageQuestion], test: Iterable[ImageQuestion], accuracy: Accuracy, key: Key = KEYS["question"]
) -> dict[str, Blind]:
    """The question-only baseline: the commonest answer in training to questions of the same key.

    A test question whose key is not in training gets the commonest answer of its answer type.

    Args:
        train: records to learn from.
        test: records to answer.
        accuracy: from an answer and the ten answers of the annotators to a score, such as VQA accuracy.
        key: what a question is told by: its text, or one of `KEYS`.

    Returns:
        The scores by group of test records ("yes/no", "level 1"...), and over "all".
    """
    best = commonest((key(record), record.answer_type, record.multiple_choice_answer) for record in train)
    scores: defaultdict[str, list[tuple[float, ...]]] = defaultdict(list)
    for record in test:
        answer = best(key(record), record.answer_type)
        for group in ("all", *record.meta["groups"]):
            scores[group].append(_score(record, answer, accuracy))
    return {group: _means(rows) for group, rows in scores.items()}


def _score(record: ImageQuestion, answer: str, accuracy: Accuracy) -> tuple[float, ...]:
    ten = [str(given["answer"]) for given in record.answers]
    guesses = FAMILIES[record.meta["family"]].answers
    chance = sum(accuracy(guess, ten) for guess in guesses) / len(guesses)
    return accuracy(answer, ten), float(answer == record.multiple_choice_answer), chance, 1 / len(guesses)


def _means(rows: Sequence[tuple[float, ...]]) -> Blind:
    accuracy, exact, chance, exact_chance = (sum(column) / len(rows) for column in zip(*rows, strict=True))
    return Blind(accuracy, exact, chance, exact_chance, len(rows))
