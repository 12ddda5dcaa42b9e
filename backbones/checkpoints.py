"""The store of checkpoints: RUN/checkpoints/step-N, each a sealed folder of tensors and JSON.

`perlhf.sealed_folder` says how one is whole or not there at all, and how damage is noticed. What decides how a run goes
on is in state.safetensors and state.json; other files beside them are for other tools. What these hold is for those to
say who write them: `agents.checkpoint` for PPO, `backbones.fit_checkpoints` for SFT and reward models.
"""

import errno
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from backbones import group
from perlhf import sealed_folder
from perlhf.errors import UserError
from perlhf.run_folder import naming_the_file, write_json
from perlhf.sealed_folder import SealError

FORMAT = 3
_WHAT = "checkpoint"  # as messages call it
_TENSORS, _STATE = "state.safetensors", "state.json"


class CheckpointError(UserError):
    """A checkpoint that cannot be made, or that does not fit what it shall go on with."""


class Saved(NamedTuple):
    """Holds what is in a checkpoint: tensors by name, and the rest as JSON."""

    tensors: dict[str, Tensor]
    state: dict[str, Any]


# One checkpoint.


def write_checkpoint(folder: Path, saved: Saved, more: Callable[[Path], None] = lambda part: None) -> None:
    """Writes a checkpoint, in place of one that is already there.

    Args:
        folder: where it shall be.
        saved: what is in it.
        more: writes further files to the folder that it is given.

    Raises:
        SealError: `folder` is there and no checkpoint.
        OSError: of the disk; what was there is there still.
    """
    with naming_the_file(folder), sealed_folder.sealed(folder, FORMAT, _WHAT) as part:
        save_file(saved.tensors, part / _TENSORS)
        write_json(part / _STATE, saved.state)
        more(part)


def read_checkpoint(folder: Path) -> Saved:
    """Returns what is in a checkpoint, after verifying all its files.

    Raises:
        SealError: no checkpoint there, another format, or a file that is missing or altered; it is named.
    """
    sealed_folder.put_back(folder)
    verify(folder)
    return Saved(load_file(folder / _TENSORS), json.loads((folder / _STATE).read_text(encoding="utf-8")))


def verify(folder: Path) -> None:
    """Checks every file of a checkpoint; raises as `read_checkpoint`."""
    sealed_folder.verify(folder, FORMAT, _WHAT, (_TENSORS, _STATE))


def is_sound(folder: Path) -> bool:
    """Returns whether a checkpoint verifies."""
    try:
        verify(folder)
    except SealError:
        return False
    return True


def as_json(state: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a copy in plain JSON, of what numpy leaves in states and statistics and of paths too."""
    return json.loads(json.dumps(state, default=_plain))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Returns copies of an optimizer's moments and counts by "optimizer.INDEX.NAME", on the CPU."""
    state = optimizer.state_dict()["state"]
    named = {f"optimizer.{i}.{key}": value for i, slots in state.items() for key, value in slots.items()}
    return {name: value.detach().cpu().clone() for name, value in named.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts back what `optimizer_tensors` gave; there may be other tensors among them."""
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            slots.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": slots, "param_groups": optimizer.state_dict()["param_groups"]})


# Those of a run.


def place_of(run: Path, step: int) -> Path:
    """Returns where the checkpoint of a step is."""
    return run / "checkpoints" / f"step-{step}"


def checkpoints_of(run: Path) -> list[Path]:
    """Returns the checkpoints of a run folder, newest first; folders still being written are no checkpoints."""
    found = [p for p in (run / "checkpoints").glob("step-*") if p.is_dir() and re.fullmatch(r"step-\d+", p.name)]
    return sorted(found, key=step_of, reverse=True)


def step_of(folder: Path) -> int:
    """Returns the step of a checkpoint by its name."""
    return int(folder.name.removeprefix("step-"))


def newest_sound_checkpoint(run: Path) -> tuple[Path | None, list[str]]:
    """Returns the newest checkpoint that verifies (None if there is none), and what was wrong with newer ones."""
    problems: list[str] = []
    for folder in checkpoints_of(run):
        try:
            verify(folder)
            return folder, problems
        except SealError as error:
            problems.append(str(error))
    return None, problems


def go_on_from_newest(run: Path, put_back: Callable[[Saved], None]) -> Path | None:
    """Puts the newest sound checkpoint of a run back, with a warning for each newer one, which is set aside.

    Args:
        run: the run folder.
        put_back: is called with what is in it, on all processes; where it raises, nothing is set aside.

    Returns:
        Where the checkpoint is; None where there is none yet, and the run begins anew.

    Raises:
        CheckpointError: there are some, and none of them is sound.
    """
    folder, problems, saved = group.from_first(lambda: _read_newest(run))
    for problem in problems:
        print(f"warning: {problem}", file=sys.stderr)
    if folder is not None and saved is not None:
        put_back(saved)
        group.from_first(lambda: set_aside_damaged(run, folder))
    return folder


def _read_newest(run: Path) -> tuple[Path | None, list[str], Saved | None]:
    """Reads the newest sound checkpoint; returns where it is, what was wrong with newer ones, and what is in it."""
    sealed_folder.put_all_back(run / "checkpoints")  # whoever was killed while one took the place of another
    folder, problems = newest_sound_checkpoint(run)
    if folder is None and problems:
        raise CheckpointError(f"{run} has no checkpoint to go on from: {problems[0]}")
    return folder, problems, None if folder is None else read_checkpoint(folder)


def set_aside_damaged(run: Path, sound: Path) -> None:
    """Renames step-N to bad-step-N where it is newer than `sound`, the newest sound checkpoint of the run."""
    for folder in checkpoints_of(run):
        if step_of(folder) > step_of(sound):
            aside = folder.with_name(f"bad-{folder.name}")
            shutil.rmtree(aside, ignore_errors=True)
            os.rename(folder, aside)


def keep_newest(saved: Path, count: int) -> None:
    """Deletes the checkpoints that are older than the newest `count` sound ones, `saved` being the first of these.

    Raises:
        OSError: `saved`, which was written a moment ago, is not sound: no mistake of the user's. Nothing is deleted.
    """
    if not is_sound(saved):
        raise OSError(errno.ENOENT, "deleted or altered while the run was under way", str(saved))
    kept = 1
    for folder in checkpoints_of(saved.parent.parent):
        if step_of(folder) < step_of(saved):
            if kept == count:
                shutil.rmtree(folder)
            elif is_sound(folder):
                kept += 1
