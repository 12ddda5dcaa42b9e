"""`Lesson`: a picture, what is asked and said about it, and where words stand on it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Word(NamedTuple):
    """Where a word, or an icon by its name, is on a picture.

    Attributes:
        text: without white space.
        left, right: pixels from the left edge.
        middle: the row of pixels that it stands around.
        touch: pixels from the left and from the top, where it is touched: the middle of what it is on.
        mark: the number that is drawn there; 0 for none.
    """

    text: str
    left: int
    right: int
    middle: int
    touch: tuple[float, float] | None = None
    mark: int = 0


class Lesson(NamedTuple):
    """A picture and what is said of it.

    Attributes:
        picture: (height, width, 3) uint8.
        texts: (prompt, response) each, none of which knows of the others.
        words: that can be read on it, as far as their places are known.
        told: whether these are told in place of the picture.
    """

    picture: np.ndarray
    texts: list[tuple[str, str]]
    words: Sequence[Word] = ()
    told: bool = False
