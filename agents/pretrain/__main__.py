"""Makes a shipped backbone: tokenizer and weights from the miniature corpora alone, nothing downloaded.

    python -m agents.pretrain tiny --overwrite
    python -m agents.pretrain --resume backbones/tiny

Every document is a prompt and the response that a noisy annotator preferred, or a demonstration where the corpus has
some. So the result is already a supervised fine-tuned (SFT) policy of its tasks, half good on purpose: what is missing
is what RL is for.
The loss alone does not show whether it copies from the prompt, so the gold score of its samples is logged too.
config.yaml and `checkpoints/` are in the folder until it is done, and it goes on from them.
"""

import itertools
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from agents.pretrain.build import build_model, build_tokenizer
from agents.pretrain.checkpoints import DocumentHash, PretrainingCheckpoints, Progress
from agents.pretrain.muon import muon_and_adamw
from agents.pretrain.pictures import Scenes
from agents.pretrain.rates import trapezoid
from agents.pretrain.screens import Screens, states_of, tower_loss
from agents.pretrain.texts import CORPORA, EXERCISES_UNTIL, Corpus, Document, UIDemonstrations
from agents.resuming import config_of, resumable_options, saying_how_to_go_on
from agents.setup import RECIPES
from backbones.backbone import Backbone
from backbones.checkpoints import CheckpointError
from backbones.model.loading import use_threads
from perlhf import run_lock, stopping
from perlhf.errors import UserError, did_you_mean, run_command
from perlhf.measure import progress_bar
from perlhf.options import option, to_yaml
from perlhf.run_folder import write_json, write_text

PICTURES: dict[str, Scenes | Screens] = {  # what each shipped backbone that sees has seen
    "tiny-vqav2-told": Scenes(),
    "tiny-vqav2": Scenes(),
    "tiny-uinav-pixels": Screens(),
}
BACKBONES = (*CORPORA, *PICTURES)
RECORD = "pretraining.json"
_MAY_CHANGE = {"resume", "overwrite", "checkpoint_every", "keep_checkpoints", "threads"}
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass
class Options:
    """Pretrains a shipped backbone on its miniature corpora."""

    group: ClassVar[str] = "what to make"
    backbone: str = option("tiny", f"which of the shipped backbones: {', '.join(BACKBONES)}", positional=True)
    output_dir: str | None = option(None, "folder to write the model and tokenizer to; backbones/NAME by default")
    overwrite: bool = option(False, "write over the model that is there already")
    start: str | None = option(
        None,
        "backbone to go on from, or to give eyes to, with its tokenizer and its size; none begins with random weights",
    )
    vocab_size: int = option(2048, "tokens of a new tokenizer, at most; 256 are bytes and 2 are special", low=258)
    hidden_size: int = option(128, "width of a new model", low=8)
    layers: int = option(4, "decoder layers of a new model", low=1)
    steps: int = option(8000, "optimizer steps", low=1, group="how it learns")
    batch_size: int = option(16, "documents in a step", low=1, group="how it learns")
    learning_rate: float = option(
        3e-3, "AdamW's peak learning rate; warmed up over 100 steps, decayed to 0 over the last 40%", above=0,
        group="how it learns",
    )  # fmt: skip
    exercises_until: float = option(
        EXERCISES_UNTIL, "tiny-uinav: share of the documents after which none is an exercise; above 1 the last ones "
        "are left out", low=0.1, high=2, group="how it learns",
    )  # fmt: skip
    templates: int | None = option(
        None, "tiny-uinav: how many of the templates that people show are demonstrated; all by default", low=1,
        group="how it learns",
    )  # fmt: skip
    seed: int = option(0, "decides the weights and the documents", low=0, high=2**32 - 1, group="the run")
    threads: int = option(
        0, "CPU threads of torch; 0 takes 1 for a small backbone, else torch's default", low=0, group="the run"
    )
    resume: str | None = option(None, "a folder to go on in, from its last checkpoint", group="the run")
    checkpoint_every: int = option(500, "optimizer steps between checkpoints", low=1, group="the run")
    keep_checkpoints: int = option(2, "newest checkpoints that stay, until it is done", low=1, group="the run")


