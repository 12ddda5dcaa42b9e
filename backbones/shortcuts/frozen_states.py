"""Frozen states: keeps what the lower layers give, which no adapter changes, so that they run once for a row of tokens.

Where adapters are on the top layers alone, every role gives the same hidden states below them. They are computed when a
row is first asked for, unless sampling did it, and kept, so that policy, value, reference and reward, in every epoch,
run on the layers above. Whoever trains opens it: PPO for a rollout and the updates on it, `fit` for all its epochs.
Sampling runs the lower layers token by token; what they give is kept then (`backbones.shortcuts.sampled_states`).

Patched: a forward hook on the highest frozen layer, to read what it gives, for the length of one forward; and `forward`
of the layers that are skipped, through `backbones.shortcuts.skipped_layers`.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from backbones.model.anatomy import body_of
from backbones.model.tokens import Piece
from backbones.shortcuts.skipped_layers import skipped

KEPT_BYTES = 1 << 30  # of hidden states, at most; rows beyond it are computed anew each time
_NOT_EXACT = "this model's layers hand on more than hidden states"
_ROWS = 16  # in one forward, as many as log-probabilities and scores are computed of at a time


class FrozenStates:
    """Holds hidden states below the adapters, by rows of tokens.

    It keeps nothing while it is closed, and nothing of a backbone that sees: a row of tokens does not say which image
    they stand for.

    Args:
        layers: of the language model, the lowest first; None where nothing can be kept.
        pad_id: the padding token.
        bare: a context manager that gives the model without any adapter.
        unchanged: says how many of the lowest layers are as in the bare model now.
        limit: bytes that it keeps.

    Attributes:
        depth: how many of the lowest layers it stands for; 0 while it is closed.
        bytes: that it keeps now.
    """

    def __init__(
        self,
        layers: nn.ModuleList | None,
        pad_id: int,
        bare: Callable[[], AbstractContextManager[PreTrainedModel]],
        unchanged: Callable[[], int],
        limit: int = KEPT_BYTES,
    ) -> None:
        self._layers, self._pad_id, self._bare, self._unchanged = layers, pad_id, bare, unchanged
        self.limit = limit
        self._as_tuple = False  # how this model's layers return what they give
        self._exact: dict[int, bool] = {}  # by depth, whether a forward above these layers gives what a whole one does
        self.close()

    def open(self, depth: int) -> None:
        """Starts anew, with the states below layer `depth`; 0 leaves it closed.

        So does a model whose higher layers need more of the lower ones than hidden states, such as keys and values: a
        line says so once.
        """
        self.close()
        if self._layers is None or depth == 0:
            return
        self.depth = depth
        if depth not in self._exact:
            self._exact[depth] = self._gives_the_same()
            if not self._exact[depth]:
                print(f"{_NOT_EXACT}, so the lowest {depth} run for every role", file=sys.stderr)
        self.depth = depth if self._exact[depth] else 0

    def close(self) -> None:
        """Forgets everything."""
        self.depth, self.bytes = 0, 0
        self._rows: dict[tuple[int, ...], Tensor] = {}

    @contextmanager
    def kept(self, depth: int) -> Iterator[None]:
        """Opens it inside the block, and leaves it as it was before after it."""
        before = self.depth, self.bytes, self._rows
        self.open(depth)
        try:
            yield
        finally:
            self.depth, self.bytes, self._rows = before

    def serves(self, frozen_layers: int) -> bool:
        """Tells whether it is open, and stands for no more than these lowest layers."""
        return 0 < self.depth <= frozen_layers

    @contextmanager
    def replayed(self, pieces: Sequence[Piece], shape: tuple[int, ...]) -> Iterator[None]:
        """Lets a forward of the backbone begin above the frozen layers, inside, where the active role allows it.

        Args:
            pieces: what stands where in the forward; the rest is padding.
            shape: rows and columns of the forward.
        """
        if not self.serves(self._unchanged()):
            yield
            return
        found = self.states([piece.row for piece in pieces])
        states = found[0].new_zeros(*shape, found[0].shape[-1])
        for piece, of_piece in zip(pieces, found, strict=True):
            end = piece.column + len(of_piece) - piece.skip
            states[piece.line, piece.column : end] = of_piece[piece.skip :]
        assert self._layers is not None
        with skipped(self._layers[: self.depth], self._returns_tuple, states):
            yield

    def states(self, rows: Sequence[Sequence[int]]) -> list[Tensor]:
        """Returns what the frozen layers give for each row, (tokens, hidden)."""
        keys = [tuple(row) for row in rows]
        missing = list(dict.fromkeys(key for key in keys if key not in self._rows))
        fresh: dict[tuple[int, ...], Tensor] = {}
        for i in range(0, len(missing), _ROWS):
            chunk = missing[i : i + _ROWS]
            fresh.update(zip(chunk, self._compute(chunk), strict=True))
        for key, states in fresh.items():
            self.keep(key, states)
        return [fresh[key] if key in fresh else self._rows[key] for key in keys]

    def keep(self, row: Sequence[int], states: Tensor, without_last: bool = False) -> None:
        """Keeps a copy of the states of a row, (tokens, hidden), as far as the limit allows; only while it is open.

        With `without_last` for the row without its last token too, in the same memory.
        """
        key = tuple(row)
        if key not in self._rows and self.bytes + states.nbytes <= self.limit:
            self._rows[key] = states.clone()  # not a view, which would hold all of the batch
            self.bytes += states.nbytes
        if without_last and key in self._rows:
            self._rows.setdefault(key[:-1], self._rows[key][:-1])

    @property
    def full(self) -> bool:
        """Tells whether it keeps nothing more."""
        return self.bytes >= self.limit

    @contextmanager
    def caught(self) -> Iterator[list[Tensor]]:
        """Adds to the list, inside, what the frozen layers give in each forward of the backbone, (B, L, hidden)."""
        assert self._layers is not None
        states: list[Tensor] = []

        def catch(_: nn.Module, __: Any, output: Any) -> None:
            self._as_tuple = isinstance(output, tuple)
            states.append(output[0] if self._as_tuple else output)

        hook = self._layers[self.depth - 1].register_forward_hook(catch)
        try:
            yield states
        finally:
            hook.remove()

    @torch.no_grad()
    def _compute(self, rows: Sequence[tuple[int, ...]]) -> list[Tensor]:
        width = max(map(len, rows))
        with self._bare() as model, self._above(), self.caught() as caught:
            ids = torch.tensor([[*row, *[self._pad_id] * (width - len(row))] for row in rows], device=model.device)
            lengths = torch.tensor([len(row) for row in rows], device=model.device)
            mask = (torch.arange(width, device=model.device) < lengths[:, None]).long()
            body_of(model)(input_ids=ids, attention_mask=mask, use_cache=False)
        return [row[:length] for row, length in zip(caught[0], lengths.tolist(), strict=True)]

    @torch.no_grad()
    def _gives_the_same(self) -> bool:
        """Tells whether a forward above the frozen layers gives what a whole one does: seen on a few tokens."""
        assert self._layers is not None
        row = (3, 4, 5)
        with self._bare() as model:
            training = model.training
            model.eval()
            ids = torch.tensor([row], device=model.device)
            whole = body_of(model)(input_ids=ids, use_cache=False).last_hidden_state
            try:
                states = self._compute([row])[0]
                with skipped(self._layers[: self.depth], self._returns_tuple, states[None]):
                    above = body_of(model)(input_ids=ids, use_cache=False).last_hidden_state
            except Exception:  # the layers give something of another shape
                return False
            finally:
                model.train(training)
        precision = max(torch.finfo(p.dtype).eps for p in model.parameters() if p.is_floating_point())
        return torch.allclose(whole, above, rtol=max(1e-4, 4 * precision), atol=max(1e-4, 4 * precision))

    def _above(self) -> AbstractContextManager[None]:
        """Leaves out the layers above those it stands for, inside."""
        assert self._layers is not None
        return skipped(self._layers[self.depth :], self._returns_tuple)

    def _returns_tuple(self) -> bool:
        return self._as_tuple
