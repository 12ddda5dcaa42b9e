"""`Evaluator`: what a role answers in held-out episodes, of one turn or of many, and what that is worth."""

from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from backbones import group
from backbones.backbone import Backbone
from backbones.draws import EVALUATION, row_seeds
from backbones.generate import generate
from backbones.roles import Role
from envs.reward_spec import RewardFunction, score_turns
from envs.task import Task
from envs.turn import Turn
from evaluation.metrics import group_means
from perlhf.errors import UserError

_BLOCK = 32  # states whose samples are played side by side; it bounds what is held of them
_SAMPLES = 1000  # added to the seed for the first of several samples, so that none is what `answer` gives

Row = tuple[list[int], list[int]]  # token ids of a prompt and of the response to it
# From states, which episodes they are of, and the turn, to responses and their token ids.
Speak = Callable[[list[Any], list[int], int], tuple[list[str], list[Row]]]


@dataclass
class Answers:
    """Hold the responses of n episodes and their scores."""

    texts: list[str]  # (n,) the responses of an episode, "; " between turns
    rows: list[list[Row]]  # (n,) of each of its turns; pictures are with those that this process has played
    scores: np.ndarray  # (n,) by the reward, summed over the turns
    golds: np.ndarray | None  # (n,) by the task's judge
    verdicts: list[dict[str, Any]] = field(default_factory=list)  # (n,) what else it says, where it was asked
    officials: np.ndarray | None = None  # (n,) by the script that everybody reports, where that is another judge

    @property
    def best(self) -> np.ndarray:
        """The truest verdict there is: gold, else the score."""
        return self.scores if self.golds is None else self.golds


class Samples(NamedTuple):
    """Holds what several samples from each of n states are worth.

    Attributes:
        texts: n lists of what was said, as in `Answers`.
        scores: (n, samples) by the reward, summed over the turns.
        golds: (n, samples) by the task's judge; None where there is none.
    """

    texts: list[list[str]]
    scores: np.ndarray
    golds: np.ndarray | None


class _Episode(NamedTuple):
    """Holds what `Answers` say of one episode."""

    text: str
    rows: list[Row]
    score: float
    gold: float | None
    official: float | None
    verdict: dict[str, Any]

    @property
    def told(self) -> "_Episode":
        """What other processes are told of it: a picture stays with what makes pixels of it."""
        return self._replace(rows=[(list(prompt), response) for prompt, response in self.rows])


