"""Compares the policy of a run with SFT on held-out prompts.

    python -m evaluation.evaluate --run runs/HH-v0-ppo-seed0

Writes evaluation.json (everything, answers side by side included) and the run's summary.json, where an evaluation
on more prompts is not there already.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from agents.processes import require_same_command
from agents.setup import ReproducibleOptions, reproduced
from backbones import group
from backbones.backbone import Backbone
from backbones.launch import run_command
from envs.named_code import modules_of_reward
from envs.reward_spec import resolve_reward
from evaluation.compare import compare, describe, show_answers, write_report
from evaluation.control import validation_like
from evaluation.evaluator import Evaluator
from evaluation.finished_run import load_policy, ppo_config, setup_of_run
from evaluation.model_card import write_card
from perlhf import reproducible, run_lock
from perlhf.errors import UserError
from perlhf.options import option, parse_options
from perlhf.run_folder import read_summary


@dataclass
class Options(ReproducibleOptions):
    """Compares the policy of a training run with SFT: proxy and gold scores, sampled and greedy, with intervals.

    Replaces the figures in the run's summary.json and evaluation.json, unless those are of more prompts than now,
    --split is not 'test', or --output-dir says where to write.
    """

    group: ClassVar[str] = "what to compare"
    run: str = option("", "the run folder of agents.train_ppo", positional=True)
    reward: str | None = option(
        None,
        "the reward, where the run's own path no longer leads to it",
        code=lambda o: modules_of_reward(o.reward or "bundled"),
    )
    backbone: str | None = option(None, "the backbone, where the run's own path no longer leads to it")
    prompts: int = option(500, "held-out prompts", low=1)
    split: str = option("test", "split of the data; choose settings on 'validation'")
    validation_prompts: int = option(250, "prompts of the split validation to choose SFT's temperature on", low=1)
    samples: int = option(16, "samples of both for pass@k and SFT's best of them by the reward; 0 for none", low=0)
    also_sft: str | None = option(
        None, "another backbone, a name or a folder, whose SFT policy plays the same episodes beside these two"
    )
    output_dir: str | None = option(None, "where to write instead of the run folder")
    show: int = option(4, "prompts to print with the sampled answer of both, 20 at most", low=0)


@run_lock.released_after()
def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.evaluate")
    if not options.run:
        raise UserError("give the run folder: evaluate DIR, or --run DIR.")
    folder = Path(options.run)
    config = ppo_config(folder)
    options.reproducible |= config.get("reproducible") is True  # as the run was
    if options.reproducible:
        reproducible.start_again_where_unset()
    require_same_command(options)
    options = reproduced(options)
    setup = setup_of_run(config, options.reward, options.backbone, options.device)
    task = setup.task(options.split)
    policy = load_policy(folder, setup, options.threads)
    if options.output_dir is None and options.split == "test":  # else nothing is written to it
        group.from_first(lambda: run_lock.take(folder))
    reward = resolve_reward(setup.reward, task)
    evaluator = Evaluator(task, reward, config["max_new_tokens"], options.prompts, options.seed, options.split)
    validation = validation_like(evaluator, setup.task, options.validation_prompts)
    others = {}
    if options.also_sft is not None:
        others[options.also_sft] = Backbone.load(options.also_sft, setup.device, setup.load_settings).reference
    report = compare(evaluator, validation, policy, options.samples, others)
    task.close()
    validation.task.close()
    print(describe(report))
    print(show_answers(report, options.show))
    if options.output_dir is not None:
        output = Path(options.output_dir)
        group.from_first(lambda: write_report(output, report))
        print(f"-> {output / 'evaluation.json'}")
    elif options.split == "test" and group.from_first(lambda: replace_report(folder, report)):
        group.from_first(lambda: write_card(folder / "policy", folder, "policy", policy.backbone))


def replace_report(folder: Path, report: dict[str, Any]) -> bool:
    """Writes the report unless the one before was on more prompts; says so, and returns whether it is written."""
    before, now = (summary.get("policy", {}).get("n", 0) for summary in (read_summary(folder), report))
    if now < before:
        print(f"not written: {folder} holds an evaluation on {before} prompts; --prompts {before} would replace it.")
        return False
    write_report(folder, report)
    print(f"-> {folder / 'evaluation.json'}")
    return True


if __name__ == "__main__":
    run_command(main)
