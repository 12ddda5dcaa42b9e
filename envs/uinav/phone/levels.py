"""Four levels of difficulty, by a rule over what the oracle does in a template."""

from collections.abc import Callable, Mapping
from random import Random
from statistics import median, median_high
from typing import NamedTuple

from envs.uinav.interface.actions import Action
from envs.uinav.interface.device import Goal
from envs.uinav.phone.app import HOME, Known, Template
from envs.uinav.phone.device import PhoneDevice, State
from perlhf.errors import UserError

LEVELS = (1, 2, 3, 4)
SEEDS = 20  # episodes of a template that the oracle is watched in
_LONGEST = 60  # of its actions


class Difficulty(NamedTuple):
    """Says what a template takes, as the oracle does it in `SEEDS` episodes.

    Attributes:
        steps: the oracle's, with the last word; the median.
        apps: that are seen on the way.
        scrolls: whether something has to be scrolled to, in half of the episodes.
        searches: whether a search has to be typed, likewise.
        remembers: whether something has to be said that neither the goal nor the last screen says.
    """

    steps: float
    apps: int
    scrolls: bool
    searches: bool
    remembers: bool

    @property
    def level(self) -> int:
        """1 to 4."""
        if self.apps > 1 or self.remembers or self.steps >= 10:
            return 4
        if self.steps >= 7:
            return 3
        return 2 if self.steps >= 5 or self.scrolls or self.searches else 1


_found: dict[str, tuple[Template, Difficulty]] = {}


def level_of(device: PhoneDevice, name: str) -> int:
    """Returns the level of a template, 1 to 4."""
    return difficulty_of(device, name).level


def of_level(device: PhoneDevice, level: int) -> tuple[str, ...]:
    """Returns the names of those that a phone draws from and that are of one level.

    Raises:
        UserError: there is no such level, or none of them is of it.
    """
    if type(level) is not int or level not in LEVELS:
        raise UserError(f"level must be 1, 2, 3 or 4, or None for all; got {level!r}.")
    names = tuple(name for name in device.templates if level_of(device, name) == level)
    if not names:
        there = sorted({level_of(device, name) for name in device.templates})
        raise UserError(f"none of the templates is of level {level}; there are some of {', '.join(map(str, there))}.")
    return names


def easiest(known: Mapping[str, Known]) -> list[str]:
    """Returns the names of the templates of level 1 that the phone's state judges, but for those that are held out.

    Where the phone's state judges, nothing has to be transcribed from the screen.
    """
    names = [name for name, (_, template) in known.items() if template.answer is None and not template.held_out]
    return [name for name in names if _difficulty(known[name]).level == 1]


def difficulty_of(device: PhoneDevice, name: str) -> Difficulty:
    """Returns what a template of a phone takes, measured once in a process."""
    return _difficulty(device.known[name])


def _difficulty(known: Known) -> Difficulty:
    name = known.template.name
    if name not in _found or _found[name][0] is not known.template:
        _found[name] = known.template, _measured(known)
    return _found[name][1]


def _measured(known: Known) -> Difficulty:
    """Watches the oracle in a template, on a phone that has just the apps for it."""
    name, needed = known.template.name, (known.app, *known.template.needs)
    device = PhoneDevice(tuple(dict.fromkeys(needed)), (name,), known={name: known})
    ways = [_way(device, seed, name) for seed in range(SEEDS)]
    apps_seen = [len({state.phone.app for state, _ in way} - {HOME}) for _, way in ways]

    def usual(is_so: Callable[[Goal, State, Action], bool]) -> bool:
        return 2 * sum(any(is_so(goal, *step) for step in way) for goal, way in ways) >= SEEDS

    def scrolls(goal: Goal, state: State, action: Action) -> bool:
        return action.kind == "scroll"

    def searches(goal: Goal, state: State, action: Action) -> bool:
        return action.kind == "type" and "search" in _label(device, state, action).casefold()

    def remembers(goal: Goal, state: State, action: Action) -> bool:
        told = action.text in goal.text or action.text in device.describe(state)
        return action.kind in ("type", "done") and not told

    steps = median(len(way) for _, way in ways)
    return Difficulty(steps, median_high(apps_seen), usual(scrolls), usual(searches), usual(remembers))


def _label(device: PhoneDevice, state: State, action: Action) -> str:
    return device.screen(state).elements[action.element - 1].label


def _way(device: PhoneDevice, seed: int, name: str) -> tuple[Goal, list[tuple[State, Action]]]:
    """Returns the goal of an episode and the oracle's actions, each with the state before it."""
    state, goal = device.reset(Random(seed), {"template": name, "feasible": True})
    way: list[tuple[State, Action]] = []
    for _ in range(_LONGEST):
        way.append((state, device.oracle(state, goal)))
        if way[-1][1].kind in ("done", "infeasible"):
            break
        state = device.perform(*way[-1]).state
    return goal, way
