"""Draws what a page shows beside its elements: a map, the cover of a song, a picture of what is sold.

They follow from the words on the page alone, so that a place looks the same whenever it is shown. No element is in them
and nothing can be tapped there: what a policy has to know stands in words.
"""

from functools import lru_cache
from itertools import pairwise
from math import sin
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from envs.font import open_font
from envs.uinav.drawing.glyphs import glyph
from envs.uinav.drawing.paint import blank, inset, mask_of, slab, stamp
from envs.uinav.drawing.palette import BLACK, WHITE, hashed, mix, number_of, theme_of, tone
from envs.uinav.interface.screen import Element, Screen

_FINE = 2  # pixels that are drawn for one of a picture
_LEAST, _MOST = 110, 190  # rows of an empty page that are worth a picture, and of one that is not a map
_GAP, _CORNER = 10, 14  # pixels around a picture, and of the radius of its corners
# Of a map: land, streets, blocks of houses, water, parks.
_DAY = ((240, 238, 230), WHITE, (228, 225, 215), (172, 212, 238), (196, 226, 180))
_NIGHT = ((36, 40, 46), (66, 72, 80), (48, 53, 60), (30, 58, 84), (36, 62, 46))
_WAY, _PIN = (38, 110, 220), (214, 54, 46)
_TOWNS, _TOWN = 6, (300, 440)  # how many there are, and their pixels
_THINGS = {
    "kettle": "🫖", "mug": "☕", "pan": "🍳", "teapot": "🫖", "toaster": "🍞",
    "shirt": "👕", "jacket": "🧥", "scarf": "🧣", "sweater": "👚", "coat": "🧥",
    "lamp": "💡", "rug": "🧶", "pillow": "🛏", "clock": "⏰", "blanket": "🛏",
    "spade": "⛏", "bench": "🪑", "hose": "🚿", "parasol": "⛱", "planter": "🪴",
    "helmet": "⛑", "racket": "🎾", "skateboard": "🛹", "kayak": "🛶", "tent": "⛺",
    "suitcase": "🧳", "backpack": "🎒", "umbrella": "☂", "wallet": "👛", "pouch": "👝",
}  # fmt: skip


