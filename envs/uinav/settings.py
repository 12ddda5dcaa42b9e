"""Checks what UINav is made with, before anything is drawn or read."""

import os
from collections.abc import Mapping

from envs.corpora.splits import SPLITS
from perlhf.errors import UserError, did_you_mean


def check_values(split: object, data: object, flags: Mapping[str, object], augment: object) -> None:
    """Refuses a split, data, flags or a share that are none; UserError."""
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}.{did_you_mean(str(split), SPLITS)}")
    if not isinstance(data, (str, os.PathLike)):
        raise UserError(f"data must be 'miniature' or a path, got {data!r}.")
    for option, value in flags.items():
        if not isinstance(value, bool):
            raise UserError(f"{option} must be True or False, got {value!r}.")
    if isinstance(augment, bool) or not isinstance(augment, (int, float)) or not 0 <= augment <= 1:
        raise UserError(f"augment must be from 0 to 1, the share of elements that it changes, got {augment!r}.")


def check_counts(counts: Mapping[str, object]) -> None:
    """Refuses numbers that count nothing; UserError."""
    for option, number in counts.items():
        if type(number) is not int or number < 1:
            raise UserError(f"{option} must be at least 1, a whole number, got {number!r}.")
