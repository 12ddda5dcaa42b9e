"""Prints what a policy reads in each text of a screen, and what it costs to write.

python -m envs.uinav.tell
python -m envs.uinav.tell --template set_alarm --steps 3
"""

from dataclasses import dataclass
from statistics import mean
from time import process_time
from typing import ClassVar

import numpy as np

from envs.uinav.interface.episode import Episode
from envs.uinav.observations import TEXTS
from envs.uinav.task import UINav
from perlhf.errors import run_command
from perlhf.options import option, parse_options


@dataclass
class Options:
    """Prints what a policy reads in each text of a screen, and what it costs to write."""

    group: ClassVar[str] = "what to show"
    template: str = option("send_email", "the kind of task")
    seed: int = option(3, "which episode", low=0)
    steps: int = option(4, "actions that the oracle does before", low=0)
    episodes: int = option(20, "played by the oracle, whose screens are written for the cost; 0 for none", low=0)


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m envs.uinav.tell")
    costs = {text: cost_of(text, options.episodes) for text in TEXTS if text != "none"} if options.episodes else {}
    for text in TEXTS:
        task = UINav(text=text, image=text == "none")
        state = task.start(np.random.default_rng(0), {"template": options.template, "seed": options.seed})
        for _ in range(options.steps):
            state = task.play(state, task.oracle(state)).state
        print(f'# text="{text}"\n\n{state.prompt}\n')
    for text, (seconds, characters) in costs.items():
        print(f'text="{text}": {1e6 * seconds:.0f} microseconds of CPU and {characters:.0f} characters a screen')


def cost_of(text: str, episodes: int) -> tuple[float, float]:
    """Returns the mean seconds that a screen takes to be told in words, made first where need be, and its characters.

    Args:
        text: a key of `TEXTS`.
        episodes: of the training split, whose screens the oracle sees.
    """
    task, rng = UINav(text=text), np.random.default_rng(0)
    seconds, characters = [], []
    for _ in range(episodes):
        state = task.start(rng, {})
        for _ in range(task.max_steps):
            start = process_time()
            characters.append(len(_told(task, state)))
            seconds.append(process_time() - start)
            played = task.play(state, task.oracle(state))
            state = played.state
            if played.terminated:
                break
    return mean(seconds), mean(characters)


def _told(task: UINav, state: Episode) -> str:
    """Returns the screen in words, as the task has it for a prompt, from nothing that is kept of it."""
    state.state.forget()
    return task.written(task.device.screen(state.state)) if task.by_screen else task.device.describe(state.state)


if __name__ == "__main__":
    run_command(main)
