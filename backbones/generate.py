"""Generation: KV cache, its own random generator, rows that leave the batch when they end.

transformers' `generate` draws from the global random state, which an exact resume cannot share with others.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from backbones.forward import like_lengths, positions
from backbones.growing_cache import growing_cache
from backbones.roles import Role
from backbones.vision import image_inputs, sayable

ROWS = 64  # that share a cache, at most
# From the token ids of a response so far to which tokens may follow, (vocabulary,) bool, at least one.
Allowed = Callable[[Sequence[int]], Tensor]


@torch.no_grad()
def generate(
    role: Role,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float = 1.0,
    generator: torch.Generator | None = None,
    batch_size: int = ROWS,
    allowed: Allowed | None = None,
) -> list[list[int]]:
    """Samples one response for each prompt.

    Args:
        role: who speaks.
        prompts: token ids, one row a prompt, with images where they are `ImagePrompt`s.
        max_new_tokens: where a response is cut if it has not ended.
        temperature: of the softmax; 0 takes the likeliest token.
        generator: of the samples; needed unless the temperature is 0.
        batch_size: rows that share a cache.
        allowed: what may follow, for constrained decoding; None for anything. What is said then is no sample of the
            role, so nothing that is learned from or measured should be.

    Returns:
        Token ids of each response, its end token included; without one where it was cut.
    """
    responses: list[list[int]] = [[] for _ in prompts]
    with role.folded() as model:
        for rows in like_lengths([len(p) for p in prompts], batch_size):
            batch = _Batch(model, role, [prompts[i] for i in rows], max_new_tokens, allowed)
            for i, response in zip(rows, batch.run(temperature, generator), strict=True):
                responses[i] = response
    return responses


class _Batch:
    """Rows that are being written side by side."""

    def __init__(
        self,
        model: PreTrainedModel,
        role: Role,
        prompts: list[Sequence[int]],
        max_new_tokens: int,
        allowed: Allowed | None,
    ) -> None:
        self.max_new_tokens = max_new_tokens
        self.model, self.end_ids, self.allowed = model, set(role.backbone.end_ids), allowed
        device, width = role.backbone.device, max(map(len, prompts))
        pad = role.backbone.pad_id
        self.input_ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)
        self.mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
        self.position_ids = positions(self.mask)
        self.image_inputs = image_inputs(prompts, self.input_ids)
        self.cache = growing_cache(model.config, width + max_new_tokens)
        self.rows = list(range(len(prompts)))  # which row of the result each row of the batch is
        self.written: list[list[int]] = [[] for _ in prompts]

    def run(self, temperature: float, generator: torch.Generator | None) -> list[list[int]]:
        for _ in range(self.max_new_tokens):
            tokens = _sample(self._next_logits(), temperature, generator)
            for row, token in zip(self.rows, tokens.tolist(), strict=True):
                self.written[row].append(token)
            self._drop_ended(tokens)
            if not self.rows:
                break
        return self.written

    def _next_logits(self) -> Tensor:  # (rows, vocabulary)
        output = self.model(
            input_ids=self.input_ids,
            attention_mask=self.mask,
            position_ids=self.position_ids,
            past_key_values=self.cache,
            logits_to_keep=1,
            use_cache=True,
            **self.image_inputs,
        )
        self.image_inputs = {}  # the cache has seen them
        logits = sayable(self.model, output.logits[:, -1].float())
        if self.allowed is not None:
            may = torch.stack([self.allowed(self.written[row]) for row in self.rows]).to(logits.device)
            logits = logits.masked_fill(~may, -torch.inf)
        return logits

    def _drop_ended(self, tokens: Tensor) -> None:
        self.input_ids = tokens[:, None]
        self.position_ids = self.position_ids[:, -1:] + 1
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], dim=1)
        going_on = [i for i, token in enumerate(tokens.tolist()) if token not in self.end_ids]
        if len(going_on) < len(self.rows):
            self.rows = [self.rows[i] for i in going_on]
            keep = torch.tensor(going_on, dtype=torch.long, device=tokens.device)
            self.input_ids, self.mask = self.input_ids[keep], self.mask[keep]
            self.position_ids = self.position_ids[keep]
            self.cache.batch_select_indices(keep)


def _sample(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:  # (rows,)
    if temperature == 0:
        return logits.argmax(-1)
    return torch.multinomial((logits / temperature).softmax(-1), 1, generator=generator).squeeze(1)
