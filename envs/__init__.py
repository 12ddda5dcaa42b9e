"""Importing `envs` registers every perlhf/* environment with Gymnasium."""

from gymnasium import register

register(
    "perlhf/HH-v0",
    entry_point="envs.core:TaskEnv",
    vector_entry_point="envs.core:TaskVectorEnv",
    kwargs={"task": "envs.text:HH"},
)
