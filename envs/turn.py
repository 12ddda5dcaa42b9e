"""`Turn`: what reward functions see."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
