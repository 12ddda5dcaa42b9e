"""Trains a policy with PPO against a reward.

    python -m agents.train_ppo --env HH-v0
    python -m agents.train_ppo --env HH-v0 --reward runs/HH-v0-reward-seed0 --backbone DIR --data FILE
    python -m agents.train_ppo --resume runs/HH-v0-ppo-seed0

Writes a run folder: `policy/` and `value/` (adapters that plain peft opens), `checkpoints/`, config.yaml,
metrics.jsonl and summary.json with the policy beside SFT on held-out prompts.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from stable_baselines3.common.utils import LinearSchedule
from transformers.utils import logging as transformers_logging

from agents.callbacks import Checkpoints, ProgressBar, drop_metrics_after, run_logger
from agents.checkpoint import newest_sound_checkpoint, read_checkpoint, set_state
from agents.policy import default_learning_rate
from agents.ppo import PPO
from agents.vec_env import make_vec_env
from backbones.backbone import Backbone
from backbones.loading import use_threads
from envs.registry import backbone_name, env_id, env_options, task_of
from envs.text_task import TextTask
from evaluation.compare import Evaluator, compare, describe, write_report
from perlhf.errors import UserError, run_command
from perlhf.measure import Stopwatch, peak_rss_mb
from perlhf.options import option, parse_options
from perlhf.run_folder import new_run_folder, read_run_config, update_summary
from rewards.functions import reward_from_text
from rewards.reward_model import learned_model


@dataclass
class Options:
    """Trains a LoRA policy, or with --full all weights, with PPO."""

    env: str = option("HH-v0", "the environment")
    env_options: str = option("", "more arguments of the env, as in 'domain=ticketing'")
    data: str = option("miniature", "'miniature', or a file or folder of the real corpus")
    reward: str = option("bundled", "'bundled', 'gold', a reward model's folder, 'module:name' or a YAML file")
    backbone: str = option("tiny", "'tiny', a folder or a hub id")
    output_dir: str | None = option(None, "the run folder; runs/ENV-ppo-seedN by default")
    resume: str | None = option(None, "a run folder to go on with, from its last checkpoint")
    total_timesteps: int = option(3072, "turns to train on")
    n_envs: int = option(64, "episodes side by side")
    n_steps: int = option(1, "turns per env in a rollout")
    batch_size: int = option(16, "turns in an optimizer step")
    micro_batch_size: int = option(16, "turns in one forward; changes memory, not results")
    n_epochs: int = option(1, "passes over a rollout")
    learning_rate: float | None = option(None, "of Adam; 0.8/width with LoRA, 0.08/width with --full by default")
    schedule: Literal["constant", "linear"] = option("linear", "of the learning rate: constant, or linear to 0")
    kl_coef: float = option(0.1, "of the KL penalty to SFT")
    kl_target: float | None = option(None, "nats per response to steer kl_coef to; fixed by default")
    clip_range: float = option(0.2, "of the ratio")
    clip_range_vf: float = option(0.2, "of the value")
    gae_lambda: float = option(0.95, "of GAE over response tokens")
    vf_coef: float = option(0.5, "of the value loss")
    ent_coef: float = option(0.0, "of the entropy bonus")
    max_grad_norm: float = option(1.0, "where the gradient is clipped")
    target_kl: float | None = option(None, "stops the epochs of a rollout beyond 1.5 times this KL per token")
    missing_eos_penalty: float = option(1.0, "taken off the score of a response that was cut")
    normalize_scores: bool = option(False, "divide scores by their running standard deviation")
    lora_rank: int = option(8, "rank of the policy's adapter")
    lora_alpha: float | None = option(None, "its scale; twice the rank by default")
    value_rank: int = option(4, "rank of the value adapter where no reward model gives it a start")
    full: bool = option(False, "train all weights instead of adapters")
    max_new_tokens: int = option(64, "where a response is cut")
    temperature: float = option(1.0, "of sampling")
    checkpoint_every: int = option(20, "updates between checkpoints")
    eval_prompts: int = option(500, "held-out prompts to compare with SFT on at the end; 0 for none")
    eval_split: str = option("test", "of the data; choose settings on 'validation'")
    log_formats: str = option("csv", "besides metrics.jsonl: csv, tensorboard, stdout, with commas between")
    seed: int = option(0, "of the adapters, the episodes and the samples")
    threads: int = option(0, "CPU threads of torch; 0 takes 1 for a small backbone, else torch's default")
    device: str = option("cpu", "where to run")


def main() -> None:
    """Runs the command."""
    train(read_options(sys.argv[1:]))


def read_options(arguments: Sequence[str]) -> Options:
    """The options of a new run, or those of the run that `--resume` names, under what the command line says."""
    options = parse_options(Options, arguments, prog="python -m agents.train_ppo")
    if options.resume is not None:
        read_run_config(Path(options.resume))
        config = str(Path(options.resume) / "config.yaml")
        options = parse_options(Options, ["--config", config, *arguments])
    return options


def train(options: Options) -> dict[str, Any]:
    """Runs the command; returns the summary."""
    transformers_logging.disable_progress_bar()
    use_threads(options.threads, backbone_of(options).parameter_count)
    algorithm = make_algorithm(options)
    folder = start_or_resume(algorithm, options)
    algorithm.set_logger(run_logger(folder, options.log_formats))
    clock = Stopwatch()
    begun = algorithm.num_timesteps
    try:
        algorithm.learn(
            options.total_timesteps - begun,
            callback=[ProgressBar(), Checkpoints(folder, options.checkpoint_every)],
            reset_num_timesteps=begun == 0,
        )
    except KeyboardInterrupt:
        print(f"\ninterrupted; go on from the last checkpoint with --resume {folder}", file=sys.stderr)
        raise
    cost = {"seconds": clock.seconds, "cpu_seconds": clock.cpu_seconds}
    cost["samples_per_cpu_second"] = (algorithm.num_timesteps - begun) / cost["cpu_seconds"]
    for role in (algorithm.policy.policy_role, algorithm.policy.value_role):
        role.save(folder / role.name)
    summary = {**identity(options, algorithm), **cost, "peak_rss_mb": peak_rss_mb()}
    update_summary(folder, **summary)
    summary |= evaluate(algorithm, options, folder)
    print(f"-> {folder}")
    return summary


def make_algorithm(options: Options) -> PPO:
    """The env and PPO that the options describe."""
    env = make_vec_env(
        options.env, options.n_envs, seed=options.seed, data=options.data, reward=reward_from_text(options.reward),
        **env_options(options.env_options),
    )  # fmt: skip
    algorithm = PPO(
        "LoRAPolicy", env, learning_rate=learning_rate(options), n_steps=options.n_steps,
        batch_size=options.batch_size, n_epochs=options.n_epochs, gae_lambda=options.gae_lambda,
        clip_range=options.clip_range, clip_range_vf=options.clip_range_vf, ent_coef=options.ent_coef,
        vf_coef=options.vf_coef, max_grad_norm=options.max_grad_norm, target_kl=options.target_kl,
        kl_coef=options.kl_coef, kl_target=options.kl_target, missing_eos_penalty=options.missing_eos_penalty,
        normalize_scores=options.normalize_scores, micro_batch_size=options.micro_batch_size,
        policy_kwargs=policy_kwargs(options), verbose=1, seed=options.seed, device=options.device,
    )  # fmt: skip
    reward = learned_model(env.get_attr("reward_function")[0])
    if reward is not None and reward.role.backbone is not algorithm.policy.backbone:
        print(f"the reward model is on a backbone of its own ({reward.role.backbone.path}): a second copy in memory")
    return algorithm


def policy_kwargs(options: Options) -> dict[str, Any]:
    """The options that are the policy's."""
    names = ("backbone", "lora_rank", "lora_alpha", "value_rank", "full", "max_new_tokens", "temperature")
    return {name: getattr(options, name) for name in names}


