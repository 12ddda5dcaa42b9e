"""Runs a model on tokens: log-probabilities of responses, hidden states, scores. Shapes in comments."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from backbones.log_probs import chosen, entropy, is_large, log_probs_of_states
from backbones.model.anatomy import body_of
from backbones.model.tokens import Piece, TokenBatch, like_lengths, token_positions
from backbones.model.vision import image_inputs, sayable
from backbones.sharding import in_step
from backbones.shortcuts.frozen_states import FrozenStates
from backbones.shortcuts.head_states import HeadRule, head_rule, states_at_the_head, without_head
from backbones.shortcuts.packing import Packed
from backbones.shortcuts.shared_lines import shared_lines
from backbones.shortcuts.top_mlp import top_mlp_at

if TYPE_CHECKING:
    from backbones.backbone import Backbone
    from backbones.roles import Role


def response_logits(model: PreTrainedModel, batch: TokenBatch, temperature: float) -> Tensor:
    """Computes the logits of each response token, (B, T, vocabulary), in float32; the head runs nowhere else."""
    # By their columns, not as all but the last: the gradient of a slice is a copy, and nothing here is as large.
    return batch.of_rows(_logits(model, batch, batch.before, temperature))


def logits_and_states_to_the_end(model: PreTrainedModel, batch: TokenBatch) -> tuple[Tensor, Tensor]:
    """Computes logits and last hidden states from the last prompt token to the response's last, (B, T + 1, ...)."""
    with states_at_the_head(model) as caught:
        return _logits(model, batch, batch.length + 1, 1.0), caught[0]


def _logits(model: PreTrainedModel, batch: TokenBatch, columns: Tensor | int, temperature: float) -> Tensor:
    logits = _run(model, batch, columns).logits.float()
    return sayable(model, logits if temperature == 1 else logits / temperature)


def _run(model: PreTrainedModel, batch: TokenBatch, columns: Tensor | int) -> ModelOutput:
    """Runs the model on a batch, and its head at some columns."""
    with top_mlp_at(model, batch.read), batch.above_frozen_layers():
        output: ModelOutput = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            logits_to_keep=columns,
            use_cache=False,
            **batch.image_inputs,
        )
    return output


def chosen_log_probs(logits: Tensor, response_ids: Tensor) -> Tensor:
    """Computes log p of the tokens that were chosen, (B, T)."""
    return chosen(logits.log_softmax(-1), response_ids)


class Spoken(NamedTuple):
    """Holds what a forward says of the response tokens."""

    log_probs: Tensor  # (B, T), of the tokens that were chosen
    entropies: Tensor  # (B, T), in nats; 0 if unwanted
    states: Tensor  # (B, T, hidden), the last hidden states before them


def speak(model: PreTrainedModel, batch: TokenBatch, temperature: float = 1.0, with_entropy: bool = False) -> Spoken:
    """Computes log p of the response tokens, the entropy at each, and the states before them, in one forward.

    Where all logits would be large, they are made chunk by chunk, and those of padding not at all, see
    `backbones.log_probs`.
    """
    rule = _rule_of_large(model, batch)
    if rule is None:
        with states_at_the_head(model) as caught:
            of_all = _logits(model, batch, batch.before, temperature).log_softmax(-1)
        log_probs = _chosen_of_rows(of_all, batch)
        entropies = batch.of_rows(entropy(of_all)) if with_entropy else torch.zeros_like(log_probs)
        return Spoken(log_probs, entropies, batch.of_rows(caught[0]))
    states, mask = batch.of_rows(_states_without_head(model, batch, batch.before)), batch.response_mask
    found = log_probs_of_states(model, rule, states[mask], batch.response_ids[mask], temperature, with_entropy)
    log_probs, entropies = (_spread(figures, mask) for figures in found)
    return Spoken(log_probs, entropies, states)


