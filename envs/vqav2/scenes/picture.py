"""Pictures of scenes, charts and screens: pure functions of what they mean, drawn with Pillow.

Things are stamped from sprites that are drawn once, several times as large, and scaled down: edges are smooth, and a
picture takes a fraction of a millisecond. A rubber thing is of one colour, a metal one shines, wood has a grain.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from envs.vqav2.scenes.charts import BarChart, PieChart
from envs.vqav2.scenes.graphics import PALETTE, draw_bars, draw_pie, draw_screen, mix
from envs.vqav2.scenes.scene import RADIUS, UNITS, Scene
from envs.vqav2.scenes.screens import Screen
from perlhf.errors import UserError

SMALLEST, LARGEST = 32, 1024  # sides of a picture in pixels
_FINEST = 512  # pixels: sprites are drawn as for a canvas of this side, and at twice their size at least
_BORDER = 2  # units around a sprite, for its shadow
_PAPER = ((250, 248, 243), (238, 234, 226))  # top and bottom
_RIM = 0.9  # units, in a darker colour
_HOLE = 0.42  # of a ring, as a share of its radius
_GRAIN, _PALE_GRAIN, _SHINE = (84, 52, 24), (206, 144, 86), (255, 255, 255)


def draw_picture(picture: Any, size: int = 64) -> np.ndarray:
    """Returns a `Scene`, `BarChart`, `PieChart` or `Screen` as a square picture.

    Args:
        picture: what is to be seen.
        size: the side in pixels, 32 to 1024; 64, 128 and 256 are cleanest.

    Returns:
        (size, size, 3) uint8; the same for the same arguments.

    Raises:
        UserError: a size out of bounds.
    """
    if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or not SMALLEST <= size <= LARGEST:
        raise UserError(f"size must be a whole number of pixels from {SMALLEST} to {LARGEST}, got {size!r}.")
    return np.array(_DRAWERS[type(picture)](picture, int(size)))


def _draw_scene(scene: Scene, size: int) -> Image.Image:
    image, scale = _paper(size).copy(), size / UNITS
    for color, shape, thing_size, material, x, y in scene.things:
        sprite = _sprite(color, shape, thing_size, material, size)
        corner = (round(x * scale - sprite.width / 2), round(y * scale - sprite.height / 2))
        image.paste(sprite, corner, sprite)
    return image


@lru_cache(maxsize=4)
def _paper(size: int) -> Image.Image:
    top, bottom = (np.array(color, float) for color in _PAPER)
    down = np.linspace(0, 1, size)[:, None, None]
    rows = np.broadcast_to(top * (1 - down) + bottom * down, (size, size, 3))
    return Image.fromarray(rows.round().astype(np.uint8))


@lru_cache(maxsize=4096)
def _sprite(color: str, shape: str, size: str, material: str, canvas: int) -> Image.Image:
    """One thing with its shadow, RGBA, for a canvas of so many pixels."""
    fine = max(2, _FINEST // canvas)
    radius = RADIUS[size] * canvas / UNITS * fine
    side = 2 * math.ceil((RADIUS[size] + _BORDER) * canvas / UNITS) * fine
    body, face = _mask(shape, side, radius, 0.0), _mask(shape, side, radius, _RIM * canvas / UNITS * fine)
    image = Image.merge("RGBA", [*Image.new("RGB", (side, side)).split(), _shadow(body, radius)])
    image.paste(mix(PALETTE[color], (0, 0, 0), 0.4), (0, 0), body)
    image.paste(_face(color, material, side, radius), (0, 0), face)
    # Where the body is, it hides its own shadow.
    image.putalpha(Image.composite(body, image.getchannel("A"), body))
    return image.reduce(fine)


def _shadow(body: Image.Image, radius: float) -> Image.Image:
    shifted = Image.new("L", body.size)
    shifted.paste(body, (round(0.08 * radius), round(0.16 * radius)))
    return shifted.filter(ImageFilter.GaussianBlur(0.09 * radius)).point([value // 4 for value in range(256)])


def _mask(shape: str, side: int, radius: float, rim: float) -> Image.Image:
    """White where the shape is, but for a rim inside its edge; it fills most of a circle of `radius` in the middle."""
    mask = Image.new("L", (side, side))
    draw, middle, inner = ImageDraw.Draw(mask), side / 2, radius - rim
    if shape in ("circle", "ring"):
        draw.ellipse([middle - inner, middle - inner, middle + inner, middle + inner], fill=255)
    else:
        draw.polygon([(middle + inner * x, middle + inner * y) for x, y in _OUTLINES[shape]], fill=255)
    if shape == "ring":
        hole = _HOLE * radius + rim
        draw.ellipse([middle - hole, middle - hole, middle + hole, middle + hole], fill=0)
    return mask


def _face(color: str, material: str, side: int, radius: float) -> Image.Image:
    """Returns the surface of a material over the whole sprite."""
    base = np.array(PALETTE[color], float)
    y, x = (np.mgrid[0:side, 0:side] + 0.5 - side / 2) / radius
    if material == "metal":
        slope = (x + y) / math.sqrt(2)
        shine = 0.9 * np.exp(-(((slope + 0.28) / 0.21) ** 2)) + 0.35 * np.exp(-(((slope - 0.5) / 0.12) ** 2))
        return _blended(base, shine, _SHINE)
    if material == "wood":
        grain = np.sin(9.5 * (y + 0.08 * np.sin(3 * x))) > 0.25
        return _blended(base, 0.62 * grain, _GRAIN if base.sum() > sum(_GRAIN) else _PALE_GRAIN)
    return _blended(base, np.zeros_like(x), _SHINE)


def _blended(base: np.ndarray, share: np.ndarray, other: tuple[int, int, int]) -> Image.Image:
    weight = share[..., None]
    return Image.fromarray((base * (1 - weight) + np.array(other, float) * weight).round().astype(np.uint8))


def _turning(count: int, radii: tuple[float, ...]) -> list[tuple[float, float]]:
    """Points on circles of the given radii in turn, clockwise from the top."""
    angles = [2 * math.pi * i / count for i in range(count)]
    return [(radii[i % len(radii)] * math.sin(a), -radii[i % len(radii)] * math.cos(a)) for i, a in enumerate(angles)]


def _heart() -> list[tuple[float, float]]:
    points = []
    for i in range(90):
        t = 2 * math.pi * i / 90
        down = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((math.sin(t) ** 3, -(down + 2.5) / 15.5))
    return points


_ARM = 0.36  # half of the width of a cross's arm
_OUTLINES = {
    "square": [(-0.86, -0.86), (0.86, -0.86), (0.86, 0.86), (-0.86, 0.86)],
    "triangle": [(0, -1), (0.98, 0.78), (-0.98, 0.78)],
    "star": _turning(10, (1.06, 0.46)),
    "diamond": [(0, -1.04), (0.78, 0), (0, 1.04), (-0.78, 0)],
    "cross": [
        (-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM),
        (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM),
    ],
    "heart": _heart(),
}  # fmt: skip
_DRAWERS: dict[type, Callable[[Any, int], Image.Image]] = {
    Scene: _draw_scene,
    BarChart: draw_bars,
    PieChart: draw_pie,
    Screen: draw_screen,
}
