"""Defines what UI tasks need of a device: the phone of this package, a recording, a live one."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, NamedTuple, Protocol

import numpy as np

from envs.uinav.interface.actions import Action
from envs.uinav.interface.screen import Screen, Surface
from perlhf.errors import UserError


class Goal(NamedTuple):
    """Says what is to be done in an episode.

    Attributes:
        template: the name of the kind of task.
        text: in words, with the values in it.
        values: what the words were filled with, by name, in the order of the text.
        feasible: whether it can be done; if not, saying so is the right end.
    """

    template: str
    text: str
    values: Mapping[str, str]
    feasible: bool = True


class Ending(NamedTuple):
    """Says how an episode ended: "done" or "infeasible" with an answer, or by the device "over" or "failed"."""

    kind: str
    answer: str = ""


class DeviceError(Exception):
    """A device that cannot go on, such as a live one that was lost: no fault of the policy; it says why."""


class Performed(NamedTuple):
    """Holds what came of an action.

    Attributes:
        state: of the device, after it.
        label: the action as a policy reads it later: "click Send", since the number says nothing by then.
        problem: why it had no effect; "" if it had.
    """

    state: Any
    label: str
    problem: str = ""


class Device(Protocol):
    """A device whose state is a value: `perform` gives a new one and leaves the old one as it was.

    A live device, whose state cannot be kept, gives a handle of itself and performs on it.

    Attributes:
        titles: of the apps that may be opened by name, as `open_app` takes them.
    """

    titles: Sequence[str]

    def reset(self, rng: Random, options: Mapping[str, Any]) -> tuple[Any, Goal]:
        """Draws the first state of an episode and its goal. Both follow from `rng` and `options` alone."""

    def screen(self, state: Any) -> Screen:
        """Returns the screen of a state."""

    def describe(self, state: Any) -> str:
        """Returns the screen as text: `screen(state).describe()`, or the same faster."""

    def surface(self, state: Any) -> Surface:
        """Returns what points and keys meet: `screen(state)`, or what answers the same faster."""

    def perform(self, state: Any, action: Action) -> Performed:
        """Does an action of `KINDS` that is neither done nor infeasible. No action makes it raise.

        Raises:
            DeviceError: the device failed; the episode is broken off and its last step is not learned from.
        """

    def over(self, state: Any) -> bool:
        """Returns whether the device itself ends the episode here, as a recording does where it cannot go on."""

    def success(self, state: Any, goal: Goal, ending: Ending) -> bool:
        """Returns whether the goal is reached in `state`, given how the episode was ended."""

    def credit(self, state: Any, goal: Goal, ending: Ending | None) -> float:
        """Returns the share of the goal that is reached, 1 with `success`; `ending` is None before the end."""

    def picture(self, state: Any) -> np.ndarray | None:
        """Returns the device's own picture of the screen, (512, 288, 3) uint8; None where it has to be drawn."""

    def needed(self, state: Any, goal: Goal) -> Sequence[str]:
        """Texts that a screen has to keep for the oracle's actions to make sense."""

    def oracle(self, state: Any, goal: Goal) -> Action:
        """Returns a right next action."""


def begin(device: Device, rng: Random, options: Mapping[str, Any]) -> tuple[Any, Goal]:
    """Returns the first state of an episode and its goal, see `Device.reset`.

    Raises:
        UserError: the device failed, and nobody can go on without a beginning.
    """
    try:
        return device.reset(rng, options)
    except DeviceError as error:
        raise UserError(f"the device cannot begin an episode: {error}.") from None


def perform(device: Device, state: Any, action: Action) -> Performed:
    """Does an action that ends nothing; of `submit` both parts, where the device shows a keyboard after the typing.

    Raises:
        DeviceError: see `Device.perform`.
    """
    if action.kind == "answer":
        return Performed(state, str(action))
    if action.kind != "submit":
        return device.perform(state, action)
    typed = device.perform(state, action._replace(kind="type"))
    enter = 0 if typed.problem else device.surface(typed.state).enter()
    if not enter:
        return typed
    pressed = device.perform(typed.state, Action("click", enter))
    return Performed(pressed.state, f"{typed.label} and Enter", pressed.problem)
