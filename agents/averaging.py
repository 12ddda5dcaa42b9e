"""Averaged weights: keeps a moving average of weights beside them while they are trained.

A policy that is trained on samples jumps about a point rather than settling in it; the average of where it was is
nearer to that point than where it happens to be last (Polyak and Juditsky 1992). The average here is exponential and
corrected for its start, as in section 7.2 of Adam's paper (arXiv 1412.6980):

    m_t = d m_(t-1) + (1 - d) w_t,   m_0 = 0,   average_t = m_t / (1 - d^t)

so the first average is the first weights, and then it looks back over about 1 / (1 - d) steps.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class AveragedWeights:
    """Averages weights over optimizer steps.

    Args:
        parameters: the weights, by name.
        decay: d above, from 0, where the average is the last weights, to below 1.

    Attributes:
        steps: how many it has seen, t above.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.decay, self.steps = decay, 0
        self._weights = dict(parameters)
        # In float32 whatever the weights are held in: a step's share of them may be less than bf16 can add.
        self._average = {name: weight.detach().float().clone() for name, weight in parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Takes the weights in, after an optimizer step."""
        self.steps += 1
        # What the two equations above come to, without m: rounding does not grow where 1 - d^t is small.
        share = (1 - self.decay) / (1 - self.decay**self.steps)
        for name, weight in self._weights.items():
            self._average[name].lerp_(weight.float(), share)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Puts the average in place of the weights inside the block, and the weights back after it.

        Before the first step the average is the weights.
        """
        before = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._put(self._average)
        try:
            yield
        finally:
            self._put(before)

    def get_state(self) -> tuple[dict[str, Tensor], int]:
        """Returns copies of the averages by the names of the weights, on the CPU, and the steps."""
        return {name: average.cpu().clone() for name, average in self._average.items()}, self.steps

    @torch.no_grad()
    def set_state(self, averages: Mapping[str, Tensor], steps: int) -> None:
        """Goes on from what `get_state` gave."""
        self.steps = steps
        for name, average in self._average.items():
            average.copy_(averages[name])

    @torch.no_grad()
    def _put(self, tensors: Mapping[str, Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(tensors[name])
