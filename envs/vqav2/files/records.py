"""`VQARecord`: a question on a picture with people's answers; and where its picture lies."""

import os
import re
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from envs.corpora.images import MAX_BYTES, printable, read_image
from perlhf.errors import DataError, UserError, one_line


class TarMember(NamedTuple):
    """A file inside a tar file that is not packed: its name there, and its place and length in bytes."""

    tar: Path
    name: str
    offset: int
    size: int


@dataclass(frozen=True, eq=False)
class Pixels:
    """A picture that is in memory already, (height, width, 3) uint8."""

    array: np.ndarray


class VQARecord(NamedTuple):
    """One question on one picture.

    Attributes:
        question: as it was asked; of NLVR a statement, true or false of the picture.
        answers: of the people who were asked, ten in VQA's own files, one where the data have one label, none where
            they have no answers.
        confidences: "yes", "maybe" or "no" for each answer; empty where nobody was asked.
        image: where the picture lies; None where no folder of pictures was given.
        meta: where (the entry's FILE:LINE), question_id, image_id, question_type and answer_type (None if unknown),
            split ("train", "validation" or "test", the same for all questions on a picture), and more by the reader.
    """

    question: str
    answers: tuple[str, ...]
    confidences: tuple[str, ...]
    image: Path | TarMember | Pixels | None
    meta: Mapping[str, Any]


def split_of(record: VQARecord) -> str:
    """ "train", "validation" or "test", the same for all questions on a picture."""
    return str(record.meta["split"])


def load_image(record: VQARecord, root: str | Path | None = None) -> np.ndarray:
    """Returns the record's picture, (height, width, 3) uint8, read now.

    Args:
        record: the record.
        root: the folder that its path may not leave; by default the folder that the file is in.

    Raises:
        DataError: the picture cannot be read, see `read_image`.
        UserError: the record has none.
    """
    image = record.image
    if image is None:
        raise UserError(
            f"{record.meta['where']}: the question has no picture; read its file with a folder of pictures."
        )
    if isinstance(image, Pixels):
        return image.array.copy()
    if isinstance(image, TarMember):
        name = f"{image.tar}: {printable(image.name)}"
        return read_image(_read_member(image, name), name=name)
    return read_image(image, image.parent if root is None else root)


def _read_member(member: TarMember, name: str) -> bytes:
    if not 0 <= member.size <= MAX_BYTES:
        raise DataError(f"{name}: has {member.size} bytes, more than {MAX_BYTES}.")
    try:
        with open(member.tar, "rb") as file:
            file.seek(member.offset)
            return file.read(member.size)
    except OSError as error:
        raise DataError(f"{member.tar}: cannot be read ({error.strerror or error}).") from None


def find_images(images: str | Path, name: re.Pattern[str], example: str) -> dict[str, Path | TarMember]:
    """Returns the pictures below a folder, or in a tar file, by the first group of their name's pattern.

    No picture is opened. Folders that are symbolic links are not entered. Of two pictures for one key it is the first
    by path.

    Args:
        images: the folder or tar file.
        name: the pattern of a whole name, without folders.
        example: such a name, for messages.

    Raises:
        DataError: there is no such folder or file, no tar file, or no picture in it.
    """
    images = Path(images)
    found: dict[str, Path | TarMember] = {}
    for file_name, place in _folder(images) if images.is_dir() else _tar(images):
        match = name.fullmatch(file_name)
        if match:
            found.setdefault(match[1], place)
    if not found:
        raise DataError(f"{images}: no file is named like {example}; give the folder of the pictures.")
    return found


def _folder(folder: Path, deeper: bool = True) -> Iterator[tuple[str, Path | TarMember]]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror or error}).") from None
    for entry in listed:
        if not entry.is_dir():
            yield entry.name, folder / entry.name
        elif deeper and not entry.is_symlink():
            yield from _folder(folder / entry.name, deeper=False)


def _tar(path: Path) -> Iterator[tuple[str, Path | TarMember]]:
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                if member.size < 0:  # a loop without end otherwise
                    raise ValueError(f"a member of {member.size} bytes")
                if member.isreg() and not member.issparse():
                    place = TarMember(path, member.name, member.offset_data, member.size)
                    yield member.name.rpartition("/")[2], place
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from None
    except Exception as error:  # whatever tarfile makes of damaged bytes
        raise DataError(
            f"{path}: is no folder and no unpacked tar file of pictures ({printable(one_line(error))})."
        ) from None
