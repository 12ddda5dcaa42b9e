"""Importing `envs` registers every perlhf/* environment with Gymnasium."""

from gymnasium import register

_TASKS = {
    "TLDR-v0": "envs.text:TLDR",
    "BOLT-v0": "envs.text:BOLT",
    "HH-v0": "envs.text:HH",
    "SHP-v0": "envs.text:SHP",
    "Taskmaster-v0": "envs.text:Taskmaster",
}

for _name, _task in _TASKS.items():
    register(
        f"perlhf/{_name}",
        entry_point="envs.core:TaskEnv",
        vector_entry_point="envs.core:TaskVectorEnv",
        kwargs={"task": _task},
    )
