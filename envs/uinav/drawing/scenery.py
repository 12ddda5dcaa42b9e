"""Draws what a screen has besides elements: page, bars, wallpaper, app icons, keyboard, dialog."""

from functools import lru_cache

import numpy as np

from envs.uinav.drawing.appearance import SMALL, TINY, TITLE, disc, ground_of, initial, write
from envs.uinav.drawing.glyphs import GLYPHS, glyph
from envs.uinav.drawing.lettering import clean, letters, top_for
from envs.uinav.drawing.paint import blank, paste, shadow, slab, stamp
from envs.uinav.drawing.palette import BLACK, WHITE, Colour, app_colour, ink_on, mix, theme_of
from envs.uinav.interface.screen import HEIGHT, WIDTH

STATUS, BAR_END, NAVIGATION = 20, 60, 24  # rows where the bars end, and of the navigation bar at the bottom
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_TILE = 48  # of an app icon


def new_page(app: str, theme: str, width: int, height: int) -> np.ndarray:
    """Returns a `page` to draw on."""
    kept = page(app, theme, width, height)
    if app == "Home":
        return kept.copy()
    canvas = np.empty_like(kept)
    canvas[:] = kept[STATUS]  # all rows between the bars are this one, which is at hand sooner than all of them
    canvas[:STATUS], canvas[-NAVIGATION:] = kept[:STATUS], kept[-NAVIGATION:]
    return canvas


