"""Shared prefix: reads the tokens that all prompts of a batch begin with once for all of them, while sampling.

Instructions in a system message are the same in every prompt, and often most of it.

Patched: nothing. The cache of one row is repeated for all rows; what follows is padded between the prefix and the rest,
which the mask and the positions of a model must allow: it is asked once, on a few tokens.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache

from backbones.model.anatomy import cache_argument
from backbones.model.tokens import positions
from backbones.shortcuts.growing_cache import growing_cache, grows
from backbones.shortcuts.precision import is_close

if TYPE_CHECKING:
    from backbones.backbone import Backbone

SHORTEST = 32  # tokens that are worth a forward of their own
_PREFIX, _RESTS = [5, 6, 7, 8, 9], [[3, 4, 5], [6], [4, 3]]


def prefix_length(prompts: Sequence[Sequence[int]]) -> int:
    """Counts the tokens that all prompts begin with, the last token of each left aside; 0 where it is not worth it."""
    rows = [list(prompt[:-1]) for prompt in prompts]
    pairs = zip(min(rows), max(rows), strict=False)  # what these two have in common, all between them have
    common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return common if len(prompts) > 1 and common >= SHORTEST else 0


@torch.no_grad()
def shares_prefixes(backbone: "Backbone") -> bool:
    """Tells whether a model gives the same behind a shared prefix as without: seen on a few tokens."""
    model, argument = backbone.model, cache_argument(backbone.model)
    if backbone.vision is not None or not grows(model.config):
        return False
    length = len(_PREFIX) + max(map(len, _RESTS))
    whole, whole_mask = _padded([_PREFIX + rest for rest in _RESTS], backbone.pad_id)
    rests, mask = _padded(_RESTS, backbone.pad_id)
    mask = torch.cat([torch.ones(len(rests), len(_PREFIX), dtype=torch.long), mask], dim=1)
    with backbone.reference.active():
        cache: DynamicCache = growing_cache(model.config, length)
        model(input_ids=torch.tensor([_PREFIX], device=model.device), use_cache=True, **{argument: cache})
        cache.batch_repeat_interleave(len(_RESTS))
        of_two = model(
            input_ids=rests.to(model.device), attention_mask=mask.to(model.device),
            position_ids=positions(mask)[:, len(_PREFIX) :].to(model.device), use_cache=True, **{argument: cache},
        )  # fmt: skip
        of_one = model(
            input_ids=whole.to(model.device), attention_mask=whole_mask.to(model.device),
            position_ids=positions(whole_mask).to(model.device), use_cache=False,
        )  # fmt: skip
    return is_close(of_two.logits[:, -1], of_one.logits[:, -1], backbone.precision)


def _padded(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pads rows on the left; returns ids and mask, (rows, longest)."""
    width = max(map(len, rows))
    ids = torch.tensor([[pad_id] * (width - len(row)) + list(row) for row in rows])
    return ids, torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
