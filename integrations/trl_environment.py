"""Envs of perlhf as TRL's `environment_factory`: tools for tasks of many actions, the completion for tasks of one."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from envs.registry import class_of, env_id
from envs.text_task import TextTask
from integrations.text import instructions_of, text_env
from perlhf.errors import UserError

BY_TOOL = "Do each action with the tool `act`, one at a time, until the episode is over."


class OneResponse:
    """One prompt and one response, for `reward_funcs=score_completions`."""

    def __init__(self, env: gym.Env[Any, str]) -> None:
        self._env, self._total, self._over = env, 0.0, True

    def reset(self, seed: int | None = None, **columns: Any) -> str:
        """Begins the episode of a row's seed, and returns its prompt, which TRL puts behind the last user message."""
        if seed is None:
            raise UserError("rows need a column 'seed', so that a group begins alike; see trl_environment.rows.")
        observation, _ = self._env.reset(seed=seed)
        self._total, self._over = 0.0, False
        return str(observation["prompt"])

    # TRL makes a tool of every public method, so this is none.
    def __call__(self, response: str) -> tuple[str, float]:
        """Plays a response; returns what is seen after it and the sum of rewards so far."""
        observation, reward, terminated, truncated, _ = self._env.step(response)
        self._total, self._over = self._total + float(reward), terminated or truncated
        return str(observation["prompt"]), self._total


class ManyActions(OneResponse):
    """An episode of many actions, each a call of the tool `act`; the reward of a completion is their rewards' sum."""

    def act(self, action: str) -> str:
        """
        Does one action.

        Args:
            action: The action, as the instructions say it.

        Returns:
            What is seen after it.
        """
        if self._over:
            return "The episode is over."
        seen, _ = self(action)
        return "The episode is over." if self._over else seen

    def get_reward(self) -> float:
        """Returns the sum of the rewards of the episode so far."""
        return self._total


def environment_factory(env: str, **options: Any) -> Callable[[], OneResponse]:
    """Returns what `GRPOTrainer(environment_factory=...)` takes; options are those of `gym.make`, such as `reward`."""
    made = OneResponse if issubclass(class_of(env_id(env)), TextTask) else ManyActions
    return lambda: made(text_env(env, **options))


def rows(env: str, count: int, first_seed: int = 0, **options: Any) -> list[dict[str, Any]]:
    """Returns rows of a data set, the episodes of `count` seeds: `datasets.Dataset.from_list(rows("UINav-v0", 64))`.

    `options` are those of `environment_factory`: some, such as `actions`, change what a model is told.
    """
    by_tool = "" if issubclass(class_of(env_id(env)), TextTask) else BY_TOOL
    told = [instructions_of(env, **options) or "", by_tool]
    system = [{"role": "system", "content": "\n\n".join(filter(None, told))}] if any(told) else []
    return [{"prompt": [*system, {"role": "user", "content": ""}], "seed": first_seed + i} for i in range(count)]


def score_completions(completions: list[Any], environments: list[OneResponse], **columns: Any) -> list[float]:
    """Scores completions by the envs they were made in: a reward function of TRL's for tasks of one response."""
    return [env(said[-1]["content"])[1] for env, said in zip(environments, completions, strict=True)]
