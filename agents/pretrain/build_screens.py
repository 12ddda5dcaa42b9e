"""Makes a small backbone that reads screens around one that reads text: LLaVA of a Swin tower and that language model.

A letter is a few pixels wide and stands anywhere. So the tower begins with patches of 8 x 8 pixels and looks around
each in windows, as Donut's does (arXiv 2111.15664), before four of them become one token of the language model; a
picture may be taller than wide. LLaVA's projector takes any tower whose states are rows of tokens.
"""

import torch
from tokenizers import Tokenizer
from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    SiglipImageProcessorPil,
    SwinConfig,
)

from agents.pretrain.build import initialise
from envs.uinav.observations import PICTURED

PATCH = 8  # pixels of the tower's own patches
TOKEN = 16  # pixels, across and down, of what one token of the language model is of
PLACE = PICTURED.removeprefix("SCREEN")  # the words of a prompt in whose place the picture is shown
_WINDOW = 4  # patches, and then tokens, across and down, that see one another
_IMAGE = "<patch>"


def build_screen_processor(tokenizer: PreTrainedTokenizerBase, width: int, height: int) -> LlavaProcessor:
    """Makes a tokenizer that has an image token too, and what makes pixels of this size, -1 to 1, of any images.

    Args:
        tokenizer: of a language model; it stays as it is.
        width, height: of the pictures, pixels.
    """
    half = [0.5, 0.5, 0.5]
    pixels = SiglipImageProcessorPil(size={"height": height, "width": width}, image_mean=half, image_std=half)
    seeing = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()),
        pad_token=tokenizer.pad_token,
        eos_token=tokenizer.eos_token,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        extra_special_tokens={"image_token": _IMAGE},
    )
    return LlavaProcessor(pixels, seeing, patch_size=TOKEN, vision_feature_select_strategy="full")


def build_screen_model(
    processor: LlavaProcessor, language: PreTrainedModel, seed: int = 0
) -> LlavaForConditionalGeneration:
    """Makes a model that sees around a language model: its weights, a random tower, and one more embedding, of zeros.

    The tower ends as wide as the language model, and the picture is shown in place of `PLACE` in a prompt.

    Args:
        processor: that knows the size of pictures; its tokenizer is that of the language model and one token more.
        language: a causal language model whose embeddings are its head.
        seed: of the tower's weights.
    """
    size, hidden_size = processor.image_processor.size, language.config.hidden_size
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
        text_config=type(language.config)(**{**language.config.to_dict(), "vocab_size": len(processor.tokenizer)}),
        vision_config=tower,
        image_token_index=processor.tokenizer.image_token_id,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_seq_length=(size["height"] // TOKEN) * (size["width"] // TOKEN),
        pad_token_id=language.config.pad_token_id,
        eos_token_id=language.config.eos_token_id,
        tie_word_embeddings=True,
        image_place=PLACE,
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
        initialise(model)
        # transformers would begin at 0; a point is said by where tokens are
        model.model.vision_tower.embeddings.position_embeddings.normal_(0.0, 0.5)
        model.get_input_embeddings().weight.zero_()
        for name, weights in language.base_model.state_dict().items():
            model.model.language_model.get_parameter(name)[: len(weights)] = weights
    return model
