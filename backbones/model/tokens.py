"""Tokens: pads rows of token ids and makes their masks and positions. Shapes in comments."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from backbones.model.vision import ImagePrompt, image_inputs

if TYPE_CHECKING:
    from backbones.shortcuts.frozen_states import FrozenStates

# Of (B, L, ...) tensors, as slices or index tensors: rows and columns.
Where = tuple[slice | Tensor, slice | Tensor]


class Piece(NamedTuple):
    """Says where a row of token ids, or its end, stands in a padded batch."""

    row: Sequence[int]  # without padding
    line: int  # of the batch
    column: int  # of its first token there
    skip: int = 0  # how many of its first tokens are not there


class Places(NamedTuple):
    """Says where the tokens of rows are computed that share lines of a batch."""

    lines: Tensor  # (B, 1) of each row
    columns: Tensor  # (B, T) before each of its response tokens, counted from the last column of prompts on
    width: int  # columns behind the prompts


class TokenBatch(NamedTuple):
    """Holds prompts padded on the left and responses on the right: all responses begin in one column.

    Masks come from lengths, never from comparing ids with the padding id, which may be a real token. B rows are on as
    many lines, but where rows with one prompt share a line (`backbones.shortcuts.shared_lines`): `places` says how.
    """

    input_ids: Tensor  # (lines, P + T)
    attention_mask: Tensor  # (lines, P + T), 1 on real tokens; (lines, 1, P + T, P + T) bool of lines that are shared
    position_ids: Tensor  # (lines, P + T), 0 on the first real token; (3, B, P + T) where a model places images so
    response_ids: Tensor  # (B, T)
    response_mask: Tensor  # (B, T), True on real response tokens
    image_inputs: dict[str, Tensor]  # pixels of the prompts' images and what goes with them; empty for text alone
    pieces: Sequence[Piece]  # what stands where; the rest is padding
    frozen_states: "FrozenStates | None" = None  # of the backbone that the batch is for, see `above_frozen_layers`
    places: Places | None = None  # of rows that share lines; None where each has its own

    @classmethod
    def of(
        cls,
        prompts: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        pad_id: int,
        device: torch.device,
        frozen_states: "FrozenStates | None" = None,
    ) -> "TokenBatch":
        """Pads rows of token ids; T is at least 1."""
        width, length = max(map(len, prompts)), max(1, *map(len, responses))
        rows, mask, pieces = [], [], []
        for line, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
            left, right = width - len(prompt), length - len(response)
            rows.append([pad_id] * left + list(prompt) + list(response) + [pad_id] * right)
            mask.append([0] * left + [1] * (len(prompt) + len(response)) + [0] * right)
            pieces.append(Piece([*prompt, *response], line, left))
        input_ids = torch.tensor(rows, device=device)
        attention_mask = torch.tensor(mask, device=device)
        response_ids, response_mask = input_ids[:, width:], attention_mask[:, width:].bool()
        shown = image_inputs(prompts, input_ids)
        places = token_positions(prompts, input_ids, attention_mask, shown)
        return cls(input_ids, attention_mask, places, response_ids, response_mask, shown, pieces, frozen_states)

    @property
    def length(self) -> int:
        """Counts T, the tokens of the longest response."""
        return self.response_ids.shape[1]

    @property
    def width(self) -> int:
        """Counts the columns behind the prompts: T, or more where rows share lines."""
        return self.length if self.places is None else self.places.width

    @property
    def read(self) -> Where:
        """Says where states are read: from the last prompt token on."""
        return slice(None), slice(-self.width - 1, None)

    @property
    def before(self) -> Tensor:
        """Returns the columns before each response token, (T,), or all where rows share lines."""
        last = self.input_ids.shape[1] - 1
        return torch.arange(last - self.width, last, device=self.input_ids.device)

    def of_rows(self, figures: Tensor) -> Tensor:
        """Returns what was computed at `before`, (lines, columns, ...), at each row's tokens, (B, T, ...)."""
        return figures if self.places is None else figures[self.places.lines, self.places.columns]

    def above_frozen_layers(self) -> AbstractContextManager[None]:
        """Lets a forward of this batch begin above the frozen layers, inside, where their states are kept."""
        if self.frozen_states is None:
            return nullcontext()
        return self.frozen_states.replayed(self.pieces, tuple(self.input_ids.shape))


def positions(attention_mask: Tensor) -> Tensor:
    """Counts the position of each token among the real ones of its row, (B, L); padding gets 0."""
    return (attention_mask.cumsum(1) - 1).clamp(min=0)


def token_positions(
    prompts: Sequence[Sequence[int]], input_ids: Tensor, attention_mask: Tensor, inputs: Mapping[str, Tensor]
) -> Tensor:
    """Returns the position of each token: (3, B, L) where a model places images so and rows begin with some.

    Elsewhere it is the token's number among the real ones of its row, (B, L).

    Args:
        prompts: what the rows begin with.
        input_ids: (B, L).
        attention_mask: (B, L), 1 on real tokens.
        inputs: from `image_inputs` of these rows.
    """
    vision = next((prompt.vision for prompt in prompts if isinstance(prompt, ImagePrompt)), None)
    placed = None if vision is None else vision.positions(input_ids, attention_mask, inputs)
    return positions(attention_mask) if placed is None else placed


def next_positions(position_ids: Tensor) -> Tensor:
    """Returns the position of what follows, (B, 1) or (3, B, 1): text goes on after the largest of three."""
    last = position_ids[..., -1:]
    return (last if last.dim() == 2 else last.amax(0, keepdim=True).expand_as(last)) + 1


def length_mask(rows: Sequence[Sequence[int]]) -> Tensor:
    """Makes (N, T) True on the tokens of each row; from lengths, since the padding id may be a real token."""
    lengths = torch.tensor([len(row) for row in rows])
    return torch.arange(max(1, int(lengths.max()))) < lengths[:, None]


def like_lengths(lengths: Sequence[int], batch_size: int, equal: Sequence[int] | None = None) -> list[list[int]]:
    """Puts row numbers in batches of like lengths, so that little of a batch is padding.

    Args:
        lengths: of the rows.
        batch_size: rows in a batch.
        equal: the same number for rows that are to stand side by side, as with one prompt; by default none are.
    """
    of = range(len(lengths)) if equal is None else equal
    longest: dict[int, int] = {}
    for number, length in zip(of, lengths, strict=True):
        longest[number] = max(length, longest.get(number, 0))
    order = sorted(range(len(lengths)), key=lambda i: (longest[of[i]], of[i], lengths[i]))
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
