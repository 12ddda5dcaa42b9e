"""Shared lines: computes a prompt once for all responses to it, in scoring and in training.

Rows whose prompts are equal share a line: [prompt | one response | another ...]. As in `backbones.shortcuts.packing`,
whose masks and positions these are, a response sees the prompt and itself, so each is as if it stood there alone, and
gradients of all responses add up in the prompt's states before they go through the model. Equal responses to it stand
there once.

It is done where it is less work, by the positions and the pairs of attention; elsewhere each row has a line.

Patched: nothing.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from backbones.model.tokens import Piece, Places, TokenBatch, length_mask
from backbones.shortcuts.equal_prompts import first_of_each
from backbones.shortcuts.packing import attention_to_own, fits, positions_in_slots

if TYPE_CHECKING:
    from backbones.backbone import Backbone

_LEAST = 0.9  # of the work of lines for each row; above that a mask for each token is not worth it
Rows = Sequence[Sequence[int]]
Lines = dict[int, dict[tuple[int, ...], int]]  # first row of a prompt -> its distinct responses and where each begins


def shared_lines(backbone: "Backbone", prompts: Rows, responses: Rows) -> TokenBatch:
    """Makes a batch of rows, in which those with equal prompts share lines where that is possible and less work.

    In float32 alone: half precision makes much of sums in another order, and ratios are to be 1 at first. A base that
    is shared out would be asked about it by some of its processes.
    """
    first = first_of_each(prompts)
    if len(set(first)) < len(first) and backbone.precision == "fp32" and not backbone.is_sharded:
        lines = _laid_out(first, responses)
        rows = [*zip(prompts, responses, strict=True)]
        if _is_less(lines, prompts, responses, backbone.hidden_size) and backbone.packs and fits(backbone, rows):
            return _batch_of(backbone, lines, first, prompts, responses)
    return backbone.batch(prompts, responses)


def _laid_out(first: Sequence[int], responses: Rows) -> Lines:
    """Puts distinct responses to a prompt one behind the other."""
    lines: Lines = {}
    for number, response in zip(first, responses, strict=True):
        line = lines.setdefault(number, {})
        line.setdefault(tuple(response), sum(map(len, line)))
    return lines


def _is_less(lines: Lines, prompts: Rows, responses: Rows, hidden: int) -> bool:
    """Tells whether lines are less work than a line a row, padding included.

    A layer's maps are 12 hidden^2 numbers in a usual model, which a position goes through, and the attention of a pair
    of positions takes 2 hidden products: a position costs as much as 6 hidden pairs.
    """

    def work(count: int, length: int) -> int:
        return count * length * (6 * hidden + length)

    width = max(map(len, prompts))
    alone, together = max(1, *map(len, responses)), max(sum(map(len, line)) for line in lines.values())
    return work(len(lines), width + together) <= _LEAST * work(len(prompts), width + alone)


def _batch_of(backbone: "Backbone", lines: Lines, first: Sequence[int], prompts: Rows, responses: Rows) -> TokenBatch:
    """Makes the batch: prompts and responses laid out in lines, and where each row's tokens are in them."""
    pad, device = backbone.pad_id, backbone.device
    joined = [[token for response in line for token in response] for line in lines.values()]
    plain = TokenBatch.of([prompts[i] for i in lines], joined, pad, device, backbone.frozen_states)
    width, slots, offsets = plain.length, [], []
    for line, of_line in zip(lines.values(), joined, strict=True):
        rest = width - len(of_line)
        slots.append([k for k, response in enumerate(line) for _ in response] + [len(line)] * rest)
        offsets.append([t for response in line for t in range(len(response))] + [0] * rest)
    number = {row: k for k, row in enumerate(lines)}
    begins = torch.tensor([lines[i][tuple(response)] for i, response in zip(first, responses, strict=True)])
    mask = length_mask(responses)
    tokens = torch.arange(mask.shape[1])
    ids = torch.tensor([[*response, *[pad] * (len(tokens) - len(response))] for response in responses])
    # The first token follows the prompt, the others the one before; what padding would read does not matter.
    columns = torch.where(mask & (tokens > 0), begins[:, None] + tokens, 0)
    places = Places(torch.tensor([[number[i]] for i in first], device=device), columns.to(device), width)
    return plain._replace(
        attention_mask=attention_to_own(plain, torch.tensor(slots), plain.response_mask),
        position_ids=positions_in_slots(plain, torch.tensor(offsets)),
        response_ids=ids.to(device),
        response_mask=mask.to(device),
        pieces=_pieces(lines, prompts, plain.input_ids.shape[1] - width),
        places=places,
    )


def _pieces(lines: Lines, prompts: Rows, width: int) -> list[Piece]:
    """Says where the states of each prompt and response stand; the prompt's come with the first response."""
    pieces = []
    for k, (i, line) in enumerate(lines.items()):
        for number, (response, begin) in enumerate(line.items()):
            skip = len(prompts[i]) if number else 0
            pieces.append(Piece([*prompts[i], *response], k, width + begin - (len(prompts[i]) - skip), skip))
    return pieces
