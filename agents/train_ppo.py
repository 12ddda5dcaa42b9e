"""Trains a policy with PPO, or with `--algorithm` by another of `agents.algorithms`, against a reward.

    python -m agents.train_ppo HH-v0
    python -m agents.train_ppo UINav-v0 --algorithm grpo --group-size 8 --reward gold
    python -m agents.train_ppo HH-v0 --reward runs/HH-v0-reward-seed0 --backbone DIR --data FILE
    python -m agents.train_ppo --resume runs/HH-v0-ppo-seed0
    torchrun --nproc-per-node 2 -m agents.train_ppo HH-v0

Writes a run folder: `policy/` and `value/` (adapters that plain peft opens, or with --full whole models; a shared value
is a head alone), `checkpoints/`, config.yaml, metrics.jsonl and summary.json with the policy beside SFT on held-out
prompts. With --eval-every it looks at the policy on the way, and with --keep-best `policy/` is the best one; until then
that is in `best/`. docs/watching.md says what is seen while it runs.
"""

import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from stable_baselines3.common.utils import LinearSchedule
from transformers.utils import logging as transformers_logging

from agents import finite
from agents.algorithms import ALGORITHMS
from agents.callbacks import Checkpoints, ProgressBar, log_formats, run_logger
from agents.checkpoint import set_state
from agents.diagnosis import Diagnoses
from agents.held_out import HeldOut, WatchOptions, best_swapped_in, check_watch, held_out_summary, why_to_stop
from agents.hyperparameters import Hyperparameters, PolicySettings, values_of
from agents.memory_report import describe_plan, plan_of, report
from agents.ppo import LEARNING_RATE, PPO
from agents.processes import require_a_row_each, require_same_command, require_same_model_and_data
from agents.resuming import config_of, resumable_options, saying_how_to_go_on
from agents.setup import ReproducibleOptions, RunOptions, Setup, TaskOptions, identity, recipe_of, reproduced
from agents.trackers import TRACKERS, Tracker, tracked
from agents.vec_env import make_vec_env
from backbones import group
from backbones.backbone import Backbone
from backbones.checkpoints import go_on_from_newest
from backbones.launch import run_command
from backbones.memory import MemoryPlan
from backbones.model.loading import use_threads
from backbones.roles import Role
from envs.named_code import modules_of_reward
from envs.registry import make_vec
from envs.reward_spec import check_reward
from envs.task import Task
from evaluation.compare import compare, describe, write_report
from evaluation.control import validation_like
from evaluation.evaluator import Evaluator
from evaluation.model_card import write_card
from perlhf import reproducible, run_lock, stopping
from perlhf.errors import UserError
from perlhf.measure import peak_rss_mb
from perlhf.metrics_log import drop_metrics_after, read_metrics
from perlhf.options import option, parse_options, to_yaml
from perlhf.run_folder import (
    new_run_folder,
    read_summary,
    turns_of,
    write_json,
    write_text,
)
from rewards.reward_model import RewardModel, learned_model

PROG = "python -m agents.train_ppo"

# What may change on resume: how long to go on, how to learn from here on, what to watch. All else is the run itself.
MAY_CHANGE = {
    "resume", "total_timesteps", "checkpoint_every", "keep_checkpoints", "eval_prompts", "eval_split", "eval_every",
    "keep_best", "stop_at", "max_kl", "log_formats", "memory_report",
    "threads", "device", "rollout", "importance", "importance_cap", "env_workers", "shard_base",
    "frontier", "learning_rate", "schedule", "batch_size", "micro_batch_size", "kl_coef", "kl_target", "clip_range",
    "clip_range_vf", "vf_coef", "ent_coef", "max_grad_norm", "target_kl", "preflight",
}  # fmt: skip


