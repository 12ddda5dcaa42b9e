"""Trains a reward model on preference pairs, or on labelled responses.

    python -m rewards.train_reward_model HH-v0 [--lora-rank 4 | --full]

Writes a run folder: the model (open it with `--reward DIR`, or with plain peft and transformers), config.yaml,
metrics.jsonl and summary.json with held-out accuracy beside what needs no model at all.
"""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from agents.setup import FitOptions, RunOptions, Setup, TaskOptions, add_role, identity, micro_batch_of, recipe_of
from backbones.fit import FitSettings, Loss, fit
from backbones.model.loading import use_threads
from backbones.roles import Role
from envs.corpora.records import image_of
from envs.feedback import Feedback
from evaluation.metrics import Interval
from evaluation.reward_models import evaluate_on_episodes, evaluate_reward_model
from perlhf.errors import UserError, run_command
from perlhf.measure import Stopwatch, peak_rss_mb
from perlhf.options import option, parse_options
from perlhf.run_folder import new_run_folder, update_summary
from rewards.policy_steps import policy_steps
from rewards.preferences import Preferences, drawn, preferences_of, sampled
from rewards.reward_model import RewardModel, Row

PAIRS = 8  # in one forward of training at most, by itself
FEW_STEPS = 100  # five times those in which the learning rate is warmed up; the bundled models took 375 and more


@dataclass
class Options(RunOptions, FitOptions):
    """Trains a LoRA reward model, or with --full all weights, on preference pairs or labelled responses."""

    group: ClassVar[str] = "how it learns"
    lora_rank: int = option(4, "rank of the adapter", low=1, group="what is trained")
    lora_dropout: float = option(
        0.0, "dropout before the adapter while training", low=0, below=1, group="what is trained"
    )
    pairs: int | None = option(
        None, "pairs, or labelled responses, of the data to learn from; all by default", low=1, group=TaskOptions.group
    )
    policy_pairs: int | None = option(
        None,
        "pairs, or labelled responses, of the SFT policy's samples to add; half as many by default, none to real data",
        low=0,
        group=TaskOptions.group,
    )
    referee: bool = option(
        False, "learn whether an episode of a UI task is rightly ended, instead of every step", group=TaskOptions.group
    )
    learning_rate: float | None = option(
        None, "peak learning rate; 1.3 / width of the backbone by default, a tenth of that with --full", above=0
    )
    log_prob_weight: float = option(
        0.1, "weight of the response's log-probability in the score; 0 reads the head alone", low=0
    )
    score_limit: float | None = option(None, "scores are clipped to this far from 0; no limit by default", above=0)
    output_dir: str | None = option(None, "the run folder; runs/ENV-reward-seedN by default", group=RunOptions.group)
    eval_pairs: int = option(2000, "held-out pairs to measure accuracy on", low=1, group=RunOptions.group)
    eval_split: str = option(
        "test", "split of the data to measure on; choose settings on 'validation'", group=RunOptions.group
    )


def main() -> None:
    """Runs the command."""
    train(parse_options(Options, prog="python -m rewards.train_reward_model", defaults=partial(recipe_of, "reward")))


def train(options: Options) -> RewardModel:
    """Runs the command; returns the trained model."""
    setup = Setup.of_options(options)
    options = replace(options, device=setup.device)
    task, held_out = tasks_of(options, setup)
    preferences = preferences_of(task)
    backbone = setup.backbone
    use_threads(options.threads, backbone.parameter_count)
    rng = np.random.default_rng(options.seed)
    records = drawn(task, options.pairs, rng)
    folder = new_run_folder(options.output_dir, f"{options.env}-reward-seed{options.seed}", options)
    count = samples_to_add(options, task, len(records))
    print(f"learning from {len(records)} records of the data and {count} of the SFT policy's samples", flush=True)
    records += samples(task, preferences, backbone.reference, count, rng, options.seed)

    role = add_role(backbone, options, "reward", options.seed, head=True, dropout=options.lora_dropout)
    model = RewardModel(role, log_prob_weight=options.log_prob_weight, log_sigmoid=task.of_steps)
    clock = Stopwatch()
    rows = [preferences.rows(backbone, record) for record in records]
    rate = backbone.learning_rate(options.learning_rate, 1.3, options.full)
    if cuts := backbone.describe_cuts():
        print(cuts, file=sys.stderr)
    every = [row for of_one in rows for row in of_one]
    micro_batch = micro_batch_of(options, role, every, preferences.samples, PAIRS)
    how = FitSettings(options.epochs, options.batch_size, rate, micro_batch)
    loss = preference_loss(model, preferences, records, rows)
    lengths = [max(len(prompt) + len(response) for prompt, response in of_one) for of_one in rows]
    fit(model.role, lengths, loss, how, rng, folder / "metrics.jsonl")
    seconds, cpu_seconds = clock.seconds, clock.cpu_seconds
    model.score_limit = options.score_limit
    if not model.log_sigmoid:
        model.centre = centre(model, preferences, records)
    model.save(folder, env=options.env, data=options.data)
    evaluate = partial(evaluate_reward_model, model, preferences, held_out, records)
    report = evaluate(held_out.records[: options.eval_pairs])
    if (playable := held_out.playable()) is not None:
        report["sft_episodes"] = evaluate_on_episodes(model, playable, options.eval_pairs)
    update_summary(
        folder, **identity(options), log_prob_weight=options.log_prob_weight, score_limit=options.score_limit,
        pairs=len(records), policy_pairs=count, epochs=options.epochs, **report,
        seconds=seconds, cpu_seconds=cpu_seconds, pairs_per_cpu_second=len(records) * options.epochs / cpu_seconds,
        peak_rss_mb=peak_rss_mb(), cut_prompts=backbone.cut_prompts, cut_responses=backbone.cut_responses,
    )  # fmt: skip
    print_report(report, folder)
    if is_below_baselines(report):
        model.log_prob_weight = 0.0  # for this one question
        alone = evaluate(held_out.records[: options.eval_pairs]) if options.log_prob_weight else report
        model.log_prob_weight = options.log_prob_weight
        steps = options.epochs * math.ceil(len(records) / options.batch_size)
        print(describe_failure(report, alone, options.log_prob_weight, steps), file=sys.stderr)
    return model


