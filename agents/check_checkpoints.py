"""Verifies checkpoints: that every file is what was written, and every number finite.

    perlhf checkpoint verify runs/HH-v0-ppo-seed0

DIR is a checkpoint, a run folder, or a folder of runs. Prints a line for each checkpoint; exits with 1 where one of
them is unsound. Nothing is written or changed, so a run may be under way.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from backbones.checkpoints import CheckpointError, checkpoints_of, verify
from perlhf.errors import UserError, one_line, run_command
from perlhf.options import option, parse_options
from perlhf.sealed_folder import MANIFEST

_ACTION = "verify"


@dataclass
class Options:
    """Verifies the checkpoints of a run: hashes, and that every number is finite."""

    group: ClassVar[str] = "what to verify"
    folder: str = option("", "a checkpoint, a run folder, or a folder of runs", positional=True)
    newest: int | None = option(None, "how many checkpoints of each run, the newest ones; all by default", low=1)


def main() -> None:
    """Runs the command; leaves with 1 where a checkpoint is unsound."""
    action, *rest = sys.argv[1:] or ["--help"]
    if action not in (_ACTION, "-h", "--help"):
        raise UserError(f"unknown action {action!r}: perlhf checkpoint {_ACTION} DIR.")
    options = parse_options(Options, rest if action == _ACTION else [action], prog="python -m agents.check_checkpoints")
    if not options.folder:
        raise UserError(f"give a checkpoint or a run folder: perlhf checkpoint {_ACTION} DIR.")
    if not report(checkpoints_in(Path(options.folder), options.newest)):
        sys.exit(1)


def checkpoints_in(folder: Path, newest: int | None = None) -> list[Path]:
    """Returns the checkpoint that a folder is, or those of the run or the runs in it, newest first.

    Raises:
        CheckpointError: there is none.
    """
    if (folder / MANIFEST).exists() or folder.parent.name == "checkpoints":
        return [folder]
    runs = [folder.parent] if folder.name == "checkpoints" else [folder, *sorted(folder.iterdir())]
    found = [checkpoint for run in runs for checkpoint in checkpoints_of(run)[:newest]]
    if not found:
        raise CheckpointError(f"{folder} holds no checkpoint: expected one, a run folder, or a folder of runs.")
    return found


def report(checkpoints: Sequence[Path]) -> bool:
    """Prints a line for each checkpoint. Returns whether all are sound."""
    sound = 0
    for checkpoint in checkpoints:
        try:
            print(f"sound    {checkpoint}: {described(checkpoint)}")
            sound += 1
        except (UserError, OSError) as error:
            print(f"UNSOUND  {checkpoint}: {error}")
    print(f"{sound} of {len(checkpoints)} sound")
    return sound == len(checkpoints)


def described(checkpoint: Path) -> str:
    """Returns in words what a sound checkpoint holds.

    Raises:
        UserError: it is not sound: a file is not what was written, or a number is not finite.
    """
    verify(checkpoint)
    tensors = 0
    for file in sorted(checkpoint.rglob("*.safetensors")):
        tensors += check_tensors(file)
    files = [path for path in checkpoint.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files) / 2**20
    return f"{len(files)} files, {size:.1f} MiB, {tensors} tensors, all finite"


def check_tensors(file: Path) -> int:
    """Counts the tensors of a file.

    Raises:
        CheckpointError: it cannot be read, or one holds what is not finite.
    """
    try:
        tensors = load_file(file)
    except SafetensorError as error:
        raise CheckpointError(f"{file} cannot be read: {one_line(error)}.") from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            bad = int((~torch.isfinite(tensor)).sum())
            raise CheckpointError(f"{file}: {name} holds {bad} of {tensor.numel()} numbers that are not finite.")
    return len(tensors)


if __name__ == "__main__":
    run_command(main)