def _chosen_of_rows(of_all: Tensor, batch: TokenBatch) -> Tensor:
    """Picks log p of the response tokens, (B, T), from that of all tokens at `batch.before`, without a copy of it."""
    if batch.places is None:
        return chosen(of_all, batch.response_ids)
    return of_all[batch.places.lines, batch.places.columns, batch.response_ids]


def _rule_of_large(model: PreTrainedModel, batch: TokenBatch) -> HeadRule | None:
    """Returns how to make logits chunk by chunk; None where they are few, or made in a way that is not known."""
    return head_rule(model) if is_large(model, batch.response_ids.numel()) else None


def _states_without_head(model: PreTrainedModel, batch: TokenBatch, columns: Tensor | int) -> Tensor:
    """Computes what the LM head would read at some columns, (B, columns, hidden), without running it."""
    with without_head(model) as caught:
        _run(model, batch, columns)
    return caught[0]


def _spread(figures: Tensor, mask: Tensor) -> Tensor:
    """Puts figures of the True positions in their places, (B, T); 0 elsewhere."""
    return figures.new_zeros(mask.shape).masked_scatter(mask, figures)


def response_states(model: PreTrainedModel, batch: TokenBatch) -> Tensor:
    """Computes the last hidden state before each response token, (B, T, hidden), which the value head reads."""
    with top_mlp_at(model, batch.read), batch.above_frozen_layers():
        hidden = hidden_states(model, batch.input_ids, batch.attention_mask, batch.position_ids, batch.image_inputs)
    return batch.of_rows(hidden[batch.read][:, :-1])


def hidden_states(
    model: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    position_ids: Tensor,
    images: Mapping[str, Tensor],
) -> Tensor:
    """Computes the last hidden states of all positions, (B, L, hidden)."""
    output = body_of(model)(
        input_ids=input_ids,
        attention_mask=attention_mask,
        position_ids=position_ids,
        use_cache=False,
        **images,
    )
    return output.last_hidden_state


def map_batches(
    backbone: "Backbone",
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    function: Callable[[TokenBatch], tuple[Tensor, ...]],
    batches: Sequence[Sequence[int]] | None = None,
) -> list[Tensor]:
    """Applies `function` to batches of rows and puts rows back in order: (N, T), 0 outside the mask.

    Args:
        backbone: that the batches are for.
        prompts, responses: token ids of the rows.
        function: what is computed of a batch, (B, T) each.
        batches: which rows go together; by default 16 of like lengths.
    """
    width = max([1, *map(len, responses)])
    results: list[Tensor] = []
    lengths = [len(p) + len(r) for p, r in zip(prompts, responses, strict=True)]
    idle = [[backbone.pad_id]]
    own = like_lengths(lengths, 16) if batches is None else batches
    for rows in in_step(backbone, own or [[]], []):  # once at least, which says how many tensors there are
        batch = shared_lines(backbone, [prompts[i] for i in rows] or idle, [responses[i] for i in rows] or idle)
        for k, tensor in enumerate(function(batch)):
            if k == len(results):
                results.append(torch.zeros(len(prompts), width))
            results[k][list(rows), : batch.length] = (tensor * batch.response_mask).cpu()
    return results


@torch.no_grad()
def log_probs_of(
    role: "Role",
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    temperature: float = 1.0,
    batches: Sequence[Sequence[int]] | None = None,
) -> Tensor:
    """Computes log p of the response tokens under `role`, (N, T), 0 outside the mask; `batches` as in `map_batches`."""

    def function(batch: TokenBatch) -> tuple[Tensor, ...]:
        with role.active() as model:
            return (speak(model, batch, temperature).log_probs,)

    return map_batches(role.backbone, prompts, responses, function, batches)[0]


