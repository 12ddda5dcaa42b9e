"""Packing: puts responses that share a prompt into one row, so that the prompt is computed once for all of them.

A row is [prompt | first response | second response ...], each part padded to the longest of the batch. A mask lets a
response see its prompt and itself, and positions count on from the prompt, so each is as if it stood there alone.

Patched: nothing. It relies on a model taking a bool mask (B, 1, L, L) and positions that start anew; a model is asked
once (`packs`). `backbones.forward` runs it.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from backbones.model.anatomy import body_of
from backbones.model.tokens import Piece, TokenBatch, positions
from backbones.model.vision import ImagePrompt
from perlhf.errors import one_line

if TYPE_CHECKING:
    from backbones.backbone import Backbone

Row = tuple[Sequence[int], Sequence[int]]  # token ids of a prompt and of a response
_CLOSE = 1e-3  # between hidden states of one response, packed and alone; wrong masks or positions give far more
# The same as a share of the states' norm where products are in half precision: a real model has .006 of rounding there,
# two unpacked batches of it as much, and with wrong masks or positions 1.1 and more.
_CLOSE_IN_HALF = 0.03
_logger = logging.getLogger(__name__)


class Packed(NamedTuple):
    """Holds B rows, each a prompt and a response in each of S slots; W + T columns, of prompts and of all slots."""

    batch: TokenBatch  # its `response_ids` (B, T) are those of all slots; its attention mask is (B, 1, W + T, W + T)
    firsts: Tensor  # (S,) first column of each slot, counted from W
    lengths: Tensor  # (B, S) tokens of each response

    @classmethod
    def of(cls, rows: Sequence[Row], count: int, backbone: "Backbone") -> "Packed":
        """Packs `count` rows at a time; all of them have one prompt and each has a response token."""
        groups = [rows[i : i + count] for i in range(0, len(rows), count)]
        lengths = torch.tensor([[len(response) for _, response in group] for group in groups])
        widths = lengths.amax(0)
        firsts = widths.cumsum(0) - widths
        prompts = [group[0][0] for group in groups]
        pad, long = backbone.pad_id, widths.tolist()
        joined = [[t for (_, r), n in zip(g, long, strict=True) for t in (*r, *[pad] * (n - len(r)))] for g in groups]
        plain = TokenBatch.of(prompts, joined, pad, backbone.device, backbone.frozen_states)
        slots = torch.arange(count).repeat_interleave(widths)  # (T,) of each column
        offsets = torch.arange(len(slots)) - firsts[slots]  # (T,) token of its response
        real = offsets < lengths[:, slots]
        mask, places = attention_to_own(plain, slots.expand(real.shape), real), positions_in_slots(plain, offsets)
        width = plain.input_ids.shape[1] - plain.length
        batch = plain._replace(
            attention_mask=mask,
            position_ids=places,
            response_mask=real.to(backbone.device),
            pieces=_pieces(groups, firsts.tolist(), width),
        )
        return cls(batch, firsts.to(backbone.device), lengths.to(backbone.device))

    @property
    def last(self) -> tuple[Tensor, Tensor]:
        """Finds the rows (B, 1) and columns (B, S) of each response's end, counted from the last prompt token on."""
        columns = self.firsts + self.lengths
        return torch.arange(len(columns), device=columns.device)[:, None], columns

    @property
    def ends(self) -> tuple[Tensor, Tensor]:
        """Finds the same places, columns counted from the first of the batch on."""
        rows, columns = self.last
        return rows, columns + self.batch.input_ids.shape[1] - self.batch.length - 1


def attention_to_own(batch: TokenBatch, slots: Tensor, real: Tensor) -> Tensor:
    """Makes (B, 1, W + T, W + T) bool: a token sees, up to itself, its prompt and its own response.

    Args:
        batch: prompts of W columns, and behind them T columns of several responses.
        slots: (B, T), which response each of these columns is of.
        real: (B, T), False on padding.
    """
    width, device = batch.input_ids.shape[1] - batch.length, batch.input_ids.device
    prompt = batch.attention_mask[:, :width].bool()
    seen = torch.cat([prompt, real.to(device)], dim=1)
    of = torch.cat([torch.full(prompt.shape, -1), slots], dim=1).to(device)
    together = (of[:, None, :] == -1) | (of[:, None, :] == of[:, :, None])
    causal = torch.ones(of.shape[1], of.shape[1], dtype=torch.bool, device=device).tril()
    itself = torch.eye(of.shape[1], dtype=torch.bool, device=device)  # so that padding sees something
    return (together & causal & seen[:, None, :] | itself)[:, None]


