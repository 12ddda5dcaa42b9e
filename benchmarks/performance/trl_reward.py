"""Measures TRL's RewardTrainer with LoRA on the same pairs.

In fp32, and as the variant "bf16" under its own default, autocast to bfloat16.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from transformers.models.llama import modeling_llama  # noqa: F401 - imported by both processes that are compared
from trl import RewardConfig, RewardTrainer  # type: ignore[import-not-found]

from benchmarks.performance.measure import PhaseClock, Task, print_result, read_task
from benchmarks.performance.others import lora, scorer
from envs.hh.reader import read_hh


def make_trainer(task: Task, **changed: int) -> RewardTrainer:
    """Returns a trainer on all pairs, or on so many."""
    work: dict[str, Any] = {**(task.work or {}), **changed}
    records = read_hh(Path(task.data) / "train.jsonl").records[: work["pairs"]]
    rows = [{"chosen": f"{r.prompt} {r.chosen}", "rejected": f"{r.prompt} {r.rejected}"} for r in records]
    adapters = lora(work["lora_rank"], "SEQ_CLS", modules_to_save=["score"])
    return RewardTrainer(
        model=scorer(task.model), args=config(task, work), train_dataset=Dataset.from_list(rows), peft_config=adapters,
        processing_class=transformers.AutoTokenizer.from_pretrained(task.model),
    )  # fmt: skip


def config(task: Task, work: dict[str, Any]) -> RewardConfig:
    """As many epochs and optimizer steps as perlhf is given."""
    return RewardConfig(
        output_dir=task.scratch, per_device_train_batch_size=work["batch_size"], num_train_epochs=work["epochs"],
        learning_rate=1e-4, bf16=task.setting == "bf16", gradient_checkpointing=False, use_cpu=True, report_to="none",
        save_strategy="no", disable_tqdm=True, logging_steps=1000,
    )  # fmt: skip


def main() -> None:
    """Trains on one batch to warm up, then on all."""
    task = read_task()
    assert task.work is not None
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    make_trainer(task, pairs=task.work["batch_size"], epochs=1).train()
    trainer, clock = make_trainer(task), PhaseClock()
    clock.mark()
    trainer.train()
    clock.mark()
    count = task.work["pairs"] * task.work["epochs"]
    print_result({"count": count, "iterations": [{"total": clock.iterations[0]["total"]}]})


if __name__ == "__main__":
    main()