def main() -> None:
    """Runs the command."""
    pretrain(read_options(sys.argv[1:]))


@run_lock.released_after()
def pretrain(options: Options) -> None:
    """Runs the command."""
    folder = target(options)
    with saying_how_to_go_on(folder):
        if options.backbone in PICTURES:
            pretrain_on_pictures(options, folder)
        else:
            pretrain_on_texts(options, folder)
        shutil.rmtree(folder / "checkpoints")
        (folder / "config.yaml").unlink()


def read_options(arguments: Sequence[str]) -> Options:
    """Returns the options, over the recipe of the backbone; with `--resume` those of that pretraining.

    Raises:
        UserError: none of the shipped backbones; with `--resume`, a folder without a pretraining that is under way, or
            a change of what it is.
    """
    return resumable_options(Options, arguments, "python -m agents.pretrain", defaults_of, _MAY_CHANGE)


def defaults_of(options: Options) -> Path:
    """Returns the file of what was not given: the options of what goes on, or what a shipped backbone is made with.

    Raises:
        UserError: none of the shipped backbones, or a folder without a pretraining that is under way.
    """
    if options.resume is not None:
        folder = Path(options.resume)
        if (folder / RECORD).exists() and not (folder / "config.yaml").exists():
            raise UserError(f"{folder} is finished; --overwrite makes it anew.")
        return config_of(options.resume, "agents.pretrain")
    if options.backbone not in BACKBONES:
        raise UserError(f"no shipped backbone {options.backbone!r}.{did_you_mean(options.backbone, BACKBONES)}")
    return RECIPES / "pretrain" / f"{options.backbone}.yaml"


def pretrain_on_texts(options: Options, folder: Path) -> None:
    """Makes a backbone that reads."""
    corpus = CORPORA[options.backbone]
    if isinstance(corpus, UIDemonstrations):
        corpus = UIDemonstrations(options.exercises_until, options.templates)
    rng = np.random.default_rng([options.seed, 1])
    documents = corpus.documents(rng, options.steps * options.batch_size)
    tokenizer, model = start_of(options, corpus.typical(documents))
    parameters = sum(p.numel() for p in model.parameters())
    use_threads(options.threads, parameters)
    print(f"{parameters / 1e6:.2f}M parameters, {len(tokenizer)} tokens")
    data = batches(documents, tokenizer, corpus, options.batch_size, rng)
    optimizers = (muon_and_adamw if corpus.muon else adamw)(model, options.learning_rate)
    checkpoints = checkpoints_in(folder, options)
    loss = train(model, data, optimizers, options, checkpoints)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    write_record(options, checkpoints, loss, corpus.golds(Backbone(str(folder), model, tokenizer)))


def start_of(options: Options, typical: Iterator[Document]) -> tuple[PreTrainedTokenizerBase, PreTrainedModel]:
    """Returns the tokenizer and the model that pretraining begins with: those of a backbone, or new ones."""
    if options.start is not None:
        backbone = started(options.start)
        return backbone.tokenizer, backbone.model
    tokenizer = build_tokenizer((f"{p} {r}" for p, r in typical), options.vocab_size)
    return tokenizer, build_model(tokenizer, options.hidden_size, options.layers, seed=options.seed)


def pretrain_on_pictures(options: Options, folder: Path) -> None:
    """Makes a backbone that sees: lessons that get harder, or those for a model that goes on."""
    rng, shown = np.random.default_rng([options.seed, 1]), PICTURES[options.backbone]
    processor, model = shown.new(options, None if options.start is None else started(options.start))
    parameters = sum(p.numel() for p in model.parameters())
    use_threads(options.threads, parameters)
    print(f"{parameters / 1e6:.2f}M parameters, {len(processor.tokenizer)} tokens")
    lessons = shown.lessons(rng, options.steps * options.batch_size, options.start is not None)
    data = shown.batches(lessons, processor, model, options.batch_size)
    checkpoints = checkpoints_in(folder, options)
    loss = train(model, data, muon_and_adamw(model, options.learning_rate), options, checkpoints, shown.rate)
    backbone = Backbone(str(folder), model, processor.tokenizer, processor)
    model.save_pretrained(folder)
    backbone.save_processor(folder)
    write_record(options, checkpoints, loss, *shown.measures(backbone))


