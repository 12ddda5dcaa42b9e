"""Colours of the phone: two themes, and one accent for each app."""

import colorsys
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

Colour = tuple[int, int, int]  # red, green, blue from 0 to 255

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
ACCENTS = {
    "Mail": (200, 50, 62),
    "Contacts": (112, 76, 202),
    "Messages": (12, 116, 166),
    "Clock": (58, 70, 140),
    "Calendar": (10, 122, 112),
    "Settings": (92, 102, 114),
    "Notes": (150, 100, 0),
    "Shop": (178, 46, 132),
    "Search": (40, 98, 216),
    "Maps": (38, 126, 62),
    "Music": (192, 76, 16),
    "Store": (84, 118, 18),
    "Home": (58, 88, 168),
}
_LEAST_CONTRAST = 4.5  # of text on its ground: level AA of the Web Content Accessibility Guidelines


class Theme(NamedTuple):
    """The colours that are the same in all apps."""

    page: Colour
    card: Colour  # of dialogs
    ink: Colour
    faint: Colour
    line: Colour
    outline: Colour
    keyboard: Colour
    key: Colour
    toast: Colour
    toast_ink: Colour


THEMES = {
    "light": Theme(
        (252, 252, 254), (255, 255, 255), (28, 30, 36), (94, 98, 108), (230, 231, 236), (140, 144, 154),
        (226, 229, 236), (255, 255, 255), (48, 50, 56), (244, 244, 246),
    ),
    "dark": Theme(
        (20, 21, 24), (40, 42, 48), (232, 233, 238), (162, 166, 176), (44, 46, 52), (118, 122, 132),
        (32, 34, 38), (62, 65, 72), (228, 229, 234), (30, 32, 36),
    ),
}  # fmt: skip


def theme_of(name: str) -> Theme:
    """Returns the theme "dark"; for any other name the light one."""
    return THEMES["dark" if name == "dark" else "light"]


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`share` of the other colour in the one."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


@lru_cache(maxsize=256)
def hashed(name: str) -> Colour:
    """Returns a colour for anything with a name, dark enough for white text on it."""
    return tone(number_of(name) % 360 / 360)


def number_of(name: str) -> int:
    """Returns a number from 0 to 2**32 - 1 for anything with a name, the same in every process."""
    return crc32(name.encode("utf-8", "replace"))


@lru_cache(maxsize=512)
def tone(hue: float) -> Colour:
    """Returns a colour of a hue from 0 to 1, dark enough for white text on it."""
    red, green, blue = colorsys.hls_to_rgb(hue, 0.42, 0.55)
    return readable((round(red * 255), round(green * 255), round(blue * 255)), WHITE)


@lru_cache(maxsize=256)
def app_colour(app: str) -> Colour:
    """Returns the colour that an app is known by; the ground of its icon, in both themes."""
    return ACCENTS.get(app) or hashed(app)


@lru_cache(maxsize=512)
def accent(app: str, theme: str) -> Colour:
    """Returns the colour on the pages of an app: its own, in the dark theme a lighter one."""
    colours = theme_of(theme)
    own = app_colour(app)
    return readable(mix(own, WHITE, 0.45) if theme == "dark" else own, colours.card)


@lru_cache(maxsize=1024)
def readable(ink: Colour, ground: Colour) -> Colour:
    """Returns the ink, moved away from the ground until text in it can be read."""
    target = BLACK if luminance(ground) > 0.2 else WHITE
    for step in range(11):
        moved = mix(ink, target, step / 10)
        if contrast(moved, ground) >= _LEAST_CONTRAST:
            return moved
    return target


@lru_cache(maxsize=1024)
def ink_on(ground: Colour) -> Colour:
    """White or near black, whichever can be read better on the ground."""
    dark = THEMES["light"].ink
    return WHITE if contrast(WHITE, ground) >= contrast(dark, ground) else dark


def luminance(colour: Colour) -> float:
    """Returns how bright a colour looks, from 0 (black) to 1 (white)."""
    linear = [(c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4) for c in (v / 255 for v in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Colour, other: Colour) -> float:
    """Returns the ratio of their brightness, from 1 (the same) to 21 (black and white)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
