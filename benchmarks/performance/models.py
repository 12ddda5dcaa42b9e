"""Random models and random pairs that all sides open from the same files.

    python -m benchmarks.performance.models FOLDER 8.4M

Every word is one token, so that texts have exactly as many tokens as they are to have, on whatever side they are
tokenised. No model ever ends: a response is always cut at its limit. For that the first hidden dimension is a constant
that no layer changes, and the end token's row of the LM head reads it with a large negative weight.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from benchmarks.performance.cases import PROMPT_TOKENS, SIZES, Size
from perlhf.run_folder import write_text

SPECIAL = ("<pad>", "<end>", "<unk>")
SPOKEN = ("Human:", "Assistant:", "yes", "or", "no")  # of HH's transcripts, and what perlhf tries a tokenizer with
MAX_LENGTH = 512
PAIRS, HELD_OUT = 256, 16
_CONSTANT, _AVOIDED = 0.1, -30.0


def save_model(folder: Path, size: Size, seed: int = 0) -> None:
    """Writes a random Llama with its tokenizer."""
    config = transformers.LlamaConfig(
        hidden_size=size.hidden, num_hidden_layers=size.layers, num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads or size.heads, intermediate_size=size.intermediate,
        vocab_size=size.vocabulary, max_position_embeddings=MAX_LENGTH, tie_word_embeddings=size.tied,
        pad_token_id=0, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = transformers.LlamaForCausalLM(config)
    never_end(model)
    model.save_pretrained(folder)
    tokenizer_of(size.vocabulary).save_pretrained(folder)


@torch.no_grad()
def never_end(model: transformers.LlamaForCausalLM) -> None:
    """Makes the special tokens practically impossible, whatever was said before."""
    model.model.embed_tokens.weight[:, 0] = _CONSTANT
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight[0] = 0
        layer.mlp.down_proj.weight[0] = 0
    model.lm_head.weight[: len(SPECIAL)] = 0
    model.lm_head.weight[: len(SPECIAL), 0] = _AVOIDED


def tokenizer_of(vocabulary: int) -> transformers.PreTrainedTokenizerFast:
    """One token for each word; words are numbered."""
    words = [*SPECIAL, *SPOKEN, *(f"w{i}" for i in range(vocabulary - len(SPECIAL) - len(SPOKEN)))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=SPECIAL[2]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    pad, end, unknown = SPECIAL
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, eos_token=end, unk_token=unknown, padding_side="left"
    )


def save_pairs(
    folder: Path, vocabulary: int, response_tokens: int, seed: int = 0, prompt_tokens: int = PROMPT_TOKENS
) -> None:
    """Writes train.jsonl and test.jsonl in HH-RLHF's format: prompts of so many tokens, each with two responses."""
    rng = np.random.default_rng(seed)
    words = vocabulary - len(SPECIAL) - len(SPOKEN)

    def text(tokens: int) -> str:
        return " ".join(f"w{i}" for i in rng.integers(words, size=tokens))

    for name, count in (("train", PAIRS), ("test", HELD_OUT)):
        rows = []
        for _ in range(count):
            prompt = f"\n\nHuman: {text(prompt_tokens - 2)}\n\nAssistant:"
            rows.append({side: f"{prompt} {text(response_tokens)}" for side in ("chosen", "rejected")})
        write_text(folder / f"{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def main() -> None:
    """Writes the model and the pairs of one size."""
    folder, size = Path(sys.argv[1]), SIZES[sys.argv[2]]
    save_pairs(folder / "data", size.vocabulary, response_tokens=48)
    save_model(folder / "model", size)


if __name__ == "__main__":
    main()
