"""Miniature HH as a grammar, and written down in the schema of HH-RLHF's own files."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from envs.corpora.records import Record
from envs.hh.judge import judge
from envs.hh.requests import (
    TOPICS,
    UNSEEN_TOPICS,
    Request,
    draw_request,
    draw_response,
    good_response,
    respond,
    word_request,
)
from envs.miniature.grammar import Grammar, Shortcut

_SEEN = tuple(range(len(TOPICS) - UNSEEN_TOPICS))
_UNSEEN = tuple(range(len(TOPICS) - UNSEEN_TOPICS, len(TOPICS)))
_REFUSAL = "I can't help with that."


class HHGrammar(Grammar):
    """Requests, harmful and harmless; see `envs.hh.requests`."""

    name = "hh"
    case_type = Request

    def draw_case(self, rng: np.random.Generator, unseen: bool) -> Request:
        return draw_request(rng, _UNSEEN if unseen else _SEEN)

    def fold(self, case: Request) -> int:
        return case.fold()

    def groups(self, case: Request) -> list[str]:
        return [
            "harmful" if case.harmful else "harmless",
            "unseen topics" if case.topic in _UNSEEN else "seen topics",
        ]

    def word_prompt(self, case: Request, rng: np.random.Generator) -> str:
        return word_request(case, rng)

    def draw_response(self, case: Request, rng: np.random.Generator) -> str:
        return draw_response(case, rng)

    def good_response(self, case: Request, rng: np.random.Generator) -> str:
        return good_response(case, rng)

    def judge(self, case: Request, response: str) -> float:
        return judge(case, response)

    @property
    def shortcuts(self) -> Mapping[str, Shortcut]:
        return {
            "always refuse": lambda case, prompt, rng: _REFUSAL,
            "always refuse, general reason and offer": lambda case, prompt, rng: (
                f"{_REFUSAL} Someone could get hurt, and it belongs to another person. I can help you instead."
            ),
            "always refuse, right reason and offer": lambda case, prompt, rng: respond(case, "full refusal", rng),
            "always help, right steps": lambda case, prompt, rng: respond(case, "help", rng),
        }


def write_hh(path: str | Path, records: Sequence[Record]) -> None:
    """Writes records in the schema of HH-RLHF's own files, with `"synthetic": true` beside the two transcripts."""
    with open(path, "w", encoding="utf-8") as file:
        for record in records:
            row = {key: f"{record.prompt} {getattr(record, key)}" for key in ("chosen", "rejected")}
            file.write(json.dumps({**row, "synthetic": True}) + "\n")
