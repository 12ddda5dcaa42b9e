"""Trains a role on examples: the loop that reward models and SFT share."""

import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from backbones import group
from backbones.model.tokens import like_lengths
from backbones.roles import Role
from backbones.sharding import in_step
from perlhf.errors import UserError
from perlhf.measure import progress_bar

if TYPE_CHECKING:
    from backbones.backbone import Backbone

WARMUP_STEPS = 20

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
) -> None:
    """Trains `role` on `len(lengths)` rows and logs every step as a line of JSON, when it is done.

    With several processes each takes its rows of the same batch, and the first one writes.

    Args:
        role: whose parameters are trained; it is active throughout.
        lengths: of the rows in tokens, to batch like with like.
        loss: see `Loss`.
        settings: epochs, batch sizes, learning rate.
        rng: of the order of the rows.
        log: the file to write.
        check: looks at the role on the way, without its dropout.

    Raises:
        UserError: the loss stopped being finite.
    """
    parameters = list(role.parameters().values())
    optimizer = torch.optim.AdamW(_groups(role, settings), lr=settings.learning_rate, weight_decay=0.0, eps=1e-5)
    steps = settings.steps(len(lengths))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / settings.warmup_steps) * (1 - step / steps)
    )
    batches = shuffled_batches(len(lengths), settings.epochs, settings.batch_size, rng)
    # What the frozen layers give is worth keeping where it is asked for again.
    frozen_states = role.backbone.frozen_states.kept(role.frozen_layers if settings.epochs > 1 else 0)
    bar = progress_bar(batches, total=steps, desc=role.name, leave=False)
    log = log if group.is_first() else Path(os.devnull)
    names: list[str] = []
    # Line by line, so that a run can be watched, and a stopped one has left what it came to.
    with role.active() as model, frozen_states, open(log, "w", encoding="utf-8", buffering=1) as file:
        model.train()  # adapters may have dropout
        for step, batch in enumerate(bar, start=1):
            figures = _accumulate(role.backbone, batch, lengths, loss, settings.micro_batch_size)
            # A process may have no row of a batch; what is logged it knows from the first one.
            names = names or max(group.gather(list(figures)), key=len)
            figures = group.add_up_gradients(parameters, {name: figures.get(name, 0.0) for name in names})
            norm = float(torch.nn.utils.clip_grad_norm_(parameters, 1.0))
            if not math.isfinite(norm):
                raise UserError(
                    f"the loss of {role.name} is not finite at step {step}; lower --learning-rate. "
                    f"It comes from {_blamed(batch, loss)}."
                )
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
            file.write(json.dumps({"step": step, **figures, "grad_norm": norm}) + "\n")
            bar.set_postfix({name: f"{figure:.3f}" for name, figure in figures.items()}, refresh=False)
            if check is not None and step % (steps // settings.epochs) == 0:
                model.eval()
                check(step)
                model.train()
        model.eval()


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
    backbone: "Backbone", batch: list[int], lengths: Sequence[int], loss: Loss, micro_batch_size: int
) -> dict[str, float]:
    """Adds up the gradient of this process's rows of a batch in micro-batches of like lengths."""
    mine = group.own_part(lengths, batch)
    total: dict[str, float] = {}
    for chunk in in_step(backbone, like_lengths([lengths[i] for i in mine], micro_batch_size), []):
        value, figures = loss([mine[k] for k in chunk] or batch[:1], batch)
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
