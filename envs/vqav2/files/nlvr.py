"""The reader of NLVR: statements that are true or false of a drawing of three boxes.

One JSON object a line, `.json`, `.jsonl` or packed with gzip:

    {"sentence": "Each grey box contains atleast one yellow object", "label": "true", "identifier": "1572-0",
     "directory": "2", "structured_rep": [...], "evals": {"r1": "true"}}

The picture is `{dev|train|test}-{identifier}-0.png`, in a folder, the folders in it, or an unpacked tar file. NLVR
shows the same boxes in six orders, 0 to 5; only the first is taken. `structured_rep`, which tells what is drawn, and
`evals`, single votes, are not read.

Source: github.com/lil-lab/nlvr (Suhr et al., ACL 2017). Checked against all 989 lines and pictures of its development
split, which has the directories 0 to 5. A directory was made together, so that it is the group of a split.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs.corpora.fields import limited_text, shown
from envs.corpora.jsonl import read_jsonl
from envs.corpora.records import Content, Skipped, content_of
from envs.vqav2.files.records import TarMember, VQARecord, find_images
from perlhf.errors import DataError

LABELS = ("true", "false")
_NAME = re.compile(r"[a-z0-9]+-(\d+-\d+)-0\.png", re.ASCII)
_IDENTIFIER = re.compile(r"\d{1,12}-\d{1,12}", re.ASCII)
_DIRECTORY = re.compile(r"\d{1,6}", re.ASCII)


def read_nlvr(path: str | Path, images: str | Path | None = None, split: str | None = None) -> Content[VQARecord]:
    """Reads a whole file; every line is a record or, where its picture is not there, is reported in `skipped`.

    Args:
        path: the file.
        images: a folder or an unpacked tar file of the pictures; None for records without pictures.
        split: the split of all records, where it is known; else their directories say it.

    Raises:
        DataError: a line that is not of the format, with FILE:LINE; a file without lines; a folder without pictures.
    """
    places = None if images is None else find_images(images, _NAME, "dev-1572-0-0.png")
    rows = (parse_nlvr(row, f"{path}:{number}", split) for number, row in read_jsonl(path))
    return content_of((_with_image(record, places, images) for record in rows), path)


def parse_nlvr(row: Mapping[str, Any], where: str, split: str | None = None) -> VQARecord:
    """One statement, without its picture; the only answer is "true" or "false".

    Of `meta`, question_id and image_id are the identifier, and directory is there too. Of six directories the fifth
    (number 4, 10, ...) is validation and the sixth is test: a hash would leave one of so few without any.

    Raises:
        DataError: the row is not of the format; the message starts with `where`.
    """
    sentence, label = limited_text(row, "sentence", where), limited_text(row, "label", where)
    identifier = _matched(row, "identifier", _IDENTIFIER, "two whole numbers such as 1572-0", where)
    directory = _matched(row, "directory", _DIRECTORY, "a whole number", where)
    if label not in LABELS:
        raise DataError(f"{where}: field 'label' must be true or false, got {shown(label)}.")
    meta = {
        "where": where,
        "question_id": identifier,
        "image_id": identifier,
        "question_type": "statement",
        "answer_type": "true/false",
        "directory": directory,
        "split": split or {4: "validation", 5: "test"}.get(int(directory) % 6, "train"),
    }
    return VQARecord(sentence, (label,), (), None, meta)


def _matched(row: Mapping[str, Any], key: str, pattern: re.Pattern[str], what: str, where: str) -> str:
    text = limited_text(row, key, where)
    if not pattern.fullmatch(text):
        raise DataError(f"{where}: field {key!r} must be {what}, got {shown(text)}.")
    return text


def _with_image(
    record: VQARecord, places: Mapping[str, Path | TarMember] | None, images: str | Path | None
) -> VQARecord | Skipped:
    where, identifier = record.meta["where"], record.meta["image_id"]
    if not record.question.strip():
        return Skipped(where, "the sentence is empty")
    if places is None:
        return record
    if identifier not in places:
        return Skipped(f"{where} (identifier {identifier})", f"its picture is not in {images}")
    return record._replace(image=places[identifier])
