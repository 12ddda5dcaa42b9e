"""Paints charts and screens, and holds the colours of all pictures."""

import math
from collections.abc import Callable
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

from envs.vqav2.scenes.charts import EIGHTHS, HIGHEST, BarChart, PieChart
from envs.vqav2.scenes.scene import UNITS
from envs.vqav2.scenes.screens import Row, Screen

RGB = tuple[int, int, int]
Box = tuple[float, float, float, float]
PALETTE: dict[str, RGB] = {
    "red": (214, 40, 40),
    "orange": (246, 130, 16),
    "yellow": (252, 220, 56),
    "green": (44, 160, 64),
    "blue": (38, 98, 216),
    "purple": (126, 58, 176),
    "pink": (246, 134, 192),
    "black": (44, 46, 52),
}
_INK, _WHITE, _LINE, _RAIL, _BAR = (34, 36, 42), (255, 255, 255), (216, 216, 212), (228, 228, 226), (88, 98, 118)
_PAPER = (248, 246, 241)
_FINE = 4  # drawn at so many times the size, and scaled down; text is drawn last, at its own size, where it is sharpest
_LEFT, _FLOOR, _STEP = 10.0, 60.5, 8.7  # of the bars, in units: the axis, the bottom line, the height of 1
_MIDDLE, _PIE = 32.0, 27.0  # of a pie, in units: its centre and its radius
_ARC = 5.0  # degrees of the edges that make a circle
_TITLE, _ROW = 11.0, 13.0  # heights on a screen, in units


def mix(color: RGB, other: RGB, share: float) -> RGB:
    """Returns a colour with a share in [0, 1] of another."""
    red, green, blue = (round(a * (1 - share) + b * share) for a, b in zip(color, other, strict=True))
    return red, green, blue


class _Canvas:
    """Draws in units of 1/64 of the side; `image` scales down and writes the texts."""

    def __init__(self, size: int, paper: RGB) -> None:
        self._size = size
        self._scale = size / UNITS
        self._fine = self._scale * _FINE
        self._image = Image.new("RGB", (size * _FINE, size * _FINE), paper)
        self._draw = ImageDraw.Draw(self._image)
        self._texts: list[tuple[float, float, str, RGB, float, str]] = []

    def box(self, box: Box, fill: RGB, radius: float = 0.0, outline: RGB | None = None, width: float = 0.0) -> None:
        place = self._pixels(box)
        self._draw.rounded_rectangle(place, radius * self._fine, fill, outline, round(width * self._fine))

    def disc(self, x: float, y: float, radius: float, fill: RGB) -> None:
        self._draw.ellipse(self._pixels((x - radius, y - radius, x + radius, y + radius)), fill)

    def slice(self, x: float, y: float, radius: float, angles: tuple[float, float], fill: RGB) -> None:
        """Draws a sector between two angles in degrees, as a polygon: Pillow draws it far faster than a slice."""
        start, end = angles
        steps = range(math.ceil((end - start) / _ARC) + 1)
        arc = [math.radians(min(start + _ARC * i, end)) for i in steps]
        points = [(x, y), *((x + radius * math.cos(a), y + radius * math.sin(a)) for a in arc)]
        self._draw.polygon([(px * self._fine, py * self._fine) for px, py in points], fill)

    def line(self, points: list[tuple[float, float]], fill: RGB, width: float) -> None:
        pixels = [(x * self._fine, y * self._fine) for x, y in points]
        self._draw.line(pixels, fill, max(1, round(width * self._fine)), joint="curve")

    def text(self, x: float, y: float, text: str, fill: RGB, height: float, anchor: str) -> None:
        self._texts.append((x, y, text, fill, height, anchor))

    def image(self) -> Image.Image:
        image = self._image.reduce(_FINE)
        for x, y, text, fill, height, anchor in self._texts:
            letters, left, top = _lettering(text, round(height * self._scale), anchor)
            image.paste(fill, (round(x * self._scale) + left, round(y * self._scale) + top), letters)
        return image

    def _pixels(self, box: Box) -> Box:
        left, top, right, bottom = (part * self._fine for part in box)
        return left, top, right - 1, bottom - 1


