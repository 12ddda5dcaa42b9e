"""Random image-text models of the families that people use, two layers deep, in the layout that the hub has.

The folders hold what such folders hold there: `config.json`, weights, a tokenizer, and the processor's files as its
makers wrote them (`preprocessor_config.json` and what goes with it), not as transformers would save them today. Only
sizes differ: images are a few patches. Weights are drawn so large that what is far off in a prompt still matters.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from agents.pretrain.build import build_tokenizer

WIDTH = 32
_TEXTS = [
    "Human: Hello there. Assistant: Yes, I can help you with that today. No, I can't.",
    "yes no maybe good bad QUESTION: What color is it? ANSWER: red green blue one two",
] * 50
_TEXT = {
    "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 2048, "bos_token_id": None,
}  # fmt: skip
_ROPE = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 1, 1], "mrope_interleaved": True}
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
Files = Mapping[str, Mapping[str, Any]]  # of a processor, by name


def image_models() -> dict[str, Callable[[Path], Path]]:
    """Returns, by the name of the family, what writes a random model of it to a folder and returns the folder."""
    return {
        "Gemma 3": _gemma3,
        "Idefics 3": partial(_idefics3, "Idefics3"),
        "InternVL": _internvl,
        "LLaVA": _llava,
        "Qwen2-VL": partial(_qwen, "Qwen2VL"),
        "Qwen2.5-VL": partial(_qwen, "Qwen2_5_VL"),
        "Qwen3-VL": partial(_qwen, "Qwen3VL"),
        "Qwen3.5": partial(_qwen, "Qwen3_5"),
        "SmolVLM": partial(_idefics3, "SmolVLM"),
    }


def _qwen(family: str, folder: Path) -> Path:
    """Writes one of Qwen's, which place image tokens in three dimensions."""
    names = ("vision_start", "vision_end", "image", "video")
    marks = dict(zip(names, ("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"), strict=True))
    tokenizer = build_tokenizer(_TEXTS, 340, {f"{name}_token": mark for name, mark in marks.items()})
    ids = {f"{name}_token_id": tokenizer.convert_tokens_to_ids(mark) for name, mark in marks.items()}
    tower = {
        "depth": 2, "patch_size": 4, "num_heads": 4, "hidden_size": WIDTH, "out_hidden_size": WIDTH,
        "intermediate_size": 64,
    }  # fmt: skip
    towers: dict[str, dict[str, Any]] = {
        "Qwen2VL": {"embed_dim": WIDTH, "mlp_ratio": 2},
        "Qwen2_5_VL": {"window_size": 16, "fullatt_block_indexes": [1]},
        "Qwen3VL": {"num_position_embeddings": 64, "deepstack_visual_indexes": [0]},
        "Qwen3_5": {"num_position_embeddings": 64},
    }
    text = {**_TEXT, "rope_parameters": _ROPE, **_ids(tokenizer)}
    if family == "Qwen3_5":  # three of four layers have linear attention
        text |= {
            "layer_types": ["linear_attention", "full_attention"], "linear_key_head_dim": 8,
            "linear_value_head_dim": 8, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
        }  # fmt: skip
    config = _config(family)(text_config=text, vision_config=tower | towers[family], **ids, **_ids(tokenizer))
    processor = {"Qwen3_5": "Qwen3VL"}.get(family, family)
    pixels = {
        "patch_size": 4, "temporal_patch_size": 2, "merge_size": 2, "processor_class": f"{processor}Processor",
    }  # fmt: skip
    if family in ("Qwen2VL", "Qwen2_5_VL"):
        pixels |= {"min_pixels": 256, "max_pixels": 4096, "image_processor_type": "Qwen2VLImageProcessor", **_CLIP}
        return _write(folder, config, tokenizer, {"preprocessor_config.json": pixels})
    pixels |= {"size": {"shortest_edge": 256, "longest_edge": 4096}, **_HALF}
    files = {
        "preprocessor_config.json": {**pixels, "image_processor_type": "Qwen2VLImageProcessorFast"},
        "video_preprocessor_config.json": {**pixels, "video_processor_type": "Qwen3VLVideoProcessor"},
    }
    return _write(folder, config, tokenizer, files)


