"""Gives a picture of a screen the size that is asked for."""

import numpy as np
from PIL import Image


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns a picture, (h, w, 3) uint8, at a width and height: itself where it has them, else resampled."""
    if picture.shape[1::-1] == size:
        return picture
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
