"""Stable-Baselines3's view of the environments: a thin `VecEnv` over Gymnasium's vector env."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from envs.core import TaskEnv, TaskVectorEnv
from envs.registry import env_id
from perlhf.errors import UserError


def make_vec_env(
    env: str | gym.Env | VectorEnv | VecEnv, n_envs: int = 1, seed: int | None = None, **kwargs: Any
) -> VecEnv:
    """What `PPO`, `EvalCallback` and `evaluate_policy` take: text and images pass unchanged, episodes are monitored.

    Args:
        env: an id such as "HH-v0" or "perlhf/HH-v0", an env made by `gym.make`, a vector env by `gym.make_vec`,
            or a finished VecEnv, which is returned as it is.
        n_envs: episodes side by side, for an id or a single env.
        seed: of the episodes; episode i gets `seed + i`.
        kwargs: arguments of the env, for an id.

    Raises:
        UserError: an unknown id; an env that is none of perlhf's; a vector env of another autoreset mode.
    """
    if isinstance(env, VecEnv):
        return env
    if isinstance(env, str):
        env = gym.make_vec(env_id(env), num_envs=n_envs, **kwargs)
    elif isinstance(env, gym.Env):
        if not isinstance(env.unwrapped, TaskEnv) or env.unwrapped.spec is None:
            raise UserError(f"expected an env that gym.make made from a perlhf id, got {env}.")
        spec_kwargs = {k: v for k, v in env.unwrapped.spec.kwargs.items() if k != "task"}
        env = gym.make_vec(env.unwrapped.spec.id, num_envs=n_envs, **spec_kwargs)
    vec_env = VecMonitor(TaskVecEnv(env))
    if seed is not None:
        vec_env.seed(seed)
    return vec_env


class TaskVecEnv(VecEnv):
    """A `TaskVectorEnv` in SB3's dress. Observations stay {"prompt": tuple of str[, "image": (n, H, W, 3) uint8]}."""

    def __init__(self, env: VectorEnv) -> None:
        if not isinstance(env.unwrapped, TaskVectorEnv):
            raise UserError(f"expected a vector env that gym.make_vec made from a perlhf id, got {env}.")
        if env.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
            raise UserError(f"expected autoreset mode SAME_STEP, got {env.metadata.get('autoreset_mode')}.")
        self.task_env: TaskVectorEnv = env.unwrapped
        self._actions: Sequence[str] = ()
        self._seed: int | None = None
        self.render_mode = env.render_mode
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> dict[str, Any]:
        observations, infos = self.task_env.reset(seed=self._seed)
        self._seed = None  # like other VecEnvs: a seed counts for one reset
        self.reset_infos = self._rows(infos)
        return observations

    def step_async(self, actions: Sequence[str]) -> None:  # type: ignore[override]
        self._actions = actions

    def step_wait(self) -> tuple[dict[str, Any], np.ndarray, np.ndarray, list[dict[str, Any]]]:
        observations, rewards, terminated, truncated, infos = self.task_env.step(self._actions)
        dones, rows = terminated | truncated, self._rows(infos)
        for i in map(int, np.flatnonzero(dones)):
            # The keys of the finished episode, as SB3 wants them; those of the new one are in `reset_infos`.
            rows[i] = {**_row(infos["final_info"], i, self.num_envs), "terminal_observation": infos["final_obs"][i]}
            rows[i]["TimeLimit.truncated"] = bool(truncated[i])
        return observations, rewards, dones, rows

    def _rows(self, infos: dict[str, Any]) -> list[dict[str, Any]]:
        return [_row(infos, i, self.num_envs) for i in range(self.num_envs)]

    def seed(self, seed: int | None = None) -> list[int | None]:
        self._seed = seed
        return [None if seed is None else seed + i for i in range(self.num_envs)]

    def close(self) -> None:
        self.task_env.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        return [getattr(self.task_env, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        setattr(self.task_env, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Calls a method of the vector env, which answers for all its episodes at once."""
        return [getattr(self.task_env, method_name)(*args, **kwargs)]

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))

    def get_images(self) -> Sequence[np.ndarray | None]:
        return self.task_env.render() or [None] * self.num_envs


def _row(infos: dict[str, Any], i: int, n: int) -> dict[str, Any]:
    """What Gymnasium's batched infos say of env i, as plain Python values."""
    row: dict[str, Any] = {}
    for key, values in infos.items():
        mask = infos.get(f"_{key}")
        if not key.startswith("_") and key not in ("final_info", "final_obs") and mask is not None and mask[i]:
            row[key] = values[i].item() if isinstance(values, np.ndarray) and values.dtype != object else values[i]
    return row
