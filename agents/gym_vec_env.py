"""`GymVecEnv`: a vector env of Gymnasium's, or of somebody else's, as Stable-Baselines3's `VecEnv` of text.

Nothing but `reset` and `step` is asked of it, so that vector wrappers and worker processes are what they were. The
price: no groups of episodes that begin alike, and no episode that goes on in the middle after a resume.
"""

import sys
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, VectorEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

from agents.text_vec_env import TextVecEnv, row_of
from envs.gym_spaces import TextSpaces
from envs.spaces import Unicode
from perlhf.errors import UserError, one_line


class GymVecEnv(TextVecEnv):
    """A vector env whose observations and actions are text. Rewards are its own.

    Observations are {"prompt": tuple of str[, "image": (n, H, W, 3) uint8]}, as those of perlhf's envs.

    Args:
        env: in autoreset mode SAME_STEP or DISABLED; in the latter this class resets what is over.

    Attributes:
        shipped_backbone: what "tiny" stands for.
        reward_function: None, since rewards come from the env.
        task: None, since nothing but `reset` and `step` is known of the env.

    Raises:
        UserError: another autoreset mode; an observation or action that is no text; texts in shared memory.
    """

    def __init__(self, env: VectorEnv) -> None:
        self.name = env.spec.id if env.spec is not None else type(env.unwrapped).__name__
        shown = env.single_observation_space
        self._spaces = TextSpaces(self.name, shown, env.single_action_space)
        mode = env.metadata.get("autoreset_mode")
        if mode not in (AutoresetMode.SAME_STEP, AutoresetMode.DISABLED):
            raise UserError(
                f"vector env {self.name!r} begins a new episode one step too late (autoreset mode {mode}), so that an "
                "answer would be lost; make it with autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP, or give "
                "the id or the callables."
            )
        self._resets_itself = mode == AutoresetMode.SAME_STEP
        if _shares_plain_texts(env.unwrapped):
            raise UserError(
                f"vector env {self.name!r} shares texts of gymnasium.spaces.Text in memory, where they never change; "
                "make it with shared_memory=False, or with envs.spaces.Unicode as the space."
            )
        self._is_dict = isinstance(shown, spaces.Dict)
        seen: dict[str, spaces.Space[Any]] = {"prompt": Unicode(self._spaces.max_prompt_length)}
        if self._spaces.image_shape is not None:
            seen["image"] = spaces.Box(0, 255, self._spaces.image_shape, np.uint8)
        self.shipped_backbone = "tiny" if self._spaces.image_shape is None else "tiny-vqav2"
        self.reward_function, self.task = None, None
        self._actions: Sequence[str] = ()
        self._steps = 0
        self._returns = np.zeros(env.num_envs)
        self._told = False
        super().__init__(env, spaces.Dict(seen), Unicode(20_000))

    def reset(self) -> dict[str, Any]:
        observations, infos = self._called("reset", seed=self._seed)
        self._seed = None  # like other VecEnvs: it counts for one reset
        self._returns[:] = 0
        self.reset_infos = self._rows(infos)
        return self._shown(observations, "after reset")

    def step_async(self, actions: Sequence[str]) -> None:  # type: ignore[override]
        self._actions = actions

    def step_wait(self) -> tuple[dict[str, Any], np.ndarray, np.ndarray, list[dict[str, Any]]]:
        self._steps += 1
        if not self._told and not all(map(self._spaces.takes, self._actions)):
            self._told = True
            print(self._spaces.describe_fitting(), file=sys.stderr)
        actions = tuple(self._spaces.fitted(action) for action in self._actions)
        observations, rewards, terminated, truncated, infos = self._called("step", actions)
        for i in map(int, np.flatnonzero(~np.isfinite(rewards))):
            raise UserError(f"vector env {self.name!r} gave the reward {rewards[i]} in env {i}, expected a number.")
        self._returns += rewards
        dones, rows = terminated | truncated, self._rows(infos)
        when = f"at step {self._steps}"
        last = list(infos["final_obs"]) if "final_obs" in infos else self._each(observations)
        ended = infos.get("final_info", {}) if self._resets_itself else infos
        for i in map(int, np.flatnonzero(dones)):
            self.reset_infos[i] = rows[i]
            said = {"gold": float(self._returns[i]), **row_of(ended, i, self.num_envs)}
            if "success" in said:
                said.setdefault("is_success", said["success"])
            rows[i] = {**said, "terminal_observation": self._spaces.observed(last[i], when)}
            rows[i]["TimeLimit.truncated"] = bool(truncated[i] and not terminated[i])
            self._returns[i] = 0
        if dones.any() and not self._resets_itself:
            observations, _ = self._called("reset", options={"reset_mask": np.array(dones, np.bool_)})
        return self._shown(observations, when), np.asarray(rewards, np.float64), dones, rows

    def _called(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a method of the vector env; an error in it, or in a worker of it, is one line."""
        try:
            return getattr(self._env, method)(*args, **kwargs)
        except UserError:
            raise
        except Exception as error:
            where = f"at step {self._steps}" if method == "step" else "in reset"
            raise UserError(
                f"vector env {self.name!r} raised {type(error).__name__} {where}: {one_line(error)} (its episodes are "
                "lost; go on from the last checkpoint)"
            ) from error

    def _each(self, observations: Any) -> list[Any]:
        """Returns the observation of each env."""
        if not self._is_dict:
            return list(observations)
        return [{key: values[i] for key, values in observations.items()} for i in range(self.num_envs)]

    def _shown(self, observations: Any, when: str) -> dict[str, Any]:
        rows = [self._spaces.observed(each, f"{when} in env {i}") for i, each in enumerate(self._each(observations))]
        shown: dict[str, Any] = {"prompt": tuple(row["prompt"] for row in rows)}
        if self._spaces.image_shape is not None:
            shown["image"] = np.stack([row["image"] for row in rows])
        return shown

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        owner = self if hasattr(self, attr_name) else self._env
        return [getattr(owner, attr_name)] * len(list(self._get_indices(indices)))

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        """Calls a method of the vector env once; each index has the whole answer."""
        return [getattr(self._env, method_name)(*args, **kwargs)] * len(list(self._get_indices(indices)))

    def get_images(self) -> Sequence[np.ndarray | None]:
        return list(self._env.render() or [None] * self.num_envs)  # type: ignore[arg-type]


def _shares_plain_texts(env: VectorEnv) -> bool:
    """Returns whether worker processes show texts of Gymnasium's own space in memory that all share.

    Gymnasium reads such a text once, when the env is made, and shows that ever after.
    """
    if not isinstance(env, AsyncVectorEnv) or not env.shared_memory:
        return False
    shown: gym.Space[Any] = env.single_observation_space
    parts = shown.spaces.values() if isinstance(shown, spaces.Dict) else [shown]
    return any(isinstance(part, spaces.Text) and not isinstance(part, Unicode) for part in parts)
