"""Checkpoints of SFT and reward models: what `backbones.fit` goes on from after any optimizer step.

They hold what is trained, the optimizer's moments, torch's random state (dropout draws from it), the rate and the
micro-batch, and what whoever trains keeps beside it. Not the records and their order: these follow from the seed, are
made again, and a hash of them says so.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from backbones import group
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
from backbones.role_files import belongs_to, check_template
from backbones.roles import Role
from perlhf.measure import Stopwatch
from perlhf.run_folder import require_config


class Kept(Protocol):
    """Is kept by whoever trains, beside what is trained; names of its tensors begin with "kept."."""

    def get_state(self) -> Saved: ...

    def set_state(self, saved: Saved) -> None: ...


class FitCheckpoints:
    """Writes RUN/checkpoints/step-N while a role is fitted, and reads the newest one.

    Args:
        run: the run folder.
        every: optimizer steps between two.
        keep: how many, the newest ones, stay.
        resumes: whether there may be some to go on from.
        data: a hash of the records and their order.

    Attributes:
        kept: what is in them beside the role.
        cost: of what was learned before this process went on, {"seconds", "cpu_seconds"}.
    """

    def __init__(self, run: Path, every: int, keep: int, resumes: bool, data: str) -> None:
        self.run, self.every = run, every
        self._keep, self._resumes, self._data = keep, resumes, data
        self.kept: Kept | None = None
        self.cost = {"seconds": 0.0, "cpu_seconds": 0.0}
        self._clock = Stopwatch()

    def restore(self, role: Role, optimizer: torch.optim.Optimizer) -> Saved | None:
        """Puts the newest sound checkpoint back; returns what is in it, None where there is none.

        The random state is not put back yet: see `restore_random_state`.

        Raises:
            CheckpointError: none of them is sound, or they are of another base, other records or another role.
        """
        found: list[Saved] = []

        def put_back(saved: Saved) -> None:
            self._check_fit(role, saved)
            with torch.no_grad():
                for name, tensor in _tensors_of(role).items():
                    tensor.copy_(saved.tensors[name])
            restore_optimizer(optimizer, saved.tensors)
            if self.kept is not None:
                self.kept.set_state(Saved(_named(saved.tensors, "kept."), saved.state["kept"]))
            self.cost = saved.state["cost"]
            found.append(saved)

        if self._resumes:
            go_on_from_newest(self.run, put_back)
        return found[0] if found else None

    def _check_fit(self, role: Role, saved: Saved) -> None:
        if saved.state.get("role") != role.name:
            was = saved.state.get("role", "a policy that PPO trains")
            raise CheckpointError(f"the checkpoint is of {was}, and {role.name} is trained here.")
        made_on, backbone = saved.state["base_sha256"], role.backbone
        if made_on != backbone.hash:
            raise CheckpointError(
                f"the checkpoint was made on a base with sha256 {made_on[:12]}, but backbone {backbone.path} has "
                f"{backbone.hash[:12]}; pass the backbone it was made on."
            )
        check_template("the checkpoint", saved.state, backbone)
        if saved.state["data"] != self._data:
            raise CheckpointError("the records are not those of the checkpoint: the data have changed since.")
        wanted = {name: tensor.shape for name, tensor in _tensors_of(role).items()}
        there = {name: tensor.shape for name, tensor in saved.tensors.items() if name.startswith("role.")}
        if differ := sorted({*wanted.items()} ^ {*there.items()}):
            raise CheckpointError(f"the checkpoint is of other adapters: {differ[0][0]} differs.")

    def save(self, role: Role, optimizer: torch.optim.Optimizer, step: int, state: Mapping[str, Any]) -> None:
        """Saves where fitting stands after so many steps; all processes call this.

        Args:
            role: that is fitted.
            optimizer: of its parameters.
            step: how many steps it has seen.
            state: what else `fit` goes on from.

        Raises:
            OSError: the disk is full, or the run folder was deleted.
        """
        tensors = {name: tensor.detach().cpu().clone() for name, tensor in _tensors_of(role).items()}
        tensors |= optimizer_tensors(optimizer) | _random_state(role.backbone.device)
        kept = Saved({}, {}) if self.kept is None else self.kept.get_state()
        tensors |= {f"kept.{name}": tensor.detach().cpu().clone() for name, tensor in kept.tensors.items()}
        known = {"step": step, "role": role.name, "data": self._data, **belongs_to(role.backbone)}
        whole = Saved(tensors, as_json({**state, **known, "kept": kept.state, "cost": self.cost_so_far()}))
        folder = place_of(self.run, step)

        def write() -> None:
            write_checkpoint(folder, whole)
            keep_newest(folder, self._keep)
            require_config(self.run)

        group.from_first(write)

    def cost_so_far(self) -> dict[str, float]:
        """Returns what learning has cost, earlier parts included; all processes call this."""
        parts = group.gather((self._clock.seconds, self._clock.cpu_seconds))
        now = {"seconds": max(each for each, _ in parts), "cpu_seconds": sum(each for _, each in parts)}
        return {name: self.cost[name] + now[name] for name in now}


def restore_random_state(saved: Saved) -> None:
    """Puts torch's random state back: after all that a run draws again, before what it has not drawn yet."""
    torch.set_rng_state(saved.tensors["random.cpu"])
    if "random.cuda" in saved.tensors:
        torch.cuda.set_rng_state(saved.tensors["random.cuda"])


def _random_state(device: torch.device) -> dict[str, Tensor]:
    states = {"random.cpu": torch.get_rng_state()}
    has_its_own = device.type == "cuda" and torch.cuda.is_available()  # a pretend device draws on the CPU
    return states | ({"random.cuda": torch.cuda.get_rng_state()} if has_its_own else {})


def _tensors_of(role: Role) -> dict[str, Tensor]:
    """Returns what a role trains and what it counts from, by the names that they have in a checkpoint."""
    named: dict[str, Tensor] = {f"role.{name}": parameter for name, parameter in role.parameters().items()}
    return named | {f"role.start.{name}": tensor for name, tensor in role.constants().items()}


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
