"""Tells where the words of a screen stand on its picture, as the sprites write them; for who learns to read them."""

import re
from collections.abc import Iterator

from envs.lesson import Word
from envs.uinav.drawing import lettering
from envs.uinav.drawing.appearance import LABEL, SMALL, fitting, split_label
from envs.uinav.drawing.sprites import MARGIN
from envs.uinav.interface.screen import Element, Screen

# From the left edge of an element to its words, pixels, where they begin there.
_LEFT = {"item": MARGIN + 40, "toggle": MARGIN, "check": MARGIN + 30, "option": MARGIN + 28, "text": MARGIN}
_CENTRED = {"button": 24, "tab": 8}  # pixels of its width that its words leave free
_FIELD = 14  # likewise, of the label of an empty field


def words_on(screen: Screen, density: float = 1.0, marks: bool = False) -> list[Word]:
    """Returns the words that can be read, and the icons by their names: those of elements that can be pointed at.

    What is typed into fields and what a dialog asks is left out, and lines that are cut or broken.

    Args:
        screen: that is drawn.
        density: pixels of the picture to a pixel of the screen.
        marks: whether the numbers of the elements are on it.
    """
    asked = "text" if screen.parts and screen.parts[-1].kind == "dialog" else ""
    found = []
    for number, element in enumerate(screen.elements, 1):
        x, y = element.box.middle
        touch, mark = (density * (x + 0.5), density * (y + 0.5)), number if marks else 0
        words = list(_words_of(element)) if element.kind != asked else []
        for text, left, right, middle, *_ in [*words, _mark(number, element)] if marks else words:
            left, right, middle = (round(density * pixel) for pixel in (left, right, middle))
            found.append(Word(text, left, right, middle, touch, mark))
    return found


def _mark(number: int, element: Element) -> Word:
    left, top = max(0, element.box.left - 10) + 4, max(0, element.box.top - 4)
    return Word(str(number), left, left + 6 * len(str(number)), top + 7)


def _words_of(element: Element) -> Iterator[Word]:
    kind, (left, top, right, bottom) = element.kind, element.box
    middle, label = (top + bottom) // 2, element.text or element.description
    if kind == "icon" and element.description:
        x, _ = element.box.middle
        yield Word(element.description.split()[0], x - 8, x + 8, middle)
    elif kind in _CENTRED:
        size = fitting(label, right - left - _CENTRED[kind])
        wide = lettering.width(lettering.clean(label), size)
        yield from _in_line(label, (left + right - wide) // 2, right, middle, size)
    elif kind == "field" and not element.text:
        yield from _in_line(label, left + _FIELD, right - _FIELD, middle + 2, LABEL)
    elif kind in _LEFT:
        head, rest = (label, "") if kind == "text" else split_label(label)
        yield from _in_line(head, left + _LEFT[kind], right, middle - 8 * bool(rest), LABEL)
        yield from _in_line(rest, left + _LEFT[kind], right, middle + 9, SMALL)


def _in_line(text: str, left: int, right: int, middle: int, size: int) -> Iterator[Word]:
    """Yields the words of a line, unless it is longer than its room."""
    text = lettering.clean(text)
    if left + lettering.width(text, size) > right:
        return
    for found in re.finditer(r"\S+", text):
        start, end = (left + lettering.width(text[:at], size) for at in found.span())
        yield Word(found[0], start, end, middle)
