"""How far it is to the goal, by the oracle's count: what a reward for progress stands on."""

from collections.abc import Iterator

from envs.uinav.actions import Action
from envs.uinav.device import Device, Ending
from envs.uinav.screen import Screen
from envs.uinav.task import Episode

LONGEST = 12  # steps that are counted


def steps_left(device: Device, episode: Episode, longest: int = LONGEST) -> int:
    """Actions that the oracle needs, with the last word; `longest` for as many, or where the goal is out of reach."""
    state, goal = episode.state, episode.goal
    for count in range(1, longest):
        action = device.oracle(state, goal)
        if action.kind in ("done", "infeasible"):
            return count if device.success(state, goal, Ending(action.kind, action.text)) else longest
        state = device.perform(state, action).state
    return longest


def ahead(device: Device, episode: Episode) -> Iterator[tuple[Screen, Action]]:
    """The oracle's actions from here with the screen before each, up to its last word or `LONGEST` of them."""
    state, goal = episode.state, episode.goal
    for _ in range(LONGEST):
        action = device.oracle(state, goal)
        yield device.screen(state), action
        if action.kind in ("done", "infeasible"):
            return
        state = device.perform(state, action).state
