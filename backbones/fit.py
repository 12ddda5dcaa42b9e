"""Trains a role on examples: the loop that reward models and SFT share."""

import math
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from backbones import group
from backbones.fit_checkpoints import FitCheckpoints, restore_random_state
from backbones.model.tokens import like_lengths
from backbones.roles import Role
from backbones.sharding import in_step
from perlhf import reproducible, stopping
from perlhf.errors import UserError
from perlhf.measure import progress_bar
from perlhf.metrics_log import MetricsLog, drop_metrics_after

if TYPE_CHECKING:
    from backbones.backbone import Backbone

WARMUP_STEPS = 20
_STOP = "stop"  # among the figures that processes add up

# Called after each pass with the number of optimizer steps that are done.
Check = Callable[[int], None]

# Of the rows of a micro-batch and of its whole batch: a loss whose sum over micro-batches is the batch's loss,
# and figures to log that add up in the same way.
Loss = Callable[[list[int], list[int]], tuple[Tensor, dict[str, float]]]


class FitSettings(NamedTuple):
    """Says how long and how fast to train."""

    epochs: int
    batch_size: int
    learning_rate: float  # peak of AdamW; warmed up, then linear to 0
    micro_batch_size: int = 16
    warmup_steps: int = WARMUP_STEPS
    head_learning_rate: float | None = None  # peak of the head's; None for the same

    def steps(self, rows: int) -> int:
        """Counts the optimizer steps on so many rows."""
        return self.epochs * math.ceil(rows / self.batch_size)

    def warmed_up(self, share: float | None, rows: int, shipped: bool) -> "FitSettings":
        """Returns the settings with so many steps of warm-up.

        Args:
            share: of all steps; by default a tenth, and 20 at most.
            rows: to train on.
            shipped: whether the backbone is one that is shipped, for which the default is 20, however few steps follow.
        """
        steps = self.steps(rows)
        if share is not None:
            return self._replace(warmup_steps=max(1, round(share * steps)))
        return self if shipped else self._replace(warmup_steps=max(1, min(WARMUP_STEPS, round(steps / 10))))


def fit(
    role: Role,
    lengths: Sequence[int],
    loss: Loss,
    settings: FitSettings,
    rng: np.random.Generator,
    log: Path,
    check: Check | None = None,
    checkpoints: FitCheckpoints | None = None,
) -> None:
    """Trains `role` on `len(lengths)` rows and logs every step as a line of JSON, when it is done.

    With several processes each takes its rows of the same batch, and the first one writes.

    Args:
        role: whose parameters are trained; it is active throughout.
        lengths: of the rows in tokens, to batch like with like.
        loss: see `Loss`.
        settings: epochs, batch sizes, learning rate.
        rng: of the order of the rows, and of dropout.
        log: the file to write.
        check: looks at the role on the way, without its dropout.
        checkpoints: where it is saved on the way, and goes on; a signal then stops it after an optimizer step.

    Raises:
        UserError: the loss stopped being finite.
        Stopped: by a signal; where it goes on is saved.
    """
    parameters = list(role.parameters().values())
    groups, fused = _groups(role, settings), reproducible.fused()
    optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=0.0, eps=1e-5, fused=fused)
    peaks = [float(group_of["lr"]) for group_of in optimizer.param_groups]
    saved = None if checkpoints is None else checkpoints.restore(role, optimizer)
    done = 0
    if saved is not None:  # the last bit of a gradient depends on the micro-batch
        done, peaks = saved.state["step"], saved.state["peaks"]
        settings = settings._replace(micro_batch_size=saved.state["micro_batch_size"])
    steps, per_epoch = settings.steps(len(lengths)), settings.steps(len(lengths)) // settings.epochs
    batches = shuffled_batches(len(lengths), settings.epochs, settings.batch_size, rng)
    # What the frozen layers give is worth keeping where it is asked for again.
    depth = role.frozen_layers if settings.epochs > 1 else 0
    bar = progress_bar(batches, total=steps, desc=role.name, leave=False)
    names: list[str] = []
    dropped_by = int(rng.spawn(1)[0].integers(2**63))  # which takes no draw from the order of the rows
    # Line by line, so that a run can be watched, and a stopped one has left what it came to.
    with (
        nullcontext() if checkpoints is None else stopping.saved_first(),
        _dropout_from(dropped_by, role.backbone.device),
        role.active() as model,
        role.backbone.frozen_states.kept(depth),
        closing(_log(log, done)) as rows,
    ):
        model.train()  # adapters may have dropout
        for step, batch in enumerate(bar, start=1):
            if step <= done:
                if depth and step <= per_epoch:  # what was kept is computed as it was, in the same company
                    _accumulate(role.backbone, batch, lengths, loss, settings.micro_batch_size, learns=False)
                if saved is not None and step == done:
                    restore_random_state(saved)
                continue
            for group_of, peak in zip(optimizer.param_groups, peaks, strict=True):
                group_of["lr"] = peak * (min(1.0, step / settings.warmup_steps) * (1 - (step - 1) / steps))
            figures = _accumulate(role.backbone, batch, lengths, loss, settings.micro_batch_size)
            # A process may have no row of a batch; what is logged it knows from the first one.
            names = names or max(group.gather(list(figures)), key=len)
            figures = {name: figures.get(name, 0.0) for name in names}
            # Who is asked to stop says so in a message that there is anyway.
            figures = group.add_up_gradients(parameters, {**figures, _STOP: stopping.asked()})
            stops = figures.pop(_STOP)
            norm = float(torch.nn.utils.clip_grad_norm_(parameters, 1.0))
            if not math.isfinite(norm):
                raise UserError(
                    f"the loss of {role.name} is not finite at step {step}; lower --learning-rate. "
                    f"It comes from {_blamed(batch, loss)}."
                )
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            rows.write({"step": step, **figures, "grad_norm": norm})
            bar.set_postfix({name: f"{figure:.3f}" for name, figure in figures.items()}, refresh=False)
            if check is not None and step % per_epoch == 0:
                model.eval()
                check(step)
                model.train()
            if checkpoints is not None and (stops or step % checkpoints.every == 0 or step == steps):
                state = {"peaks": peaks, "micro_batch_size": settings.micro_batch_size}
                checkpoints.save(role, optimizer, step, state)
                if stops:
                    stopping.stop(stopping.asked() or signal.SIGTERM)
        model.eval()
        if number := max(group.gather(stopping.asked())):  # in the last step, which is saved
            stopping.stop(number)