def illustrate(canvas: np.ndarray, screen: Screen, rows: Element) -> None:
    """Draws a picture below the rows of a page, in place, if the page has one and it is not scrolled.

    Args:
        canvas: (H, W, 3) uint8.
        screen: what is drawn.
        rows: its list, whose labels tell what page it is.
    """
    app, title, theme = screen.app, screen.title, screen.theme
    if app not in ("Maps", "Music", "Shop") or not rows.children or screen.above or screen.below:
        return
    top, width = max([row.box.bottom for row in rows.children]), canvas.shape[1]
    room = rows.box.bottom - top - 2 * _GAP
    if room < _LEAST:
        return
    labels = [row.label for row in rows.children]
    if app == "Maps":
        to = next((label[3:] for label in labels if label.startswith("To ")), "")
        place = to or (title if any(label.startswith("Distance ") for label in labels) else "")
        picture = street_map(place, min(width - 2 * _GAP, _TOWN[0] - 1), min(room, _TOWN[1] - 1), theme, bool(to))
    elif app == "Music" and any(label.startswith("Artist ") for label in labels):
        song = labels[0] if title == "Now playing" else title
        picture = cover(song, min(room, _MOST))
    elif app == "Shop" and any(label.startswith("Price ") for label in labels):
        picture = thing(title, min(room, _MOST), theme)
    else:
        return
    inset(canvas, picture, _CORNER, (width - picture.shape[1]) // 2, top + _GAP)


def thumbnail(app: str, name: str, rest: str, size: int, theme: str) -> np.ndarray | None:
    """Returns the picture in front of a row of a list, (size, size, 3); None where a letter stands there."""
    if app == "Music" and rest[:1].isdigit():
        return cover(name, size)
    if app == "Shop" and thing_of(name):
        return thing(name, size, theme)
    return None


def thing_of(name: str) -> str:
    """Returns the sign of a thing that is sold, by the last word of its name; "" where there is none."""
    return _THINGS.get(name.rpartition(" ")[2], "")


@lru_cache(maxsize=64)
def street_map(name: str, width: int, height: int, theme: str, route: bool) -> np.ndarray:
    """Returns a map around a place, "" for none, and with `route` of the way there, (height, width, 3).

    It is a part of one of a few towns, at most 299 pixels wide and 439 high, since to draw one takes milliseconds.
    """
    number = number_of(name)
    town, columns, rows = _town(number % _TOWNS, theme)
    left, top = number // 7 % (_TOWN[0] - width), number // 11 % (_TOWN[1] - height)
    canvas = town[top : top + height, left : left + width].copy()
    x = _nearest([column - left for column in columns], width * (0.35 + 0.4 * (number % 101) / 100))
    y = _nearest([row - top for row in rows], height * 0.4)
    if route:
        start = _nearest([column - left for column in columns], width * 0.12)
        corner = _nearest([row - top for row in rows], height * 0.85)
        stamp(canvas, slab(x - start + 5, 5, 2.5), start - 2, corner - 2, _WAY)
        stamp(canvas, slab(5, corner - y + 5, 2.5), x - 2, y - 2, _WAY)
        stamp(canvas, slab(13, 13, 6.5), start - 6, corner - 6, WHITE)
        stamp(canvas, slab(9, 9, 4.5), start - 4, corner - 4, _WAY)
    if name:
        stamp(canvas, glyph("place", 28), x - 14, y - 26, _PIN)
    canvas.flags.writeable = False
    return canvas


@lru_cache(maxsize=2 * _TOWNS)
def _town(number: int, theme: str) -> tuple[np.ndarray, list[int], list[int]]:
    """Returns the streets of a town from above, and where the columns and rows of its streets are."""
    rng, (width, height) = Random(number), _TOWN
    land, street, block, water, park = _NIGHT if theme == "dark" else _DAY
    image = Image.new("RGB", (width * _FINE, height * _FINE), land)
    pen = ImageDraw.Draw(image)
    columns, rows = _cuts(rng, width), _cuts(rng, height)
    for left, right in pairwise(columns):
        for top, bottom in pairwise(rows):
            fill = park if rng.random() < 0.16 else block if rng.random() < 0.7 else land
            pen.rounded_rectangle([v * _FINE for v in (left + 4, top + 4, right - 4, bottom - 4)], 3 * _FINE, fill=fill)
    for at in columns:
        pen.line([at * _FINE, 0, at * _FINE, height * _FINE], fill=street, width=5 * _FINE)
    for at in rows:
        pen.line([0, at * _FINE, width * _FINE, at * _FINE], fill=street, width=5 * _FINE)
    for level in (0.25, 0.75):  # a river, twice, so that most parts of the town have it
        bend = [(x, height * level + 14 * sin(x / 40 + number) + x * 0.1) for x in range(-10, width + 20, 6)]
        pen.line([(x * _FINE, y * _FINE) for x, y in bend], fill=water, width=13 * _FINE, joint="curve")
    return np.asarray(image.reduce(_FINE)), columns, rows


def _cuts(rng: Random, length: int) -> list[int]:
    """Returns where streets cross, from edge to edge."""
    cuts = [round(-10 * rng.random())]
    while cuts[-1] < length:
        cuts.append(cuts[-1] + round(26 + 30 * rng.random()))
    return cuts


def _nearest(cuts: list[int], wanted: float) -> int:
    """Returns the street nearest to a point."""
    return min(cuts, key=lambda cut: abs(cut - wanted))


@lru_cache(maxsize=256)
def cover(name: str, size: int) -> np.ndarray:
    """Returns the cover of a song, a few shapes in three colours, (size, size, 3)."""
    rng, side = Random(name), size * _FINE
    hue = rng.random()
    ground, first, second = tone(hue), mix(tone((hue + 0.12) % 1), WHITE, 0.45), mix(tone((hue + 0.5) % 1), WHITE, 0.2)
    image = Image.new("RGB", (side, side), ground)
    pen = ImageDraw.Draw(image)
    kind = rng.randrange(4)
    if kind == 0:  # circles within each other
        x, y = side * (0.3 + 0.4 * rng.random()), side * (0.3 + 0.4 * rng.random())
        for i in range(5):
            radius = side * (0.52 - 0.11 * i)
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(first, ground, second)[i % 3])
    elif kind == 1:  # stripes
        step = side / 7
        for i in range(-7, 8, 2):
            pen.polygon((i * step, side, (i + 1) * step, side, (i + 8) * step, 0, (i + 7) * step, 0), fill=first)
        radius = side * 0.22
        pen.ellipse((side / 2 - radius, side / 2 - radius, side / 2 + radius, side / 2 + radius), fill=second)
    elif kind == 2:  # a sun over the sea
        radius, x = side * 0.26, side * (0.35 + 0.3 * rng.random())
        pen.ellipse((x - radius, side * 0.6 - radius, x + radius, side * 0.6 + radius), fill=second)
        for i in range(5):
            top = side * (0.6 + 0.085 * i)
            pen.rectangle((0, top, side, top + side * 0.05), fill=first)
        pen.rectangle((0, side * 0.6, side, side * 0.64), fill=mix(ground, BLACK, 0.3))
    else:  # mountains
        for i, fill in enumerate((first, second, mix(first, BLACK, 0.3))):
            x, high = side * (0.15 + 0.35 * i), side * (0.25 + 0.4 * rng.random())
            pen.polygon((x - side * 0.4, side, x, high, x + side * 0.4, side), fill=fill)
    return np.asarray(image.reduce(_FINE))


@lru_cache(maxsize=256)
def thing(name: str, size: int, theme: str) -> np.ndarray:
    """Returns what is sold, as a sign on a pale ground, (size, size, 3); a parcel where it has no sign."""
    own, page = hashed(name), theme_of(theme).page
    canvas = blank(size, size, mix(page, own, 0.3 if theme == "dark" else 0.16))
    stamp(canvas, _sign(thing_of(name) or "📦", size), 0, 0, mix(own, WHITE, 0.55) if theme == "dark" else own)
    canvas.flags.writeable = False
    return canvas


@lru_cache(maxsize=128)
def _sign(char: str, size: int) -> np.ndarray:
    """Returns the mask of a sign in the middle of a square, (size, 3 size)."""
    font = open_font(round(size * _FINE * 0.62))
    left, top, right, bottom = font.getbbox(char, anchor="ls")
    image, middle = Image.new("L", (size * _FINE, size * _FINE)), size * _FINE / 2
    at = (middle - (left + right) / 2, middle - (top + bottom) / 2)
    ImageDraw.Draw(image).text(at, char, fill=255, font=font, anchor="ls")
    return mask_of(np.asarray(image.reduce(_FINE)))
