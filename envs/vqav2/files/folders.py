"""Finds the picture questions of a split in a folder that a user names: VQA's own files, NLVR's, SHAPES', COCO's.

What a folder holds is told by the names in it:

    v2_OpenEnded_mscoco_train2014_questions.json   VQA (of version 1 without `v2_`), with the annotations beside it and
                                                   the pictures in the folder train2014; the same with val2014
    dev.jsonl                                      NLVR (or .json, or train, or test), with the pictures beside it in
                                                   dev_images*.tar, or in the folder images
    NAME.input.npy                                 SHAPES, with NAME.query_str.txt and NAME.output
    annotations.json                               annotated COCO photographs in the folder images; nobody's answers

Each may be packed, `.gz`. Of a train file and a val or dev file the latter is the test split, and a tenth of the
former the validation split; with a test file beside them all are what their names say. A file that is alone is split
8:1:1, by its pictures (NLVR's by their directories). VQA's test2015 is left aside, since nobody has its answers.
"""

import logging
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path

from envs.corpora.records import Content
from envs.corpora.splits import Source, read_split, side_by_name
from envs.vqav2.files.coco import read_coco
from envs.vqav2.files.nlvr import read_nlvr
from envs.vqav2.files.records import VQARecord, split_of
from envs.vqav2.files.shapes import read_shapes
from envs.vqav2.files.vqa import read_pairs, read_vqa
from perlhf.errors import DataError

logger = logging.getLogger(__name__)

_SUBTYPES = {"train2014": "train", "val2014": "test"}  # VQA's parts, and which split each is
_NAMED = 5  # names of a folder that an error gives


def _packed_too(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{end}" for name in names for end in ("", ".gz"))


def _beside(path: Path, name: str) -> Path:
    """Returns the file of that name in the folder of `path`, packed where it is only there so."""
    plain, packed = path.with_name(name), path.with_name(f"{name}.gz")
    return packed if packed.exists() and not plain.exists() else plain


def _folder_beside(path: Path, name: str) -> Path:
    folder = path.with_name(name)
    if not folder.is_dir():
        raise DataError(f"{path}: its pictures are missing; put them into a folder {name} beside it.")
    return folder


def _subtype(path: Path) -> str:
    return next(name for name in _SUBTYPES if f"_{name}_" in path.name.lower())


def _vqa_side(path: Path) -> str:
    return _SUBTYPES[_subtype(path)]


def _read_vqa(path: Path) -> Content[VQARecord]:
    subtype = _subtype(path)
    start = "v2_" if path.name.lower().startswith("v2_") else ""
    images = _folder_beside(path, subtype)
    return read_vqa(path, _beside(path, f"{start}mscoco_{subtype}_annotations.json"), images)


def _read_nlvr(path: Path) -> Content[VQARecord]:
    tars = sorted(path.parent.glob(f"{side_by_name(path)}_images*.tar"))
    return read_nlvr(path, tars[0] if tars else _folder_beside(path, "images"))


def _read_coco(path: Path) -> Content[VQARecord]:
    return read_coco(path, _folder_beside(path, "images"))


def _side(path: Path) -> str:
    """Returns which split train.jsonl, dev.jsonl or val.input.npy is, beside others."""
    name = side_by_name(path)
    if name not in ("dev", "val"):
        return name
    return "validation" if any(side_by_name(other) == "test" for other in path.parent.iterdir()) else "test"


def _source(read: Callable[[Path], Content[VQARecord]], side: Callable[[Path], str], *names: str) -> Source:
    return Source(read, split_of, _packed_too(*names), "a folder of picture questions", named=True, side=side)


_NLVR = [f"{part}.{end}" for part in ("train", "dev", "test") for end in ("jsonl", "json")]
_VQA = [f"openended_mscoco_{name}_questions.json" for name in _SUBTYPES]
SOURCES = {
    "v2_OpenEnded_mscoco_train2014_questions.json (VQA)": _source(_read_vqa, _vqa_side, *(f"v2_{n}" for n in _VQA)),
    "OpenEnded_mscoco_train2014_questions.json (VQA v1)": _source(_read_vqa, _vqa_side, *_VQA),
    "dev.jsonl (NLVR)": _source(_read_nlvr, _side, *_NLVR),
    "NAME.input.npy (SHAPES)": _source(read_shapes, _side, "*.input.npy"),
    "annotations.json (COCO)": _source(_read_coco, side_by_name, "annotations.json"),
}


def read_folder(folder: Path, split: str) -> tuple[VQARecord, ...]:
    """Returns the questions of a split whose picture is there; those without one are reported, not read.

    Raises:
        DataError: no such folder, or none of the files above in it; no pictures; no question in this split; a file that
            is not of its format, with FILE:LINE.
    """
    return read_split(_found(folder), folder, split)


def _found(folder: Path) -> Source:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; give one of VQA's, NLVR's or SHAPES' files, or 'miniature'.")
    names = sorted(entry.name for entry in folder.iterdir())
    for source in SOURCES.values():
        if any(fnmatch(name.lower(), pattern) for name in names for pattern in source.patterns):
            return source
    there = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "") or "nothing"
    raise DataError(f"{folder}: no picture questions; looked for {', '.join(SOURCES)}; there is {there}.")


def folder_pairs(folder: Path, records: Sequence[VQARecord]) -> tuple[tuple[int, int], ...]:
    """VQA's complementary pairs as positions in `records`; those that lack one there are counted in the log.

    Raises:
        DataError: a file of pairs that is not of the format.
    """
    position = {record.meta["question_id"]: i for i, record in enumerate(records)}
    pairs: list[tuple[int, int]] = []
    for path in sorted(folder.glob("*_complementary_pairs.json*")):
        content = read_pairs(path, records)
        logger.info("%s: %d pairs are not whole in this split", path, len(content.skipped))
        pairs += [(position[a.meta["question_id"]], position[b.meta["question_id"]]) for a, b in content.records]
    return tuple(pairs)
