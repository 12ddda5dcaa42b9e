"""Equal prompts: reads a prompt once for all the responses to it, while sampling.

Groups of responses to one prompt, and episodes that begin in one state, have rows whose prompts are equal. The cache of
the distinct prompts then gets a row for each response.

Patched: nothing. It relies on the rows of a cache being all that a model keeps of a prompt; a model is asked once, on
a few tokens.
"""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

import torch

from backbones.model.anatomy import cache_argument
from backbones.model.tokens import positions
from backbones.model.vision import ImagePrompt
from backbones.shortcuts.growing_cache import growing_cache, keep_rows
from backbones.shortcuts.precision import is_close

if TYPE_CHECKING:
    from backbones.backbone import Backbone

_PROMPTS, _NEXT, _OF = [[3, 4, 5, 6], [6, 5, 3, 4]], [[7], [8], [9]], [1, 0, 1]


def first_of_each(prompts: Sequence[Sequence[int]]) -> list[int]:
    """Returns for each prompt the number of the first one that equals it, its image too; its own where none does."""
    first: dict[Hashable, int] = {}
    return [first.setdefault(_key(prompt), number) for number, prompt in enumerate(prompts)]


def distinct_prompts(prompts: Sequence[Sequence[int]]) -> tuple[list[Sequence[int]], list[int]]:
    """Returns each prompt once, and which of these each prompt equals."""
    first = first_of_each(prompts)
    once = sorted(set(first))
    number = {i: k for k, i in enumerate(once)}
    return [prompts[i] for i in once], [number[i] for i in first]


def _key(prompt: Sequence[int]) -> Hashable:
    if not isinstance(prompt, ImagePrompt):
        return tuple(prompt)
    return tuple(prompt), prompt.digest


@torch.no_grad()
def repeats_rows(backbone: "Backbone") -> bool:
    """Tells whether a model goes on from rows of a cache that were repeated as from rows that were read each."""
    model, argument = backbone.model, cache_argument(backbone.model)
    device, width = model.device, len(_PROMPTS[0])
    of, whole = torch.tensor(_OF, device=device), [_PROMPTS[i] + token for i, token in zip(_OF, _NEXT, strict=True)]
    mask = torch.ones(len(_OF), width + 1, dtype=torch.long, device=device)
    with backbone.reference.active():
        cache = growing_cache(model.config, width + 1)
        ids, places = torch.tensor(_PROMPTS, device=device), positions(mask)[: len(_PROMPTS), :width]
        model(input_ids=ids, attention_mask=mask[: len(_PROMPTS), :width], position_ids=places, logits_to_keep=1,
              use_cache=True, **{argument: cache})  # fmt: skip
        keep_rows(cache, of)
        repeated = model(
            input_ids=torch.tensor(_NEXT, device=device), attention_mask=mask, position_ids=positions(mask)[:, width:],
            logits_to_keep=1, use_cache=True, **{argument: cache},
        )  # fmt: skip
        each = model(
            input_ids=torch.tensor(whole, device=device), attention_mask=mask, position_ids=positions(mask),
            logits_to_keep=1, use_cache=False,
        )  # fmt: skip
    return is_close(repeated.logits[:, -1], each.logits[:, -1], backbone.precision)
