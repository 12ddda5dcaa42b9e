"""Trains a role on examples: the loop that reward models and SFT share."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from backbones.model.tokens import like_lengths
from backbones.roles import Role
from perlhf.errors import UserError
from perlhf.measure import progress_bar

# Of the rows of a micro-batch and of its whole batch: a loss whose sum over micro-batches is the batch's loss,
# and figures to log that add up in the same way.
Loss = Callable[[list[int], list[int]], tuple[Tensor, dict[str, float]]]


class FitSettings(NamedTuple):
    """Says how long and how fast to train."""

    epochs: int
    batch_size: int
    learning_rate: float  # peak of AdamW; warmed up over 20 steps, then linear to 0
    micro_batch_size: int = 16
    warmup_steps: int = 20


def fit(
    role: Role, lengths: Sequence[int], loss: Loss, settings: FitSettings, rng: np.random.Generator, log: Path
) -> None:
    """Trains `role` on `len(lengths)` rows and logs every step as a line of JSON.

    Args:
        role: whose parameters are trained; it is active throughout.
        lengths: of the rows in tokens, to batch like with like.
        loss: see `Loss`.
        settings: epochs, batch sizes, learning rate.
        rng: of the order of the rows.
        log: the file to write.

    Raises:
        UserError: the loss stopped being finite.
    """
    parameters = list(role.parameters().values())
    optimizer = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=0.0, eps=1e-5)
    steps = settings.epochs * math.ceil(len(lengths) / settings.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / settings.warmup_steps) * (1 - step / steps)
    )
    batches = shuffled_batches(len(lengths), settings.epochs, settings.batch_size, rng)
    # What the frozen layers give is worth keeping where it is asked for again.
    frozen_states = role.backbone.frozen_states.kept(role.frozen_layers if settings.epochs > 1 else 0)
    with role.active() as model, frozen_states, open(log, "w", encoding="utf-8") as file:
        model.train()  # adapters may have dropout
        for step, batch in enumerate(progress_bar(batches, total=steps, desc=role.name, leave=False), start=1):
            figures = _accumulate(batch, lengths, loss, settings.micro_batch_size)
            norm = float(torch.nn.utils.clip_grad_norm_(parameters, 1.0))
            if not math.isfinite(norm):
                raise UserError(f"the loss of {role.name} is not finite at step {step}; lower --learning-rate.")
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            schedule.step()
            file.write(json.dumps({"step": step, **figures, "grad_norm": norm}) + "\n")
        model.eval()


def _accumulate(batch: list[int], lengths: Sequence[int], loss: Loss, micro_batch_size: int) -> dict[str, float]:
    """Adds up the gradient of a batch in micro-batches of like lengths."""
    total: dict[str, float] = {}
    for chunk in like_lengths([lengths[i] for i in batch], micro_batch_size):
        value, figures = loss([batch[k] for k in chunk], batch)
        value.backward()
        for name, figure in {"loss": value.item(), **figures}.items():
            total[name] = total.get(name, 0.0) + figure
    return total


def shuffled_batches(count: int, epochs: int, size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Yields the row numbers of each step; every row once an epoch."""
    for _ in range(epochs):
        order = rng.permutation(count).tolist()
        yield from (order[i : i + size] for i in range(0, count, size))
