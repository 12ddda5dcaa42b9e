"""Trains a reward model on preference pairs.

    python -m rewards.train_reward_model --env HH-v0 [--lora-rank 4 | --full]

Writes a run folder: the model (open it with `--reward DIR`, or with plain peft and transformers), config.yaml,
metrics.jsonl and summary.json with held-out accuracy beside what needs no model at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from backbones.backbone import Backbone
from backbones.fit import FitSettings, Loss, fit
from backbones.loading import use_threads
from backbones.roles import LoRASettings
from envs.data.records import Record
from envs.registry import env_id, task_of
from envs.text import TextTask
from evaluation.metrics import bootstrap_mean, group_means, pair_accuracy
from perlhf.errors import UserError, run_command
from perlhf.measure import Stopwatch, peak_rss_mb
from perlhf.options import option, parse_options
from perlhf.run_folder import new_run_folder, update_summary
from rewards.baselines import fit_baselines
from rewards.pairs import ceiling, data_pairs, sampled_pairs
from rewards.reward_model import RewardModel, encode, pairwise_loss


@dataclass
class Options:
    """Trains a LoRA reward model, or with --full all weights, on preference pairs."""

    env: str = option("HH-v0", "whose task the pairs are of")
    data: str = option("miniature", "'miniature', or a file or folder of the real corpus")
    backbone: str = option("tiny", "'tiny', a folder or a hub id")
    output_dir: str | None = option(None, "the run folder; runs/ENV-reward-seedN by default")
    lora_rank: int = option(4, "rank of the LoRA adapter on q, k, v, o")
    lora_alpha: float | None = option(None, "its scale; twice the rank by default")
    lora_dropout: float = option(0.0, "dropout before the adapter while training")
    full: bool = option(False, "train all weights instead of an adapter")
    pairs: int | None = option(None, "how many of the data's pairs to learn from; all by default")
    policy_pairs: int = option(0, "how many pairs of samples of the SFT policy to add (miniature data only)")
    epochs: int = option(1, "passes over the pairs")
    batch_size: int = option(32, "pairs in an optimizer step")
    learning_rate: float | None = option(None, "peak; 1.3/width with LoRA and 0.13/width with --full by default")
    eval_pairs: int = option(2000, "held-out pairs to measure accuracy on")
    seed: int = option(0, "of the weights and of the order of the pairs")
    threads: int = option(0, "CPU threads of torch; 0 takes 1 for a small backbone, else torch's default")
    device: str = option("cpu", "where to run")


def main() -> None:
    """Runs the command."""
    train(parse_options(Options, prog="python -m rewards.train_reward_model"))


def train(options: Options) -> RewardModel:
    """Runs the command; returns the trained model."""
    name = env_id(options.env)
    task, held_out = (task_of(name, data=options.data, split=split) for split in ("train", "test"))
    if not isinstance(task, TextTask) or not isinstance(held_out, TextTask):
        raise UserError(f"{options.env} has no preference pairs.")
    backbone = Backbone.load(options.backbone, options.device)
    use_threads(options.threads, backbone.parameter_count)
    rng = np.random.default_rng(options.seed)
    pairs = data_pairs(task, options.pairs, rng)
    pairs += sampled_pairs(task, backbone.reference, options.policy_pairs, rng, seed=options.seed)
    folder = new_run_folder(options.output_dir, f"{options.env}-reward-seed{options.seed}", options)

    settings = None if options.full else LoRASettings(options.lora_rank, options.lora_alpha, options.lora_dropout)
    model = RewardModel(backbone.add_role("reward", settings, head=True, seed=options.seed))
    clock = Stopwatch()
    rate = options.learning_rate or (0.13 if options.full else 1.3) / backbone.hidden_size
    tokens = [(encode(backbone, p.prompt, p.chosen), encode(backbone, p.prompt, p.rejected)) for p in pairs]
    fit(
        model.role, [max(map(len, pair)) for pair in tokens], pair_loss(model, tokens),
        FitSettings(options.epochs, options.batch_size, rate, micro_batch_size=8), rng, folder / "metrics.jsonl",
    )  # fmt: skip
    seconds, cpu_seconds = clock.seconds, clock.cpu_seconds
    model.centre = centre(model, pairs)
    model.save(folder, env=options.env, data=options.data)
    report = evaluate(model, held_out, pairs, held_out.records[: options.eval_pairs])
    update_summary(
        folder, env=options.env, backbone=options.backbone, mode="full" if options.full else "lora",
        lora_rank=None if options.full else options.lora_rank, seed=options.seed, data=options.data,
        pairs=len(pairs), epochs=options.epochs, **report, seconds=seconds, cpu_seconds=cpu_seconds,
        pairs_per_cpu_second=len(pairs) * options.epochs / cpu_seconds, peak_rss_mb=peak_rss_mb(),
    )  # fmt: skip
    print_report(report, folder)
    return model


def pair_loss(model: RewardModel, pairs: Sequence[tuple[list[int], list[int]]]) -> Loss:
    """The loss to fit: Bradley-Terry over token rows (chosen, rejected), chosen and rejected in one forward."""

    def loss(chunk: list[int], batch: list[int]) -> tuple[Tensor, dict[str, float]]:
        scores = model.score_rows([ids for i in chunk for ids in pairs[i]])
        chosen, rejected = scores[0::2], scores[1::2]
        right = float(pair_accuracy(chosen.detach(), rejected.detach()).sum())
        return pairwise_loss(chosen, rejected) * len(chunk) / len(batch), {"accuracy": right / len(batch)}

    return loss


def centre(model: RewardModel, pairs: Sequence[Record]) -> float:
    """The mean raw score of up to 500 chosen responses: after training they score 0 on average."""
    some = pairs[:500]
    return float(model.score_texts([p.prompt for p in some], [p.chosen for p in some]).mean()) + model.centre


def evaluate(
    model: RewardModel, task: TextTask, train_pairs: Sequence[Record], held_out: Sequence[Record]
) -> dict[str, Any]:
    """Held-out pair accuracy with its interval, by group of prompts, beside baselines and the label ceiling."""
    prompts = [p.prompt for p in held_out]
    scores = [model.score_texts(prompts, [getattr(p, side) for p in held_out]) for side in ("chosen", "rejected")]
    right = pair_accuracy(*scores)
    report: dict[str, Any] = {"accuracy": bootstrap_mean(right), "ceiling": ceiling(task, held_out)}
    baselines: dict[str, float] = {"random": 0.5}
    for name, baseline in fit_baselines(train_pairs).items():
        sides = ([baseline(getattr(p, side)) for p in held_out] for side in ("chosen", "rejected"))
        baselines[name] = float(pair_accuracy(*sides).mean())
    report["baselines"] = baselines
    report["groups"] = group_means(right, [p.meta.get("groups", ()) for p in held_out])
    if task.has_annotator:
        gold = [task.gold_margin(p) for p in held_out]
        agreement = [r if g > 0 else 1 - r for r, g in zip(right, gold, strict=True) if g != 0]
        report["gold_agreement"] = bootstrap_mean(agreement)
    return report


def print_report(report: dict[str, Any], folder: Path) -> None:
    """The report in a few lines for the terminal."""
    accuracy = report["accuracy"]
    print(f"held-out accuracy {accuracy['mean']:.3f} [{accuracy['low']:.3f}, {accuracy['high']:.3f}]", end="")
    ceiling = report["ceiling"]
    print(f" of {accuracy['n']} pairs" + (f"; ceiling {ceiling:.3f}" if ceiling is not None else ""))
    print("baselines: " + ", ".join(f"{name} {value:.3f}" for name, value in report["baselines"].items()))
    for name, group in report["groups"].items():
        print(f"  {name}: {group['mean']:.3f} [{group['low']:.3f}, {group['high']:.3f}]")
    print(f"-> {folder}")


if __name__ == "__main__":
    run_command(main)
