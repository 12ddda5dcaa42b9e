"""What log-probabilities of a large vocabulary take: all logits at once beside chunk by chunk.

    python benchmarks/large_vocabulary.py [--rows 8] [--tokens 512] [--vocabulary 50000] [--width 256]

A random model of two layers; each way runs in a process of its own, which says its peak and the CPU seconds of one
forward and backward of SFT's loss. The peak is of what the pass adds to the process that has loaded all.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from backbones import log_probs
from backbones.forward import speak
from backbones.model.tokens import TokenBatch
from perlhf.measure import Stopwatch, peak_rss_mb

WAYS = ("all at once", "in chunks")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures both ways, or with `--way` one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("rows", 8), ("tokens", 512), ("vocabulary", 50_000), ("width", 256), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--way", choices=WAYS)
    options = parser.parse_args(arguments)
    if options.way:
        print(json.dumps(measure(options)))
        return
    print(f"{'logits':12} {'added to the peak, MB':>22} {'CPU s':>8} {'loss':>12}")
    for way in WAYS:
        given = [sys.executable, __file__, *(sys.argv[1:] if arguments is None else arguments), "--way", way]
        done = subprocess.run(given, capture_output=True, text=True, check=True)  # noqa: S603
        found = json.loads(done.stdout.splitlines()[-1])
        print(f"{way:12} {found['added_mb']:22.0f} {found['cpu_seconds']:8.2f} {found['loss']:12.6f}")


def measure(options: argparse.Namespace) -> dict[str, float]:
    """Returns the peak that the passes add to the process in MB, the CPU seconds of one, and its loss."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    log_probs.LARGE = sys.maxsize if options.way == WAYS[0] else 0
    config = LlamaConfig(
        hidden_size=options.width, intermediate_size=2 * options.width, num_hidden_layers=2, num_attention_heads=4,
        vocab_size=options.vocabulary, max_position_embeddings=options.tokens + 16,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    model.model.layers[-1].requires_grad_(True)
    device = torch.device("cpu")
    ids = torch.randint(3, options.vocabulary, (options.rows, options.tokens + 8)).tolist()
    batch = TokenBatch.of([row[:8] for row in ids], [row[8:] for row in ids], 0, device)
    small = TokenBatch.of([[3, 4]], [[5, 6]], 0, device)
    speak(model, small).log_probs.sum().backward()  # so that the model and the libraries are warm
    before, clock = peak_rss_mb(), Stopwatch()
    for _ in range(options.repeats):
        loss = -speak(model, batch).log_probs.mean()
        loss.backward()
    return {
        "added_mb": peak_rss_mb() - before,
        "cpu_seconds": clock.cpu_seconds / options.repeats,
        "loss": loss.item(),
    }


if __name__ == "__main__":
    main()
