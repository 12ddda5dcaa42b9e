"""What was tried to make PPO faster on a CPU and is not in perlhf: torch.compile, int8 sampling, rows without padding.

    OMP_NUM_THREADS=1 python -m benchmarks.tried [--model 8.4M]

A random Llama of the benchmark with plain adapters, one thread, CPU seconds. "Training" is a forward and a backward
pass of 8 rows of 112 tokens and their log-probabilities; "sampling" a step of 32 rows after 64 tokens. What another way
of sampling changes is the mean KL of its next tokens to those of float32, in nats. Padding is of prompts and
demonstrated answers of HH-v0, put side by side as PPO does it, and as they come.
"""

import io
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, DynamicCache, PreTrainedModel
from transformers.utils import logging

from agents.rollout import chunks_of
from agents.setup import Setup
from backbones.backbone import Backbone
from backbones.shortcuts.precision import reduce_precision
from benchmarks.performance.cases import PROMPT_TOKENS, SIZES
from benchmarks.performance.models import SPECIAL, save_model
from perlhf.errors import run_command
from perlhf.measure import Stopwatch
from perlhf.options import option, parse_options

ROWS, SAID, SAMPLED, MICRO_BATCH = 8, 48, 32, 16


@dataclass
class Options:
    """Measures what was tried for speed and left out."""

    model: str = option("8.4M", "a name of benchmarks.performance.cases.SIZES")
    repeats: int = option(7, "measurements of each way", low=1)
    records: int = option(512, "of HH-v0, whose padding is counted", low=MICRO_BATCH)


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m benchmarks.tried")
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        save_model(path, SIZES[options.model])
        compiled(path, options.repeats)
        sampled(path, options.repeats)
    padded(options.records)


def loaded(path: Path) -> PreTrainedModel:
    """Returns the model in float32."""
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def seconds_of(work: Callable[[], object], repeats: int) -> float:
    """Returns the median CPU seconds of work, once it has been done once."""
    work()
    found = []
    for _ in range(repeats):
        clock = Stopwatch()
        work()
        found.append(clock.cpu_seconds)
    return median(found)


def compiled(path: Path, repeats: int) -> None:
    """Prints what torch.compile saves of a training pass, and how many passes pay for its compiling."""
    model = get_peft_model(
        loaded(path), LoraConfig(r=8, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    ).train()
    ids = torch.randint(len(SPECIAL), model.config.vocab_size, (ROWS, PROMPT_TOKENS + SAID))

    def training(forward: Callable[..., object]) -> Callable[[], None]:
        def once() -> None:
            logits = forward(input_ids=ids).logits[:, PROMPT_TOKENS - 1 : -1]  # type: ignore[attr-defined]
            logits.log_softmax(-1).gather(-1, ids[:, PROMPT_TOKENS:, None]).mean().backward()

        return once

    plain = seconds_of(training(model), repeats)
    fast = training(torch.compile(model, dynamic=False))
    start = time.perf_counter()
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        fast()
    compiling = time.perf_counter() - start
    quick = seconds_of(fast, repeats)
    saved = plain - quick
    pays = f"pays after {compiling / saved:,.0f} passes of this shape" if saved > 0 else "never pays"
    print(
        f"torch.compile, training: {plain:.3f} s -> {quick:.3f} s a pass, after {compiling:.0f} s of compiling: {pays}"
    )


@torch.no_grad()
def sampled(path: Path, repeats: int) -> None:
    """Prints rates of sampling by precision, and what other precisions change."""
    ways = {"float32": loaded(path), "mixed": loaded(path), "int8": loaded(path)}
    reduce_precision(ways["mixed"], "mixed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it will move to torchao
        ways["int8"] = torch.ao.quantization.quantize_dynamic(ways["int8"], {nn.Linear}, dtype=torch.qint8)
    prompts = torch.randint(len(SPECIAL), ways["float32"].config.vocab_size, (SAMPLED, PROMPT_TOKENS))
    exact = next_tokens(ways["float32"], prompts)
    for name, model in ways.items():
        cache = DynamicCache()
        model(input_ids=prompts, past_key_values=cache, logits_to_keep=1)

        def step(model: PreTrainedModel = model, cache: DynamicCache = cache) -> None:
            model(input_ids=prompts[:, :1], past_key_values=cache, logits_to_keep=1)
            cache.crop(-1)

        took = seconds_of(step, 8 * repeats)
        moved = (exact.exp() * (exact - next_tokens(model, prompts))).sum(-1).mean()
        print(f"{name}, sampling: {SAMPLED / took:,.0f} tokens per CPU s, KL {max(0.0, float(moved)):.1e} nats a token")


def next_tokens(model: PreTrainedModel, prompts: torch.Tensor) -> torch.Tensor:
    """Returns log-probabilities of what follows the prompts, (rows, vocabulary)."""
    return model(input_ids=prompts, logits_to_keep=1).logits[:, -1].float().log_softmax(-1)


def padded(records: int) -> None:
    """Prints which share of the tokens of a training pass is padding: the most that a pass without any could save."""
    backbone, setup = Backbone.load("tiny", "cpu"), Setup.of("HH-v0")
    found = setup.feedback("train")[0].records[:records]
    lengths = [len(backbone.encode_prompt(r.prompt)) + len(backbone.encode_response(r.chosen)) for r in found]
    rows = list(range(len(lengths)))
    ways = {
        "as they come": [rows[i : i + MICRO_BATCH] for i in range(0, len(rows), MICRO_BATCH)],
        "of like lengths, as PPO": [
            part for step in range(0, len(rows), 64) for part in chunks_of(lengths, rows[step : step + 64], MICRO_BATCH)
        ],
    }
    for name, parts in ways.items():
        columns = sum(len(part) * max(lengths[i] for i in part) for part in parts)
        print(f"padding, {MICRO_BATCH} rows {name}: {1 - sum(lengths) / columns:.1%} of the tokens")


if __name__ == "__main__":
    run_command(main)
