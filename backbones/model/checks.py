"""Checks: finds out at loading whether a model can be sampled from and scored as it is done here."""

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from backbones.model.anatomy import cache_argument, embedding_count
from backbones.model.loading import FOR_IMAGES, INSTEAD, BackboneError, sees
from perlhf.errors import one_line

_LENGTH, _STEPS, _PADDING = 12, 4, 5  # tokens: enough that what is summed up in fours, as in DeepSeek-V4, shows
_ROUNDING = 100  # times the precision of a number, which the shape of a batch changes logits by
_ROUNDING_IN_HALF = 8  # the same where numbers have so few digits that most sums round alike


def check_vocabulary(path: str, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuses a tokenizer whose words the model has no embeddings for; added tokens without one are only not used."""
    count = embedding_count(model)
    if tokenizer.vocab_size > count:
        raise BackboneError(
            f"backbone {path!r} has a tokenizer of {tokenizer.vocab_size} tokens and a model with embeddings for "
            f"{count}: they do not belong together; save the model's own tokenizer there."
        )


@torch.no_grad()
def check_causal(path: str, model: PreTrainedModel) -> None:
    """Refuses a model whose output at a token depends on the tokens after it, such as BERT.

    Raises:
        BackboneError: it does, or it does not run on text alone.
    """
    kind, instead = type(model).__name__, FOR_IMAGES if sees(model.config) else f"{INSTEAD}."
    rows = torch.tensor([[1, 2], [1, 3]], device=model.device)
    try:
        first, second = model(input_ids=rows, attention_mask=torch.ones_like(rows)).logits[:, 0].float()
    except Exception as error:  # what a model raises that wants an image first is any of a dozen types
        raise BackboneError(f"backbone {path!r}: {kind} reads no text alone ({one_line(error)}); {instead}") from None
    # Rounding differs by far less with the shape of a batch, and a model that reads both ways differs by far more.
    close = max(1e-3, 4 * _eps(model))
    if not torch.allclose(first, second, rtol=close, atol=close):
        raise BackboneError(f"backbone {path!r} is no causal language model: {kind} reads both ways; {instead}")


@torch.no_grad()
def check_decoding(path: str, model: PreTrainedModel) -> None:
    """Refuses a model that gives something else token by token, or beside padding, than it gives a row alone.

    Sampling reads a token at a time with a cache, and rows are padded on the left. What must not depend on either is
    seen on a few tokens, so that no model has to be known by its name.

    Raises:
        BackboneError: it takes no cache, or ignores it or the padding, or takes no such arguments.
    """
    try:
        alone, without, stepwise, padded = _last_logits(model)
    except Exception as error:  # what a model does with arguments that it does not have is any of a dozen types
        why = f"cannot read rows with a cache and positions ({one_line(error)})"
        raise BackboneError(f"backbone {path!r}: {type(model).__name__} {why}; {INSTEAD}.") from None
    # Rounding of a real model is far below what the tokens before do; that of one with random weights may not be.
    eps = _eps(model)
    rounding = (_ROUNDING if eps < 1e-4 else _ROUNDING_IN_HALF) * eps * float(alone.abs().max())
    allowed = rounding + 0.002 * float((without - alone).abs().max())
    for given, how in ((stepwise, "token by token with a cache"), (padded, "padded on the left")):
        if not float((given - alone).abs().max()) <= allowed:
            kind = type(model).__name__
            raise BackboneError(f"backbone {path!r}: {kind} reads a row {how} as another than alone; {INSTEAD}.")


def _eps(model: PreTrainedModel) -> float:
    """Returns the precision of the coarsest numbers in a model, next to 1."""
    return max(torch.finfo(p.dtype).eps for p in model.parameters() if p.is_floating_point())


def _last_logits(model: PreTrainedModel) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns the logits after a row: read alone, its last token alone, in steps of a cache, and behind padding."""
    row = torch.arange(5, 5 + _LENGTH, device=model.device)[None] * 7 % embedding_count(model)
    ones = torch.ones_like(row)
    alone = model(input_ids=row, use_cache=False).logits[0, -1]
    without = model(input_ids=row[:, -1:], use_cache=False).logits[0, -1]
    cache = {cache_argument(model): DynamicCache(config=model.config), "use_cache": True}
    stepwise = _read(model, row[:, :-_STEPS], ones[:, :-_STEPS], 0, cache)
    for end in range(_LENGTH - _STEPS + 1, _LENGTH + 1):
        stepwise = _read(model, row[:, end - 1 : end], ones[:, :end], 0, cache)
    padding = row[:, :_PADDING]
    padded = torch.cat([padding, row], dim=1), torch.cat([torch.zeros_like(padding), ones], dim=1)
    return alone, without, stepwise, _read(model, *padded, _PADDING, {"use_cache": False})


def _read(model: PreTrainedModel, ids: Tensor, mask: Tensor, padding: int, more: dict[str, object]) -> Tensor:
    places = (torch.arange(mask.shape[1], device=ids.device)[None] - padding).clamp(min=0)[:, -ids.shape[1] :]
    column = torch.tensor([ids.shape[1] - 1], device=ids.device)
    output = model(input_ids=ids, attention_mask=mask, position_ids=places, logits_to_keep=column, **more)
    assert output.logits.shape[1] == 1, "it gives logits of more columns than asked for"
    return output.logits[0, -1]
