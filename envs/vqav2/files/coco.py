"""The reader of a small annotated set of COCO photographs with questions that nobody has answered.

One JSON object, of which two arrays are read:

    {"images": [{"id": 522418, "file_name": "000000522418.jpg", "license": 4, "flickr_url": "http://...",
                 "width": 640, "height": 480}],
     "vqa_v1_val2014_questions": [{"question_id": 5113210, "image_id": 511321, "question": "What is the weather?"}]}

Source: the form of COCO's own annotations (cocodataset.org, Lin et al. 2014, arXiv 1405.0312), and of VQA's questions.
Licences differ by photograph, so each record carries `license`, the number of COCO's list, and `flickr_url`, where its
author put it. Captions and boxes are not read.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs.corpora.fields import int_field, limited_text, shown
from envs.corpora.json_array import read_array
from envs.corpora.records import Content, Skipped, content_of
from envs.corpora.splits import hashed_split
from envs.vqav2.files.records import TarMember, VQARecord, find_images
from envs.vqav2.files.vqa import Question, parse_question
from perlhf.errors import DataError

QUESTIONS = "vqa_v1_val2014_questions"
_NAME = re.compile(r"(\w[\w.\-]*\.jpg)", re.ASCII)


def read_coco(path: str | Path, images: str | Path | None = None, split: str | None = None) -> Content[VQARecord]:
    """Reads a whole file; every question is a record without answers, or is reported in `skipped`.

    Args:
        path: the file.
        images: the folder of the photographs; None for records without pictures.
        split: the split of all records, where it is known; else a hash of image_id says it.

    Raises:
        DataError: an entry that is not of the format, with FILE:LINE and its index; a question on a photograph that is
            not among `images` of the file; no questions; a folder without photographs.
    """
    places = None if images is None else find_images(images, _NAME, "000000522418.jpg")
    photos = _photos(path)
    questions = (parse_question(row, where) for where, row in read_array(path, QUESTIONS))
    return content_of((_record(question, photos, places, images, split) for question in questions), path)


def _photos(path: str | Path) -> dict[int, Mapping[str, Any]]:
    photos: dict[int, Mapping[str, Any]] = {}
    for where, row in read_array(path, "images"):
        if not isinstance(row, Mapping):
            raise DataError(f"{where} must be an object, got {shown(row)}.")
        image_id = int_field(row, "id", where)
        if image_id in photos:
            raise DataError(f"{where}: its id {image_id} is given twice.")
        name = limited_text(row, "file_name", where)
        if not _NAME.fullmatch(name):
            raise DataError(f"{where}: field 'file_name' must be a name such as 000000522418.jpg, got {shown(name)}.")
        credit = {"license": int_field(row, "license", where), "flickr_url": limited_text(row, "flickr_url", where)}
        photos[image_id] = {"file_name": name, **credit}
    return photos


def _record(
    question: Question,
    photos: Mapping[int, Mapping[str, Any]],
    places: Mapping[str, Path | TarMember] | None,
    images: str | Path | None,
    split: str | None,
) -> VQARecord | Skipped:
    photo = photos.get(question.image_id)
    if photo is None:
        raise DataError(f"{question.where}: no entry of 'images' has its image_id.")
    image = None if places is None else places.get(photo["file_name"])
    if not question.text.strip():
        return Skipped(question.where, "the question is empty")
    if places is not None and image is None:
        return Skipped(question.where, f"its picture is not in {images}")
    meta = {
        "where": question.where,
        "question_id": question.question_id,
        "image_id": question.image_id,
        "question_type": None,
        "answer_type": None,
        **photo,
        "split": split or hashed_split(str(question.image_id)),
    }
    return VQARecord(question.text, (), (), image, meta)
