"""Anatomy: finds layers, token ids and weights in a loaded model, of any architecture."""

import hashlib
import inspect
import re

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from backbones.model.loading import BackboneError
from perlhf.errors import UserError

VISION = "vision|visual|image"  # in the names of what is no part of the language model
NOT_LANGUAGE = f"{VISION}|audio|multi_modal|projector|connector"
_PIECE = 1 << 22  # numbers of a weight that are hashed at once


def cache_argument(model: PreTrainedModel) -> str:
    """Returns what a forward calls its KV cache: "cache" since transformers 5.24, "past_key_values" before.

    The old name works in newer versions too, with a warning at every call.
    """
    return "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"


def image_token_of(model: PreTrainedModel) -> int | None:
    """Returns the token that stands for a part of an image; None of a model that sees none."""
    token: int | None = getattr(model.config, "image_token_id", None)
    return token


def end_ids_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, turn_end: str = "") -> list[int]:
    """Lists the tokens that end a response; some models have several. Ids without an embedding do not count.

    Args:
        model: with a generation config.
        tokenizer: of the model.
        turn_end: the token that ends a turn by the chat template, if any; it comes first.

    Raises:
        BackboneError: there is none, or the template's has no embedding.
    """
    configured = model.generation_config.eos_token_id if model.generation_config is not None else None
    ids = [configured] if isinstance(configured, int) else list(configured or [])
    if tokenizer.eos_token_id is not None and tokenizer.eos_token_id not in ids:
        ids.insert(0, tokenizer.eos_token_id)
    ids = [i for i in ids if i < embedding_count(model)]
    if turn_end:
        end = tokenizer.convert_tokens_to_ids(turn_end)
        if end >= embedding_count(model):
            raise BackboneError(
                f"the chat template ends turns with {turn_end!r}, token {end}, and this model has embeddings for "
                f"{embedding_count(model)}; give it one (resize_token_embeddings) or --chat-template none."
            )
        ids = [end, *(i for i in ids if i != end)]
    if not ids:
        raise BackboneError(
            "this backbone's tokenizer and generation config name no end-of-text token; set eos_token in "
            "tokenizer_config.json."
        )
    return ids


def pad_id_of(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, end_ids: list[int]) -> int:
    """Returns the padding token, or an end token where there is none or it has no embedding."""
    pad_id: int | None = tokenizer.pad_token_id
    return end_ids[0] if pad_id is None or pad_id >= embedding_count(model) else pad_id


def embedding_count(model: PreTrainedModel) -> int:
    """Counts the token ids that the model can read."""
    return int(model.get_input_embeddings().weight.shape[0])


@torch.no_grad()
def hash_base(model: PreTrainedModel) -> str:
    """Computes the sha256 over the names, shapes and bytes of all weights that belong to no adapter.

    Half-precision numbers are taken as the float32 numbers that they are, so that equal weights have one hash, whatever
    they are held in. They are widened piece by piece. Of weights that are shared out it takes this process's part.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(base_weights(model).items()):
        tensor = tensor.to_local() if isinstance(tensor, DTensor) else tensor
        wide = torch.float32 if tensor.dtype in (torch.bfloat16, torch.float16) else tensor.dtype
        digest.update(f"{name} {tuple(tensor.shape)} {wide}".encode())
        for piece in tensor.detach().reshape(-1).split(_PIECE):
            digest.update(piece.cpu().to(wide).contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def base_weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Returns the weights of the plain model by their plain names, whatever adapters are in it."""
    return {
        name.replace(".base_layer.", "."): parameter
        for name, parameter in model.named_parameters()
        if ".lora_" not in name
    }


def body_of(model: PreTrainedModel) -> PreTrainedModel:
    """Returns the model below the LM head, which gives the last hidden states.

    `base_model` is the LM itself in classes that name no prefix of their own, as Llama 4's for text.
    """
    if model.base_model is not model:
        body: PreTrainedModel = model.base_model
        return body
    return next(child for child in model.children() if isinstance(child, PreTrainedModel))


def layer_count(model: PreTrainedModel) -> int:
    """Counts the layers of the language model."""
    return int(model.config.get_text_config().num_hidden_layers)


def top_layers(text: str, model: PreTrainedModel) -> int | None:
    """Reads `--lora-layers`: "all" (None), "half" or "quarter" (of them, at the top), or how many at the top.

    Raises:
        UserError: it says none of them, or more layers than there are.
    """
    count = layer_count(model)
    shares = {"all": count, "half": (count + 1) // 2, "quarter": (count + 3) // 4}
    found = shares.get(text) or (int(text) if text.isdecimal() else 0)
    if not 1 <= found <= count:
        raise UserError(f"lora_layers: expected 'all', 'half', 'quarter' or 1 to {count} (at the top), got {text!r}.")
    return None if found == count else found


def decoder_layers(model: PreTrainedModel) -> nn.ModuleList | None:
    """Finds the layers of the language model, the lowest first; None where it does not keep them in one list."""
    lists = (
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == layer_count(model) and not re.search(NOT_LANGUAGE, name)
    )
    return next(lists, None)
