"""Stable-Baselines3's own PPO on the numeric UI env: success on episodes that it was not trained on.

python benchmarks/uinav_numeric.py [--templates star_email+delete_email] [--steps 120000] [--algorithm ppo] [--seed 0]

`--algorithm maskable` is sb3-contrib's MaskablePPO (pip install "perlhf[benchmarks]"). The policies are SB3's, with
two layers; the reward is success and 0.1 for every step nearer to the goal than before; the figure is success alone.
"""

import argparse
import time
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

import envs  # noqa: F401 - registers perlhf/*

ENV = "perlhf/UINavNumeric-v0"
NUM_ENVS, EPISODES = 8, 200
PROGRESS = 0.1  # for every step that is nearer to the goal than ever before in the episode
SETTINGS: dict[str, Any] = {
    "n_steps": 128, "batch_size": 256, "n_epochs": 6, "gamma": 0.9, "learning_rate": 7e-4, "ent_coef": 0.01,
    "policy_kwargs": {"net_arch": [128, 128]},
}  # fmt: skip


def main() -> None:
    """Trains on the train split and prints success on the test split before and after."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", default="star_email+delete_email", help="names joined by +")
    parser.add_argument("--steps", type=int, default=120_000)
    parser.add_argument("--algorithm", choices=("ppo", "maskable"), default="ppo")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = make_model(options.algorithm, options.templates, options.seed)
    print(f"{options.algorithm} on {options.templates}, seed {options.seed}")
    print(f"before: success {success(model, options.templates):.1%} of {EPISODES} held-out episodes")
    start, cpu = time.perf_counter(), time.process_time()
    model.learn(options.steps)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    print(f"{model.num_timesteps} steps in {wall:.0f} s ({cpu:.0f} s of CPU): {model.num_timesteps / cpu:,.0f} steps/s")
    print(f"after: success {success(model, options.templates):.1%} of {EPISODES} held-out episodes")


def make_model(algorithm: str, templates: str, seed: int) -> BaseAlgorithm:
    """Returns an untrained PPO, or MaskablePPO, with `NUM_ENVS` envs of the train split."""
    many = DummyVecEnv([partial(one_env, templates)] * NUM_ENVS)
    if algorithm == "ppo":
        return PPO("MultiInputPolicy", many, seed=seed, device="cpu", **SETTINGS)
    from sb3_contrib import MaskablePPO

    return MaskablePPO("MultiInputPolicy", many, seed=seed, device="cpu", **SETTINGS)


def one_env(templates: str) -> gym.Env:
    """One env to train in."""
    return Monitor(gym.make(ENV, templates=templates, progress=PROGRESS, disable_env_checker=True))


def success(model: BaseAlgorithm, templates: str) -> float:
    """Share of `EPISODES` episodes of the test split that reach their goal, with the likeliest action at each step."""
    env: Any = gym.make(ENV, templates=templates, split="test", disable_env_checker=True).unwrapped
    reached = 0
    for seed in range(EPISODES):
        observation, _ = env.reset(seed=seed)
        ended = False
        while not ended:
            action = choose(model, observation, env.action_masks())
            observation, _, terminated, truncated, info = env.step(action)
            ended = terminated or truncated
        reached += info["is_success"]
    return reached / EPISODES


def choose(model: BaseAlgorithm, observation: dict[str, np.ndarray], masks: np.ndarray) -> np.ndarray:
    """Returns the model's action; only MaskablePPO takes the masks."""
    options = {} if isinstance(model, PPO) else {"action_masks": masks}
    return model.predict(observation, deterministic=True, **options)[0]


if __name__ == "__main__":
    main()
