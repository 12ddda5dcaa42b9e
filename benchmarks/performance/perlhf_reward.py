"""Measures reward-model training of perlhf: the command itself, over pairs on disk."""

import gc
import shutil
from pathlib import Path
from typing import Any

from transformers.models.llama import modeling_llama  # noqa: F401 - imported by both processes that are compared

from benchmarks.performance.measure import Task, print_result, read_task
from perlhf.run_folder import read_summary
from rewards.train_reward_model import Options, train


def train_once(task: Task, **changed: int) -> dict[str, Any]:
    """Trains on all pairs, or on so many, and returns what the command says in summary.json."""
    work = {**(task.work or {}), **changed}
    folder = Path(task.scratch) / "reward"
    shutil.rmtree(folder, ignore_errors=True)
    options = Options(
        env="HH-v0", data=task.data, backbone=task.model, output_dir=str(folder), pairs=work["pairs"], policy_pairs=0,
        epochs=work["epochs"], batch_size=work["batch_size"], lora_rank=work["lora_rank"], log_prob_weight=0.0,
        start="random", eval_pairs=1, threads=1, **options_of(task.setting),
    )  # fmt: skip
    train(options)
    return read_summary(folder)


def options_of(setting: dict[str, Any]) -> dict[str, Any]:
    """Of PPO's settings those that a reward model has too."""
    return {name: value for name, value in setting.items() if name != "value_adapter"}


def main() -> None:
    """Trains on one batch to warm up, then on all."""
    task = read_task()
    assert task.work is not None
    train_once(task, pairs=task.work["batch_size"], epochs=1)
    gc.collect()  # a backbone and its roles refer to each other: the first ones would still be in memory
    summary = train_once(task)
    count = summary["pairs"] * summary["epochs"]
    print_result({"count": count, "iterations": [{"total": summary["cpu_seconds"]}]})


if __name__ == "__main__":
    main()
