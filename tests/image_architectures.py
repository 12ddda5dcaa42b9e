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
_TOWER = {
    "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 32,
    "patch_size": 8,
}  # fmt: skip
_SIGLIP = {**_TOWER, "model_type": "siglip_vision_model", "vision_use_head": False}
_ROPE = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [2, 1, 1]}
_HALF = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
_CLIP = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
Files = Mapping[str, Mapping[str, Any]]  # of a processor, by name


def image_models() -> dict[str, Callable[[Path], Path]]:
    """Returns, by the name of the family, what writes a random model of it to a folder and returns the folder."""
    return {
        "Aya Vision": _aya,
        "Gemma 3": _gemma3,
        "Gemma 4": _gemma4,
        "GLM-4.1V": _glm4v,
        "Idefics 3": partial(_idefics3, "Idefics3"),
        "InternVL": _internvl,
        "LLaVA": _llava,
        "LLaVA-NeXT": partial(_llava_tiles, "LlavaNext"),
        "LLaVA-OneVision": partial(_llava_tiles, "LlavaOnevision"),
        "Qwen2-VL": partial(_qwen, "Qwen2VL"),
        "Qwen2.5-VL": partial(_qwen, "Qwen2_5_VL"),
        "Qwen3-VL": partial(_qwen, "Qwen3VL"),
        "Qwen3.5": partial(_qwen, "Qwen3_5"),
        "SmolVLM": partial(_idefics3, "SmolVLM"),
    }


def refused_models() -> dict[str, Callable[[Path], Path]]:
    """Returns the same of families that are refused, each for a reason of its own."""
    return {"BLIP-2": _blip2, "Florence-2": _florence2, "Llama 3.2 Vision": _mllama, "PaliGemma": _paligemma}


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
    rope = _ROPE if family in ("Qwen2VL", "Qwen2_5_VL") else {**_ROPE, "mrope_interleaved": True}
    text = {**_TEXT, "rope_parameters": rope, **_ids(tokenizer)}
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
    config = transformers.LlavaConfig(
        text_config={"model_type": "llama", **_TEXT, **_ids(tokenizer)},
        vision_config={**_TOWER, "model_type": "clip_vision_model"},
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


def _gemma4(folder: Path) -> Path:
    """Writes a Gemma 4 that sees and does not hear; `processor_config.json` holds all parts of its processor."""
    marks = {
        "image_token": "<|image|>", "boi_token": "<|image>", "eoi_token": "<image|>", "audio_token": "<|audio|>",
        "boa_token": "<|audio>", "eoa_token": "<audio|>", "video_token": "<|video|>",
    }  # fmt: skip
    tokenizer = build_tokenizer(_TEXTS, 340, marks)
    kinds = {"image": "id", "boi": "id", "eoi": "id", "audio": "id", "boa": "id", "eoa": "index", "video": "id"}
    text = {
        **_TEXT, **_ids(tokenizer), "global_head_dim": 8, "num_global_key_value_heads": 2, "sliding_window": 512,
        "layer_types": ["sliding_attention", "full_attention"], "hidden_size_per_layer_input": 0,
        "vocab_size_per_layer_input": len(tokenizer), "use_bidirectional_attention": "vision",
    }  # fmt: skip
    tower = {
        "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
        "num_key_value_heads": 4, "head_dim": 8, "global_head_dim": 8, "patch_size": 4, "pooling_kernel_size": 2,
        "position_embedding_size": 64, "default_output_length": 16,
    }  # fmt: skip
    config = transformers.Gemma4Config(
        text_config=text,
        vision_config=tower,
        audio_config=None,
        **{f"{name}_token_{kind}": tokenizer.convert_tokens_to_ids(marks[f"{name}_token"])
           for name, kind in kinds.items()},
    )  # fmt: skip
    whole = {
        "feature_extractor": {"feature_extractor_type": "Gemma4AudioFeatureExtractor"},
        "image_processor": {
            "image_processor_type": "Gemma4ImageProcessor", "patch_size": 4, "max_soft_tokens": 70,
            "pooling_kernel_size": 2,
        },
        "image_seq_length": 70, "processor_class": "Gemma4Processor",
        "video_processor": {"video_processor_type": "Gemma4VideoProcessor"},
    }  # fmt: skip
    return _write(folder, config, tokenizer, {"processor_config.json": whole})


def _glm4v(folder: Path) -> Path:
    """Writes a GLM-4.1V, which places image tokens in three dimensions too."""
    names = {f"{kind}_{end}": f"<|{mark}_of_{kind}|>" for kind in ("image", "video")
             for end, mark in (("start", "begin"), ("end", "end"))}  # fmt: skip
    names |= {"image": "<|image|>", "video": "<|video|>"}
    tokenizer = build_tokenizer(_TEXTS, 340, {f"{name}_token": mark for name, mark in names.items()})
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [1, 0, 1], "partial_rotary_factor": 0.5}
    tower = {
        "depth": 1, "hidden_size": WIDTH, "num_heads": 4, "image_size": 32, "patch_size": 4, "intermediate_size": 64,
        "out_hidden_size": WIDTH, "spatial_merge_size": 2,
    }  # fmt: skip
    config = transformers.Glm4vConfig(
        text_config={**_TEXT, **_ids(tokenizer), "rope_parameters": rope},
        vision_config=tower,
        **{f"{name}_token_id": tokenizer.convert_tokens_to_ids(mark) for name, mark in names.items()},
    )
    pixels = {
        "image_processor_type": "Glm4vImageProcessor", "merge_size": 2, "patch_size": 4,
        "processor_class": "Glm4vProcessor", "size": {"shortest_edge": 512, "longest_edge": 8192},
        "temporal_patch_size": 2, **_CLIP,
    }  # fmt: skip
    films = {**pixels, "video_processor_type": "Glm4vVideoProcessor"}
    return _write(
        folder, config, tokenizer, {"preprocessor_config.json": pixels, "video_preprocessor_config.json": films}
    )


