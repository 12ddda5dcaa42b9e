"""Defines policies that do not know the phone: one that tries things at random, and shortcuts that must not work."""

from collections.abc import Callable, Sequence

import numpy as np

from envs.uinav.interface.actions import DIRECTIONS, Action
from envs.uinav.interface.device import Goal
from envs.uinav.interface.screen import Screen

RandomPolicy = Callable[[Screen, Goal, Sequence[str], np.random.Generator], Action]  # of the titles of apps, too

_KINDS = ("click", "type", "scroll", "back", "home", "open_app", "wait", "long_press", "done", "infeasible")
_WEIGHTS = (0.5, 0.15, 0.08, 0.06, 0.02, 0.04, 0.02, 0.03, 0.08, 0.02)  # most of what a phone needs is clicks


def random_action(screen: Screen, goal: Goal, titles: Sequence[str], rng: np.random.Generator) -> Action:
    """Draws an action: most are clicks on what can be clicked, what is typed is a value of the goal."""
    kind = str(rng.choice(_KINDS, p=_WEIGHTS))
    wanted = {"click": "clickable", "type": "editable", "long_press": "long_clickable"}.get(kind)
    if wanted is not None:
        able = [i for i, element in enumerate(screen.elements, 1) if getattr(element, wanted)]
        if not able:
            return Action("back")
        return Action(kind, int(rng.choice(able)), _value(goal, rng) if kind == "type" else "")
    if kind == "scroll":
        return Action(kind, 0, str(rng.choice(DIRECTIONS)))
    if kind == "open_app":
        return Action(kind, 0, str(rng.choice(titles))) if titles else Action("home")
    return Action(kind, 0, _value(goal, rng) if kind in ("done", "infeasible") else "")


def _value(goal: Goal, rng: np.random.Generator) -> str:
    values = list(goal.values.values())
    return values[int(rng.integers(len(values)))] if values else "x"


def type_everything(screen: Screen, goal: Goal, titles: Sequence[str], rng: np.random.Generator) -> Action:
    """Types a value of the goal into the first empty field, else clicks somewhere."""
    for number, element in enumerate(screen.elements, 1):
        if element.editable and not element.text:
            return Action("type", number, _value(goal, rng))
    able = [i for i, element in enumerate(screen.elements, 1) if element.clickable]
    return Action("click", int(rng.choice(able))) if able and rng.random() < 0.9 else Action("done")


# By name; each of them reaches almost no goal.
SHORTCUTS: dict[str, RandomPolicy] = {
    "random": random_action,
    "always done": lambda screen, goal, titles, rng: Action("done"),
    "done with a value of the goal": lambda screen, goal, titles, rng: Action("done", 0, _value(goal, rng)),
    "click(0)": lambda screen, goal, titles, rng: Action("click", 0),
    "wait": lambda screen, goal, titles, rng: Action("wait"),
    "infeasible": lambda screen, goal, titles, rng: Action("infeasible"),
    "infeasible, with a reason": lambda screen, goal, titles, rng: Action("infeasible", 0, "it is not there"),
    "type everything": type_everything,
}
