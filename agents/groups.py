"""Whole episodes in groups that begin alike: how a rollout of them is begun, and who says in which states."""

from collections.abc import Sequence
from typing import Any, Protocol

from stable_baselines3.common.vec_env import VecEnv

from agents.policy import Observation
from agents.vec_env import TaskVecEnv
from backbones import group
from perlhf.errors import UserError

State = Any  # of an episode, as its task writes it down in JSON


class Starts(Protocol):
    """Says in which states groups of episodes begin, and hears what came of them; the same on all processes."""

    def propose(self, groups: int) -> list[State | None]:
        """Returns a state for each group of a rollout; None for one that the env draws."""

    def tell(self, states: Sequence[State], successes: Sequence[Sequence[bool]]) -> None:
        """Hears the state that each group has begun in, and which of its episodes succeeded."""

    def get_state(self) -> Any:
        """Returns, as JSON, everything that decides what will be proposed."""

    def set_state(self, state: Any) -> None:
        """Puts back what `get_state` gave."""


def require_groups(env: VecEnv, group_size: int) -> None:
    """Makes sure that an env can play whole episodes in groups.

    Raises:
        UserError: it is none of perlhf's, or its number is no multiple of the group size.
    """
    if not isinstance(env.unwrapped, TaskVecEnv):
        raise UserError(
            f"whole episodes in groups are played by the envs of agents.make_vec_env, not by {type(env).__name__}."
        )
    if env.num_envs % group_size:
        each = f" in each of {group.size()} processes" if group.size() > 1 else ""
        near = " or ".join(str(n) for n in _multiples_beside(env.num_envs, group_size))
        raise UserError(
            f"n_envs {env.num_envs}{each} is no multiple of group_size {group_size}; take {near}, or another size."
        )


def _multiples_beside(number: int, of: int) -> list[int]:
    below = number // of * of
    return [n for n in (below, below + of) if n]


def begin_groups(env: VecEnv, group_size: int, starts: Starts | None) -> tuple[Observation, list[State]]:
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
