"""Makes a small backbone from nothing: a byte-level BPE tokenizer and a standard Gemma3 with a better start.

Gemma3 because its scaled embeddings and QK-norm learn to copy from the prompt several times sooner than Llama
or Qwen3 at this size, and because it has a sequence-classification twin, so that reward adapters open in plain
`peft` and `transformers`.
"""

import math
from collections.abc import Iterable, Mapping

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import Gemma3ForCausalLM, Gemma3TextConfig, PreTrainedModel, PreTrainedTokenizerFast

PAD, END = "<pad>", "<end>"


def build_tokenizer(
    texts: Iterable[str], vocab_size: int, special: Mapping[str, str] | None = None
) -> PreTrainedTokenizerFast:
    """Trains a byte-level BPE tokenizer on `texts`: any string round-trips, digits stand alone, pad is not end.

    `special` are further special tokens, by the name of the attribute that they get.
    """
    special = special or {}
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, END, *special.values()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=PAD, eos_token=END, padding_side="left", clean_up_tokenization_spaces=False,
        extra_special_tokens=dict(special),
    )  # fmt: skip


def build_model(
    tokenizer: PreTrainedTokenizerFast,
    hidden_size: int = 128,
    layers: int = 4,
    heads: int = 4,
    max_length: int = 1024,
    seed: int = 0,
) -> Gemma3ForCausalLM:
    """Makes a randomly initialised Gemma3 for `tokenizer`; matrices start at 1/sqrt(fan_in), not at a fixed 0.02."""
    config = text_config(tokenizer, hidden_size, layers, heads, max_length)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = Gemma3ForCausalLM(config)
        initialise(model)
    return model


def text_config(
    tokenizer: PreTrainedTokenizerFast, hidden_size: int, layers: int, heads: int, max_length: int
) -> Gemma3TextConfig:
    """Returns the config of a small Gemma3 in which every layer sees everything."""
    rope = {"rope_type": "default", "rope_theta": 10_000.0}
    return Gemma3TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        intermediate_size=hidden_size * 3,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        head_dim=hidden_size // heads,
        query_pre_attn_scalar=hidden_size // heads,
        layer_types=["full_attention"] * layers,
        rope_parameters={"full_attention": rope, "sliding_attention": rope},
        max_position_embeddings=max_length,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
        num_labels=1,  # a sequence classifier on this base has one score
        tie_word_embeddings=True,
    )


@torch.no_grad()
def initialise(model: PreTrainedModel) -> None:
    """Draws the weights of embeddings, and of matrices at 1/sqrt(fan_in)."""
    for module in model.modules():
        if isinstance(module, torch.nn.Embedding):
            # Gemma3 multiplies embeddings by sqrt(width), so this start gives unit variance at the input.
            module.weight.normal_(0.0, 1.0 / math.sqrt(module.embedding_dim))
            if module.padding_idx is not None:
                module.weight[module.padding_idx].zero_()
        elif isinstance(module, torch.nn.Linear | torch.nn.Conv2d) and module is not model.lm_head:
            module.weight.normal_(0.0, 1.0 / math.sqrt(module.weight[0].numel()))
