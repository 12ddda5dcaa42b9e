"""`Episodes`: many episodes of a task as they stand. It plays them; who scores what was said is none of its business.

`TaskVectorEnv` has one of these, or in worker processes one each (`envs.workers`), so an episode is played by the same
lines either way.

After `start` a new episode begins wherever one is over, unless one each is asked for. After `begin`, in states that
somebody gives, one episode each is played: what is over waits until the others are.
"""

from collections.abc import Mapping, Sequence
from math import isinf
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
        info: of the episode that has begun in its place; empty where none has.
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
        self._played: list[Played | None] = []
        self._over: list[bool] | None = None  # of one episode each; None where new ones begin in their places

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

    def start(self, options: Mapping[str, Any], once: bool = False) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Draws all episodes anew; returns their infos and observations.

        Args:
            options: what `env.reset` was given.
            once: whether one episode each is played; what is over waits then.
        """
        self._over = [False] * len(self._states) if once else None
        return [self._start(i, options) for i in range(len(self._states))], self._observations()

    def _start(self, i: int, options: Mapping[str, Any]) -> dict[str, Any]:
        self._states[i] = None  # what the episode before was played in is free for this one
        self._states[i] = self.task.start(self._rngs[i], options)
        self._steps[i] = 0
        return self.task.info(self._states[i])

    def draw(self, which: Sequence[bool], options: Mapping[str, Any]) -> list[Any]:
        """Draws states in which episodes may begin, as JSON; None for the episodes that `which` leaves out."""
        each = zip(which, self._rngs, strict=True)
        return [self.task.state_to_json(self.task.start(rng, options)) if wanted else None for wanted, rng in each]

    def begin(self, starts: Sequence[Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Begins one episode each in states that are given as JSON; returns their infos and observations.

        Neighbours with equal starts share one state, which none of them changes. What is over waits.
        """
        for i, start in enumerate(starts):
            again = i > 0 and start == starts[i - 1]
            self._states[i] = self._states[i - 1] if again else self.task.state_from_json(start)
        self._steps, self._over = [0] * len(starts), [False] * len(starts)
        return [self.task.info(state) for state in self._states], self._observations()

    def play(self, responses: Sequence[str | None]) -> list[Turn | None]:
        """Returns the turns that responses make, one for each episode; None for those that are over and wait."""
        over = self._over or [False] * len(self._states)
        each = zip(self._states, responses, over, strict=True)
        self._played = [None if waits else self.task.play(s, r or "") for s, r, waits in each]
        return [played and played.turn for played in self._played]

    def settle(self, limit: int | None) -> Settled:
        """Moves all episodes to where the last `play` led; new ones begin in the place of those that are over, or wait.

        Args:
            limit: steps after which an episode is broken off; None for no limit.
        """
        terminated, truncated = ([False] * len(self._states) for _ in range(2))
        over: dict[int, Over] = {}
        for i, played in enumerate(self._played):
            if played is None:
                continue
            self._states[i] = played.state
            self._steps[i] += 1
            terminated[i] = played.terminated
            truncated[i] = not played.terminated and (played.truncated or self._steps[i] == limit)
            if terminated[i] or truncated[i]:
                verdict = verdict_of(self.task, played.turn, played.terminated or played.truncated)
                over[i] = Over(self.task.observe(played.state), verdict, self._followed(i))
        self._played = []  # turns are not held longer than they are used
        return Settled(terminated, truncated, over, self._observations())

    def _followed(self, i: int) -> dict[str, Any]:
        """Begins an episode in the place of one that is over, and returns its info; or lets it wait."""
        if self._over is None:
            return self._start(i, {})
        self._over[i] = True
        return {}

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
            **({} if self._over is None else {"over": list(self._over)}),
        }

    def set_state(self, state: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Restores what `get_state` gave and returns the observations as they then were."""
        self._rngs = [seeding.np_random(0)[0] for _ in self._states]
        for rng, saved in zip(self._rngs, state["rngs"], strict=True):
            rng.bit_generator.state = saved
        self._states = [self.task.state_from_json(value) for value in state["states"]]
        self._steps = list(state["steps"])
        self._over = list(state["over"]) if "over" in state else None
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
    success = {} if isinf(task.success_at) else {"is_success": bool(gold >= task.success_at)}
    return {"gold": float(gold), **success, **about}
