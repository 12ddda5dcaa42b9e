"""`Episodes`: many episodes of a task as they stand. It plays them; who scores what was said is none of its business.

`TaskVectorEnv` has one of these, or in worker processes one each (`envs.workers`), so an episode is played by the same
lines either way.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from gymnasium.utils import seeding

from envs.task import Played, Task
from envs.turn import Turn


class Over(NamedTuple):
    """Holds what is said of an episode that a turn ended.

    Attributes:
        observation: its last one.
        verdict: what `info` says of it; see `verdict_of`.
        info: of the episode that has begun in its place.
    """

    observation: dict[str, Any]
    verdict: dict[str, Any]
    info: dict[str, Any]


class Settled(NamedTuple):
    """Holds what became of n episodes.

    Attributes:
        terminated: (n,) whether the turn ended them.
        truncated: (n,) whether they are broken off after it.
        over: of those that either happened to, by their numbers.
        observations: of all, after it: "prompt" (n,), and "image" (n, height, width, 3) where there is one.
    """

    terminated: list[bool]
    truncated: list[bool]
    over: dict[int, Over]
    observations: dict[str, Any]


class Episodes:
    """Some episodes side by side, each with a generator of its own.

    A turn takes two calls. `play` leaves the episodes where they are, so that they still stand there if the turns
    cannot be scored; `settle` moves them on.

    Attributes:
        task: of all of them.
    """

    def __init__(self, task: Task, count: int) -> None:
        self.task = task
        self._rngs: list[np.random.Generator] = []
        self._states: list[Any] = [None] * count
        self._steps = [0] * count
        self._played: list[Played] = []

    # Copies and pickles are without the task: whoever makes one puts it back.
    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "task"}

    def seed(self, seeds: Sequence[int | None]) -> None:
        """Makes new generators, one for each episode, where seeds are given, and where there are none yet."""
        kept: Sequence[np.random.Generator | None] = self._rngs or [None] * len(seeds)
        self._rngs = [
            rng if seed is None and rng is not None else seeding.np_random(seed)[0]
            for seed, rng in zip(seeds, kept, strict=True)
        ]

    def start(self, options: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Draws all episodes anew; returns their infos and observations. `options` is what `env.reset` was given."""
        return [self._start(i, options) for i in range(len(self._states))], self._observations()

    def _start(self, i: int, options: Mapping[str, Any]) -> dict[str, Any]:
        self._states[i] = self.task.start(self._rngs[i], options)
        self._steps[i] = 0
        return self.task.info(self._states[i])

    def play(self, responses: Sequence[str]) -> list[Turn]:
        """Returns the turns that responses make, one for each episode."""
        self._played = [self.task.play(s, r) for s, r in zip(self._states, responses, strict=True)]
        return [played.turn for played in self._played]

    def settle(self, limit: int | None) -> Settled:
        """Moves all episodes to where the last `play` led, and begins new ones in the place of those that are over.

        Args:
            limit: steps after which an episode is broken off; None for no limit.
        """
        truncated, over = [], {}
        for i, played in enumerate(self._played):
            self._states[i] = played.state
            self._steps[i] += 1
            cut = not played.terminated and (played.truncated or self._steps[i] == limit)
            truncated.append(cut)
            if played.terminated or cut:
                verdict = verdict_of(self.task, played.turn, played.terminated or played.truncated)
                over[i] = Over(self.task.observe(played.state), verdict, self._start(i, {}))
        terminated = [played.terminated for played in self._played]
        self._played = []  # turns are not held longer than they are used
        return Settled(terminated, truncated, over, self._observations())

    def _observations(self) -> dict[str, Any]:
        if self.task.image_shape is None:
            return {"prompt": tuple(self.task.observe(state)["prompt"] for state in self._states)}
        prompts, images = [], np.empty((len(self._states), *self.task.image_shape), np.uint8)
        for i, state in enumerate(self._states):
            row = self.task.observe(state)
            prompts.append(row["prompt"])
            images[i] = row["image"]  # at once: the copies of all of them together would be too much for the caches
        return {"prompt": tuple(prompts), "image": images}

    def turns(self) -> list[Turn]:
        """Returns a turn without a response for each episode, of what it shows now."""
        return [self.task.turn(state) for state in self._states]

    def oracle(self) -> tuple[str, ...]:
        """Returns a right response in each episode."""
        return tuple(self.task.oracle(state) for state in self._states)

    def plausible_action(self, rng: np.random.Generator) -> tuple[tuple[str, ...], np.random.Generator]:
        """Draws a plausible response in each episode; returns them and the generator, which has moved on."""
        return tuple(self.task.plausible_action(state, rng) for state in self._states), rng

    def get_state(self) -> dict[str, list[Any]]:
        """Returns everything that decides the episodes to come, as JSON: generators, states, step counts."""
        return {
            "rngs": [rng.bit_generator.state for rng in self._rngs],
            "states": [self.task.state_to_json(state) for state in self._states],
            "steps": list(self._steps),
        }

    def set_state(self, state: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Restores what `get_state` gave and returns the observations as they then were."""
        self._rngs = [seeding.np_random(0)[0] for _ in self._states]
        for rng, saved in zip(self._rngs, state["rngs"], strict=True):
            rng.bit_generator.state = saved
        self._states = [self.task.state_from_json(value) for value in state["states"]]
        self._steps = list(state["steps"])
        return self._observations()


def verdict_of(task: Task, turn: Turn, ended: bool) -> dict[str, Any]:
    """Returns what `info` says of an episode that is over with a turn.

    Args:
        task: whose episode it is.
        turn: the last one.
        ended: whether it is over by itself, and not because somebody cuts it.
    """
    about = task.final_info(turn)
    if turn.reference.get("failed"):
        return {"failed": True, **about}
    gold = task.judge(turn) if ended else task.judge_cut(turn)
    if gold is None:
        return about
    return {"gold": float(gold), "is_success": bool(gold >= task.success_at), **about}
