"""Head states: reads the hidden states that the LM head is given, whatever the model calls its parts.

Some models never call their own `base_model`, so what it returns cannot be read there. Where logits would fill the
memory, the head is left out of a forward, and runs on some of the states at a time (`backbones.log_probs`).

Patched, for as long as a block lasts: a forward pre-hook on the output embedding; its `forward` where the head is left
out; a forward hook on it while a model is asked what it makes of its head's output.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

_LARGEST = 40.0  # of the logits that a model is asked about; softcapping shows there

# How each model makes logits of what its head gives; None of one that does it in a way that is not known.
_known: "WeakKeyDictionary[PreTrainedModel, HeadRule | None]" = WeakKeyDictionary()


class HeadRule(NamedTuple):
    """Says how a model makes logits of what its LM head gives: x * scale, or cap * tanh(x / cap)."""

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, given: Tensor) -> Tensor:
        """Makes logits of what the head gives, in float32."""
        given = given.float()
        if self.cap is not None:
            return self.cap * (given / self.cap).tanh()
        return given if self.scale == 1 else given * self.scale


@contextmanager
def states_at_the_head(model: PreTrainedModel) -> Iterator[list[Tensor]]:
    """Adds to the list, inside, what the LM head reads in each forward, (B, columns, hidden)."""
    caught: list[Tensor] = []
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    try:
        yield caught
    finally:
        hook.remove()


@contextmanager
def without_head(model: PreTrainedModel) -> Iterator[list[Tensor]]:
    """As `states_at_the_head`, and the head does not run: the model's logits mean nothing inside."""
    head, caught = model.get_output_embeddings(), []
    before = vars(head).get("forward")  # a module may have one of its own, as of a hook

    def forward(states: Tensor) -> Tensor:
        caught.append(states)
        return states[..., :1]

    head.forward = forward
    try:
        yield caught
    finally:
        del head.forward  # the class's comes back
        if before is not None:
            head.forward = before


def head_rule(model: PreTrainedModel) -> HeadRule | None:
    """Finds how a model makes logits of what its head gives, asked once; None where it is none of the known ways."""
    if model not in _known:
        _known[model] = _find_rule(model)
    return _known[model]


@torch.no_grad()
def _find_rule(model: PreTrainedModel) -> HeadRule | None:
    """Lets the head give known numbers in one forward, and looks at what the model makes of them."""
    given: list[Tensor] = []

    def replace(_: nn.Module, __: Any, output: Tensor) -> Tensor:
        given.append(torch.linspace(-_LARGEST, _LARGEST, output.shape[-1], device=output.device).expand(output.shape))
        return given[-1]

    ids = torch.tensor([[3, 4]], device=model.device)
    hook = model.get_output_embeddings().register_forward_hook(replace)
    try:
        made = model(input_ids=ids, use_cache=False).logits.float()
        hook.remove()
        with without_head(model) as caught:
            model(input_ids=ids, use_cache=False)
    except Exception:  # it does more with its logits than to scale them, and has its own ways to fail
        return None
    finally:
        hook.remove()
    if len(given) != 1 or len(caught) != 1 or made.shape != given[0].shape:
        return None
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    rules = [HeadRule(), HeadRule(scale=float(made.max()) / _LARGEST), *([HeadRule(cap=float(cap))] if cap else [])]
    return next((rule for rule in rules if torch.allclose(rule(given[0]), made, rtol=1e-5, atol=1e-5)), None)
