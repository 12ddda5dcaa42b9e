"""`LiveDevice`: what a device of one's own starts from, and `make_device`, which finds what `device` of UINav names.

docs/a_device_of_your_own.md writes one step by step.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, ClassVar

import numpy as np

from envs.entry_points import load_callable
from envs.uinav.interface.actions import Action
from envs.uinav.interface.device import Ending, Goal, Performed
from envs.uinav.interface.screen import Screen, Surface
from perlhf.errors import UserError, did_you_mean


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


def make_device(device: Any, templates: str | Sequence[str], max_elements: int) -> LiveDevice:
    """Returns the device that is named: "browser", "module:name" of a class or function that makes one, or one itself.

    Args:
        device: as given to `UINav`.
        templates: what to draw tasks from; where none are given, "module:name" is called with nothing.
        max_elements: of a page, the most that are shown.

    Raises:
        UserError: it names no device.
    """
    if device == "browser":
        from envs.uinav.browser.device import BrowserDevice  # imports this module

        return BrowserDevice(templates, max_elements)
    made = device
    if isinstance(device, str):
        if ":" not in device:
            hint = did_you_mean(device, ("phone", "browser"))
            raise UserError(f"unknown device {device!r}.{hint} One of your own is 'module:name'.")
        make = load_callable(device, f"device {device!r}")
        made = make(templates=templates) if templates else make()
    elif templates:
        raise UserError("templates are given to a device that is made already; give them to its maker.")
    if not isinstance(made, LiveDevice):
        raise UserError(f"device {device!r} gave {type(made).__name__}, expected an envs.uinav.live.LiveDevice.")
    return made


def refuse_of_phone(given: Mapping[str, Any]) -> None:
    """Refuses options that a live device does not have; UserError.

    Args:
        given: the options of the phone and of recordings, by name, and whether they differ from their defaults.
    """
    named = [name for name, is_given in given.items() if is_given]
    if named:
        raise UserError(f"{' and '.join(named)}: of the simulated phone or of recordings; leave out with device=...")
