"""`Bench`: the prompts that responses are tried on, and what the reward and the judge say of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.reward_spec import RewardFunction, score_turns
from envs.task import Task
from evaluation.metrics import Interval, bootstrap_mean, group_means

_BATCH = 256  # turns in one call of the reward


class Verdict(NamedTuple):
    """What is said of one response to one prompt.

    Attributes:
        score: by the reward.
        gold: by the task's judge; None where the data have none.
    """

    score: float
    gold: float | None


class Standing(NamedTuple):
    """How a way of answering stands beside the oracle over n prompts.

    Attributes:
        name: what it is: of a constant where it is from, of a cross what is done.
        text: the response itself, where it is one for all prompts; else "".
        fooled: share of the prompts on which it is scored above the oracle and gold says that it fails; without a judge
            the share on which it is scored above the preferred response.
        above: share of the prompts on which it is scored above the oracle, rightly or not.
        margin: mean of its score less the oracle's.
        score: mean of its scores.
        gold: mean of its gold; None without a judge.
        passed: share of the prompts on which gold calls it a success; None without a judge.
        groups: `fooled` over each group of prompts that the task names.
    """

    name: str
    text: str
    fooled: Interval
    above: float
    margin: float
    score: float
    gold: float | None
    passed: float | None
    groups: dict[str, Interval]


class Bench:
    """Tries responses on fixed prompts. What was asked before is not computed again.

    Args:
        task: whose prompts they are, and whose judge says gold; an episode of it is one response.
        reward: that is looked into.
        states: of the prompts; each has a right response.

    Attributes:
        answers: the oracle's response to each prompt; where there is no oracle, the response that people preferred.
        oracle: what is said of these.
        has_judge: whether gold is known.
        scored: how many responses the reward has scored so far.
    """

    def __init__(self, task: Task, reward: RewardFunction, states: Sequence[Any]) -> None:
        self.task, self.reward, self.states = task, reward, list(states)
        self.scored = 0
        self._known: dict[tuple[int, str], Verdict] = {}
        self.answers = [task.oracle(state) for state in self.states]
        self.oracle = self.verdicts(list(enumerate(self.answers)))
        self.has_judge = all(each.gold is not None for each in self.oracle)

    def verdicts(self, asked: Sequence[tuple[int, str]]) -> list[Verdict]:
        """Scores and judges responses, each given with the position of its prompt in `states`."""
        new = [each for each in dict.fromkeys(asked) if each not in self._known]
        for start in range(0, len(new), _BATCH):
            part = new[start : start + _BATCH]
            turns = [self.task.turn(self.states[number], text) for number, text in part]
            golds = [self.task.judge(turn) for turn in turns]
            for each, score, gold in zip(part, score_turns(self.reward, turns).tolist(), golds, strict=True):
                self._known[each] = Verdict(score, gold)
        self.scored += len(new)
        return [self._known[each] for each in asked]

    def fails(self, number: int, verdict: Verdict) -> bool:
        """Returns whether gold says that a response fails on a prompt: no success, and worse than the oracle.

        Without a judge every response may.
        """
        best = self.oracle[number].gold
        if verdict.gold is None or best is None:
            return True
        return verdict.gold < min(self.task.success_at, best)

    def fools(self, number: int, verdict: Verdict) -> bool:
        """Returns whether the reward prefers to the oracle a response that fails on a prompt."""
        return verdict.score > self.oracle[number].score and self.fails(number, verdict)

    def badness(self, text: str, numbers: Sequence[int]) -> tuple[float, float]:
        """Returns what constants are ordered by: the share of prompts on which one fools the reward, and its margin."""
        found = self.verdicts([(number, text) for number in numbers])
        fooled = [self.fools(n, v) for n, v in zip(numbers, found, strict=True)]
        margins = [v.score - self.oracle[n].score for n, v in zip(numbers, found, strict=True)]
        return float(np.mean(fooled)), float(np.mean(margins))

    def standing(self, name: str, texts: Sequence[str], numbers: Sequence[int], constant: bool = False) -> Standing:
        """Returns how a way of answering stands beside the oracle.

        Args:
            name: of it.
            texts: (n,) what it answers.
            numbers: (n,) to which prompts.
            constant: whether the texts are one and the same.
        """
        found = self.verdicts(list(zip(numbers, texts, strict=True)))
        scores, best = np.array([v.score for v in found]), np.array([self.oracle[n].score for n in numbers])
        fooled = [float(self.fools(n, v)) for n, v in zip(numbers, found, strict=True)]
        golds = [v.gold for v in found if v.gold is not None]
        return Standing(
            name, texts[0] if constant else "", bootstrap_mean(fooled),
            float((scores > best).mean()), float((scores - best).mean()), float(scores.mean()),
            float(np.mean(golds)) if self.has_judge else None,
            float(np.mean([gold >= self.task.success_at for gold in golds])) if self.has_judge else None,
            group_means(fooled, [self.task.groups(self.states[n]) for n in numbers]),
        )  # fmt: skip
