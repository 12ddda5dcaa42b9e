"""The readers of TL;DR: OpenAI's comparisons of summaries, and the posts with their authors' summaries.

A comparison (`parse_comparison`, files such as comparisons/batch3.json, one JSON object a line):

    {"info": {"id": "t3_2vwp1w", "post": "I had a car accident ..", "title": "Dutch law?", "subreddit": "legaladvice"},
     "summaries": [{"text": " car accident ..", "policy": "sup4_ppo_rm3_kl10", "note": ".."},
                   {"text": " we suspect ..", "policy": "ref", "note": null}],
     "choice": 1, "worker": "..", "batch": "batch9", "split": "train", "extra": {"confidence": 8}}

A post (`parse_post`, files tldr_3_filtered/{train,valid,test}.jsonl), for supervised tuning and as a prompt of RL:

    {"id": "t3_1hxu8s", "subreddit": "relationships", "title": "I (f/22) ..", "post": "Not sure ..", "summary": "I .."}

Both give the prompt "SUBREDDIT: r/legaladvice\\n\\nTITLE: ..\\n\\nPOST: ..\\n\\nTL;DR:". Other fields are ignored.

Source: github.com/openai/summarize-from-feedback (arXiv 2009.01325). Checked against its README: every field of a
comparison, the three values of `split`, and `info` of CNN/DM news (`article`, `site`, no `post`). Checked against its
code: of a post only `summary` and the names of the files. Not checked, for want of the files: the other fields of a
post, and that no post is in two splits.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs.corpora.fields import int_field, limited_text, list_field, mapping_field, shown
from envs.corpora.jsonl import read_jsonl, text_field
from envs.corpora.records import Content, Demonstration, Record, Skipped, content_of
from envs.corpora.splits import hashed_split
from perlhf.errors import DataError

COMPARISON_SPLITS = {"train": "train", "valid1": "validation", "valid2": "test"}
POST_SPLITS = {"train": "train", "valid": "validation", "test": "test"}


def read_tldr(path: str | Path) -> Content[Record | Demonstration]:
    """Reads a whole file of comparisons or posts; every row is a record or is reported in `skipped`.

    Raises:
        DataError: a row that is not of the format, with FILE:LINE; a file without rows.
    """
    split = POST_SPLITS.get(Path(path).name.split(".")[0])
    return content_of((parse_tldr(row, f"{path}:{number}", split) for number, row in read_jsonl(path)), path)


def parse_tldr(row: Mapping[str, Any], where: str, split: str | None = None) -> Record | Demonstration | Skipped:
    """Returns a comparison where the row has one's fields, else a post, which its file's name gives a split."""
    return parse_comparison(row, where) if "info" in row or "summaries" in row else parse_post(row, where, split)


def parse_comparison(row: Mapping[str, Any], where: str) -> Record | Skipped:
    """One comparison; `meta` has where, id, split, policies (in the row's order) and choice.

    `split` is "train", "validation" (valid1) or "test" (valid2); a row without one goes by its post's id.

    Raises:
        DataError: the row is not of the format; the message starts with `where`.
    """
    info = mapping_field(row, "info", where)
    if info.get("post") is None and info.get("article") is not None:  # the hub fills absent fields with null
        text_field(info, "article", f"{where}: info")
        return Skipped(where, "the summaries are of a CNN/DM article, not of a post")
    prompt, post_id = _prompt(info, f"{where}: info"), text_field(info, "id", f"{where}: info")
    texts, policies = _summaries(row, where)
    choice = _choice(row, where)
    split = _split(row, COMPARISON_SPLITS, post_id, where)
    if texts[0] == texts[1]:
        return Skipped(where, "the two summaries are the same")
    meta = {"where": where, "id": post_id, "split": split, "policies": policies, "choice": choice}
    return Record(prompt, texts[choice], texts[1 - choice], meta)


def parse_post(row: Mapping[str, Any], where: str, split: str | None = None) -> Demonstration | Skipped:
    """One post with its author's summary; `meta` has where, id and split.

    Args:
        row: the row.
        where: its place, "FILE:LINE".
        split: what the corpus says; without it the row's own `split` or else its id decides.

    Raises:
        DataError: the row is not of the format; the message starts with `where`.
    """
    prompt, post_id = _prompt(row, where), text_field(row, "id", where)
    response = limited_text(row, "summary", where).strip()
    meta = {"where": where, "id": post_id, "split": split or _split(row, POST_SPLITS, post_id, where)}
    return Demonstration(prompt, response, meta) if response else Skipped(where, "the summary is empty")


def _prompt(post: Mapping[str, Any], where: str) -> str:
    subreddit, title, body = (limited_text(post, key, where) for key in ("subreddit", "title", "post"))
    name = subreddit.removeprefix("/").removeprefix("r/")
    return f"SUBREDDIT: r/{name}\n\nTITLE: {title}\n\nPOST: {body}\n\nTL;DR:"


def _summaries(row: Mapping[str, Any], where: str) -> tuple[list[str], list[str]]:
    """Returns the two texts and the two policies that wrote them."""
    summaries = list_field(row, "summaries", where)
    if len(summaries) != 2:
        raise DataError(f"{where}: field 'summaries' must hold two summaries, got {len(summaries)}.")
    texts, policies = [], []
    for index, summary in enumerate(summaries):
        place = f"{where}: summaries[{index}]"
        if not isinstance(summary, Mapping):
            raise DataError(f"{place} must be an object, got {shown(summary)}.")
        texts.append(limited_text(summary, "text", place).strip())
        policies.append(text_field(summary, "policy", place))
    return texts, policies


def _choice(row: Mapping[str, Any], where: str) -> int:
    choice = int_field(row, "choice", where)
    if choice not in (0, 1):
        raise DataError(f"{where}: field 'choice' must be 0 or 1, got {choice}.")
    return choice


def _split(row: Mapping[str, Any], known: Mapping[str, str], post_id: str, where: str) -> str:
    if row.get("split") is None:
        return hashed_split(post_id)
    split = text_field(row, "split", where)
    if split not in known:
        raise DataError(f"{where}: field 'split' must be one of {', '.join(known)}, got {shown(split)}.")
    return known[split]
