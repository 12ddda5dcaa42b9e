"""Watches the policy of a run act on the phone, in the terminal or as a film.

    python -m evaluation.watch --run runs/UINav-v0-grpo-seed0 --task send_email --seed 3 --film send_email.gif

The episodes are of the test split. By default the policy is greedy; SFT plays with --sft.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backbones.draws import EVALUATION, row_seeds
from backbones.generate import generate
from backbones.roles import Role
from envs.task import Task
from envs.uinav.drawing.film import Film, check_film_path
from evaluation.constrained import ActionsOnly
from evaluation.finished_run import load_policy, ppo_config, setup_of_run
from perlhf.errors import UserError, run_command
from perlhf.options import option, parse_options


@dataclass
class Options:
    """Watches a trained policy act on the phone."""

    run: str = option("", "the run folder of agents.train_ppo", positional=True)
    task: str = option("send_email", "template of the task; docs/tasks/uinav.md lists them")
    seed: int = option(0, "decides the episode and the samples", low=0)
    temperature: float = option(0.0, "temperature of the samples; 0 is greedy", low=0)
    constrained: bool = option(False, "let it say nothing but actions")
    sft: bool = option(False, "let SFT play instead of the policy")
    film: str = option("", "where to write the episode in the end: a .png (filmstrip) or a .gif")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.watch")
    if not options.run:
        raise UserError("give the run folder: watch DIR, or --run DIR.")
    if options.film:
        check_film_path(options.film)
    config = ppo_config(Path(options.run))
    setup = setup_of_run(config)
    if not setup.task_class.on_screen:
        raise UserError(f"{options.run} is a run on {config['env']}; only policies on the phone can be watched.")
    task = setup.task("test", templates=options.task)
    if options.constrained and not getattr(task, "by_number", True):
        raise UserError(f"--constrained knows the actions on elements alone, and {options.run} is a run on others.")
    policy = load_policy(Path(options.run), setup)
    film = Film(task)
    reached = play(task, policy.backbone.reference if options.sft else policy, options, config["max_new_tokens"], film)
    print("The goal was reached." if reached else "The goal was not reached.")
    if options.film:
        film.save(options.film)
        print(f"wrote {options.film}")


def play(task: Task, role: Role, options: Options, max_new_tokens: int, film: Film) -> bool:
    """One episode by a role, printed; whether its goal was reached."""
    state = task.start(np.random.default_rng(options.seed), {})
    film.goal = task.info(state)["goal"]
    allowed = ActionsOnly(role.backbone) if options.constrained else None
    print(task.write(task.turn(state), None, None))
    turn = 0
    while True:
        prompt = role.backbone.encode_prompt(task.observe(state)["prompt"])
        seeds = row_seeds(options.seed, [0], turn, EVALUATION)
        ids = generate(role, [prompt], max_new_tokens, options.temperature, seeds, allowed=allowed)[0]
        response = role.backbone.decode(ids)
        film.add(state, response)
        played = task.play(state, response)
        print(task.write(played.turn, 0.0, None))
        if played.terminated or played.truncated:
            reached = (task.judge(played.turn) or 0.0) >= task.success_at
            film.end(played.state, reached)
            return reached
        state, turn = played.state, turn + 1


if __name__ == "__main__":
    run_command(main)