def last_token_scores(
    model: PreTrainedModel,
    head: nn.Linear,
    rows: Sequence[Sequence[int]],
    pad_id: int,
    device: torch.device,
    frozen_states: FrozenStates | None = None,
) -> Tensor:
    """Computes the head's output at the last real token of each row, (B,). Rows are padded on the right.

    Where a plain sequence classifier of transformers reads its score too.
    """
    length = max(map(len, rows))
    input_ids = torch.tensor([[*row, *[pad_id] * (length - len(row))] for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    attention_mask = (torch.arange(length, device=device) < lengths[:, None]).long()
    pieces = [Piece(row, i, 0) for i, row in enumerate(rows)]
    last = torch.arange(len(rows), device=device)[:, None], lengths[:, None] - 1
    above = nullcontext() if frozen_states is None else frozen_states.replayed(pieces, (len(rows), length))
    with top_mlp_at(model, last), above:
        images = image_inputs(rows, input_ids)
        places = token_positions(rows, input_ids, attention_mask, images)
        hidden = hidden_states(model, input_ids, attention_mask, places, images)
    return read_head(head, hidden[last]).flatten()


def read_head(head: nn.Linear, states: Tensor) -> Tensor:
    """Computes a scalar head's output (...) of states (..., hidden), in the head's float32, whatever they are in."""
    outputs: Tensor = head(states.to(head.weight.dtype)).squeeze(-1)
    return outputs


def end_states_and_log_probs(model: PreTrainedModel, batch: TokenBatch) -> tuple[Tensor, Tensor]:
    """Computes the last hidden state at each row's end, (B, hidden), and log p of its response tokens, (B, T).

    In one forward; log p is 0 on padding. Every row has a response token.
    """
    rule, mask = _rule_of_large(model, batch), batch.response_mask
    if rule is None:
        logits, states = logits_and_states_to_the_end(model, batch)
        log_probs = chosen_log_probs(logits[:, :-1], batch.response_ids) * mask
    else:
        states = _states_without_head(model, batch, batch.length + 1)
        found, _ = log_probs_of_states(model, rule, states[:, :-1][mask], batch.response_ids[mask])
        log_probs = _spread(found, mask)
    ends = mask.sum(1)
    return states[torch.arange(len(ends), device=ends.device), ends], log_probs


def packed_end_states(model: PreTrainedModel, packed: Packed) -> Tensor:
    """Computes the last hidden state at the end of each packed response, (B * S, hidden), in the rows' order."""
    batch, ends = packed.batch, packed.ends
    with top_mlp_at(model, ends), batch.above_frozen_layers():
        states = hidden_states(model, batch.input_ids, batch.attention_mask, batch.position_ids, {})
    return states[ends].flatten(0, 1)


def packed_end_states_and_sums(model: PreTrainedModel, packed: Packed) -> tuple[Tensor, Tensor]:
    """Computes `packed_end_states` and log p of each response, (B * S,), in one forward."""
    batch, rule = packed.batch, _rule_of_large(model, packed.batch)
    device, mask = batch.response_ids.device, batch.response_mask
    # Column c of what is computed says what follows column W - 1 + c.
    columns = torch.arange(batch.length, device=device)
    columns[packed.firsts] = 0  # first tokens follow the prompt, not the slot before
    rows = torch.arange(len(mask), device=device)[:, None]
    if rule is None:
        logits, states = logits_and_states_to_the_end(model, batch)
        of_chosen = logits[rows, columns, batch.response_ids] - logits.logsumexp(-1)[:, columns]
        log_probs = torch.where(mask, of_chosen, 0.0)
    else:
        states = _states_without_head(model, batch, batch.length + 1)
        found, _ = log_probs_of_states(model, rule, states[rows, columns][mask], batch.response_ids[mask])
        log_probs = _spread(found, mask)
    slots = torch.searchsorted(packed.firsts, torch.arange(batch.length, device=device), right=True) - 1
    sums = log_probs.new_zeros(packed.lengths.shape).index_add(1, slots, log_probs)
    return states[packed.last].flatten(0, 1), sums.flatten()
