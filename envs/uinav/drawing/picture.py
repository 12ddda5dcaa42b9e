"""Draws a screen as a phone shows it. Everything is a picture or a mask that was made before and kept."""

from functools import lru_cache

import numpy as np

from envs.uinav.drawing import lettering, scenery
from envs.uinav.drawing.appearance import ground_of, write
from envs.uinav.drawing.glyphs import glyph
from envs.uinav.drawing.illustrations import illustrate
from envs.uinav.drawing.paint import blank, frame, lay, paste, plain, shadow, slab, stamp
from envs.uinav.drawing.palette import BLACK, WHITE, theme_of
from envs.uinav.drawing.sprites import sprite
from envs.uinav.interface.screen import Box, Element, Screen

_CONTAINERS = frozenset({"bar", "list", "foot", "dialog", "keyboard", "screen"})
_TAP, _MARK = (255, 84, 60), (255, 214, 10)  # of a tap, and of a numbered tag
_LARGEST = 2400  # sides of what a container draws, pixels
_PLAIN = frozenset({"bar", "dialog", "keyboard", "foot"})  # containers with a look of their own for what is in them


def draw_screen(screen: Screen, tap: tuple[int, int] | None = None, marks: bool = False) -> np.ndarray:
    """Returns the screen as a picture, (512, 288, 3) uint8, or of the height and width of its canvas.

    Args:
        screen: what to draw.
        tap: where a finger was, (x, y) in pixels.
        marks: whether each element has its number at its corner.
    """
    canvas = scenery.new_page(screen.app, screen.theme, screen.width, screen.height)
    scenery.write_time(canvas, screen.time, screen.app, screen.theme)
    whole = Box(0, 0, screen.width, screen.height)
    parts = screen.parts or (Element("list", "", "", "", whole, children=screen.elements),)
    if screen.app != "Home" or screen.title:
        _draw_toolbar(canvas, screen, parts)
    for part in parts:
        _draw_part(canvas, screen, part)
    if screen.notice:
        _draw_notice(canvas, screen, parts)
    if marks:
        for number, element in enumerate(screen.elements, 1):
            _draw_mark(canvas, element.box, str(number))
    if tap is not None:
        _draw_tap(canvas, *tap)
    return canvas


def _draw_toolbar(canvas: np.ndarray, screen: Screen, parts: tuple[Element, ...]) -> None:
    """Draws the bar with the title between its icons."""
    left, right = 16, screen.width - 16
    for icon in next((part.children for part in parts if part.kind == "bar"), ()):
        if icon.box.left < screen.width // 3:
            left = max(left, icon.box.right + 8)
        else:
            right = min(right, icon.box.left - 4)
    title = screen.title or screen.app
    bar = scenery.toolbar(screen.app, screen.theme, title, left, right, screen.width)
    paste(canvas, bar, 0, scenery.STATUS)


def _draw_part(canvas: np.ndarray, screen: Screen, part: Element) -> None:
    """Draws a container and what is in it."""
    box, place = part.box, part.kind
    if place == "dialog":
        _draw_card(canvas, screen, box)
    elif place == "keyboard":
        paste(canvas, scenery.keyboard(*_size(box), screen.theme), box.left, box.top)
    elif place == "foot" and screen.app != "Home":
        paste(canvas, plain(*_size(box), ground_of(place, screen.app, screen.theme)), box.left, box.top)
    elif place == "list":
        _draw_hints(canvas, screen, box)
        illustrate(canvas, screen, part)
    for child in part.children:
        if child.kind in _CONTAINERS:
            _draw_part(canvas, screen, child)
        else:
            _draw_element(canvas, screen, child, place if place in _PLAIN else "")


def _draw_element(canvas: np.ndarray, screen: Screen, element: Element, place: str) -> None:
    """Draws an element, unless there is nothing of it on the canvas."""
    kind, text, description, _, box, _, _, _, focused, checked, enabled, _, _ = element
    left, top, right, bottom = box
    if right <= 0 or bottom <= 0 or left >= screen.width or top >= screen.height or right <= left or bottom <= top:
        return
    width, height = min(right - left, 2 * screen.width), min(bottom - top, 2 * screen.height)
    if kind == "app":
        on = (screen.app, screen.theme, screen.width, screen.height)
        picture = scenery.app_icon(text or description, on, left, top, width, height)
    else:
        look = (kind, text, description, width, height, focused, checked, enabled, place, screen.app, screen.theme)
        picture = sprite(*look)
    paste(canvas, picture, left, top)


