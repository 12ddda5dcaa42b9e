"""Compares the policy of a run with SFT on held-out prompts.

    python -m evaluation.evaluate --run runs/HH-v0-ppo-seed0

Writes evaluation.json (everything, answers side by side included) and the run's summary.json, where an evaluation
on more prompts is not there already.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backbones.backbone import Backbone
from backbones.loading import use_threads
from backbones.roles import Role, load_role
from envs.registry import backbone_name, env_id, env_options, reward_spec, task_of
from envs.reward_spec import resolve_reward
from evaluation.compare import compare, describe, show_answers, write_report
from evaluation.evaluator import Evaluator
from perlhf.errors import UserError, run_command
from perlhf.options import option, parse_options
from perlhf.run_folder import read_run_config, read_summary
from rewards.functions import reward_from_text


@dataclass
class Options:
    """Compares the policy of a training run with SFT: proxy and gold scores, sampled and greedy, with intervals.

    Replaces the figures in the run's summary.json and evaluation.json, unless those are of more prompts than now, or
    --split is not 'test'.
    """

    run: str = option("", "the run folder of agents.train_ppo")
    reward: str | None = option(None, "the reward, where the run's own path no longer leads to it")
    backbone: str | None = option(None, "the backbone, where the run's own path no longer leads to it")
    prompts: int = option(500, "held-out prompts", low=1)
    split: str = option("test", "of the data; choose settings on 'validation'")
    best_of: int = option(16, "samples of SFT's best-of-n yardstick; 0 leaves it out", low=0)
    show: int = option(4, "prompts to print with the sampled answer of both, 20 at most", low=0)
    seed: int = option(0, "of the samples", low=0, high=2**32 - 1)
    threads: int = option(0, "CPU threads of torch; 0 takes 1 for a small backbone, else torch's default", low=0)
    device: str = option("cpu", "where to run")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.evaluate")
    if not options.run:
        raise UserError("give the run folder: --run DIR.")
    folder = Path(options.run)
    config = ppo_config(folder)
    name = env_id(config["env"])
    arguments = {**env_options(name, config["env_options"]), "data": config["data"]}
    task = task_of(name, **arguments, split=options.split)
    backbone = Backbone.load(backbone_name(options.backbone or config["backbone"], name), options.device)
    use_threads(options.threads, backbone.parameter_count)
    policy = load_policy(folder, backbone)
    reward = resolve_reward(reward_spec(reward_from_text(options.reward or config["reward"]), name), task)
    evaluator = Evaluator(task, reward, config["max_new_tokens"], options.prompts, options.seed)
    report = compare(evaluator, policy, options.best_of)
    print(describe(report))
    print(show_answers(report, options.show))
    if options.split == "test":
        replace_report(folder, report)


def ppo_config(folder: Path) -> dict[str, Any]:
    """The options of a run of agents.train_ppo.

    Raises:
        UserError: the folder holds no run, or another command's.
    """
    config = read_run_config(folder)
    missing = [key for key in _USED if key not in config]
    if missing:
        kind = next((kind for key, kind in _KINDS.items() if key in config), "no run of agents.train_ppo")
        raise UserError(f"{folder} is {kind} (no {missing[0]!r} in config.yaml); give a folder of agents.train_ppo.")
    return config


_USED = ("reward", "env", "env_options", "data", "backbone", "max_new_tokens")
_KINDS = {"policy_pairs": "a run of rewards.train_reward_model", "records": "a run of agents.train_sft"}


def replace_report(folder: Path, report: dict[str, Any]) -> None:
    """Writes the report unless the one before was on more prompts; says so."""
    before, now = (summary.get("policy", {}).get("n", 0) for summary in (read_summary(folder), report))
    if now < before:
        print(f"not written: {folder} holds an evaluation on {before} prompts; --prompts {before} would replace it.")
        return
    write_report(folder, report)
    print(f"-> {folder / 'evaluation.json'}")


def load_policy(folder: Path, backbone: Backbone) -> Role:
    """The trained policy of a run folder.

    Raises:
        UserError: the run is not finished.
    """
    if not (folder / "policy").is_dir():
        raise UserError(f"{folder} has no trained policy yet; finish it with --resume {folder}.")
    return load_role(folder / "policy", "policy", False, backbone)[0]


if __name__ == "__main__":
    run_command(main)
