"""Writes what a run trained in a form that other tools open: a whole model of transformers, or a GGUF file.

    perlhf export runs/ppo --merge --output-dir exported         # AutoModelForCausalLM.from_pretrained("exported")
    perlhf export runs/ppo --gguf --output-dir exported          # llama.cpp and what is built on it
    perlhf export runs/rm --merge --output-dir exported          # pipeline("text-classification", "exported")

RUN is the folder of a run of train-ppo, train-sft or train-reward-model. The folder that is written is whole or not
there at all, with the sha256 of each file in its manifest.json.
"""

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from transformers.utils import logging as transformers_logging

from backbones.backbone import Backbone
from backbones.gguf_file import check_gguf, reader_arguments, write_gguf
from backbones.launch import run_command
from backbones.model.loading import QUANTIZED, LoadSettings, use_threads
from backbones.plain_model import Numbers, merged, merged_classifier, save_classifier, save_language_model
from backbones.pooled import Reading
from backbones.role_files import PROVENANCE, read_provenance
from backbones.roles import Role
from evaluation.finished_run import load_policy, ppo_config, setup_of_run
from evaluation.model_card import CARD, GGUF_FILE, Form, Kind, not_in_classifier, write_card
from perlhf.errors import UserError
from perlhf.options import option, parse_options
from perlhf.run_folder import read_run_config
from perlhf.sealed_folder import MANIFEST, sealed
from rewards.reward_model import RewardModel

FORMAT = 1
_WHAT = "export of perlhf"  # as messages call the folder that is written


@dataclass
class Options:
    """Writes what a run trained as a model that transformers opens without perlhf and peft, or as one GGUF file."""

    group: ClassVar[str] = "what to export"
    run: str = option("", "the run folder of train-ppo, train-sft or train-reward-model", positional=True)
    backbone: str | None = option(None, "the backbone, where the run's own path no longer leads to it")
    merge: bool = option(False, "write a model of transformers with the adapter in its weights", group="as what")
    gguf: bool = option(False, "write a GGUF file, for llama.cpp and what is built on it", group="as what")
    dtype: Literal["fp32", "bf16"] = option(
        "fp32", "numbers of the weights; bf16 halves the files and rounds", group="as what"
    )
    output_dir: str | None = option(None, "where to write", group="the run")
    overwrite: bool = option(False, "write over an earlier export", group="the run")
    threads: int = option(0, "CPU threads of torch; 0 takes 1 for a small backbone", low=0, group="the run")


class Trained(NamedTuple):
    """Holds what a run trained: its kind, and its role; that of SFT is the bare model of its own backbone."""

    kind: Kind
    role: Role
    reading: Reading | None = None


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.export")
    if not options.run:
        raise UserError("give the run folder: export DIR, or --run DIR.")
    if options.merge == options.gguf:
        raise UserError("give one of --merge (a model of transformers) and --gguf (a GGUF file).")
    if options.output_dir is None:
        raise UserError("give the folder to write: --output-dir DIR.")
    transformers_logging.disable_progress_bar()
    output = Path(options.output_dir)
    check_output(output, options.overwrite)
    trained = find_trained(Path(options.run), options.backbone)
    use_threads(options.threads, trained.role.backbone.parameter_count)
    write = writer_of(trained, options)
    if output.is_dir() and not any(output.iterdir()):
        output.rmdir()
    with sealed(output, FORMAT, _WHAT) as part:
        write(part)
        form: Form = "gguf" if options.gguf else "model"
        write_card(part, Path(options.run), trained.kind, trained.role.backbone, form)
    if options.gguf:
        told = "".join(f", {k}={v}" for k, v in reader_arguments(trained.role.backbone.model.config).items())
        print(f'transformers reads it by AutoModelForCausalLM.from_pretrained(DIR, gguf_file="{GGUF_FILE}"{told})')
    print(f"-> {output}")


