"""Live bytes: what a piece of work holds in tensors, at its peak or for a backward pass, on whatever device."""

import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_bytes(work: Callable[[], Any], but: Collection[int] = ()) -> int:
    """Counts the bytes of all tensors that are there at once while a piece of work runs, at most.

    What an operator takes inside and gives back before it returns is not seen.

    Args:
        work: that makes tensors.
        but: storages (`untyped_storage()._cdata`) that were there before, as those of weights.
    """
    live = _Live(but)
    with live:
        result = work()
    del result
    return live.most


def saved_bytes(forward: Callable[[], Any], but: Collection[int] = ()) -> int:
    """Counts the bytes that autograd keeps for the backward pass of a forward, each storage once.

    Args:
        forward: the forward.
        but: storages (`untyped_storage()._cdata`) that do not count, as those of weights.
    """
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in but:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()  # holds the graph, so that no storage is freed and its number taken by another
    del result
    return sum(storage.nbytes() for storage in kept.values())


class _Live(TorchDispatchMode):
    """Adds up the storages that operators make inside, each until nobody holds it any more."""

    def __init__(self, but: Collection[int]) -> None:
        super().__init__()
        self.now, self.most = 0, 0
        self._known = set(but)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = {_number(tensor) for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and _number(tensor) not in given | self._known:
                self._note(tensor.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        self._known.add(storage._cdata)
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, number: int, size: int) -> None:
        self._known.discard(number)
        self.now -= size


def _number(tensor: Tensor) -> int:
    """Returns what tells the storage of a tensor from others while it lives."""
    return int(tensor.untyped_storage()._cdata)