def positions_in_slots(batch: TokenBatch, offsets: Tensor) -> Tensor:
    """Makes (B, W + T): every response counts on from its prompt, by `offsets` of (T,) or (B, T) in it."""
    width = batch.input_ids.shape[1] - batch.length
    of_prompt = positions(batch.attention_mask[:, :width])
    return torch.cat([of_prompt, of_prompt[:, -1:] + 1 + offsets.to(of_prompt.device)], dim=1)


def _pieces(groups: Sequence[Sequence[Row]], firsts: Sequence[int], width: int) -> list[Piece]:
    """Says where the states of each prompt and response stand."""
    pieces = []
    for i, group in enumerate(groups):
        for (prompt, response), first in zip(group, firsts, strict=True):
            skip = 0 if first == 0 else len(prompt)
            pieces.append(Piece([*prompt, *response], i, width + first - (len(prompt) - skip), skip))
    return pieces


def one_prompt_each(rows: Sequence[Row], count: int) -> bool:
    """Tells whether each `count` rows have one prompt, without an image."""
    groups = (rows[i : i + count] for i in range(0, len(rows), count))
    return len(rows) % count == 0 and all(
        not isinstance(prompt, ImagePrompt) and prompt == group[0][0] for group in groups for prompt, _ in group
    )


def packs(backbone: "Backbone") -> bool:
    """Tells whether the model takes masks and positions as they are here; logs why where it does not.

    Seen on a few tokens, packed and alone. Images never share a row, which is not worth a word.
    """
    if backbone.vision is not None:
        return False
    reason = _why_not(backbone)
    if reason is not None:
        _logger.warning("responses to one prompt run in rows of their own, which takes longer: %s.", reason)
    return reason is None


def _why_not(backbone: "Backbone") -> str | None:
    """Returns what keeps responses from sharing rows, or None."""
    model, attention = backbone.model, backbone.model.config._attn_implementation
    if attention != "sdpa":
        return f"the attention is {attention}, and masks of this kind are sdpa's"
    try:
        together, alone = _ends_packed_and_alone(backbone)
    except Exception as error:  # what a model makes of a mask it does not know is any of a dozen types
        return f"{type(model).__name__} does not take a mask for each token ({one_line(error)})"
    if torch.allclose(together, alone, atol=_CLOSE, rtol=_CLOSE):
        return None
    gap = float(((together - alone).norm(dim=1) / alone.norm(dim=1)).max())
    if backbone.precision != "fp32" and gap < _CLOSE_IN_HALF:
        return None
    return f"{type(model).__name__} has states there that are {gap:.1g} of their size off"


@torch.no_grad()
def _ends_packed_and_alone(backbone: "Backbone") -> tuple[Tensor, Tensor]:
    """Computes the last hidden states at the ends of a few responses, (4, hidden) float32, packed and alone."""
    rows: list[Row] = [([3, 4, 5, 6], [7, 8]), ([3, 4, 5, 6], [9, 10, 11]), ([5, 3], [8, 7, 6]), ([5, 3], [12])]
    packed = Packed.of(rows, 2, backbone)
    batch, body = packed.batch, body_of(backbone.model)
    with backbone.reference.active():
        output = body(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            use_cache=False,
        )
        together = output.last_hidden_state[packed.ends].flatten(0, 1)
        whole = [torch.tensor([[*p, *r]], device=backbone.device) for p, r in rows]
        alone = [body(input_ids=ids, use_cache=False).last_hidden_state[:, -1] for ids in whole]
    return together.float(), torch.cat(alone).float()


def packable(backbone: "Backbone", rows: Sequence[Row], count: int) -> bool:
    """Tells whether each `count` of the rows can share a packed row, and there is something to share."""
    return count > 1 and backbone.packs and one_prompt_each(rows, count) and fits(backbone, rows)


def fits(backbone: "Backbone", rows: Sequence[Row]) -> bool:
    """Tells whether no row is longer than a window of attention, which a packed row would not keep."""
    window = getattr(backbone.model.config.get_text_config(), "sliding_window", None)
    return window is None or max(len(prompt) + len(response) for prompt, response in rows) <= window