def check_output(folder: Path, overwrite: bool) -> None:
    """Refuses a place where something is that is not to be written over.

    Raises:
        UserError: a file, or a folder that holds files; with `overwrite` one that no export wrote.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; give a folder as --output-dir.")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise UserError(f"{folder} already holds files; give another --output-dir, or --overwrite.")
    if CARD not in _sealed_files(folder):
        raise UserError(f"{folder} exists and is no {_WHAT}; give another --output-dir.")


def _sealed_files(folder: Path) -> Collection[str]:
    """Returns the names of the files in a folder's manifest; none where there is no such manifest."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    return found if isinstance(found, dict) else ()


def find_trained(run: Path, backbone: str | None) -> Trained:
    """Opens what the run in a folder trained.

    Raises:
        UserError: no such run, an unfinished one, or one whose files or backbone are damaged or gone; a backbone for a
            run of train-sft, which wrote its own.
    """
    if (run / PROVENANCE).is_file():
        if read_provenance(run).get("role") != "reward":
            raise UserError(f"{run} is a part of a run; give the run folder, {run.parent}.")
        model = RewardModel.load(run, None if backbone is None else Backbone.load(backbone, "cpu"))
        return Trained("reward", model.role, model.reading)
    config = read_run_config(run)
    if "records" in config:
        if backbone is not None:
            raise UserError(f"{run} is a run of train-sft, which wrote a whole backbone: leave --backbone out.")
        return Trained("sft", fine_tuned(run).reference)
    if "policy_pairs" in config:
        raise UserError(f"{run} has no reward model; its training was not finished.")
    config = ppo_config(run)
    if config.get("precision") in QUANTIZED:
        print(f"the run held its backbone in {config['precision']}; here the adapter goes into the weights of the "
              "files, so that answers may differ")  # fmt: skip
        config = {**config, "precision": "fp32"}
    setup = setup_of_run({**config, "shard_base": False}, backbone=backbone, device="cpu")
    return Trained("policy", load_policy(run, setup))


def fine_tuned(run: Path) -> Backbone:
    """Opens the backbone that a run of train-sft wrote."""
    if not (run / "backbone" / "config.json").is_file():
        raise UserError(f"{run} has no fine-tuned backbone; its training was not finished.")
    return Backbone.load(run / "backbone", "cpu", LoadSettings())


def writer_of(trained: Trained, options: Options) -> Callable[[Path], None]:
    """Returns what writes the files to a folder; refuses first what cannot be written.

    Raises:
        UserError: a reward model as GGUF, or one whose head no classifier reads alike; an architecture or a tokenizer
            that is not written as GGUF, or no package for it.
    """
    run, backbone = Path(options.run), trained.role.backbone
    if trained.kind == "reward":
        if options.gguf:
            raise UserError("--gguf is for language models; export a reward model with --merge.")
        gaps = not_in_classifier(read_provenance(Path(options.run)))
        if trained.reading != Reading():
            raise UserError(f"{options.run} cannot be a sequence classifier: {gaps[0]}. Use it through perlhf.")
        return partial(write_reward, trained.role, options.dtype, gaps)
    if options.gguf:
        check_gguf(backbone)
    return partial(write_language_model, trained.role, options, run.resolve().name)


def write_language_model(role: Role, options: Options, name: str, folder: Path) -> None:
    """Writes a policy, or a backbone after SFT."""
    backbone = role.backbone
    if options.gguf:
        write_gguf(merged(role), backbone, folder / GGUF_FILE, options.dtype, name)
        backbone.save_processor(folder)  # for whoever reads the file with transformers; llama.cpp needs none of it
    else:
        save_language_model(merged(role), backbone, folder, options.dtype)


def write_reward(role: Role, numbers: Numbers, gaps: Sequence[str], folder: Path) -> None:
    """Writes a reward model as a sequence classifier; says what is not in it."""
    takes_batches = save_classifier(merged_classifier(role), role.backbone, folder, numbers)
    if gaps:
        print(f"note: what the classifier gives is not the whole score: {'; '.join(gaps)}")
    if not takes_batches:
        print("note: the model has no token for padding but its end token, so it takes one text at a time")


if __name__ == "__main__":
    run_command(main)
