"""`LiveDevice`: what a device of one's own starts from; docs/a_device_of_your_own.md writes one step by step."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar

import numpy as np

from envs.uinav.interface.actions import Action
from envs.uinav.interface.device import Ending, Goal, Performed
from envs.uinav.interface.screen import Screen, Surface
from perlhf.errors import UserError


class LiveDevice:
    """A device that is neither the phone of this package nor a recording, see `envs.uinav.interface.device.Device`.

    A subclass has `reset`, `screen`, `perform` and `success`; all else has a default.

    Attributes:
        titles: of the apps that may be opened by name, as `open_app` takes them.
        templates: names of the tasks that `reset` draws from and takes as the option "template", if it has names.
        repeats: whether the same reset and the same actions lead to the same state. Only then can episodes begin alike
            in groups, be compared between policies, and go on after a resume.
        has_oracle: whether `oracle` knows what is right.
        reset_options: of `env.reset(options=...)` that `reset` knows.
    """

    titles: Sequence[str] = ()
    templates: Sequence[str] = ()
    repeats: ClassVar[bool] = False
    has_oracle: ClassVar[bool] = False
    reset_options: ClassVar[frozenset[str]] = frozenset({"seed"})

    def reset(self, rng: Random, options: Mapping[str, Any]) -> tuple[Any, Goal]:
        """Begins an episode; returns its state and its goal."""
        raise NotImplementedError

    def screen(self, state: Any) -> Screen:
        """Returns the screen of a state."""
        raise NotImplementedError

    def perform(self, state: Any, action: Action) -> Performed:
        """Does an action that is neither done nor infeasible. No action makes it raise.

        Raises:
            DeviceError: the device failed; the episode is broken off and its last step is not learned from.
        """
        raise NotImplementedError

    def success(self, state: Any, goal: Goal, ending: Ending) -> bool:
        """Returns whether the goal is reached in `state`, given how the episode was ended."""
        raise NotImplementedError

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuses values of reset options that `reset` cannot take; UserError."""

    def describe(self, state: Any) -> str:
        """Returns the screen as text."""
        return self.screen(state).describe()

    def surface(self, state: Any) -> Surface:
        """Returns what points and keys meet: the screen."""
        return self.screen(state)

    def over(self, state: Any) -> bool:
        """Returns whether the device itself ends the episode here: never."""
        return False

    def credit(self, state: Any, goal: Goal, ending: Ending | None) -> float:
        """Returns 1 with `success`, else 0."""
        return float(ending is not None and self.success(state, goal, ending))

    def picture(self, state: Any) -> np.ndarray | None:
        """Returns None: the screen is drawn from its elements."""
        return None

    def needed(self, state: Any, goal: Goal) -> Sequence[str]:
        """Returns nothing: what the goal needs is not known."""
        return ()

    def oracle(self, state: Any, goal: Goal) -> Action:
        """Raises UserError: nobody knows a right action, unless a subclass does."""
        raise UserError(f"{type(self).__name__} has no oracle: what is right on a live device, nobody knows.")

    def close(self) -> None:
        """Lets go of what is open."""
