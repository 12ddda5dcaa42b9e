"""Environment ids as commands take them."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import VectorEnv

import envs  # noqa: F401 - registers perlhf/*
from envs.core import TaskVectorEnv, make_task, refuse_unknown, task_class
from envs.entry_points import load_module
from envs.feedback import Feedback
from envs.gym_task import GymTask
from envs.task import Task
from perlhf.errors import UserError, did_you_mean, one_line
from perlhf.plain_yaml import load_yaml

_OF_VECTOR_ENV, _OF_GYM_TASK = ("reward", "render_mode", "max_episode_steps", "workers"), ("data", "split")


def env_id(name: str) -> str:
    """Returns the full id: "HH-v0" becomes "perlhf/HH-v0", and "my_file:me/Toy-v0" becomes "me/Toy-v0".

    As in Gymnasium, a module in front of the id is imported first: it is what registers the env. An env that is none of
    perlhf's has its own id, "me/Other-v0".

    Raises:
        UserError: no such module; no such environment, and it names the nearest.
    """
    module, colon, short = name.rpartition(":")
    if colon and module and not module.startswith("."):
        load_module(module, f"env {name!r}")
        known = [i for i, spec in gym.registry.items() if _is_ours(spec) or _is_of(spec, module)]
    else:
        short, known = name, [i.removeprefix("perlhf/") for i in gym.registry if i.startswith("perlhf/")]
    full = short if colon or "/" in short else f"perlhf/{short}"
    if full not in gym.registry and not colon and short in gym.registry:
        full = short
    if full not in gym.registry:
        raise UserError(f"unknown env {name!r}.{did_you_mean(short.removeprefix('perlhf/'), known)}")
    return full


def _is_ours(spec: EnvSpec) -> bool:
    """Returns whether an env plays a task of perlhf's, as those that `register_task` registers."""
    return spec.vector_entry_point in ("envs.core:TaskVectorEnv", TaskVectorEnv)


def _is_of(spec: EnvSpec, module: str) -> bool:
    """Returns whether an env that is none of perlhf's is made by something in this module."""
    return isinstance(spec.entry_point, str) and spec.entry_point.partition(":")[0] == module


def parse_env_options(text: str) -> dict[str, Any]:
    """Returns the parts of a command line's "min_score_ratio=2,max_pairs_per_post=5"; values are YAML scalars.

    Raises:
        UserError: a part that is not NAME=VALUE, or a name that comes twice.
    """
    options: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, sign, value = part.partition("=")
        name = name.strip()
        if not sign or not name:
            raise UserError(f"env option {part!r}: expected NAME=VALUE, with commas between.")
        if name in options:
            raise UserError(f"env option {part!r}: {name} is given twice.")
        try:
            options[name] = load_yaml(value)
        except ValueError as error:
            raise UserError(f"env option {part!r}: not a YAML value: {one_line(error)}.") from None
    return options


def env_options(full_id: str, text: str) -> dict[str, Any]:
    """Arguments of an env's task from a command line, as `parse_env_options` reads them.

    Raises:
        UserError: one that the task does not have, or that commands set themselves.
    """
    options = parse_env_options(text)
    for name in options:
        if name in ("data", "split", "reward", "columns"):
            raise UserError(f"env option {name!r}: the command itself decides that; see --data, --reward and its help.")
    if class_of(full_id) is not GymTask:  # else the env itself says so
        refuse_unknown(class_of(full_id), options, but=frozenset({"data", "split"}))
    return options


def class_of(full_id: str) -> type[Task]:
    """Returns the class of the task of a registered env; of one that is none of perlhf's, what makes a task of it."""
    spec = gym.spec(full_id)
    return task_class(spec.kwargs["task"]) if _is_ours(spec) else GymTask


def task_of(full_id: str, **options: Any) -> Task:
    """Returns the task of a registered env, made with `options` (data, split...)."""
    spec = gym.spec(full_id)
    if not _is_ours(spec):
        return make_task(GymTask, _of_others(spec, options))
    kwargs = {k: v for k, v in spec.kwargs.items() if k not in ("reward", "render_mode")}
    task = kwargs.pop("task")
    return make_task(task, {**kwargs, **options})


def make_vec(full_id: str, num_envs: int, **arguments: Any) -> VectorEnv[Any, Any, Any]:
    """Returns `num_envs` episodes of a registered env side by side, as `gym.make_vec` does for an env of perlhf's.

    Args:
        full_id: of an env; one of somebody else's is played as a `GymTask`.
        num_envs: how many.
        arguments: of `TaskVectorEnv`, `split`, and of the env.
    """
    spec = gym.spec(full_id)
    if _is_ours(spec):
        return gym.make_vec(full_id, num_envs=num_envs, **arguments)
    own = {name: arguments.pop(name) for name in _OF_VECTOR_ENV if name in arguments}
    return TaskVectorEnv(GymTask, num_envs, **own, **_of_others(spec, arguments))


def _of_others(spec: EnvSpec, options: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a `GymTask`: what it does not know itself is the env's."""
    own = {name: value for name, value in options.items() if name in _OF_GYM_TASK}
    return {**own, "env": spec, "arguments": {name: value for name, value in options.items() if name not in own}}


def feedback_of(full_id: str, options: Mapping[str, Any], splits: Sequence[str]) -> list[Feedback]:
    """Returns the feedback that SFT and reward models learn from, over each of some splits.

    Args:
        full_id: of a registered env.
        options: of its task, `data` among them.
        splits: "train", "validation", "test".

    Raises:
        UserError: the task has no feedback.
    """
    found = [task_of(full_id, **options, split=split).feedback() for split in splits]
    feedback = [each for each in found if each is not None]
    if len(feedback) < len(found):
        raise UserError(f"{full_id} is not a text task: it has no records of prompts and responses.")
    return feedback
