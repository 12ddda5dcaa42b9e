"""The reader of SHAPES: questions on drawings of 30 x 30 pixels, answered by true or false.

Three files, each plain or packed with gzip, found by the name of the first:

    train.tiny.input.npy       uint8 array (N, 30, 30, 3), channels blue, green, red
    train.tiny.query_str.txt   N lines such as "is a green shape left of a red shape"
    train.tiny.output          N lines, "true" or "false"

Source: github.com/ronghanghu/n2nmn, exp_shapes/shapes_dataset (Andreas et al., CVPR 2016). Checked against its files
train.tiny, train.small and val. Nothing says the order of the channels; but wherever a question that names red, or
blue, is true of a picture, the picture has that colour in this order, and not in the other.
"""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from envs.corpora.images import printable
from envs.corpora.json_array import read_bytes, read_text
from envs.corpora.records import Content, content_of
from envs.corpora.splits import hashed_split
from envs.vqav2.files.records import Pixels, VQARecord
from perlhf.errors import DataError, one_line

MAX_BYTES = 256 * 2**20  # of the unpacked array
_ARRAY = ".input.npy"


def read_shapes(path: str | Path, split: str | None = None) -> Content[VQARecord]:
    """Reads one array with its questions and answers; every row is a record, and nothing is skipped.

    Of `meta`, question_id is the row from 0, and image_id a hash of the pixels.

    Args:
        path: the array, named `NAME.input.npy` or `NAME.input.npy.gz`.
        split: the split of all records, where it is known; else a hash of the pixels says it.

    Raises:
        DataError: a file that is missing, damaged or of another form; files of different lengths; no rows.
    """
    path = Path(path)
    questions_path, labels_path = _beside(path, "query_str.txt"), _beside(path, "output")
    images, questions, labels = _read_images(path), _read_lines(questions_path), _read_lines(labels_path)
    for other, lines in ((questions_path, questions), (labels_path, labels)):
        if len(lines) != len(images):
            raise DataError(f"{other}:{len(lines)}: has {len(lines)} lines, but {path} has {len(images)} pictures.")
    for number, (question, label) in enumerate(zip(questions, labels, strict=True), start=1):
        if not question.strip():
            raise DataError(f"{questions_path}:{number}: the question is empty.")
        if label not in ("true", "false"):
            raise DataError(f"{labels_path}:{number}: must be true or false, got {label[:40]!r}.")
    return content_of(_records(images, questions, labels, questions_path, split), path)


def _records(
    images: np.ndarray, questions: list[str], labels: list[str], path: Path, split: str | None
) -> Iterator[VQARecord]:
    for row, (question, label) in enumerate(zip(questions, labels, strict=True)):
        image_id = hashlib.sha256(images[row].tobytes()).hexdigest()[:16]
        meta = {
            "where": f"{path}:{row + 1}",
            "question_id": row,
            "image_id": image_id,
            "question_type": None,
            "answer_type": "true/false",
            "split": split or hashed_split(image_id),
        }
        yield VQARecord(question, (label,), (), Pixels(images[row]), meta)


def _beside(path: Path, end: str) -> Path:
    """Returns the file of the same NAME with another end, packed or not."""
    name, found, _ = path.name.rpartition(_ARRAY)
    if not found:
        raise DataError(f"{path}: the array of SHAPES must be named NAME{_ARRAY} or NAME{_ARRAY}.gz.")
    plain = path.with_name(f"{name}.{end}")
    packed = path.with_name(f"{name}.{end}.gz")
    return packed if packed.exists() and not plain.exists() else plain


def _read_lines(path: Path) -> list[str]:
    text = read_text(path)
    lines = text.split("\n")
    if lines[-1]:
        raise DataError(f"{path}:{len(lines)}: the last line has no end; the file may be cut short.")
    for number, line in enumerate(lines, start=1):
        if not line.isprintable():
            raise DataError(f"{path}:{number}: holds a sign that is no text.")
    return lines[:-1]


def _read_images(path: Path) -> np.ndarray:
    """(N, 30, 30, 3) uint8, red, green, blue; checked in the header before an array is made."""
    content = read_bytes(path, MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise DataError(f"{path}:1: has more than {MAX_BYTES} bytes, too many for SHAPES.")
    file = io.BytesIO(content)
    try:
        shape, dtype = _header(file)
        if dtype != np.uint8 or shape[1:] != (30, 30, 3) or shape[0] < 1:
            got = f"{str(dtype)[:60]} of {str(shape)[:60]}"
            raise DataError(f"{path}:1: must hold uint8 of shape (N, 30, 30, 3), got {got}.")
        if shape[0] * 2700 != len(content) - file.tell():  # before an array of whatever size is made
            raise DataError(
                f"{path}:1: {len(content) - file.tell()} bytes follow a header for {shape[0]} pictures of 2700."
            )
        file.seek(0)
        images = npy.read_array(file, allow_pickle=False)
    except DataError:
        raise
    except Exception as error:  # whatever numpy makes of a damaged header
        raise DataError(f"{path}:1: is no sound npy file ({printable(one_line(error))[:200]}).") from None
    return np.ascontiguousarray(images[..., ::-1])


def _header(file: io.BytesIO) -> tuple[tuple[int, ...], np.dtype]:
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"version {version} of the format")
    shape, _, dtype = read(file)
    return shape, dtype
