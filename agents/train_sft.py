"""Supervised fine-tuning on chosen responses, merged into a backbone for the later stages.

    python -m agents.train_sft --env HH-v0 --backbone DIR_OR_HUB_ID --data FILE
    python -m rewards.train_reward_model --env HH-v0 --backbone RUN/backbone --data FILE
    python -m agents.train_ppo --env HH-v0 --backbone RUN/backbone --reward RUN2 --data FILE

The adapter is merged, so that for reward model and PPO "adapters off" is the SFT policy. The shipped backbone is
one already.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from agents.processes import require_same_command, require_same_rows
from agents.resuming import checkpoints_in, fit_folder, fit_options, saying_how_to_go_on
from agents.setup import (
    FitOptions,
    ReproducibleOptions,
    RunOptions,
    Setup,
    TaskOptions,
    add_role,
    identity,
    is_shipped,
    micro_batch_of,
    reproduced,
)
from backbones import group
from backbones.backbone import Backbone
from backbones.fit import FitSettings, Loss, fit
from backbones.forward import log_probs_of, speak
from backbones.launch import run_command
from backbones.model.loading import use_threads
from backbones.plain_model import merged
from backbones.roles import Role
from envs.corpora.records import AnyRecord, good_response, image_of
from evaluation.metrics import bootstrap_mean
from evaluation.model_card import write_card
from perlhf import reproducible, run_lock
from perlhf.errors import UserError
from perlhf.measure import peak_rss_mb
from perlhf.options import option
from perlhf.run_folder import update_summary
from rewards.preferences import drawn

Rows = Sequence[tuple[list[int], list[int]]]  # (prompt ids, response ids with the end token unless cut)


@dataclass
class Options(ReproducibleOptions, FitOptions):
    """Fine-tunes a backbone on the chosen responses of a task, with LoRA or with --full all weights."""

    group: ClassVar[str] = RunOptions.group
    records: int | None = option(None, "how many records to learn from; all by default", low=1, group=TaskOptions.group)
    learning_rate: float | None = option(
        None, "peak learning rate; 0.6 / width of the backbone by default, a tenth of that with --full", above=0,
        group="how it learns",
    )  # fmt: skip
    eval_records: int = option(500, "held-out responses to measure the loss on", low=1)


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
    return fit_options(Options, arguments, "agents.train_sft", "sft")


@run_lock.released_after()
def train(options: Options) -> Path:
    """Runs the command; returns the folder of the merged backbone."""
    require_same_command(options)
    options = reproduced(options)
    setup = Setup.of_options(options)
    options = replace(options, device=setup.device)
    task, held_out = setup.feedback("train", "test")
    backbone = setup.backbone
    use_threads(options.threads, backbone.parameter_count)
    rng = np.random.default_rng(options.seed)
    rows = encode(backbone, demonstrations(drawn(task, options.records, rng)))
    test = encode(backbone, demonstrations(held_out.records[: options.eval_records]))
    require_same_rows(backbone, rows)
    name = f"{options.env}-sft-seed{options.seed}"
    folder = fit_folder(options, name, lambda run: (run / "backbone").is_dir())

    role = add_role(backbone, options, "policy", options.seed)
    checkpoints = checkpoints_in(folder, options, rows)
    rate = backbone.learning_rate(options.learning_rate, 0.6, options.full)
    if cuts := backbone.describe_cuts():
        print(cuts, file=sys.stderr)
    how = FitSettings(options.epochs, options.batch_size, rate, micro_batch_of(options, role, rows))
    how = how.warmed_up(options.warmup, len(rows), is_shipped(backbone))
    lengths, log = [len(p) + len(r) for p, r in rows], folder / "metrics.jsonl"
    with saying_how_to_go_on(folder):
        fit(role, lengths, token_loss(role, rows), how, rng, log, checkpoints=checkpoints)
        cost = {**checkpoints.cost_so_far(), "peak_rss_mb": max(group.gather(peak_rss_mb()))}
        losses = {"before": all_losses_of(backbone.reference, test), "after": all_losses_of(role, test)}
        held_out_loss = {when: bootstrap_mean(values) for when, values in losses.items()}
        summary = {**identity(options), "records": len(rows), "epochs": options.epochs, "held_out_loss": held_out_loss}
        summary |= {**cost, "cut_prompts": backbone.cut_prompts, "cut_responses": backbone.cut_responses}
        group.from_first(lambda: write(role, folder, summary))
    before, after = (held_out_loss[when]["mean"] for when in ("before", "after"))
    print(f"held-out loss {before:.3f} -> {after:.3f} nats a response token\n-> {folder / 'backbone'}")
    return folder / "backbone"


def write(role: Role, folder: Path, summary: Mapping[str, Any]) -> None:
    """Writes the merged backbone with its model card, and summary.json."""
    model, backbone = merged(role), role.backbone
    # So that transformers opens a reward adapter on it as a classifier, see docs/export.md.
    model.config.num_labels = 1
    if backbone.pad_id not in backbone.end_ids:
        model.config.pad_token_id = backbone.pad_id
    model.save_pretrained(folder / "backbone")
    backbone.save_processor(folder / "backbone")
    update_summary(folder, **summary)
    write_card(folder / "backbone", folder, "sft", backbone)


def demonstrations(records: Sequence[AnyRecord]) -> list[tuple[str, str, np.ndarray | None]]:
    """(prompt, response, image) of the records that have a response to imitate.

    Raises:
        UserError: none of them has.
    """
    found = [(r.prompt, text, image_of(r)) for r in records for text in [good_response(r)] if text is not None]
    if not found:
        raise UserError(f"none of {len(records)} records has a response to imitate.")
    return found


def encode(backbone: Backbone, texts: Sequence[tuple[Any, ...]]) -> Rows:
    """Token ids of (prompt, response[, image]) with an end token; what was cut at the limit did not end there."""
    rows = []
    for prompt, response, *image in texts:
        ids = backbone.encode_response(response)
        end = [backbone.end_ids[0]] if len(ids) < backbone.max_response_tokens - 1 else []
        rows.append((backbone.encode_prompt(prompt, *image), [*ids, *end]))
    return rows


def token_loss(role: Role, rows: Rows) -> Loss:
    """Returns the loss function to fit: mean negative log-likelihood over all response tokens of a batch."""

    def loss(chunk: list[int], batch: list[int]) -> tuple[Tensor, dict[str, float]]:
        tokens = sum(len(rows[i][1]) for i in batch)
        return negative_log_likelihood(role, [rows[i] for i in chunk]).sum() / tokens, {}

    return loss


def negative_log_likelihood(role: Role, rows: Rows) -> Tensor:
    """-log p of the response tokens, (B, T), 0 on padding."""
    backbone = role.backbone
    batch = backbone.batch([p for p, _ in rows], [r for _, r in rows])
    with role.active() as model:
        log_probs = speak(model, batch).log_probs
    return -log_probs * batch.response_mask


def losses_of(role: Role, rows: Rows) -> list[float]:
    """Returns the mean loss per response token of each row."""
    log_probs = log_probs_of(role, [p for p, _ in rows], [r for _, r in rows])
    return [-total / len(response) for total, (_, response) in zip(log_probs.sum(1).tolist(), rows, strict=True)]


def all_losses_of(role: Role, rows: Rows) -> list[float]:
    """Returns `losses_of` rows, of which each process of the run computes its part."""
    return group.map_over_processes(len(rows), lambda mine: losses_of(role, [rows[i] for i in mine]))


if __name__ == "__main__":
    run_command(main)
