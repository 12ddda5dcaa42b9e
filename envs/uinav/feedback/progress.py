"""Counts how far it is to the goal, by the oracle's steps: a reward for progress stands on it."""

from collections.abc import Iterator
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.interface.device import Device, Ending
from envs.uinav.interface.episode import Episode
from envs.uinav.interface.screen import Screen

LONGEST = 12  # steps that are counted


def steps_left(device: Device, episode: Episode, longest: int = LONGEST) -> int:
    """Actions that the oracle needs, with the last word; `longest` for as many, or where the goal is out of reach."""
    for count, (state, action) in enumerate(_path(device, episode, longest - 1), start=1):
        if action.kind in ("done", "infeasible"):
            return count if device.success(state, episode.goal, Ending(action.kind, action.text)) else longest
    return longest


def nearer(device: Device, before: Episode, after: Episode) -> float:
    """Returns how much nearer to the goal a step came, as a share of `LONGEST` steps of the oracle; below 0 if farther.

    It is the difference of a potential (Ng, Harada and Russell, ICML 1999), so a way there and back is worth nothing.
    An end that is not success brings nothing nearer.
    """
    left = steps_left(device, before)
    if after.ending is None:
        return (left - steps_left(device, after)) / LONGEST
    return left / LONGEST if device.success(after.state, after.goal, after.ending) else 0.0


def ahead(device: Device, episode: Episode) -> Iterator[tuple[Screen, Action]]:
    """Yields the oracle's actions from here with the screen before each, up to its last word or `LONGEST` of them."""
    for state, action in _path(device, episode, LONGEST):
        yield device.screen(state), action


def _path(device: Device, episode: Episode, longest: int) -> Iterator[tuple[Any, Action]]:
    """Yields the same with the device's state before each, up to `longest`."""
    state, goal = episode.state, episode.goal
    for _ in range(longest):
        action = device.oracle(state, goal)
        yield state, action
        if action.kind in ("done", "infeasible"):
            return
        state = device.perform(state, action).state
