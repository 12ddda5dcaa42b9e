"""Importing `envs` registers every perlhf/* environment with Gymnasium."""

from typing import Any

from gymnasium import register


def register_task(env_id: str, task: str, **options: Any) -> None:
    """Registers a task with Gymnasium, to be played one episode at a time or many side by side.

    Args:
        env_id: such as "me/Toy-v0".
        task: its class as "module:Class"; it is imported when an env is made.
        options: defaults of the env's arguments, such as `reward` and those of the task.
    """
    register(
        env_id,
        entry_point="envs.core:TaskEnv",
        vector_entry_point="envs.core:TaskVectorEnv",
        kwargs={"task": task, **options},
    )


_TASKS = {
    "TLDR-v0": "envs.text:TLDR",
    "BOLT-v0": "envs.text:BOLT",
    "HH-v0": "envs.text:HH",
    "SHP-v0": "envs.text:SHP",
    "Taskmaster-v0": "envs.text:Taskmaster",
}

for _name, _task in _TASKS.items():
    register_task(f"perlhf/{_name}", _task)
