"""Muon: momentum whose matrices are made orthogonal (Keller Jordan, kellerjordan.github.io/posts/muon, 2024).

As torch.optim.Muon, in float32 and for all matrices of a shape at once: on a CPU, where torch's works in bfloat16 and
one matrix at a time, a step of a small model takes a tenth of the time.
"""

import math
from collections.abc import Iterable
from itertools import groupby

import torch
from torch import Tensor
from transformers import PreTrainedModel

_COEFFICIENTS = (3.4445, -4.775, 2.0315)  # Muon's own (K. Jordan, 2024): steep at 0, so that few iterations do
_ITERATIONS = 5  # as there


class Muon(torch.optim.Optimizer):
    """For hidden matrices; embeddings, heads, norms and biases belong to AdamW.

    Args:
        params: matrices.
        lr: times sqrt(rows / columns) where a matrix is tall.
        momentum: Nesterov's.
        weight_decay: decoupled.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            with_gradient = sorted((p for p in group["params"] if p.grad is not None), key=_shape)
            for _, alike in groupby(with_gradient, key=_shape):
                self._move(list(alike), group)

    def _move(self, matrices: list[Tensor], group: dict[str, float]) -> None:
        """One step of matrices of one shape."""
        rows, columns = matrices[0].shape
        rate = group["lr"] * math.sqrt(max(1.0, rows / columns))
        updates = orthogonal(torch.stack([self._momentum(p, group["momentum"]) for p in matrices]))
        for matrix, update in zip(matrices, updates, strict=True):
            matrix.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)

    def _momentum(self, matrix: Tensor, momentum: float) -> Tensor:
        assert matrix.grad is not None
        held = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
        held.lerp_(matrix.grad, 1 - momentum)
        return matrix.grad.lerp(held, momentum)


def _shape(matrix: Tensor) -> tuple[int, ...]:
    return tuple(matrix.shape)


def orthogonal(matrices: Tensor) -> Tensor:
    """(n, rows, columns) with all singular values brought near 1, by five Newton-Schulz iterations."""
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    found = matrices.mT if tall else matrices
    found = found / found.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    for _ in range(_ITERATIONS):
        gram = found @ found.mT
        found = a * found + (b * gram + c * gram @ gram) @ found
    return found.mT if tall else found


def muon_and_adamw(model: PreTrainedModel, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices; AdamW at `learning_rate` for embeddings, norms, biases and the patches."""
    named = dict(model.named_parameters())
    hidden = [name for name, p in named.items() if p.ndim == 2 and "embed" not in name and "bias" not in name]
    rest = [parameter for name, parameter in named.items() if name not in hidden]
    return [
        Muon([named[name] for name in hidden]),
        torch.optim.AdamW(rest, lr=learning_rate, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]
