"""Small pictures, drawn as masks: of icon buttons, of apps, of the status and navigation bars.

Each is written as shapes on a grid of 24 x 24, with a minus before what is cut out again:

    line x y x y ...        a stroke with round ends and joints
    fill x y x y ...        a filled polygon
    disc x y r, ring x y r, arc x y r from to (degrees, clockwise from 3 o'clock)
    slab l t r b radius     a filled rectangle with round corners; box: its outline
    star x y outer inner    with five points
    spokes x y from to n    n short strokes around a point
"""

from collections.abc import Sequence
from functools import lru_cache
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

from envs.uinav.drawing.paint import mask_of

_GRID, _STROKE, _FINE = 24, 2.1, 8  # units of the grid, and pixels that are drawn for one of the picture

GLYPHS = {
    "add": "line 12 5 12 19; line 5 12 19 12",
    "archive": "slab 3.5 4 20.5 8.5 1; box 5 8.5 19 20 1.5; line 10 12.5 14 12.5",
    "attach": "arc 12 7.5 4 180 360; line 8 7.5 8 16; line 16 7.5 16 16; arc 12 16 4 0 180; line 12 9 12 16",
    "back": "line 20 12 4.5 12; line 11 5.5 4.5 12 11 18.5",
    "bell": "arc 12 10.5 5.5 180 360; line 6.5 10.5 6.5 15 5 17.5 19 17.5 17.5 15 17.5 10.5; disc 12 20.4 1.8",
    "bookmark": "line 7 4 17 4 17 20 12 16 7 20 7 4",
    "bookmark full": "line 7 4 17 4 17 20 12 16 7 20 7 4; fill 7 4 17 4 17 20 12 16 7 20",
    "calendar": "box 4 5.5 20 20 2; line 4.5 10 19.5 10; line 8 3.5 8 6; line 16 3.5 16 6",
    "call": "arc 21.5 2.5 15 107 163; fill 3.6 6 8.2 3.4 10.8 8.6 7.6 11; fill 18 20.4 20.6 15.8 15.4 13.2 13 16.4",
    "camera": "box 3.5 7 20.5 19 2; ring 12 13 3.2; fill 8 6.5 9.5 4 14.5 4 16 6.5",
    "cart": "line 3 4.5 6 4.5 8.2 15 18 15 20 8 7 8; disc 9.3 19 1.8; disc 16.7 19 1.8",
    "check": "line 5 12.5 10 17.5 19.5 7",
    "clock": "ring 12 12 8.2; line 12 7.5 12 12.4 15.2 14.2",
    "close": "line 6 6 18 18; line 18 6 6 18",
    "collapse": "line 6 15 12 9 18 15",
    "delete": "line 4.5 7 19.5 7; line 9.5 6.5 9.5 4 14.5 4 14.5 6.5; line 6.6 7.5 7.4 20 16.6 20 17.4 7.5; "
    "line 10.2 11 10.2 16.5; line 13.8 11 13.8 16.5",
    "download": "line 12 4 12 15; line 7 10.5 12 15.5 17 10.5; line 5 20 19 20",
    "edit": "line 4.5 19.5 5.2 15.5 15.8 4.9 19.1 8.2 8.5 18.8 4.5 19.5; line 13.3 7.6 16.4 10.7",
    "enter": "line 19.5 6 19.5 13 5 13; line 9.5 8.5 5 13 9.5 17.5",
    "erase": "line 8.5 6 3.5 12 8.5 18 20.5 18 20.5 6 8.5 6; line 11.5 9.8 16 14.2; line 16 9.8 11.5 14.2",
    "expand": "line 6 9 12 15 18 9",
    "filter": "line 4 7 20 7; line 7 12 17 12; line 10 17 14 17",
    "forward": "line 15 6 20 11 15 16; line 19.5 11 10 11; arc 10 16 5 180 270; line 5 16 5 18.5",
    "heart": "disc 7.8 9 4.7; disc 16.2 9 4.7; fill 4 11.5 20 11.5 12 20.5; slab 8 7.5 16 13 1; "
    "-disc 7.9 9.1 2.6; -disc 16.1 9.1 2.6; -slab 7.9 9.2 16.1 11.8 1; -fill 5.9 10.8 18.1 10.8 12 17.6",
    "heart full": "disc 7.8 9 4.7; disc 16.2 9 4.7; fill 4 11.5 20 11.5 12 20.5; slab 8 7.5 16 13 1",
    "home": "line 4 11.5 12 4.5 20 11.5; line 6.5 10 6.5 19.5 17.5 19.5 17.5 10; line 12 19 12 15",
    "info": "ring 12 12 8.4; disc 12 8 1.3; line 12 11.5 12 16.3",
    "install": "slab 4 4 11 11 2.2; slab 13 13 20 20 2.2; slab 4 13 11 20 2.2; line 16.5 4.5 16.5 10.5; "
    "line 13.5 7.5 19.5 7.5",
    "mail": "box 3.5 5.5 20.5 18.5 2; line 4.5 7.5 12 13 19.5 7.5",
    "menu": "line 4 6.5 20 6.5; line 4 12 20 12; line 4 17.5 20 17.5",
    "message": "box 3.5 4.5 20.5 16 2.5; fill 7 15 7 20.5 12.5 16",
    "mic": "slab 9 3 15 14 3; arc 12 11 6.5 0 180; line 12 18 12 20.5",
    "more": "disc 12 5.5 2; disc 12 12 2; disc 12 18.5 2",
    "next": "fill 6 6 14.5 12 6 18; slab 15.6 5.4 18.2 18.6 1",
    "orders": "box 5 3.5 19 20.5 1.5; line 8.8 8.5 15.2 8.5; line 8.8 12 15.2 12; line 8.8 15.5 12.5 15.5",
    "pause": "slab 6.8 5 10.2 19 1; slab 13.8 5 17.2 19 1",
    "person": "disc 12 8 4; slab 4.5 14 19.5 28 7; -slab 0 20 24 29 0",
    "pin": "line 8 4 16 4; line 9.5 4.5 9.5 10 6.8 14 17.2 14 14.5 10 14.5 4.5; line 12 14.5 12 20.5",
    "pin full": "line 8 4 16 4; line 9.5 4.5 9.5 10 6.8 14 17.2 14 14.5 10 14.5 4.5; line 12 14.5 12 20.5; "
    "fill 9.5 4 14.5 4 14.5 10 17.2 14 6.8 14 9.5 10",
    "place": "disc 12 9.4 6.6; fill 6.1 12.4 17.9 12.4 12 21.8; -disc 12 9.4 2.6",
    "play": "fill 8 5 19.5 12 8 19",
    "previous": "fill 18 6 9.5 12 18 18; slab 5.8 5.4 8.4 18.6 1",
    "refresh": "arc 12 12 7.4 20 315; fill 19.8 3.6 20.6 10.4 13.9 9",
    "reply": "line 9 6 4 11 9 16; line 4.5 11 14 11; arc 14 16 5 270 360; line 19 16 19 18.5",
    "search": "ring 10.5 10.5 6; line 15 15 20 20",
    "send": "fill 3 4 21.5 12 3 20 3 13.7 14 12 3 10.3",
    "settings": "ring 12 12 5.6; spokes 12 12 6.4 8.6 8; disc 12 12 1.6",
    "share": "disc 17.5 5.5 2.8; disc 6.5 12 2.8; disc 17.5 18.5 2.8; line 17.5 5.5 6.5 12 17.5 18.5",
    "shift": "line 12 4.5 5 12 9 12 9 18.5 15 18.5 15 12 19 12 12 4.5",
    "sort": "line 8 5 8 19; line 4.5 15.5 8 19 11.5 15.5; line 16 5 16 19; line 12.5 8.5 16 5 19.5 8.5",
    "star": "star 12 12.9 10 4.5; -star 12 12.9 6 2.6",
    "star full": "star 12 12.9 10 4.5",
    "stop": "slab 6 6 18 18 2",
    "undo": "line 8 4.5 4 8.5 8 12.5; line 4.5 8.5 14 8.5; arc 14 13.5 5 270 450; line 14 18.5 8 18.5",
    "nav back": "line 17 5 7 12 17 19 17 5",
    "nav home": "ring 12 12 7.6",
    "nav recents": "box 5 5 19 19 1.5",
    "wifi": "arc 12 19 14 222 318; arc 12 19 9 222 318; disc 12 18.5 2.6",
    "battery": "box 2.5 6.8 19 17.2 2; slab 4.8 9 14 15 .5; slab 20.6 9.6 22.8 14.4 1",
    # Of the apps.
    "app Mail": "slab 2.5 5 21.5 19 2.6; -line 4.8 8 12 13.2 19.2 8",
    "app Contacts": "disc 12 7.8 4.4; slab 3.8 14 20.2 30 8; -slab 0 20.5 24 31 0",
    "app Messages": "slab 2.5 4 21.5 16.8 4; fill 6.5 14.5 6.5 21.5 13.5 16; -disc 7.6 10.4 1.5; -disc 12 10.4 1.5; "
    "-disc 16.4 10.4 1.5",
    "app Clock": "disc 12 12 9.6; -line 12 6.6 12 12.4 15.8 14.8",
    "app Calendar": "slab 3 4.5 21 21 2.8; slab 6.8 2.4 9 7 1.1; slab 15 2.4 17.2 7 1.1; -slab 5.2 9.6 18.8 18.8 1; "
    "slab 7 11.2 9.6 13.6 .5; slab 10.8 11.2 13.4 13.6 .5; slab 14.6 11.2 17.2 13.6 .5; slab 7 15 9.6 17.4 .5; "
    "slab 10.8 15 13.4 17.4 .5",
    "app Settings": "disc 12 12 7.4; spokes 12 12 7 9.4 8; -disc 12 12 3.2",
    "app Notes": "slab 4.5 2.5 19.5 21.5 2.6; -line 8.2 8 15.8 8; -line 8.2 12 15.8 12; -line 8.2 16 12.4 16",
    "app Shop": "slab 3.8 8 20.2 21.2 2.6; arc 12 8.2 4.2 180 360; -arc 12 11.2 3.6 10 170",
    "app Search": "ring 10.3 10.3 6.6; line 15.4 15.4 20.6 20.6; line 15.8 15 21 20.2; line 15 15.8 20.2 21",
    "app Maps": "disc 12 9.4 7.2; fill 5.4 12.4 18.6 12.4 12 22.5; -disc 12 9.4 2.8",
    "app Music": "line 9.6 17.4 9.6 5.6 18.6 4 18.6 15.6; line 9.6 7.4 18.6 5.8; disc 7 17.6 3.1; disc 16 15.8 3.1",
    "app Store": "slab 3 3 11 11 2.4; slab 13 13 21 21 2.4; slab 3 13 11 21 2.4; line 17 3.8 17 10.2; "
    "line 13.8 7 20.2 7",
}