def _size(box: Box) -> tuple[int, int]:
    """Width and height, at least one pixel and at most so many."""
    return max(1, min(box.right - box.left, _LARGEST)), max(1, min(box.bottom - box.top, _LARGEST))


def _draw_card(canvas: np.ndarray, screen: Screen, box: Box) -> None:
    """Dims all that is there, and puts an empty dialog over it, a little larger than its box where it can be."""
    canvas >>= 1
    left, top = box.left - 4, box.top - 10
    width, height = _size(Box(left, top, box.right + 4, box.bottom + 8))
    stamp(canvas, shadow(width, height, 16, 6), left - 12, top - 8, BLACK, 0.6)
    stamp(canvas, slab(width, height, 16), left, top, theme_of(screen.theme).card)


def _draw_hints(canvas: np.ndarray, screen: Screen, box: Box) -> None:
    """Draws a thumb in the right margin, and a chevron where there is more."""
    if screen.above or screen.below:
        _, height = _size(box)
        paste(canvas, _hints(height, screen.above, screen.below, screen.theme), box.right - 11, box.top)


@lru_cache(maxsize=32)
def _hints(height: int, above: bool, below: bool, theme: str) -> np.ndarray:
    """Returns the right margin of a list, (height, 11, 3)."""
    canvas, ink = blank(11, height, theme_of(theme).page), theme_of(theme).faint
    tall = max(1, (height - 32) // 3)
    stamp(canvas, slab(3, tall, 1.5), 5, 16 + tall * (int(above) + int(above and not below)), ink, 0.6)
    if above:
        stamp(canvas, glyph("collapse", 12), 0, 2, ink)
    if below:
        stamp(canvas, glyph("expand", 12), 0, height - 14, ink)
    return canvas


def _draw_notice(canvas: np.ndarray, screen: Screen, parts: tuple[Element, ...]) -> None:
    """Draws the message, above whatever stands at the bottom."""
    covered = [part.box.top for part in parts if part.kind in ("foot", "keyboard")]
    bottom = max(60, min([screen.height - scenery.NAVIGATION, *covered])) - 8
    picture, mask = _notice(screen.notice, screen.width, screen.theme)
    lay(canvas, picture, mask, (screen.width - picture.shape[1]) // 2, bottom - picture.shape[0])


@lru_cache(maxsize=64)
def _notice(text: str, across: int, theme: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns a message of one or two lines for a screen of this width, (h, w, 3), and its mask."""
    lines = lettering.wrapped(lettering.clean(text), 13, across - 60, 2)
    width = max([lettering.width(line, 13) for line in lines], default=0) + 32
    height = 16 + 17 * max(1, len(lines))
    colours = theme_of(theme)
    picture = blank(across, height, colours.toast)
    for i, line in enumerate(lines):
        write(picture, line, 0, 16.5 + 17 * i, across, colours.toast_ink, 13, align=0.5)
    left = (across - width) // 2
    return picture[:, left : left + width].copy(), slab(width, height, 17)


@lru_cache(maxsize=128)
def _mark(number: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns a tag with a number, (15, w, 3), and its mask."""
    width = lettering.width(number, 10) + 7
    picture = blank(width, 15, BLACK)
    stamp(picture, slab(width - 2, 13, 3.5), 1, 1, _MARK)
    write(picture, number, 0, 7.5, width, BLACK, 10, bold=True, align=0.5)
    return picture, slab(width, 15, 4)


def _draw_mark(canvas: np.ndarray, box: Box, number: str) -> None:
    """Draws a tag at the upper left corner of the box, as far in the margin as it can be."""
    picture, mask = _mark(number)
    left = min(max(0, box.left - 10), canvas.shape[1] - picture.shape[1])
    top = min(max(0, box.top - 4), canvas.shape[0] - picture.shape[0])
    lay(canvas, picture, mask, left, top)


def _draw_tap(canvas: np.ndarray, x: int, y: int) -> None:
    """Draws where a finger was: a ring of 17 pixels with a pale edge, through which what was tapped is seen."""
    stamp(canvas, frame(38, 38, 19, 1.5), x - 19, y - 19, WHITE, 0.8)
    stamp(canvas, frame(34, 34, 17, 3), x - 17, y - 17, _TAP)
