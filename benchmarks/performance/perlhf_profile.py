"""Measures which operators an iteration of perlhf's PPO spends its time in.

In a process of its own, since recording them costs time and memory.
"""

import time
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.performance.measure import print_result, read_task
from benchmarks.performance.perlhf_ppo import make_algorithm

# By a part of an operator's name; the first that fits.
GROUPS = {
    "attention": ("attention",),
    "matrix products": ("mm", "linear", "matmul"),
    "softmax of logits": ("softmax", "logsumexp"),
    "drawing tokens": ("cumsum", "searchsorted", "argmax"),
    "copies": ("copy", "cat", "clone", "index", "gather", "scatter", "fill", "zero", "slice", "select"),
    "element by element": ("mul", "add", "sub", "div", "silu", "sigmoid", "pow", "sqrt", "sum", "mean", "neg"),
}


def group_of(operator: str) -> str:
    """Returns the group that an operator of torch belongs to, else "other operators"."""
    if operator == "aten::exp":  # others begin with it
        return "element by element"
    return next((name for name, parts in GROUPS.items() if any(p in operator for p in parts)), "other operators")


def shares(seconds: Mapping[str, float], total: float) -> dict[str, float]:
    """Shares of `total` by group, the largest first, and last what was outside torch's operators: Python.

    Args:
        seconds: by operator, without the operators that it calls.
        total: of the iteration.
    """
    groups: dict[str, float] = defaultdict(float)
    for operator, taken in seconds.items():
        if operator.startswith(("aten::", "mkldnn::")):  # what is not is autograd's engine and the optimizer
            groups[group_of(operator)] += taken / total
    ordered = dict(sorted(groups.items(), key=lambda item: -item[1]))
    return {**ordered, "Python": max(0.0, 1.0 - sum(groups.values()))}


def main() -> None:
    """Records one iteration, after one that warms up."""
    task = read_task()
    assert task.work is not None
    torch.set_num_threads(1)
    algorithm, count = make_algorithm(task), task.work["n_envs"]
    algorithm.learn(count)
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        start = time.perf_counter()
        algorithm.learn(count, reset_num_timesteps=False)
        total = time.perf_counter() - start
    operators = {event.key: event.self_cpu_time_total / 1e6 for event in recorded.key_averages()}
    print_result({"shares": shares(operators, total)})


if __name__ == "__main__":
    main()
