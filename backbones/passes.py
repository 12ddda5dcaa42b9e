"""Counts what passes through a model take: forwards that sample and score, a forward and backward of training.

The model is on torch's "meta" device, without weights, so each is counted of any architecture, with no formula for it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from peft import LoraModel
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from backbones.forward import chosen_log_probs
from backbones.live_bytes import peak_bytes, saved_bytes
from backbones.log_probs import CHUNK, is_large
from backbones.model.anatomy import cache_argument, layer_count
from backbones.model.loading import Precision
from backbones.model.targets import adapted_names
from backbones.roles import LoRASettings
from backbones.shortcuts.checkpointed import checkpoint_layers
from backbones.shortcuts.head_states import without_head
from backbones.shortcuts.top_mlp import top_mlp_at

SCORED = 16  # rows in a forward without gradients


class Shape(NamedTuple):
    """Says how many tokens are in memory at once."""

    prompt: int  # tokens of the longest prompt
    response: int  # tokens of the longest response
    rows: int  # sampled side by side
    micro_batch: int  # in one forward of training
    prompts: int = 0  # read side by side, where rows have equal ones; 0 for a prompt each
    rollout: int = 0  # rows of a rollout, whose states below the adapters are kept; 0 where none are
    together: int = 1  # rows of a forward of training, or scoring, whose equal prompts are one

    def of_rows(self, rows: int) -> "Shape":
        """Returns so many rows in one forward, in which responses to one prompt stand behind it in one line."""
        beside = min(self.together, rows)
        return self._replace(micro_batch=-(-rows // beside), response=beside * self.response, together=beside)


def kept_with_checkpoints(kept: int, rows: int, layers: int, length: int, width: int) -> int:
    """Returns what autograd keeps where layers run again in the backward pass: the input of each, and all of two.

    Args:
        kept: what it keeps without that, in bytes.
        rows, layers, length: how many rows, layers and tokens of a row there are.
        width: bytes of the state of a token.
    """
    return kept * 2 // layers + rows * layers * length * width


def bytes_of_states(precision: Precision) -> int:
    """Returns how many bytes a number of a state has between layers; all but bf16 keep float32 there."""
    return 2 if precision == "bf16" else 4


def cache_bytes(model: PreTrainedModel) -> int:
    """Counts the keys and values of one token, in all layers."""
    cache = DynamicCache(config=model.config)
    model(input_ids=_tokens(1, 1), use_cache=True, **{cache_argument(model): cache})
    keeping = [layer for layer in cache.layers if hasattr(layer, "keys")]  # others sum up all tokens in one state
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in keeping)


def reading_bytes(model: PreTrainedModel, shape: Shape) -> int:
    """Counts what reading prompts side by side takes, without keys and values; their images are read with them."""
    rows = shape.prompts or shape.rows
    weights, ids, pixels = _storages(model), _tokens(rows, shape.prompt), _pixels(model, rows)

    @torch.no_grad()
    def read() -> None:
        model(input_ids=ids, logits_to_keep=1, use_cache=False)

    seen = 0 if pixels is None else pixels.nbytes + _of_tower(peak_bytes, model, pixels, weights)
    return max(peak_bytes(read, weights), seen)


def bytes_of_training(
    model: PreTrainedModel, policy: LoRASettings | None, shape: Shape, precision: Precision, checkpointing: bool
) -> dict[str, int]:
    """Counts what scoring and training take: `scoring`, `activations`, `backward` and `images` of a plan."""
    given, shape = shape, shape.of_rows(shape.micro_batch)
    activations = activation_bytes(model, policy, shape)  # gives the model its adapters
    if checkpointing:
        checkpoint_layers(model)
    weights, of_chunk = _storages(model), _chunk_bytes(model, shape)
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    forward = _forward_of(model, shape)
    most = peak_bytes(lambda: forward().sum().backward(), weights) - trained + of_chunk
    if checkpointing:
        width = bytes_of_states(precision) * int(model.get_output_embeddings().weight.shape[-1])
        sizes = (shape.micro_batch, layer_count(model), shape.prompt + shape.response, width)
        activations = min(most, kept_with_checkpoints(activations, *sizes))
    few = min(SCORED, shape.rows if precision == "fp32" else given.micro_batch)
    scoring = peak_bytes(torch.no_grad()(_forward_of(model, given.of_rows(few))), weights)
    pixels = _pixels(model, shape.micro_batch)
    images = 0 if pixels is None else pixels.nbytes + _of_tower(saved_bytes, model, pixels, weights)
    backward = max(0, most - activations)
    return {"activations": activations, "backward": backward, "scoring": scoring + of_chunk, "images": images}


def _chunk_bytes(model: PreTrainedModel, shape: Shape) -> int:
    """Counts what a chunk of many logits takes: logits, log-probabilities and their slope at once; 0 for few."""
    return 3 * 4 * CHUNK if is_large(model, shape.micro_batch * shape.response) else 0


def activation_bytes(model: PreTrainedModel, policy: LoRASettings | None, shape: Shape) -> int:
    """Gives a model adapters, and counts what autograd keeps of a forward over a micro-batch, weights left out."""
    if policy is None:
        model.requires_grad_(True)
    else:
        names = adapted_names(model, policy.targets, policy.vision, policy.layers)
        with torch.device("meta"):
            LoraModel(model, policy.config(model, names), "policy")
    return saved_bytes(_forward_of(model, shape), _storages(model)) + _chunk_bytes(model, shape)


def _forward_of(model: PreTrainedModel, shape: Shape) -> Callable[[], Tensor]:
    """Returns a forward over a micro-batch: log p of its tokens, or of large ones the states that it is made of."""
    ids = _tokens(shape.micro_batch, shape.prompt + shape.response)
    before = torch.arange(shape.prompt - 1, shape.prompt + shape.response - 1, device="meta")
    in_chunks = is_large(model, shape.micro_batch * shape.response)
    pairs = (len(ids), 1, ids.shape[1], ids.shape[1])  # of tokens: which sees which, where rows stand in one line
    mask = torch.ones(pairs, dtype=torch.bool, device="meta") if shape.together > 1 else None

    def forward() -> Tensor:
        skipped: AbstractContextManager[list[Tensor]] = without_head(model) if in_chunks else nullcontext([])
        with top_mlp_at(model, (slice(None), slice(-shape.response - 1, None))), skipped as states:
            output = model(input_ids=ids, attention_mask=mask, logits_to_keep=before, use_cache=False)
        return states[0] if in_chunks else chosen_log_probs(output.logits.float(), ids[:, shape.prompt :])

    return forward


def _storages(model: PreTrainedModel) -> set[int]:
    """Returns the storages of a model's weights."""
    return {parameter.untyped_storage()._cdata for parameter in model.parameters()}


def _pixels(model: PreTrainedModel, rows: int) -> Tensor | None:
    """Returns an image for each row, as large as the config says; None where it does not see, or does not say."""
    size = getattr(getattr(model.config, "vision_config", None), "image_size", None)
    return torch.zeros(rows, 3, size, size, device="meta") if isinstance(size, int) else None


def _of_tower(
    count: Callable[[Callable[[], Any], set[int]], int], model: PreTrainedModel, pixels: Tensor, weights: set[int]
) -> int:
    """Counts what the vision tower takes or keeps; 0 of one that takes more than pixels, which is not planned."""
    try:
        return count(lambda: model.get_image_features(pixel_values=pixels), weights)
    except Exception:  # what a model does with pixels alone is any of a dozen types
        return 0


def _tokens(rows: int, length: int) -> Tensor:
    return torch.zeros(rows, length, dtype=torch.long, device="meta")
