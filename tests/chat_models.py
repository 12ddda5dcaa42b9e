"""Tokenizers as model families have them, small, and models for them: made in code, with the families' own tokens."""

import json
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from backbones.backbone import Backbone
from backbones.model.loading import LoadSettings

TEMPLATES = Path(__file__).parent / "templates"
WORDS = [
    "You are a helpful assistant. user system model assistant: Hello there, what is the capital of France?",
    "The answer is Paris, I think. yes no maybe 1 2 3 4 5 6 7 8 9 0\n\nWhat do you mean by that? I am not sure.",
    "Knowledge cutoff date: 26 Jul 2024 # Valid channels: analysis, commentary, final. Reasoning: medium",
] * 20
BYTES = pre_tokenizers.ByteLevel.alphabet()


class Family(NamedTuple):
    """What the tokenizer of a family has.

    Attributes:
        special: tokens that are marked special.
        added: tokens that are added and not marked special.
        names: which of them are the start, the end, the padding token.
        pieces: "bytes" as GPT-2's, "spaces" as Gemma's, "prefix" as Llama 2's, which puts a space before every text.
        around: what the tokenizer puts around every text by itself.
        strips: whether its tokens take the white space behind them, as Phi 3's.
    """

    special: tuple[str, ...]
    added: tuple[str, ...] = ()
    names: tuple[str | None, str | None, str | None] = (None, None, None)
    pieces: str = "bytes"
    around: str = "$A"
    strips: bool = False


