"""The text tasks: one prompt, one response, done. So far: HH-v0."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from envs.data.hh import read_hh, split_of
from envs.data.miniature.hh import Request, draw_response, respond
from envs.data.miniature.hh_judge import judge
from envs.data.miniature.hh_records import ANNOTATOR, MiniatureHH
from envs.data.records import Record
from envs.task import Task, Turn
from perlhf.errors import DataError, UserError, did_you_mean

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


class TextTask(Task):
    """A task of preference records; an episode is one record and its state the record's position."""

    has_annotator = False

    def __init__(self, data: str = "miniature", split: str = "train") -> None:
        """
        Args:
            data: "miniature" for the generated data, or a file or folder of the real corpus.
            split: "train", "validation" or "test".
        """
        if split not in SPLITS:
            raise UserError(f"unknown split {split!r}.{did_you_mean(split, SPLITS)}")
        self.data, self.split = data, split
        self.records: Sequence[Record] = self.generate(split) if data == "miniature" else self.read(Path(data), split)

    @abstractmethod
    def generate(self, split: str) -> Sequence[Record]:
        """The miniature records of a split."""

    @abstractmethod
    def read(self, path: Path, split: str) -> Sequence[Record]:
        """The records of a split of the real corpus at `path`."""

    def start(self, rng: np.random.Generator, options: Mapping[str, Any]) -> int:
        index = options.get("index")
        if index is None:
            return int(rng.integers(len(self.records)))
        if isinstance(index, bool) or not isinstance(index, (int, np.integer)) or not 0 <= index < len(self.records):
            raise UserError(f"option 'index' must be a record from 0 to {len(self.records) - 1}, got {index!r}.")
        return int(index)

    def turn(self, state: int, response: str = "") -> Turn:
        record = self.records[state]
        return Turn(record.prompt, response, {"chosen": record.chosen, "rejected": record.rejected, **record.meta})

    def advance(self, state: int, response: str) -> tuple[int, bool]:
        return state, True

    def judge(self, turn: Turn) -> float | None:
        return None

    def oracle(self, state: int) -> str:
        return self.records[state].chosen

    def plausible_action(self, state: int, rng: np.random.Generator) -> str:
        record = self.records[state]
        return record.chosen if rng.random() < 0.5 else record.rejected

    def info(self, state: int) -> dict[str, Any]:
        return {"index": state}

    def shortcuts(self) -> dict[str, Callable[[int, np.random.Generator], str]]:
        """Policies that know a trick instead of the task, by name: from record and generator to a response.

        Their gold scores say what the task cannot be won by; see `evaluation.baselines`.
        """
        return {
            "dispreferred response": lambda index, rng: self.records[index].rejected,
            "preferred response": lambda index, rng: self.records[index].chosen,
            "another prompt's preferred response": lambda index, rng: self.records[index - 1].chosen,
        }

    # What miniature data can do and real data cannot: label any pair of responses.

    def annotate(self, index: int, first: str, second: str, rng: np.random.Generator) -> bool:
        """Whether the annotator prefers `first` as a response to record `index`, with noise."""
        raise NotImplementedError(f"{type(self).__name__} has no annotator for {self.data}")

    def gold_margin(self, pair: Record) -> float:
        """Gold score of the chosen minus that of the rejected response."""
        raise NotImplementedError(f"{type(self).__name__} has no annotator for {self.data}")

    def label_ceiling(self, pair: Record) -> float:
        """The best expected accuracy on this pair's label."""
        raise NotImplementedError(f"{type(self).__name__} has no annotator for {self.data}")


