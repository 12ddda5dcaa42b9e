"""Low rank: takes the products of a LoRA adapter's second map, B, in the order that is fast for a small rank on a CPU.

Autograd's own takes dy^T u (out x rank) for B's gradient and dy B for its input's, both with a thin operand on the
right; the same numbers as u^T dy and dy (B^T)^T take a fraction of the time.

Patched: `__class__` of peft's `lora_B[adapter]`, a plain `nn.Linear` without a bias, for as long as the adapter lives.
It relies on peft calling the module with the product of A.
"""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

THIN = 16  # rank from which both orders cost the same, as measured on a CPU


class _Up(Function):
    @staticmethod
    def forward(context: Any, low: Tensor, weight: Tensor) -> Tensor:  # (..., rank), (out, rank)
        context.save_for_backward(low, weight)
        return F.linear(low, weight)

    @staticmethod
    @once_differentiable
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        low, weight = context.saved_tensors
        (up,) = gradients
        of_low = F.linear(up, weight.t().contiguous()) if context.needs_input_grad[0] else None
        of_weight = None
        if context.needs_input_grad[1]:
            of_weight = (low.flatten(0, -2).t() @ up.flatten(0, -2)).t()
        return of_low, of_weight


class UpProjection(nn.Linear):
    """Computes B of an adapter without a bias: rank -> out."""

    def forward(self, input: Tensor) -> Tensor:
        if self.in_features >= THIN or input.device.type != "cpu":
            return super().forward(input)
        result: Tensor = _Up.apply(input, self.weight)
        return result


def use_thin_products(linear: nn.Linear) -> None:
    """Turns a linear map without a bias into an `UpProjection`, in place: its parameters stay the very same."""
    linear.__class__ = UpProjection
