"""`TextVecEnv`: what Stable-Baselines3's view of a vector env of text is made of, whoever wrote the env."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices


class TextVecEnv(VecEnv):
    """A vector env of Gymnasium's in Stable-Baselines3's dress.

    Args:
        env: the vector env.
        shown: the space of what one of its envs shows.
        said: the space of what one of them is told.
    """

    def __init__(self, env: VectorEnv, shown: gym.Space[Any], said: gym.Space[Any]) -> None:
        self._env = env
        self._seed: int | None = None  # of the next reset
        self.render_mode = env.render_mode
        super().__init__(env.num_envs, shown, said)

    def seed(self, seed: int | None = None) -> list[int | None]:
        self._seed = seed
        return [None if seed is None else seed + i for i in range(self.num_envs)]

    def close(self) -> None:
        self._env.close()

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        setattr(self._env, attr_name, value)

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))

    def _rows(self, infos: dict[str, Any]) -> list[dict[str, Any]]:
        return [row_of(infos, i, self.num_envs) for i in range(self.num_envs)]


def row_of(infos: dict[str, Any], i: int, n: int) -> dict[str, Any]:
    """Returns what Gymnasium's batched infos say of env i of n, as plain Python values."""
    row: dict[str, Any] = {}
    for key, values in infos.items():
        mask = infos.get(f"_{key}")
        if not key.startswith("_") and key not in ("final_info", "final_obs") and mask is not None and mask[i]:
            row[key] = _of_row(values, i)
    return row


def _of_row(values: Any, i: int) -> Any:
    if isinstance(values, dict):
        return {key: _of_row(value, i) for key, value in values.items() if not key.startswith("_")}
    return values[i].item() if isinstance(values, np.ndarray) and values.dtype != object else values[i]
