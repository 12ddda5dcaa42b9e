"""Fits a linear reward on the states of a frozen backbone: a reward model in seconds, and what adapters have to beat.

    python -m rewards.probe HH-v0 --data FILE --backbone DIR
    perlhf probe HH-v0 --data FILE --backbone DIR --pairs 960 --folds 10

Prints what each layer and pooling is worth by cross-validation beside length, a keyword, TF-IDF and the backbone's own
log-probabilities. Writes a run folder: the probe as a reward model (`--reward DIR`), config.yaml and summary.json. It
is `head.safetensors`, one tensor `score.weight` (1, hidden) for the states that perlhf.json names: the mean over the
response's tokens, end token included, of transformers' `hidden_states[read_layer]`, say. There is no adapter in it, so
plain peft has nothing to open.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from agents.hyperparameters import BackboneSettings
from agents.processes import require_same_command, require_same_rows
from agents.setup import RunOptions, Setup, TaskOptions, about
from backbones import group
from backbones.backbone import Backbone
from backbones.launch import run_command
from backbones.model.loading import use_threads
from evaluation.probes import cross_validated, table
from perlhf import run_lock
from perlhf.errors import UserError
from perlhf.measure import Stopwatch, peak_rss_mb
from perlhf.options import option, parse_options
from perlhf.run_folder import new_run_folder, update_summary
from rewards.from_probe import centre_of, probe_first
from rewards.preferences import Learned, Preferences, drawn, learned_of, preferences_of
from rewards.probing import FOLDS, ReadingOptions, alone, described
from rewards.reward_model import RewardModel


@dataclass
class Options(RunOptions, ReadingOptions, BackboneSettings, TaskOptions):
    """Fits a linear reward on the states of a frozen backbone, and says what each layer and pooling is worth."""

    group: ClassVar[str] = RunOptions.group
    pairs: int | None = option(
        None, "pairs, or labelled responses, to fit on; all by default", low=1, group=TaskOptions.group
    )
    max_tokens: int | None = option(
        None, "leave out records of more tokens, prompt and longer response together", low=1, group=TaskOptions.group
    )
    score_limit: float | None = option(
        None, "scores are clipped to this far from 0; no limit by default", above=0, group=ReadingOptions.group
    )
    folds: int = option(FOLDS, "parts of the records that are unseen in turn, for the table; 0 makes none", low=0)
    output_dir: str | None = option(None, "the run folder; runs/ENV-probe-seedN by default")


def main() -> None:
    """Runs the command."""
    fit(parse_options(Options, prog="python -m rewards.probe"))


@run_lock.released_after()
def fit(options: Options) -> RewardModel:
    """Runs the command; returns the probe as a reward model."""
    require_same_command(options)
    setup = Setup.of_options(options)
    options = replace(options, device=setup.device)
    (task,) = setup.feedback("train")
    preferences, backbone = preferences_of(task), setup.backbone
    use_threads(options.threads, backbone.parameter_count)
    data = records_to_fit(options, preferences, drawn(task, None, np.random.default_rng(options.seed)), backbone)
    require_same_rows(backbone, [row for of_one in data.rows for row in of_one])
    name = f"{options.env}-probe-seed{options.seed}"
    folder = group.from_first(lambda: new_run_folder(options.output_dir, name, options))
    print(f"fitting on {len(data.records)} records", flush=True)
    clock = Stopwatch()
    start = probe_first(backbone, data, options, options.seed)
    model = alone(start.probe, backbone, log_sigmoid=task.of_steps, score_limit=options.score_limit)
    if not task.of_steps:
        model.centre = centre_of(data, start.probe.scores(start.states))
    cost = {"seconds": clock.seconds, "cpu_seconds": sum(group.gather(clock.cpu_seconds))}
    about_it = {**about(options), "pairs": len(data.records), **described(start.probe), **cost}
    group.from_first(lambda: model.save(folder, env=options.env, data=options.data))
    about_it["peak_rss_mb"] = max(group.gather(peak_rss_mb()))
    group.from_first(lambda: update_summary(folder, **about_it))

    def measure() -> None:
        figures = cross_validated(data, start.states, options.log_prob_weight, options.folds, options.seed)
        update_summary(folder, cross_validated=figures, cpu_seconds_of_all=clock.cpu_seconds)
        print(table(figures, "accuracy" if preferences.samples > 1 else "AUC"))

    if options.folds:
        group.from_first(measure)
    print(f"fitted on all: {start.probe.reading}, log-prob weight {start.probe.log_prob_weight:.3g}")
    print(f"states and fit {cost['cpu_seconds']:.0f} CPU s, with the table {clock.cpu_seconds:.0f}\n-> {folder}")
    return model


def records_to_fit(options: Options, preferences: Preferences, records: Sequence[Any], backbone: Backbone) -> Learned:
    """Returns as many of the records as are wanted, in an order drawn by the seed, as tokens.

    Raises:
        UserError: none is short enough, or there is nothing to learn from them.
    """
    order = np.random.default_rng(options.seed).permutation(len(records)).tolist()
    kept: list[Any] = []
    for record in (records[i] for i in order):
        if len(kept) == (options.pairs or len(records)):
            break
        rows = [] if options.max_tokens is None else preferences.rows(backbone, record)
        if all(len(prompt) + len(response) <= (options.max_tokens or 0) for prompt, response in rows):
            kept.append(record)
    if not kept:
        raise UserError(f"none of {len(records)} records has at most {options.max_tokens} tokens; raise --max-tokens.")
    return learned_of(preferences, kept, backbone)


if __name__ == "__main__":
    run_command(main)
