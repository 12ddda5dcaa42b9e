"""Skipped layers: leaves out decoder layers of a forward, and reads what the others give.

Patched, for the length of a block each:
    `forward` of the decoder layers that are skipped, as an attribute of the layer; what was there before comes back.
    Forward hooks on the decoder layers that are read.
It relies on a layer's forward taking hidden states first, and returning them alone or first in a tuple.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

Layers = nn.ModuleList | Sequence[nn.Module]


@contextmanager
def skipped(layers: Layers, as_tuple: Callable[[], bool], result: Tensor | None = None) -> Iterator[None]:
    """Lets these layers hand on what they are given, inside, and the last of them `result` where there is one.

    Args:
        layers: neighbours, the lowest first.
        as_tuple: says, when they run, whether this model's layers return hidden states first in a tuple.
        result: what the layer above them is given.
    """
    before = [vars(layer).get("forward") for layer in layers]  # a layer may have one of its own, as of a hook
    for number, layer in enumerate(layers, start=1):
        layer.forward = partial(_hand_on, as_tuple, result if number == len(layers) else None)
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            del layer.forward  # the class's comes back
            if forward is not None:
                layer.forward = forward


def _hand_on(as_tuple: Callable[[], bool], result: Tensor | None, hidden_states: Tensor, *_: Any, **__: Any) -> Any:
    """Stands for a layer's forward and computes nothing."""
    given = hidden_states if result is None else result
    return (given, None) if as_tuple() else given


@contextmanager
def states_after(layers: Layers, wanted: Collection[int], the_rest: bool = True) -> Iterator[dict[int, Tensor]]:
    """Puts in the mapping, inside, what layers give in a forward of the model, (B, L, hidden); the last one counts.

    Args:
        layers: all of the language model, the lowest first.
        wanted: their numbers, from 1; the states after layer n are `hidden_states[n]` of transformers.
        the_rest: whether the layers above the highest of them run; if not, what the model itself gives means nothing.
    """
    caught: dict[int, Tensor] = {}
    tuples: list[bool] = []

    def catch(number: int, _: nn.Module, __: Any, output: Any) -> None:
        tuples[:] = [isinstance(output, tuple)]
        caught[number] = output[0] if tuples[0] else output

    with ExitStack() as stack:
        for number in wanted:
            hook = layers[number - 1].register_forward_hook(partial(catch, number))
            stack.callback(hook.remove)
        if not the_rest and wanted:
            stack.enter_context(skipped(layers[max(wanted) :], lambda: tuples[0]))
        yield caught
