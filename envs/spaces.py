"""`Unicode`: a Text space that admits any string up to a length."""

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import CustomSpaceError
from gymnasium.vector.utils import create_shared_memory

from envs.corpora.surrogates import has_lone_surrogate

_SAMPLED = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,:;!?'\"()-\n\téß漢字🙂"


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


@create_shared_memory.register(Unicode)
def _refuse_shared_memory(space: Unicode, n: int = 1, ctx: Any = None) -> Any:
    # Gymnasium's shared memory turns every Text inside a Dict into "000...0" without a word.
    raise CustomSpaceError("Unicode text cannot live in shared memory; use AsyncVectorEnv(shared_memory=False).")