@contextmanager
def _dropout_from(seed: int, device: torch.device) -> Iterator[None]:
    """Seeds torch's own generators, from which dropout draws, inside; after that they are as they were."""
    of_gpus = [device] if device.type == "cuda" and torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=of_gpus):
        torch.default_generator.manual_seed(seed)
        for gpu in of_gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(seed)
        yield


def _log(path: Path, done: int) -> MetricsLog:
    """Opens the log behind its first `done` rows; of all processes but the first one that keeps nothing."""
    if not group.is_first():
        return MetricsLog(Path(os.devnull))
    if done:
        drop_metrics_after(path.parent, done)
    else:
        path.unlink(missing_ok=True)
    return MetricsLog(path)


@torch.no_grad()
def _blamed(batch: list[int], loss: Loss) -> str:
    """Says which rows of a batch have a loss that is no number."""
    wrong = [row for row in sorted(batch) if not math.isfinite(loss([row], batch)[0].item())]
    return f"row {', '.join(map(str, wrong[:5]))} of the data" if wrong else f"the gradient of rows {sorted(batch)[:5]}"


def _groups(role: Role, settings: FitSettings) -> list[dict[str, Any]]:
    """Returns the parameters as AdamW takes them, the head's with a rate of its own where there is one."""
    named = role.parameters()
    if settings.head_learning_rate is None:
        return [{"params": list(named.values())}]
    head = named.pop("score.weight")
    return [{"params": [head], "lr": settings.head_learning_rate}, {"params": list(named.values())}]


def _accumulate(
    backbone: "Backbone",
    batch: list[int],
    lengths: Sequence[int],
    loss: Loss,
    micro_batch_size: int,
    learns: bool = True,
) -> dict[str, float]:
    """Adds up the gradient of this process's rows of a batch in micro-batches of like lengths.

    Where it does not learn, the forwards alone run.
    """
    mine = group.own_part(lengths, batch)
    total: dict[str, float] = {}
    for chunk in in_step(backbone, like_lengths([lengths[i] for i in mine], micro_batch_size), []):
        value, figures = loss([mine[k] for k in chunk] or batch[:1], batch)
        if not learns:
            continue
        if not chunk:  # for the sake of the others, and nothing is learned from it
            (0.0 * value).backward()
            continue
        value.backward()
        for name, figure in {"loss": value.item(), **figures}.items():
            total[name] = total.get(name, 0.0) + figure
    return total


def shuffled_batches(count: int, epochs: int, size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Yields the row numbers of each step; every row once an epoch."""
    for _ in range(epochs):
        order = rng.permutation(count).tolist()
        yield from (order[i : i + size] for i in range(0, count, size))
