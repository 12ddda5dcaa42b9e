"""`Unicode`: a Text space that admits any string up to a length, and how Gymnasium flattens and shares its strings."""

import copy
import multiprocessing
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from gymnasium import spaces
from gymnasium.spaces.utils import flatdim, flatten, flatten_space, unflatten
from gymnasium.vector.utils import (
    batch_differing_spaces,
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)

from envs.corpora.surrogates import has_lone_surrogate

_SAMPLED = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:;!?'\"()-\n\téß漢字🙂"
_NO_CHARACTER = 0x110000  # what fills a flat text up: the first number that is no code point


class Unicode(spaces.Text):
    """Any `str` of at most `max_length` characters, the empty one included, without lone surrogates.

    Gymnasium's own `Text` names a character set; its default has no space, and a set of all Unicode takes
    seconds to build and megabytes to pickle. Lone surrogates are outside because no UTF-8 and so no tokenizer
    can hold them. `sample()` draws noise: an env's `plausible_action(rng)` is the useful random action.
    """

    def __init__(self, max_length: int, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(max_length, min_length=0, charset=_SAMPLED, seed=seed)
        # One object: Stable-Baselines3 puts what a single env shows into arrays of this shape and type. Text has none.
        self._shape, self.dtype = (), np.dtype(object)

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and len(x) <= self.max_length and (x.isascii() or not has_lone_surrogate(x))

    def __repr__(self) -> str:
        return f"Unicode({self.max_length})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unicode) and self.max_length == other.max_length

    __hash__ = None  # type: ignore[assignment]


# A flat text is the numbers of its characters, filled up with `_NO_CHARACTER`. Gymnasium would look each character up
# in the character set, which here says what is sampled and not what there is.


@flatdim.register(Unicode)
def _flat_length(space: Unicode) -> int:
    return space.max_length


@flatten_space.register(Unicode)
def _flat_space(space: Unicode) -> spaces.Box:
    return spaces.Box(0, _NO_CHARACTER, (space.max_length,), np.int32)


@flatten.register(Unicode)
def _flat(space: Unicode, x: str) -> np.ndarray:  # type: ignore[misc]
    flat = np.full(space.max_length, _NO_CHARACTER, np.int32)
    flat[: len(x)] = _code_points(x)
    return flat


@unflatten.register(Unicode)
def _unflat(space: Unicode, x: np.ndarray) -> str:  # type: ignore[misc]
    return _text(x[x < _NO_CHARACTER])


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), "<i4")


def _text(code_points: np.ndarray) -> str:
    # Samples of a flat space have numbers of surrogates, which are no text.
    return code_points.astype("<i4").tobytes().decode("utf-32-le", "replace")


@batch_differing_spaces.register(Unicode)  # Gymnasium's looks for the very class, not for `Text` behind it
def _batch_of_lengths(spaces_: Sequence[Unicode]) -> spaces.Tuple:  # type: ignore[misc]
    return spaces.Tuple([copy.deepcopy(space) for space in spaces_])


# What an `AsyncVectorEnv` reads observations from: for each env the length of its text, then its characters.
# Gymnasium's own reads a text once, when the memory is still empty, and shows that ever after.


@create_shared_memory.register(Unicode)
def _shared_memory(space: Unicode, n: int = 1, ctx: Any = multiprocessing) -> Any:
    return ctx.Array("i", n * (1 + space.max_length))


@write_to_shared_memory.register(Unicode)
def _write_shared(space: Unicode, index: int, value: str, shared_memory: Any) -> None:
    row = _rows(space, shared_memory)[index]
    row[1 : 1 + len(value)] = _code_points(value)
    row[0] = len(value)


@read_from_shared_memory.register(Unicode)
def _read_shared(space: Unicode, shared_memory: Any, n: int = 1) -> "_SharedTexts":
    return _SharedTexts(_rows(space, shared_memory))


def _rows(space: Unicode, shared_memory: Any) -> np.ndarray:
    return np.frombuffer(shared_memory.get_obj(), np.int32).reshape(-1, 1 + space.max_length)


class _SharedTexts(Sequence[str]):
    """The texts that are in shared memory now; a copy of them is a tuple that stays as it is."""

    def __init__(self, rows: np.ndarray) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self)[index]
        row = self._rows[index]
        return _text(row[1 : 1 + row[0]])

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[str, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        return repr(tuple(self))
