"""`Episode`: the state of a UI task."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from envs.uinav.interface.device import Ending, Goal


class Episode(NamedTuple):
    """An episode as it stands.

    Attributes:
        seed: that it was drawn from.
        options: of the reset that began it.
        goal: what is to be done.
        state: of the device.
        responses: all so far.
        history: the actions of the last ones, as text.
        problem: why the last one had no effect.
        ending: how it ended, or None.
        prompt: what the policy is shown; its picture is made from the rest when it is asked for.
        answer: what was answered before the end, as some dialects do; "" for nothing.
    """

    seed: int
    options: Mapping[str, Any]
    goal: Goal
    state: Any
    responses: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    problem: str = ""
    ending: Ending | None = None
    prompt: str = ""
    answer: str = ""