def tasks_of(options: Options, setup: Setup) -> list[Feedback]:
    """Returns what to learn from and what to measure on.

    Raises:
        UserError: a referee for a task that has no ends to judge.
    """
    tasks = setup.feedback("train", options.eval_split)
    if not options.referee:
        return tasks
    endings = [ends for task in tasks if (ends := task.endings()) is not None]
    if len(endings) < len(tasks):
        raise UserError(f"--referee is for UI tasks on the simulated phone; {options.env} over {options.data} is none.")
    return endings


def samples_to_add(options: Options, task: Feedback, pairs: int) -> int:
    """Returns how many of the SFT policy's samples join `pairs` records of the data.

    Without any, PPO soon finds what the model has never seen and overrates.
    """
    if options.policy_pairs is not None:
        return options.policy_pairs
    return pairs // 2 if task.can_rate else 0


def samples(
    task: Feedback, preferences: Preferences, role: Role, count: int, rng: np.random.Generator, seed: int
) -> list[Any]:
    """`count` labelled samples of `role`: in single turns, or the steps of whole episodes that it plays."""
    playable = task.playable()
    if playable is None:
        return sampled(preferences, task, role, count, rng, seed=seed)
    return policy_steps(playable, role, count, rng, seed=seed, corrected=True)


def preference_loss(
    model: RewardModel, preferences: Preferences, records: Sequence[Any], rows: Sequence[list[Row]]
) -> Loss:
    """Returns the loss function to fit: of the scores of all rows of the records of a chunk, in one forward."""

    def loss(chunk: list[int], batch: list[int]) -> tuple[Tensor, dict[str, float]]:
        scores = model.score_rows([row for i in chunk for row in rows[i]], per_prompt=preferences.samples)
        mean, right = preferences.loss(scores, [records[i] for i in chunk])
        return mean * len(chunk) / len(batch), {"accuracy": right / len(batch)}

    return loss


def centre(model: RewardModel, preferences: Preferences, records: Sequence[Any]) -> float:
    """Returns the mean raw score of up to 500 responses that were liked: after training they score 0 on average."""
    good = [(record, text) for record in records if (text := preferences.good(record)) is not None]
    liked = [(record.prompt, text, image_of(record)) for record, text in good[:500]]
    if not liked:
        return 0.0
    prompts, texts, images = zip(*liked, strict=True)
    return float(model.raw_scores(prompts, texts, images).mean())


def figure_of(report: Mapping[str, Any]) -> tuple[str, Interval]:
    """Returns what baselines are compared with: of labelled responses the AUC, of pairs the accuracy."""
    name = "auc" if "auc" in report else "accuracy"
    return name, report[name]


def best_baseline(report: Mapping[str, Any]) -> tuple[str, float]:
    """Returns the best of what needs no model, by the figure of `figure_of`."""
    baselines = {name: value for name, value in report["baselines"].items() if name != "majority_accuracy"}
    return max(baselines.items(), key=lambda named: named[1])


def is_below_baselines(report: Mapping[str, Any]) -> bool:
    """Returns whether a model is worse than what needs none, by more than chance."""
    return bool(figure_of(report)[1]["high"] < best_baseline(report)[1])


def describe_failure(report: Mapping[str, Any], alone: Mapping[str, Any], weight: float, steps: int) -> str:
    """Returns a line that warns of a model below a baseline, and says why as far as that can be measured.

    Args:
        report: of the model.
        alone: the same without the log-probability term.
        weight: of that term.
        steps: optimizer steps that the model was trained for.
    """
    (name, figure), (baseline, best) = figure_of(report), best_baseline(report)
    reasons = []
    if figure_of(alone)[1]["mean"] > figure["high"]:
        reasons.append(
            f"the head alone has {figure_of(alone)[1]['mean']:.3f}, so --log-prob-weight {weight:g} outweighs what was "
            "learned: try 0"
        )
    if steps < FEW_STEPS:
        reasons.append(f"{steps} optimizer steps are few: raise --epochs, or lower --batch-size")
    why = "; ".join(reasons) or "it learned nothing that holds for other prompts: see --learning-rate and the labels"
    return f"warning: held-out {name} {figure['mean']:.3f} is below the baseline {baseline!r}, {best:.3f}; {why}."


def print_figures(where: str, figures: dict[str, Any]) -> None:
    """AUC and accuracy, where they were measured."""
    for name in ("auc", "accuracy"):
        if name in figures:
            each = figures[name]
            print(f"{where} {name} {each['mean']:.3f} [{each['low']:.3f}, {each['high']:.3f}], n = {each['n']}")


def print_report(report: dict[str, Any], folder: Path) -> None:
    """Prints the report in a few lines for the terminal."""
    print_figures("held-out", report)
    print_figures("in SFT's own episodes,", report.get("sft_episodes", {}))
    if report["ceiling"] is not None:
        print(f"ceiling of the labels: {report['ceiling']:.3f}")
    print("baselines: " + ", ".join(f"{name} {value:.3f}" for name, value in report["baselines"].items()))
    for name, group in report.get("groups", {}).items():
        print(f"  {name}: {group['mean']:.3f} [{group['low']:.3f}, {group['high']:.3f}]")
    print(f"-> {folder}")


if __name__ == "__main__":
    run_command(main)
