"""Which split a record is in: what its file is called says it, or else a hash of its prompt.

What must not be on both sides is a prompt; of a conversation it is the first thing that the user says, so that no two
steps of one conversation are on two sides. Its hash (`envs.corpora.splits.hashed_split`) puts 8 of 10 prompts into
train and one each into validation and test. That never changes when rows are added. Where it would leave a split empty,
the prompt of the lowest hash moves there from the split that has the most; two prompts are train and test, a single one
is train. From some 50 prompts on nothing is moved.
"""

import hashlib
import re
from pathlib import Path

import numpy as np

from envs.corpora.splits import SPLITS
from perlhf.conversation import messages_of

_CODES = {split: code for code, split in enumerate(SPLITS)}
BY_HASH = -1  # the code of a record that no name of a file puts anywhere
_BY_IMPORTANCE = ("train", "test", "validation")
_NAMES = {"val": "validation", "valid": "validation", "dev": "validation"}
_WORDS = {**{split: split for split in SPLITS}, **_NAMES}


def side_of_name(name: str) -> str | None:
    """Returns the split that a word of a name is: "train" of "train-00000.parquet", "train_prefs" or "my_train.csv"."""
    found = {_WORDS[word] for word in re.findall("[a-z]+", name.lower()) if word in _WORDS}
    return found.pop() if len(found) == 1 else None


def side_of_file(file: Path, root: Path) -> str | None:
    """Returns the split that a file is by its name, or by that of a folder below `root` that it lies in."""
    inside = file.parent.relative_to(root).parts if file.parent.is_relative_to(root) else ()
    return next((side for name in (file.name, *reversed(inside)) if (side := side_of_name(name))), None)


def code_of(side: str | None) -> int:
    """Returns a split as a number."""
    return BY_HASH if side is None else _CODES[side]


def key_of(prompt: str) -> int:
    """Returns the hash of what of a prompt must not be on both sides, 64 bits."""
    said = next((m.content for m in messages_of(prompt) if m.role == "user"), prompt)
    return int.from_bytes(hashlib.sha256(said.strip().encode("utf-8")).digest()[:8], "big")


def rows_of_split(keys: np.ndarray, sides: np.ndarray, split: str) -> np.ndarray:
    """Returns the positions of the records of a split.

    Where files named after splits lack one of them, it is taken from train by hash.

    Args:
        keys: (n,) uint64, of the prompts.
        sides: (n,) int8, the split that a record's file is, or `BY_HASH`.
        split: which.
    """
    named = {SPLITS[code] for code in np.unique(sides) if code != BY_HASH}
    free = sides == BY_HASH if not named else sides == _CODES["train"]
    wanted = [side for side in _BY_IMPORTANCE if side == "train" or side not in named]
    found = sides.copy()
    if free.any() and len(wanted) > 1:
        unique, place = np.unique(keys[free], return_inverse=True)
        found[free] = _by_hash(unique, wanted)[place]
    return np.flatnonzero(found == _CODES[split])


def _by_hash(keys: np.ndarray, wanted: list[str]) -> np.ndarray:
    """Returns the split of each of some distinct keys, in ascending order, among the splits that are wanted."""
    wanted = wanted[: len(keys)]
    tenths = (keys >> np.uint64(56)) * np.uint64(10) // np.uint64(256)  # as `hashed_split` has it
    found = np.full(len(keys), _CODES["train"], np.int8)
    for tenth, side in enumerate(("test", "validation")):
        if side in wanted:
            found[tenths == tenth] = _CODES[side]
    codes = [_CODES[side] for side in wanted]
    for code in codes:
        if not (found == code).any():
            most = max(codes, key=lambda other: int((found == other).sum()))
            found[np.flatnonzero(found == most)[0]] = code
    return found
