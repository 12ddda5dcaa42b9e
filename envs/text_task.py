"""`TextTask`: one prompt, one response, done. What the text tasks share, over generated and over real records."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from envs.corpora.hub import is_hub, read_hub
from envs.corpora.records import AnyRecord, InstructedRecords, Record, responses_of
from envs.corpora.splits import SPLITS, Source, read_split
from envs.feedback import Feedback, ShortcutPolicy
from envs.miniature.corpus import ANNOTATOR, RATER, MiniatureCorpus, miniature
from envs.miniature.grammar import Grammar, Shortcut
from envs.turn import Turn
from perlhf.errors import UserError, did_you_mean

_SAID = {"rejected": "dispreferred response", "chosen": "preferred response", "response": "the data's response"}


def data_name(data: Any) -> str:
    """Returns `data` as text; UserError where it is neither text nor a path."""
    if not isinstance(data, (str, os.PathLike)):
        raise UserError(f"data must be 'miniature', 'hub' or a path, got {data!r}.")
    return str(os.fspath(data))


class TextTask(Feedback):
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

    grammar: Grammar | None = None
    source: Source | None = None

    def __init__(self, data: str = "miniature", split: str = "train", instructions: str = "") -> None:
        """
        Args:
            data: "miniature" for the generated data, "hub" for the real corpus on the Hugging Face hub (other forms:
                `envs.corpora.hub`), or a file or folder of it.
            split: "train", "validation" or "test".
            instructions: the system's message, what a model with a chat template is told first; "" for the task's own.
        """
        if split not in SPLITS:
            raise UserError(f"unknown split {split!r}.{did_you_mean(str(split), SPLITS)}")
        if not isinstance(instructions, str):
            raise UserError(f"instructions must be text, got {instructions!r}.")
        self.instructions = instructions or self.instructions
        self.data, self.split = data_name(data), split  # the two lines that make the records go by them
        super().__init__(self.data, split, self._generate() if self.data == "miniature" else self._read())

    def _generate(self) -> MiniatureCorpus:
        if self.grammar is None:
            raise UserError(f"{type(self).__name__} has no miniature data; give the path of its corpus as 'data'.")
        return miniature(self.grammar, self.split, self.instructions, self.examples)

    def _read(self) -> Sequence[AnyRecord]:
        if self.source is None:
            raise UserError(f"{type(self).__name__} has no reader of files; 'data' must be 'miniature'.")
        if not is_hub(self.data):
            return self._instructed(read_split(self.source, Path(self.data), self.split))
        if self.source.hub is None:
            raise UserError(
                f"{type(self).__name__} has no corpus on the Hugging Face hub; "
                f"give a path to {self.source.what} as 'data', or 'miniature'."
            )
        return self._instructed(read_hub(self.source, self.data, self.split))

    def _instructed(self, records: Sequence[AnyRecord]) -> Sequence[AnyRecord]:
        if self.instructions is None:
            return records
        return InstructedRecords(records, self.instructions, self.examples)

    @property
    def miniature(self) -> MiniatureCorpus | None:
        """The generated records, which know what is right; None over real data."""
        return self.records if isinstance(self.records, MiniatureCorpus) else None

    def judge(self, turn: Turn) -> float | None:
        return None if self.miniature is None else self.miniature.judge(turn.reference, turn.response)

    def oracle(self, state: int) -> str:
        if self.miniature is not None:
            return self.miniature.oracle(state)
        return super().oracle(state)

    def plausible_action(self, state: int, rng: np.random.Generator) -> str:
        if self.miniature is not None:
            return self.miniature.draw_response(state, rng)
        return super().plausible_action(state, rng)

    # What miniature data can do and real data cannot: label any response.

    @property
    def can_rate(self) -> bool:
        return self.miniature is not None

    @property
    def has_noisy_labels(self) -> bool:
        return self.miniature is not None

    @property
    def annotated(self) -> MiniatureCorpus:
        """The miniature corpus.

        Raises:
            UserError: over real data, which have no annotator.
        """
        if self.miniature is None:
            raise self._unrated()
        return self.miniature

    def annotate(self, index: int, first: str, second: str, rng: np.random.Generator) -> bool | None:
        """Returns whether the noisy annotator prefers `first` as a response to record `index`."""
        corpus, meta = self.annotated, self.records[index].meta
        return ANNOTATOR.label(corpus.judge(meta, first), corpus.judge(meta, second), rng)

    def rate(self, index: int, response: str, rng: np.random.Generator) -> float:
        """Returns the annotator's label of one response to record `index`, 1.0 good or 0.0 bad, with noise."""
        return RATER.label(self.annotated.judge(self.records[index].meta, response), rng)

    def gold_margin(self, pair: Record) -> float:
        return self.annotated.judge(pair.meta, pair.chosen) - self.annotated.judge(pair.meta, pair.rejected)

    def label_ceiling(self, pair: Record) -> float:
        return ANNOTATOR.ceiling(self.gold_margin(pair), 0.0)

    def shortcuts(self) -> Mapping[str, ShortcutPolicy]:
        if self.miniature is None:
            return {}
        corpus = self.miniature

        def of_grammar(shortcut: Shortcut) -> ShortcutPolicy:
            return lambda index, rng: shortcut(corpus.case(corpus[index].meta), corpus[index].prompt, rng)

        def of_four(choose: Callable[..., str]) -> ShortcutPolicy:
            return lambda index, rng: choose((corpus.draw_response(index, rng) for _ in range(4)), key=len)

        return {
            **{_SAID[name]: partial(self._said, name) for name in responses_of(corpus[0]) if name in _SAID},
            "another prompt's good response": lambda index, rng: corpus.oracle(index - 1),
            **{name: of_grammar(shortcut) for name, shortcut in corpus.grammar.shortcuts.items()},
            "longest of 4 samples of the data": of_four(max),
            "shortest of 4 samples of the data": of_four(min),
        }

    def _said(self, name: str, index: int, rng: np.random.Generator) -> str:
        return responses_of(self.records[index])[name]
