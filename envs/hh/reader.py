"""The reader of Anthropic's HH-RLHF files: jsonl or jsonl.gz of {"chosen", "rejected"}, whole transcripts.

    {"chosen": "\\n\\nHuman: Hi\\n\\nAssistant: Hello!", "rejected": "\\n\\nHuman: Hi\\n\\nAssistant: Go away."}

Source of the format: github.com/anthropics/hh-rlhf (arXiv 2204.05862).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from envs.corpora.fields import limited_text, shown
from envs.corpora.jsonl import read_jsonl
from envs.corpora.records import Content, Record, Skipped
from envs.corpora.splits import hashed_split
from perlhf.errors import DataError

_ANSWER = "\n\nAssistant:"
_QUESTION = "\n\nHuman:"
_OTHERS = {"prompt", "completion", "messages"}  # columns of other forms


def read_hh(path: str | Path) -> Content[Record]:
    """Reads a whole file; every row is a record or is reported in `skipped`.

    Raises:
        DataError: a row that is not of the format, with FILE:LINE.
    """
    records, skipped = [], []
    for item in _rows(Path(path)):
        if isinstance(item, Skipped):
            skipped.append(item)
        else:
            records.append(item)
    if not records:
        raise DataError(f"{path}: no preference pairs in {len(skipped)} rows.")
    return Content(records, skipped)


def _rows(path: Path) -> Iterator[Record | Skipped]:
    for number, row in read_jsonl(path):
        yield parse_hh(row, f"{path}:{number}")


def parse_hh(row: Mapping[str, Any], where: str) -> Record | Skipped:
    """One pair; `meta` has where.

    Raises:
        DataError: the row is not of the format; the message starts with `where`.
    """
    if _is_of_another_form(row):
        raise DataError(
            f"{where}: no transcripts of HH-RLHF, with a '\\n\\nAssistant:' turn in 'chosen' and 'rejected'; "
            f"preference data of other forms are read by --env Preferences-v0. Got {', '.join(map(shown, row))}."
        )
    chosen, rejected = (limited_text(row, key, where) for key in ("chosen", "rejected"))
    for key, text in (("chosen", chosen), ("rejected", rejected)):
        if _ANSWER not in text:
            raise DataError(f"{where}: field {key!r} has no '\\n\\nAssistant:' turn.")
    return _pair(chosen, rejected, where)


def _is_of_another_form(row: Mapping[str, Any]) -> bool:
    """Returns whether a row has a prompt of its own, lists of messages, or two answers that are no transcripts."""
    answers = [row.get("chosen"), row.get("rejected")]
    if any(isinstance(answer, list) for answer in answers):
        return True
    transcripts = [isinstance(answer, str) and _ANSWER in answer for answer in answers]
    return not any(transcripts) and (all(isinstance(a, str) for a in answers) or bool(_OTHERS & set(row)))


def _pair(chosen: str, rejected: str, where: str) -> Record | Skipped:
    prompt = chosen[: chosen.rindex(_ANSWER) + len(_ANSWER)]
    if prompt != rejected[: rejected.rindex(_ANSWER) + len(_ANSWER)]:
        return Skipped(where, "chosen and rejected do not share the prompt up to the last Assistant turn")
    answers = chosen[len(prompt) :].strip(), rejected[len(prompt) :].strip()
    if answers[0] == answers[1]:
        return Skipped(where, "chosen and rejected are the same")
    return Record(prompt, *answers, {"where": where})


def first_turn(prompt: str) -> str:
    """Returns the first Human turn of a transcript: what a fair split keeps on one side."""
    start = prompt.find(_QUESTION)
    text = prompt[start + len(_QUESTION) :] if start >= 0 else prompt
    return text.split(_ANSWER)[0].strip()


def split_of(record: Record) -> str:
    """ "train", "validation" or "test", by a hash of the first Human turn."""
    return hashed_split(first_turn(record.prompt))
