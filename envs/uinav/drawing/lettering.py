"""Text as masks: letters are drawn once for each size, then set side by side to a quarter of a pixel.

Drawing a label with Pillow takes longer than a whole screen may, so the masks of letters are kept, and those of the
words that were written last.
"""

import unicodedata
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from envs.font import is_lacking, open_font
from envs.uinav.drawing.paint import FULL, thrice

_FINE = 4  # positions within a pixel
_LONGEST = 1200  # characters of a text that are looked at: more than fill a screen
_KEPT = 500  # letters of a size and position that are kept
_DOTS = "…"
_UNSEEN = ("Mn", "Me", "Cf")  # kinds of characters that only change the one before
_TONES = "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"  # of the skin of an emoji


@lru_cache(maxsize=1024)
def clean(text: str) -> str:
    """Returns the text in one line, each letter with its accents as one character, without marks that have no place."""
    text = text[:_LONGEST]
    if not (text.isascii() and text.isprintable()):
        kept = (c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c) not in _UNSEEN)
        text = "".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in kept if c not in _TONES)
    return text.strip()


def width(text: str, size: int) -> int:
    """Pixels that a cleaned text takes in one line."""
    words = text.split(" ")
    way = sum([_way(word, size) for word in words]) + (len(words) - 1) * _advance(" ", size)
    return -(-way // _FINE) + 1


def elided(text: str, size: int, room: int) -> str:
    """Returns the text if it fits into `room` pixels, else its beginning and dots; "" where not even these fit."""
    if width(text, size) <= room:
        return text
    left = (room - 1) * _FINE - _advance(_DOTS, size)
    if left < 0:
        return ""
    for i, char in enumerate(text):
        left -= _advance(char, size)
        if left < 0:
            return text[:i].rstrip() + _DOTS
    return text


def elided_left(text: str, size: int, room: int) -> str:
    """Returns the text if it fits, else dots and its end."""
    return elided(text[::-1], size, room)[::-1]


def wrapped(text: str, size: int, room: int, most: int) -> list[str]:
    """Returns the text in at most `most` lines that fit into `room` pixels, broken between words if it can be."""
    lines: list[str] = []
    words, gap, longest = text.split(" "), _advance(" ", size), (room - 1) * _FINE
    while words and len(lines) < most - 1:
        line = words.pop(0)
        way = _way(line, size)
        while words and way + gap + _way(words[0], size) <= longest:
            way += gap + _way(words[0], size)
            line += " " + words.pop(0)
        head = _head(line, size, room)
        if head != line:  # one word that is longer than a line
            words.insert(0, line[len(head) :])
        lines.append(head)
    return [*lines, elided(" ".join(words), size, room)] if words else lines


def _head(word: str, size: int, room: int) -> str:
    """As much of a word as fits, at least one letter."""
    taken = 0
    for i, char in enumerate(word):
        taken += _advance(char, size)
        if taken > (room - 1) * _FINE and i:
            return word[:i]
    return word


def baseline(size: int) -> int:
    """Rows of a mask above the feet of its letters."""
    return size + 1


def top_for(middle: float, size: int) -> int:
    """Returns the top of the mask for which capitals are centred around a row of pixels."""
    return round(middle - baseline(size) + size * 0.36)


def letters(text: str, size: int, bold: bool = False) -> np.ndarray:
    """Returns the mask of a cleaned text in one line, `baseline + size // 2` pixels high and a little wider than it."""
    *words, last = text.split(" ")
    at, masks = 0, []
    for word in [*[f"{word} " for word in words], last]:
        mask, way = _word(word, size, bold, at % _FINE)
        masks.append(mask)
        at += way
    return np.concatenate(masks, axis=1)


@lru_cache(maxsize=2048)
def _word(word: str, size: int, bold: bool, phase: int) -> tuple[np.ndarray, int]:
    """Returns the mask of a word that begins `phase` quarters of a pixel into it, and the way behind the word.

    With a space at its end it is as wide as this way, and the mask of the next word stands behind it: no letter reaches
    over a space. Letters reach into the place of the next one, but not of the one after it: so every other letter goes
    into a layer of its own, where they are joined as bytes, column by column. That is several times as fast as adding
    up arrays.
    """
    cells, height = _cells(size, bold), baseline(size) + size // 2
    here: list[bytes] = []  # the layer of this letter, and where it ends, in bytes; and those of the other one
    there: list[bytes] = []
    end = other_end = 0
    at = phase
    for char in word:
        cell, step = cells[at % _FINE][char]
        start = at // _FINE * height
        if start >= end:
            here.append(bytes(start - end))
        else:
            here[-1] = here[-1][: start - end]
        here.append(cell)
        here, there, end, other_end = there, here, other_end, start + len(cell)
        at += step
    total = max(end, other_end, height)
    here.append(bytes(total - end))
    there.append(bytes(total - other_end))
    covered = np.maximum(np.frombuffer(b"".join(here), np.uint8), np.frombuffer(b"".join(there), np.uint8))
    covered = covered.reshape(-1, height).T
    if word.endswith(" "):
        covered = covered[:, : at // _FINE]
    return thrice(covered), at - phase


@lru_cache(maxsize=4096)
def _way(word: str, size: int) -> int:
    """Returns the way from the beginning of a word to its end, in quarters of a pixel."""
    return sum([_advance(char, size) for char in word])


@lru_cache(maxsize=4096)
def _advance(char: str, size: int) -> int:
    """Returns the way from one letter to the next, in quarters of a pixel."""
    if is_lacking(char):
        return round(size * _FINE * (0.3 + 0.15 * len(_code(char))))
    return max(0, round(open_font(size * _FINE).getlength(char)))


class _Cells(dict[str, tuple[bytes, int]]):
    """For each letter its pixels where it begins `phase` quarters of a pixel into them, and the way to the next one.

    Pixels are from 0 to `FULL`, columns one after another. Bold letters are smeared by a quarter of a pixel.
    """

    def __init__(self, size: int, bold: bool, phase: int) -> None:
        self._of = (size, bold, phase)

    def __missing__(self, char: str) -> tuple[bytes, int]:
        if len(self) > _KEPT:
            self.clear()
        size, bold, phase = self._of
        height, wide = baseline(size) + size // 2, _advance(char, size) // _FINE + 3
        fine = Image.new("L", (wide * _FINE, height * _FINE))
        draw = ImageDraw.Draw(fine)
        if is_lacking(char):
            _draw_code(draw, char, phase, size)
        else:
            for smear in range(2 if bold else 1):
                at = (phase + smear, baseline(size) * _FINE)
                draw.text(at, char, fill=255, font=open_font(size * _FINE), anchor="ls")
        covered = np.asarray(fine.reduce(_FINE)).astype(float) / 255
        # A little darker, as small letters look pale when they are smooth.
        pixels = np.round(FULL * covered**0.85).astype(np.uint8).T.tobytes()
        self[char] = (pixels, _advance(char, size))
        return self[char]


def _code(char: str) -> str:
    """Returns the number of a character in hexadecimal digits, four or six of them."""
    return f"{ord(char):04X}" if ord(char) < 0x10000 else f"{ord(char):06X}"


def _draw_code(draw: ImageDraw.ImageDraw, char: str, left: int, size: int) -> None:
    """Draws a box with the number of a character that the font lacks, in two rows of hexadecimal digits."""
    code = _code(char)
    right, bottom = left + _advance(char, size) - _FINE, baseline(size) * _FINE
    top, half = bottom - round(size * _FINE * 0.85), len(code) // 2
    draw.rectangle((left + 1, top, right, bottom), outline=190, width=_FINE // 2)
    tall = (bottom - top) / 2
    for row, digits in enumerate((code[:half], code[half:])):
        middle = ((left + 1 + right) / 2, top + tall * (row + 0.52))
        draw.text(middle, digits, fill=230, font=open_font(round(tall * 0.85)), anchor="mm")


@lru_cache(maxsize=32)
def _cells(size: int, bold: bool) -> tuple[_Cells, ...]:
    """By the quarter of a pixel that a letter begins at."""
    return tuple(_Cells(size, bold, phase) for phase in range(_FINE))