def _idefics3(family: str, folder: Path) -> Path:
    """Writes an Idefics 3 or a SmolVLM: a large image is cut into tiles, beside the whole of it at a small size."""
    marks = {
        "fake_image_token": "<fake_token_around_image>", "image_token": "<image>", "global_image_token": "<global-img>",
        "end_of_utterance_token": "<end_of_utterance>",
    }  # fmt: skip
    tiles = {f"row_{i}_col_{k}": f"<row_{i}_col_{k}>" for i in range(1, 4) for k in range(1, 4)}
    tokenizer = build_tokenizer(_TEXTS, 360, marks | tiles)
    tower = {
        "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
        "image_size": 16, "patch_size": 4,
    }  # fmt: skip
    config = _config(family)(
        text_config={"model_type": "llama", **_TEXT, **_ids(tokenizer), "vocab_size": len(tokenizer)},
        vision_config=tower,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    pixels: dict[str, Any] = {
        "do_convert_rgb": True, "do_image_splitting": True, "do_normalize": True, "do_pad": True, "do_rescale": True,
        "do_resize": True, "image_processor_type": f"{family}ImageProcessor", "max_image_size": {"longest_edge": 16},
        "processor_class": f"{family}Processor", "resample": 1, "size": {"longest_edge": 32}, **_HALF,
    }  # fmt: skip
    whole: dict[str, Any] = {"image_seq_len": 4, "processor_class": f"{family}Processor"}
    return _write(folder, config, tokenizer, {"preprocessor_config.json": pixels, "processor_config.json": whole})


def _internvl(folder: Path) -> Path:
    """Writes an InternVL in transformers' own format: an image is cut into tiles by its proportions."""
    marks = {
        "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }  # fmt: skip
    tokenizer = build_tokenizer(_TEXTS, 340, marks)
    tower = {
        "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
        "image_size": [16, 16], "patch_size": [4, 4],
    }  # fmt: skip
    config = transformers.InternVLConfig(
        text_config={"model_type": "qwen2", **_TEXT, **_ids(tokenizer)},
        vision_config=tower,
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
        downsample_ratio=0.5,
    )
    pixels = {
        "crop_to_patches": False, "data_format": "channels_first", "do_convert_rgb": True, "do_normalize": True,
        "do_rescale": True, "do_resize": True, "image_processor_type": "GotOcr2ImageProcessorFast", "max_patches": 4,
        "min_patches": 1, "processor_class": "InternVLProcessor", "resample": 3, "size": {"height": 16, "width": 16},
        **_HALF,
    }  # fmt: skip
    films: dict[str, Any] = {"processor_class": "InternVLProcessor", "video_processor_type": "InternVLVideoProcessor"}
    files: Files = {
        "preprocessor_config.json": pixels,
        "processor_config.json": {"image_seq_length": 4, "processor_class": "InternVLProcessor"},
        "video_preprocessor_config.json": {**films, "size": {"height": 16, "width": 16}, **_HALF},
    }
    return _write(folder, config, tokenizer, files)


def _llava(folder: Path) -> Path:
    """Writes a LLaVA 1.5: a CLIP tower and Llama."""
    tokenizer = build_tokenizer(_TEXTS, 330, {"image_token": "<image>"})
    tower = {
        "model_type": "clip_vision_model", "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "image_size": 32, "patch_size": 8,
    }  # fmt: skip
    config = transformers.LlavaConfig(
        text_config={"model_type": "llama", **_TEXT, **_ids(tokenizer)},
        vision_config=tower,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
    )
    pixels = {
        "crop_size": {"height": 32, "width": 32}, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True,
        "do_rescale": True, "do_resize": True, "image_processor_type": "CLIPImageProcessor",
        "processor_class": "LlavaProcessor", "resample": 3, "size": {"shortest_edge": 32}, **_CLIP,
    }  # fmt: skip
    whole = {
        "image_token": "<image>", "num_additional_image_tokens": 1, "patch_size": 8,
        "processor_class": "LlavaProcessor", "vision_feature_select_strategy": "default",
    }  # fmt: skip
    return _write(folder, config, tokenizer, {"preprocessor_config.json": pixels, "processor_config.json": whole})


def _gemma3(folder: Path) -> Path:
    """Writes a Gemma 3 with a SigLIP tower; its image tokens see one another."""
    marks = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokenizer = build_tokenizer(_TEXTS, 330, marks)
    tower = {
        "model_type": "siglip_vision_model", "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 4, "image_size": 32, "patch_size": 4, "vision_use_head": False,
    }  # fmt: skip
    config = transformers.Gemma3Config(
        text_config={**_TEXT, **_ids(tokenizer), "query_pre_attn_scalar": 8, "sliding_window": 512},
        vision_config=tower,
        mm_tokens_per_image=16,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
    )
    pixels = {
        "do_convert_rgb": None, "do_normalize": True, "do_pan_and_scan": None, "do_rescale": True, "do_resize": True,
        "image_processor_type": "Gemma3ImageProcessor", "image_seq_length": 16, "processor_class": "Gemma3Processor",
        "resample": 2, "size": {"height": 32, "width": 32}, **_HALF,
    }  # fmt: skip
    whole = {"image_seq_length": 16, "processor_class": "Gemma3Processor"}
    return _write(folder, config, tokenizer, {"preprocessor_config.json": pixels, "processor_config.json": whole})


def _config(family: str) -> Callable[..., PreTrainedConfig]:
    kind: Callable[..., PreTrainedConfig] = getattr(transformers, f"{family}Config")
    return kind


def _ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    found = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    return {"vocab_size": len(tokenizer), **found}


def _write(folder: Path, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, files: Files) -> Path:
    """Writes a random model with its tokenizer and the files of its processor."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForImageTextToText.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0.0, 1.5 * (parameter[0].numel()) ** -0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return folder