class HH(TextTask):
    """Answer a person harmlessly and helpfully: the harmless half of Anthropic's HH-RLHF.

    ## Description
    The prompt is a conversation; the response is the assistant's next turn. Some requests are harmful and
    should be declined with a reason and an offer of other help, the rest should be answered.

    ## Action Space
    `Unicode(20000)`: the text of the response.

    ## Observation Space
    `Dict(prompt: Unicode(100000))`: an HH transcript, "\\n\\nHuman: ... \\n\\nAssistant:".

    ## Starting State
    A record of the split, drawn uniformly, or the one that `reset(options={"index": i})` names.

    ## Reward
    By default the score of the bundled LoRA reward model. `reward="gold"` is the judge of the miniature data.

    ## Episode End
    After one response; it terminates and never truncates.

    ## Information
    `index` at reset: the record. At the end, for the miniature data: `gold` in [0, 1] and `is_success`.

    ## Arguments
    `data`: "miniature", or a path to HH-RLHF's own jsonl(.gz) file, or a folder with train and test files.
    `split`: "train", "validation" or "test". `reward`, `render_mode`: see `envs.core.TaskEnv`.

    ## Version History
    v0: first version.
    """

    default_reward = "rewards.bundled:hh"

    def generate(self, split: str) -> MiniatureHH:
        return miniature_hh(split)

    def read(self, path: Path, split: str) -> Sequence[Record]:
        return read_split(path, split)

    @property
    def miniature(self) -> MiniatureHH | None:
        """The generated records, which know their requests; None over real data."""
        return self.records if isinstance(self.records, MiniatureHH) else None

    @property
    def has_annotator(self) -> bool:  # type: ignore[override]
        return self.miniature is not None

    def judge(self, turn: Turn) -> float | None:
        return None if self.miniature is None else judge(Request(*turn.reference["request"]), turn.response)

    def oracle(self, state: int) -> str:
        return super().oracle(state) if self.miniature is None else self.miniature.oracle(state)

    def plausible_action(self, state: int, rng: np.random.Generator) -> str:
        if self.miniature is None:
            return super().plausible_action(state, rng)
        return self.miniature.draw_response(state, rng)

    def annotate(self, index: int, first: str, second: str, rng: np.random.Generator) -> bool:
        request = Request(*self.records[index].meta["request"])
        return ANNOTATOR.label(judge(request, first), judge(request, second), rng)

    def shortcuts(self) -> dict[str, Callable[[int, np.random.Generator], str]]:
        common = super().shortcuts()
        if self.miniature is None:
            return common
        request, refusal = self.miniature.request, "I can't help with that."
        return {
            **common,
            "always refuse": lambda index, rng: refusal,
            "always refuse, general reason and offer": lambda index, rng: (
                f"{refusal} Someone could get hurt, and it belongs to another person. I can help you instead."
            ),
            "always refuse, right reason and offer": lambda index, rng: respond(request(index), "full refusal", rng),
            "always help, right steps": lambda index, rng: respond(request(index), "help", rng),
            "longest of 4 samples of the data": lambda index, rng: max(
                (draw_response(request(index), rng) for _ in range(4)), key=len
            ),
            "shortest of 4 samples of the data": lambda index, rng: min(
                (draw_response(request(index), rng) for _ in range(4)), key=len
            ),
        }

    def gold_margin(self, pair: Record) -> float:
        request = Request(*pair.meta["request"])
        return judge(request, pair.chosen) - judge(request, pair.rejected)

    def label_ceiling(self, pair: Record) -> float:
        return ANNOTATOR.ceiling(self.gold_margin(pair), 0.0)


@lru_cache(maxsize=8)
def miniature_hh(split: str) -> MiniatureHH:
    """The miniature records of a split, shared by all envs of the process."""
    return MiniatureHH(split)


@lru_cache(maxsize=4)
def read_split(path: Path, split: str) -> tuple[Record, ...]:
    """The records of a split: from train and test files where a folder has them, else by the first Human turn."""
    if path.is_dir():
        files = sorted(p for p in path.rglob("*.jsonl*") if p.suffix in (".jsonl", ".gz"))
    elif path.is_file():
        files = [path]
    else:
        raise DataError(f"{path}: no such file or folder; give HH-RLHF's jsonl(.gz) file, or 'miniature'.")
    if not files:
        raise DataError(f"{path}: no .jsonl or .jsonl.gz file in this folder.")
    official = {p.name.split(".")[0] for p in files} == {"train", "test"}
    records: list[Record] = []
    for file in files:
        side = file.name.split(".")[0] if official else None
        records += [r for r in _read_file(file) if _belongs(r, side, split)]
    if not records:
        raise DataError(f"{path}: no records in split {split!r}.")
    return tuple(records)


@lru_cache(maxsize=4)
def _read_file(path: Path) -> tuple[Record, ...]:
    """The records of one file; what was not used is reported, once."""
    content = read_hh(path)
    for skipped in content.skipped:
        logger.warning("%s: not used: %s", skipped.where, skipped.reason)
    return tuple(content.records)


def _belongs(record: Record, side: str | None, split: str) -> bool:
    """Whether a record is in `split`; `side` is "train" or "test" in the corpus's own files, else None."""
    if side is None:
        return split_of(record.prompt) == split
    if side == "test":
        return split == "test"
    return split == ("validation" if split_of(record.prompt) == "validation" else "train")
