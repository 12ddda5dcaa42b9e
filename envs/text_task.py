"""`TextTask`: one prompt, one response, done. What the text tasks share, over generated and over real records."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from envs.corpora.hub import is_hub, read_hub
from envs.corpora.records import AnyRecord, Record, good_response, responses_of
from envs.corpora.splits import SPLITS, Source, read_split
from envs.miniature.corpus import ANNOTATOR, RATER, MiniatureCorpus, miniature
from envs.miniature.grammar import Grammar, Shortcut
from envs.task import Task
from envs.turn import Turn
from perlhf.errors import UserError, did_you_mean

_SAID = {"rejected": "dispreferred response", "chosen": "preferred response", "response": "the data's response"}
Trick = Callable[[int, np.random.Generator], str]


def data_name(data: Any) -> str:
    """What `data` says, as text; UserError where it is neither text nor a path."""
    if not isinstance(data, (str, os.PathLike)):
        raise UserError(f"data must be 'miniature', 'hub' or a path, got {data!r}.")
    return str(os.fspath(data))


def drawn_index(rng: np.random.Generator, options: Mapping[str, Any], count: int) -> int:
    """A record of `count`: the one that the reset option "index" names, or any; UserError where there is no such."""
    index = options.get("index")
    if index is None:
        return int(rng.integers(count))
    if isinstance(index, bool) or not isinstance(index, (int, np.integer)) or not 0 <= index < count:
        raise UserError(f"option 'index' must be a record from 0 to {count - 1}, got {index!r}.")
    return int(index)


class TextTask(Task):
    """A task over the records of a text corpus; an episode is one record, and its state the record's position.

    ## Starting State
    A record of the split, drawn uniformly, or the one that `reset(options={"index": i})` names.

    ## Episode End
    After one response; it terminates and never truncates.

    ## Information
    `index` at reset: the record. At the end, for the miniature data: `gold` in [0, 1] and `is_success`.

    Attributes:
        grammar: generates the miniature data; None where there are none.
        source: reads the real corpus; None where there is none.
        records: of the split.
    """

    reset_options = frozenset({"index"})
    grammar: Grammar | None = None
    source: Source | None = None

    def __init__(self, data: str = "miniature", split: str = "train") -> None:
        """
        Args:
            data: "miniature" for the generated data, "hub" for the real corpus on the Hugging Face hub (other forms:
                `envs.corpora.hub`), or a file or folder of it.
            split: "train", "validation" or "test".
        """
        if split not in SPLITS:
            raise UserError(f"unknown split {split!r}.{did_you_mean(split, SPLITS)}")
        self.data, self.split = data_name(data), split
        self.records: Sequence[AnyRecord] = self._generate() if self.data == "miniature" else self._read()

    def _generate(self) -> MiniatureCorpus:
        if self.grammar is None:
            raise UserError(f"{type(self).__name__} has no miniature data; give the path of its corpus as 'data'.")
        return miniature(self.grammar, self.split)

    def _read(self) -> Sequence[AnyRecord]:
        if self.source is None:
            raise UserError(f"{type(self).__name__} has no reader of files; 'data' must be 'miniature'.")
        if not is_hub(self.data):
            return read_split(self.source, Path(self.data), self.split)
        if self.source.hub is None:
            raise UserError(
                f"{type(self).__name__} has no corpus on the Hugging Face hub; "
                f"give a path to {self.source.what} as 'data', or 'miniature'."
            )
        return read_hub(self.source, self.data, self.split)

    @property
    def miniature(self) -> MiniatureCorpus | None:
        """The generated records, which know what is right; None over real data."""
        return self.records if isinstance(self.records, MiniatureCorpus) else None

    def start(self, rng: np.random.Generator, options: Mapping[str, Any]) -> int:
        return drawn_index(rng, options, len(self.records))

    def turn(self, state: int, response: str = "") -> Turn:
        record = self.records[state]
        return Turn(record.prompt, response, {**responses_of(record), **record.meta})

    def advance(self, state: int, response: str) -> tuple[int, bool]:
        return state, True

    def judge(self, turn: Turn) -> float | None:
        return None if self.miniature is None else self.miniature.judge(turn.reference, turn.response)

    def oracle(self, state: int) -> str:
        if self.miniature is not None:
            return self.miniature.oracle(state)
        return good_response(self.records[state]) or ""

    def plausible_action(self, state: int, rng: np.random.Generator) -> str:
        if self.miniature is not None:
            return self.miniature.draw_response(state, rng)
        said = [text for text in responses_of(self.records[state]).values() if isinstance(text, str)]
        return said[int(rng.integers(len(said)))] if said else ""

    def info(self, state: int) -> dict[str, Any]:
        return {"index": state}

    def groups(self, state: int) -> Sequence[str]:
        return tuple(self.records[state].meta.get("groups", ()))

    # What miniature data can do and real data cannot: label any response.

    @property
    def can_rate(self) -> bool:
        """Whether there is somebody to label any response."""
        return self.miniature is not None

    @property
    def annotated(self) -> MiniatureCorpus:
        """The miniature corpus.

        Raises:
            UserError: over real data, which have no annotator.
        """
        if self.miniature is None:
            raise UserError(f"{type(self).__name__} has no annotator for {self.data}; only miniature data have one.")
        return self.miniature

    def annotate(self, index: int, first: str, second: str, rng: np.random.Generator) -> bool | None:
        """Whether the annotator prefers `first` as a response to record `index`, with noise; None for no preference."""
        corpus, meta = self.annotated, self.records[index].meta
        return ANNOTATOR.label(corpus.judge(meta, first), corpus.judge(meta, second), rng)

    def rate(self, index: int, response: str, rng: np.random.Generator) -> float:
        """The annotator's label of one response to record `index`, 1.0 good or 0.0 bad, with noise."""
        return RATER.label(self.annotated.judge(self.records[index].meta, response), rng)

    def gold_margin(self, pair: Record) -> float:
        """Gold score of the chosen minus that of the rejected response."""
        return self.annotated.judge(pair.meta, pair.chosen) - self.annotated.judge(pair.meta, pair.rejected)

    def label_ceiling(self, pair: Record) -> float:
        """The best expected accuracy on this pair's label."""
        return ANNOTATOR.ceiling(self.gold_margin(pair), 0.0)

    def shortcuts(self) -> dict[str, Trick]:
        """Policies that know a trick instead of the task, by name: from record and generator to a response.

        Their gold scores say what the task cannot be won by; see `evaluation.baselines`.
        """
        corpus = self.annotated

        def trick(shortcut: Shortcut) -> Trick:
            return lambda index, rng: shortcut(corpus.case(corpus[index].meta), corpus[index].prompt, rng)

        def of_four(choose: Callable[..., str]) -> Trick:
            return lambda index, rng: choose((corpus.draw_response(index, rng) for _ in range(4)), key=len)

        return {
            **{_SAID[name]: partial(self._said, name) for name in responses_of(corpus[0]) if name in _SAID},
            "another prompt's good response": lambda index, rng: corpus.oracle(index - 1),
            **{name: trick(shortcut) for name, shortcut in corpus.grammar.shortcuts.items()},
            "longest of 4 samples of the data": of_four(max),
            "shortest of 4 samples of the data": of_four(min),
        }

    def _said(self, name: str, index: int, rng: np.random.Generator) -> str:
        return responses_of(self.records[index])[name]
