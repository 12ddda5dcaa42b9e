"""What Stable-Baselines3 keeps under private names, or does in another way than language models need."""

from typing import Any

import gymnasium as gym
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.vec_env import VecEnv

from agents.policy import Observation
from agents.rollout import Rollout
from agents.steps import own_envs
from agents.vec_env import AnyEnv, make_vec_env
from backbones import group

_EPISODES_APART = 1_000_003  # of two seeds; episode i of a vector env is seeded with its seed + i


class TextAlgorithm(OnPolicyAlgorithm):
    """An on-policy algorithm of SB3's whose observations are text.

    Attributes:
        rollout: the last one.
    """

    rollout: Rollout | None

    @property
    def n_updates(self) -> int:
        """Passes over rollouts so far, as SB3 counts updates."""
        return self._n_updates

    @n_updates.setter
    def n_updates(self, count: int) -> None:
        self._n_updates = count

    @property
    def last_observation(self) -> Observation | None:
        """What the envs show now; None before the first reset."""
        return self._last_obs  # type: ignore[return-value]

    @last_observation.setter
    def last_observation(self, observation: Observation | None) -> None:
        self._last_obs = observation  # type: ignore[assignment]

    def _init_callback(self, callback: MaybeCallback, progress_bar: bool = False) -> BaseCallback:
        # One bar for all processes.
        return super()._init_callback(callback, progress_bar and group.is_first())

    @staticmethod
    def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> VecEnv:
        # SB3's own would transpose images and wrap text in arrays.
        return make_vec_env(env)

    def set_random_seed(self, seed: int | None = None) -> None:
        """Seeds the env. SB3 seeds the global generators here; ours are our own, and those of others are left alone."""
        if seed is not None and self.env is not None:
            self.seed_episodes(seed)

    def seed_episodes(self, seed: int, begun: int = 0) -> None:
        """Seeds the episodes that the next reset begins; `begun` are the turns of each env before, in another run."""
        assert self.env is not None
        own = own_envs(self.env.num_envs)
        self.env.seed(_EPISODES_APART * seed + begun * self.env.num_envs * group.size() + own.start)

    def _update_current_progress_remaining(self, num_timesteps: int, total_timesteps: int) -> None:
        # SB3 counts the rollout it is about to train on as done, which would waste the last one on a rate of 0.
        played = 0 if self.rollout is None else len(self.rollout)
        super()._update_current_progress_remaining(num_timesteps - played, total_timesteps)


def vectorized(env: AnyEnv, n_envs: int) -> VecEnv:
    """Makes this process's env for training; a vector env, or a list, has its own number of episodes."""
    if isinstance(env, (gym.vector.VectorEnv, VecEnv, list, tuple)):
        return make_vec_env(env)
    return make_vec_env(env, len(group.share(n_envs, "envs")))
