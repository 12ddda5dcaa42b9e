"""Importing `envs` registers every perlhf/* environment with Gymnasium."""

from gymnasium import register

_TASKS = {
    "HH-v0": "envs.text:HH",
}

for _name, _task in _TASKS.items():
    register(
        f"perlhf/{_name}",
        entry_point="envs.core:TaskEnv",
        vector_entry_point="envs.core:TaskVectorEnv",
        kwargs={"task": _task},
    )
