"""The reader of VQA's own files: questions, annotations, COCO's pictures, complementary pairs.

Questions, `{..., "questions": [...]}`, and annotations, `{..., "annotations": [...]}`, in `.json` or `.json.gz`, joined
by question_id in whatever order they come:

    {"image_id": 458752, "question": "What is this photo taken looking through?", "question_id": 458752000}

    {"question_type": "what is this", "multiple_choice_answer": "net", "answer_type": "other", "image_id": 458752,
     "question_id": 458752000, "answers": [{"answer": "net", "answer_confidence": "maybe", "answer_id": 1}, ...]}

Pictures are `COCO_{subset}_{image_id in 12 digits}.jpg`, as in COCO_train2014_000000458752.jpg, or the 12 digits alone,
in the folder given or in the folders in it. Complementary pairs are one array, `[[question_id, question_id], ...]`: the
same question on two pictures, with different answers. Fields that are not named above are ignored.

Source: visualqa.org/download and the readme of github.com/GT-Vision-Lab/VQA (Goyal et al. 2017, arXiv 1612.00837).
Checked against 57,038 real entries of both files: names and types of the fields, ten answers each, the three words of
`answer_confidence`, one image_id in both. Not checked, for want of the files: pairs (their form is from public code
that reads them), and whole files of the real size.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from envs.corpora.fields import int_field, limited_text, list_field, shown
from envs.corpora.json_array import read_array
from envs.corpora.records import Content, Skipped, content_of
from envs.corpora.splits import hashed_split
from envs.vqav2.files.records import TarMember, VQARecord, find_images
from perlhf.errors import DataError

ANSWER_TYPES = ("yes/no", "number", "other")
CONFIDENCES = ("yes", "maybe", "no")
_TYPES = ("question_type", "answer_type", "multiple_choice_answer")
_COCO_NAME = re.compile(r"(?:COCO_\w+_)?(\d{12})\.jpg")


class Question(NamedTuple):
    """An entry of the questions; `where` says question_id and image_id too."""

    where: str
    question_id: int
    image_id: int
    text: str


class _Annotation(NamedTuple):
    where: str
    question_id: int
    image_id: int
    answers: tuple[str, ...]
    confidences: tuple[str, ...]
    types: Mapping[str, Any]


_Entry = TypeVar("_Entry", Question, _Annotation)


def read_vqa(
    questions: str | Path,
    annotations: str | Path | None = None,
    images: str | Path | None = None,
    split: str | None = None,
) -> Content[VQARecord]:
    """Reads whole files; every entry of either is in a record or is reported in `skipped`.

    Records come in the order of the questions; `meta` has multiple_choice_answer too. What is skipped: a question that
    has no annotation, or whose picture is not there (its image_id is named), or that is empty; an annotation that has
    no question. No picture is opened here; `load_image` reads one.

    Args:
        questions: the file of questions.
        annotations: the file of answers; None for questions without answers, as of VQA's own test split.
        images: the folder of the pictures; None for records without pictures.
        split: the split of all records, where it is known; else a hash of image_id says it.

    Raises:
        DataError: an entry that is not of the format, with FILE:LINE, its index and question_id; one question_id twice;
            image_ids that differ; a file without entries; a folder without pictures.
    """
    places = None if images is None else find_images(images, _COCO_NAME, "COCO_train2014_000000458752.jpg")
    asked = _by_id(questions, "questions", parse_question)
    answered = None if annotations is None else _by_id(annotations, "annotations", _parse_annotation)
    if answered is not None:
        _check_images(asked, answered)
    return content_of(_join(asked, answered, places, images, split), questions)


def _by_id(path: str | Path, key: str, parse: Callable[[Any, str], _Entry]) -> dict[int, _Entry]:
    entries: dict[int, _Entry] = {}
    for where, row in read_array(path, key):
        entry = parse(row, where)
        if entry.question_id in entries:
            raise DataError(f"{entry.where}: its question_id is also that of {entries[entry.question_id].where}.")
        entries[entry.question_id] = entry
    return entries


def _check_images(asked: Mapping[int, Question], answered: Mapping[int, _Annotation]) -> None:
    for question_id in asked.keys() & answered.keys():
        question, annotation = asked[question_id], answered[question_id]
        if question.image_id != annotation.image_id:
            raise DataError(f"{annotation.where}: its image_id is not that of {question.where}.")


def _join(
    asked: Mapping[int, Question],
    answered: Mapping[int, _Annotation] | None,
    places: Mapping[str, Path | TarMember] | None,
    images: str | Path | None,
    split: str | None,
) -> Iterator[VQARecord | Skipped]:
    for question in asked.values():
        annotation = None if answered is None else answered.get(question.question_id)
        image = None if places is None else places.get(f"{question.image_id:012d}")
        if not question.text.strip():
            yield Skipped(question.where, "the question is empty")
        elif answered is not None and annotation is None:
            yield Skipped(question.where, "no annotation has its question_id")
        elif places is not None and image is None:
            yield Skipped(question.where, f"its picture is not in {images}")
        else:
            yield _record(question, annotation, image, split)
    for annotation in (answered or {}).values():
        if annotation.question_id not in asked:
            yield Skipped(annotation.where, "no question has its question_id")


def _record(
    question: Question, annotation: _Annotation | None, image: Path | TarMember | None, split: str | None
) -> VQARecord:
    answers, confidences = (annotation.answers, annotation.confidences) if annotation else ((), ())
    meta = {
        "where": question.where,
        "question_id": question.question_id,
        "image_id": question.image_id,
        **(annotation.types if annotation else dict.fromkeys(_TYPES)),
        "split": split or hashed_split(str(question.image_id)),
    }
    return VQARecord(question.text, answers, confidences, image, meta)


def parse_question(row: Any, where: str) -> Question:
    """Returns a question as all data of VQA's form have it.

    Raises:
        DataError: it is not of the format; the message starts with `where`.
    """
    where, question_id, image_id = _ids(row, where)
    return Question(where, question_id, image_id, limited_text(row, "question", where))


def _ids(row: Any, where: str) -> tuple[str, int, int]:
    if not isinstance(row, Mapping):
        raise DataError(f"{where} must be an object, got {shown(row)}.")
    question_id = int_field(row, "question_id", where)
    image_id = int_field(row, "image_id", f"{where} (question_id {question_id})")
    return f"{where} (question_id {question_id}, image_id {image_id})", question_id, image_id


def _parse_annotation(row: Any, where: str) -> _Annotation:
    where, question_id, image_id = _ids(row, where)
    types = {key: limited_text(row, key, where) for key in _TYPES}
    if types["answer_type"] not in ANSWER_TYPES:
        raise DataError(
            f"{where}: field 'answer_type' must be one of {', '.join(ANSWER_TYPES)}, got {shown(types['answer_type'])}."
        )
    answers = list_field(row, "answers", where)
    if not answers:
        raise DataError(f"{where}: field 'answers' is empty; there must be at least one.")
    given = [_parse_answer(answer, f"{where}: answers[{index}]") for index, answer in enumerate(answers)]
    texts, confidences = zip(*given, strict=True)
    return _Annotation(where, question_id, image_id, texts, confidences, types)


def _parse_answer(answer: Any, where: str) -> tuple[str, str]:
    if not isinstance(answer, Mapping):
        raise DataError(f"{where} must be an object, got {shown(answer)}.")
    int_field(answer, "answer_id", where)
    text, confidence = limited_text(answer, "answer", where), limited_text(answer, "answer_confidence", where)
    if confidence not in CONFIDENCES:
        raise DataError(
            f"{where}: field 'answer_confidence' must be one of {', '.join(CONFIDENCES)}, got {shown(confidence)}."
        )
    return sys.intern(text), sys.intern(confidence)  # millions of answers, of which most are alike


def read_pairs(path: str | Path, records: Iterable[VQARecord]) -> Content[tuple[VQARecord, VQARecord]]:
    """Returns the complementary pairs of a file, as pairs of these records; a pair that lacks a record is in `skipped`.

    Raises:
        DataError: an entry that is not two different question_ids, with FILE:LINE and its index; a file without pairs.
    """
    by_id = {record.meta["question_id"]: record for record in records}
    return content_of((_pair(row, where, by_id) for where, row in read_array(path)), path)


def _pair(row: Any, where: str, by_id: Mapping[int, VQARecord]) -> tuple[VQARecord, VQARecord] | Skipped:
    if not isinstance(row, list) or len(row) != 2:
        raise DataError(f"{where}: must be two question_ids, got {shown(row)}.")
    ids = {"first": row[0], "second": row[1]}
    first, second = int_field(ids, "first", where), int_field(ids, "second", where)
    if first == second:
        raise DataError(f"{where}: must be two different question_ids, got {first} twice.")
    missing = [question_id for question_id in (first, second) if question_id not in by_id]
    if missing:
        return Skipped(
            f"{where} ({first}, {second})", "no record has the question_id " + " or ".join(map(str, missing))
        )
    return by_id[first], by_id[second]
