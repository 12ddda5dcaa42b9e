"""Describes what the picture of an element depends on, and writes and paints what all such pictures share."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from envs.uinav.drawing import lettering
from envs.uinav.drawing.paint import coloured, paste, slab, stamp
from envs.uinav.drawing.palette import Colour, Theme, accent, mix, theme_of

TITLE, LABEL, SMALL, TINY = 17, 14, 12, 11  # the type scale, pixels
_FIRST = 3  # the row of a mask of letters that capitals and brackets begin at


class Appearance(NamedTuple):
    """Holds all that the picture of an element depends on.

    Attributes:
        place: the kind of the container that it is in.
        width, height: pixels, at least 1.
        others: as of an `Element` and a `Screen`.
    """

    kind: str
    text: str
    description: str
    width: int
    height: int
    focused: bool
    checked: bool | None
    enabled: bool
    place: str
    app: str
    theme: str

    @property
    def colours(self) -> Theme:
        """Returns the colours of its theme."""
        return theme_of(self.theme)

    @property
    def accent(self) -> Colour:
        """Returns the colour of its app."""
        return accent(self.app, self.theme)

    @property
    def ground(self) -> Colour:
        """Returns the colour behind it."""
        return ground_of(self.place, self.app, self.theme)

    @property
    def ink(self) -> Colour:
        """Returns the colour of its text, paler where it takes no clicks."""
        return self.colours.ink if self.enabled else mix(self.ground, self.colours.ink, 0.45)

    @property
    def label(self) -> str:
        """Returns the text that is written on it."""
        return self.text or self.description


@lru_cache(maxsize=512)
def ground_of(place: str, app: str, theme: str) -> Colour:
    """Returns the colour of a container."""
    colours = theme_of(theme)
    if place == "bar":
        return mix(colours.page, accent(app, theme), 0.13)
    return {"dialog": colours.card, "keyboard": colours.keyboard}.get(place, colours.page)


def write(
    canvas: np.ndarray,
    text: str,
    left: float,
    middle: float,
    room: float,
    ink: Colour,
    size: int = LABEL,
    bold: bool = False,
    align: float = 0.0,
    ground: Colour | None = None,
) -> int:
    """Writes a line around a row of pixels, elided to `room`, and gives its width; align 0.5 centres it, 1 ends it.

    With a `ground` nothing but this colour may be in the `size + 3` rows around the line: it is faster.
    """
    picture = None
    if ground is not None:
        taken, picture = _line(text, room, size, bold, ink, ground)
    if picture is None:
        shown, taken = _elided(text, size, room)
        mask = lettering.letters(shown, size, bold)
        stamp(canvas, mask, round(left + (room - taken) * align), lettering.top_for(middle, size), ink)
    else:
        paste(canvas, picture, round(left + (room - taken) * align), lettering.top_for(middle, size) + _FIRST)
    return taken


def _elided(text: str, size: int, room: float) -> tuple[str, int]:
    """Returns what is written of a text that has so much room, and its width."""
    shown = lettering.clean(text)
    taken = lettering.width(shown, size)
    if taken > room:
        shown = lettering.elided(shown, size, int(room))
        taken = lettering.width(shown, size)
    return shown, taken


@lru_cache(maxsize=4096)
def _line(text: str, room: float, size: int, bold: bool, ink: Colour, ground: Colour) -> tuple[int, np.ndarray | None]:
    """Returns the width of a line and its rows, (size + 3, w, 3), but for those that only a few letters reach.

    None for the rows where there is such a letter: a capital with an accent.
    """
    shown, taken = _elided(text, size, room)
    mask, last = lettering.letters(shown, size, bold), _FIRST + size + 3
    if mask[:_FIRST].any() or mask[last:].any():
        return taken, None
    return taken, coloured(mask[_FIRST:last], ink, ground)


def fitting(text: str, room: int) -> int:
    """Returns the largest size of a label at which all of the text fits, or the least."""
    shown = lettering.clean(text)
    return next((size for size in (LABEL, 13, SMALL) if lettering.width(shown, size) <= room), TINY)


def disc(canvas: np.ndarray, x: float, y: float, diameter: int, ink: Colour, strength: float = 1.0) -> None:
    """Draws a filled circle around a point."""
    stamp(canvas, slab(diameter, diameter, diameter), round(x - diameter / 2), round(y - diameter / 2), ink, strength)


def initial(text: str) -> str:
    """Returns the first letter or digit of a text, as a capital; else its first sign."""
    shown = lettering.clean(text)
    return next((c.upper()[:1] for c in shown if c.isalnum()), shown[:1])


def split_label(label: str) -> tuple[str, str]:
    """Splits a label into what comes first on a row and the rest: at the first line break, or else the first comma."""
    head, line_break, rest = label.partition("\n")
    return (head, rest) if line_break else tuple(label.partition(", ")[::2])  # type: ignore[return-value]
