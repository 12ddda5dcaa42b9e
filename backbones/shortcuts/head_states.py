"""Head states: reads the hidden states that the LM head is given, whatever the model calls its parts.

Some models never call their own `base_model`, so what it returns cannot be read there.

Patched: a forward pre-hook on the output embedding, for as long as the block lasts.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from transformers import PreTrainedModel


@contextmanager
def states_at_the_head(model: PreTrainedModel) -> Iterator[list[Tensor]]:
    """Adds to the list, inside, what the LM head reads in each forward, (B, columns, hidden)."""
    caught: list[Tensor] = []
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    try:
        yield caught
    finally:
        hook.remove()
