"""Plays one policy in held-out episodes and keeps the verdict on each, to compare many policies with one SFT.

    python -m evaluation.verdicts runs/UINav-v0-grpo-seed0 --sft
    python -m evaluation.verdicts runs/UINav-v0-grpo-seed0

`evaluation.evaluate` plays SFT again for every policy. Here each side is played once, and `evaluation.paired` holds
verdicts of the same episodes against each other.
"""

from dataclasses import dataclass
from math import isinf
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from agents.setup import RunOptions, Setup
from backbones import group
from backbones.launch import run_command
from backbones.model.loading import use_threads
from backbones.roles import Role
from envs.reward_spec import resolve_reward
from evaluation.control import TEMPERATURES, choose_temperature, sft_at_best, validation_like
from evaluation.evaluator import Answers, Evaluator
from evaluation.finished_run import load_policy, ppo_config, setup_of_run
from evaluation.paired import describe_verdicts
from evaluation.pass_at import AT
from perlhf import run_lock
from perlhf.errors import UserError
from perlhf.measure import Stopwatch, progress_bar
from perlhf.options import option, parse_options
from perlhf.run_folder import new_run_folder, update_summary


@dataclass
class Options(RunOptions):
    """Plays the policy of a training run, or the SFT that it comes from, in held-out episodes of its task."""

    group: ClassVar[str] = "what to play"
    run: str = option("", "the run folder of agents.train_ppo", positional=True)
    sft: bool = option(False, "play the SFT policy of its backbone, and at its best temperature too")
    backbone: str | None = option(None, "the backbone, where the run's own path no longer leads to it")
    prompts: int = option(1200, "held-out episodes, greedy", low=1)
    sampled_prompts: int = option(240, "the first of these, which are sampled from; 0 for none", low=0)
    samples: int = option(16, f"samples from each of these at temperature {AT}, for pass@k", low=1)
    split: str = option("test", "split of the data; choose settings on 'validation'")
    validation_prompts: int = option(250, "episodes of validation to choose SFT's temperature on", low=1)
    output_dir: str | None = option(None, "where to write; runs/NAME-verdicts by default")


@run_lock.released_after()
def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.verdicts")
    if not options.run:
        raise UserError("give the run folder: evaluation.verdicts DIR, or --run DIR.")
    run = Path(options.run)
    config = ppo_config(run)
    setup = setup_of_run(config, "gold", options.backbone, options.device)
    role = _sft(setup, options.threads) if options.sft else load_policy(run, setup, options.threads)
    name = f"{run.name}-{'sft-' if options.sft else ''}verdicts"
    folder = group.from_first(lambda: new_run_folder(options.output_dir, name, options))
    clock = Stopwatch()
    of_run = {"env": setup.env_id, "env_options": config["env_options"], "data": config["data"]}
    of_run |= {"columns": config.get("columns", ""), "max_new_tokens": config["max_new_tokens"]}
    found = {**of_run, **verdicts_of(role, setup, options, config["max_new_tokens"])}
    cost = group.cost_since(clock)
    group.from_first(lambda: update_summary(folder, **found, **cost))
    print(describe_verdicts(found))
    print(f"-> {folder}")


def _sft(setup: Setup, threads: int) -> Role:
    use_threads(threads, setup.backbone.parameter_count)
    return setup.backbone.reference


def verdicts_of(role: Role, setup: Setup, options: Options, max_new_tokens: int) -> dict[str, Any]:
    """Returns the verdicts on a role's episodes, for summary.json.

    Returns:
        `split`; `groups`, of each episode; `success_at`, from which verdict on it is a success, None where nobody
        knows; `greedy`, a verdict each, and `greedy_verdicts`, what else the task's judge says of each, by name; of SFT
        `best`, at its best temperature, and `sft_temperature`, how that was chosen; where episodes are sampled from
        `sampled`, a list of verdicts for each of the first ones, and `temperature`, of these. None are sampled where
        nobody knows what is a success.

    Raises:
        UserError: the task has no judge.
    """
    task = setup.task(options.split)
    evaluator = Evaluator(
        task, resolve_reward("gold", task), max_new_tokens, options.prompts, options.seed, options.split
    ).without_scores()
    evaluator.bar = bar = progress_bar(unit="episode", desc="verdicts", leave=False)
    success_at = None if isinf(task.success_at) else task.success_at
    sampled_prompts = 0 if success_at is None else min(options.sampled_prompts, len(evaluator.states))
    bar.total = len(evaluator.states) + sampled_prompts * options.samples
    evaluator.whole_verdicts = True
    greedy = evaluator.answer(role, 0.0)
    evaluator.whole_verdicts = False
    found: dict[str, Any] = {
        "split": options.split,
        "groups": [list(task.groups(state)) for state in evaluator.states],
        "success_at": success_at,
        "greedy": _golds(greedy),
        "greedy_verdicts": {name: [each[name] for each in greedy.verdicts] for name in greedy.verdicts[0]},
    }
    if options.sft:
        validation = validation_like(evaluator, setup.task, options.validation_prompts)
        validation.bar, bar.total = bar, bar.total + len(validation.states) * len(TEMPERATURES) + len(evaluator.states)
        found["sft_temperature"] = choice = choose_temperature(validation, role)
        found["best"] = _golds(sft_at_best(evaluator, role, choice["temperature"], {0.0: greedy}))
    if sampled_prompts:
        evaluator.states = evaluator.states[:sampled_prompts]
        sampled = evaluator.samples(role, AT, options.samples).golds
        assert sampled is not None  # greedy ones have verdicts
        found |= {"sampled": np.round(sampled, 6).tolist(), "temperature": AT}
    bar.close()
    return found


def _golds(answers: Answers) -> list[float]:
    if answers.golds is None:
        raise UserError("the task has no verdict on its episodes for these data; evaluation.evaluate compares scores.")
    return np.round(answers.golds, 6).tolist()


if __name__ == "__main__":
    run_command(main)
