"""Makes a small backbone that reads screens, from nothing: LLaVA of a Swin tower and Gemma3, classes of transformers.

A letter is a few pixels wide and stands anywhere. So the tower begins with patches of 8 x 8 pixels and looks around
each in windows, as Donut's does (arXiv 2111.15664), before four of them become one token of the language model; a
picture may be taller than wide. LLaVA's projector takes any tower whose states are rows of tokens.
"""

from collections.abc import Iterable

import torch
from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    SiglipImageProcessorPil,
    SwinConfig,
)

from agents.pretrain.build import build_tokenizer, initialise, text_config

PATCH = 8  # pixels of the tower's own patches
TOKEN = 16  # pixels, across and down, of what one token of the language model is of
_WINDOW = 4  # patches, and then tokens, across and down, that see one another
_SPECIAL = {"image_token": "<patch>"}


def build_screen_processor(texts: Iterable[str], vocab_size: int, width: int, height: int) -> LlavaProcessor:
    """Makes a tokenizer trained on `texts`, and what makes pixels of this size, -1 to 1, of images of any size."""
    half = [0.5, 0.5, 0.5]
    pixels = SiglipImageProcessorPil(size={"height": height, "width": width}, image_mean=half, image_std=half)
    return LlavaProcessor(
        pixels, build_tokenizer(texts, vocab_size, _SPECIAL), patch_size=TOKEN, vision_feature_select_strategy="full"
    )


def build_screen_model(
    processor: LlavaProcessor,
    hidden_size: int = 128,
    layers: int = 4,
    heads: int = 4,
    max_length: int = 1024,
    seed: int = 0,
) -> LlavaForConditionalGeneration:
    """Makes a randomly initialised model for `processor`; the tower ends as wide as the language model."""
    tokenizer: PreTrainedTokenizerFast = processor.tokenizer
    size = processor.image_processor.size
    tower = SwinConfig(
        image_size=[size["height"], size["width"]],
        patch_size=PATCH,
        embed_dim=hidden_size // 2,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=_WINDOW,
        drop_path_rate=0.0,
        use_absolute_embeddings=True,
    )
    config = LlavaConfig(
        text_config=text_config(tokenizer, hidden_size, layers, heads, max_length),
        vision_config=tower,
        image_token_index=tokenizer.image_token_id,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=(size["height"] // TOKEN) * (size["width"] // TOKEN),
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
        initialise(model)
        with torch.no_grad():  # transformers would begin at 0; a point is said by where tokens are
            model.model.vision_tower.embeddings.position_embeddings.normal_(0.0, 0.5)
    return model