@lru_cache(maxsize=1024)
def _lettering(text: str, pixels: int, anchor: str) -> tuple[Image.Image, int, int]:
    """Returns a text as a mask, and where its corner is from the anchor; kept, since drawing letters takes long."""
    font = ImageFont.load_default(size=pixels)
    left, top, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).textbbox((0, 0), text, font, anchor)
    left, top = math.floor(left), math.floor(top)
    mask = Image.new("L", (math.ceil(right) - left, math.ceil(bottom) - top))
    ImageDraw.Draw(mask).text((-left, -top), text, 255, font, anchor)
    return mask, left, top


def draw_bars(chart: BarChart, size: int) -> Image.Image:
    """Bars over a line, with the values 1 to 6 at the left."""
    canvas = _Canvas(size, _PAPER)
    for value in range(1, HIGHEST + 1):
        y = _FLOOR - _STEP * value
        canvas.line([(_LEFT, y), (UNITS - 2, y)], _LINE, 0.6)
        canvas.text(_LEFT - 2, y, str(value), _INK, 9, "rm")
    slot = (UNITS - 2 - _LEFT) / len(chart.parts)
    for i, part in enumerate(chart.parts):
        left, width = _LEFT + slot * (i + 0.2), slot * 0.6
        color = PALETTE[part.color]
        canvas.box((left, _FLOOR - _STEP * part.value, left + width, _FLOOR), color, 0, mix(color, _INK, 0.35), 0.6)
    canvas.line([(_LEFT, _FLOOR), (UNITS - 2, _FLOOR)], _INK, 1.0)
    return canvas.image()


def draw_pie(chart: PieChart, size: int) -> Image.Image:
    """Returns a round pie; its slices are parted by white lines."""
    canvas = _Canvas(size, _PAPER)
    canvas.disc(_MIDDLE + 0.8, _MIDDLE + 1.4, _PIE, mix(_PAPER, _INK, 0.14))
    start, starts = -90.0, []
    for part in chart.parts:
        starts.append(math.radians(start))
        end = start + 360 / EIGHTHS * part.value
        canvas.slice(_MIDDLE, _MIDDLE, _PIE, (start, end), PALETTE[part.color])
        start = end
    for angle in starts:
        edge = (_MIDDLE + _PIE * math.cos(angle), _MIDDLE + _PIE * math.sin(angle))
        canvas.line([(_MIDDLE, _MIDDLE), edge], _WHITE, 1.1)
    return canvas.image()


def draw_screen(screen: Screen, size: int) -> Image.Image:
    """Returns a window with a title bar and one row below another."""
    canvas = _Canvas(size, _WHITE)
    canvas.box((0, 0, UNITS, _TITLE), _BAR)
    for i in range(3):
        canvas.disc(5.5 + 6 * i, _TITLE / 2, 1.6, mix(_BAR, _WHITE, 0.7))
    for i, row in enumerate(screen.rows):
        _ROWS[row.kind](canvas, row, _TITLE + _ROW * (i + 0.5) + 0.3)
    return canvas.image()


def _draw_button(canvas: _Canvas, row: Row, y: float) -> None:
    color = PALETTE[row.color]
    canvas.box((6, y - 5.6, UNITS - 6, y + 5.6), color, 3.5, mix(color, _INK, 0.25), 0.6)
    bright = sum(color) > 430
    canvas.text(UNITS / 2, y, row.label, _INK if bright else _WHITE, 10, "mm")


def _draw_box(canvas: _Canvas, row: Row, y: float) -> None:
    color = PALETTE[row.color]
    canvas.box((6, y - 5, 16, y + 5), _WHITE, 1.6, color, 1.8)
    if row.on:
        canvas.line([(8.3, y - 0.4), (10.4, y + 2.4), (14, y - 2.8)], _INK, 1.7)
    canvas.text(20, y, row.label, _INK, 10, "lm")


def _draw_switch(canvas: _Canvas, row: Row, y: float) -> None:
    color = PALETTE[row.color]
    canvas.box((42, y - 4.8, UNITS - 4, y + 4.8), color if row.on else _RAIL, 4.8, color, 1.2)
    canvas.disc(UNITS - 9 if row.on else 47, y, 3.2, _WHITE if row.on else color)
    canvas.text(6, y, row.label, _INK, 10, "lm")


_ROWS: dict[str, Callable[[_Canvas, Row, float], None]] = {
    "button": _draw_button,
    "box": _draw_box,
    "switch": _draw_switch,
}
