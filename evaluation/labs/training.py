"""Policies and values that labs are about, trained here and kept in folders."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from agents.hyperparameters import Hyperparameters, PolicySettings
from agents.ppo import PPO
from agents.setup import RECIPES
from agents.vec_env import make_vec_env
from perlhf.plain_yaml import load_yaml

# Adapters as in the paper (arXiv 2403.10704), on attention in all layers, and what goes with them on HH-v0.
PAPER = {"lora_targets": "attention", "lora_layers": "all", "gae_lambda": 0.95, "kl_coef": 0.1}


def recipe_named(name: str) -> dict[str, Any]:
    """Returns a recipe of PPO by the name of its file."""
    found: dict[str, Any] = load_yaml((RECIPES / "ppo" / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def ppo_of(env: str, recipe: Mapping[str, Any], seed: int, reward: Any = None) -> PPO:
    """Returns PPO on an env by the settings of a recipe, on the CPU.

    Args:
        env: its id.
        recipe: the settings.
        seed: of everything that is drawn.
        reward: a spec, see `envs.reward_spec`; None for the env's own.
    """
    learning = {field.name: recipe[field.name] for field in fields(Hyperparameters) if field.name in recipe}
    speaking = {field.name: recipe[field.name] for field in fields(PolicySettings) if field.name in recipe}
    how = {"n_envs": recipe["n_envs"], "seed": seed, "device": "cpu"}
    played = env if reward is None else make_vec_env(env, recipe["n_envs"], reward=reward)
    return PPO("LoRAPolicy", played, policy_kwargs=speaking, **how, **learning)