def _llava_tiles(family: str, folder: Path) -> Path:
    """Writes a LLaVA-NeXT (1.6) or a LLaVA-OneVision: an image is cut into tiles of the tower's size."""
    tokenizer = build_tokenizer(_TEXTS, 330, {"image_token": "<image>", "video_token": "<video>"})
    old, grid = family == "LlavaNext", [[32, 64], [64, 32], [64, 64]]
    strategy = "default" if old else "full"
    config = _config(family)(
        text_config={"model_type": "llama" if old else "qwen2", **_TEXT, **_ids(tokenizer)},
        vision_config={**_TOWER, "model_type": "clip_vision_model"} if old else _SIGLIP,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=grid,
        **({} if old else {"video_token_index": tokenizer.convert_tokens_to_ids("<video>")}),
        vision_feature_select_strategy=strategy,
        vision_feature_layer=-1,
    )
    pixels = {
        "do_pad": True, "image_grid_pinpoints": grid, "image_processor_type": f"{family}ImageProcessor",
        "processor_class": f"{family}Processor", **(_CLIP if old else _HALF),
    }  # fmt: skip
    square = {"height": 32, "width": 32}
    pixels |= {"crop_size": square, "size": {"shortest_edge": 32}} if old else {"size": square}
    whole: dict[str, Any] = {
        "image_token": "<image>", "processor_class": f"{family}Processor", "vision_feature_select_strategy": strategy,
    }  # fmt: skip
    whole |= {"patch_size": 8, "num_additional_image_tokens": 1} if old else {"num_image_tokens": 16}
    return _write(folder, config, tokenizer, {"preprocessor_config.json": pixels, "processor_config.json": whole})


