"""Tiny random models of several architectures, made in code and saved to a folder: nothing is downloaded."""

from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from agents.pretrain.build import build_model, build_tokenizer
from agents.pretrain.build_vision import build_processor, build_vision_model
from backbones.backbone import Backbone

TEXTS = [
    "Human: Hello there. Assistant: Yes, I can help you with that today. No, I can't.",
    "yes no maybe good bad",
] * 50


def save_gemma(folder: Path, seed: int = 0) -> Path:
    """A random Gemma3 of width 32 with 2 layers, as `agents.pretrain` would write it."""
    tokenizer = build_tokenizer(TEXTS, 320)
    build_model(tokenizer, hidden_size=32, layers=2, heads=4, max_length=256, seed=seed).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def gemma(folder: Path, seed: int = 0) -> Backbone:
    """The same, loaded."""
    return Backbone.load(str(save_gemma(folder, seed)))


def save_architecture(name: str, folder: Path) -> Path:
    """A random model of a named architecture with the tokenizer of `save_gemma`."""
    tokenizer = build_tokenizer(TEXTS, 320)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    common = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    configs = {
        "Llama": lambda: transformers.LlamaConfig(**sizes, **common, num_key_value_heads=2),
        "Qwen3": lambda: transformers.Qwen3Config(**sizes, **common, num_key_value_heads=2, head_dim=8),
        "OPT": lambda: transformers.OPTConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64, word_embed_proj_dim=32, **common
        ),
        "OPT of two widths": lambda: transformers.OPTConfig(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64, word_embed_proj_dim=16, **common
        ),
        "Granite": lambda: transformers.GraniteConfig(**sizes, **common, num_key_value_heads=2),
        "Bert": lambda: transformers.BertConfig(**sizes, **common),
        "Bloom": lambda: transformers.BloomConfig(hidden_size=32, n_layer=2, n_head=4, **common),
        "GPTNeoX": lambda: transformers.GPTNeoXConfig(**sizes, **common),
        "Phi": lambda: transformers.PhiConfig(**sizes, **common),
        "Phi3": lambda: transformers.Phi3Config(**sizes, **common),
        "Mixtral": lambda: transformers.MixtralConfig(
            **sizes, **common, num_key_value_heads=2, num_local_experts=4, num_experts_per_tok=2
        ),
        "GPT2": lambda: transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=256, **common),
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(configs[name]())
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def llama_tokenizer() -> transformers.PreTrainedTokenizerFast:
    """A tokenizer that puts a space and a start token before every text by itself, as Llama 2's does."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    bpe.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # so that no token holds two words
    bpe.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    bpe.train_from_iterator(TEXTS, trainers.BpeTrainer(special_tokens=["<pad>", "<end>", "<s>"], show_progress=False))
    bpe.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 2)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<pad>", eos_token="<end>", bos_token="<s>", clean_up_tokenization_spaces=False
    )


def llama_like(folder: Path) -> Backbone:
    """A tiny Gemma with such a tokenizer."""
    tokenizer = llama_tokenizer()
    build_model(tokenizer, hidden_size=32, layers=2, heads=4, max_length=256).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Backbone.load(str(folder))


def save_seeing_gemma(folder: Path, seed: int = 0) -> Path:
    """A random Gemma3 of width 32 with a SigLIP tower: 32x32 images, patches of 4, 16 image tokens."""
    processor = build_processor(TEXTS, 330, image_size=32)
    sizes = {"hidden_size": 32, "layers": 2, "heads": 4, "vision_layers": 1, "patch_size": 4, "max_length": 256}
    build_vision_model(processor, **sizes, seed=seed).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_llava(folder: Path) -> Path:
    """A random LLaVA of width 32: a CLIP tower and Llama."""
    tokenizer = build_tokenizer(TEXTS, 320, {"image_token": "<image>"})
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64}
    common = {"vocab_size": len(tokenizer), "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**sizes, num_hidden_layers=1, image_size=32, patch_size=8),
        text_config=transformers.LlamaConfig(
            **sizes, **common, num_hidden_layers=2, num_key_value_heads=2, max_position_embeddings=256
        ),
        image_token_index=tokenizer.image_token_id,
        vision_feature_layer=-1,
    )
    pixels = transformers.CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    shape = {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        transformers.LlavaForConditionalGeneration(config).save_pretrained(folder)
    transformers.LlavaProcessor(pixels, tokenizer, **shape).save_pretrained(folder)
    return folder


def seeing_gemma(folder: Path, seed: int = 0) -> Backbone:
    """The same, loaded."""
    return Backbone.load(str(save_seeing_gemma(folder, seed)))
