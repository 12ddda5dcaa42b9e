"""Environment ids as commands take them."""

from typing import Any

import gymnasium as gym
import yaml

import envs  # noqa: F401 - registers perlhf/*
from envs.core import make_task, task_class
from envs.task import Task
from perlhf.errors import UserError, did_you_mean


def env_id(name: str) -> str:
    """The full id: "HH-v0" becomes "perlhf/HH-v0".

    Raises:
        UserError: no such environment; it names the nearest.
    """
    full = name if "/" in name else f"perlhf/{name}"
    if full not in gym.registry:
        ours = [i.removeprefix("perlhf/") for i in gym.registry if i.startswith("perlhf/")]
        raise UserError(f"unknown env {name!r}.{did_you_mean(name.removeprefix('perlhf/'), ours)}")
    return full


def env_options(text: str) -> dict[str, Any]:
    """Arguments of an env from a command line: "domain=ticketing,split=test"; values are YAML scalars.

    Raises:
        UserError: a part that is not NAME=VALUE.
    """
    options: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, sign, value = part.partition("=")
        if not sign or not name.strip():
            raise UserError(f"env option {part!r}: expected NAME=VALUE, with commas between.")
        options[name.strip()] = yaml.safe_load(value)
    return options


def backbone_name(name: str, full_id: str) -> str:
    """The backbone that a command means: "tiny" is the shipped one of the env's task, all else stays."""
    return task_class(gym.spec(full_id).kwargs["task"]).shipped_backbone if name == "tiny" else name


def task_of(full_id: str, **options: Any) -> Task:
    """The task of a registered env, made with `options` (data, split...)."""
    kwargs = {k: v for k, v in gym.spec(full_id).kwargs.items() if k not in ("reward", "render_mode")}
    task = kwargs.pop("task")
    return make_task(task, {**kwargs, **options})
