"""Do a task on the phone by hand, in the terminal, or watch the oracle do it.

    python -m envs.uinav.play --task send_email
    python -m envs.uinav.play --task send_email --oracle --film send_email.gif

Type an action, such as `click(3)` or `type(4, see you at noon)`; a number alone is a click. `help` lists the actions,
`hint` shows what the oracle would do, `quit` ends. `--list` prints the tasks.
"""

import sys
from dataclasses import dataclass

import gymnasium as gym
import numpy as np

import envs  # noqa: F401 - registers perlhf/*
from envs.core import TaskEnv
from envs.uinav.drawing.film import Film, check_film_path
from envs.uinav.interface.actions import INSTRUCTIONS
from envs.uinav.task import UINav
from perlhf.errors import run_command
from perlhf.options import option, parse_options

HELP = "Type an action such as click(3), or 3 for short; help lists them, hint shows a right one, quit ends."


@dataclass
class Options:
    """Plays one episode of UINav-v0 in the terminal."""

    task: str = option("send_email", "template of the task; docs/tasks/uinav.md lists them")
    seed: int = option(0, "decides the episode", low=0)
    apps: str = option(
        "all",
        "what is on the phone, joined by '+': 'all', names, modules with apps of your own",
        code=lambda o: UINav.modules_in({"apps": o.apps}),
    )
    oracle: bool = option(False, "the oracle plays, and its actions are printed")
    list: bool = option(False, "print the tasks with an example of each, and end")
    film: str = option("", "where to write the episode in the end: a .png (filmstrip) or a .gif")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m envs.uinav.play")
    if options.list:
        print(listed(options.apps))
        return
    if options.film:
        check_film_path(options.film)  # before anything is played, not after
    env = gym.make("perlhf/UINav-v0", templates=[options.task], apps=options.apps, split="test", render_mode="human")
    player = env.unwrapped
    assert isinstance(player, TaskEnv)
    assert isinstance(player.task, UINav)
    env.reset(seed=options.seed)
    film = Film(player.task, player.state.goal.text)
    if not options.oracle:
        print(HELP)
    over = False
    while not over:
        action = player.oracle() if options.oracle else ask(player)
        if action is None:
            return
        film.add(player.state, action)
        _, _, terminated, truncated, info = env.step(action)
        over = terminated or truncated
    film.end(player.state, info["is_success"])
    if not info["is_success"]:
        print("The goal was not reached.")
    if options.film:
        film.save(options.film)
        print(f"wrote {options.film}")


def listed(apps: str) -> str:
    """Returns a line for each task of the phone: its name, and the goal of one of its episodes."""
    task = UINav(apps=apps, split="test")
    wide, lines = max(map(len, task.known)), []
    for name in task.known:
        episode = task.start(np.random.default_rng(0), {"template": name, "feasible": True})
        lines.append(f"{name:{wide}}  {episode.goal.text}")
    return "\n".join(lines)


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
        elif typed == "help":
            print("\n".join(INSTRUCTIONS.splitlines()[1:]))
        elif player.action_space.contains(typed):
            if typed:
                return f"click({typed})" if typed.isdecimal() else typed
        else:
            print("too long, or not valid text")


if __name__ == "__main__":
    run_command(main)