# Other words for a glyph in the name of an icon.
_ALSO = {
    "add": "create new",
    "attach": "attachment",
    "back": "up",
    "bell": "reminder",
    "call": "phone",
    "camera": "photo",
    "check": "confirm done ok save",
    "clock": "alarm",
    "close": "cancel clear dismiss",
    "delete": "remove trash",
    "edit": "compose write",
    "heart": "favorite favourite like",
    "heart full": "unfavorite unlike",
    "message": "text",
    "mic": "record voice",
    "more": "options",
    "next": "skip",
    "orders": "history list receipt",
    "person": "contact profile",
    "pin full": "unpin",
    "place": "directions location",
    "play": "start",
    "refresh": "update",
    "search": "find",
    "send": "go",
    "sort": "shuffle",
    "star full": "unstar",
    "undo": "reset",
}
_NAMES = {word: name for name, words in _ALSO.items() for word in words.split()}
_NAMES |= {"save bookmark": "bookmark", "remove bookmark": "bookmark full"}
_Numbers = Sequence[float]


@lru_cache(maxsize=1024)
def glyph_name(description: str) -> str:
    """Returns the name of the glyph for an icon of this description, "" where there is none: "Add contact" is "add"."""
    words = description.casefold().split()
    for word in [description.casefold(), *words]:
        name = word if word in GLYPHS else _NAMES.get(word, "")
        if name:
            return name
    return ""