# The last base comes first, among the fields and in --help.
@dataclass
class Options(WatchOptions, ReproducibleOptions, PolicySettings, Hyperparameters, TaskOptions):
    """Trains a LoRA policy, or with --full all weights, with PPO or another algorithm against a reward."""

    group: ClassVar[str] = RunOptions.group
    reward: str = option(
        "bundled",
        "'bundled', 'gold', a folder, 'module:name', a YAML file: docs/rewards.md",
        group=TaskOptions.group,
        code=lambda o: modules_of_reward(o.reward),
    )
    total_timesteps: int = option(3072, "turns to train on", low=1, group=Hyperparameters.group)
    n_envs: int = option(64, "episodes side by side", low=1, group=Hyperparameters.group)
    env_workers: int = option(
        0,
        "processes that play the episodes, for a task slow in Python",
        low=0,
        group=Hyperparameters.group,
    )
    schedule: Literal["constant", "linear"] = option(
        "linear", "what the learning rate does; linear falls to 0", group=Hyperparameters.group
    )
    output_dir: str | None = option(None, "the run folder; runs/ENV-ALGORITHM-seedN by default")
    resume: str | None = option(None, "a run folder to go on with, from its last checkpoint")
    checkpoint_every: int = option(20, "updates between checkpoints", low=1)
    keep_checkpoints: int = option(2, "newest checkpoints that stay", low=1)
    eval_prompts: int = option(500, "held-out episodes to compare with SFT on at the end; 0 for none", low=0)
    eval_split: str = option("test", "split of the data to compare on; choose settings on 'validation'")
    memory_report: bool = option(False, "say what each role will hold, and in summary.json what it held")
    log_formats: str = option(
        "csv", f"besides metrics.jsonl, with commas between: csv, stdout, tensorboard, {', '.join(TRACKERS)}"
    )


def main() -> None:
    """Runs the command."""
    options = read_options(sys.argv[1:])
    if options.reproducible:
        reproducible.start_again_where_unset()
    train(options)


def read_options(arguments: Sequence[str]) -> Options:
    """Returns the options of a new run, over its recipe; with `--resume` those of that run; the command line wins.

    Raises:
        UserError: with `--resume`, a folder without a run of this command, or a change of what the run is.
    """
    options = resumable_options(Options, arguments, PROG, defaults_of, MAY_CHANGE)
    if options.resume is None:  # what a recipe for another algorithm says of values and of parts of episodes has no use
        algorithm, recipe = ALGORITHMS[options.algorithm], recipe_of("ppo", options)
        tuned_for = ALGORITHMS[parse_options(Options, [], prog=PROG, defaults=lambda _: recipe).algorithm]
        no_use = {*algorithm.unused, *(["n_steps"] if options.whole_episodes else [])}
        if algorithm.reward_weights(0.5) != tuned_for.reward_weights(0.5):  # `kl_coef` weighs something else
            no_use.add("kl_coef")
        given = parse_options(Options, arguments, prog=PROG)
        options = replace(options, **{name: getattr(given, name) for name in no_use})
    return options


def defaults_of(options: Options) -> Path | None:
    """Returns the file of what was not given: the options of the run that is resumed, else the recipe of the env.

    Raises:
        UserError: a folder without a run of this command.
    """
    if options.resume is None:
        return recipe_of("ppo", options)
    return config_of(options.resume, "agents.train_ppo")


