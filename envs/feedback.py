"""`Feedback`: prompts and responses that somebody judged. SFT and reward models learn from these."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from envs.corpora.records import AnyRecord, LabelledRecord, Record, good_response, responses_of
from envs.task import Task
from envs.turn import Turn
from perlhf.errors import UserError

ShortcutPolicy = Callable[[int, np.random.Generator], str]  # from a record's position and a generator to a response


def drawn_index(rng: np.random.Generator, options: Mapping[str, Any], count: int) -> int:
    """Draws a record of `count`, or takes that of the reset option "index"; UserError where there is none."""
    index = options.get("index")
    if index is None:
        return int(rng.integers(count))
    if isinstance(index, bool) or not isinstance(index, (int, np.integer)) or not 0 <= index < count:
        raise UserError(f"option 'index' must be a record from 0 to {count - 1}, got {index!r}.")
    return int(index)


class Feedback(Task):
    """A task over judged records: an episode is one record and one response, its state the record's position.

    A text task is its own feedback; of other tasks `Task.feedback` makes it.

    Attributes:
        data: where the records are from, for messages.
        split: "train", "validation" or "test".
        records: of the split: preference pairs (`Record`) or labelled responses (`LabelledRecord`).
        of_steps: whether a record is one step of a longer episode. Scores of steps are added up, so those of a reward
            model that learns from them are log p(right), never above 0.
    """

    reset_options = frozenset({"index"})
    of_steps: ClassVar[bool] = False

    def __init__(self, data: str, split: str, records: Sequence[AnyRecord]) -> None:
        self.data, self.split, self.records = data, split, records

    def start(self, rng: np.random.Generator, options: Mapping[str, Any]) -> int:
        return drawn_index(rng, options, len(self.records))

    def first_states(self, n: int) -> list[int]:
        """Returns the first n records of distinct prompts, or fewer where the split has fewer."""
        first: dict[str, int] = {}
        for index, record in enumerate(self.records):
            if len(first) == n:
                break
            first.setdefault(record.prompt, index)
        return list(first.values())

    def turn(self, state: int, response: str = "") -> Turn:
        record = self.records[state]
        return Turn(record.prompt, response, {**responses_of(record), **record.meta})

    def advance(self, state: int, response: str) -> tuple[int, bool]:
        return state, True

    def judge(self, turn: Turn) -> float | None:
        return None

    def oracle(self, state: int) -> str:
        return good_response(self.records[state]) or ""

    def plausible_action(self, state: int, rng: np.random.Generator) -> str:
        """One of the record's own responses."""
        texts = [text for text in responses_of(self.records[state]).values() if isinstance(text, str)]
        return texts[int(rng.integers(len(texts)))] if texts else ""

    def info(self, state: int) -> dict[str, Any]:
        return {"index": state}

    def groups(self, state: int) -> Sequence[str]:
        return tuple(self.records[state].meta.get("groups", ()))

    def feedback(self) -> "Feedback":
        return self

    # A labeller of any response, where there is one.

    @property
    def can_rate(self) -> bool:
        """Whether there is somebody to label any response: `rate` works, and of pairs the other three methods too."""
        return False

    def annotate(self, index: int, first: str, second: str, rng: np.random.Generator) -> bool | None:
        """Returns whether the annotator prefers `first` as a response to record `index`; None for no preference."""
        raise self._unrated()

    def rate(self, index: int, response: str, rng: np.random.Generator) -> float:
        """Returns the annotator's label of one response to record `index`, from 1.0 good to 0.0 bad."""
        raise self._unrated()

    def gold_margin(self, pair: Record) -> float:
        """Gold score of the chosen minus that of the rejected response."""
        raise self._unrated()

    def label_ceiling(self, pair: Record) -> float:
        """Returns the best expected accuracy on this pair's label."""
        raise self._unrated()

    def _unrated(self) -> UserError:
        return UserError(f"{type(self).__name__} has no annotator for {self.data}; only miniature data have one.")

    @property
    def has_noisy_labels(self) -> bool:
        """Whether labels are drawn around a gold score, so that agreement with gold says more than accuracy."""
        return False

    def shortcuts(self) -> Mapping[str, ShortcutPolicy]:
        """Policies that know a shortcut and not the task, by name; none where nobody judges what they say.

        Their gold scores say what the task cannot be won by; see `evaluation.baselines`.
        """
        return {}

    # Steps of longer episodes.

    def playable(self) -> "StepFeedback | None":
        """Itself, if a policy can play whole episodes of which every step is labelled as its records are; else None."""
        return None

    def endings(self) -> "Feedback | None":
        """Records of whether an episode is rightly ended, which an outcome reward model learns from; None for none."""
        return None


class StepFeedback(Feedback):
    """Single steps of the episodes of a task, each with a label.

    Attributes:
        task: whose steps they are.
    """

    of_steps = True
    task: Task

    @abstractmethod
    def label(self, state: Any, response: str, image: np.ndarray | None) -> LabelledRecord:
        """Returns a response in a state of `task` with its label.

        Args:
            state: what was shown.
            response: to it.
            image: what was shown as pixels; all records of a state share it.
        """

    @abstractmethod
    def goes_on(self, state: Any) -> bool:
        """Returns whether the goal can still be reached from a state of `task`; from others no response is right."""
