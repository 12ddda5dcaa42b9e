"""Trains with GRPO or RLOO of TRL 1.16 for so many CPU seconds: `python -m benchmarks.quality.trl_group JSON`."""

from typing import Any

import torch
import transformers
from datasets import Dataset
from peft import LoraConfig
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer  # type: ignore[import-not-found, unused-ignore]

from benchmarks.quality.samples import MAX_NEW_TOKENS, Cell, Samples, save_merged

GENERATION = 64  # completions, of 8 prompts
MAPS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]  # all linear maps
TRAINERS = {"grpo": (GRPOConfig, GRPOTrainer), "rloo": (RLOOConfig, RLOOTrainer)}


class Budget(transformers.TrainerCallback):
    """Starts the clock, and ends training where the CPU seconds are used up."""

    def __init__(self, samples: Samples, budget: float) -> None:
        self._samples, self._budget = samples, budget

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self._samples.start()

    def on_step_end(self, args: Any, state: Any, control: transformers.TrainerControl, **kwargs: Any) -> None:
        control.should_training_stop = self._samples.cpu_seconds > self._budget


def config(cell: Cell) -> Any:
    """As many completions and optimizer steps as perlhf; what the setting does not say is TRL's default."""
    setting = {**cell.setting}
    return TRAINERS[setting.pop("algorithm")][0](
        output_dir=f"{cell.folder}/trainer", per_device_train_batch_size=16, steps_per_generation=GENERATION // 16,
        num_generations=8, max_completion_length=MAX_NEW_TOKENS, temperature=1.0, max_steps=10_000, seed=cell.seed,
        bf16=False, gradient_checkpointing=False, use_cpu=True, report_to="none", save_strategy="no",
        disable_tqdm=True, logging_steps=1000, lr_scheduler_type="constant", **setting,
    )  # fmt: skip


def main() -> None:
    """Runs the command."""
    cell = Cell.of_command_line()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    samples = Samples(cell)

    def reward(completion_ids: list[list[int]], record: list[int], **columns: Any) -> list[float]:
        return samples.scores(record, completion_ids)

    path = samples.backbone.path
    tokenizer = transformers.AutoTokenizer.from_pretrained(path, padding_side="left")
    assert all(tokenizer(p)["input_ids"] == samples.backbone.encode_prompt(p) for p in samples.prompts[:200])
    data = Dataset.from_list([{"prompt": str(p), "record": i} for i, p in enumerate(samples.prompts)])
    model = transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    count = model.config.num_hidden_layers
    layers = list(range(count // 2, count)) if cell.setting.pop("layers", "all") == "half" else None
    trainer = TRAINERS[cell.setting["algorithm"]][1](
        model=model, reward_funcs=reward, args=config(cell), train_dataset=data, processing_class=tokenizer,
        callbacks=[Budget(samples, cell.budget)],
        peft_config=LoraConfig(
            r=8, lora_alpha=16, target_modules=MAPS, layers_to_transform=layers, task_type="CAUSAL_LM"
        ),
    )  # fmt: skip
    trainer.train()
    save_merged(trainer.model, tokenizer, cell.folder)


if __name__ == "__main__":
    main()