@run_lock.released_after()
def train(options: Options) -> dict[str, Any]:
    """Runs the command; returns the summary."""
    transformers_logging.disable_progress_bar()
    require_same_command(options)
    options = reproduced(options)
    group.share(options.n_envs, "envs (--n-envs)")  # before a large model is loaded
    require_a_row_each(options.batch_size)
    setup = Setup.of_options(options, options.reward)
    check_reward(setup.reward, setup.task_class)
    options = replace(options, device=setup.device)  # as the run's config.yaml says it
    plan = None
    if options.memory_report:
        learning = Hyperparameters(**values_of(Hyperparameters, options))
        plan = plan_of(options, learning, options.n_envs, options.reward, setup.backbone_name)
        print(describe_plan(plan), flush=True)
    use_threads(options.threads, setup.backbone.parameter_count)
    check_watch(options, options.eval_prompts)
    formats = log_formats(options.log_formats)
    task = setup.task(options.eval_split) if options.eval_prompts else None
    if task is not None and not task.repeats:
        print(f"{task.not_repeatable} So there is no comparison with SFT at the end.", file=sys.stderr)
        task.close()
        task = None
    algorithm = make_algorithm(options, setup)
    assert algorithm.env is not None
    require_same_model_and_data(algorithm.policy.backbone, algorithm.env.get_attr("task")[0])
    evaluator = held_out_evaluator(algorithm, setup, options)
    folder = start_or_resume(algorithm, options, to_evaluate=task is not None)
    config = {f.name: getattr(options, f.name) for f in fields(options) if f.name != "resume"}
    with tracked([name for name in formats if name in TRACKERS], folder, config, read_metrics(folder)) as trackers:
        if not is_over(algorithm, options):
            learn(algorithm, options, folder, evaluator, trackers)
        with saying_how_to_go_on(folder):
            summary = finish(algorithm, setup, task, options, folder, plan)
        for tracker in trackers:
            tracker.finish(summary)
    algorithm.env.close()
    for held_out in (task, None if evaluator is None else evaluator.task):
        if held_out is not None:
            held_out.close()
    print(f"a page of it, to read and to send: perlhf report {folder}\n-> {folder}")
    return summary


def finish(
    algorithm: PPO, setup: Setup, task: Task | None, options: Options, folder: Path, plan: MemoryPlan | None
) -> dict[str, Any]:
    """Writes the trained policy, the best or the last one, and evaluates it where there is a task; returns the summary.

    Args:
        algorithm: that has learned.
        setup: of the run.
        task: of the held-out prompts.
        options: of the run.
        folder: the run folder.
        plan: of the memory, where it shall be held against what was used.
    """
    cuts = add_up_cuts(algorithm.policy.backbone)
    if said := algorithm.policy.backbone.describe_cuts():
        print(said, file=sys.stderr)
    summary = {**identity(options), **progress(options, algorithm), **cost_of(algorithm), **cuts}
    keeps_best = options.keep_best is not None
    summary |= held_out_summary(algorithm.watched, keeps_best)
    if plan is not None:
        summary["memory"] = report(plan, algorithm.policy, reward_model_of(algorithm))
    best = best_swapped_in(algorithm.policy.policy_role, algorithm.watched) if keeps_best else nullcontext()
    with algorithm.averaged(), best:
        group.from_first(lambda: write_model(algorithm, summary, folder))
        if task is not None:
            summary |= evaluate(algorithm, setup, task, options, folder)
    return summary


def write_model(algorithm: PPO, summary: dict[str, Any], folder: Path) -> None:
    """Writes policy, value where there is one, and summary.json; whatever an earlier policy was worth is gone."""
    finite.check_weights(algorithm.policy)
    policy = algorithm.policy
    policy.policy_role.save(folder / "policy")
    if policy.value_role is not None:
        policy.value_role.save(folder / "value", {"offset": policy.value_offset})
    algorithm.policy.backbone.save_processor(folder / "policy")
    write_json(folder / "summary.json", summary)
    write_card(folder / "policy", folder, "policy", algorithm.policy.backbone)


def learn(
    algorithm: PPO, options: Options, folder: Path, evaluator: Evaluator | None, trackers: Sequence[Tracker]
) -> None:
    """Trains to `total_timesteps`, or until it is over, with checkpoints and logs in the folder.

    Raises:
        Stopped: by a signal; where the run goes on is saved.
        OSError: the disk is full, or the folder was deleted.
    """
    algorithm.set_logger(run_logger(folder, options.log_formats, trackers))
    begun = algorithm.num_timesteps
    bar = [ProgressBar()] if group.is_first() else []
    # A checkpoint has what was seen at its turn, so it is saved after that.
    held_out = HeldOut(evaluator, options, folder, compared_before_looks(options))
    checkpoints = Checkpoints(folder, options.checkpoint_every, options.keep_checkpoints, holds=not options.full)
    watching = [held_out, Diagnoses(), checkpoints]
    breaks_off = not options.full and group.size() == 1  # other processes would wait for this one
    with saying_how_to_go_on(folder), stopping.saved_first(breaks_off):
        try:
            algorithm.learn(
                options.total_timesteps - begun,
                callback=[*bar, *watching],
                reset_num_timesteps=begun == 0,
            )
            if number := max(group.gather(stopping.asked())):  # all is learned, and saved
                stopping.stop(number)
        except stopping.Stopped:
            checkpoints.save_start()
            raise
        finally:
            algorithm.logger.close()
            for each in bar:
                each.close()
    if algorithm.watched.ended is not None:
        print(f"ended after {algorithm.num_timesteps} turns: {algorithm.watched.ended}")


