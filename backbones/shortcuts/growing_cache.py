"""Growing cache: writes each token's keys and values where they belong, instead of copying all before them.

transformers' own joins the old and the new tensor at each token, which is much of what sampling costs a small model.

Patched: `layers` of one `DynamicCache`, which get a subclass of `DynamicLayer`, for as long as that cache lives. It
relies on `keys`, `values`, `is_initialized`, `lazy_initialization` and `get_seq_length` of that class.
"""

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedConfig
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin


def growing_cache(config: PreTrainedConfig, length: int) -> DynamicCache:
    """Makes a cache for up to `length` tokens a row; layers with a window of attention are as in transformers."""
    cache = DynamicCache(config=config)
    cache.layers = [_Growing(length) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def grows(config: PreTrainedConfig) -> bool:
    """Tells whether all layers of a model's cache keep every token."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)


def keep_rows(cache: DynamicCache, rows: Tensor) -> None:
    """Keeps these rows of a cache, the states of linear attention and convolutions too, which have no method for it."""
    for layer in cache.layers:
        if isinstance(layer, LinearAttentionCacheLayerMixin):
            LinearAttentionCacheLayerMixin.reorder_cache(layer, rows)
        if hasattr(layer, "batch_select_indices"):
            layer.batch_select_indices(rows)


class _Growing(DynamicLayer):
    """Keeps `keys` and `values` (rows, heads, tokens so far, width) as the beginning of larger tensors."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self._length = length
        self._room: list[Tensor] = []

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Adds what follows; returns all so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._room = [
                new.new_empty(*new.shape[:2], self._length, new.shape[3]) for new in (key_states, value_states)
            ]
        start = self.get_seq_length()
        end = start + key_states.shape[2]
        for room, new in zip(self._room, (key_states, value_states), strict=True):
            room[:, :, start:end] = new
        self.keys, self.values = (room[:, :, :end] for room in self._room)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keeps these rows."""
        tokens, old = self.get_seq_length(), self._room
        if not tokens:
            return
        self._room = [room.new_empty(len(indices), *room.shape[1:]) for room in old]
        for new, room in zip(self._room, old, strict=True):
            new[:, :, :tokens] = room[indices, :, :tokens]
        self.keys, self.values = (room[:, :, :tokens] for room in self._room)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Gives each row so many copies."""
        rows = 0 if self.keys is None else len(self.keys)
        self.batch_select_indices(torch.arange(rows, device=self.keys.device).repeat_interleave(repeats))
