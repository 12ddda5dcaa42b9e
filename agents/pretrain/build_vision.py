"""Makes a small backbone that sees, from nothing: Gemma3 with a SigLIP tower, a standard class of transformers.

A square image is cut into patches, the tower reads them, and their states are averaged down to a few tokens of the
language model. Gemma3 has a sequence-classification twin for images too, so that reward adapters open in plain `peft`
and `transformers`, and its images are made ready with Pillow, without torchvision.
"""

import math
from collections.abc import Iterable

import torch
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessorPil,
    Gemma3Processor,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)

from agents.pretrain.build import build_tokenizer, initialise, text_config

IMAGE_TOKENS = 16  # of one image, beside the two that enclose them
_SPECIAL = {"boi_token": "<image>", "eoi_token": "</image>", "image_token": "<patch>"}


def build_processor(texts: Iterable[str], vocab_size: int, image_size: int = 64) -> Gemma3Processor:
    """Makes a tokenizer trained on `texts`, and what makes square pixels, -1 to 1, of images of any size."""
    tokenizer = build_tokenizer(texts, vocab_size, _SPECIAL)
    half = [0.5, 0.5, 0.5]
    pixels = Gemma3ImageProcessorPil(
        size={"height": image_size, "width": image_size}, image_mean=half, image_std=half, do_pan_and_scan=False
    )
    return Gemma3Processor(pixels, tokenizer, image_seq_length=IMAGE_TOKENS)


def build_vision_model(
    processor: Gemma3Processor,
    hidden_size: int = 128,
    layers: int = 4,
    heads: int = 4,
    vision_layers: int = 2,
    patch_size: int = 8,
    max_length: int = 1024,
    seed: int = 0,
) -> Gemma3ForConditionalGeneration:
    """Makes a randomly initialised model for `processor`; the tower is as wide as the language model."""
    tokenizer: PreTrainedTokenizerFast = processor.tokenizer
    vision = SiglipVisionConfig(
        hidden_size=hidden_size,
        intermediate_size=hidden_size * 3,
        num_hidden_layers=vision_layers,
        num_attention_heads=heads,
        image_size=processor.image_processor.size["height"],
        patch_size=patch_size,
        vision_use_head=False,
    )
    config = Gemma3Config(
        text_config=text_config(tokenizer, hidden_size, layers, heads, max_length),
        vision_config=vision,
        mm_tokens_per_image=IMAGE_TOKENS,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        num_labels=1,  # a sequence classifier on this base has one score
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = Gemma3ForConditionalGeneration(config)
        initialise(model)
        with torch.no_grad():  # transformers would begin at 0, and the tower then learns nothing at first
            model.model.multi_modal_projector.mm_input_projection_weight.normal_(0.0, 1.0 / math.sqrt(hidden_size))
    return model