IM = ("<|im_start|>", "<|im_end|>")
LLAMA3 = tuple("<|begin_of_text|> <|end_of_text|> <|start_header_id|> <|end_header_id|> <|eot_id|> <|eom_id|>".split())
DEEPSEEK = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>")
GPTOSS = tuple("<|startoftext|> <|start|> <|end|> <|message|> <|channel|> <|constrain|> <|call|> <|return|>".split())
THOUGHT = ("<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
S = ("<s>", "</s>", "<unk>")
INST = ("[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]")
PHI3 = ("<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>")

FAMILIES = {
    "llama3": Family(LLAMA3, (), (LLAMA3[0], "<|eot_id|>", None), around=f"{LLAMA3[0]} $A"),
    "qwen": Family(("<|endoftext|>", *IM), THOUGHT, (None, IM[1], "<|endoftext|>")),
    "smollm": Family(("<|endoftext|>", *IM), (), (*IM, IM[1])),
    "gemma": Family(
        ("<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"), (), ("<bos>", "<eos>", "<pad>"), "spaces",
        "<bos> $A",
    ),
    "llama2": Family(S, (), ("<s>", "</s>", None), "prefix", "<s> $A"),
    "mistral3": Family((*S, *INST), (), ("<s>", "</s>", None), "prefix", "<s> $A"),
    "tekken": Family((*S, *INST), (), ("<s>", "</s>", None), "bytes", "<s> $A"),
    "phi3": Family((*S, *PHI3), (), ("<s>", "<|endoftext|>", "<|endoftext|>"), "prefix", strips=True),
    "phi4": Family(("<|endoftext|>", *IM, "<|im_sep|>"), (), ("<|endoftext|>", IM[1], None)),
    "deepseek": Family(
        DEEPSEEK, ("<｜User｜>", "<｜Assistant｜>", *THOUGHT[:2]), (*DEEPSEEK, DEEPSEEK[1]), around=f"{DEEPSEEK[0]} $A"
    ),
    "gptoss": Family(("<|endoftext|>", *GPTOSS), (), (GPTOSS[0], "<|return|>", "<|endoftext|>")),
    # What goes wrong elsewhere.
    "turns not special": Family(("<|endoftext|>",), IM, (None, "<|endoftext|>", None)),
    "appends its end": Family(
        ("<|endoftext|>", *IM, "<s>"), (), ("<s>", "<|endoftext|>", None), around="<s> $A <|endoftext|>"
    ),
    "gpt2": Family(("<|endoftext|>",), (), ("<|endoftext|>",) * 3),
}  # fmt: skip

# Which families each template is tried with; the first is its own.
TRIED = {
    "chatml": ("qwen", "turns not special", "appends its end", "gpt2", "llama2"),
    "deepseek_r1_distill": ("deepseek",),
    "deepseekv3": ("deepseek",),
    "gemma": ("gemma",),
    "gemma3": ("gemma",),
    "gptoss": ("gptoss",),
    "llama3": ("llama3", "llama2"),
    "llama3_1": ("llama3",),
    "mistral_v1": ("llama2", "gpt2"),
    "mistral_v2v3": ("mistral3", "tekken"),
    "mistral_v3_tekken": ("tekken", "mistral3"),
    "phi3": ("phi3", "gpt2"),
    "phi_4": ("phi4",),
    "qwen2_5": ("qwen", "turns not special"),
    "qwen2_5_vl": ("qwen",),
    "qwen3": ("qwen", "appends its end"),
    "smollm2": ("smollm", "qwen"),
    "smolvlm": ("qwen", "llama2"),
    "zephyr": ("llama2", "gpt2"),
}
PAIRS = [(template, family) for template, families in TRIED.items() for family in families]


@cache
def _trained(pieces: str) -> str:
    """A small BPE tokenizer without special tokens, as JSON."""
    bpe = Tokenizer(models.BPE(byte_fallback=pieces != "bytes"))
    alphabet = BYTES
    if pieces == "bytes":
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
    else:
        prepend = [normalizers.Prepend("▁")] if pieces == "prefix" else []
        bpe.normalizer = normalizers.Sequence([*prepend, normalizers.Replace(" ", "▁")])
        bpe.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")  # so that no token holds two words
        strip = [decoders.Strip(" ", 1, 0)] if pieces == "prefix" else []
        bpe.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
        alphabet = []
    trainer = trainers.BpeTrainer(
        vocab_size=700, show_progress=False, initial_alphabet=alphabet,
        special_tokens=[f"<0x{i:02X}>" for i in range(256)] if pieces != "bytes" else [],
    )  # fmt: skip
    texts = WORDS if pieces == "bytes" else [word for text in WORDS for word in text.split("\n")]
    bpe.train_from_iterator(texts, trainer)
    # The bytes stand for characters that have no token; they are no special tokens of the families.
    made = json.loads(bpe.to_str())
    return json.dumps({**made, "added_tokens": []})


@cache
def tokenizer_json(family: str) -> str:
    """The tokenizer of a family, as JSON."""
    made, of = Tokenizer.from_str(_trained(FAMILIES[family].pieces)), FAMILIES[family]
    made.add_special_tokens([AddedToken(t, rstrip=of.strips, normalized=False, special=True) for t in of.special])
    made.add_tokens([AddedToken(token, normalized=False, special=False) for token in of.added])
    named = [word for word in of.around.split() if word != "$A"]
    if named:
        ids = [(token, made.token_to_id(token)) for token in named]
        made.post_processor = processors.TemplateProcessing(of.around, special_tokens=ids)
    return made.to_str()


def tokenizer_of(family: str, template: str | None = None) -> transformers.PreTrainedTokenizerFast:
    """The tokenizer of a family, with a template where one is named."""
    bos, eos, pad = FAMILIES[family].names
    names = {"bos_token": bos, "eos_token": eos, "pad_token": pad}
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer_json(family)),
        **{key: value for key, value in names.items() if value is not None},
        clean_up_tokenization_spaces=False,
    )
    made.chat_template = None if template is None else (TEMPLATES / f"{template}.jinja").read_text(encoding="utf-8")
    return made


def model_of(
    tokenizer: transformers.PreTrainedTokenizerBase, more: int = 0, layers: int = 1
) -> transformers.PreTrainedModel:
    """A random Llama of width 16, with `more` embeddings than the tokenizer has tokens."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return transformers.LlamaForCausalLM(
            transformers.LlamaConfig(
                vocab_size=len(tokenizer) + more, hidden_size=16, intermediate_size=16, num_hidden_layers=layers,
                num_attention_heads=2, max_position_embeddings=4096, bos_token_id=None, eos_token_id=None,
                pad_token_id=None,
            )
        )  # fmt: skip


def backbone_of(family: str, template: str | None = None, **settings: str) -> Backbone:
    """A backbone with the tokenizer of a family."""
    tokenizer = tokenizer_of(family, template)
    return Backbone("no/where", model_of(tokenizer), tokenizer, settings=LoadSettings(**settings))