@lru_cache(maxsize=256)
def glyph(name: str, size: int) -> np.ndarray:
    """Returns the mask of a glyph, see `envs.uinav.drawing.paint`."""
    picture = Image.new("L", (size * _FINE, size * _FINE))
    draw = ImageDraw.Draw(picture)
    unit = size * _FINE / _GRID
    for shape in GLYPHS[name].split(";"):
        word, *numbers = shape.split()
        scaled = [float(number) for number in numbers]
        _SHAPES[word.removeprefix("-")](draw, scaled, unit, 0 if word.startswith("-") else 255)
    return mask_of(np.asarray(picture.reduce(_FINE)))


def _line(draw: ImageDraw.ImageDraw, numbers: _Numbers, unit: float, ink: int) -> None:
    points = [(x * unit, y * unit) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
    draw.line(points, fill=ink, width=round(_STROKE * unit))
    for x, y in zip(numbers[::2], numbers[1::2], strict=True):
        _disc(draw, (x, y, _STROKE / 2), unit, ink)


def _fill(draw: ImageDraw.ImageDraw, numbers: _Numbers, unit: float, ink: int) -> None:
    draw.polygon([number * unit for number in numbers], fill=ink)


def _disc(draw: ImageDraw.ImageDraw, numbers: _Numbers, unit: float, ink: int) -> None:
    x, y, r = numbers
    draw.ellipse(((x - r) * unit, (y - r) * unit, (x + r) * unit, (y + r) * unit), fill=ink)


def _arc(draw: ImageDraw.ImageDraw, numbers: _Numbers, unit: float, ink: int) -> None:
    x, y, r, start, end = numbers
    steps = max(8, int((end - start) / 6))
    angles = [(start + (end - start) * i / steps) * pi / 180 for i in range(steps + 1)]
    _line(draw, [n for a in angles for n in (x + r * cos(a), y + r * sin(a))], unit, ink)


def _ring(draw: ImageDraw.ImageDraw, numbers: _Numbers, unit: float, ink: int) -> None:
    _arc(draw, (*numbers, 0, 360), unit, ink)


def _slab(draw: ImageDraw.ImageDraw, numbers: _Numbers, unit: float, ink: int) -> None:
    left, top, right, bottom, radius = (number * unit for number in numbers)
    draw.rounded_rectangle((left, top, right - 1, bottom - 1), radius, fill=ink)


def _box(draw: ImageDraw.ImageDraw, numbers: _Numbers, unit: float, ink: int) -> None:
    """Draws the outline, with the middle of its stroke on the rectangle."""
    left, top, right, bottom, radius = numbers
    half = _STROKE / 2
    bounds = [n * unit for n in (left - half, top - half, right + half, bottom + half)]
    draw.rounded_rectangle(bounds, (radius + half) * unit, outline=ink, width=round(_STROKE * unit))


def _star(draw: ImageDraw.ImageDraw, numbers: _Numbers, unit: float, ink: int) -> None:
    x, y, *radii = numbers
    corners = [(radii[i % 2], (i / 5 - 0.5) * pi) for i in range(10)]
    draw.polygon([((x + r * cos(a)) * unit, (y + r * sin(a)) * unit) for r, a in corners], fill=ink)


def _spokes(draw: ImageDraw.ImageDraw, numbers: _Numbers, unit: float, ink: int) -> None:
    x, y, start, end, count = numbers
    for i in range(int(count)):
        across, down = cos(2 * pi * i / count), sin(2 * pi * i / count)
        _line(draw, (x + start * across, y + start * down, x + end * across, y + end * down), unit, ink)


_SHAPES = {
    "line": _line,
    "fill": _fill,
    "disc": _disc,
    "ring": _ring,
    "arc": _arc,
    "slab": _slab,
    "box": _box,
    "star": _star,
    "spokes": _spokes,
}
