"""Importing `envs` registers every perlhf/* environment with Gymnasium."""

from typing import TYPE_CHECKING, Any

from gymnasium import register

import perlhf  # noqa: F401  # says first whose file is in the way, where one is
from perlhf.lazy import lazy_names

if TYPE_CHECKING:
    from envs.core import TaskEnv, TaskVectorEnv
    from envs.task import Task
    from envs.text_task import TextTask
    from envs.turn import Turn
else:  # imported when they are first used
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "Task": "envs.task",
            "TaskEnv": "envs.core",
            "TaskVectorEnv": "envs.core",
            "TextTask": "envs.text_task",
            "Turn": "envs.turn",
        },
    )

__all__ = ["Task", "TaskEnv", "TaskVectorEnv", "TextTask", "Turn", "register_task"]


def register_task(env_id: str, task: str, **options: Any) -> None:
    """Registers a task with Gymnasium, to be played one episode at a time or many side by side.

    Args:
        env_id: such as "me/Toy-v0".
        task: its class as "module:Class"; it is imported when an env is made.
        options: defaults of the env's other arguments, those of the task among them. Not `data` and not `reward`:
            commands have options of their own for them. What a reward is by default the task's `default_reward` says.

    Raises:
        TypeError: `data` or `reward` among the options.
    """
    if {"data", "reward"} & set(options):
        raise TypeError("register_task takes no default of data or reward; set the task's default_reward.")
    register(
        env_id,
        entry_point="envs.core:TaskEnv",
        vector_entry_point="envs.core:TaskVectorEnv",
        kwargs={"task": task, **options},
    )


_TASKS = {
    "TLDR-v0": "envs.tldr.task:TLDR",
    "BOLT-v0": "envs.bolt.task:BOLT",
    "HH-v0": "envs.hh.task:HH",
    "SHP-v0": "envs.shp.task:SHP",
    "Taskmaster-v0": "envs.taskmaster.task:Taskmaster",
    "VQAv2-v0": "envs.vqav2.task:VQAv2",
    "UINav-v0": "envs.uinav.task:UINav",
    "Preferences-v0": "envs.preferences.task:Preferences",
}

for _name, _task in _TASKS.items():
    register_task(f"perlhf/{_name}", _task)

# Numbers in and out, for the algorithms of Stable-Baselines3; it is no env of text, so that commands refuse it.
register("perlhf/UINavNumeric-v0", entry_point="envs.uinav.numeric.env:NumericUINav")
