"""Samples responses: with a KV cache and random numbers of each row's own; rows that have ended leave the batch.

While frozen states are kept (`backbones.shortcuts.frozen_states`), those of the sampled rows are handed over to them.

transformers' `generate` draws from the global random state: what a row says would depend on its neighbours there, and a
resume on whatever else draws.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor
from transformers import PreTrainedModel

from backbones import group
from backbones.draws import draw, uniforms
from backbones.model.anatomy import cache_argument
from backbones.model.tokens import like_lengths, next_positions, token_positions
from backbones.model.vision import image_inputs, sayable
from backbones.roles import Role
from backbones.sharding import goes_on, in_step
from backbones.shortcuts.equal_prompts import distinct_prompts, first_of_each
from backbones.shortcuts.growing_cache import growing_cache, keep_rows
from backbones.shortcuts.sampled_states import SampledStates
from backbones.shortcuts.shared_prefix import prefix_length
from perlhf.errors import UserError

ROWS = 64  # that share a cache, at most; it bounds the memory of keys and values
# From the token ids of a response so far to which tokens may follow, (vocabulary,) bool, at least one.
Allowed = Callable[[Sequence[int]], Tensor]


def generate_together(
    role: Role, prompts: Sequence[Sequence[int]], max_new_tokens: int, temperature: float, seeds: Sequence[int]
) -> list[list[int]]:
    """Samples as `generate`, for all processes of the run: each samples its part of the rows."""

    def of(numbers: list[int]) -> list[list[int]]:
        mine, own = [prompts[i] for i in numbers], [seeds[i] for i in numbers]
        return generate(role, mine, max_new_tokens, temperature, own)

    return group.map_over_processes(len(prompts), of)


@torch.no_grad()
def generate(
    role: Role,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperature: float = 1.0,
    seeds: Sequence[int] | None = None,
    batch_size: int = ROWS,
    allowed: Allowed | None = None,
) -> list[list[int]]:
    """Samples one response for each prompt.

    A response follows from its prompt and its seed alone, whatever else is in the batch and in which order. But for
    ties: in a batch of another shape the last bits of a row's logits may be others, since products are summed in
    another order, and a number drawn within those bits of the border between two tokens may fall to the other one.

    Args:
        role: who speaks.
        prompts: token ids, one row a prompt, with images where they are `ImagePrompt`s.
        max_new_tokens: where a response is cut if it has not ended.
        temperature: of the softmax; 0 takes the likeliest token.
        seeds: one of each prompt (`backbones.draws.row_seeds`); needed unless the temperature is 0.
        batch_size: rows that share a cache.
        allowed: what may follow, for constrained decoding; None for anything. What is said then is no sample of the
            role, so nothing that is learned from or measured should be.

    Returns:
        Token ids of each response, its end token included; without one where it was cut, or is over at a stop string.

    Raises:
        UserError: seeds are missing, or the logits are no distribution.
    """
    if temperature and (seeds is None or len(seeds) != len(prompts)):
        given = "none" if seeds is None else len(seeds)
        raise UserError(f"generate needs a seed for each of {len(prompts)} prompts, got {given}; or temperature=0.")
    responses: list[list[int]] = [[] for _ in prompts]
    backbone, first = role.backbone, first_of_each(prompts)
    sampled = [*range(len(prompts))] if temperature else sorted(set(first))  # equal prompts have one likeliest response
    lengths, equal = [len(prompts[i]) for i in sampled], [first[i] for i in sampled]
    batches = [[sampled[k] for k in rows] for rows in like_lengths(lengths, batch_size, equal)]
    shared = [prefix_length(distinct_prompts([prompts[i] for i in rows])[0]) for rows in batches]
    if backbone.is_sharded or (any(shared) and not backbone.shares_prefixes):
        shared = [0] * len(batches)
    # Of a base that is shared out all processes ask at once.
    once = (backbone.is_sharded or len(set(equal)) < len(equal)) and backbone.repeats_rows
    with role.merged() as model:
        for rows, begin in in_step(backbone, [*zip(batches, shared, strict=True)], ([], 0)):
            mine = [prompts[i] for i in rows]
            batch = _Batch(model, role, mine or [[backbone.pad_id]], begin, max_new_tokens, allowed, once, not rows)
            numbers = uniforms([seeds[i] for i in rows], max_new_tokens) if temperature and seeds and rows else None
            for i, response in zip(rows, batch.run(temperature, numbers), strict=True):
                responses[i] = response
    return responses if temperature else [list(responses[i]) for i in first]


class _Batch:
    """Writes rows side by side; an idle one writes none, and runs forwards for the sake of other processes."""

    def __init__(
        self,
        model: PreTrainedModel,
        role: Role,
        prompts: list[Sequence[int]],
        begin: int,
        max_new_tokens: int,
        allowed: Allowed | None,
        once: bool,
        idle: bool,
    ) -> None:
        self.max_new_tokens, self.backbone = max_new_tokens, role.backbone
        self.rows = list(range(len(prompts)))  # which row of the result each row of the batch is
        self.ended = [idle] * len(prompts)  # of those rows
        self.written: list[list[int]] = [] if idle else [[] for _ in prompts]
        frozen, end_ids = role.backbone.frozen_states, role.backbone.end_ids
        kept = frozen.serves(role.frozen_layers) and not frozen.full
        self.sampled_states = SampledStates(frozen, prompts, max_new_tokens, end_ids, begin) if kept else None
        distinct, of = distinct_prompts(prompts)
        self.read_for: Tensor | None = None  # which of the rows that are read each row goes on from, until it does
        if once and len(distinct) < len(prompts):
            prompts, self.read_for = distinct, torch.tensor(of, device=role.backbone.device)
        self.model, self.end_ids, self.allowed = model, set(role.backbone.end_ids), allowed
        device, width = role.backbone.device, max(map(len, prompts))
        pad = role.backbone.pad_id
        self.prefix = torch.tensor([prompts[0][:begin]], device=device)  # read once; padding stands behind it
        pads = [width - len(p) for p in prompts]
        rows = [[pad] * n + list(p[begin:]) for n, p in zip(pads, prompts, strict=True)]
        self.input_ids = torch.tensor(rows, device=device)
        mask = [[1] * begin + [0] * n + [1] * (width - begin - n) for n in pads]
        self.mask = torch.tensor(mask, device=device)
        self.image_inputs = image_inputs(prompts, self.input_ids)
        self.position_ids = token_positions(prompts, self.input_ids, self.mask, self.image_inputs)[..., begin:]
        # One more: a response that was cut is read on to an end token, see `_read_to_the_end`.
        self.cache = growing_cache(model.config, width + max_new_tokens + 1)
        self.cache_argument = cache_argument(model)
        self.stops, self.stopped = role.backbone.stops, set[int]()  # which rows are over at a stop string
        self.room = role.backbone.max_response_tokens

    def run(self, temperature: float, numbers: Tensor | None) -> list[list[int]]:
        """Writes all responses, by `numbers` of (rows, max_new_tokens) in [0, 1); without them the likeliest."""
        if numbers is not None and self.input_ids.device.type != "mps":  # which has no float64: drawn on the CPU there
            numbers = numbers.to(self.input_ids.device)
        self.numbers = numbers
        if self.prefix.numel():
            self._read_prefix()
        for position in range(self.max_new_tokens):
            if all(self.ended):
                self._idle()
            else:
                logits = self._next_logits()
                of_rows = None if self.numbers is None else self.numbers[:, position]
                self._write(logits.argmax(-1) if of_rows is None else draw(logits, temperature, of_rows))
            if not goes_on(self.backbone, not all(self.ended)):
                break
            if self.sampled_states is None and not all(self.ended):
                self._drop_ended()
        if self.sampled_states is not None:
            self._read_to_the_end(self.sampled_states)
        return self.written

    def _idle(self) -> None:
        """Runs a token that nobody needs: another process goes on, and the base is shared out."""
        token = self.input_ids.new_full((1, 1), self.backbone.pad_id)
        self.model(input_ids=token, logits_to_keep=1, use_cache=False)

    def _next_logits(self) -> Tensor:  # (rows, vocabulary)
        logits = self._read()
        if self.read_for is not None:
            logits = self._repeat(logits, self.read_for)
        if self.sampled_states is not None:  # who had ended was there to be read to the end
            logits = logits[self._drop_ended()]
        if self.allowed is not None:
            may = torch.stack([self.allowed(self.written[row]) for row in self.rows]).to(logits.device)
            logits = logits.masked_fill(~may, -torch.inf)
        return logits

    def _read(self) -> Tensor:  # (rows, vocabulary)
        """Reads the tokens that were not read yet; logits of what may follow."""
        with nullcontext() if self.sampled_states is None else self.sampled_states.reading(self.rows, self.read_for):
            output = self.model(
                input_ids=self.input_ids,
                attention_mask=self.mask,
                position_ids=self.position_ids,
                logits_to_keep=1,
                use_cache=True,
                **{self.cache_argument: self.cache},
                **self.image_inputs,
            )
        self.image_inputs = {}  # the cache has seen them
        return sayable(self.model, output.logits[:, -1].float())

    def _read_prefix(self) -> None:
        with nullcontext() if self.sampled_states is None else self.sampled_states.reading(self.rows):
            self.model(input_ids=self.prefix, logits_to_keep=1, use_cache=True, **{self.cache_argument: self.cache})
        self.cache.batch_repeat_interleave(len(self.input_ids))

    def _repeat(self, logits: Tensor, of: Tensor) -> Tensor:
        """Gives each row what was read for it; returns the logits of all rows."""
        self.mask, self.position_ids, self.read_for = self.mask[of], self.position_ids[..., of, :], None
        keep_rows(self.cache, of)
        return logits[of]

    def _write(self, tokens: Tensor) -> None:
        said = tokens.tolist()
        if -1 in said:
            row = self.rows[said.index(-1)]
            raise UserError(
                f"the model's logits are not finite after token {len(self.written[row])} of the response in row {row}, "
                "so there is nothing to sample from: training has diverged (lower the learning rate) or a number is "
                "too large for the precision (try fp32)."
            )
        for row, token in zip(self.rows, said, strict=True):
            self.written[row].append(token)
            if token not in self.end_ids and self.stops.end(self.written[row]):
                self.stopped.add(row)
        self.ended = [token in self.end_ids or row in self.stopped for row, token in zip(self.rows, said, strict=True)]
        self._follow_with(tokens.to(self.input_ids.device))

    def _read_to_the_end(self, sampled_states: SampledStates) -> None:
        """Reads the last tokens, and where a row was cut the end token that a reward model puts there, if it fits."""
        self._read()
        if not all(self.ended) and self.max_new_tokens < self.room:
            self._drop_ended()
            self._follow_with(self.input_ids.new_full((len(self.rows),), sampled_states.end_ids[0]))
            self._read()
        sampled_states.hand_over(self.written, self.stopped)

    def _follow_with(self, tokens: Tensor) -> None:
        self.input_ids = tokens[:, None]
        self.position_ids = next_positions(self.position_ids)
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], dim=1)

    def _drop_ended(self) -> Tensor | slice:
        """Takes rows that have ended out of the batch; returns which rows stay."""
        if not any(self.ended):
            return slice(None)
        going_on = [i for i, ended in enumerate(self.ended) if not ended]
        self.rows, self.ended = [self.rows[i] for i in going_on], [False] * len(going_on)
        keep = torch.tensor(going_on, device=self.input_ids.device)
        self.input_ids, self.mask = self.input_ids[keep], self.mask[keep]
        self.position_ids = self.position_ids[..., keep, :]
        if self.numbers is not None:
            self.numbers = self.numbers[keep.to(self.numbers.device)]
        keep_rows(self.cache, keep)
        return keep
