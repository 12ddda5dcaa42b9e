"""Stable-Baselines3's view of the environments: a thin `VecEnv` over Gymnasium's vector env."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from stable_baselines3.common.vec_env import VecEnv, VecMonitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from agents.gym_vec_env import GymVecEnv
from agents.text_vec_env import TextVecEnv, row_of
from envs.core import TaskEnv, TaskVectorEnv
from envs.gym_seats import EnvSource
from envs.gym_task import GymTask
from envs.registry import env_id, make_vec
from perlhf.errors import UserError

_HARMLESS = (PassiveEnvChecker, OrderEnforcing, TimeLimit)  # what `gym.make` wraps around an env by itself
_ANSWERS_FOR_EACH = ("oracle", "plausible_action", "render")
AnyEnv = str | gym.Env | VectorEnv | VecEnv | Callable[[], gym.Env] | Sequence[Callable[[], gym.Env]]


def make_vec_env(env: AnyEnv, n_envs: int | None = None, seed: int | None = None, **kwargs: Any) -> VecEnv:
    """Makes the envs that `PPO`, `EvalCallback` and `evaluate_policy` take.

    Text and images pass unchanged, and episodes are monitored. Envs that are none of perlhf's are taken where their
    observation and action are text, with their wrappers; see docs/environments_of_others.md.

    Args:
        env: an id such as "HH-v0" or "perlhf/HH-v0", an env, a callable that makes one, a list of callables, a vector
            env of Gymnasium, or a finished VecEnv, which is returned as it is but for the seed.
        n_envs: episodes side by side, for an id, a single env or a callable; 1 by default.
        seed: of the episodes; episode i gets `seed + i`.
        kwargs: arguments of the env, for an id.

    Raises:
        UserError: an unknown id; an env that takes or shows no text; arguments or another number of episodes for envs
            that are made already.
    """
    if kwargs and not isinstance(env, str):
        raise UserError(f"{', '.join(kwargs)} given with an env that is made already; give them to gym.make.")
    vec_env = env if isinstance(env, VecEnv) else VecMonitor(_dressed(_vector_env(env, n_envs, kwargs)))
    if n_envs not in (None, vec_env.num_envs):
        raise UserError(f"expected a vector env of {n_envs} episodes, got one of {vec_env.num_envs}.")
    if seed is not None:
        vec_env.seed(seed)
    return vec_env


def _vector_env(env: Any, n_envs: int | None, kwargs: dict[str, Any]) -> VectorEnv:
    """Returns a vector env of whatever an env is given as; one of perlhf's wherever that can be."""
    count = 1 if n_envs is None else n_envs
    if isinstance(env, str):
        return make_vec(env_id(env), count, **kwargs)
    if isinstance(env, SyncVectorEnv):  # its envs one by one can do what a vector env cannot: begin alike, and wait
        return TaskVectorEnv(GymTask, env.num_envs, env=_sources(env))
    if isinstance(env, VectorEnv):
        return env
    if isinstance(env, (list, tuple)):
        return TaskVectorEnv(GymTask, len(env), env=env)
    if isinstance(env, gym.Env) and isinstance(env.unwrapped, TaskEnv) and env.unwrapped.spec is not None:
        limits = _limits(env)
        if limits is not None:
            kwargs = {k: v for k, v in env.unwrapped.spec.kwargs.items() if k != "task"}
            return gym.make_vec(env.unwrapped.spec.id, num_envs=count, **{**kwargs, **limits})
    return TaskVectorEnv(GymTask, count, env=env)


def _sources(env: SyncVectorEnv) -> list[EnvSource]:
    """Returns where each env of a vector env comes from; those that are made alike are one source."""
    alike: dict[int, list[int]] = {}
    for i, make in enumerate(env.env_fns):
        alike.setdefault(id(make), []).append(i)
    sources = {
        key: EnvSource(env.env_fns[numbers[0]], free=[env.envs[i] for i in numbers]) for key, numbers in alike.items()
    }
    return [sources[id(make)] for make in env.env_fns]


def _limits(env: gym.Env) -> dict[str, int] | None:
    """Returns the time limits around an env as an argument; None where there is a wrapper of one's own."""
    limits = []
    while isinstance(env, gym.Wrapper):
        if type(env) not in _HARMLESS:
            return None
        if isinstance(env, TimeLimit):
            limits.append(env._max_episode_steps)
        env = env.env
    known = env.unwrapped.spec.kwargs.get("max_episode_steps", sys.maxsize) if env.unwrapped.spec else sys.maxsize
    return {"max_episode_steps": min(*limits, known)} if limits else {}


def _dressed(env: VectorEnv) -> VecEnv:
    """Returns a vector env as a VecEnv."""
    return TaskVecEnv(env) if isinstance(env, TaskVectorEnv) else GymVecEnv(env)


class TaskVecEnv(TextVecEnv):
    """A `TaskVectorEnv` in SB3's dress. Observations stay {"prompt": tuple of str[, "image": (n, H, W, 3) uint8]}."""

    def __init__(self, env: TaskVectorEnv) -> None:
        if env.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
            raise UserError(f"expected autoreset mode SAME_STEP, got {env.metadata.get('autoreset_mode')}.")
        self.task_env = env
        self._actions: Sequence[str | None] = ()
        self._options_of_reset: dict[str, Any] | None = None
        super().__init__(env, env.single_observation_space, env.single_action_space)

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
            self.reset_infos[i] = rows[i]  # of the new episode; what stands here is of the finished one, as in SB3
            rows[i] = {**row_of(infos["final_info"], i, self.num_envs), "terminal_observation": infos["final_obs"][i]}
            rows[i]["TimeLimit.truncated"] = bool(truncated[i])
        return observations, rewards, dones, rows

    @property
    def shipped_backbone(self) -> str:
        """What "tiny" stands for with this task."""
        return self.task_env.task.shipped_backbone

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        owner = self if attr_name == "shipped_backbone" else self.task_env
        return [getattr(owner, attr_name)] * len(list(self._get_indices(indices)))

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Calls a method of the vector env once; one item for each index, its own where the answer has one each."""
        answer = getattr(self.task_env, method_name)(*args, **kwargs)
        each = method_name in _ANSWERS_FOR_EACH and answer
        return [answer[i] if each else answer for i in self._get_indices(indices)]

    def get_images(self) -> Sequence[np.ndarray | None]:
        return self.task_env.render() or [None] * self.num_envs

    def render(self, mode: str | None = None) -> np.ndarray | None:
        """SB3's: all pictures in one; None before the first reset."""
        return super().render(mode) if self.task_env.shown else None
