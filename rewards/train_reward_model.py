"""Trains a reward model on preference pairs, or on labelled responses.

    python -m rewards.train_reward_model HH-v0 [--lora-rank 4 | --full]

Writes a run folder: the model (open it with `--reward DIR`; where it reads the last state of the end token, with plain
peft and transformers too), config.yaml, metrics.jsonl and summary.json with held-out accuracy beside what needs no
model at all. On a backbone that is not shipped a probe comes first (`rewards.probe`); it is kept where adapters are not
better on records held out of the training ones.
"""

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from agents.processes import require_same_command, require_same_rows
from agents.resuming import checkpoints_in, fit_folder, fit_options, saying_how_to_go_on
from agents.setup import (
    FitOptions,
    ReproducibleOptions,
    RunOptions,
    Setup,
    TaskOptions,
    identity,
    is_shipped,
    micro_batch_of,
    reproduced,
)
from backbones import group
from backbones.backbone import Backbone
from backbones.fit import FitSettings, fit
from backbones.fit_checkpoints import FitCheckpoints
from backbones.launch import run_command
from backbones.model.anatomy import layer_count
from backbones.model.loading import use_threads
from backbones.model.targets import adapted_names
from backbones.pooled import Reading
from backbones.role_files import PROVENANCE
from backbones.roles import HeadRole, Role
from envs.corpora.records import image_of
from envs.feedback import Feedback
from evaluation.model_card import write_card
from evaluation.reward_models import evaluate_on_episodes, evaluate_reward_model
from evaluation.reward_report import (
    describe_doubt,
    describe_failure,
    is_below_baselines,
    print_figures,
    print_report,
    probe_figures,
)
from perlhf import reproducible, run_lock
from perlhf.errors import UserError
from perlhf.measure import peak_rss_mb
from perlhf.options import option
from perlhf.run_folder import update_summary
from rewards.from_probe import adapt, centre_of, describe_choice, probe_first
from rewards.policy_steps import policy_steps
from rewards.preferences import Learned, Preferences, drawn, learned_of, preferences_of, sampled
from rewards.probing import ReadingOptions, alone, described, layer_of
from rewards.reward_model import RewardModel

LOG = "metrics.jsonl"
HEAD_FILE = "head.safetensors"
PAIRS = 8  # in one forward of training at most, by itself
DRAWN_LOG_PROB_WEIGHT = 0.1  # where no probe says another
FROM_A_PROBE = 0.25  # the learning rate beside that from a random head
FOREIGN_PAIRS = 2  # the same on a CPU, of a backbone that is not shipped: there are no numbers of before to keep, and
# padding costs a CPU as much as text