@lru_cache(maxsize=32)
def page(app: str, theme: str, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """Draws an empty page of the app, (height, width, 3) uint8: ground or wallpaper, and the bars but for the time."""
    home = app == "Home"
    canvas = _wallpaper(theme, width, height) if home else blank(width, height, theme_of(theme).page)
    ink = WHITE if home else theme_of(theme).ink
    if not home:
        canvas[:STATUS] = ground_of("bar", app, theme)
    stamp(canvas, glyph("wifi", 15), width - 50, 3, ink)
    stamp(canvas, glyph("battery", 19), width - 32, 1, ink)
    for i, name in enumerate(("nav back", "nav home", "nav recents"), 1):
        stamp(canvas, glyph(name, 14), width * i // 4 - 7, height - NAVIGATION + 5, ink, 0.75)
    canvas.flags.writeable = False
    return canvas


def write_time(canvas: np.ndarray, time: str, app: str, theme: str) -> None:
    """Writes what time it is into the status bar of a page, in place."""
    ink = WHITE if app == "Home" else theme_of(theme).ink
    stamp(canvas, _time_mask(time), 14, top_for(11, SMALL), ink)


@lru_cache(maxsize=1440)
def _time_mask(time: str) -> np.ndarray:
    return letters(clean(time)[:8], SMALL, bold=True)


def _wallpaper(theme: str, width: int, height: int) -> np.ndarray:
    """Dusk over hills, at night in the dark theme."""
    dark = theme == "dark"
    stops = [(18, 22, 48), (44, 36, 84), (96, 54, 104)] if dark else [(46, 98, 176), (112, 112, 196), (218, 136, 150)]
    at = np.linspace(0, height - 1, len(stops))
    canvas = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        canvas[:, :, channel] = np.interp(np.arange(height), at, [stop[channel] for stop in stops])[:, None]
    disc(canvas, width - 74, height - 140, 72, (255, 240, 214), 0.15 if dark else 0.28)
    across, rows = np.arange(width), np.arange(height)[:, None] + HEIGHT - height
    for base, swing, wave, share in ((396, 20, 52, 0.18), (428, 16, 38, 0.34), (458, 12, 60, 0.5)):
        below = rows > base + swing * np.sin(across / wave + base)
        canvas[below] = (canvas[below] * (1 - share) + np.array((34, 30, 74)) * share).astype(np.uint8)
    return canvas


@lru_cache(maxsize=256)
def toolbar(app: str, theme: str, title: str, left: int, right: int, width: int = WIDTH) -> np.ndarray:
    """Returns the bar below the status bar, (40, 288, 3), with the title between two columns of pixels."""
    canvas = blank(width, BAR_END - STATUS, ground_of("bar", app, theme))
    write(canvas, title, left, 20, max(0, right - left), theme_of(theme).ink, TITLE, bold=True)
    canvas.flags.writeable = False
    return canvas


@lru_cache(maxsize=512)  # some twelve apps at as many places in two themes, and a few more
def app_icon(label: str, on: tuple[str, str, int, int], left: int, top: int, width: int, height: int) -> np.ndarray:
    """Returns the icon of an app on a page, (height, width, 3), with as much of the page as is behind it.

    Args:
        label: of the app.
        on: what `page` draws the page from.
        left, top, width, height: of the icon on it.
    """
    app, theme, *_ = on
    canvas = blank(width, height, theme_of(theme).page)
    paste(canvas, page(*on), -left, -top)
    size = max(8, min(_TILE, width, height - 22))
    x, y = round((width - size) / 2), 4
    stamp(canvas, shadow(size, size, size * 0.3, 3), x - 6, y - 4, BLACK, 0.4)
    paint_tile(canvas, label, x, y, size)
    home = app == "Home"
    ink = WHITE if home else theme_of(theme).ink
    if home:  # darker behind white words
        room = min(width, 90)
        stamp(canvas, shadow(max(1, room - 20), 8, 4, 4), (width - room) // 2 + 2, y + size - 2, BLACK, 0.22)
    write(canvas, label, 0, y + size + 10, width, ink, SMALL, align=0.5)
    canvas.flags.writeable = False
    return canvas


def paint_tile(canvas: np.ndarray, label: str, left: int, top: int, size: int) -> None:
    """Paints the rounded square of an app with its pictogram, or the initial of its name."""
    colour = app_colour(label)
    mask = slab(size, size, size * 0.3)
    upper = (mask * np.linspace(0.22, 0, size)[:, None]).astype(np.int16)
    stamp(canvas, mask, left, top, colour)
    stamp(canvas, upper, left, top, WHITE)
    if f"app {label}" in GLYPHS:
        inner = round(size * 0.6)
        gap = round((size - inner) / 2)
        stamp(canvas, glyph(f"app {label}", inner), left + gap, top + gap, WHITE)
    else:
        write(canvas, initial(label), left, top + size / 2, size, ink_on(colour), max(8, size // 2), True, 0.5)


@lru_cache(maxsize=8)
def keyboard(width: int, height: int, theme: str) -> np.ndarray:
    """Returns the keyboard, (height, width, 3), but for the key that is an element."""
    colours = theme_of(theme)
    canvas = blank(width, height, colours.keyboard)
    canvas[:1] = mix(colours.keyboard, colours.ink, 0.12)
    pitch, step = (height - 10.6) / 4, (width - 8) / 10
    for i, row in enumerate(_ROWS):
        left = 4 + (10 - len(row)) * step / 2
        for j, char in enumerate(row):
            _key(canvas, left + j * step, 5 + i * pitch, step, pitch, colours.key, colours.ink, char)
    soft, lower, last = mix(colours.keyboard, colours.ink, 0.14), 5 + 2 * pitch, 5 + 3 * pitch
    _key(canvas, 4, lower, 1.45 * step, pitch, soft, colours.ink, glyph_of="shift")
    _key(canvas, 4 + 8.55 * step, lower, 1.45 * step, pitch, soft, colours.ink, glyph_of="erase")
    _key(canvas, 4, last, 1.45 * step, pitch, soft, colours.ink, "?123", SMALL)
    _key(canvas, 4 + 1.45 * step, last, step, pitch, colours.key, colours.ink, ",")
    _key(canvas, 4 + 2.45 * step, last, 4.7 * step, pitch, colours.key, colours.faint, "English", TINY)
    _key(canvas, 4 + 7.15 * step, last, step, pitch, colours.key, colours.ink, ".")
    canvas.flags.writeable = False
    return canvas


def _key(
    canvas: np.ndarray,
    left: float,
    top: float,
    width: float,
    height: float,
    fill: Colour,
    ink: Colour,
    text: str = "",
    size: int = 15,
    glyph_of: str = "",
) -> None:
    x, y = round(left + 2), round(top + 1)
    wide, tall = max(1, round(left + width - 2) - x), max(1, round(top + height - 3) - y)
    stamp(canvas, slab(wide, tall, 5), x, y + 1, BLACK, 0.16)
    stamp(canvas, slab(wide, tall, 5), x, y, fill)
    if glyph_of:
        stamp(canvas, glyph(glyph_of, 18), round(x + wide / 2) - 9, round(y + tall / 2) - 9, ink)
    elif text:
        write(canvas, text, x, y + tall / 2 - (1 if text.isalpha() else 0), wide, ink, size, align=0.5)
