"""Writes generated records in the schemas of the corpora's own files, for readers to read."""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from envs.corpora.records import Record
from envs.taskmaster.dialogs import Dialog, dialog_turns
from envs.taskmaster.turns import parse_turn
from envs.vqav2.scenes.corpus import ImageQuestion, VQACorpus


def write_hh(path: str | Path, records: Sequence[Record]) -> None:
    """Writes records in the schema of HH-RLHF's own files, with `"synthetic": true` beside the two transcripts."""
    with open(path, "w", encoding="utf-8") as file:
        for record in records:
            row = {key: f"{record.prompt} {getattr(record, key)}" for key in ("chosen", "rejected")}
            file.write(json.dumps({**row, "synthetic": True}) + "\n")


def write_table(path: str | Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Writes rows as the name of the file says: json lines, an array, csv or parquet, packed where it ends in `.gz`."""
    path = Path(path)
    kind = next(suffix for suffix in reversed(path.suffixes) if suffix != ".gz")
    if kind == ".parquet":
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
        return path
    if kind == ".csv":
        file = io.StringIO(newline="")
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in rows)
        text = file.getvalue()
    else:
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        text = "".join(f"{line}\n" for line in lines) if kind == ".jsonl" else f"[{', '.join(lines)}]\n"
    content = text.encode("utf-8")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_taskmaster(path: str | Path, rows: Iterable[tuple[Dialog, str, float]], seed: int = 0) -> None:
    """Writes (case, response, label) as an array in the original schema; every row says "synthetic"."""
    rng, records = np.random.default_rng(seed), []
    for number, (case, response, label) in enumerate(rows):
        records.append(
            {
                "conversation_id": f"dlg-synthetic-{number}",
                "context": json.dumps(dialog_turns(case, rng)),
                "generation": json.dumps(parse_turn(response)),
                "reward": float(label),
                "synthetic": True,
            }
        )
    Path(path).write_text(json.dumps(records, indent=4) + "\n", encoding="utf-8")


# VQAv2

SUBTYPES = {"train": "train2014", "validation": "val2014", "test": "test2015"}
_WITHOUT_ANSWERS = "test2015"  # VQAv2 keeps them to itself
_DATE = "2017-04-26 17:07:13"
_QUALITY = 95  # of the JPEG files
_LICENSE = {"name": "generated; no rights of others", "url": ""}


def write_vqa(
    corpus: VQACorpus, folder: str | Path, count: int | None = None, size: int = 64, subtype: str | None = None
) -> None:
    """Writes the first records of a split in the layout and under the names of VQAv2's files.

    The files are `v2_OpenEnded_mscoco_SUBTYPE_questions.json`, `v2_mscoco_SUBTYPE_annotations.json`,
    `v2_mscoco_SUBTYPE_complementary_pairs.json` and `SUBTYPE/COCO_SUBTYPE_000000000001.jpg` and so on. Their `info`
    says that they are synthetic. For test2015 there are questions and images alone, as in VQAv2.

    Args:
        corpus: the split.
        folder: where to; made if it is not there.
        count: how many records; all by default.
        size: the side of the images in pixels.
        subtype: "train2014", "val2014", "test2015" or any other name; by default that of the split.
    """
    subtype, folder = subtype or SUBTYPES[corpus.split], Path(folder)
    records = corpus[:count]
    images = folder / subtype
    images.mkdir(parents=True, exist_ok=True)
    for index, record in enumerate(records):
        image = Image.fromarray(corpus.image(index, size))
        image.save(images / f"COCO_{subtype}_{record.image_id:012d}.jpg", quality=_QUALITY, subsampling=0)
    _dump(folder / f"v2_OpenEnded_mscoco_{subtype}_questions.json", _questions(records, subtype))
    if subtype != _WITHOUT_ANSWERS:
        _dump(folder / f"v2_mscoco_{subtype}_annotations.json", _annotations(records, subtype))
        _dump(folder / f"v2_mscoco_{subtype}_complementary_pairs.json", _pairs(records))


def _questions(records: Sequence[ImageQuestion], subtype: str) -> dict[str, Any]:
    rows = [{"image_id": r.image_id, "question": r.question, "question_id": r.question_id} for r in records]
    return {**_header(subtype), "task_type": "Open-Ended", "questions": rows}


def _annotations(records: Sequence[ImageQuestion], subtype: str) -> dict[str, Any]:
    kept = ("question_type", "multiple_choice_answer", "answers", "image_id", "answer_type", "question_id")
    return {**_header(subtype), "annotations": [{name: getattr(r, name) for name in kept} for r in records]}


def _pairs(records: Sequence[ImageQuestion]) -> list[list[int]]:
    """The question ids of each pair that is there as a whole."""
    return [[one.question_id, two.question_id] for one, two in zip(records[::2], records[1::2], strict=False)]


def _header(subtype: str) -> dict[str, Any]:
    info = {
        "description": "Synthetic: perlhf's miniature VQA in the layout of VQA v2.0; generated from seeds.",
        "url": "",
        "version": "2.0",
        "year": 2017,
        "contributor": "perlhf",
        "date_created": _DATE,
    }
    return {"info": info, "license": _LICENSE, "data_subtype": subtype, "data_type": "mscoco"}


def _dump(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
