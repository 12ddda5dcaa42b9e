"""Sampled states: keeps what frozen layers give while responses are sampled, for the finished rows.

Sampling runs the same frozen lower layers on the same tokens as scoring and training after it. The model reads each
response to its end for this, the end token included, which sampling alone would not need.

Patched: a forward hook on the highest frozen layer, while a forward runs (`FrozenStates.caught`).
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from backbones.shortcuts.frozen_states import FrozenStates


class SampledStates:
    """Collects hidden states below the adapters of rows that are written side by side, padded on the left.

    Args:
        frozen_states: what they are handed over to in the end.
        prompts: token ids of each row.
        longest: tokens that a response may have.
        end_ids: what ends a response; the first of them follows one that was cut.
        shared: tokens that all prompts begin with, where these were read once and padding stands behind them.
    """

    def __init__(
        self,
        frozen_states: FrozenStates,
        prompts: Sequence[Sequence[int]],
        longest: int,
        end_ids: Sequence[int],
        shared: int = 0,
    ) -> None:
        self.frozen_states, self.prompts, self.longest, self.end_ids = frozen_states, prompts, longest, end_ids
        self.shared = shared
        self.width = max(map(len, prompts))
        self.length = 0  # columns that were read
        self.states: Tensor | None = None  # (rows, columns, hidden)

    @contextmanager
    def reading(self, rows: Sequence[int], of: Tensor | None = None) -> Iterator[None]:
        """Keeps what the frozen layers give in one forward, inside, of these rows' next tokens.

        Args:
            rows: that are read.
            of: which row of the forward is each row's; by default its own, or the only one.
        """
        with self.frozen_states.caught() as caught:
            yield
        new = caught[0] if of is None else caught[0][of]
        if self.states is None:
            self.states = new.new_empty(len(self.prompts), self.width + self.longest + 1, new.shape[-1])
        end = self.length + new.shape[1]
        self.states[list(rows), self.length : end] = new
        self.length = end

    def hand_over(self, responses: Sequence[Sequence[int]], stopped: Collection[int] = ()) -> None:
        """Gives `frozen_states` what it would compute for each prompt with its response, ended or cut.

        Args:
            responses: token ids of each row.
            stopped: rows that are over without an end token, at a stop string.
        """
        assert self.states is not None
        for i, (prompt, response, states) in enumerate(zip(self.prompts, responses, self.states, strict=True)):
            row, rest = [*prompt, *response], states[self.width - len(prompt) + self.shared :]
            states_of_row = torch.cat([states[: self.shared], rest]) if self.shared else rest
            cut = response[-1] not in self.end_ids and i not in stopped
            and_end = cut and self.length > self.width + len(response)  # read on, past the longest response
            row += self.end_ids[:1] if and_end else []
            self.frozen_states.keep(row, states_of_row[: len(row)], without_last=and_end)
