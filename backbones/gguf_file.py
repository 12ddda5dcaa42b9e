"""GGUF: writes a language model with its tokenizer as the one file that llama.cpp and what is built on it read.

Of the architectures that perlhf is used with most; llama.cpp's own converter, which pip does not install, has all. What
is written of each follows that converter (convert_hf_to_gguf.py) and llama.cpp's readers. The package `gguf` has the
format and the names of tensors.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from backbones.model.anatomy import embedding_count
from backbones.model.loading import sees
from backbones.model.plain_text import added_ids
from backbones.plain_model import Numbers
from perlhf.errors import UserError

if TYPE_CHECKING:
    from backbones.backbone import Backbone


class _Kind(NamedTuple):
    """Says how llama.cpp holds an architecture, where that is not as transformers does."""

    name: str
    activation: str = "silu"
    paired: bool = False  # rotary positions turn neighbouring rows of q and k, not those half a head apart
    norm_offset: float = 0.0  # added to the weights of norms


# By the model type of transformers.
_KINDS = {
    "llama": _Kind("llama", paired=True),
    "qwen2": _Kind("qwen2"),
    "qwen3": _Kind("qwen3"),
    "gemma3_text": _Kind("gemma3", "gelu_pytorch_tanh", norm_offset=1.0),
}
_INSTEAD = "export it with --merge, and give that folder to llama.cpp's convert_hf_to_gguf.py."
_GEMMA_PERIOD, _GEMMA_LOCAL_THETA = 6, 10_000  # of its layers, the last of so many sees all; the rotation of the others

# How text is split before BPE: llama.cpp knows splits by name. What is no word of it stays as it is in every split.
_SPLIT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|%s| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" + (
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
)
_WORDS, _BYTES, _DIGITS = "words of GPT-2", "bytes", "single digits"
_SPLITS = {
    (_WORDS,): "gpt-2",
    (_DIGITS, _WORDS): "smollm",
    (_SPLIT % "\\p{N}{1,3}", _BYTES): "llama-bpe",
    (_SPLIT % "\\p{N}", _BYTES): "qwen2",
}
_WITHOUT_MERGES = "llama-bpe"  # the split whose tokenizers take a word that is a token whole


def check_gguf(backbone: "Backbone") -> None:
    """Refuses a model that `write_gguf` cannot write.

    Raises:
        UserError: another architecture, or one with what llama.cpp would not do alike; a tokenizer that llama.cpp has
            no name for; the package `gguf` is not installed.
    """
    _check_architecture(backbone.model.config)
    _vocabulary(backbone.tokenizer, backbone.end_ids)
    _package()


def write_gguf(model: PreTrainedModel, backbone: "Backbone", file: Path, numbers: Numbers, name: str) -> None:
    """Writes a language model and its tokenizer to one GGUF file.

    Args:
        model: as `backbones.plain_model.merged` gives it.
        backbone: that it came from.
        file: to write.
        numbers: what matrices are written in; vectors, such as weights of norms, are in float32 always.
        name: what the model is called.

    Raises:
        UserError: as `check_gguf`.
    """
    check_gguf(backbone)
    gguf = _package()
    kind = _KINDS[model.config.model_type]
    writer = gguf.GGUFWriter(file, kind.name)
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32 if numbers == "fp32" else gguf.LlamaFileType.MOSTLY_BF16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    _add_sizes(writer, model.config)
    _add_tokenizer(writer, backbone)
    half = gguf.GGMLQuantizationType.BF16
    for tensor_name, values in _tensors(model, kind):
        if numbers == "bf16" and values.ndim > 1:
            writer.add_tensor(tensor_name, gguf.quants.quantize(values, half), raw_dtype=half)
        else:
            writer.add_tensor(tensor_name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _package() -> Any:
    try:
        import gguf
    except ImportError:
        raise UserError(
            "--gguf needs a package that is not here: pip install gguf, or perlhf's extra 'gguf'."
        ) from None
    return gguf


def _check_architecture(config: PreTrainedConfig) -> None:
    kind = _KINDS.get(config.model_type)
    if sees(config) or kind is None:
        what = "a model that takes images" if sees(config) else f"architecture {config.model_type}"
        raise UserError(f"--gguf writes {', '.join(_KINDS)}, got {what}; {_INSTEAD}")
    head = _head_size(config)
    sliding = [layer == "sliding_attention" for layer in getattr(config, "layer_types", None) or []]
    expected = {
        "hidden_act": (getattr(config, "hidden_act", None) or getattr(config, "hidden_activation", None),
                       kind.activation),
        "rope_type": (_rope(config).get("rope_type", "default"), "default"),
        "partial_rotary_factor": (_rope(config).get("partial_rotary_factor") or 1, 1),
    }  # fmt: skip
    if kind.name == "gemma3":
        expected["query_pre_attn_scalar"] = (config.query_pre_attn_scalar, head)
        expected["final_logit_softcapping"] = (config.final_logit_softcapping, None)
        expected["attn_logit_softcapping"] = (config.attn_logit_softcapping, None)
        expected["use_bidirectional_attention"] = (bool(config.use_bidirectional_attention), False)
    if any(sliding):
        whole = [(i + 1) % _GEMMA_PERIOD == 0 for i in range(len(sliding))]
        fits = kind.name == "gemma3" and sliding == [not sees_all for sees_all in whole]
        expected["layer_types"] = ("windows of attention", "windows of attention" if fits else "attention to all")
        local = _rope(config, "sliding_attention")
        expected["rope_theta of windows"] = (local.get("rope_theta"), _GEMMA_LOCAL_THETA if fits else None)
    for what, (found, wanted) in expected.items():
        if found != wanted:
            raise UserError(f"--gguf takes a {config.model_type} with {what} {wanted}, got {found}; {_INSTEAD}")


def reader_arguments(config: PreTrainedConfig) -> dict[str, Any]:
    """Returns what transformers' GGUF reader has to be told, as arguments of `from_pretrained`: it does not read them.

    Without them it takes its own defaults, and the model says something else without a word.
    """
    arguments: dict[str, Any] = {}
    if config.model_type == "gemma3_text":
        arguments["query_pre_attn_scalar"] = config.query_pre_attn_scalar
    if config.model_type == "qwen3" and _head_size(config) != 128:
        arguments["head_dim"] = _head_size(config)
    if config.model_type == "llama" and config.attention_bias:
        arguments["attention_bias"] = True
    return arguments


def _rope(config: PreTrainedConfig, layers: str = "full_attention") -> Mapping[str, Any]:
    """Returns how layers of a kind turn queries and keys."""
    parameters = config.rope_parameters
    found: Mapping[str, Any] = parameters.get(layers, parameters)
    return found


def _head_size(config: PreTrainedConfig) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _add_sizes(writer: Any, config: PreTrainedConfig) -> None:
    head = _head_size(config)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(_rope(config)["rope_theta"]))
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    if "sliding_attention" in (getattr(config, "layer_types", None) or []):
        writer.add_sliding_window(config.sliding_window)


def _tensors(model: PreTrainedModel, kind: _Kind) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the weights under llama.cpp's names, float32; an output tied to the embeddings is left out."""
    gguf, config = _package(), model.config
    arch = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == kind.name)
    names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
    for name, parameter in model.named_parameters():
        values = parameter.detach().float().cpu().numpy()
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise UserError(f"--gguf has no name for tensor {name} of a {config.model_type}; {_INSTEAD}")
        if kind.paired and ".q_proj." in name:
            values = _neighbours(values, config.num_attention_heads)
        elif kind.paired and ".k_proj." in name:
            values = _neighbours(values, config.num_key_value_heads)
        yield found, values + np.float32(kind.norm_offset) if name.endswith("norm.weight") else values


