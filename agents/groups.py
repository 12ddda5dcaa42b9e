"""Whole episodes in groups that begin alike: how a rollout of them is begun, and who says in which states."""

from collections.abc import Mapping
from math import isinf
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from agents.policy import Observation
from agents.starts import Starts
from agents.vec_env import TaskVecEnv
from backbones import group
from perlhf.errors import UserError


def require_groups(env: VecEnv, group_size: int) -> None:
    """Makes sure that an env can play whole episodes in groups.

    Raises:
        UserError: it cannot begin several episodes alike, or its number is no multiple of the group size.
    """
    if not isinstance(env.unwrapped, TaskVecEnv):
        raise UserError(
            f"whole episodes in groups are not played by {type(env.unwrapped).__name__}: give PPO the id of the env or "
            "callables that make it, instead of a vector env."
        )
    task = env.get_attr("task")[0]
    if group_size > 1 and not task.repeats:
        raise UserError(f"{task.not_repeatable} Groups of episodes that begin alike need that; take algorithm 'ppo'.")
    if env.num_envs % group_size:
        each = f" in each of {group.size()} processes" if group.size() > 1 else ""
        near = " or ".join(str(n) for n in _multiples_beside(env.num_envs, group_size))
        raise UserError(
            f"n_envs {env.num_envs}{each} is no multiple of group_size {group_size}; take {near}, or another size."
        )


def _multiples_beside(number: int, of: int) -> list[int]:
    below = number // of * of
    return [n for n in (below, below + of) if n]


def starts_of(env: VecEnv, frontier: float, seed: int, before: Starts | None = None) -> Starts | None:
    """Returns what proposes starts at the border of what is solved; None where all are drawn.

    Args:
        env: whose task it is of.
        frontier: the share of the groups that begin there, as it is now; a callback may have changed it.
        seed: of its draws.
        before: what proposed for the rollout before, which goes on where it is of the same task.

    Raises:
        UserError: the task has no verdict on its episodes, so that nothing is known to be solved.
    """
    if not frontier:
        return None
    task = env.get_attr("task")[0]
    if not task.repeats:
        raise UserError(f"frontier: {task.not_repeatable} Nothing can be begun in again; leave it out.")
    if before is not None and before.task is task:
        before.frontier = frontier
        return before
    if isinf(task.success_at) or not task.has_gold(task.start(np.random.default_rng(0), {})):
        raise UserError(f"frontier: {type(task).__name__} has no verdict on its episodes for these data; leave it out.")
    return Starts(task, frontier, seed)


def begin_groups(env: VecEnv, group_size: int, starts: Starts | None) -> tuple[Observation, list[Any]]:
    """Begins an episode in each env, alike in each group; returns what they show.

    Args:
        env: this process's envs.
        group_size: envs in a group.
        starts: proposes states for the groups of all processes; None has all drawn.

    Returns:
        The observation, and, with `starts`, the state of each group of all processes, as JSON.
    """
    groups = env.num_envs // group_size
    own = group.share(groups * group.size(), "groups")
    proposed = None if starts is None else starts.propose(groups * group.size())[own.start : own.stop]
    env.set_options({"group_size": group_size, "starts": proposed})
    observation: Any = env.reset()
    if starts is None:
        return observation, []
    states = env.unwrapped.task_env.get_state()["states"][::group_size]  # type: ignore[attr-defined]
    return observation, [state for part in group.gather(states) for state in part]


def tell_starts(starts: Starts | None, begun: list[Any], outcomes: Mapping[int, bool | None], group_size: int) -> None:
    """Lets `starts` know what came of a rollout.

    Args:
        starts: that proposed; None for nobody.
        begun: the state of each group, from `begin_groups`.
        outcomes: whether the episode of each env, of all processes, succeeded; None where the env failed. One that is
            not there was not over in time.
        group_size: envs in a group.
    """
    if starts is not None:
        envs = [range(first, first + group_size) for first in range(0, len(begun) * group_size, group_size)]
        found = [[outcomes.get(env, False) for env in of_group] for of_group in envs]
        starts.tell(begun, [[each for each in of_group if each is not None] for of_group in found])
