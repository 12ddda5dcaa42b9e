"""The nouns of an environment: `Turn` and `Task`."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np


@dataclass(frozen=True)
class Turn:
    """One prompt and one response, as a reward function sees them.

    Attributes:
        prompt: what the policy was shown.
        response: what it answered.
        reference: what the task knows of the right answer (chosen, rejected, a gold action...).
        image: the picture shown with the prompt, (height, width, 3) uint8, or None.
    """

    prompt: str
    response: str
    reference: Mapping[str, Any] = field(default_factory=dict)
    image: np.ndarray | None = None


class Task(ABC):
    """One dataset as a source of episodes.

    A task is read-only and may be shared by many envs. What changes during an episode is its state: any value
    that can be deep-copied and pickled, and that `state_to_json` can write down. Everything a new dataset needs
    is one subclass and one line, `envs.register_task`; docs/adding_a_text_task.md shows it.
    """

    default_reward: str = "gold"
    shipped_backbone: ClassVar[str] = "tiny"  # what `--backbone tiny` means for this task
    max_prompt_length: ClassVar[int] = 100_000
    max_response_length: ClassVar[int] = 20_000
    image_shape: ClassVar[tuple[int, int, int] | None] = None
    success_at: ClassVar[float] = 0.8
    reset_options: ClassVar[frozenset[str]] = frozenset()  # what `start` knows of `env.reset(options=...)`

    @abstractmethod
    def start(self, rng: np.random.Generator, options: Mapping[str, Any]) -> Any:
        """Draws an episode and returns its first state. `options` is what `env.reset` was given."""

    @abstractmethod
    def turn(self, state: Any, response: str = "") -> Turn:
        """The turn that `response` makes of `state`; its prompt and image are what is observed in `state`."""

    @abstractmethod
    def advance(self, state: Any, response: str) -> tuple[Any, bool]:
        """The state after `response`, and whether the episode has terminated. Never raises, whatever the text."""

    @abstractmethod
    def judge(self, turn: Turn) -> float | None:
        """The task's own verdict in [0, 1] on the last turn of an episode; None where the data have none."""

    @abstractmethod
    def oracle(self, state: Any) -> str:
        """A right response in `state`."""

    @abstractmethod
    def plausible_action(self, state: Any, rng: np.random.Generator) -> str:
        """A response that a beginner might give in `state`, good or bad."""

    def info(self, state: Any) -> dict[str, Any]:
        """What `info` says of `state` at reset; plain values, the same ones for the same state."""
        return {}

    def state_to_json(self, state: Any) -> Any:
        """The state as JSON, for exact resumption of a run."""
        return state

    def state_from_json(self, value: Any) -> Any:
        """The inverse of `state_to_json`."""
        return value
