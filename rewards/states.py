"""Hidden states of responses, computed once and kept: what a probe is fitted on."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from backbones.model.tokens import like_lengths
from backbones.pooled import Reading, read_responses, rows_to_read
from backbones.roles import Role
from perlhf.measure import progress_bar
from rewards.rows import Row


class States(NamedTuple):
    """Holds what was read off n responses, those of a record one after the other; on the CPU, in float32."""

    of: dict[Reading, Tensor]  # (n, hidden) of each reading
    log_probs: Tensor | None  # (n,), of the whole responses, end token included; None where they were not asked for

    def at(self, records: Tensor, per_record: int) -> "States":
        """Returns those of the responses of some records, each of which has `per_record`."""
        rows = (records[:, None] * per_record + torch.arange(per_record)).flatten()
        sums = None if self.log_probs is None else self.log_probs[rows]
        return States({reading: states[rows] for reading, states in self.of.items()}, sums)


@torch.no_grad()
def read_states(
    role: Role, rows: Sequence[Sequence[Row]], readings: Sequence[Reading], with_log_probs: bool, batch_size: int = 16
) -> States:
    """Reads the responses of records in batches of like lengths; a prompt that a record's responses share runs once.

    Args:
        role: who reads them.
        rows: of each record, as many as of any other.
        readings: what to read; layers above the highest of them do not run.
        with_log_probs: whether log p of each response is computed too, which takes all layers.
        batch_size: responses in one forward.
    """
    per_record = len(rows[0])
    lengths = [max(len(prompt) + len(response) for prompt, response in of_one) for of_one in rows]
    chunks = like_lengths(lengths, max(1, batch_size // per_record))
    parts: list[tuple[list[Tensor], Tensor | None]] = []
    for chunk in progress_bar(chunks[::-1], desc="states", leave=False):  # the longest first: the memory it takes
        flat = [row for i in chunk for row in rows[i]]
        with role.active() as model:
            found, log_probs = read_responses(
                model, rows_to_read(role.backbone, flat, per_record), readings, with_log_probs
            )
        parts.append(([states.cpu() for states in found], None if log_probs is None else log_probs.cpu()))
    # In the order of the records again: where each record's responses lie among what was computed.
    places = torch.empty(len(rows), dtype=torch.long)
    places[torch.tensor([i for chunk in chunks[::-1] for i in chunk])] = torch.arange(len(rows))
    of = {reading: torch.cat([found[k] for found, _ in parts]) for k, reading in enumerate(readings)}
    sums = [log_probs for _, log_probs in parts if log_probs is not None]
    return States(of, torch.cat(sums) if sums else None).at(places, per_record)