class Evaluator:
    """Answers and scores in held-out episodes. With several processes each plays its part of them.

    Args:
        task: of the split to evaluate on, "test" as a rule.
        reward: the proxy, in the units that PPO was trained on.
        max_new_tokens: where a response is cut.
        n: episodes; of a text task with distinct prompts, and fewer where the split has fewer.
        seed: of the samples; episodes do not depend on it.
        split: what the episodes are of, as reports call it.

    Attributes:
        states: in which the episodes begin.
        bar: counts the episodes that `answer` has finished, where there is one.
        whole_verdicts: whether the judge is asked all that it can say of an episode, which takes time.

    Raises:
        UserError: there is no episode.
    """

    def __init__(
        self,
        task: Task,
        reward: RewardFunction,
        max_new_tokens: int = 64,
        n: int = 500,
        seed: int = 0,
        split: str = "test",
    ) -> None:
        self.task, self.reward, self.max_new_tokens, self.seed = task, reward, max_new_tokens, seed
        self.split = split
        self.states = task.first_states(n)
        if not self.states:
            raise UserError(f"{type(task).__name__} has no episode to evaluate on; give another split or more data.")
        self.bar: tqdm | None = None
        self.whole_verdicts = False

    def answer(self, role: Role, temperature: float, seed: int | None = None, blind: bool = False) -> Answers:
        """One episode by `role` from each state, at `temperature` (0 is greedy).

        What is sampled in an episode depends on the seed, its number and its turn, not on the other episodes.
        `blind` shows it a grey picture in place of every picture: what it then knows is not of the picture.
        """
        seed = self.seed if seed is None else seed

        def seeds(episodes: list[int], turn: int) -> list[int]:
            return row_seeds(seed, episodes, turn, EVALUATION)

        answers = self.play(self._speaker(role, temperature, seeds, blind))
        self._count(len(self.states))
        return answers

    def samples(self, role: Role, temperature: float, n: int, blind: bool = False) -> "Samples":
        """Plays n episodes by `role` from each state, those of a state side by side, so that its prompt is shared.

        Each is what `answer` gives with a seed of its own.
        """
        texts: list[list[str]] = []
        golds, scores = [], []
        for begin in range(0, len(self.states), _BLOCK):
            block = self._of([state for state in self.states[begin : begin + _BLOCK] for _ in range(n)])

            def seeds(rows: list[int], turn: int, begin: int = begin) -> list[int]:
                each = ((self.seed + _SAMPLES + row % n, begin + row // n) for row in rows)
                return [row_seeds(seed, [episode], turn, EVALUATION)[0] for seed, episode in each]

            answers = block.play(self._speaker(role, temperature, seeds, blind))
            texts += [answers.texts[i : i + n] for i in range(0, len(answers.texts), n)]
            scores.append(answers.scores.reshape(-1, n))
            golds.append(None if answers.golds is None else answers.golds.reshape(-1, n))
            self._count(len(block.states))
        known = [of_block for of_block in golds if of_block is not None]
        return Samples(texts, np.concatenate(scores), np.concatenate(known) if len(known) == len(golds) else None)

    def without_scores(self) -> "Evaluator":
        """Returns the same episodes at a reward of 0, for where gold alone is asked for: a reward model takes time."""
        plain = self._of(self.states)
        plain.reward = lambda turns: [0.0] * len(turns)
        return plain

    def _of(self, states: list[Any]) -> "Evaluator":
        other = copy(self)
        other.states = states
        return other

    def _count(self, episodes: int) -> None:
        if self.bar is not None:
            self.bar.update(episodes)

    def _speaker(
        self, role: Role, temperature: float, seeds: Callable[[list[int], int], list[int]], blind: bool
    ) -> Speak:
        def speak(states: list[Any], episodes: list[int], turn: int) -> tuple[list[str], list[Row]]:
            shown = [self.task.observe(state) for state in states]
            images = [_greyed(one.get("image")) if blind else one.get("image") for one in shown]
            prompts = [role.backbone.encode_prompt(one["prompt"], im) for one, im in zip(shown, images, strict=True)]
            ids = generate(role, prompts, self.max_new_tokens, temperature, seeds(episodes, turn))
            return [role.backbone.decode(row) for row in ids], list(zip(prompts, ids, strict=True))

        return speak

    def oracle(self) -> Answers:
        """Returns the task's own right responses."""

        def speak(states: list[Any], *_: Any) -> tuple[list[str], list[Row]]:
            return [self.task.oracle(state) for state in states], [([], []) for _ in states]

        return self.play(speak)

    def play(self, speak: Speak) -> Answers:
        """All episodes to their ends, side by side."""
        count = len(self.states)
        played = group.map_over_processes(count, lambda mine: self._in_blocks(speak, mine), lambda each: each.told)
        texts, rows, scores, golds, officials, verdicts = (list(of_all) for of_all in zip(*played, strict=True))
        return Answers(texts, rows, np.array(scores), _known(golds), verdicts, _known(officials))

    def _in_blocks(self, speak: Speak, numbers: list[int]) -> list[_Episode]:
        """Plays the episodes of these numbers, not too many side by side where each holds an env of its own.

        All processes play as many blocks, since their forwards may take all of them.
        """
        blocks = group.most(-(-len(numbers) // _BLOCK)) if self.task.has_seats else 1
        return [each for block in np.array_split(numbers, blocks) for each in self._play(speak, block.tolist())]

    def _play(self, speak: Speak, numbers: list[int]) -> list[_Episode]:
        """Plays the episodes of these numbers.

        Where a base is shared out over the processes, its forwards take all of them. So all play as many turns,
        whoever's episodes are the longest: whose are over plays the first turn of an episode again, and drops it.
        """
        together = _forwards_take_all()
        states, live = list(self.states), numbers
        texts: list[list[str]] = [[] for _ in states]
        rows: list[list[Row]] = [[] for _ in states]
        scores, last = np.zeros(len(states)), [Turn("", "")] * len(states)
        turn = 0
        while group.most(len(live)) if together else live:
            if not live:
                said, _ = speak([self.states[numbers[0]]], numbers[:1], turn)
                self._scores([self.task.play(self.states[numbers[0]], said[0]).turn])
                continue
            said, ids = speak([states[i] for i in live], live, turn)
            played = [self.task.play(states[i], text) for i, text in zip(live, said, strict=True)]
            scores[live] += self._scores([each.turn for each in played])
            for i, text, row, each in zip(live, said, ids, played, strict=True):
                texts[i].append(text)
                rows[i].append(row)
                states[i], last[i] = each.state, each.turn
            live = [i for i, each in zip(live, played, strict=True) if not (each.terminated or each.truncated)]
            turn += 1
        return [self._told(texts[i], rows[i], float(scores[i]), last[i]) for i in numbers]

    def _told(self, texts: list[str], rows: list[Row], score: float, last: Turn) -> _Episode:
        verdict = self.task.whole_verdict(last) if self.whole_verdicts else {}
        return _Episode("; ".join(texts), rows, score, self.task.judge(last), self.task.judge_officially(last), verdict)

    def _scores(self, turns: Sequence[Turn], size: int = 256) -> np.ndarray:
        parts = [turns[i : i + size] for i in range(0, len(turns), size)]
        if _forwards_take_all():  # those of a reward model, of which all then run as many
            parts += [turns[:1]] * (group.most(len(parts)) - len(parts))
        return np.concatenate([score_turns(self.reward, part) for part in parts])[: len(turns)]

    def groups(self, values: np.ndarray) -> dict[str, Any]:
        """Returns the mean of `values` over each group of episodes that the task names, with intervals."""
        return group_means(values, [self.task.groups(state) for state in self.states])


def _known(verdicts: list[float | None]) -> np.ndarray | None:
    return None if None in verdicts else np.array(verdicts, dtype=np.float64)


def _forwards_take_all() -> bool:
    """Tells whether a base in memory is shared out over the processes: the policy's, or a reward model's."""
    return any(backbone.is_sharded for backbone in Backbone.in_memory())


def _greyed(image: np.ndarray | None) -> np.ndarray | None:
    return None if image is None else np.full_like(image, 128)