def is_over(algorithm: PPO, options: Options) -> bool:
    """Returns whether there is nothing more to learn: all turns are played, or the run ended before."""
    algorithm.watched.ended = why_to_stop(algorithm.watched, options.stop_at, options.max_kl)
    return algorithm.num_timesteps >= options.total_timesteps or algorithm.watched.ended is not None


def compared_before_looks(options: Options) -> int:
    """Returns how many validation episodes the comparison at the end is of, which looks leave out."""
    return options.eval_prompts if options.eval_split == "validation" else 0


def held_out_evaluator(algorithm: PPO, setup: Setup, options: Options) -> Evaluator | None:
    """Returns the evaluator of validation episodes to look at on the way; None where nobody looks.

    Where the comparison at the end is of validation episodes too, these are the ones behind them.

    Raises:
        UserError: there are none, or no verdict on them that is asked for.
    """
    if not options.eval_every:
        return None
    assert algorithm.env is not None
    task = setup.task("validation")
    if not task.repeats:
        raise UserError(f"--eval-every: {task.not_repeatable} Looks at it could not be compared; leave it out.")
    taken = compared_before_looks(options)
    evaluator = Evaluator(
        task, algorithm.env.get_attr("reward_function")[0], algorithm.policy.max_new_tokens,
        taken + options.eval_prompts, options.seed, "validation",
    )  # fmt: skip
    evaluator.states = evaluator.states[taken:]
    if not evaluator.states:
        raise UserError(f"--eval-every needs validation prompts beside the {taken} of --eval-split validation.")
    check_watch(options, options.eval_prompts, task.has_gold(evaluator.states[0]))
    return evaluator


def make_algorithm(options: Options, setup: Setup) -> PPO:
    """Makes the env and PPO that the options describe; with several processes this one's share of the envs."""
    own = len(group.share(options.n_envs, "envs (--n-envs)"))
    arguments = {"reward": setup.reward, "workers": options.env_workers, **setup.task_options}
    env = make_vec(setup.env_id, own, **arguments)
    rate = setup.backbone.learning_rate(options.learning_rate, LEARNING_RATE, options.full)
    schedule = LinearSchedule(rate, 0.0, 1.0) if options.schedule == "linear" else rate
    algorithm = PPO(
        "LoRAPolicy", make_vec_env(env), **{**values_of(Hyperparameters, options), "learning_rate": schedule},
        policy_kwargs=values_of(PolicySettings, options), verbose=1, seed=options.seed, device=options.device,
    )  # fmt: skip
    reward = reward_model_of(algorithm)
    if reward is not None and reward.role.backbone is not algorithm.policy.backbone:
        print(f"the reward model is on a backbone of its own ({reward.role.backbone.path}): a second copy in memory")
    return algorithm


def reward_model_of(algorithm: PPO) -> RewardModel | None:
    """Returns the reward model that the env's reward is made of, where there is one."""
    assert algorithm.env is not None
    return learned_model(algorithm.env.get_attr("reward_function")[0])


