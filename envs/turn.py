"""`Turn`: what reward functions see."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Turn:
    """One prompt and one response, as a reward function sees them.

    Attributes:
        prompt: what the policy was shown.
        response: what it answered.
        reference: what the task knows of the right answer (chosen, rejected, a gold action...).
        picture: what was shown with the prompt, (height, width, 3) uint8, or what makes it when it is asked for, or
            None.
    """

    prompt: str
    response: str
    reference: Mapping[str, Any] = field(default_factory=dict)
    picture: np.ndarray | Callable[[], np.ndarray] | None = None

    @cached_property
    def image(self) -> np.ndarray | None:
        """The picture as pixels; made once."""
        return self.picture() if callable(self.picture) else self.picture

    # Who copies or saves a turn wants its pixels, and nothing of who draws them.
    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "picture": self.image}
