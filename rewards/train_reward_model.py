"""Trains a reward model on preference pairs, or on labelled responses.

    python -m rewards.train_reward_model --env HH-v0 [--lora-rank 4 | --full]

Writes a run folder: the model (open it with `--reward DIR`, or with plain peft and transformers), config.yaml,
metrics.jsonl and summary.json with held-out accuracy beside what needs no model at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torch import Tensor

from backbones.backbone import Backbone
from backbones.fit import FitSettings, Loss, fit
from backbones.model.anatomy import top_layers
from backbones.model.loading import use_threads
from backbones.roles import LoRASettings, Role
from envs.corpora.records import image_of
from envs.feedback import Feedback
from envs.registry import backbone_name, env_id, text_tasks
from evaluation.reward_models import evaluate_on_episodes, evaluate_reward_model
from perlhf.errors import UserError, run_command
from perlhf.measure import Stopwatch, peak_rss_mb
from perlhf.options import option, parse_options
from perlhf.run_folder import new_run_folder, update_summary
from rewards.policy_steps import policy_steps
from rewards.preferences import Preferences, drawn, preferences_of, sampled
from rewards.reward_model import RewardModel, Row


@dataclass
class Options:
    """Trains a LoRA reward model, or with --full all weights, on preference pairs or labelled responses."""

    env: str = option("HH-v0", "whose task the pairs are of")
    env_options: str = option("", "more arguments of the env, as in 'domain=ticketing'")
    data: str = option("miniature", "'miniature', or 'hub', or a file or folder of the real corpus")
    backbone: str = option("tiny", "'tiny', a folder or a hub id")
    output_dir: str | None = option(None, "the run folder; runs/ENV-reward-seedN by default")
    lora_rank: int = option(4, "rank of the LoRA adapter on q, k, v, o", low=1)
    lora_alpha: float | None = option(None, "its scale; twice the rank by default", above=0)
    lora_vision: bool = option(False, "adapt the vision tower too, of a backbone that has one")
    lora_dropout: float = option(0.0, "dropout before the adapter while training", low=0, below=1)
    lora_layers: str = option("all", "which layers the adapter is on: all, half, quarter or so many at the top")
    full: bool = option(False, "train all weights instead of an adapter")
    pairs: int | None = option(None, "pairs (or labelled responses) of the data to learn from; all by default", low=1)
    policy_pairs: int | None = option(
        None,
        "pairs, or single ones, of SFT's samples (UI: episodes) to add; by default half as many, real data: 0",
        low=0,
    )
    epochs: int = option(1, "passes over the pairs", low=1)
    batch_size: int = option(32, "pairs in an optimizer step", low=1)
    learning_rate: float | None = option(None, "peak; by default 1.3/width, with --full 0.13/width", above=0)
    log_prob_weight: float = option(
        0.1, "of the response's log-probability in the score, per nat; 0 reads the head alone", low=0
    )
    score_limit: float | None = option(None, "scores are clipped to this far from 0; no limit by default", above=0)
    referee: bool = option(False, "of a UI task: learn whether an episode is rightly ended, instead of every step")
    eval_pairs: int = option(2000, "held-out pairs to measure accuracy on", low=1)
    eval_split: str = option("test", "of the data; choose settings on 'validation'")
    seed: int = option(0, "of the weights and of the order of the pairs", low=0, high=2**32 - 1)
    threads: int = option(0, "CPU threads of torch; 0 takes 1 for a small backbone, else torch's default", low=0)
    precision: Literal["fp32", "mixed", "bf16"] = option("fp32", "of frozen weights: fp32, mixed (bf16 products), bf16")
    device: str = option("cpu", "where to run")


def main() -> None:
    """Runs the command."""
    train(parse_options(Options, prog="python -m rewards.train_reward_model"))


def train(options: Options) -> RewardModel:
    """Runs the command; returns the trained model."""
    name = env_id(options.env)
    task, held_out = tasks_of(options)
    preferences = preferences_of(task)
    backbone = Backbone.load(backbone_name(options.backbone, name), options.device, options.precision)
    use_threads(options.threads, backbone.parameter_count)
    rng = np.random.default_rng(options.seed)
    records = drawn(task, options.pairs, rng)
    folder = new_run_folder(options.output_dir, f"{options.env}-reward-seed{options.seed}", options)
    count = samples_to_add(options, task, len(records))
    print(f"learning from {len(records)} records of the data and {count} of the SFT policy's samples", flush=True)
    records += samples(task, preferences, backbone.reference, count, rng, options.seed)

    layers = top_layers(options.lora_layers, backbone.model)
    lora = LoRASettings(options.lora_rank, options.lora_alpha, options.lora_dropout, options.lora_vision, layers)
    role = backbone.add_role("reward", None if options.full else lora, head=True, seed=options.seed)
    model = RewardModel(role, log_prob_weight=options.log_prob_weight, log_sigmoid=task.of_steps)
    clock = Stopwatch()
    rows = [preferences.rows(backbone, record) for record in records]
    rate = backbone.learning_rate(options.learning_rate, 1.3, options.full)
    how = FitSettings(options.epochs, options.batch_size, rate, micro_batch_size=8)
    loss = preference_loss(model, preferences, records, rows)
    lengths = [max(len(prompt) + len(response) for prompt, response in of_one) for of_one in rows]
    fit(model.role, lengths, loss, how, rng, folder / "metrics.jsonl")
    seconds, cpu_seconds = clock.seconds, clock.cpu_seconds
    model.score_limit = options.score_limit
    if not model.log_sigmoid:
        model.centre = centre(model, preferences, records)
    model.save(folder, env=options.env, data=options.data)
    report = evaluate_reward_model(model, preferences, held_out, records, held_out.records[: options.eval_pairs])
    if (playable := held_out.playable()) is not None:
        report["sft_episodes"] = evaluate_on_episodes(model, playable, options.eval_pairs)
    update_summary(
        folder, env=options.env, env_options=options.env_options, backbone=options.backbone,
        mode="full" if options.full else "lora",
        lora_rank=None if options.full else options.lora_rank, log_prob_weight=options.log_prob_weight,
        score_limit=options.score_limit, seed=options.seed, data=options.data,
        pairs=len(records), policy_pairs=count, epochs=options.epochs, **report,
        seconds=seconds, cpu_seconds=cpu_seconds, pairs_per_cpu_second=len(records) * options.epochs / cpu_seconds,
        peak_rss_mb=peak_rss_mb(),
    )  # fmt: skip
    print_report(report, folder)
    return model


def tasks_of(options: Options) -> list[Feedback]:
    """What to learn from and what to measure on.

    Raises:
        UserError: a referee for a task that has no ends to judge.
    """
    splits = ("train", options.eval_split)
    tasks = text_tasks(env_id(options.env), options.env_options, options.data, splits)
    if not options.referee:
        return tasks
    endings = [ends for task in tasks if (ends := task.endings()) is not None]
    if len(endings) < len(tasks):
        raise UserError(f"--referee is for UI tasks on the simulated phone; {options.env} over {options.data} is none.")
    return endings


def samples_to_add(options: Options, task: Feedback, pairs: int) -> int:
    """How many of the SFT policy's samples join `pairs` records of the data.

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
    """The loss to fit: of the scores of all rows of the records of a chunk, in one forward."""

    def loss(chunk: list[int], batch: list[int]) -> tuple[Tensor, dict[str, float]]:
        scores = model.score_rows([row for i in chunk for row in rows[i]], per_prompt=preferences.samples)
        mean, right = preferences.loss(scores, [records[i] for i in chunk])
        return mean * len(chunk) / len(batch), {"accuracy": right / len(batch)}

    return loss


def centre(model: RewardModel, preferences: Preferences, records: Sequence[Any]) -> float:
    """The mean raw score of up to 500 responses that were liked: after training they score 0 on average."""
    good = [(record, text) for record in records if (text := preferences.good(record)) is not None]
    liked = [(record.prompt, text, image_of(record)) for record, text in good[:500]]
    if not liked:
        return 0.0
    prompts, texts, images = zip(*liked, strict=True)
    return float(model.raw_scores(prompts, texts, images).mean())


def print_figures(where: str, figures: dict[str, Any]) -> None:
    """AUC and accuracy, where they were measured."""
    for name in ("auc", "accuracy"):
        if name in figures:
            each = figures[name]
            print(f"{where} {name} {each['mean']:.3f} [{each['low']:.3f}, {each['high']:.3f}], n = {each['n']}")


def print_report(report: dict[str, Any], folder: Path) -> None:
    """The report in a few lines for the terminal."""
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
