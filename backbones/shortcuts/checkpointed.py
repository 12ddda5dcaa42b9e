"""Checkpointed layers: keep their input, and run again in the backward pass for what else a gradient needs.

torch's own checkpoint (arXiv 1604.06174), without re-entering. transformers' switch counts in training mode alone,
where some models drop; PPO scores and trains in evaluation mode.

Patched, for good: `forward` of every decoder layer but the highest, as an attribute of the layer. The highest stays as
it is, for `backbones.shortcuts.top_mlp` hooks into it for one forward and not for what runs again after it. Frozen
states, which skip layers, put back what they find. It relies on the backward pass running in the same role.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from backbones.model.anatomy import decoder_layers
from backbones.model.loading import BackboneError


def checkpoint_layers(model: PreTrainedModel) -> None:
    """Lets the layers of the language model keep no more than their input where gradients are wanted.

    Raises:
        BackboneError: the model does not hold its layers in one list.
    """
    layers = decoder_layers(model)
    if layers is None:
        raise BackboneError(f"--gradient-checkpointing: {type(model).__name__} does not hold its layers in one list.")
    for layer in layers[:-1]:
        layer.forward = partial(_run, layer.forward)


def _run(forward: Callable[..., Any], *inputs: Any, **more: Any) -> Any:
    """Runs a layer; keeps its inputs alone where gradients are wanted."""
    if not torch.is_grad_enabled():
        return forward(*inputs, **more)
    return checkpoint(forward, *inputs, use_reentrant=False, **more)
