"""What has to stand beside the figures of tasks whose answers are a word or two: guessing, and calibration.

Where answers are few, one of sixteen tries is right by luck. And there the probability of an answer says how sure the
model is of it, so that it can be asked how often it is right when it is.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from backbones import group
from backbones.forward import log_probs_of
from backbones.roles import Role
from evaluation.evaluator import Answers, Evaluator, Row
from evaluation.metrics import bootstrap_mean

WORDS = 3  # a right answer has on average at most
BINS = 10  # of equal width, over probabilities


def are_short(oracle: Answers) -> bool:
    """Returns whether episodes have one turn and the right answers `WORDS` words at most, on average."""
    words = [len(text.split()) for text in oracle.texts]
    return all(len(episode) == 1 for episode in oracle.rows) and bool(np.mean(words) <= WORDS)


def commonest(texts: Sequence[str], count: int) -> list[str]:
    """Returns the commonest texts, of equally common ones the first in the alphabet."""
    counted = Counter(texts)
    return sorted(counted, key=lambda text: (-counted[text], text))[:count]


def guesses(evaluator: Evaluator, answers: Sequence[str], tries: Sequence[int]) -> dict[str, Any]:
    """Returns how often one of the first k of some answers, given to every prompt alike, is a success, for each k.

    Args:
        evaluator: of the held-out episodes, of one turn each.
        answers: to give, the likeliest first.
        tries: the values of k.
    """
    plain, right = evaluator.without_scores(), []
    for answer in answers[: max(tries)]:

        def speak(states: list[Any], *_: Any, answer: str = answer) -> tuple[list[str], list[Row]]:
            return [answer] * len(states), [([], []) for _ in states]

        golds = plain.play(speak).golds
        assert golds is not None
        right.append(golds >= evaluator.task.success_at)
    return {str(k): bootstrap_mean(np.any(right[:k], axis=0)) for k in tries}


def probabilities_of(role: Role, answers: Answers) -> np.ndarray:
    """Returns the probability of each answer, end token included, at temperature 1, (n,); of episodes of one turn."""

    def of(numbers: list[int]) -> list[float]:
        prompts, responses = zip(*(answers.rows[i][0] for i in numbers), strict=True)
        with torch.no_grad():
            return log_probs_of(role, prompts, responses).sum(1).exp().tolist()

    return np.array(group.map_over_processes(len(answers.rows), of))


def calibration_of(evaluator: Evaluator, role: Role, greedy: Answers) -> dict[str, Any]:
    """Returns the calibration of a role's greedy answers, see `calibration`."""
    return calibration(probabilities_of(role, greedy), greedy.best >= evaluator.task.success_at)


def calibration(probabilities: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Returns how far the probability of answers is from how often they are right (Guo et al., arXiv 1706.04599).

    Args:
        probabilities: (n,) of the greedy answers.
        right: (n,) whether they are a success.

    Returns:
        `probability` and `right`, the means; `ece`, the expected calibration error: over `BINS` bins of equal width the
        mean distance of the two, weighed by the answers in each; `bins` with an answer in them: `low`, `high` (that is
        still inside), `n`, `probability`, `right`.
    """
    probabilities, right = probabilities.astype(np.float64), right.astype(np.float64)
    numbers = np.clip(np.ceil(probabilities * BINS).astype(int) - 1, 0, BINS - 1)
    bins = []
    for number in np.unique(numbers):
        inside = numbers == number
        means = {"probability": float(probabilities[inside].mean()), "right": float(right[inside].mean())}
        bins.append({"low": number / BINS, "high": (number + 1) / BINS, "n": int(inside.sum()), **means})
    error = sum(each["n"] * abs(each["probability"] - each["right"]) for each in bins) / len(right)
    return {
        "probability": float(probabilities.mean()), "right": float(right.mean()), "ece": float(error), "bins": bins,
    }  # fmt: skip


def describe_calibration(report: Mapping[str, Any]) -> list[str]:
    """Writes the calibration of both in a line for the terminal; nothing where it was not measured."""
    if "calibration" not in report:
        return []
    parts = (
        f"{name} {of_side['probability']:.3f} sure, {of_side['right']:.3f} right, ECE {of_side['ece']:.3f}"
        for name, of_side in report["calibration"].items()
    )
    return [f"calibration, greedy: {'; '.join(parts)}"]
