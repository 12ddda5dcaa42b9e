"""Puts masks and pictures onto a canvas.

A picture is (h, w, 3) uint8. A mask is (h, 3 w) int16: how much of each pixel is covered, from 0 to 128, once for each
channel, since NumPy is fast only along rows. Masks of shapes are drawn larger than they are, which makes their edges
smooth, and kept.
"""

from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from envs.uinav.drawing.palette import Colour

FULL = 128  # of a mask; 255 * 128 is still within 16 bits
_FINE, _WIDEST = 4, 2048  # pixels that are drawn for one of a mask; and of the widest mask


def blank(width: int, height: int, ground: Colour) -> np.ndarray:
    """Returns a canvas of one colour, (height, width, 3) uint8."""
    return plain(width, height, ground).copy()


@lru_cache(maxsize=64)
def plain(width: int, height: int, ground: Colour) -> np.ndarray:
    """Returns a picture of one colour, not to be changed."""
    return np.frombuffer(bytes(ground) * (width * height), np.uint8).reshape(height, width, 3)


def mask_of(covered: np.ndarray) -> np.ndarray:
    """Returns the mask for (h, w) uint8, how much of each pixel is covered, of 255."""
    return thrice((covered.astype(np.int16) + 1) >> 1)


def thrice(covered: np.ndarray) -> np.ndarray:
    """Returns (h, 3 w) int16: (h, w) once for each channel."""
    mask = np.empty((*covered.shape, 3), np.int16)
    for channel in range(3):  # as `repeat` in a third of the time
        mask[:, :, channel] = covered
    return mask.reshape(len(covered), -1)


def coloured(mask: np.ndarray, ink: Colour, ground: Colour) -> np.ndarray:
    """Returns the picture of a mask in one colour on another, (h, w, 3) uint8, as `stamp` colours it."""
    wide = mask.shape[1]
    change = _row(ink)[:wide] - _row(ground)[:wide]
    picture = (mask * change >> 7) + _row(ground)[:wide]
    return picture.astype(np.uint8).reshape(len(mask), -1, 3)


def stamp(canvas: np.ndarray, mask: np.ndarray, left: int, top: int, ink: Colour, strength: float = 1.0) -> None:
    """Colours what the mask covers, in place; what is outside the canvas is cut off.

    Args:
        canvas: (H, W, 3) uint8, contiguous.
        mask: (h, 3 w).
        left, top: where its corner comes, pixels.
        ink: the colour.
        strength: 0 for nothing to 1 for all of the ink.
    """
    part = _overlap(canvas, mask, left, top)
    if part is None:
        return
    region, mask = part
    before = region.astype(np.int16)
    change = _row(ink)[: mask.shape[1]] - before
    change *= mask
    change >>= 7
    if strength != 1.0:
        change *= round(strength * FULL)
        change >>= 7
    change += before
    region[:] = change


def lay(canvas: np.ndarray, picture: np.ndarray, mask: np.ndarray, left: int, top: int) -> None:
    """Puts a picture onto the canvas where its mask covers, in place; what is outside is cut off."""
    part, above = _overlap(canvas, mask, left, top), _overlap(canvas, _flat(picture), left, top)
    if part is not None and above is not None:
        change = above[1].astype(np.int16) - part[0]
        change *= part[1]
        change >>= 7
        part[0][:] += change.astype(np.uint8)


def inset(canvas: np.ndarray, picture: np.ndarray, radius: int, left: int, top: int) -> None:
    """Puts a picture with round corners onto the canvas, in place; it is higher than two of them."""
    height, width, _ = picture.shape
    mask, low = slab(width, height, radius), height - radius
    lay(canvas, picture[:radius], mask[:radius], left, top)
    paste(canvas, picture[radius:low], left, top + radius)
    lay(canvas, picture[low:], mask[low:], left, top + low)


def _flat(picture: np.ndarray) -> np.ndarray:
    """Returns the same with the channels along its rows."""
    return picture.reshape(picture.shape[0], -1)


def paste(canvas: np.ndarray, picture: np.ndarray, left: int, top: int) -> None:
    """Puts a picture onto the canvas, in place; what is outside is cut off."""
    height, width, _ = picture.shape
    bottom, right = top + height, left + width
    if left >= 0 and top >= 0 and right <= canvas.shape[1] and bottom <= canvas.shape[0]:
        canvas[top:bottom, left:right] = picture  # as most are
    elif right > 0 and bottom > 0:
        shown = picture[max(0, -top) :, max(0, -left) :]
        region = canvas[max(0, top) : bottom, max(0, left) : right]
        region[:] = shown[: region.shape[0], : region.shape[1]]


def _overlap(canvas: np.ndarray, other: np.ndarray, left: int, top: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Views of both where they meet, with the channels along their rows."""
    flat = _flat(canvas)
    height, width = other.shape
    left *= 3
    right, bottom = left + width, top + height
    if left >= 0 and top >= 0 and right <= flat.shape[1] and bottom <= flat.shape[0]:
        return flat[top:bottom, left:right], other  # as most are
    right, bottom = min(right, flat.shape[1]), min(bottom, flat.shape[0])
    first_x, first_y = max(left, 0), max(top, 0)
    if first_x >= right or first_y >= bottom:
        return None
    region = flat[first_y:bottom, first_x:right]
    return region, other[first_y - top : bottom - top, first_x - left : right - left]


@lru_cache(maxsize=512)
def _row(ink: Colour) -> np.ndarray:
    """Returns the colour over and over."""
    return np.tile(np.array(ink, np.int16), _WIDEST)


@lru_cache(maxsize=128)
def slab(width: int, height: int, radius: float) -> np.ndarray:
    """Returns the mask of a rectangle with round corners."""
    return mask_of(np.asarray(_rounded(width, height, radius, 0)))


@lru_cache(maxsize=128)
def frame(width: int, height: int, radius: float, thickness: float) -> np.ndarray:
    """Returns the mask of the outline of such a rectangle, inside of it."""
    return mask_of(np.asarray(_rounded(width, height, radius, thickness)))


@lru_cache(maxsize=64)
def shadow(width: int, height: int, radius: float, blur: int) -> np.ndarray:
    """Returns the mask of its shadow, which begins 2 `blur` to the left of it and above, and ends as far behind it."""
    around = Image.new("L", (width + 4 * blur, height + 4 * blur))
    around.paste(_rounded(width, height, radius, 0), (2 * blur, 2 * blur))
    return mask_of(np.asarray(around.filter(ImageFilter.GaussianBlur(blur))))


def _rounded(width: int, height: int, radius: float, thickness: float) -> Image.Image:
    """Filled, or its outline where this has a thickness."""
    width, height = max(width, 1), max(height, 1)
    fine = Image.new("L", (width * _FINE, height * _FINE))
    bounds = (0, 0, width * _FINE - 1, height * _FINE - 1)
    corner = min(radius, width / 2, height / 2) * _FINE
    line = round(thickness * _FINE)
    ImageDraw.Draw(fine).rounded_rectangle(bounds, corner, fill=0 if line else 255, outline=255, width=max(line, 1))
    return fine.reduce(_FINE)
