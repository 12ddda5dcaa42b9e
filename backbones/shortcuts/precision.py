"""Precision: holds the frozen weights in numbers of half the size, bf16; adapters are float32 always.

"mixed": linear maps multiply in bf16 (float32 sums inside), and all between them, attention and the log-softmax too, is
float32. "bf16": everything but adapters and heads. Attention in bf16 is slower than in float32 on a CPU.

Patched, for good, of a model in "mixed": `__class__` of every plain `nn.Linear`, and a forward hook on the embedding
where it shares its weight with the LM head.
"""

from copy import deepcopy
from itertools import chain
from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from backbones.model.devices import keep_few_kernels
from backbones.model.loading import Precision
from perlhf.errors import UserError, did_you_mean

_CLOSE = {"fp32": 1e-4}  # of logits; what other precisions round differs by more


def is_close(one: Tensor, other: Tensor, precision: str) -> bool:
    """Tells whether two ways of making the same logits agree, as far as a precision lets them."""
    close = _CLOSE.get(precision, 0.1)
    return torch.allclose(one, other, atol=close, rtol=close)


class HalfLinear(nn.Linear):
    """Applies a frozen linear map with bf16 weights, from and to the type of its input."""

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input.to(self.weight.dtype), self.weight, self.bias).to(input.dtype)


@torch.no_grad()
def reduce_precision(model: PreTrainedModel, precision: Precision) -> None:
    """Brings a plain model's weights to a precision in place, before it has any adapter.

    They may be in the type of their files: bf16 stays, and what is to be float32 is widened, or made anew.

    Raises:
        UserError: no such precision.
    """
    if precision not in get_args(Precision):
        raise UserError(f"no precision {precision!r}.{did_you_mean(str(precision), get_args(Precision))}")
    if precision == "fp32":
        model.float()
    if precision in ("mixed", "bf16"):
        keep_few_kernels()
    if precision == "bf16" and any(p.dtype != torch.bfloat16 for p in model.parameters()):
        _to_bf16(model)
    if precision == "mixed":
        _restore_buffers(model)
        for module in model.modules():
            if type(module) is nn.Linear:
                module.to(torch.bfloat16)
                module.__class__ = HalfLinear
        half = {id(p) for m in model.modules() if isinstance(m, HalfLinear) for p in m.parameters()}
        for tensor in chain(model.parameters(), model.buffers()):
            if tensor.is_floating_point() and id(tensor) not in half:
                # A copy even of float32: a view would hold all of the file that it was read from in memory.
                tensor.data = tensor.data.to(torch.float32, copy=True)
        _read_in_float32(model)


def _to_bf16(model: PreTrainedModel) -> None:
    """Takes all to bf16 but what turns positions into angles, which transformers keeps in float32 too."""
    angles = [
        (module, name, buffer)
        for module in model.modules()
        for name, buffer in module.named_buffers(recurse=False)
        if name.endswith("inv_freq")
    ]
    model.to(torch.bfloat16)
    for module, name, buffer in angles:
        setattr(module, name, buffer)


def _restore_buffers(model: PreTrainedModel) -> None:
    """Makes anew, in float32, what no file holds and bf16 has rounded when it was made, as Gemma's scale of embeddings.

    transformers gives such buffers their values where it initializes weights; here those are on the meta device.
    """
    rounded = [
        name
        for name, buffer in model.named_non_persistent_buffers()
        if buffer.dtype in (torch.bfloat16, torch.float16) and not buffer.is_meta
    ]
    if not rounded:
        return
    with torch.device("meta"):
        fresh = type(model)._from_config(deepcopy(model.config), dtype=torch.float32)
    for name in rounded:
        place, _, last = name.rpartition(".")
        setattr(fresh.get_submodule(place), last, torch.empty_like(fresh.get_buffer(name), device="cpu"))
    for module in fresh.modules():
        module._is_hf_initialized = False
    fresh.initialize_weights()
    for name in rounded:
        buffer = model.get_buffer(name)
        buffer.data = fresh.get_buffer(name).to(buffer.device)


def _read_in_float32(model: PreTrainedModel) -> None:
    """Widens what embeddings give that share their weight with the LM head, and so are bf16 now."""
    embeddings = model.get_input_embeddings()
    if embeddings.weight.dtype == torch.bfloat16:
        embeddings.register_forward_hook(_widened)


def _widened(_: nn.Module, __: Any, output: Tensor) -> Tensor:
    return output.float()
