"""Policies and values that labs are about, trained here and kept in folders."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from agents.hyperparameters import Hyperparameters, PolicySettings
from agents.ppo import PPO
from agents.setup import RECIPES
from perlhf.plain_yaml import load_yaml

# Adapters as in the paper (arXiv 2403.10704), on attention in all layers, and what goes with them on HH-v0.
PAPER = {"lora_targets": "attention", "lora_layers": "all", "gae_lambda": 0.95, "kl_coef": 0.1}


def recipe_named(name: str) -> dict[str, Any]:
    """Returns a recipe of PPO by the name of its file."""
    found: dict[str, Any] = load_yaml((RECIPES / "ppo" / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def ppo_of(env: str, recipe: Mapping[str, Any], seed: int) -> PPO:
    """Returns PPO on an env with the env's own reward, by the settings of a recipe, on the CPU."""
    learning = {field.name: recipe[field.name] for field in fields(Hyperparameters) if field.name in recipe}
    speaking = {field.name: recipe[field.name] for field in fields(PolicySettings) if field.name in recipe}
    how = {"n_envs": recipe["n_envs"], "seed": seed, "device": "cpu"}
    return PPO("LoRAPolicy", env, policy_kwargs=speaking, **how, **learning)
