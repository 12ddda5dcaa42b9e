"""Do a task on the phone by hand, in the terminal, or watch the oracle do it.

    python -m envs.uinav.play --task send_email
    python -m envs.uinav.play --task send_email --oracle --film send_email.gif

Type an action, such as `click(3)` or `type(4, see you at noon)`; a number alone is a click. `hint` shows what the
oracle would do, `quit` ends.
"""

import sys
from dataclasses import dataclass

import gymnasium as gym

import envs  # noqa: F401 - registers perlhf/*
from envs.core import TaskEnv
from envs.uinav.drawing.film import Film, check_film_path, save_film
from envs.uinav.task import UINav
from perlhf.errors import run_command
from perlhf.options import option, parse_options


@dataclass
class Options:
    """Plays one episode of UINav-v0 in the terminal."""

    task: str = option("send_email", "template of the task; docs/tasks/uinav.md lists them")
    seed: int = option(0, "decides the episode", low=0)
    apps: str = option("all", "what is on the phone, joined by '+': 'all', names, modules with apps of your own")
    oracle: bool = option(False, "the oracle plays, and its actions are printed")
    film: str = option("", "where to write the episode in the end: a .png (filmstrip) or a .gif")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m envs.uinav.play")
    if options.film:
        check_film_path(options.film)  # before anything is played, not after
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
        film.add(player.state, action)
        _, _, terminated, truncated, info = env.step(action)
        over = terminated or truncated
    if not info["is_success"]:
        print("The goal was not reached.")
    if options.film:
        save_film(options.film, film.frames, film.captions)
        print(f"wrote {options.film}")


def ask(player: TaskEnv) -> str | None:
    """Asks the person for an action; None to stop."""
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


if __name__ == "__main__":
    run_command(main)
