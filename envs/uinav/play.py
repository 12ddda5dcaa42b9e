"""Do a task on the phone by hand, in the terminal, or watch the oracle do it.

    python -m envs.uinav.play --task send_email
    python -m envs.uinav.play --task send_email --oracle --film send_email.gif

Type an action, such as `click(3)` or `type(4, see you at noon)`; a number alone is a click. `hint` shows what the
oracle would do, `quit` ends.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np

import envs  # noqa: F401 - registers perlhf/*
from envs.core import TaskEnv
from envs.uinav.drawing.film import film_kind, save_film
from envs.uinav.drawing.picture import draw_screen
from envs.uinav.task import UINav
from perlhf.errors import UserError, run_command
from perlhf.options import option, parse_options


@dataclass
class Options:
    """Plays one episode of UINav-v0 in the terminal."""

    task: str = option("send_email", "template of the task; docs/tasks/uinav.md lists them")
    seed: int = option(0, "of the episode", low=0)
    apps: str = option("all", "what is on the phone, joined by '+': 'all', names, modules with apps of your own")
    oracle: bool = option(False, "the oracle plays, and its actions are printed")
    film: str = option("", "where to write the episode in the end: a .png (filmstrip) or a .gif")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m envs.uinav.play")
    if options.film:
        film_kind(options.film)  # refused before anything is played, not after
        if not Path(options.film).parent.is_dir():
            raise UserError(f"--film {options.film}: there is no folder {Path(options.film).parent}; make it first.")
    env = gym.make("perlhf/UINav-v0", templates=[options.task], apps=options.apps, split="test", render_mode="human")
    player = env.unwrapped
    assert isinstance(player, TaskEnv)
    assert isinstance(player.task, UINav)
    film = Film(player.task)
    env.reset(seed=options.seed)
    over = False
    while not over:
        action = player.oracle() if options.oracle else ask(player)
        if action is None:
            return
        film.add(player, action)
        _, _, terminated, truncated, info = env.step(action)
        over = terminated or truncated
    if not info["is_success"]:
        print("The goal was not reached.")
    if options.film:
        save_film(options.film, film.frames, film.captions)
        print(f"wrote {options.film}")


def ask(player: TaskEnv) -> str | None:
    """What the person types, as an action; None to stop."""
    while True:
        print("> ", end="", flush=True)
        line = sys.stdin.readline()
        typed = line.strip()
        if not line or typed in ("quit", "exit"):
            return None
        if typed == "hint":
            print(player.oracle())
        elif player.action_space.contains(typed):
            if typed:
                return f"click({typed})" if typed.isdecimal() else typed
        else:
            print("too long, or not valid text")


class Film:
    """The screens of an episode as they were when each action was said, with where the finger was."""

    def __init__(self, task: UINav) -> None:
        self.task = task
        self.frames: list[np.ndarray] = []
        self.captions: list[str] = []

    def add(self, player: TaskEnv, action: str) -> None:
        """Adds the screen that is shown and the action that is said to it."""
        played = self.task.play(player.state, action)
        screen = self.task.device.screen(player.state.state)
        self.frames.append(draw_screen(screen, tap=self.task.tapped(played.turn)))
        self.captions.append(action)


if __name__ == "__main__":
    run_command(main)
