"""What a role computes for tokens: log-probabilities of responses, hidden states, scores. Shapes in comments."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from backbones.shortcuts.frozen_states import Piece, Trunk
from backbones.shortcuts.top_mlp import Where, top_mlp_at
from backbones.vision import image_inputs, sayable

if TYPE_CHECKING:
    from backbones.backbone import Backbone
    from backbones.roles import Role


class TokenBatch(NamedTuple):
    """Prompts padded on the left and responses on the right, so that all responses begin in one column.

    Masks come from lengths, never from comparing ids with the padding id, which may be a real token.
    """

    input_ids: Tensor  # (B, P + T)
    attention_mask: Tensor  # (B, P + T), 1 on real tokens
    position_ids: Tensor  # (B, P + T), 0 on the first real token
    response_ids: Tensor  # (B, T)
    response_mask: Tensor  # (B, T), True on real response tokens
    image_inputs: dict[str, Tensor]  # pixels of the prompts' images and what goes with them; empty for text alone
    trunk: Callable[[], AbstractContextManager[None]] = nullcontext  # inside, a forward begins above the trunk

    @classmethod
    def of(
        cls,
        prompts: Sequence[Sequence[int]],
        responses: Sequence[Sequence[int]],
        pad_id: int,
        device: torch.device,
        trunk: Trunk | None = None,
    ) -> "TokenBatch":
        """Pads rows of token ids; T is at least 1."""
        width, length = max(map(len, prompts)), max(1, *map(len, responses))
        rows, mask = [], []
        for prompt, response in zip(prompts, responses, strict=True):
            left, right = width - len(prompt), length - len(response)
            rows.append([pad_id] * left + list(prompt) + list(response) + [pad_id] * right)
            mask.append([0] * left + [1] * (len(prompt) + len(response)) + [0] * right)
        input_ids = torch.tensor(rows, device=device)
        attention_mask = torch.tensor(mask, device=device)
        response_ids, response_mask = input_ids[:, width:], attention_mask[:, width:].bool()
        shown = image_inputs(prompts, input_ids)
        batch = cls(input_ids, attention_mask, positions(attention_mask), response_ids, response_mask, shown)
        if trunk is None:
            return batch
        pieces = [
            Piece([*prompt, *response], i, width - len(prompt))
            for i, (prompt, response) in enumerate(zip(prompts, responses, strict=True))
        ]
        return batch._replace(trunk=partial(trunk.replayed, pieces, (len(rows), input_ids.shape[1])))

    @property
    def length(self) -> int:
        return self.response_ids.shape[1]

    @property
    def read(self) -> Where:
        """Where states are read: from the last prompt token on."""
        return slice(None), slice(-self.length - 1, None)

    @property
    def before(self) -> Tensor:
        """The columns before each response token, (T,)."""
        last = self.input_ids.shape[1] - 1
        return torch.arange(last - self.length, last, device=self.input_ids.device)


def positions(attention_mask: Tensor) -> Tensor:
    """Position of each token among the real ones of its row, (B, L); padding gets 0."""
    return (attention_mask.cumsum(1) - 1).clamp(min=0)


def response_logits(model: PreTrainedModel, batch: TokenBatch, temperature: float) -> Tensor:
    """Logits that predict each response token, (B, T, vocabulary), in float32; the head runs on no other position."""
    # By their columns, not as all but the last: the gradient of a slice is a copy, and nothing here is as large.
    return _logits(model, batch, batch.before, temperature)


def response_logits_and_states(model: PreTrainedModel, batch: TokenBatch, temperature: float) -> tuple[Tensor, Tensor]:
    """The same, and the last hidden states before each response token, (B, T, hidden)."""
    with _states_at_the_head(model) as caught:
        return _logits(model, batch, batch.before, temperature), caught[0]


def logits_and_states_to_the_end(model: PreTrainedModel, batch: TokenBatch) -> tuple[Tensor, Tensor]:
    """Both from the last prompt token to the last response token, (B, T + 1, ...)."""
    with _states_at_the_head(model) as caught:
        return _logits(model, batch, batch.length + 1, 1.0), caught[0]


def _logits(model: PreTrainedModel, batch: TokenBatch, columns: Tensor | int, temperature: float) -> Tensor:
    with top_mlp_at(model, batch.read), batch.trunk():
        output = model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=batch.position_ids,
            logits_to_keep=columns,
            use_cache=False,
            **batch.image_inputs,
        )
    logits = output.logits.float()
    return sayable(model, logits if temperature == 1 else logits / temperature)


@contextmanager
def _states_at_the_head(model: PreTrainedModel) -> Iterator[list[Tensor]]:
    """Inside, what the LM head reads is caught; some models never call their own `base_model`."""
    caught: list[Tensor] = []
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    try:
        yield caught
    finally:
        hook.remove()


def chosen_log_probs(logits: Tensor, response_ids: Tensor) -> Tensor:
    """log p of the tokens that were chosen, (B, T)."""
    return chosen(logits.log_softmax(-1), response_ids)


def chosen(of_all: Tensor, response_ids: Tensor) -> Tensor:
    """What (B, T, vocabulary) holds for the tokens that were chosen, (B, T)."""
    return of_all.gather(-1, response_ids.unsqueeze(-1)).squeeze(-1)


def response_states(model: PreTrainedModel, batch: TokenBatch) -> Tensor:
    """Last hidden state before each response token, (B, T, hidden): what the value head reads."""
    with top_mlp_at(model, batch.read), batch.trunk():
        hidden = hidden_states(model, batch.input_ids, batch.attention_mask, batch.position_ids, batch.image_inputs)
    return hidden[batch.read][:, :-1]


def hidden_states(
    model: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    position_ids: Tensor,
    images: Mapping[str, Tensor],
) -> Tensor:
    """Last hidden states of all positions, (B, L, hidden)."""
    output = model.base_model(
        input_ids=input_ids,
        attention_mask=attention_mask,
        position_ids=position_ids,
        use_cache=False,
        **images,
    )
    return output.last_hidden_state


def length_mask(rows: Sequence[Sequence[int]]) -> Tensor:
    """(N, T) True on the tokens of each row; from lengths, since the padding id may be a real token."""
    lengths = torch.tensor([len(row) for row in rows])
    return torch.arange(max(1, int(lengths.max()))) < lengths[:, None]


def map_batches(
    backbone: "Backbone",
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    function: Callable[[TokenBatch], tuple[Tensor, ...]],
    batch_size: int = 16,
) -> list[Tensor]:
    """What `function` gives for batches of like lengths, put back in row order: (N, T), 0 outside the mask."""
    width = max(1, *map(len, responses))
    results: list[Tensor] = []
    for rows in like_lengths([len(p) + len(r) for p, r in zip(prompts, responses, strict=True)], batch_size):
        batch = backbone.batch([prompts[i] for i in rows], [responses[i] for i in rows])
        for k, tensor in enumerate(function(batch)):
            if k == len(results):
                results.append(torch.zeros(len(prompts), width))
            results[k][rows, : batch.length] = (tensor * batch.response_mask).cpu()
    return results


@torch.no_grad()
def log_probs_of(
    role: "Role", prompts: Sequence[Sequence[int]], responses: Sequence[Sequence[int]], temperature: float = 1.0
) -> Tensor:
    """log p of the response tokens under `role`, (N, T), 0 outside the mask."""

    def function(batch: TokenBatch) -> tuple[Tensor, ...]:
        with role.active() as model:
            return (chosen_log_probs(response_logits(model, batch, temperature), batch.response_ids),)

    return map_batches(role.backbone, prompts, responses, function)[0]


def last_token_scores(
    model: PreTrainedModel,
    head: nn.Linear,
    rows: Sequence[Sequence[int]],
    pad_id: int,
    device: torch.device,
    trunk: Trunk | None = None,
) -> Tensor:
    """The head's output at the last real token of each row, (B,). Rows are padded on the right.

    Where a plain sequence classifier of transformers reads its score too.
    """
    length = max(map(len, rows))
    input_ids = torch.tensor([[*row, *[pad_id] * (length - len(row))] for row in rows], device=device)
    lengths = torch.tensor([len(row) for row in rows], device=device)
    attention_mask = (torch.arange(length, device=device) < lengths[:, None]).long()
    pieces = [Piece(row, i, 0) for i, row in enumerate(rows)]
    last = torch.arange(len(rows), device=device)[:, None], lengths[:, None] - 1
    replayed = nullcontext() if trunk is None else trunk.replayed(pieces, (len(rows), length))
    with top_mlp_at(model, last), replayed:
        images = image_inputs(rows, input_ids)
        hidden = hidden_states(model, input_ids, attention_mask, positions(attention_mask), images)
    return head(hidden[last]).flatten().float()


def end_states_and_log_probs(model: PreTrainedModel, batch: TokenBatch) -> tuple[Tensor, Tensor]:
    """Last hidden state at the last token of each row, (B, hidden), and log p of its response tokens, (B, T).

    In one forward; log p is 0 on padding. Every row has a response token.
    """
    logits, states = logits_and_states_to_the_end(model, batch)
    log_probs = chosen_log_probs(logits[:, :-1], batch.response_ids) * batch.response_mask
    ends = batch.response_mask.sum(1)
    return states[torch.arange(len(ends), device=ends.device), ends], log_probs


def like_lengths(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Row numbers in batches of like lengths, so that little of a batch is padding."""
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
