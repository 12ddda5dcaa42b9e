"""Measures how fast this machine multiplies matrices, on one thread: the limit of everything else."""

import time
from collections.abc import Callable

import torch
from torch.nn.functional import linear

from benchmarks.performance.cases import SIZES, Size
from benchmarks.performance.measure import print_result, read_task

_TRAINED, _SAMPLED = 1792, 32  # tokens of 16 rows of 112; rows that are sampled side by side
_SECONDS, _REPEATS = 0.1, 3


def shapes_of(size: Size) -> dict[str, tuple[int, int, int]]:
    """Products (tokens, inputs) x (inputs, outputs) by what they are for."""
    return {
        "square": (2048, 2048, 2048),
        "attention projection, training": (_TRAINED, size.hidden, size.hidden),
        "MLP, training": (_TRAINED, size.hidden, size.intermediate),
        "LM head, training": (_TRAINED, size.hidden, size.vocabulary),
        "LoRA of rank 8, training": (_TRAINED, size.hidden, 8),
        "MLP, sampling": (_SAMPLED, size.hidden, size.intermediate),
        "LM head, sampling": (_SAMPLED, size.hidden, size.vocabulary),
    }


def gigaflops(shape: tuple[int, int, int], dtype: torch.dtype) -> float:
    """Returns the best of a few repeats, in GFLOP per CPU second."""
    tokens, inputs, outputs = shape
    states, weight = torch.randn(tokens, inputs).to(dtype), torch.randn(outputs, inputs).to(dtype)
    once = min(seconds(lambda: linear(states, weight)) for _ in range(2))
    count = max(1, int(_SECONDS / max(once, 1e-6)))
    best = min(seconds(lambda: linear(states, weight), count) for _ in range(_REPEATS))
    return 2 * tokens * inputs * outputs * count / best / 1e9


def seconds(function: Callable[[], object], count: int = 1) -> float:
    """CPU seconds of so many calls."""
    start = time.process_time()
    for _ in range(count):
        function()
    return time.process_time() - start


@torch.no_grad()
def main() -> None:
    """Measures all shapes of one model in both precisions."""
    task = read_task()
    assert task.work is not None
    torch.set_num_threads(1)
    kinds = {"fp32": torch.float32, "bf16": torch.bfloat16}
    shapes = shapes_of(SIZES[task.work["model"]])
    rates = {n: {"shape": s, **{k: gigaflops(s, dtype) for k, dtype in kinds.items()}} for n, s in shapes.items()}
    print_result({"gigaflops": rates})


if __name__ == "__main__":
    main()
