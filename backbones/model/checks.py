"""Checks: finds out at loading whether a model can be sampled from and scored as it is done here."""

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from backbones.model.anatomy import cache_argument
from backbones.model.loading import INSTEAD, BackboneError
from perlhf.errors import one_line

_ROUNDING = 100  # times the precision of a number, which the shape of a batch changes logits by


@torch.no_grad()
def check_decoding(path: str, model: PreTrainedModel) -> None:
    """Refuses a model that gives something else token by token, or beside padding, than it gives a row alone.

    Sampling reads a token at a time with a cache, and rows are padded on the left. What must not depend on either is
    seen on three tokens, so that no model has to be known by its name.

    Raises:
        BackboneError: it takes no cache, or ignores it or the padding, or takes no such arguments.
    """
    try:
        alone, without, stepwise, padded = _last_logits(model)
    except Exception as error:  # what a model does with arguments that it does not have is any of a dozen types
        why = f"cannot read rows with a cache and positions ({one_line(error)})"
        raise BackboneError(f"backbone {path!r}: {type(model).__name__} {why}; {INSTEAD}.") from None
    # Rounding of a real model is far below what the tokens before do; that of one with random weights may not be.
    rounding = _ROUNDING * torch.finfo(alone.dtype).eps * float(alone.abs().max())
    allowed = rounding + 0.05 * float((without - alone).abs().max())
    for given, name in ((stepwise, "its cache"), (padded, "padding on the left")):
        gap = float((given - alone).abs().max())
        if not gap <= allowed:
            raise BackboneError(f"backbone {path!r}: {type(model).__name__} ignores {name}; {INSTEAD}.")


def _last_logits(model: PreTrainedModel) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the logits after three tokens: read alone, the last without those before, in two steps, and padded."""
    row = torch.tensor([[5, 6, 7]], device=model.device) % model.get_input_embeddings().weight.shape[0]
    alone = model(input_ids=row, use_cache=False).logits[0, -1]
    without = model(input_ids=row[:, 2:], use_cache=False).logits[0, -1]
    cache = {cache_argument(model): DynamicCache(config=model.config), "use_cache": True}
    _read(model, row[:, :2], torch.ones_like(row[:, :2]), 0, cache)
    stepwise = _read(model, row[:, 2:], torch.ones_like(row), 0, cache)
    mask = torch.tensor([[0, 0, 1, 1, 1]], device=model.device)
    padded = _read(model, torch.cat([row[:, :2], row], dim=1), mask, 2, {"use_cache": False})
    return alone, without, stepwise, padded


def _read(model: PreTrainedModel, ids: Tensor, mask: Tensor, padding: int, more: dict[str, object]) -> Tensor:
    places = (torch.arange(mask.shape[1], device=ids.device)[None] - padding).clamp(min=0)[:, -ids.shape[1] :]
    column = torch.tensor([ids.shape[1] - 1], device=ids.device)
    output = model(input_ids=ids, attention_mask=mask, position_ids=places, logits_to_keep=column, **more)
    assert output.logits.shape[1] == 1, "it gives logits of more columns than asked for"
    return output.logits[0, -1]
