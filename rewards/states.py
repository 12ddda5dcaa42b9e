"""Hidden states of responses, computed once and kept: what a probe is fitted on."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from backbones import group
from backbones.pooled import Reading, like_shapes, read_responses, rows_to_read
from backbones.roles import Role
from backbones.sharding import in_step
from perlhf.measure import progress_bar
from rewards.rows import Row


class States(NamedTuple):
    """Holds what was read off n responses, those of a record one after the other; on the CPU, in float32."""

    of: dict[Reading, Tensor]  # (n, hidden) of each reading
    log_probs: Tensor | None  # (n,), of the whole responses with their end tokens; None or NaN where not asked for

    def at(self, records: Tensor, per_record: int) -> "States":
        """Returns those of the responses of some records, each of which has `per_record`."""
        rows = (records[:, None] * per_record + torch.arange(per_record)).flatten()
        sums = None if self.log_probs is None else self.log_probs[rows]
        return States({reading: states[rows] for reading, states in self.of.items()}, sums)


@torch.no_grad()
def read_states(
    role: Role, rows: Sequence[Sequence[Row]], readings: Sequence[Reading], with_log_probs: int = 0
) -> States:
    """Reads the responses of records in batches of like shapes; a prompt that a record's responses share runs once.

    With several processes each reads its part of the records; all call this, and all get the whole.

    Args:
        role: who reads them.
        rows: of each record, as many as of any other.
        readings: what to read; layers above the highest of them do not run.
        with_log_probs: of how many records, the first, log p of each response is computed too, which takes all layers.
    """
    mine = group.every_nth_of(len(rows))
    measured = len(group.every_nth_of(min(with_log_probs, len(rows))))
    # A process that has none reads one all the same, for the forwards of a base that is shared out take all of them.
    states = _read_all(role, [rows[i] for i in mine or [0]], readings, measured)
    parts = [part for part in group.gather(states if mine else None) if part is not None]
    if len(parts) == 1:
        return parts[0]
    # Process r has read records r, r + size and so on; a record's responses lie one after the other.
    per_record, count = len(rows[0]), len(rows)
    numbers = torch.cat([torch.arange(first, count, group.size()) for first in range(len(parts))])
    of = {reading: torch.cat([part.of[reading] for part in parts]) for reading in readings}
    unknown = [torch.full((len(part.of[readings[0]]),), torch.nan) for part in parts]
    known = [none if part.log_probs is None else part.log_probs for part, none in zip(parts, unknown, strict=True)]
    return States(of, torch.cat(known) if with_log_probs else None).at(numbers.argsort(), per_record)


def _read_all(role: Role, rows: Sequence[Sequence[Row]], readings: Sequence[Reading], measured: int) -> States:
    """Reads the responses of records, of the first `measured` of them with log p."""
    parts: list[tuple[list[Tensor], Tensor]] = []
    order: list[int] = []
    with progress_bar(total=len(rows), desc="states", leave=False) as bar:
        for first, last, log_probs in ((0, measured, True), (measured, len(rows), False)):
            for batch in in_step(role.backbone, like_shapes(rows[first:last], role.backbone.device), []):
                if not batch:
                    _read(role, rows[:1], readings, log_probs)
                    continue
                numbers = [first + i for i in batch]
                parts.append(_read(role, [rows[i] for i in numbers], readings, log_probs))
                order += numbers
                bar.update(len(batch))
    # In the order of the records again: where each record's responses lie among what was computed.
    places = torch.empty(len(rows), dtype=torch.long)
    places[torch.tensor(order)] = torch.arange(len(rows))
    of = {reading: torch.cat([found[k] for found, _ in parts]) for k, reading in enumerate(readings)}
    sums = torch.cat([log_probs for _, log_probs in parts]) if measured else None
    return States(of, sums).at(places, len(rows[0]))


def with_all_log_probs(role: Role, rows: Sequence[Sequence[Row]], states: States) -> States:
    """Returns the states with log p of each response, of those too for which it was not asked before.

    Args:
        role: who read them.
        rows: as in `read_states`.
        states: of these rows.
    """
    per_record = len(rows[0])
    known = torch.full((len(rows) * per_record,), torch.nan) if states.log_probs is None else states.log_probs
    missing = known.view(-1, per_record).isnan().any(1).nonzero().squeeze(1).tolist()
    if not missing:
        return states
    found = read_states(role, [rows[i] for i in missing], [Reading()], len(missing)).log_probs
    assert found is not None
    log_probs = known.view(-1, per_record).clone()
    log_probs[missing] = found.view(-1, per_record)
    return states._replace(log_probs=log_probs.flatten())


def _read(
    role: Role, rows: Sequence[Sequence[Row]], readings: Sequence[Reading], with_log_probs: bool
) -> tuple[list[Tensor], Tensor]:
    """Reads a batch: the states of each reading, (n, hidden), and log p, (n,), NaN where it is not asked for."""
    tokens = rows_to_read(role.backbone, [row for of_one in rows for row in of_one], len(rows[0]))
    with role.active() as model:
        found, log_probs = read_responses(model, tokens, readings, with_log_probs)
    unknown = torch.full((len(found[0]),), torch.nan)
    return [states.cpu() for states in found], unknown if log_probs is None else log_probs.cpu()
