"""The picture of each kind of element, drawn once for what it shows and kept."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from envs.uinav.drawing import lettering
from envs.uinav.drawing.appearance import LABEL, SMALL, TINY, Appearance, disc, fitting, initial, split_label, write
from envs.uinav.drawing.glyphs import glyph, glyph_name
from envs.uinav.drawing.illustrations import thumbnail
from envs.uinav.drawing.paint import blank, frame, lay, paste, plain, shadow, slab, stamp
from envs.uinav.drawing.palette import BLACK, WHITE, Colour, hashed, ink_on, mix, number_of, tone

_CHIP = 92  # pixels, and narrower: an option that is drawn as a pill
_HUES = 12  # that letters in circles have
_TALL = 40  # pixels, and higher: a row whose lines do not come near its edges
MARGIN = 4  # from the edge of a row to what is in it


@lru_cache(maxsize=1024)
def sprite(*about: Any) -> np.ndarray:
    """Returns the picture of an `Appearance`, (height, width, 3) uint8, not to be changed."""
    look = Appearance(*about)
    canvas = blank(look.width, look.height, look.ground)
    _PAINTERS.get(look.kind, _paint_text)(canvas, look)
    canvas.flags.writeable = False
    return canvas


def _paint_text(canvas: np.ndarray, look: Appearance) -> None:
    """Words, at the largest size at which all of them fit."""
    margin = 14 if look.place == "dialog" else MARGIN
    room, text = look.width - 2 * margin, lettering.clean(look.label)
    for size in (LABEL, 13, SMALL, TINY):
        pitch = size + 3
        most = max(1, (look.height - 3) // pitch)
        lines = lettering.wrapped(text, size, room, most)
        if not lines or not lines[-1].endswith("…"):
            break
    middle = (look.height - len(lines) * pitch + pitch) / 2
    for i, line in enumerate(lines):
        write(canvas, line, margin, middle + i * pitch, room, look.ink, size, ground=look.ground)


def _two_lines(canvas: np.ndarray, look: Appearance, left: int, right: int) -> None:
    """Writes the title of a row, and what else it says below it."""
    head, rest = split_label(look.label)
    faint = look.colours.faint if look.enabled else mix(look.ground, look.colours.faint, 0.6)
    middle, ground = look.height / 2, look.ground if look.height >= _TALL else None
    if not rest or look.height < 34:
        write(canvas, look.label, left, middle, right - left, look.ink, ground=ground)
        return
    write(canvas, head, left, middle - 8, right - left, look.ink, ground=ground)
    write(canvas, rest, left, middle + 9, right - left, faint, SMALL, ground=ground)


def _paint_item(canvas: np.ndarray, look: Appearance) -> None:
    paste(canvas, plain(max(1, look.width - 2 * MARGIN), 1, look.colours.line), MARGIN, look.height - 1)
    size = min(30, look.height - 8)
    left = MARGIN
    if look.width > 120 and size > 12:
        name, rest = split_label(look.label)
        picture, top = thumbnail(look.app, name, rest, size, look.theme), (look.height - size) // 2
        if picture is None:
            hue = (number_of(name) >> 16) % _HUES
            paste(canvas, _avatar(initial(name), hue, size, look.ground, look.theme), MARGIN, top)
        else:
            lay(canvas, picture, slab(size, size, 6), MARGIN, top)
        left += size + 10
    _two_lines(canvas, look, left, look.width - MARGIN)


@lru_cache(maxsize=1024)
def _avatar(letter: str, hue: int, size: int, ground: Colour, theme: str) -> np.ndarray:
    """Returns a letter in a circle of one of the colours that names have, (size, size, 3)."""
    canvas, colour, dark = blank(size, size, ground), tone(hue / _HUES), theme == "dark"
    disc(canvas, size / 2, size / 2, size, mix(ground, colour, 0.42 if dark else 0.2))
    ink = mix(colour, WHITE, 0.65) if dark else mix(colour, BLACK, 0.15)
    write(canvas, letter, 0, size / 2, size, ink, LABEL, bold=True, align=0.5)
    return canvas


def _paint_button(canvas: np.ndarray, look: Appearance) -> None:
    middle = look.height / 2
    if look.place == "dialog":
        ink = look.accent if look.enabled else look.ink
        write(canvas, look.label, 6, middle, look.width - 12, ink, LABEL, bold=True, align=0.5)
        return
    fill = look.accent if look.enabled else mix(look.ground, look.colours.ink, 0.1)
    tall = min(32, look.height)
    stamp(canvas, slab(look.width - 6, tall, tall), 3, round(middle - tall / 2), fill)
    ink = ink_on(fill) if look.enabled else mix(look.ground, look.colours.ink, 0.5)
    room = look.width - 24
    write(canvas, look.label, 12, middle, room, ink, fitting(look.label, room), bold=True, align=0.5)


def _paint_icon(canvas: np.ndarray, look: Appearance) -> None:
    middle_x, middle_y = look.width / 2, look.height / 2
    floating = look.place == "foot"
    ink = look.ink
    if floating:
        size = max(8, min(look.width, look.height) - 6)
        left, top = round(middle_x - size / 2), round(middle_y - size / 2)
        stamp(canvas, shadow(size, size, size, 2), left - 4, top - 2, BLACK, 0.35)
        disc(canvas, middle_x, middle_y, size, look.accent)
        ink = ink_on(look.accent)
    name = glyph_name(look.label)
    if look.checked and f"{name} full" in ("star full", "heart full"):
        name, ink = f"{name} full", ink if floating else look.accent
    if name:
        size = max(8, min(24 if floating else 21, look.width, look.height))
        stamp(canvas, glyph(name, size), round(middle_x - size / 2), round(middle_y - size / 2), ink)
        return
    if not floating:
        disc(canvas, middle_x, middle_y, min(24, look.width, look.height), mix(look.ground, look.accent, 0.25))
    write(canvas, initial(look.label), 0, middle_y, look.width, ink, LABEL, bold=True, align=0.5)


def _paint_field(canvas: np.ndarray, look: Appearance) -> None:
    top, right = 7, look.width - 2
    line = look.accent if look.focused else look.colours.outline
    outline = frame(right - 2, look.height - top - 3, 8, 2 if look.focused else 1)
    stamp(canvas, outline, 2, top, line, 1.0 if look.enabled else 0.5)
    label_ink = look.accent if look.focused else look.colours.faint
    room, middle = right - 26, (top + look.height - 3) / 2
    if not (look.text or look.focused):
        write(canvas, look.description, 14, middle, room, label_ink)
        return
    shown = lettering.elided(lettering.clean(look.description), TINY, room)
    if shown:
        canvas[:14, 10 : 18 + lettering.width(shown, TINY)] = look.ground
        write(canvas, shown, 14, 7, room, label_ink, TINY)
    typed, end = lettering.clean(look.text), 14
    if look.height < 72:
        typed = lettering.elided_left(typed, LABEL, room) if look.focused else typed
        end += write(canvas, typed, 14, middle, room, look.ink) if typed else 0
    else:
        for i, text in enumerate(lettering.wrapped(typed, LABEL, room, (look.height - 22) // 18)):
            middle = 26 + 18 * i
            end = 14 + write(canvas, text, 14, middle, room, look.ink)
    if look.focused:
        canvas[max(0, round(middle) - 8) : round(middle) + 9, end : end + 2] = look.accent


def _paint_toggle(canvas: np.ndarray, look: Appearance) -> None:
    middle, left = look.height / 2, look.width - MARGIN - 36
    _two_lines(canvas, look, MARGIN, left - 10)
    on = bool(look.checked)
    strength = 1.0 if look.enabled else 0.45
    top = round(middle) - 10
    if on:
        stamp(canvas, slab(36, 20, 10), left, top, look.accent, strength)
        disc(canvas, left + 26, top + 10, 14, ink_on(look.accent))
    else:
        stamp(canvas, frame(36, 20, 10, 1.5), left, top, look.colours.outline, strength)
        disc(canvas, left + 10, top + 10, 12, look.colours.outline, strength)


def _paint_check(canvas: np.ndarray, look: Appearance) -> None:
    top = round(look.height / 2) - 9
    strength = 1.0 if look.enabled else 0.45
    if look.checked:
        stamp(canvas, slab(18, 18, 4), MARGIN + 1, top, look.accent, strength)
        stamp(canvas, glyph("check", 16), MARGIN + 2, top + 1, ink_on(look.accent))
    else:
        stamp(canvas, frame(18, 18, 4, 1.75), MARGIN + 1, top, look.colours.outline, strength)
    _two_lines(canvas, look, MARGIN + 30, look.width - MARGIN)


def _paint_option(canvas: np.ndarray, look: Appearance) -> None:
    if look.width <= _CHIP:
        _paint_chip(canvas, look)
        return
    top = round(look.height / 2) - 9
    strength = 1.0 if look.enabled else 0.45
    colour = look.accent if look.checked else look.colours.outline
    stamp(canvas, frame(18, 18, 9, 1.75), MARGIN + 1, top, colour, strength)
    if look.checked:
        disc(canvas, MARGIN + 10, top + 9, 10, colour, strength)
    _two_lines(canvas, look, MARGIN + 28, look.width - MARGIN)


def _paint_chip(canvas: np.ndarray, look: Appearance) -> None:
    """Paints an option that has no room for a radio button: its label in a pill, filled where it is chosen."""
    tall, middle = max(8, min(28, look.height - 4)), look.height / 2
    wide, top, room = max(8, look.width - 4), round(middle - tall / 2), look.width - 10
    fill, ink = look.ground, look.ink
    if look.checked:
        fill = look.accent if look.enabled else mix(look.ground, look.colours.ink, 0.2)
        ink = ink_on(fill)
        stamp(canvas, slab(wide, tall, tall), 2, top, fill)
    else:
        stamp(canvas, frame(wide, tall, tall, 1), 2, top, look.colours.outline)
    write(canvas, look.label, 5, middle, room, ink, fitting(look.label, room), align=0.5)


def _paint_tab(canvas: np.ndarray, look: Appearance) -> None:
    canvas[-1] = look.colours.line
    ink = look.accent if look.checked else look.colours.faint
    ink = ink if look.enabled else look.ink
    room = look.width - 8
    size = fitting(look.label, room)
    taken = write(canvas, look.label, 4, look.height / 2 - 1, room, ink, size, bold=bool(look.checked), align=0.5)
    if look.checked:
        wide = max(1, min(room, taken + 12))
        stamp(canvas, slab(wide, 3, 1.5), round((look.width - wide) / 2), look.height - 3, look.accent)


def _paint_key(canvas: np.ndarray, look: Appearance) -> None:
    """Paints the key of the keyboard that is an element, in the accent colour."""
    tall = max(1, look.height - 6)
    stamp(canvas, slab(look.width - 2, tall, 6), 2, 3, look.accent)
    name, ink = glyph_name(look.label), ink_on(look.accent)
    middle = 3 + tall / 2
    if name or look.label.casefold() == "enter":
        stamp(canvas, glyph(name or "enter", 20), round(look.width / 2) - 10, round(middle) - 10, ink)
    else:
        write(canvas, look.label, 4, middle, look.width - 8, ink, SMALL, bold=True, align=0.5)


def _paint_image(canvas: np.ndarray, look: Appearance) -> None:
    canvas[:] = _picture(look)


def _picture(look: Appearance) -> np.ndarray:
    """Returns a landscape that follows from the label: sky, sun and two rows of hills, with round corners."""
    tall, wide = look.height, look.width
    own, seed = hashed(look.label), sum(hashed(look.label + "."))
    across, down = np.arange(wide), np.linspace(0, 1, tall)[:, None, None]
    sky = np.array(mix(own, WHITE, 0.35)) * (1 - down) + np.array(mix(own, (255, 226, 190), 0.8)) * down
    scene = blank(wide, tall, WHITE)
    scene[:] = sky.astype(np.uint8)
    sun = max(8, tall // 4)
    disc(scene, wide * (0.2 + seed % 7 / 10), tall * 0.34, sun, (255, 246, 220), 0.9)
    for i, (base, swing) in enumerate(((0.62, 0.12), (0.8, 0.09))):
        hill = tall * (base + swing * np.sin(across / (26 + seed % 13 + 9 * i) + seed + 2 * i))
        below = np.arange(tall)[:, None] > hill[None, :]
        scene[below] = mix(mix(own, (40, 90, 80), 0.5), BLACK, 0.12 + 0.25 * i)
    inside = slab(max(1, wide - 4), max(1, tall - 8), 10).reshape(max(1, tall - 8), -1, 3)
    corners = np.zeros((tall, wide, 3), np.int16)
    corners[4 : tall - 4, 2 : wide - 2] = inside[: max(0, tall - 8), : max(0, wide - 4)]
    return (look.ground + ((scene - np.array(look.ground, np.int16)) * corners >> 7)).astype(np.uint8)


_PAINTERS: dict[str, Callable[[np.ndarray, Appearance], None]] = {
    "text": _paint_text,
    "item": _paint_item,
    "button": _paint_button,
    "icon": _paint_icon,
    "field": _paint_field,
    "toggle": _paint_toggle,
    "check": _paint_check,
    "option": _paint_option,
    "tab": _paint_tab,
    "key": _paint_key,
    "image": _paint_image,
}
