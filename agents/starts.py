"""Starts: chooses where groups of episodes begin, more often at the border of what the policy can do.

From episodes that all succeed or all fail a policy learns little. So a share of the groups begins where some succeed:

- in a state that was begun in before, where some attempts succeeded and not most of them; it is tried again;
- in a new state of a kind whose attempts succeed with a probability p near a half. Its weight is p (1 - p), the
  variance of success, and a little more, so that no kind is left out for good.

Coming back to starts by what can be learned there is Prioritized Level Replay's idea (arXiv 2010.03934), whose score of
a start is a TD error; p (1 - p) is the score of arXiv 2408.15099.

A state of a kind that is wanted is had without knowing how a task makes one: several are drawn as any episode's is, and
one of them is taken by weight (sampling, importance resampling: Rubin 1988).
"""

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.task import Task

UNKNOWN = 0.5  # the probability of success of a kind that was not tried yet: the most promising one
FORGET = 0.3  # how much of what was known of a kind a group's success replaces
FLOOR = 0.03  # added to p (1 - p), which is .25 at most
CANDIDATES = 16  # states of which one is taken
AGAIN = 0.5  # of the groups at the border those that begin where others did, while there are such states
SOLVED = 0.75  # the success from which a state is not begun in again
KEPT = 200  # states to begin in again, the latest ones
_STREAM = 20  # of the seed; nothing else draws from it


class Starts:
    """Proposes states to begin in, and learns from what came of them.

    With several processes all have one each, ask it for the groups of all of them, and tell it of all; so all know the
    same. A state that is begun in again is proposed once; what comes of it says whether it comes back.

    States go in and out as JSON (`Task.state_to_json`), as they travel between processes.

    Args:
        task: that draws states.
        frontier: the probability that a group begins at the border of what is solved, 0 to 1.
        seed: of what is drawn here. Where episodes begin elsewhere is drawn as ever.

    Attributes:
        success: the running probability of success of each kind of episode that was tried, the first of `Task.groups`.
        again: states to begin in again, as JSON.
    """

    def __init__(self, task: Task, frontier: float, seed: int) -> None:
        self.task, self.frontier = task, frontier
        self.success: dict[str, float] = {}
        self.again: deque[Any] = deque(maxlen=KEPT)
        self._rng = np.random.default_rng([seed, _STREAM])

    def propose(self, groups: int) -> list[Any | None]:
        """Returns a state for each group to begin in; None where it begins as any other episode does."""
        return [self._at_the_border() if self._rng.random() < self.frontier else None for _ in range(groups)]

    def tell(self, states: Sequence[Any], successes: Sequence[Sequence[bool]]) -> None:
        """Learns what came of groups.

        Args:
            states: that they began in, proposed ones and others.
            successes: of each group's episodes; none of a group that there is nothing to say of.
        """
        for state, of_group in zip(states, successes, strict=True):
            if not of_group:
                continue
            rate = sum(of_group) / len(of_group)
            kind = self._kind(self.task.state_from_json(state))
            self.success[kind] = (1 - FORGET) * self.success.get(kind, UNKNOWN) + FORGET * rate
            if 0 < rate < SOLVED:
                self.again.append(state)

    def weight(self, state: Any) -> float:
        """Returns how much a new state of the kind of this one (as the task has it) is wanted."""
        p = self.success.get(self._kind(state), UNKNOWN)
        return p * (1 - p) + FLOOR

    def get_state(self) -> dict[str, Any]:
        """Returns what it knows and what it draws next, as JSON."""
        return {
            "success": dict(self.success),
            "again": list(self.again),
            "generator": self._rng.bit_generator.state,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` gave."""
        self.success, self.again = dict(state["success"]), deque(state["again"], maxlen=KEPT)
        self._rng.bit_generator.state = state["generator"]

    def _at_the_border(self) -> Any:
        """Takes a state of before, or draws a new one of a kind that is wanted."""
        if self.again and self._rng.random() < AGAIN:
            number = int(self._rng.integers(len(self.again)))
            state = self.again[number]
            del self.again[number]
            return state
        drawn = [self.task.start(self._rng, {}) for _ in range(CANDIDATES)]
        weights = np.array([self.weight(state) for state in drawn])
        return self.task.state_to_json(drawn[int(self._rng.choice(CANDIDATES, p=weights / weights.sum()))])

    def _kind(self, state: Any) -> str:
        return next(iter(self.task.groups(state)), "")