def _neighbours(rows: np.ndarray, heads: int) -> np.ndarray:
    """Puts rows that are turned together side by side: of each head the first half and the second take turns."""
    halves = rows.reshape(heads, 2, len(rows) // heads // 2, *rows.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows.shape))


def _vocabulary(tokenizer: PreTrainedTokenizerBase, end_ids: list[int]) -> tuple[Mapping[str, Any], str]:
    """Returns the BPE of a tokenizer as its file has it, and llama.cpp's name for how it splits text before.

    Raises:
        UserError: it is no BPE of bytes, or none that llama.cpp has a name for.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    held = json.loads(backend.to_str()) if backend is not None else {}
    model, split = held.get("model") or {}, held.get("pre_tokenizer") or {}
    parts = split.get("pretokenizers", [split])
    name = _SPLITS.get(tuple(_described(part) for part in parts))
    normal = (held.get("normalizer") or {"type": "NFC"})["type"] == "NFC"
    if model.get("type") != "BPE" or name is None or not normal:
        raise UserError(f"--gguf takes tokenizers of byte-level BPE that split text as GPT-2's, SmolLM's, Llama 3's or "
                        f"Qwen2's, and this one does not; {_INSTEAD}")  # fmt: skip
    if bool(model.get("ignore_merges")) != (name == _WITHOUT_MERGES):
        raise UserError(f"--gguf takes a tokenizer that splits text as {name} only with its merges; {_INSTEAD}")
    before, behind = added_ids(tokenizer, end_ids)
    if behind or before not in ([], [tokenizer.bos_token_id]):
        raise UserError(f"--gguf takes a tokenizer that adds a start token or nothing to a text; {_INSTEAD}")
    return model, name


def _described(part: Mapping[str, Any]) -> str:
    """Returns a step of splitting as a word that `_SPLITS` has; what it has not is no error yet."""
    kind = part.get("type")
    if kind == "ByteLevel" and not part["add_prefix_space"]:
        return _WORDS if part["use_regex"] else _BYTES
    if kind == "Digits" and part["individual_digits"]:
        return _DIGITS
    if kind == "Split" and part["behavior"] == "Isolated" and not part["invert"]:
        return str(part["pattern"].get("Regex"))
    return f"unknown: {kind}"


def _add_tokenizer(writer: Any, backbone: "Backbone") -> None:
    gguf, tokenizer = _package(), backbone.tokenizer
    model, split = _vocabulary(tokenizer, backbone.end_ids)
    known, added = {i: token for token, i in tokenizer.get_vocab().items()}, tokenizer.added_tokens_decoder
    tokens, types = [], []
    for i in range(embedding_count(backbone.model)):
        kind = gguf.TokenType.NORMAL if i in known else gguf.TokenType.UNUSED
        if i in added:
            kind = gguf.TokenType.CONTROL if added[i].special else gguf.TokenType.USER_DEFINED
        tokens.append(known.get(i, f"[PAD{i}]"))
        types.append(kind)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]])
    writer.add_eos_token_id(backbone.end_ids[0])
    if len(backbone.end_ids) > 1:
        writer.add_eot_token_id(backbone.end_ids[1])
    writer.add_pad_token_id(backbone.pad_id)
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_add_bos_token(bool(added_ids(tokenizer, backbone.end_ids)[0]))
    writer.add_add_eos_token(False)
    if backbone.chat is not None:
        writer.add_chat_template(backbone.chat.template.source)