def started(name: str) -> Backbone:
    """Returns a backbone to go on from, all of whose weights are to learn."""
    backbone = Backbone.load(name, "cpu")
    backbone.release()  # whoever loads it later shall have it as it is now
    for of_the_folder in ("is_local", "local_files_only"):  # transformers notes them, and would write them down
        backbone.tokenizer.init_kwargs.pop(of_the_folder, None)
    backbone.model.config.name_or_path = ""  # likewise, where this config becomes a part of another
    backbone.model.requires_grad_(True)
    return backbone


def write_record(
    options: Options,
    checkpoints: PretrainingCheckpoints,
    loss: float,
    gold: Mapping[str, Mapping[str, float]],
    more: Mapping[str, Any] = _NOTHING,
) -> None:
    """Writes and prints what came of a pretraining: its last loss, and how good its responses are."""
    cost, folder = checkpoints.cost_so_far(), checkpoints.folder
    seconds, cpu_seconds = cost["seconds"], round(cost["cpu_seconds"])
    record = {"synthetic_data_only": True, "steps": options.steps, "loss": round(loss, 4), "gold": gold, **more}
    if options.start is not None:
        record["start"] = options.start
    write_json(folder / RECORD, {**record, "seed": options.seed, "cpu_seconds": cpu_seconds})
    rate = options.steps * options.batch_size / seconds
    print(f"loss {loss:.3f}, gold {gold}, {rate:.0f} documents/s, {seconds:.0f} s -> {folder}")


def target(options: Options) -> Path:
    """Returns the folder to write to, and takes its lock.

    Raises:
        UserError: it holds a model already, or what an unfinished pretraining has saved, and nobody said that it may be
            written over; or another process writes to it.
    """
    folder = Path(options.resume or options.output_dir or f"backbones/{options.backbone}")
    saved = folder / "checkpoints"
    if options.resume is None and not options.overwrite:
        if (folder / "config.json").exists():
            raise UserError(f"{folder} already holds a model; give another --output-dir, or --overwrite.")
        if saved.exists():
            raise UserError(f"{folder} holds an unfinished pretraining; go on with --resume {folder}, or --overwrite.")
    folder.mkdir(parents=True, exist_ok=True)
    run_lock.take(folder)
    if options.resume is None and saved.exists():
        shutil.rmtree(saved)
    write_text(folder / "config.yaml", to_yaml(replace(options, resume=None)))
    return folder


def checkpoints_in(folder: Path, options: Options) -> PretrainingCheckpoints:
    """Returns the store of a pretraining."""
    resumes = options.resume is not None
    return PretrainingCheckpoints(folder, options.checkpoint_every, options.keep_checkpoints, resumes)


def adamw(model: PreTrainedModel, learning_rate: float) -> list[torch.optim.Optimizer]:
    """AdamW, with weight decay on matrices."""
    matrices = [p for p in model.parameters() if p.ndim == 2]
    rest = [p for p in model.parameters() if p.ndim != 2]
    groups = [{"params": matrices, "weight_decay": 0.01}, {"params": rest, "weight_decay": 0.0}]
    return [torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)]


