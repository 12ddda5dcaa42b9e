"""Reads one vector off each response: the state at its end, or the mean of its states, after any layer.

What a head on a frozen model can tell depends on where it reads: on a real one the mean over the response after a
middle layer beats the end token after the last. Layers above the highest that is read do not run. Shapes in comments.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args, overload

import torch
from torch import Tensor
from transformers import PreTrainedModel

from backbones.forward import end_states_and_log_probs, hidden_states, packed_end_states_and_sums
from backbones.model.anatomy import body_of, decoder_layers, layer_count
from backbones.model.tokens import TokenBatch
from backbones.shortcuts.head_states import states_at_the_head
from backbones.shortcuts.packing import Packed, Row, packable
from backbones.shortcuts.skipped_layers import states_after
from backbones.shortcuts.top_mlp import top_mlp_at
from perlhf.errors import UserError

if TYPE_CHECKING:
    from backbones.backbone import Backbone

CPU_TOKENS, GPU_TOKENS = 256, 16384  # in one forward that only reads

Pooling = Literal["last", "mean"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


class Reading(NamedTuple):
    """Says which states of a response a head reads."""

    pooling: Pooling = "last"  # the state of its end token, or the mean over its tokens, the end token among them
    layer: int | None = (
        None  # after so many layers, as `hidden_states[layer]` of transformers; None for the last states
    )

    def __str__(self) -> str:
        return f"{self.pooling}, layer {'last' if self.layer is None else self.layer}"


def check_reading(model: PreTrainedModel, layer: int | None) -> int | None:
    """Returns the layer to read; None, the last states, for the number of the highest.

    Raises:
        UserError: there is no such layer, or the model's layers cannot be read one by one.
    """
    count = layer_count(model)
    if layer is None or layer == count:
        return None
    if not 1 <= layer < count:
        raise UserError(f"read_layer: expected 1 to {count}, as many layers as the backbone has, got {layer}.")
    if not reads_layers(model):
        raise UserError(
            f"read_layer {layer}: the layers of {type(model).__name__} cannot be read one by one; leave it at 'last'."
        )
    return layer


@torch.no_grad()
def reads_layers(model: PreTrainedModel) -> bool:
    """Tells whether states below the top can be read: of layers in one list, as wide as the last states.

    Seen on a few tokens: some models hand several states of each token from layer to layer.
    """
    layers, width = decoder_layers(model), int(model.config.get_text_config().hidden_size)
    if layers is None or model.get_output_embeddings().weight.shape[-1] != width:
        return False
    ids = torch.tensor([[3, 4, 5]], device=model.device)
    with states_after(layers, [1]) as caught:
        body_of(model)(input_ids=ids, use_cache=False)
    return caught[1].shape == (1, 3, width)


def read_responses(
    model: PreTrainedModel, rows: TokenBatch | Packed, readings: Sequence[Reading], with_log_probs: bool = False
) -> tuple[list[Tensor], Tensor | None]:
    """Reads responses in one forward; takes gradients where they are on. Every row has a response token.

    Args:
        model: in the role that is read.
        rows: n responses, each in a row of its own or packed.
        readings: what to read.
        with_log_probs: whether log p of each response is wanted too; all layers run then.

    Returns:
        A tensor (n, hidden) in float32 for each reading, and log p of the responses, (n,), or None.
    """
    packed = rows if isinstance(rows, Packed) else None
    batch = rows.batch if isinstance(rows, Packed) else rows
    below = {reading.layer for reading in readings if reading.layer is not None}
    to_the_top = with_log_probs or any(reading.layer is None for reading in readings)
    layers = decoder_layers(model) if below else None
    if below and batch.frozen_states is not None and batch.frozen_states.depth > min(below):
        batch = batch._replace(frozen_states=None)  # a layer that is skipped gives nothing to read
        packed = None if packed is None else packed._replace(batch=batch)
    sums = None
    with ExitStack() as stack:
        if not with_log_probs:  # before the layers are hooked or skipped: each may have to run them first
            if to_the_top:
                stack.enter_context(top_mlp_at(model, batch.read))
            stack.enter_context(batch.above_frozen_layers())
        caught = stack.enter_context(states_after(layers, below, to_the_top)) if layers is not None else {}
        if with_log_probs:
            final, sums = _final_states_and_log_probs(model, batch, packed)
        else:
            final = hidden_states(model, batch.input_ids, batch.attention_mask, batch.position_ids, batch.image_inputs)
    of_layer: dict[int | None, Tensor] = {None: final, **dict(caught.items())}
    columns = batch.length
    pool = (lambda *a: _pool_packed(packed, *a)) if packed is not None else (lambda *a: _pool(batch.response_mask, *a))
    return [pool(of_layer[r.layer][:, -columns:].float(), r.pooling) for r in readings], sums


def like_shapes(rows: Sequence[Sequence[Row]], device: torch.device) -> list[list[int]]:
    """Puts records in batches of like prompts and like responses, so that little of what is packed is padding.

    As many tokens are in one as the device is well used by: padding costs a CPU as much as text does. The largest batch
    comes first, to show at once what memory it takes.

    Args:
        rows: of each record, as many as of any other.
        device: where they are to run.
    """
    most = CPU_TOKENS if device.type == "cpu" else GPU_TOKENS
    shapes = [(len(of_one[0][0]), *(len(response) for _, response in of_one)) for of_one in rows]
    order = sorted(range(len(rows)), key=lambda i: (shapes[i][0] // 16, sum(shapes[i][1:])), reverse=True)
    batches: list[list[int]] = []
    widths: tuple[int, ...] = ()
    for i in order:
        wider = tuple(map(max, widths, shapes[i])) if widths else shapes[i]
        if not widths or sum(wider) * (len(batches[-1]) + 1) > most:
            batches.append([])
            wider = shapes[i]
        batches[-1].append(i)
        widths = wider
    return batches


@overload
def rows_to_read(backbone: "Backbone", rows: Sequence[Row], per_prompt: Literal[1]) -> TokenBatch: ...
@overload
def rows_to_read(backbone: "Backbone", rows: Sequence[Row], per_prompt: int) -> TokenBatch | Packed: ...
def rows_to_read(backbone: "Backbone", rows: Sequence[Row], per_prompt: int) -> TokenBatch | Packed:
    """Makes tensors of rows, packed where each `per_prompt` of them share a prompt and the backbone allows it."""
    if packable(backbone, rows, per_prompt):
        return Packed.of(rows, per_prompt, backbone)
    return backbone.batch([prompt for prompt, _ in rows], [response for _, response in rows])


def _final_states_and_log_probs(
    model: PreTrainedModel, batch: TokenBatch, packed: Packed | None
) -> tuple[Tensor, Tensor]:
    """Computes the last hidden states, (B, T at least, hidden), the last T of them the response's; and log p, (n,)."""
    with states_at_the_head(model) as at_the_head:
        if packed is not None:
            sums = packed_end_states_and_sums(model, packed)[1]
        else:
            sums = end_states_and_log_probs(model, batch)[1].sum(1)
    wanted = (len(batch.input_ids), batch.length + 1)  # the head may be asked about other states too, chunk by chunk
    return next(states for states in reversed(at_the_head) if states.dim() == 3 and states.shape[:2] == wanted), sums


def _pool(mask: Tensor, states: Tensor, pooling: Pooling) -> Tensor:
    """Pools states (B, T, hidden) of responses with mask (B, T), (B, hidden)."""
    lengths = mask.sum(1)
    if pooling == "last":
        return states[torch.arange(len(states), device=states.device), lengths - 1]
    # What stands on padding may be no number at all, which times 0 would not be 0.
    return states.masked_fill(~mask[..., None], 0.0).sum(1) / lengths[:, None]


def _pool_packed(packed: Packed, states: Tensor, pooling: Pooling) -> Tensor:
    """Pools states (B, T, hidden) of the responses in S slots, (B * S, hidden), in the rows' order."""
    if pooling == "last":
        rows, columns = packed.last  # counted from the last prompt token on
        return states[rows, columns - 1].flatten(0, 1)
    mask = packed.batch.response_mask
    slots = torch.searchsorted(packed.firsts, torch.arange(mask.shape[1], device=mask.device), right=True) - 1
    sums = states.new_zeros(len(states), len(packed.firsts), states.shape[-1])
    sums = sums.index_add(1, slots, states.masked_fill(~mask[..., None], 0.0))
    return (sums / packed.lengths[..., None]).flatten(0, 1)