@dataclass
class Options(ReproducibleOptions, ReadingOptions, FitOptions):
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
    start: Literal["auto", "probe", "random"] = option(
        "auto",
        "where the head begins: at a probe (a fit of seconds on states of the frozen backbone) or drawn; auto takes a "
        "probe for a backbone that is not shipped",
    )
    learning_rate: float | None = option(
        None,
        "peak learning rate; 1.3 / width of the backbone by default, a quarter of it from a probe, a tenth with --full",
        above=0,
    )
    head_learning_rate: float | None = option(
        None, "that of the head; by default the same, from a probe times the length of the head's weights", above=0
    )
    score_limit: float | None = option(None, "scores are clipped to this far from 0; no limit by default", above=0)
    eval_pairs: int = option(2000, "held-out pairs to measure accuracy on", low=1, group=RunOptions.group)
    eval_split: str = option(
        "test", "split of the data to measure on; choose settings on 'validation'", group=RunOptions.group
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
    return fit_options(Options, arguments, "rewards.train_reward_model", "reward")


@run_lock.released_after()
def train(options: Options) -> RewardModel:
    """Runs the command; returns the trained model."""
    require_same_command(options)
    options = reproduced(options)
    setup = Setup.of_options(options)
    options = replace(options, device=setup.device)
    task, held_out = tasks_of(options, setup)
    preferences, backbone = preferences_of(task), setup.backbone
    use_threads(options.threads, backbone.parameter_count)
    check_model(options, backbone)
    rng = np.random.default_rng(options.seed)
    records = drawn(task, options.pairs, rng)
    name = f"{options.env}-reward-seed{options.seed}"
    folder = fit_folder(options, name, lambda run: (run / PROVENANCE).exists())
    count = samples_to_add(options, task, len(records))
    more = f" and {count} of the SFT policy's samples" if count else ""
    print(f"learning from {len(records)} records of the data{more}", flush=True)
    added = samples(task, preferences, backbone.reference, count, rng, options.seed)
    records += added
    data = learned_of(preferences, records, backbone)
    require_same_rows(backbone, [row for of_one in data.rows for row in of_one])
    if said := backbone.describe_cuts():
        print(said, file=sys.stderr)
    # Before each process measures on its part: what is learned from, all have read alike.
    cuts = {"cut_prompts": backbone.cut_prompts, "cut_responses": backbone.cut_responses}

    train_it = train_from_probe if starts_from_probe(options, backbone) else train_from_random
    checkpoints = checkpoints_in(folder, options, [row for of_one in data.rows for row in of_one])
    with saying_how_to_go_on(folder, what_is_left):
        model, of_training = train_it(options, data, backbone, task.of_steps, rng, checkpoints)
        cost = checkpoints.cost_so_far()
        save(model, options, task.of_steps, folder)
        evaluate = partial(evaluate_reward_model, model, preferences, held_out, data.records)
        report = evaluate(held_out.records[: options.eval_pairs])
        if (playable := held_out.playable()) is not None:
            report["sft_episodes"] = evaluate_on_episodes(model, playable, options.eval_pairs)
        summary = dict(
            **(identity(options) | of_training), score_limit=options.score_limit,
            pairs=len(data.records), policy_pairs=len(added), epochs=options.epochs, **report, **cost,
            pairs_per_cpu_second=len(data.records) * options.epochs / cost["cpu_seconds"],
            peak_rss_mb=max(group.gather(peak_rss_mb())), **cuts,
        )  # fmt: skip
        group.from_first(lambda: write_figures(folder, summary, backbone))
    print_report(report, folder)
    if is_below_baselines(report):
        steps = options.epochs * math.ceil(len(data.records) / options.batch_size)
        print(explain(model, report, steps, partial(evaluate, held_out.records[: options.eval_pairs])), file=sys.stderr)
    elif doubt := describe_doubt(report):
        print(doubt, file=sys.stderr)
    return model


def write_figures(folder: Path, summary: dict[str, Any], backbone: Backbone) -> None:
    """Writes what the model is worth: summary.json and the model card."""
    update_summary(folder, **summary)
    write_card(folder, folder, "reward", backbone)


def explain(model: RewardModel, report: dict[str, Any], steps: int, evaluate: Callable[[], dict[str, Any]]) -> str:
    """Returns lines on why a model may be below its baselines; measures what its head is worth alone."""
    weight, model.log_prob_weight = model.log_prob_weight, 0.0  # for this one question
    alone = evaluate() if weight else report
    model.log_prob_weight = weight
    return describe_failure(report, alone, weight, steps)


def check_model(options: Options, backbone: Backbone) -> None:
    """Refuses what the backbone does not have, before minutes are spent on samples and states.

    Raises:
        UserError: no such layer to read, or nothing to adapt.
    """
    layer_of(backbone, options.read_layer)
    lora = options.lora(backbone.model, dropout=options.lora_dropout)
    if lora is not None:
        adapted_names(backbone.model, lora.targets, lora.vision, lora.layers)


def starts_from_probe(options: Options, backbone: Backbone) -> bool:
    """Returns whether the head begins at a probe."""
    return options.start == "probe" or (options.start == "auto" and not is_shipped(backbone))


def settings_of(options: Options, data: Learned, role: Role, slower: float = 1.0) -> FitSettings:
    """Returns how to train a role; `slower` is a factor of the learning rate where none is given."""
    backbone = role.backbone
    shipped = is_shipped(backbone)
    every = [row for of_one in data.rows for row in of_one]
    most = PAIRS if shipped or backbone.device.type != "cpu" else FOREIGN_PAIRS
    settings = FitSettings(
        options.epochs,
        options.batch_size,
        backbone.learning_rate(options.learning_rate, 1.3 * slower, options.full),
        micro_batch_of(options, role, every, data.preferences.samples, most),
        head_learning_rate=options.head_learning_rate,
    )
    return settings.warmed_up(options.warmup, len(data.records), shipped)


def new_role(options: Options, backbone: Backbone, reading: Reading) -> Role:
    """Adds the role to fit; where a layer below the top is read, the layers with adapters are counted from it down."""
    lora = options.lora(backbone.model, dropout=options.lora_dropout)
    if lora is not None and lora.layers is not None and reading.layer is not None:
        count = layer_count(backbone.model)
        below = lora.layers + count - reading.layer
        lora = replace(lora, layers=None if below >= count else below)
    return backbone.add_role("reward", lora, head=True, seed=options.seed)


def train_from_random(
    options: Options,
    data: Learned,
    backbone: Backbone,
    of_steps: bool,
    rng: np.random.Generator,
    checkpoints: FitCheckpoints,
) -> tuple[RewardModel, dict[str, Any]]:
    """Trains a model whose head begins drawn at random; returns it with what summary.json says of how it was made."""
    reading = Reading("last" if options.pooling == "auto" else options.pooling, layer_of(backbone, options.read_layer))
    weight = DRAWN_LOG_PROB_WEIGHT if options.log_prob_weight is None else options.log_prob_weight
    role = new_role(options, backbone, reading)
    model = RewardModel(role, log_prob_weight=weight, log_sigmoid=of_steps, reading=reading)
    settings, log = settings_of(options, data, role), checkpoints.run / LOG
    fit(role, data.lengths, data.loss(model), settings, rng, log, checkpoints=checkpoints)
    if not of_steps:
        model.centre = centre(model, data.preferences, data.records)
    return model, {"log_prob_weight": weight, "pooling": reading.pooling, "read_layer": reading.layer}


def train_from_probe(
    options: Options,
    data: Learned,
    backbone: Backbone,
    of_steps: bool,
    rng: np.random.Generator,
    checkpoints: FitCheckpoints,
) -> tuple[RewardModel, dict[str, Any]]:
    """Fits a probe and trains from it; returns the better of the two, as `train_from_random`.

    The probe is in the folder as soon as it is fitted.
    """
    start = probe_first(backbone, data, options, options.seed)
    probe = alone(start.probe, backbone)
    probe.centre = centre_of(data, start.probe.scores(start.states))
    unseen = probe_figures(start.choice.best, data)
    save(probe, options, of_steps, checkpoints.run)
    print_figures(f"probe ({start.probe.reading}), on training records that it had not seen:", unseen)
    role = new_role(options, backbone, start.probe.reading)
    settings = settings_of(options, data, role, FROM_A_PROBE)
    adapted = adapt(start, data, role, settings, rng, checkpoints.run / LOG, options.seed, checkpoints)
    print(describe_choice(adapted), flush=True)
    how = described(start.probe)
    report = {**how, "probe": {**how, **unseen}, "validation": adapted.history, "kept_step": adapted.best}
    if adapted.best is None:
        return probe, {**report, "mode": "probe", "lora_rank": None}
    return adapted.model, report


def save(model: RewardModel, options: Options, of_steps: bool, folder: Path) -> None:
    """Writes a model into the run folder, with what the options say of its scores."""
    model.log_sigmoid, model.score_limit = of_steps, options.score_limit
    if of_steps:
        model.centre = 0.0
    group.from_first(lambda: model.save(folder, env=options.env, data=options.data))
    if not isinstance(model.role, HeadRole):  # a probe's, which training began from; there is always a model
        group.from_first(lambda: (folder / HEAD_FILE).unlink(missing_ok=True))


def what_is_left(folder: Path) -> str:
    """Says what a run that was interrupted leaves."""
    model = f"{folder} is a reward model" if (folder / PROVENANCE).exists() else "there is no model"
    if (folder / HEAD_FILE).exists():
        model += ", the probe that training began from"
    return f"{model}; what was logged so far is in {folder / LOG}"


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


def centre(model: RewardModel, preferences: Preferences, records: Sequence[Any]) -> float:
    """Returns the mean raw score of up to 500 responses that were liked: after training they score 0 on average."""
    good = [(record, text) for record in records if (text := preferences.good(record)) is not None]
    liked = [(record.prompt, text, image_of(record)) for record, text in good[:500]]
    if not liked:
        return 0.0
    prompts, texts, images = zip(*liked, strict=True)
    return float(model.raw_scores_together(prompts, texts, images).mean())


if __name__ == "__main__":
    run_command(main)
