"""The infos of many envs as one dict of arrays."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def stacked_infos(infos: Mapping[int, Mapping[str, Any]], num_envs: int) -> dict[str, Any]:
    """Stacks infos in one go, as `VectorEnv._add_info` of Gymnasium does one by one.

    Args:
        infos: the number of an env, and its info.
        num_envs: how many envs there are.

    Returns:
        For each key an array with a place for each env, and under "_key" (num_envs,) bool: which of them said it. A
        value that is a dict is stacked in the same way.
    """
    stacked: dict[str, Any] = {}
    for key in dict.fromkeys(key for info in infos.values() for key in info):
        values = {i: info[key] for i, info in infos.items() if key in info}
        said = np.zeros(num_envs, np.bool_)
        said[list(values)] = True
        stacked[key], stacked[f"_{key}"] = _column(key, values, num_envs), said
    return stacked


def _column(key: str, values: Mapping[int, Any], num_envs: int) -> Any:
    """One value for each env; the first of them decides about the type."""
    first = next(iter(values.values()))
    if isinstance(first, dict) and key != "final_obs":
        return stacked_infos(values, num_envs)
    column = _empty(key, first, num_envs)
    for i, value in values.items():
        column[i] = value
    return column


def _empty(key: str, value: Any, num_envs: int) -> np.ndarray:
    if key != "final_obs":
        if type(value) in (int, float, bool) or isinstance(value, np.number):
            return np.zeros(num_envs, type(value))
        if isinstance(value, np.ndarray):
            return np.zeros((num_envs, *value.shape), value.dtype)
    return np.full(num_envs, None, object)
