"""Stable-Baselines3's view of the environments: a thin `VecEnv` over Gymnasium's vector env."""

import sys
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from envs.core import TaskEnv, TaskVectorEnv
from envs.registry import env_id
from perlhf.errors import UserError

_HARMLESS = (PassiveEnvChecker, OrderEnforcing, TimeLimit)  # what `gym.make` wraps around an env by itself
_ANSWERS_FOR_EACH = ("oracle", "plausible_action", "render")


def make_vec_env(
    env: str | gym.Env | VectorEnv | VecEnv, n_envs: int | None = None, seed: int | None = None, **kwargs: Any
) -> VecEnv:
    """Makes the envs that `PPO`, `EvalCallback` and `evaluate_policy` take.

    Text and images pass unchanged, and episodes are monitored.

    Args:
        env: an id such as "HH-v0" or "perlhf/HH-v0", an env made by `gym.make`, a vector env by `gym.make_vec`,
            or a finished VecEnv, which is returned as it is but for the seed.
        n_envs: episodes side by side, for an id or a single env; 1 by default.
        seed: of the episodes; episode i gets `seed + i`.
        kwargs: arguments of the env, for an id.

    Raises:
        UserError: an unknown id; an env that is none of perlhf's; a wrapper of one's own, which would have no effect;
            arguments or another number of episodes for an env that is made already.
    """
    if kwargs and not isinstance(env, str):
        raise UserError(f"{', '.join(kwargs)} given with an env that is made already; give them to gym.make.")
    if isinstance(env, str):
        env = gym.make_vec(env_id(env), num_envs=1 if n_envs is None else n_envs, **kwargs)
    elif isinstance(env, gym.Env):
        env = _side_by_side(env, 1 if n_envs is None else n_envs)
    elif n_envs not in (None, env.num_envs):
        raise UserError(f"expected a vector env of {n_envs} episodes, got one of {env.num_envs}.")
    vec_env = env if isinstance(env, VecEnv) else VecMonitor(TaskVecEnv(env))
    if seed is not None:
        vec_env.seed(seed)
    return vec_env


def _side_by_side(env: gym.Env, n_envs: int) -> VectorEnv:
    """As many episodes of a single env as a vector env, which makes them anew from the env's spec."""
    if not isinstance(env.unwrapped, TaskEnv) or env.unwrapped.spec is None:
        raise UserError(f"expected an env that gym.make made from a perlhf id, got {env}.")
    kwargs = {k: v for k, v in env.unwrapped.spec.kwargs.items() if k != "task"}
    layer = env
    while isinstance(layer, gym.Wrapper):
        if type(layer) not in _HARMLESS:
            raise _wrapped(layer)
        if isinstance(layer, TimeLimit):
            kwargs["max_episode_steps"] = min(layer._max_episode_steps, kwargs.get("max_episode_steps", sys.maxsize))
        layer = layer.env
    return gym.make_vec(env.unwrapped.spec.id, num_envs=n_envs, **kwargs)


def _wrapped(env: gym.Env | VectorEnv) -> UserError:
    name = type(env).__name__
    return UserError(f"the wrapper {name} would have no effect on many episodes; put it into the task or the reward.")


class TaskVecEnv(VecEnv):
    """A `TaskVectorEnv` in SB3's dress. Observations stay {"prompt": tuple of str[, "image": (n, H, W, 3) uint8]}."""

    def __init__(self, env: VectorEnv) -> None:
        if not isinstance(env.unwrapped, TaskVectorEnv):
            raise UserError(f"expected a vector env that gym.make_vec made from a perlhf id, got {env}.")
        if env.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
            raise UserError(f"expected autoreset mode SAME_STEP, got {env.metadata.get('autoreset_mode')}.")
        if env is not env.unwrapped:
            raise _wrapped(env)
        self.task_env: TaskVectorEnv = env.unwrapped
        self._actions: Sequence[str | None] = ()
        self._seed: int | None = None
        self._options_of_reset: dict[str, Any] | None = None
        self.render_mode = env.render_mode
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> dict[str, Any]:
        observations, infos = self.task_env.reset(seed=self._seed, options=self._options_of_reset)
        self._seed, self._options_of_reset = None, None  # like other VecEnvs: they count for one reset
        self.reset_infos = self._rows(infos)
        return observations

    def set_options(self, options: Any = None) -> None:
        """Sets the options of the next reset, such as "group_size"; they are of all envs."""
        self._options_of_reset = options

    def step_async(self, actions: Sequence[str | None]) -> None:  # type: ignore[override]
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
        """Calls a method of the vector env once; one item for each index, its own where the answer has one each."""
        answer = getattr(self.task_env, method_name)(*args, **kwargs)
        each = method_name in _ANSWERS_FOR_EACH and answer
        return [answer[i] if each else answer for i in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type, indices: VecEnvIndices = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))

    def get_images(self) -> Sequence[np.ndarray | None]:
        return self.task_env.render() or [None] * self.num_envs

    def render(self, mode: str | None = None) -> np.ndarray | None:
        """SB3's: all pictures in one; None before the first reset."""
        return super().render(mode) if self.task_env.shown else None


def _row(infos: dict[str, Any], i: int, n: int) -> dict[str, Any]:
    """Returns what Gymnasium's batched infos say of env i, as plain Python values."""
    row: dict[str, Any] = {}
    for key, values in infos.items():
        mask = infos.get(f"_{key}")
        if not key.startswith("_") and key not in ("final_info", "final_obs") and mask is not None and mask[i]:
            row[key] = values[i].item() if isinstance(values, np.ndarray) and values.dtype != object else values[i]
    return row