def _aya(folder: Path) -> Path:
    """Writes an Aya Vision: tiles of a SigLIP tower and a Cohere 2."""
    marks = ("<|IMG_PATCH|>", "<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_LINE_BREAK|>", "TILE", "TILE_GLOBAL")
    tokenizer = build_tokenizer(_TEXTS, 340, {f"mark_{i}": mark for i, mark in enumerate(marks)})
    config = transformers.AyaVisionConfig(
        text_config={"model_type": "cohere2", **_TEXT, **_ids(tokenizer)},
        vision_config=_SIGLIP,
        image_token_index=tokenizer.convert_tokens_to_ids("<|IMG_PATCH|>"),
        downsample_factor=2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    pixels = {
        "image_processor_type": "GotOcr2ImageProcessor", "max_patches": 4, "processor_class": "AyaVisionProcessor",
        "size": {"height": 32, "width": 32}, **_HALF,
    }  # fmt: skip
    whole = {"downsample_factor": 2, "img_size": 32, "patch_size": 8, "processor_class": "AyaVisionProcessor"}
    return _write(folder, config, tokenizer, {"preprocessor_config.json": pixels, "processor_config.json": whole})


def _paligemma(folder: Path) -> Path:
    """Writes a PaliGemma, whose prompts are read both ways."""
    tokenizer = build_tokenizer(_TEXTS, 330, {"image_token": "<image>"})
    config = transformers.PaliGemmaConfig(
        text_config={"model_type": "gemma", **_TEXT, **_ids(tokenizer)},
        vision_config=_SIGLIP,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=WIDTH,
    )
    return _write(folder, config, tokenizer, {})


def _mllama(folder: Path) -> Path:
    """Writes a Llama 3.2 Vision, which looks at images through cross attention."""
    tokenizer = build_tokenizer(_TEXTS, 330, {"image_token": "<|image|>"})
    text = {**_TEXT, **_ids(tokenizer), "cross_attention_layers": [1], "bos_token_id": tokenizer.pad_token_id}
    del text["head_dim"]
    tower = {
        "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 2, "num_global_layers": 1,
        "attention_heads": 4, "image_size": 32, "patch_size": 8, "vision_output_dim": 64, "max_num_tiles": 2,
        "intermediate_layers_indices": [1], "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
    }  # fmt: skip
    config = transformers.MllamaConfig(
        text_config={**text, "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0}},
        vision_config=tower,
        image_token_index=tokenizer.convert_tokens_to_ids("<|image|>"),
    )
    pixels = {
        "image_processor_type": "MllamaImageProcessor", "max_image_tiles": 2, "processor_class": "MllamaProcessor",
        "size": {"height": 32, "width": 32}, **_HALF,
    }  # fmt: skip
    return _write(folder, config, tokenizer, {"preprocessor_config.json": pixels})


def _florence2(folder: Path) -> Path:
    """Writes a Florence-2, an encoder and a decoder."""
    tokenizer = build_tokenizer(_TEXTS, 330, {"image_token": "<image>"})
    text = {
        "model_type": "bart", "d_model": WIDTH, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64, "encoder_attention_heads": 4, "decoder_attention_heads": 4, **_ids(tokenizer),
    }  # fmt: skip
    tower = {
        "embed_dim": [8, 16, 32, 32], "num_heads": [1, 2, 4, 4], "num_groups": [1, 2, 4, 4], "depths": [1, 1, 1, 1],
        "projection_dim": WIDTH,
    }  # fmt: skip
    config = transformers.Florence2Config(text_config=text, vision_config=tower, is_encoder_decoder=True)
    return _write(folder, config, tokenizer, {})


def _blip2(folder: Path) -> Path:
    """Writes a BLIP-2, which reads no prompt without an image."""
    tokenizer = build_tokenizer(_TEXTS, 330, {"image_token": "<image>"})
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 4}
    queries = {"intermediate_size": 64, "encoder_hidden_size": WIDTH, "vocab_size": len(tokenizer)}
    config = transformers.Blip2Config(
        text_config={"model_type": "opt", **sizes, "ffn_dim": 64, "word_embed_proj_dim": WIDTH, **_ids(tokenizer)},
        vision_config={**sizes, "intermediate_size": 64, "image_size": 32, "patch_size": 8},
        qformer_config={**sizes, **queries},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        num_query_tokens=4,
    )
    return _write(folder, config, tokenizer, {})


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
