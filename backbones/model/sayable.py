"""Ids without a token: vocabularies are padded to round numbers, and no response may hold what has no text."""

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from backbones.model.anatomy import embedding_count

_NAME = "ids_without_a_token"


def rule_out_unknown_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Notes beside a model which ids its tokenizer does not know, for `unknown_ids`; nothing where it knows all."""
    known = set(tokenizer.get_vocab().values())
    sayable = int(model.get_output_embeddings().weight.shape[0])  # some models read more ids than they can say
    unknown = [i for i in range(min(sayable, embedding_count(model))) if i not in known]
    if unknown:  # goes where the model goes, and is neither saved nor hashed
        place = model.get_input_embeddings().weight.device
        model.register_buffer(_NAME, torch.tensor(unknown, device=place), persistent=False)


def unknown_ids(model: PreTrainedModel) -> torch.Tensor | None:
    """Returns the ids (n,) of a model that its tokenizer does not know; None where there are none."""
    found: torch.Tensor | None = getattr(model, _NAME, None)
    return found
