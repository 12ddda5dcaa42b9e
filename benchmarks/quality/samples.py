"""What a run of TRL is given of an env of perlhf, and the log of its samples: gold, and CPU seconds so far.

Prompts, reward model, gold judge, and what is taken off where a response is cut are the very ones of `train_ppo`.
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from transformers import PreTrainedModel

from backbones.backbone import Backbone
from envs.registry import env_id, task_of
from envs.reward_spec import checked_scores, resolve_reward
from envs.text_task import TextTask

MISSING_EOS_PENALTY = 1.0
MAX_NEW_TOKENS = 64
LOG = "samples.jsonl"


class Cell(NamedTuple):
    """One run of TRL: the env, the seed, settings of the trainer, CPU seconds it may take, and where it writes."""

    env: str
    seed: int
    setting: dict[str, Any]
    budget: float
    folder: str

    @classmethod
    def of_command_line(cls) -> "Cell":
        return cls(**json.loads(sys.argv[1]))


class Samples:
    """Scores what is sampled in training and logs it: each batch with its golds and the CPU seconds till then.

    CPU seconds are of this process, all threads, from `start` on; loading is left out, scoring is not.
    """

    def __init__(self, cell: Cell) -> None:
        task = task_of(env_id(cell.env), split="train")
        assert isinstance(task, TextTask)
        self.task, self._log = task, Path(cell.folder, LOG)
        self._log.unlink(missing_ok=True)
        self.backbone = Backbone.load(task.shipped_backbone)
        self.prompts = [task.turn(index).prompt for index in range(len(task.records))]
        self._score = resolve_reward("bundled", task)
        self._begun = 0.0

    @property
    def cpu_seconds(self) -> float:
        return time.process_time() - self._begun

    def start(self) -> None:
        """Begins to count CPU seconds."""
        self._begun = time.process_time()

    def scores(self, records: Sequence[int], responses: Sequence[Sequence[int]]) -> list[float]:
        """Returns what PPO of perlhf would be paid for responses, and logs what they are worth.

        Args:
            records: numbers of the prompts.
            responses: token ids, with the end token where there is one.
        """
        turns = [
            self.task.turn(record, self.backbone.decode(ids)) for record, ids in zip(records, responses, strict=True)
        ]
        golds = [self.task.judge(turn) for turn in turns]
        row = {"cpu_seconds": self.cpu_seconds, "gold": golds}
        with open(self._log, "a", encoding="utf-8") as log:
            log.write(f"{json.dumps(row)}\n")
        cut = [not self.backbone.has_ended(ids) for ids in responses]
        paid = checked_scores(self._score, turns)
        return [score - MISSING_EOS_PENALTY * is_cut for score, is_cut in zip(paid, cut, strict=True)]


def upto_end(ids: Sequence[int], ends: Sequence[int]) -> list[int]:
    """Returns a response up to its first end token, that included."""
    ended = next((i + 1 for i, token in enumerate(ids) if token in ends), len(ids))
    return list(ids[:ended])


def save_merged(model: Any, tokenizer: Any, folder: str) -> None:
    """Writes what was trained as a plain model, for `benchmarks.quality.judge`."""
    merged: PreTrainedModel = model.merge_and_unload()
    merged.save_pretrained(Path(folder, "model"))
    tokenizer.save_pretrained(Path(folder, "model"))
