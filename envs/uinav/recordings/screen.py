"""Chooses what of a recorded screen is shown, and how."""

import re
from collections.abc import Sequence

from envs.uinav.interface.screen import HEIGHT, WIDTH, Box, Element, Screen, reacts
from envs.uinav.recordings.trajectory import Shot, area

_LONGEST = 120  # characters of an element's text in a prompt
_WORDS = re.compile(r"\w+")


def shown(shot: Shot, goal: str, max_elements: int) -> tuple[int, ...]:
    """Chooses the elements of a screen that are shown, by index, in reading order; the recorded action plays no part.

    All that can be seen and that reacts or says something. Where these are too many, first those stay that share a word
    with the goal, can be edited or have the focus, then those that react and say something, then those that say
    something; of the same rank those that come first.
    """
    words = set(_WORDS.findall(goal.casefold()))
    seen = [i for i, element in enumerate(shot.elements) if _visible(element, shot)]
    if len(seen) > max_elements:
        seen.sort(key=lambda i: _rank(shot.elements[i], words))
        seen = sorted(seen[:max_elements])
    return tuple(seen)


def _visible(element: Element, shot: Shot) -> bool:
    x, y = element.box.middle
    inside = 0 <= x < shot.width and 0 <= y < shot.height and area(element) > 0
    return inside and bool(reacts(element) or element.label.strip())


def _rank(element: Element, words: set[str]) -> int:
    said = f"{element.text} {element.description}".casefold()
    if element.editable or element.focused or words & set(_WORDS.findall(said)):
        return 0
    if not said.strip():
        return 3
    return 1 if reacts(element) else 2


def on_canvas(element: Element, shot: Shot) -> Element:
    """Returns an element with its box on the canvas of 288 x 512 pixels, and its texts on one line each."""
    left, top, right, bottom = element.box
    across, down = WIDTH / shot.width, HEIGHT / shot.height
    left, right = (max(0, min(WIDTH, round(x * across))) for x in (left, right))
    top, bottom = (max(0, min(HEIGHT, round(y * down))) for y in (top, bottom))
    box = Box(left, top, max(right, left + 1), max(bottom, top + 1))
    return element._replace(text=_line(element.text), description=_description(element), box=box)


def screen_of(shot: Shot, numbers: Sequence[int]) -> Screen:
    """Returns the elements of these numbers as a screen, on the canvas of 288 x 512 pixels."""
    elements = tuple(on_canvas(shot.elements[i], shot) for i in numbers)
    page = Element("list", "", "", "", Box(0, 0, WIDTH, HEIGHT), scrollable=True, children=elements)
    return Screen(shot.app or "Page", shot.title, (page,), elements, shot.above, shot.below, shot.notice)


def _line(text: str) -> str:
    """Returns a text on one line, and not too long for it."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _description(element: Element) -> str:
    """Returns the purpose of the element; its name among the page's, "send_button", where nothing else says so."""
    named = re.split(r"[:/]", element.resource_id)[-1].replace("_", " ")
    return _line(element.description or ("" if element.text else named))


def label_of(element: Element) -> str:
    """Returns the label of the element in a prompt."""
    return _description(element) or _line(element.text)
