"""Planned attention: has the shapes of a fused attention and computes nothing, for models on torch's meta device.

Patched: transformers' `AttentionInterface` gets an entry by the name of `planned_attention()`, when it is first asked
for. No model uses it but one that is made with this name as its `attn_implementation`.
"""

from functools import cache
from typing import Any, cast

import torch
from torch import Tensor
from transformers import AttentionInterface

_NAME = "perlhf_planned"


@cache
def planned_attention() -> str:
    """Registers the attention with transformers, and returns its name there."""
    AttentionInterface.register(_NAME, _attend)
    return _NAME


class _Attention(torch.autograd.Function):
    """Keeps what a fused attention keeps: queries, keys, values, the result and a mask, and no matrix of all heads.

    A mask of bool is made numbers of the queries' type in each layer.
    """

    @staticmethod
    def forward(context: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        result = torch.empty_like(query)
        added = None if mask is None else torch.empty_like(mask, dtype=query.dtype)
        context.save_for_backward(query, key, value, result, added)
        return result

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return *(torch.empty_like(given) for given in context.saved_tensors[:3]), None


def _attend(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, *_: Any, **__: Any
) -> tuple[Tensor, None]:
    """Returns attention of the right shapes, (B, heads, L, size) -> (B, L, heads, size)."""
    return cast(Tensor, _Attention.apply(query, key, value, mask)).transpose(1, 2), None
