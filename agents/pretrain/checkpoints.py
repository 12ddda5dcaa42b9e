"""Checkpoints of a pretraining: what it goes on from after any optimizer step.

They hold all weights, the optimizers' moments and the losses that the record is of. Not the documents: these follow
from the seed, are made again and passed over, and a hash of them says so.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from backbones.checkpoints import (
    CheckpointError,
    Saved,
    as_json,
    go_on_from_newest,
    keep_newest,
    optimizer_tensors,
    place_of,
    restore_optimizer,
    write_checkpoint,
)
from perlhf.measure import Stopwatch
from perlhf.run_folder import require_config


class Progress(NamedTuple):
    """Where a pretraining stands.

    Attributes:
        step: how many optimizer steps are done.
        losses: of the responses, of the last steps.
        read: the hash of all that was read.
    """

    step: int
    losses: list[float]
    read: str


class DocumentHash:
    """Hashes token ids, batch by batch."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, input_ids: Tensor) -> None:
        self._digest.update(repr(tuple(input_ids.shape)).encode() + input_ids.numpy().tobytes())

    def so_far(self) -> str:
        return self._digest.hexdigest()


class PretrainingCheckpoints:
    """Writes DIR/checkpoints/step-N while a backbone is pretrained, and reads the newest one.

    Args:
        folder: that the backbone will be in.
        every: optimizer steps between two.
        keep: how many, the newest ones, stay.
        resumes: whether there may be some to go on from.

    Attributes:
        every: as above.
        cost: of what was learned before this process went on, {"seconds", "cpu_seconds"}.
    """

    def __init__(self, folder: Path, every: int, keep: int, resumes: bool) -> None:
        self.folder, self.every = folder, every
        self._keep, self._resumes = keep, resumes
        self._clock = Stopwatch()
        self.cost = {"seconds": 0.0, "cpu_seconds": 0.0}

    def restore(self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer]) -> Progress:
        """Puts the newest sound checkpoint back; returns where that stands, at step 0 where there is none.

        Raises:
            CheckpointError: none of them is sound, or they are of another model.
        """
        found = [Progress(0, [], "")]

        def put_back(saved: Saved) -> None:
            parameters = dict(model.named_parameters())
            wanted = {(f"model.{name}", parameter.shape) for name, parameter in parameters.items()}
            there = {(name, tensor.shape) for name, tensor in saved.tensors.items() if name.startswith("model.")}
            if differ := sorted(wanted ^ there):
                raise CheckpointError(f"the checkpoint is of another model: {differ[0][0]} differs.")
            with torch.no_grad():
                for name, parameter in parameters.items():
                    parameter.copy_(saved.tensors[f"model.{name}"])
            for number, optimizer in enumerate(optimizers):
                own = f"{number}."
                restore_optimizer(optimizer, {n.removeprefix(own): t for n, t in saved.tensors.items() if own == n[:2]})
            self.cost = saved.state["cost"]
            found.append(Progress(*(saved.state[name] for name in Progress._fields)))

        if self._resumes:
            go_on_from_newest(self.folder, put_back)
        return found[-1]

    def save(self, model: nn.Module, optimizers: Sequence[torch.optim.Optimizer], progress: Progress) -> None:
        """Saves where a pretraining stands.

        Raises:
            OSError: the disk is full, or the folder was deleted.
        """
        tensors = {f"model.{name}": parameter.detach().clone() for name, parameter in model.named_parameters()}
        for number, optimizer in enumerate(optimizers):
            tensors |= {f"{number}.{name}": tensor for name, tensor in optimizer_tensors(optimizer).items()}
        folder = place_of(self.folder, progress.step)
        write_checkpoint(folder, Saved(tensors, as_json({**progress._asdict(), "cost": self.cost_so_far()})))
        keep_newest(folder, self._keep)
        require_config(self.folder)

    def cost_so_far(self) -> dict[str, float]:
        """Returns what pretraining has cost, earlier parts included."""
        now = {"seconds": self._clock.seconds, "cpu_seconds": self._clock.cpu_seconds}
        return {name: self.cost[name] + now[name] for name in now}
