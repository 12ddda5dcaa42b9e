"""What groups cost that have one prompt: an update and a rollout, with the prompt computed once and for each row.

    OMP_NUM_THREADS=1 python -m benchmarks.group_update

The update is PPO's: policy and value, forward and backward, and Adam's step, on a group of random tokens. The rollout
is one of whole episodes, as many from each start as a group has; how much of it is the same depends on the task. CPU
seconds, the two ways in turn, medians.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from agents.policy import LoRAPolicy
from backbones.draws import row_seeds
from envs.spaces import Unicode
from perlhf.errors import run_command
from perlhf.measure import Stopwatch
from perlhf.options import option, parse_options


@dataclass
class Options:
    """Measures groups of rows with one prompt."""

    backbone: str = option("tiny-uinav", "tiny, a folder or a hub id")
    prompt_tokens: int = option(300, "of a group's prompt", low=1)
    response_tokens: int = option(8, "of each response", low=1)
    size: int = option(8, "responses to the prompt", low=1)
    repeats: int = option(9, "updates of each kind", low=1)
    env: str = option("UINav-v0", "what the rollout is of; empty for none")
    groups: int = option(20, "starts of the rollout", low=1)
    episodes: int = option(16, "from each start", low=1)
    steps: int = option(14, "turns of an episode at most", low=1)
    rollouts: int = option(3, "rollouts of each kind", low=1)


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m benchmarks.group_update")
    torch.set_num_threads(1)
    space = spaces.Dict({"prompt": Unicode(10)})
    policy = LoRAPolicy(space, Unicode(10), lambda _: 1e-3, backbone=options.backbone, device="cpu", temperature=0.7)
    what = f"{options.size} responses of {options.response_tokens} tokens to a prompt of {options.prompt_tokens}"
    report(f"update of {what}", *compared(policy, options.repeats, lambda: update(policy, options)))
    if options.env:
        what = f"{options.groups} groups x {options.episodes} episodes of {options.env}"
        report(f"sampling of {what}", *compared(policy, options.rollouts, lambda: rollout(policy, options)))


def compared(policy: LoRAPolicy, repeats: int, work: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Returns the CPU seconds of work with a prompt for each row and with one for all, measured in turn."""
    found: tuple[list[float], list[float]] = ([], [])
    vars(policy.backbone).update(packs=policy.backbone.packs, repeats_rows=policy.backbone.repeats_rows)
    allowed = policy.backbone.packs, policy.backbone.repeats_rows
    work()  # what is found out once
    for _ in range(repeats):
        for seconds, once in zip(found, (False, True), strict=True):
            names = zip(("packs", "repeats_rows"), allowed, strict=True)
            vars(policy.backbone).update({name: once and can for name, can in names})
            seconds.append(work())
    return found


def report(what: str, each: list[float], once: list[float]) -> None:
    """Prints the medians, and how much faster the second is."""
    of_each, of_once = median(each), median(once)
    print(f"{what}: {of_each:.3f} s, prompts once {of_once:.3f} s, {of_each / of_once:.2f} times faster")


def update(policy: LoRAPolicy, options: Options) -> float:
    """Returns the CPU seconds of one update on a group of random tokens."""
    draw = np.random.default_rng(0)
    words = len(policy.backbone.tokenizer)
    prompt = draw.integers(3, words, options.prompt_tokens).tolist()
    responses = draw.integers(3, words, (options.size, options.response_tokens)).tolist()
    clock = Stopwatch()
    policy.optimizer.zero_grad(set_to_none=True)
    batch = policy.batch([prompt] * options.size, responses)
    for role in policy.trained_roles:
        with role.active():
            spoken, values = policy.outputs(role, batch, with_entropy=False)
            figures = [values] if spoken is None else [spoken[0]]
            torch.stack([figure for figure in figures if figure is not None]).mean().backward()
    policy.optimizer.step()
    return clock.cpu_seconds


def rollout(policy: LoRAPolicy, options: Options) -> float:
    """Returns the CPU seconds of sampling in one rollout, what the task itself costs apart."""
    task: Any = gym.make(f"perlhf/{options.env}").unwrapped.task
    draw = np.random.default_rng(0)
    states = [state for state in (task.start(draw, {}) for _ in range(options.groups)) for _ in range(options.episodes)]
    going_on, seconds = [*range(len(states))], 0.0
    for step in range(options.steps):
        prompts = [policy.backbone.encode_prompt(task.observe(states[i])["prompt"]) for i in going_on]
        clock = Stopwatch()
        said, _ = policy.sample(prompts, [row_seeds(0, [i], step)[0] for i in going_on])
        seconds += clock.cpu_seconds
        played = [task.play(states[i], policy.backbone.decode(row)) for i, row in zip(going_on, said, strict=True)]
        for i, of_row in zip(going_on, played, strict=True):
            states[i] = of_row.state
        over = [of_row.terminated or of_row.truncated for of_row in played]
        going_on = [i for i, done in zip(going_on, over, strict=True) if not done]
        if not going_on:
            break
    return seconds


if __name__ == "__main__":
    run_command(main)
