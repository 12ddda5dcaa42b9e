"""Runs one setting in this process and prints the plan and the peak of memory, as JSON.

    python -m benchmarks.memory_plan.measured FOLDER NAME

Before it, PPO runs on a model of a few thousand parameters, so that libraries are loaded and warm; what is resident
then is not counted. Reads /proc, so it needs Linux.
"""

import ctypes
import gc
import json
import sys
from pathlib import Path
from typing import Any

import torch

from agents import PPO, make_vec_env
from agents.hyperparameters import Hyperparameters, PolicySettings
from agents.memory_report import plan_of
from backbones import group
from backbones.backbone import Backbone
from backbones.launch import run_command
from benchmarks.memory_plan.settings import PROMPT, RESPONSE, SETTINGS, Setting
from envs.turn import Turn
from perlhf.measure import peak_rss_mb, rss_mb


def lengths(turns: list[Turn]) -> list[float]:
    """A reward that costs nothing: how long responses are, in a cycle of seven."""
    return [float(len(turn.response) % 7) for turn in turns]


def learn(setting: Setting, folder: Path, iterations: int = 2) -> PolicySettings:
    """Trains on a model in a folder; returns the policy's settings."""
    backbone, n_envs = str(folder / "model"), setting.n_envs // setting.processes
    policy: dict[str, Any] = {
        "backbone": backbone, "max_new_tokens": RESPONSE, "max_prompt_tokens": PROMPT, **setting.policy
    }  # fmt: skip
    env = (
        make_vec_env("HH-v0", n_envs, data=str(folder / "data"), reward=lengths)
        if setting.model
        else make_vec_env("VQAv2-v0", n_envs, reward="gold")
    )
    algorithm = PPO(
        "LoRAPolicy", env, seed=0, device="cpu", policy_kwargs=policy, batch_size=setting.batch_size,
        micro_batch_size=setting.micro_batch_size, **setting.hyperparameters,
    )  # fmt: skip
    algorithm.learn(setting.n_envs * iterations)
    env.close()
    return PolicySettings(**policy)


def planned_mb(setting: Setting, policy: PolicySettings) -> float:
    """Returns what `--memory-report` says of it, in MiB."""
    rows = {"batch_size": setting.batch_size, "micro_batch_size": setting.micro_batch_size}
    learning = Hyperparameters(**rows, **setting.hyperparameters)
    return plan_of(policy, learning, setting.n_envs, "gold", policy.backbone).total / 2**20


def main() -> None:
    """Warms up, measures, plans and prints; of several processes the first one, for the one that took most."""
    folder, name = Path(sys.argv[1]), sys.argv[2]
    setting = SETTINGS[name]
    torch.set_num_threads(1)
    group.start()
    learn(setting, folder / ("warm" if setting.model else "warm-images"))
    for backbone in Backbone.in_memory():
        backbone.release()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = rss_mb()
    policy = learn(setting, folder / (setting.model or "images"))
    peak = max(group.gather(peak_rss_mb() - before))
    if group.is_first():
        print(json.dumps({"planned": planned_mb(setting, policy), "measured": peak}), flush=True)


if __name__ == "__main__":
    run_command(main)
