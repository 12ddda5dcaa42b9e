"""What drawing a token for each row takes: by numbers of the rows' own beside torch.multinomial.

    python benchmarks/draws.py [--rows 64] [--vocabularies 32000 128256] [--repeats 15]

Both get the same logits. A row of numbers for the whole response is made once, so its share of one token is counted.
"""

import argparse
from collections.abc import Callable, Sequence

import numpy as np
import torch

from backbones.draws import draw, row_seeds, uniforms
from perlhf.measure import Stopwatch

TOKENS = 64  # of a response, in which the numbers of its row are made at once


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures both ways, in turns, on one thread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--vocabularies", type=int, nargs="+", default=[32_000, 128_256])
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    print(f"CPU milliseconds of one token of {options.rows} rows, median of {options.repeats}")
    print(f"{'vocabulary':>10} {'multinomial':>12} {'draw':>8} {'times faster':>13}")
    for vocabulary in options.vocabularies:
        logits = 2 * torch.randn(options.rows, vocabulary, generator=generator)
        numbers = uniforms(row_seeds(0, range(options.rows), 0), TOKENS)
        ways: list[Callable[[], object]] = [
            lambda logits=logits: torch.multinomial(logits.softmax(-1), 1, generator=generator),  # type: ignore[misc]
            lambda logits=logits, numbers=numbers: draw(logits, 1.0, numbers[:, 0]),  # type: ignore[misc]
            lambda rows=options.rows: uniforms(row_seeds(0, range(rows), 0), TOKENS),  # type: ignore[misc]
        ]
        rounds = [[_milliseconds(way) for way in ways] for _ in range(options.repeats + 1)]
        multinomial, drawn, made = np.median(rounds[1:], axis=0)
        drawn += made / TOKENS
        print(f"{vocabulary:10} {multinomial:12.2f} {drawn:8.2f} {multinomial / drawn:13.1f}")


def _milliseconds(way: Callable[[], object]) -> float:
    clock = Stopwatch()
    way()
    return 1e3 * clock.cpu_seconds


if __name__ == "__main__":
    main()
