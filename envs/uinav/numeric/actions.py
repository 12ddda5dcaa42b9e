"""UI actions as three numbers: a kind, an element of the screen, and a value of the goal."""

import re
from collections.abc import Sequence

import numpy as np

from envs.uinav.interface.actions import Action
from envs.uinav.interface.answers import plain
from envs.uinav.interface.screen import Element, Screen
from envs.uinav.phone.app import HOME, app_of
from perlhf.errors import UserError

MAX_ELEMENTS, MAX_VALUES = (
    16,
    4,
)  # fixed sizes, as a small network wants; few goals have more values
KINDS = (
    "click", "long_press", "type", "scroll up", "scroll down", "scroll left", "scroll right", "back", "home",
    "open_app", "wait", "done", "infeasible",
)  # fmt: skip
NUMBER = {kind: number for number, kind in enumerate(KINDS)}
SHAPE = (len(KINDS), MAX_ELEMENTS, MAX_VALUES)
_POINTING = ("click", "long_press")
_SEPARATOR = re.compile(r"[,:]\s*")


class NotInNumbersError(UserError):
    """An action that three numbers cannot say, such as typing what is no value of the goal."""


def kind_number(response: str) -> int | None:
    """Returns the number of the kind of an action given as text; None for what is no action of `KINDS`."""
    kind, _, inside = response.partition("(")
    return NUMBER.get(f"scroll {inside[:-1]}" if kind == "scroll" else kind)


def from_numbers(
    numbers: Sequence[int] | np.ndarray, screen: Screen, values: Sequence[str], titles: Sequence[str]
) -> Action:
    """Returns the action that three numbers stand for.

    Args:
        numbers: of the kind, of the element from 0, of the value from 0.
        screen: that is shown.
        values: of the goal. A number beyond the last types nothing, and so empties the field.
        titles: of the installed apps, from which `open_app` takes the one of the element's number.
    """
    kind, element, slot = KINDS[int(numbers[0])], int(numbers[1]), int(numbers[2])
    if kind in _POINTING:
        return Action(kind, element + 1)
    if kind == "type":
        return Action(kind, element + 1, values[slot] if slot < len(values) else "")
    if kind == "open_app":
        return Action(kind, 0, titles[element] if element < len(titles) else "")
    if kind == "done":
        return Action(kind, 0, answer(screen.elements[element], slot) if element < len(screen.elements) else "")
    if kind == "infeasible":
        return Action(kind, 0, "it cannot be done")
    name, _, direction = kind.partition(" ")
    return Action(name, 0, direction)


def answer(element: Element, part: int) -> str:
    """Returns the answer that pointing at an element gives: its label, or what was typed into it where it is a field.

    Args:
        element: that is pointed at.
        part: 0 for all of it, 1 for what is behind its first comma or colon, 2 for what is behind its first word, 3
            for what is in front of its first comma or colon. All of it where there is none.
    """
    said = element.text if element.editable else element.label
    if part == 2:
        return said.partition(" ")[2] or said
    pieces = _SEPARATOR.split(said, maxsplit=1) if part else [said]
    return (pieces[0] if part == 3 else pieces[-1]) or said


def to_numbers(action: Action, screen: Screen, values: Sequence[str], titles: Sequence[str]) -> np.ndarray:
    """Returns the inverse of `from_numbers`, (3,) int64; what is not needed is 0, so that a `done` without an answer
    may come back with one.

    Raises:
        NotInNumbersError: there are none for it.
    """
    element, slot = max(0, action.element - 1), 0
    kind = f"scroll {action.text}" if action.kind == "scroll" else action.kind
    if kind == "type":
        slot = _found(action, values)
    elif kind == "open_app":
        element = _found(action, titles)
        if element >= len(screen.elements):
            kind, element = "home", 0  # such a number is masked here; the home screen has an element for each app
    elif kind == "done" and action.text:
        element, slot = _pointing_at(action, screen)
    if element >= MAX_ELEMENTS or slot >= MAX_VALUES:
        raise NotInNumbersError(
            f"{action} is beyond the {MAX_ELEMENTS} elements and {MAX_VALUES} values that have numbers."
        )
    return np.array([NUMBER[kind], element, slot], np.int64)


def _found(action: Action, known: Sequence[str]) -> int:
    if action.text not in known:
        raise NotInNumbersError(f"{action} has no numbers: its text is none of {', '.join(known) or 'no values'}.")
    return list(known).index(action.text)


def _pointing_at(action: Action, screen: Screen) -> tuple[int, int]:
    """Returns the element and the part of its label that give an answer."""
    wanted = plain(action.text)
    for part in range(MAX_VALUES):
        for number, element in enumerate(screen.elements[:MAX_ELEMENTS]):
            if plain(answer(element, part)) == wanted:
                return number, part
    raise NotInNumbersError(f"{action} has no numbers: no element of the screen says it.")


def masks(screen: Screen, values: Sequence[str]) -> np.ndarray:
    """Returns which numbers may have an effect, (13 + 16 + 4,) bool: of kinds, then elements, then values.

    Each of the three by itself: a click may still meet an element that takes none. An element is allowed if it is
    there, a value if it is there or is the part of some label.
    """
    elements = screen.elements[:MAX_ELEMENTS]
    possible = np.zeros(sum(SHAPE), np.bool_)
    possible[: len(KINDS)] = [_possible(kind, screen, values) for kind in KINDS]
    possible[len(KINDS) : len(KINDS) + max(1, len(elements))] = True
    for slot in range(MAX_VALUES):
        parted = any(answer(element, slot) != answer(element, 0) for element in elements)
        possible[len(KINDS) + MAX_ELEMENTS + slot] = slot == 0 or slot < len(values) or parted
    return possible


def _possible(kind: str, screen: Screen, values: Sequence[str]) -> bool:
    """Returns whether an action of this kind may have an effect."""
    elements = screen.elements[:MAX_ELEMENTS]
    if kind == "click":
        return any(e.clickable for e in elements)
    if kind == "long_press":
        return any(e.long_clickable for e in elements)
    if kind == "type":
        return bool(values) and any(e.editable for e in elements)
    if kind in ("scroll left", "scroll right"):
        return any(e.kind == "tab" for e in elements)
    if kind in ("scroll up", "scroll down"):
        return screen.above if kind == "scroll up" else screen.below
    if kind in ("back", "home"):
        return screen.app != app_of(HOME).title or any(part.kind == "dialog" for part in screen.parts)
    return True
