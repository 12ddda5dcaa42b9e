"""Asks a language model whose answers are better, a policy's or its SFT's, each pair in both orders.

    python -m evaluation.win_rate runs/HH-v0-ppo-seed0 --judge judge:http://localhost:8000#MODEL

Writes a run folder: summary.json with the win rate and the judge's position bias, verdicts.json with every pair.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

from agents.processes import require_same_command
from agents.setup import RunOptions
from backbones import group
from backbones.launch import run_command
from envs.reward_names import meaning_of
from envs.reward_spec import resolve_reward
from envs.task import Task
from envs.turn import Turn
from evaluation.both_orders import both_orders, describe_orders
from evaluation.evaluator import Answers, Evaluator
from evaluation.finished_run import load_policy, ppo_config, setup_of_run
from perlhf.errors import UserError
from perlhf.measure import Stopwatch
from perlhf.options import option, parse_options
from perlhf.run_folder import new_run_folder, update_summary, write_json
from rewards.functions import reward_from_text
from rewards.pair_judge import Asked

_SCORES = "rewards.judge:score"  # what the name of a judge stands for where it is a reward
_PREFERS = "rewards.pair_judge:prefer"

Prefers = Callable[[Sequence[tuple[Turn, Turn]]], list[Asked]]


@dataclass
class Options(RunOptions):
    """Lets a language model judge the policy of a training run against the SFT that it comes from."""

    group: ClassVar[str] = "what to compare"
    run: str = option("", "the run folder of agents.train_ppo", positional=True)
    judge: str = option("", "'judge:URL#MODEL', or a YAML file with its options: docs/rewards.md")
    prompts: int = option(200, "held-out prompts; the judge is asked twice about each", low=1)
    temperature: float = option(1.0, "temperature of both; 0 takes the likeliest token each time", low=0)
    split: str = option("test", "split of the data")
    backbone: str | None = option(None, "the backbone, where the run's own path no longer leads to it")
    output_dir: str | None = option(None, "where to write; runs/NAME-win-rate by default")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.win_rate")
    if not options.run or not options.judge:
        raise UserError("give the run folder and the judge: win-rate DIR --judge judge:URL#MODEL.")
    require_same_command(options)
    run = Path(options.run)
    config = ppo_config(run)
    setup = setup_of_run(config, "gold", options.backbone, options.device)
    task = setup.task(options.split)
    if task.max_steps is not None:
        raise UserError(f"{setup.env_id} has episodes of many turns; a judge compares single answers.")
    prefers = cast(Prefers, resolve_reward(judge_spec(options.judge), task))
    policy = load_policy(run, setup, options.threads)
    room, split = config["max_new_tokens"], options.split
    evaluator = Evaluator(task, lambda turns: [0.0] * len(turns), room, options.prompts, options.seed, split)
    folder = group.from_first(lambda: new_run_folder(options.output_dir, f"{run.name}-win-rate", options))
    clock = Stopwatch()
    answers = [evaluator.answer(role, options.temperature) for role in (policy, policy.backbone.reference)]
    mine, other = ([task.turn(*said) for said in zip(evaluator.states, each.texts, strict=True)] for each in answers)
    pairs = list(zip(mine, other, strict=True))
    asked = group.from_first(lambda: prefers(pairs))
    report = {"split": options.split, "judge": options.judge, **both_orders(asked)}
    cost = group.cost_since(clock)
    group.from_first(lambda: write_json(folder / "verdicts.json", {"pairs": told(task, evaluator, answers, asked)}))
    group.from_first(lambda: update_summary(folder, run=options.run, **report, **cost))
    print(describe_orders(report, "the policy", "SFT"))
    print(f"-> {folder}")


def judge_spec(text: str) -> dict[str, Any]:
    """Returns the reward spec of what prefers, from the name of a judge or a YAML file with its options.

    Raises:
        UserError: it is no judge.
    """
    spec = reward_from_text(text)
    options = {"reward": spec} if isinstance(spec, str) else dict(spec) if isinstance(spec, Mapping) else {}
    name = options.pop("reward", None)
    named = meaning_of(name) if isinstance(name, str) and name.startswith("judge:") else None
    if named is None or named.entry_point != _SCORES:
        raise UserError(f"--judge {text!r}: expected judge:URL#MODEL, or a YAML file with 'reward: judge:URL#MODEL'.")
    return {"reward": _PREFERS, **named.options, **options}


def told(task: Task, evaluator: Evaluator, answers: list[Answers], asked: list[Asked]) -> list[dict[str, Any]]:
    """Returns every pair with what the judge said of it in both orders, as plain values."""
    policy, sft = answers
    rows = zip(evaluator.states, policy.texts, sft.texts, asked, strict=True)
    return [
        {"prompt": str(task.observe(state)["prompt"]), "policy": mine, "sft": other, **verdict._asdict()}
        for state, mine, other, verdict in rows
    ]


if __name__ == "__main__":
    run_command(main)
