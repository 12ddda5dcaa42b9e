"""Measures PPO iterations of TRL 1.12, the last release that has PPO, on the same files.

Its policy has LoRA adapters, its value model is fully trained, as TRL has it with `peft_config`; in the variant
"value LoRA" it is wrapped by hand. `bf16` and `gradient_checkpointing` do nothing in this trainer.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from peft import get_peft_model
from transformers.models.llama import modeling_llama  # noqa: F401 - imported by both processes that are compared
from trl.experimental.ppo import PPOConfig, PPOTrainer  # type: ignore[import-not-found]
from trl.experimental.ppo import ppo_trainer as internals

from benchmarks.performance.measure import PhaseClock, Task, print_result, read_task
from benchmarks.performance.others import lora, scorer
from envs.hh.reader import read_hh


class Marks(transformers.TrainerCallback):
    """Marks where iterations begin and end."""

    def __init__(self, clock: PhaseClock) -> None:
        self._clock = clock

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self._clock.mark()

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self._clock.mark()


def config(task: Task) -> PPOConfig:
    """As many rollouts, epochs and optimizer steps as perlhf is given."""
    work = task.work
    assert work is not None
    return PPOConfig(
        output_dir=task.scratch, per_device_train_batch_size=work["n_envs"], num_ppo_epochs=work["n_epochs"],
        num_mini_batches=work["n_envs"] // work["batch_size"], response_length=work["max_new_tokens"],
        total_episodes=work["n_envs"] * (1 + work["iterations"]), temperature=1.0, missing_eos_penalty=1.0,
        num_sample_generations=0, learning_rate=1e-4, bf16=False, gradient_checkpointing=False, use_cpu=True,
        report_to="none", save_strategy="no", disable_tqdm=True, logging_steps=1000,
    )  # fmt: skip


def make_trainer(task: Task, clock: PhaseClock) -> PPOTrainer:
    """TRL's four models, the reference being the policy with its adapters off."""
    assert task.work is not None
    rank = task.work["lora_rank"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(task.model, padding_side="left")
    prompts = [record.prompt for record in read_hh(Path(task.data) / "train.jsonl").records]
    data = Dataset.from_list([{"input_ids": tokenizer(prompt)["input_ids"]} for prompt in prompts])
    policy = transformers.AutoModelForCausalLM.from_pretrained(task.model, dtype=torch.float32)
    value, reward = scorer(task.model), scorer(task.model).requires_grad_(False)
    if task.setting == "value LoRA":
        value = get_peft_model(value, lora(rank, "SEQ_CLS", modules_to_save=["score"]))
    return PPOTrainer(
        args=config(task), processing_class=tokenizer, model=policy, ref_model=None, reward_model=reward,
        value_model=value, train_dataset=data, eval_dataset=data.select(range(2)), callbacks=[Marks(clock)],
        peft_config=lora(rank, "CAUSAL_LM"),
    )  # fmt: skip


def watch(clock: PhaseClock) -> None:
    """Times sampling, and takes what runs with gradients, with what follows it, for optimizing."""
    internals.batch_generation = clock.timed("sampling", internals.batch_generation)
    plain, optimizing = internals.forward, clock.timed("optimizing", internals.forward)
    internals.forward = lambda *args: (optimizing if torch.is_grad_enabled() else plain)(*args)


def main() -> None:
    """Runs the iterations."""
    task = read_task()
    assert task.work is not None
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    clock = PhaseClock()
    watch(clock)
    trainer = make_trainer(task, clock)
    trainer.accelerator.backward = clock.timed("optimizing", trainer.accelerator.backward)
    trainer.optimizer.step = clock.timed("optimizing", trainer.optimizer.step)
    trainer.train()
    print_result(clock.result(task.work["n_envs"]))


if __name__ == "__main__":
    main()
