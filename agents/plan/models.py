"""Sizes of well-known models, by which a run is planned without a download."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from transformers import LlamaConfig, PreTrainedConfig

from backbones.model.loading import SHIPPED, read_config, resolve_path
from perlhf.errors import UserError, did_you_mean, one_line


class Known(NamedTuple):
    """Describes a model whose sizes are built in."""

    name: str
    sizes: dict[str, Any]  # of a `LlamaConfig`
    source: str


def _sizes(width: int, feed_forward: int, layers: int, heads: int, kv_heads: int, words: int) -> dict[str, Any]:
    return {
        "hidden_size": width, "intermediate_size": feed_forward, "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": words,
        "tie_word_embeddings": False,
    }  # fmt: skip


KNOWN = {
    "7B": Known("Llama-2-7B", _sizes(4096, 11008, 32, 32, 32, 32000), "config.json of meta-llama/Llama-2-7b-hf"),
    "8B": Known("Llama-3-8B", _sizes(4096, 14336, 32, 32, 8, 128256), "config.json of meta-llama/Meta-Llama-3-8B"),
    "70B": Known("Llama-3-70B", _sizes(8192, 28672, 80, 64, 8, 128256), "config.json of meta-llama/Meta-Llama-3-70B"),
    "135M": Known(
        "SmolLM2-135M",
        {**_sizes(576, 1536, 30, 9, 3, 49152), "tie_word_embeddings": True},
        "config.json of HuggingFaceTB/SmolLM2-135M",
    ),
}


def find_model(name: str) -> tuple[str, PreTrainedConfig]:
    """Returns what a model is called and its config.

    Args:
        name: a size or a name of `KNOWN`, a config.json, a folder that has one, a shipped backbone, or a hub id.

    Raises:
        UserError: it is none of them, or there is no config that can be read.
    """
    for size, known in KNOWN.items():
        if name.strip().lower() in (size.lower(), known.name.lower()):
            return known.name, LlamaConfig(**known.sizes)
    path = Path(name)
    if not (path.exists() or name in SHIPPED or name.count("/") == 1):
        names = [*KNOWN, *(known.name for known in KNOWN.values()), *SHIPPED]
        raise UserError(
            f"unknown model {name!r}: expected {', '.join(KNOWN)}, a config.json, a folder with one, or a hub id."
            + (did_you_mean(name, names) if path.parent == Path() else "")
        )
    try:
        if path.is_file():
            json.loads(path.read_text(encoding="utf-8"))  # else transformers looks for it on the hub
        return name, read_config(str(path) if path.is_file() else resolve_path(name))
    except UserError:
        raise
    except Exception as error:  # what damaged files raise is any of a dozen types
        raise UserError(f"model {name!r} has no config that can be read: {one_line(error)}") from None