def start_or_resume(algorithm: PPO, options: Options, to_evaluate: bool) -> Path:
    """Makes a new run folder, or returns the old one with the state of its newest sound checkpoint put back.

    Raises:
        UserError: the run is finished, evaluation included where there is `to_evaluate`; none of its checkpoints is
            sound; they were made on another base.
    """
    if options.resume is None:
        name = f"{options.env}-{options.algorithm}-seed{options.seed}"
        return group.from_first(lambda: new_run_folder(options.output_dir, name, options, resumable=True))
    folder = Path(options.resume)
    group.from_first(lambda: run_lock.take(folder))
    go_on_from_newest(folder, lambda saved: set_state(algorithm, *saved))
    steps = algorithm.num_timesteps
    roles = algorithm.policy.roles
    over, ended = is_over(algorithm, options), algorithm.watched.ended
    if group.from_first(lambda: over and is_finished(folder, roles, steps, to_evaluate)):
        more = "raise --total-timesteps" if ended is None else f"{ended}; raise that"
        raise UserError(f"{folder} is finished: {steps} turns; {more} to go on.")
    group.from_first(lambda: go_on_in(folder, options, steps))
    print(f"resuming {folder} at {steps} of {options.total_timesteps} turns")
    return folder


def go_on_in(folder: Path, options: Options, steps: int) -> None:
    """Makes the folder of a run what it was after so many turns, with the options of the run from here on."""
    drop_metrics_after(folder, steps)
    write_text(folder / "config.yaml", to_yaml(replace(options, resume=None)))


def is_finished(folder: Path, roles: Sequence[Role], steps: int, to_evaluate: bool) -> bool:
    """Returns whether the folder holds all that a run of these roles and so many turns leaves."""
    summary = read_summary(folder)
    saved = all((folder / role.name).is_dir() for role in roles)
    return saved and turns_of(summary) == steps and ("policy" in summary or not to_evaluate)


def progress(options: Options, algorithm: PPO) -> dict[str, Any]:
    """Returns how far the run is, for summary.json; its episodes are counted with its cost."""
    iterations = algorithm.n_updates // options.n_epochs
    return {"reward": options.reward, "iterations": iterations, "turns": algorithm.num_timesteps}


def cost_of(algorithm: PPO) -> dict[str, float]:
    """Returns what learning cost in all processes, parts before a resume included, for summary.json.

    Seconds are those of the slowest, and so is the peak of memory that of the largest.
    """
    rate = algorithm.num_timesteps / algorithm.cost["cpu_seconds"]
    return {**algorithm.cost, "samples_per_cpu_second": rate, "peak_rss_mb": max(group.gather(peak_rss_mb()))}


def add_up_cuts(backbone: Backbone) -> dict[str, int]:
    """Lets this process's backbone know how much all have read and cut; returns what was cut, for summary.json."""
    names = ("read_prompts", "cut_prompts", "read_responses", "cut_responses")
    found = group.gather([getattr(backbone, name) for name in names])
    for name, counts in zip(names, zip(*found, strict=True), strict=True):
        setattr(backbone, name, sum(counts))
    return {name: getattr(backbone, name) for name in names if name.startswith("cut")}


def evaluate(algorithm: PPO, setup: Setup, task: Task, options: Options, folder: Path) -> dict[str, Any]:
    """Compares the policy with SFT on held-out prompts and adds it to summary.json."""
    assert algorithm.env is not None
    reward = algorithm.env.get_attr("reward_function")[0]
    policy = algorithm.policy
    evaluator = Evaluator(task, reward, policy.max_new_tokens, options.eval_prompts, options.seed, options.eval_split)
    validation = validation_like(evaluator, setup.task, max(1, options.eval_prompts // 8))
    report = compare(evaluator, validation, policy.policy_role)
    validation.task.close()
    print(describe(report))
    return group.from_first(lambda: write_figures(folder, report, policy.backbone))


def write_figures(folder: Path, report: dict[str, Any], backbone: Backbone) -> dict[str, Any]:
    """Writes what the policy is worth, its model card too; returns what went to summary.json."""
    summary = write_report(folder, report)
    write_card(folder / "policy", folder, "policy", backbone)
    return summary


if __name__ == "__main__":
    run_command(main)