def train(
    model: PreTrainedModel,
    data: Iterator[tuple[Any, ...]],
    optimizers: list[torch.optim.Optimizer],
    options: Options,
    checkpoints: PretrainingCheckpoints,
    rate: Callable[[int, int], float] = trapezoid,
) -> float:
    """Runs all steps; returns the mean response loss (nats per token) over the last tenth of them.

    Raises:
        CheckpointError: what was read before the checkpoint is not what it was made on.
        Stopped: by a signal; where it goes on is saved.
    """
    done = checkpoints.restore(model, optimizers)
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    peaks = [float(group["lr"]) for group in groups]
    losses, read, last = list(done.losses), DocumentHash(), max(1, options.steps // 10)
    model.train()
    bar = progress_bar(itertools.islice(data, options.steps), total=options.steps, desc="pretraining", unit=" steps")
    with stopping.saved_first():
        for step, batch in enumerate(bar, start=1):
            read.add(batch[0])
            if step == done.step and read.so_far() != done.read:
                raise CheckpointError("the documents are not those of the checkpoint: what makes them has changed.")
            if step > done.step:
                for group, peak in zip(groups, peaks, strict=True):
                    group["lr"] = peak * rate(step - 1, options.steps)
                losses.append(learn(model, batch, optimizers))
                bar.set_postfix({"loss": f"{np.mean(losses[-100:]):.3f}"}, refresh=False)
                if stopping.asked() or step % checkpoints.every == 0 or step == options.steps:
                    checkpoints.save(model, optimizers, Progress(step, losses[-last:], read.so_far()))
            if number := stopping.asked():
                stopping.stop(number)
    model.eval()
    return float(np.mean(losses[-last:]))


def learn(model: PreTrainedModel, batch: tuple[Any, ...], optimizers: Sequence[torch.optim.Optimizer]) -> float:
    """Makes one step; returns the loss of the responses."""
    loss, response_loss = weighted_loss(model, *batch)
    model.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
    return response_loss


def weighted_loss(
    model: PreTrainedModel, input_ids: Tensor, weights: Tensor, more: Mapping[str, Any] = _NOTHING
) -> tuple[Tensor, float]:
    """Cross-entropy weighted by token, and the plain mean over response tokens (those of weight 1).

    `more` is what the model takes besides ids: pixels, masks; or what there is to read on pictures, and which picture
    a text shows, see `ScreenBatches`.
    """
    if "words" in more:
        return tower_loss(model, more)
    if "shown" in more:
        states = states_of(model, input_ids, more)
    else:
        states = model.base_model(input_ids=input_ids, use_cache=False, **more).last_hidden_state
    hidden, weights, targets = states[:, :-1], weights[:, 1:], input_ids[:, 1:]
    counted = weights > 0
    losses = F.cross_entropy(model.get_output_embeddings()(hidden[counted]), targets[counted], reduction="none")
    weights = weights[counted]
    loss = (losses * weights).sum() / weights.sum()
    return loss, float(losses.detach()[weights == 1].mean())


def batches(
    documents: Iterator[Document],
    tokenizer: PreTrainedTokenizerBase,
    corpus: Corpus,
    batch_size: int,
    rng: np.random.Generator,
) -> Iterator[tuple[Tensor, Tensor]]:
    """(input_ids, weights), each (B, L), right-padded with weight 0; like lengths together."""
    while True:
        rows = [encode(tokenizer, *document) for document in itertools.islice(documents, 16 * batch_size)]
        rows.sort(key=lambda row: len(row[0]) + len(row[1]))
        for i in rng.permutation(16):
            input_ids, weights = collate(
                rows[i * batch_size : (i + 1) * batch_size], tokenizer.pad_token_id, corpus.prompt_weight
            )
            yield input_ids, weights if corpus.prompt_share == 1 else thinned(weights, corpus.prompt_share, rng)


def thinned(weights: Tensor, share: float, rng: np.random.Generator) -> Tensor:
    """Weights of a share of the prompt tokens alone, drawn, and as much larger; those of responses stay."""
    kept = torch.from_numpy(rng.random(weights.shape) < share)
    return torch.where(weights == 1, weights, weights / share * kept)


def encode(tokenizer: PreTrainedTokenizerBase, prompt: str, response: str) -> tuple[list[int], list[int]]:
    """Token ids of the prompt, and of the response with its end token."""
    return tokenizer(prompt)["input_ids"], [*tokenizer(" " + response)["input_ids"], tokenizer.eos_token_id]


def collate(rows: list[tuple[list[int], list[int]]], pad_id: int, prompt_weight: float) -> tuple[Tensor, Tensor]:
    """Token ids and loss weights of documents, each (B, L)."""
    length = max(len(prompt) + len(response) for prompt, response in rows)
    input_ids = torch.full((len(rows), length), pad_id)
    weights = torch.zeros(len(rows), length)
    for i, (prompt, response) in enumerate(rows):
        start, end = len(prompt), len(prompt) + len(response)
        input_ids[i, :end] = torch.tensor(prompt + response)
        weights[i, :start], weights[i, start:end] = prompt_weight, 1.0
    return input_ids, weights


if __name__ == "__main__":
    run_command(main)
