"""Top MLP: runs the top layer's MLP at the positions that are read, and at no other.

Above the top layer only response positions are read, or the last token of a row. Attention needs the others' keys and
values, but the MLP takes each position for itself, and is most of a layer. What it would give elsewhere is 0 instead.

Patched: a forward pre-hook and a forward hook on the MLP, for the length of one forward. They rely on the layer calling
a child `mlp` with one tensor (B, L, hidden) and adding what it returns; a model is asked once whether it does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from backbones.model.anatomy import body_of, decoder_layers
from backbones.model.tokens import Where

# The MLP of each model that allows it; None of one that does not.
_known: WeakKeyDictionary[PreTrainedModel, nn.Module | None] = WeakKeyDictionary()


@contextmanager
def top_mlp_at(model: PreTrainedModel, where: Where) -> Iterator[None]:
    """Runs the top MLP at `where` alone, inside, in a model that allows it; last hidden states are right there."""
    if model not in _known:
        _known[model] = _position_wise(model)
    mlp = _known[model]
    if mlp is None:
        yield
        return
    with _restricted(mlp, where):
        yield


@contextmanager
def _restricted(mlp: nn.Module, where: Where) -> Iterator[None]:
    """Runs `mlp` at `where`, inside."""
    shapes: list[torch.Size] = []

    def before(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        shapes.append(inputs[0].shape)
        return inputs[0][where].contiguous(), *inputs[1:]

    def after(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        whole = output.new_zeros(shapes.pop())
        whole[where] = output
        return whole

    hooks = mlp.register_forward_pre_hook(before), mlp.register_forward_hook(after)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _position_wise(model: PreTrainedModel) -> nn.Module | None:
    """Finds the top layer's MLP, if it gives the same at some positions alone: seen on a few tokens."""
    layers = decoder_layers(model)
    mlp = None if layers is None else getattr(layers[-1], "mlp", None)
    if mlp is None:
        return None
    training = model.training
    model.eval()  # dropout would give something else each time
    try:
        return mlp if _gives_the_same(model, mlp) else None
    finally:
        model.train(training)


@torch.no_grad()
def _gives_the_same(model: PreTrainedModel, mlp: nn.Module) -> bool:
    """Tells whether the last two of four tokens have the states with the MLP on them alone that they have without."""
    ids = torch.tensor([[3, 4, 5, 6], [5, 3, 6, 4]], device=model.device)
    whole = body_of(model)(input_ids=ids, use_cache=False).last_hidden_state[:, 2:]
    try:
        with _restricted(mlp, (slice(None), slice(2, None))):
            part = body_of(model)(input_ids=ids, use_cache=False).last_hidden_state[:, 2:]
    except Exception:  # it takes or gives more than one tensor, as BLOOM's and experts with a router do
        return False
    # Fewer rows in a matrix product change its rounding. On the meta device (a memory plan) there are no numbers.
    return part.is_meta or torch.allclose(whole, part, rtol=1e-4, atol=1e-5)