def backbone_of(options: Options) -> Backbone:
    """The backbone of the run."""
    return Backbone.load(backbone_name(options.backbone, env_id(options.env)), options.device)


def learning_rate(options: Options) -> Any:
    """A number or a schedule."""
    peak = options.learning_rate or default_learning_rate(backbone_of(options), options.full)
    return LinearSchedule(peak, 0.0, 1.0) if options.schedule == "linear" else peak


def start_or_resume(algorithm: PPO, options: Options) -> Path:
    """A new run folder, or the old one with the state of its newest sound checkpoint put back."""
    if options.resume is None:
        return new_run_folder(options.output_dir, f"{options.env}-ppo-seed{options.seed}", options)
    folder = Path(options.resume)
    checkpoint, problems = newest_sound_checkpoint(folder)
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    if checkpoint is not None:
        set_state(algorithm, *read_checkpoint(checkpoint))
    if algorithm.num_timesteps >= options.total_timesteps:
        raise UserError(f"{folder} is finished: {algorithm.num_timesteps} turns; raise --total-timesteps to go on.")
    drop_metrics_after(folder, algorithm.num_timesteps)
    print(f"resuming {folder} at {algorithm.num_timesteps} of {options.total_timesteps} turns")
    return folder


def identity(options: Options, algorithm: PPO) -> dict[str, Any]:
    """What run it was, for summary.json."""
    return {
        "env": options.env, "env_options": options.env_options, "backbone": options.backbone,
        "mode": "full" if options.full else "lora",
        "lora_rank": None if options.full else options.lora_rank, "seed": options.seed, "data": options.data,
        "reward": options.reward, "iterations": algorithm._n_updates // algorithm.n_epochs,
        "episodes": algorithm.num_timesteps,
    }  # fmt: skip


def evaluate(algorithm: PPO, options: Options, folder: Path) -> dict[str, Any]:
    """Compares the policy with SFT on held-out prompts and adds it to summary.json."""
    if not options.eval_prompts:
        return {}
    kwargs = {**env_options(options.env_options), "data": options.data, "split": options.eval_split}
    task = task_of(env_id(options.env), **kwargs)
    if not isinstance(task, TextTask):
        return {}
    assert algorithm.env is not None
    reward = algorithm.env.get_attr("reward_function")[0]
    policy = algorithm.policy
    evaluator = Evaluator(task, reward, policy.max_new_tokens, options.eval_prompts, options.seed)
    report = compare(evaluator, policy.policy_role)
    print(describe(report))
    return write_report(folder, report)


if __name__ == "__main__":
    run_command(main)
