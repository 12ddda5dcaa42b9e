"""Labels the steps of UI episodes: what SFT, a step reward model and an outcome reward model learn from."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.corpora.records import LabelledRecord
from envs.corpora.splits import SPLITS
from envs.feedback import StepFeedback
from envs.turn import Turn
from envs.uinav.feedback.demonstrations import is_right, reachable, visited
from envs.uinav.feedback.mistakes import altered, elsewhere, skipping, too_soon
from envs.uinav.feedback.progress import ahead
from envs.uinav.feedback.weights import demonstrated_weights
from envs.uinav.interface.actions import Action
from envs.uinav.interface.episode import Episode

if TYPE_CHECKING:  # the task makes its feedback
    from envs.uinav.task import UINav

STATES = {"train": 8000, "validation": 700, "test": 700}  # on the phone; of recordings all
_HARD = 0.5  # share of the states in training with a third wrong response


class UISteps(StepFeedback):
    """A `UINav` task one step at a time: a record is a state's prompt and one response, labelled 1 where it is right.

    To each state there are the right response and two wrong ones, as in arXiv 2403.10704: the same action on another
    element, and an altered action on the right one. In training half of the states have a third, which ends the
    episode too soon, and those of the phone where a later step is possible by now have that, which leaves out the
    present one. What brings the goal nearer on the phone is right, whoever chose it and for whatever reason; in a
    recording only what was recorded is.

    Args:
        task: whose states they are.
        count: of the states; by default `STATES`, of recordings all.

    Attributes:
        states: what `meta["state"]` of a record numbers.
    """

    task: "UINav"

    def __init__(self, task: "UINav", count: int | None = None) -> None:
        self.task, self.split = task, task.split  # the responses go by them
        rng = np.random.default_rng([20, SPLITS.index(task.split)])  # 20: nothing else draws from it
        self.states = list(islice(_states(task, rng), count or _enough(task)))
        records = [r for n, state in enumerate(self.states) for r in self._labelled(n, state, rng)]
        super().__init__("UI steps", task.split, records)

    def _labelled(self, number: int, state: Episode, rng: np.random.Generator) -> Iterator[LabelledRecord]:
        image = self.task.turn(state).image
        for response in self._responses(state, rng):
            record = self.label(state, response, image)
            yield record._replace(meta={**record.meta, "state": number})

    def _responses(self, state: Episode, rng: np.random.Generator) -> Iterator[str]:
        """Yields what is labelled in a state: the right response, and some that are meant to be wrong."""
        yield self.task.oracle(state)
        device, goal = self.task.device, state.goal
        action, screen = device.oracle(state.state, goal), device.screen(state.state)
        wrong: list[Action | None] = [elsewhere(action, screen, rng), altered(action, goal, device.titles, rng)]
        if self.split == "train" and rng.random() < _HARD:
            wrong.append(too_soon(action, goal, rng))
        if self.split == "train" and self.task.recordings is None:
            wrong.append(skipping(ahead(device, state)))
        yield from (self.task.as_response(each, state) for each in wrong if each is not None)

    @property
    def can_rate(self) -> bool:
        return True

    def judge(self, turn: Turn) -> float:
        return float(self.right(self.states[turn.reference["state"]], turn.response))

    def right(self, state: Episode, response: str) -> bool:
        """Returns whether a response is right in a state."""
        return is_right(self.task, state, response)

    def rate(self, index: int, response: str, rng: np.random.Generator) -> float:
        return self.judge(self.turn(index, response))

    def oracle(self, state: int) -> str:
        return self.task.oracle(self._state(state))

    def plausible_action(self, state: int, rng: np.random.Generator) -> str:
        return self.task.plausible_action(self._state(state), rng)

    def _state(self, index: int) -> Episode:
        return self.states[self.records[index].meta["state"]]

    def label(self, state: Episode, response: str, image: np.ndarray | None) -> LabelledRecord:
        meta: dict[str, Any] = {"groups": list(self.task.groups(state))}
        if image is not None:
            meta["image"] = image
        return LabelledRecord(state.prompt, response, float(is_right(self.task, state, response)), meta)

    def goes_on(self, state: Episode) -> bool:
        return self.task.recordings is not None or reachable(self.task, state)

    def playable(self) -> "UISteps | None":
        """Itself, on the phone; a recording ends with the first step that is not the recorded one, so few go far."""
        return self if self.task.recordings is None else None

    def endings(self) -> "Endings | None":
        return Endings(self.task) if self.task.recordings is None else None


def _enough(task: "UINav") -> int | None:
    return STATES[task.split] if task.recordings is None else None


def _states(task: "UINav", rng: np.random.Generator) -> Iterator[Episode]:
    """States of the phone without end, or all steps of all recordings.

    In training each template comes as often as people show it: SFT imitates what is right in these states.
    """
    if task.recordings is None:
        yield from visited(task, rng, templates=demonstrated_weights(task) if task.split == "train" else None)
        return
    for index in range(len(task.recordings.trajectories)):
        state, ended = task.start(rng, {"index": index}), False
        while not ended:
            yield state
            state, ended = task.advance(state, task.oracle(state))


class Endings(UISteps):
    """Labels the ends of episodes on the phone, for an outcome reward model, which says whether the goal is reached.

    In a state where the episode is rightly ended that response and a wrong one; in others one that ends it too soon.
    UINav (arXiv 2312.10170) has such a second model to judge the episodes of the first.
    """

    def playable(self) -> None:
        return None

    def _responses(self, state: Episode, rng: np.random.Generator) -> Iterator[str]:
        action = self.task.device.oracle(state.state, state.goal)
        if action.kind in ("done", "infeasible"):
            yield self.task.as_response(action, state)
            if action.kind == "done" and action.text:
                other = altered(action, state.goal, self.task.device.titles, rng)
            else:
                other = too_soon(action, state.goal, rng)
            yield self.task.as_response(other, state)
        elif rng.random() < _HARD:
            yield self.task.as_response(too_soon(action, state.goal, rng), state)
