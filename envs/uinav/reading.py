"""Draws pages full of words and icons, as the phone draws them, for a model that learns to read before anything else.

A screen says a dozen words. Here each page is full: lines, rows, buttons, tabs and icons from top to bottom, in the
letters and colours of all apps, with the words that screens say.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from envs.lesson import Lesson
from envs.uinav.drawing import lettering
from envs.uinav.drawing.picture import draw_screen
from envs.uinav.drawing.words import words_on
from envs.uinav.interface.screen import Box, Element, Screen
from envs.uinav.observations.picture import resized
from envs.uinav.task import UINav

_TOP, _BOTTOM, _LINE = 56, 372, 16  # rows of pixels that pages are filled between, and of a line
_HEIGHTS = {"text": _LINE, "item": 44, "button": 40, "toggle": 40, "tab": 36, "icon": 34}
_SHARES = (0.62, 0.12, 0.06, 0.06, 0.04, 0.1)  # of the rows, in this order
_ICON, _MOST_IN_A_ROW = 34, 5  # pixels; buttons, tabs and icons
_AS_OFTEN = 0.5  # share of the words that are drawn as often as screens say them; the others are drawn evenly
_MARKED, _DARK, _ON = 0.3, 0.4, 0.3


class Vocabulary(NamedTuple):
    """What screens say.

    Attributes:
        words: each once, the commonest first.
        shares: how often each is said; they sum to 1.
        icons: names of icons.
    """

    words: Sequence[str]
    shares: np.ndarray
    icons: Sequence[str]

    @classmethod
    def of(cls, screens: Iterator[Screen]) -> "Vocabulary":
        """Counts the words of screens, and collects the names of icons."""
        said: Counter[str] = Counter()
        icons: dict[str, None] = {}
        for screen in screens:
            for element in screen.elements:
                if element.kind == "icon":
                    icons[element.description] = None
                else:
                    said.update(element.label.replace(",", "").split())
        words, counts = zip(*said.most_common(), strict=True)
        return cls(words, np.array(counts) / sum(counts), list(icons))

    def draw(self, rng: np.random.Generator, count: int) -> list[str]:
        """Returns words."""
        often = rng.choice(len(self.words), count, p=self.shares)
        evenly = rng.integers(len(self.words), size=count)
        return [self.words[i] for i in np.where(rng.random(count) < _AS_OFTEN, often, evenly)]


def pages_of_words(
    said: Vocabulary, rng: np.random.Generator, size: tuple[int, int], density: float
) -> Iterator[Lesson]:
    """Endless pictures of pages full of words, and where these stand; nothing is asked about them.

    Args:
        said: what is written on them.
        rng: of all draws.
        size: width and height of the pictures, pixels.
        density: pixels of the picture to a pixel of the page.
    """
    apps = UINav().device.titles
    width, height = (round(side / density) for side in size)
    while True:
        elements = tuple(_rows(said, rng, width))
        theme, marks = "dark" if rng.random() < _DARK else "light", rng.random() < _MARKED
        app = apps[int(rng.integers(len(apps)))]
        screen = Screen(app, "", (), elements, theme=theme, width=width, height=height)
        picture = resized(draw_screen(screen, marks=bool(marks)), size)
        yield Lesson(picture, [], words_on(screen, density, bool(marks)))


def _rows(said: Vocabulary, rng: np.random.Generator, width: int) -> Iterator[Element]:
    """Yields the elements of a page, from top to bottom."""
    top = _TOP + int(rng.integers(_LINE))
    while top < _BOTTOM:
        kind = list(_HEIGHTS)[rng.choice(len(_SHARES), p=_SHARES)]
        bottom = top + _HEIGHTS[kind]
        count = 1 if kind in ("text", "item", "toggle") else int(rng.integers(2, _MOST_IN_A_ROW + 1))
        for place in range(count):
            left, right = place * width // count, (place + 1) * width // count
            if kind == "icon":
                left += int(rng.integers(right - left - _ICON + 1))
                name = said.icons[int(rng.integers(len(said.icons)))]
                yield Element("icon", "", name, "", Box(left, top, left + _ICON, bottom), checked=_flag(rng))
            else:
                left += int(rng.integers(24)) if count == 1 else 0
                label = _label(said, rng, kind, right - left - (90 if kind in ("item", "toggle") else 24))
                yield Element(kind, label, "", "", Box(left, top, right, bottom), checked=_flag(rng))
        top = bottom + int(rng.integers(3))


def _flag(rng: np.random.Generator) -> bool:
    return bool(rng.random() < _ON)


def _label(said: Vocabulary, rng: np.random.Generator, kind: str, room: int) -> str:
    """Returns as many words as have room, on a row of two lines twice as many."""
    lines = [_line(said, rng, room) for _ in range(2 if kind == "item" else 1)]
    return "\n".join(lines)


def _line(said: Vocabulary, rng: np.random.Generator, room: int) -> str:
    line = ""
    for word in said.draw(rng, 8):
        longer = f"{line} {word}".strip()
        if lettering.width(lettering.clean(longer), 14) > room:
            break
        line = longer
    return line
