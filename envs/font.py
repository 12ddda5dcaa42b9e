"""Opens the font that all pictures are written with, so that they are the same on every machine.

It has Latin, Greek and Cyrillic letters, arrows, signs, and the commonest emoji in one colour; `docs/make_font.py`
makes it. Letters beyond it are drawn as boxes.
"""

from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

_FILE = Path(__file__).parent / "fonts" / "letters.ttf"
_NONE = "\uffff"  # which no font has, so that it is drawn as all that this one lacks


@lru_cache(maxsize=64)
def open_font(size: int) -> ImageFont.FreeTypeFont:
    """Returns the font, `size` pixels from line to line; Pillow alone places its letters, whatever else there is."""
    return ImageFont.truetype(str(_FILE), size, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=4096)
def is_lacking(char: str) -> bool:
    """Returns whether the font has no picture of a letter."""
    font = open_font(32)
    return bytes(font.getmask(char)) == bytes(font.getmask(_NONE))
