"""Makes wrong actions that look right, for a step reward model to learn from.

The two kinds of arXiv 2403.10704's UI task (1 right action to 2 wrong ones): the same action on another element, and
the right element with an altered action; and two more that a policy under training falls for: ending too soon, and
leaving out a step, as in saving a form that is half filled.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import numpy as np

from envs.uinav.interface.actions import DIRECTIONS, Action
from envs.uinav.interface.device import Goal
from envs.uinav.interface.screen import Element, Screen

_T = TypeVar("_T")
_ABLE = {"click": "clickable", "type": "editable", "long_press": "long_clickable"}


def elsewhere(action: Action, screen: Screen, rng: np.random.Generator) -> Action | None:
    """Returns the action on another element that takes it, or a click where it points at none; None for none.

    Where only one element takes the action, another that takes clicks is pointed at.
    """
    kind = action.kind if action.element else "click"
    for able in (_ABLE[kind], "clickable"):
        others = [
            number
            for number, element in enumerate(screen.elements, 1)
            if number != action.element and element.enabled and getattr(element, able)
        ]
        if others:
            return Action(kind, _drawn(others, rng), action.text if kind == "type" else "")
    return None


def altered(action: Action, goal: Goal, titles: Sequence[str], rng: np.random.Generator) -> Action:
    """Returns the action with another text, direction, app (one of `titles`) or kind."""
    kind, element, text = action
    if kind == "type" and rng.random() < 0.7:
        return Action("type", element, another_text(text, goal, rng))
    if kind == "type":
        return Action("click", element)
    if element:
        other = "long_press" if kind == "click" else "click"
        return Action(other, element) if rng.random() < 0.5 else Action("type", element, another_text("", goal, rng))
    if kind == "scroll":
        return Action("scroll", 0, _drawn([each for each in DIRECTIONS if each != text], rng))
    if kind == "open_app" and (others := [each for each in titles if each != text]):
        return Action("open_app", 0, _drawn(others, rng))
    if kind == "done" and text:
        return Action("done", 0, another_text(text, goal, rng))
    return Action(_drawn([each for each in ("back", "home", "wait", "done") if each != kind], rng))


def too_soon(action: Action, goal: Goal, rng: np.random.Generator) -> Action:
    """Returns the end of the episode in place of an action that goes on; of the right end the other one."""
    if action.kind == "done" or (action.kind != "infeasible" and rng.random() < 0.3):
        return Action("infeasible", 0, f"no {another_text('', goal, rng)}")
    return Action("done", 0, another_text("", goal, rng) if rng.random() < 0.3 else "")


def skipping(ahead: Iterable[tuple[Screen, Action]]) -> Action | None:
    """Returns the last action of those to come whose element is on the screen by now; None where there is none.

    Args:
        ahead: the right actions from now on with the screen before each.
    """
    (screen, _), *later = ahead
    present = {_same(element): number for number, element in enumerate(screen.elements, 1) if element.enabled}
    for shown, action in reversed(later):
        number = present.get(_same(shown.elements[action.element - 1])) if action.element else None
        if number is not None:
            return action._replace(element=number)
    return None


def _same(element: Element) -> tuple[str, ...]:
    """Returns the fields of an element that neither its place nor its text changes."""
    return element.kind, element.description, element.resource_id, "" if element.editable else element.text


def another_text(text: str, goal: Goal, rng: np.random.Generator) -> str:
    """Another value of the goal, or the text with a word left out or doubled, or with a character changed."""
    values = [value for value in goal.values.values() if value and value != text]
    if values and (not text or rng.random() < 0.5):
        return _drawn(values, rng)
    words = text.split()
    if len(words) > 1:
        place = int(rng.integers(len(words)))
        return " ".join([*words[:place], *words[place + 1 :]] if rng.random() < 0.5 else [*words, words[place]])
    return text + "1" if rng.random() < 0.5 or len(text) < 2 else text[:-1]


def mistake(action: Action, screen: Screen, goal: Goal, titles: Sequence[str], rng: np.random.Generator) -> Action:
    """Returns a wrong action of any kind in place of the right one: half of them on another element."""
    draw = rng.random()
    if draw < 0.5:
        return elsewhere(action, screen, rng) or altered(action, goal, titles, rng)
    return altered(action, goal, titles, rng) if draw < 0.8 else too_soon(action, goal, rng)


def _drawn(choices: Sequence[_T], rng: np.random.Generator) -> _T:
    return choices[int(rng.integers(len(choices)))]
