"""The reader of SHP, Stanford's human preferences: pairs of comments to one Reddit post, of which one has more votes.

One JSON object a line (files DOMAIN/train.json, validation.json, test.json; names of fields as on the hub):

    {"post_id": "qt3nxl", "domain": "askculinary_train", "upvote_ratio": 0.98, "history": "What's the best way ..",
     "c_root_id_A": "hkh25sc", "c_root_id_B": "hkh25lp", "created_at_utc_A": 1636822112,
     "created_at_utc_B": 1636822110, "score_A": 340, "score_B": 166, "human_ref_A": "Pectinex, perhaps? ..",
     "human_ref_B": "Raspberry juice ..", "labels": 1, "seconds_difference": 2.0, "score_ratio": 2.0481927711}

`labels` 1 prefers A, 0 prefers B. The prompt is "POST: {history}\\n\\nCOMMENT:". `upvote_ratio`, `c_root_id_*` and
`created_at_utc_*` are ignored, as are fields not named above.

Source: huggingface.co/datasets/stanfordnlp/SHP (Ethayarajh et al., ICML 2022, arXiv 2110.08420). Checked against its
card: names and types of the fields, the meaning of `labels`, that `domain` ends with the split and that a post is in
one split. By the card both scores are at least 2, so what `score_ratio` is for scores below 1 is said nowhere; there it
is taken as given. Not checked, for want of the files: to how many digits `score_ratio` is rounded.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from envs.corpora.fields import MAX_LENGTH, MAX_PROMPT, int_field, shown
from envs.corpora.jsonl import read_jsonl, text_field
from envs.corpora.records import Content, Record, Skipped, content_of
from envs.corpora.splits import hashed_split
from perlhf.errors import DataError, UserError

RATIO_TOLERANCE = 0.01  # admits ratios rounded to two digits
_OFFICIAL = ("train", "validation", "test")  # the ends of `domain` in the corpus's own files


def read_shp(
    path: str | Path, min_score_ratio: float = 1.0, max_pairs_per_post: int | None = None, split: str | None = None
) -> Content[Record]:
    """Reads a whole file; every row is a record or is reported in `skipped`, what the options leave out too.

    Args:
        path: a file of the format above.
        min_score_ratio: leave out pairs of a lower ratio of votes.
        max_pairs_per_post: keep so many pairs of a post, see `limit_pairs`; None keeps all.
        split: see `parse_shp`.

    Raises:
        DataError: a row that is not of the format, with FILE:LINE; a file without rows.
    """
    rows = (parse_shp(row, f"{path}:{number}", min_score_ratio, split) for number, row in read_jsonl(path))
    content: Content[Record] = content_of(rows, path)
    if max_pairs_per_post is None:
        return content
    records, left_out = limit_pairs(content.records, max_pairs_per_post)
    return Content(records, [*content.skipped, *left_out])


def parse_shp(
    row: Mapping[str, Any], where: str, min_score_ratio: float = 1.0, split: str | None = None
) -> Record | Skipped:
    """One pair; `meta` has where, post_id, domain, split, score_A, score_B, score_ratio and seconds_difference.

    Args:
        row: the row.
        where: its place, "FILE:LINE".
        min_score_ratio: a pair of a lower `score_ratio` is skipped.
        split: the split of the pair, where it is known; else the end of `domain` says it ("askculinary_train", as in
            the corpus's own files), else a hash of `post_id`.

    Raises:
        DataError: the row is not of the format or contradicts itself; the message starts with `where`.
    """
    prompt = f"POST: {text_field(row, 'history', where)}\n\nCOMMENT:"
    comments = [text_field(row, key, where).strip() for key in ("human_ref_A", "human_ref_B")]
    meta = _meta(row, where, split)
    chosen = 0 if _prefers_a(row, meta, where) else 1
    _check_ratio(meta, where)
    if len(prompt) > MAX_PROMPT or max(map(len, comments)) > MAX_LENGTH:
        return Skipped(where, f"a post of over {MAX_PROMPT} or a comment of over {MAX_LENGTH} characters")
    if comments[0] == comments[1]:
        return Skipped(where, "the two comments are the same")
    if meta["score_ratio"] < min_score_ratio:
        return Skipped(where, f"score_ratio {meta['score_ratio']:g} is below the minimum of {min_score_ratio:g}")
    return Record(prompt, comments[chosen], comments[1 - chosen], meta)


def limit_pairs(records: Sequence[Record], max_pairs_per_post: int) -> tuple[list[Record], list[Skipped]]:
    """Keeps of every post the pairs of the highest `score_ratio`, the earlier one of equals; in the order given.

    A post with many comments has many pairs; without a limit a few posts make up most of the data.
    """
    surplus = surplus_pairs(records, max_pairs_per_post)
    left_out = [Skipped(records[index].meta["where"], reason) for index, reason in surplus.items()]
    return [record for index, record in enumerate(records) if index not in surplus], left_out


def surplus_pairs(records: Iterable[Record], max_pairs_per_post: int) -> dict[int, str]:
    """Returns which records `limit_pairs` leaves out, in order, and why; ids and ratios are in memory, and no record.

    Raises:
        UserError: `max_pairs_per_post` is below 1.
    """
    if max_pairs_per_post < 1:
        raise UserError(f"max_pairs_per_post must be at least 1, got {max_pairs_per_post}.")
    by_post: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for index, record in enumerate(records):
        by_post[record.meta["post_id"]].append((-record.meta["score_ratio"], index))
    left_out = sorted(index for pairs in by_post.values() for _, index in sorted(pairs)[max_pairs_per_post:])
    return dict.fromkeys(left_out, f"its post has {max_pairs_per_post} pairs of a score_ratio as high or higher")


def _meta(row: Mapping[str, Any], where: str, split: str | None) -> dict[str, Any]:
    post_id, domain = text_field(row, "post_id", where), text_field(row, "domain", where)
    end = domain.rpartition("_")[2]
    return {
        "where": where,
        "post_id": post_id,
        "domain": domain,
        "split": split or (end if end in _OFFICIAL else hashed_split(post_id)),
        "score_A": int_field(row, "score_A", where),
        "score_B": int_field(row, "score_B", where),
        "score_ratio": _number(row, "score_ratio", where),
        "seconds_difference": _number(row, "seconds_difference", where),
    }


def _prefers_a(row: Mapping[str, Any], meta: Mapping[str, Any], where: str) -> bool:
    """Returns whether A is preferred, by the label and by the scores, which must agree."""
    label = int_field(row, "labels", where)
    score_a, score_b = meta["score_A"], meta["score_B"]
    if label not in (0, 1):
        raise DataError(f"{where}: field 'labels' must be 1 (A preferred) or 0 (B preferred), got {label}.")
    if score_a == score_b:
        raise DataError(f"{where}: score_A and score_B are both {score_a}, so neither comment is preferred.")
    if (score_a > score_b) != (label == 1):
        raise DataError(
            f"{where}: labels {label} prefers {'BA'[label]}, but score_A is {score_a} and score_B {score_b}."
        )
    return label == 1


def _check_ratio(meta: Mapping[str, Any], where: str) -> None:
    low, high = sorted((meta["score_A"], meta["score_B"]))
    if low < 1:  # not in SHP; a ratio with zero or a negative score has no agreed meaning
        return
    if abs(meta["score_ratio"] - high / low) > RATIO_TOLERANCE:
        raise DataError(
            f"{where}: score_ratio is {meta['score_ratio']:.6g}, but the scores {high} and {low} give {high / low:.6g}."
        )


def _number(row: Mapping[str, Any], key: str, where: str) -> float:
    value = row.get(key)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
        return float(value)
    raise DataError(f"{where}: field {key!r} must be a finite number, got {shown(value)}.")
