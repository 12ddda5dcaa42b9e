"""Pictures from files that need not be trusted, and a canvas of fixed size for them.

`read_image` gives (height, width, 3) uint8 of a PNG, JPEG or WEBP file, or a DataError of one line. Before anything is
decoded, size and format are checked in the file's first bytes, and where the path leads. Of an animation it is the
first frame. Nothing of Pillow's global state is changed or needed: its plugins are used as classes, so that
`Image.MAX_IMAGE_PIXELS` and what `Image.open` has registered play no part. A program that sets
`ImageFile.LOAD_TRUNCATED_IMAGES` gets what it asked for: files that are cut short are then read as far as they go.
"""

import io
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from perlhf.errors import DataError, UserError, one_line

MAX_PIXELS = 16_000_000  # of a picture; COCO's have 0.4 million
MAX_BYTES = 50_000_000  # of a file; the largest picture has 48 million, not packed, in 8 bits
PADDING = 128  # the grey around a letterboxed picture

_STRIP = 2**18  # pixels converted at a time, so that only the decoded picture and the result are whole in memory
_HEAD = 30  # bytes that tell format and, of WEBP, size
# How a picture of an EXIF orientation gets upright; 1 is upright, and so is what EXIF does not know.
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: np.rot90(image),
}


def read_image(
    source: str | os.PathLike[str] | bytes, root: str | os.PathLike[str] | None = None, name: str = "image"
) -> np.ndarray:
    """Returns the picture, (height, width, 3) uint8, upright by its EXIF orientation, what is transparent on white.

    Grey, palette and CMYK become RGB; 16 bits become 8 by scaling, not by clipping.

    Args:
        source: a path, or the content of a file.
        root: the folder that the path may not leave, also not through `..` or a symbolic link; None for no such check.
            A relative path is relative to the working directory, as always, not to `root`.
        name: what errors call the content of a file.

    Raises:
        DataError: "FILE: what is wrong": no such file, a path out of `root`, another format, more than `MAX_PIXELS` or
            `MAX_BYTES`, a file that is damaged or cut short.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _decode(io.BytesIO(source), len(source), printable(name))
    path, name = Path(source), printable(os.fspath(source))
    try:
        if root is not None:
            _check_inside(path, Path(root), name)
        if not path.is_file():  # a folder, a device, a pipe that would block for ever; or nothing: stat says why
            path.stat()
            raise DataError(f"{name}: is no regular file.")
        with open(path, "rb") as file:
            return _decode(file, path.stat().st_size, name)
    except DataError:
        raise
    except (OSError, ValueError, RuntimeError) as error:  # also a NUL in the path, and links in a circle
        problem = getattr(error, "strerror", None) or one_line(error)
        raise DataError(f"{name}: cannot be read ({printable(problem)}).") from None


def _check_inside(path: Path, root: Path, name: str) -> None:
    if not path.resolve(strict=True).is_relative_to(root.resolve(strict=True)):
        raise DataError(f"{name}: leads out of the folder {printable(str(root))}; put the file inside it.")


def printable(text: str) -> str:
    """Returns a name from a data file, which may hold newlines, as an error names it: on one line."""
    return text if text.isprintable() else ascii(text)


def _decode(file: BinaryIO, size: int, name: str) -> np.ndarray:
    if size > MAX_BYTES:
        raise DataError(f"{name}: has {size} bytes, more than {MAX_BYTES}; make the file smaller.")
    head = file.read(_HEAD)
    file.seek(0)
    opener = _opener(head)
    if opener is None:
        what = "is no PNG, JPEG or WEBP file; convert it to one of these" if head else "is empty"
        raise DataError(f"{name}: {what}.")
    try:
        if opener is WebPImageFile:  # makes its canvas as soon as it is opened
            _check_size(*_webp_size(head), name)
        image = opener(file)
        _check_size(*image.size, name)
        _scale_transparency(image, head)
        image.load()
        turn, rgb = _turn(image), _to_rgb(image)
        del image  # its memory, before the picture is turned in some more
        return np.ascontiguousarray(turn(rgb))
    except DataError:
        raise
    except Exception as error:  # whatever the decoders make of damaged bytes; Pillow names no common class
        problem = printable(one_line(error))
        raise DataError(f"{name}: the {opener.format} file is damaged or cut short ({problem}).") from None


def _opener(head: bytes) -> type[ImageFile] | None:
    """Returns the plugin for a file of these first bytes; None for another format."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if head.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    return WebPImageFile if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def _webp_size(head: bytes) -> tuple[int, int]:
    """Width and height in the header of a WEBP file, by RFC 9649.

    Raises:
        ValueError: there is no such header.
        struct.error: it is cut short.
    """
    chunk = head[12:16]
    if chunk == b"VP8X":  # the canvas: two numbers of 24 bits, less 1
        low_width, high_width, low_height, high_height = struct.unpack_from("<HBHB", head, 24)
        return low_width + (high_width << 16) + 1, low_height + (high_height << 16) + 1
    if chunk == b"VP8L" and head[20:21] == b"\x2f":  # lossless: two numbers of 14 bits, less 1
        (bits,) = struct.unpack_from("<I", head, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":  # a key frame: two numbers of 14 bits
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    raise ValueError("no size in the header")


def _check_size(width: int, height: int, name: str) -> None:
    if not 0 < width * height <= MAX_PIXELS:
        raise DataError(f"{name}: has {width} x {height} pixels; there must be 1 to {MAX_PIXELS}.")


def _scale_transparency(image: ImageFile, head: bytes) -> None:
    """Scales the transparent colour of a PNG to the 8 bits that its pixels will have; Pillow leaves the file's own."""
    if image.format != "PNG" or image.mode == "P":  # of a palette it is a place in it
        return
    colour, depth = image.info.get("transparency"), head[24]
    if isinstance(colour, int) and depth < 8:
        image.info["transparency"] = colour * 255 // (2**depth - 1)
    elif isinstance(colour, tuple) and depth == 16:
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _to_rgb(image: Image.Image) -> np.ndarray:
    width, height = image.size
    rgb = np.empty((height, width, 3), np.uint8)
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        rgb[top:bottom] = _strip_to_rgb(image.crop((0, top, width, bottom)))
    return rgb


def _strip_to_rgb(strip: Image.Image) -> np.ndarray:
    if strip.mode.startswith("I"):  # 16 bits of grey, which `convert` would clip
        return _grey16_to_rgb(np.asarray(strip), strip.info.get("transparency"))
    if not strip.has_transparency_data:
        return np.asarray(strip.convert("RGB"))
    white = Image.new("RGBA", strip.size, "white")
    return np.asarray(Image.alpha_composite(white, strip.convert("RGBA")).convert("RGB"))


def _grey16_to_rgb(grey: np.ndarray, transparent: int | None) -> np.ndarray:
    scaled = ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 = 257 * 255
    if transparent is not None:
        scaled[grey == transparent] = 255
    return scaled[:, :, None]  # the same for red, green and blue


def _turn(image: ImageFile) -> Callable[[np.ndarray], np.ndarray]:
    """Turns a picture upright."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a broken note of the camera; the picture itself is sound
        orientation = None
    return _UPRIGHT.get(orientation if isinstance(orientation, int) else 1, _UPRIGHT[1])


def letterbox(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns the picture on a canvas of a fixed size, (height, width, 3) uint8.

    It is made as large as fits, larger too, with its aspect ratio kept (to a whole pixel, and at least one), and stands
    in the middle, with grey (`PADDING`) on two sides.

    Args:
        image: (any height, any width, 3) uint8.
        height: of the canvas, in pixels.
        width: of the canvas, in pixels.

    Raises:
        UserError: `image` is not of that form, or the canvas has no pixels.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise UserError(f"a picture must be (height, width, 3) uint8, got {image.shape} {image.dtype}.")
    if height < 1 or width < 1:
        raise UserError(f"a canvas must have at least 1 x 1 pixels, got height {height} and width {width}.")
    scale = min(height / image.shape[0], width / image.shape[1])
    rows, columns = (max(1, round(length * scale)) for length in image.shape[:2])
    if (rows, columns) != image.shape[:2]:
        image = np.asarray(Image.fromarray(image).resize((columns, rows), Image.Resampling.BILINEAR))
    canvas = np.full((height, width, 3), PADDING, np.uint8)
    top, left = (height - rows) // 2, (width - columns) // 2
    canvas[top : top + rows, left : left + columns] = image
    return canvas
