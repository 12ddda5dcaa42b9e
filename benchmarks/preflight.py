"""What the checks before the first update cost, beside the update and the rollout itself.

    OMP_NUM_THREADS=1 python -m benchmarks.preflight

CPU seconds, medians over rollouts. The checks are those of `agents.preflight` and `agents.counterfactual`, which a run
makes once.
"""

from dataclasses import dataclass
from statistics import median
from typing import ClassVar

import torch
from stable_baselines3.common.utils import FloatSchedule

from agents import PPO, counterfactual, preflight
from perlhf.errors import run_command
from perlhf.measure import Stopwatch
from perlhf.options import option, parse_options


@dataclass
class Options:
    """Measures the checks before the first update."""

    env: str = option("HH-v0", "what is played; several with commas between")
    algorithm: str = option("ppo,grpo", "what learns; several with commas between")
    n_envs: int = option(64, "episodes side by side", low=2)
    repeats: int = option(3, "rollouts", low=1)


class Timed(PPO):
    """Makes the checks before every update, and notes what both take."""

    checked: ClassVar[list[float]] = []
    updated: ClassVar[list[float]] = []

    def train(self) -> None:
        """Checks, then updates."""
        h, clock = self.hyperparameters, Stopwatch()
        h.clip_range = FloatSchedule(h.clip_range)(1.0)
        assert self.rollout is not None
        preflight.require(preflight.before_update(self.policy, self.rollout, self.score_settings, fresh=False))
        preflight.require(counterfactual.checks(self, h))
        self.checked.append(clock.cpu_seconds)
        clock = Stopwatch()
        super().train()
        self.updated.append(clock.cpu_seconds)


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m benchmarks.preflight")
    torch.set_num_threads(1)
    for env in options.env.split(","):
        for name in options.algorithm.split(","):
            Timed.checked.clear()
            Timed.updated.clear()
            trainer = Timed("LoRAPolicy", env, algorithm=name, n_envs=options.n_envs, seed=0, preflight=False)
            clock = Stopwatch()
            trainer.learn(options.n_envs * options.repeats)
            checks, update = median(Timed.checked), median(Timed.updated)
            rest = (clock.cpu_seconds - sum(Timed.checked) - sum(Timed.updated)) / len(Timed.updated)
            print(f"{env} {name}: checks {checks:.2f} s, update {update:.2f} s, rollout {rest:.2f} s")


if __name__ == "__main__":
    run_command(main)
