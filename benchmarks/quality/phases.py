"""Where the CPU seconds of a run go: python -m benchmarks.quality.phases [OPTIONS OF train_ppo].

    OMP_NUM_THREADS=1 python -m benchmarks.quality.phases HH-v0 --algorithm rloo

Prints CPU seconds of a rollout and its update, the median over 8 of them, on HH-v0 by its recipe where nothing is said:
sampling, the env with its reward model, log-probabilities and values, and optimizing. Beside them stand the completions
per CPU second of all of it, and of each part if nothing else took any time.
"""

import sys
import tempfile
from collections.abc import Callable
from statistics import median

import torch

from agents import ppo
from agents.policy import LoRAPolicy
from agents.ppo import PPO
from agents.train_ppo import read_options, train
from benchmarks.performance.measure import PhaseClock
from envs.core import TaskVectorEnv
from perlhf.errors import run_command

ROLLOUTS = 8
PARTS = ("sampling", "env and reward", "log p and values", "optimizing")


def main() -> None:
    """Runs the command."""
    torch.set_num_threads(1)
    words = sys.argv[1:] or ["HH-v0"]
    clock = PhaseClock()
    LoRAPolicy.sample = clock.timed("sampling", LoRAPolicy.sample)  # type: ignore[method-assign]
    TaskVectorEnv.step = clock.timed("env and reward", TaskVectorEnv.step)  # type: ignore[method-assign]
    ppo.score_rollout = clock.timed("log p and values", ppo.score_rollout)
    PPO.train = after(clock, clock.timed("optimizing", PPO.train))  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        given = ["--eval-prompts", "0", "--threads", "1", "--preflight", "false", "--output-dir", f"{folder}/run"]
        n_envs = read_options([*words, *given]).n_envs
        clock.mark()
        train(read_options([*words, *given, "--total-timesteps", str((1 + ROLLOUTS) * n_envs)]))
    report(clock, n_envs)


def after(clock: PhaseClock, update: Callable[[PPO], None]) -> Callable[[PPO], None]:
    """Returns the update, after which an iteration ends."""

    def run(algorithm: PPO) -> None:
        update(algorithm)
        clock.mark()

    return run


def report(clock: PhaseClock, completions: int) -> None:
    """Prints the medians; what was loaded before the first update is left out."""
    iterations = clock.result(completions)["iterations"]
    total = median(each["total"] for each in iterations)
    print(f"{completions} completions: {total:.2f} CPU s, {completions / total:.1f} a CPU s")
    for name in PARTS:
        seconds = median(each.get(name, 0.0) for each in iterations)
        print(f"  {name}: {seconds:.2f} CPU s, {seconds / total:.0%}; alone {completions / seconds:.0f} a CPU s")


if __name__ == "__main__":
    run_command(main)
