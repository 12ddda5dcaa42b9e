"""Compares the policy of a run with SFT on held-out prompts.

    python -m evaluation.evaluate --run runs/HH-v0-ppo-seed0

Writes evaluation.json (everything, answers side by side included) and updates the run's summary.json.
"""

from dataclasses import dataclass
from pathlib import Path

from backbones.backbone import Backbone
from backbones.loading import use_threads
from backbones.roles import Role, load_role
from envs.registry import backbone_name, env_id, env_options, task_of
from envs.reward_spec import resolve_reward
from envs.text_task import TextTask
from evaluation.compare import Evaluator, compare, describe, show_answers, write_report
from perlhf.errors import UserError, run_command
from perlhf.options import option, parse_options
from perlhf.run_folder import read_run_config
from rewards.functions import reward_from_text


@dataclass
class Options:
    """Compares the policy of a training run with SFT: proxy and gold scores, sampled and greedy, with intervals."""

    run: str = option("", "the run folder of agents.train_ppo")
    prompts: int = option(500, "held-out prompts")
    split: str = option("test", "of the data; choose settings on 'validation'")
    best_of: int = option(16, "samples of SFT's best-of-n yardstick; 0 leaves it out")
    show: int = option(4, "prompts to print with all answers")
    seed: int = option(0, "of the samples")
    threads: int = option(0, "CPU threads of torch; 0 takes 1 for a small backbone, else torch's default")
    device: str = option("cpu", "where to run")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.evaluate")
    if not options.run:
        raise UserError("give the run folder: --run DIR.")
    folder = Path(options.run)
    config = read_run_config(folder)
    name = env_id(config["env"])
    kwargs = {**env_options(config["env_options"]), "data": config["data"], "split": options.split}
    task = task_of(name, **kwargs)
    if not isinstance(task, TextTask):
        raise UserError(f"{config['env']} is not a text task.")
    reward = resolve_reward(reward_from_text(config["reward"]), task)
    backbone = Backbone.load(backbone_name(config["backbone"], name), options.device)
    use_threads(options.threads, backbone.parameter_count)
    policy = load_policy(folder, backbone)
    evaluator = Evaluator(task, reward, config["max_new_tokens"], options.prompts, options.seed)
    report = compare(evaluator, policy, options.best_of)
    if options.split == "test":
        write_report(folder, report)
    print(describe(report))
    print(show_answers(report, options.show))


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
