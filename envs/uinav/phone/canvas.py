"""How large the phone's screen is, and where its fixed parts stand on it."""

from functools import lru_cache
from typing import NamedTuple

from envs.uinav.interface.screen import HEIGHT, WIDTH, Box
from perlhf.errors import UserError

LEAST, MOST = (240, 400), (1200, 2400)  # width and height that pages are laid out on, pixels
DENSITIES = (0.5, 8.0)


class Canvas(NamedTuple):
    """The pixels that pages are laid out on.

    Attributes:
        width, height: of the whole screen.
        bottom: where the navigation bar begins.
        keyboard, key, foot: the boxes of the keyboard, of its Enter key, and of what stands at the bottom of a page.
        letters: of a line of text.
    """

    width: int
    height: int
    bottom: int
    keyboard: Box
    key: Box
    foot: Box
    letters: int


@lru_cache(maxsize=64)
def canvas_of(width: int, height: int) -> Canvas:
    """Returns the canvas of a size: bars, keyboard and keys are as high on each, and as far from its edges."""
    bottom = height - 24
    keyboard = Box(0, height - 180, width, bottom)
    key = Box(round(4 + 0.815 * (width - 8)), height - 68, width - 8, height - 30)  # behind the last of the drawn ones
    return Canvas(width, height, bottom, keyboard, key, Box(0, height - 80, width, bottom), 38 * (width - 24) // 264)


CANVAS = canvas_of(WIDTH, HEIGHT)


def sizes_of(screen_size: str, density: float, recorded: bool = False) -> tuple[tuple[int, int], Canvas]:
    """Returns the width and height of the picture, and the canvas that it shows.

    Args:
        screen_size: "WIDTHxHEIGHT" in pixels of the picture; "" for the canvas of 288 x 512 at this density.
        density: pixels of the picture to a pixel of the canvas: the greater, the larger things are and the fewer fit.
        recorded: whether screens are recorded, so that their canvas is 288 x 512 whatever the picture is.

    Raises:
        UserError: these are no sizes, or the canvas would be too small or too large.
    """
    low, high = DENSITIES
    if isinstance(density, bool) or not isinstance(density, (int, float)) or not low <= density <= high:
        raise UserError(f"density must be a number from {low:g} to {high:g}, got {density!r}.")
    size = screen_size if screen_size != "" else f"{round(WIDTH * density)}x{round(HEIGHT * density)}"
    sides = size.split("x") if isinstance(size, str) else []
    if len(sides) != 2 or not all(side.isascii() and side.isdecimal() and 0 < len(side) < 6 for side in sides):
        raise UserError(f"screen_size must be WIDTHxHEIGHT in pixels, such as '360x640', got {screen_size!r}.")
    width, height = map(int, sides)
    if recorded:
        if density != 1 or min(width, height) == 0:
            raise UserError("density is of the simulated phone; recordings have screen_size alone, from 1x1.")
        return (width, height), CANVAS
    across, down = round(width / density), round(height / density)
    if not (LEAST[0] <= across <= MOST[0] and LEAST[1] <= down <= MOST[1]):
        limits = f"{LEAST[0]}x{LEAST[1]} to {MOST[0]}x{MOST[1]}"
        raise UserError(
            f"screen_size {width}x{height} at density {density:g} leaves {across}x{down} pixels to lay pages out on, "
            f"expected {limits}; choose another density."
        )
    return (width, height), canvas_of(across, down)
