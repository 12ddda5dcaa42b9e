"""From start: an adapter whose update is counted from where it began, so that a fresh one changes nothing.

PiSSA (arXiv 2404.02948) begins A and B at the principal part of the weight W and takes that part off W. Here W belongs
to all roles and stays as it is. What is added to W x is scale (B A - B0 A0) x instead, with A0 and B0 the start, which
are frozen: the same function and gradients, and exactly 0 at first, since both terms are computed alike.

Patched: an entry in `lora_variant` of each of peft's LoRA layers, the place that peft has for variants such as DoRA,
for as long as the adapter lives. It relies on peft calling `forward` of that entry in place of its own product.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import LoraVariant
from torch import Tensor

_OVERSAMPLED, _POWER_ITERATIONS = 8, 4  # of the randomised decomposition; peft's `pissa_niter_4` has the latter too


class Start(NamedTuple):
    """Holds where an adapter began: A0 (rank, in) and B0 (out, rank)."""

    a: Tensor
    b: Tensor


class FromStart(LoraVariant):
    """Adds what the adapter gives less what its start gives."""

    def __init__(self, start: Start) -> None:
        self.start = start

    def forward(self, module: LoraLayer, active_adapter: str, x: Tensor, result: Tensor, **_: Any) -> Tensor:
        """Returns `result`, the frozen map of `x`, with the update, (..., out)."""
        x = module.lora_dropout[active_adapter](x)
        now = module.lora_B[active_adapter](module.lora_A[active_adapter](x))
        first = F.linear(F.linear(x, self.start.a), self.start.b)
        return result + (now - first) * module.scaling[active_adapter]


@torch.no_grad()
def count_from_here(layer: LoraLayer, adapter: str) -> None:
    """Lets the adapter of a layer begin to count where its A and B are now."""
    start = Start(*(part[adapter].weight.detach().clone() for part in (layer.lora_A, layer.lora_B)))
    layer.lora_variant[adapter] = FromStart(start)


def start_of(layer: LoraLayer, adapter: str) -> Start | None:
    """Returns where the adapter of a layer counts from; None where that is 0."""
    variant = layer.lora_variant.get(adapter)
    return variant.start if isinstance(variant, FromStart) else None


@torch.no_grad()
def principal_part(weight: Tensor, rank: int, scaling: float) -> Start:
    """Computes A and B with scaling * B A the best approximation of a weight (out, in) of that rank.

    By a randomised decomposition (arXiv 0909.4061), which draws from torch's global generator: on the CPU, so that it
    is the same on every device.
    """
    taken = min(rank + _OVERSAMPLED, *weight.shape)
    left, sizes, right = torch.svd_lowrank(weight.cpu(), q=taken, niter=_POWER_ITERATIONS)
    root = (sizes[:rank] / scaling).sqrt()
    return Start(root[:, None] * right[:, :rank].t(), left[:, :rank] * root)
