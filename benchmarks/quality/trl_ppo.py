"""Trains with PPO of TRL 1.12, the last that has it: `python -m benchmarks.quality.trl_ppo JSON`.

Everything is as in perlhf as far as it can be: epochs, minibatches, rate, penalties, and a value model that starts as
the reward model and is trained by LoRA, which TRL does not do by itself.
"""

from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from peft import LoraConfig, PeftModel
from torch import Tensor, nn
from trl.experimental.ppo import PPOConfig, PPOTrainer  # type: ignore[import-not-found, unused-ignore]
from trl.experimental.ppo import ppo_trainer as internals

from benchmarks.quality.samples import MAX_NEW_TOKENS, Cell, Samples, save_merged, upto_end
from evaluation.reproduce.cached_runs import bundled, setup_of

GENERATION = 64


class Scorer(nn.Module):
    """Stands where TRL has a reward model; `get_reward` below asks perlhf's."""

    def __init__(self, samples: Samples) -> None:
        super().__init__()
        self.samples = samples
        self.records = {tuple(samples.backbone.encode_prompt(p)): i for i, p in enumerate(samples.prompts)}

    def score(self, rows: Tensor, prompt_tokens: int) -> Tensor:
        """Returns the scores of rows of token ids, (rows,), prompts padded on the left and responses on the right."""
        backbone = self.samples.backbone
        pad, responses, records = backbone.pad_id, [], []
        for row in rows.tolist():
            prompt = row[:prompt_tokens]
            while prompt and prompt[0] == pad:
                prompt.pop(0)
            records.append(self.records[tuple(prompt)])
            responses.append(upto_end(row[prompt_tokens:], backbone.end_ids))
        return torch.tensor(self.samples.scores(records, responses))


class Clock(transformers.TrainerCallback):
    """Starts the clock."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self._samples.start()


def config(cell: Cell) -> PPOConfig:
    """As much and as `train_ppo` by its recipes, but for the number of episodes."""
    return PPOConfig(
        output_dir=f"{cell.folder}/trainer", per_device_train_batch_size=GENERATION,
        gradient_accumulation_steps=1, num_mini_batches=4, local_rollout_forward_batch_size=GENERATION,
        num_ppo_epochs=1, response_length=MAX_NEW_TOKENS, temperature=1.0, missing_eos_penalty=None,
        stop_token="eos",  # noqa: S106
        kl_coef=0.1, vf_coef=0.5, gamma=1.0, lam=0.95, cliprange=0.2, cliprange_value=0.2,
        lr_scheduler_type="linear", max_grad_norm=1.0, num_sample_generations=0, seed=cell.seed, bf16=False,
        gradient_checkpointing=False, use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True,
        logging_steps=1000, **cell.setting,
    )  # fmt: skip


def main() -> None:
    """Runs the command."""
    cell = Cell.of_command_line()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    samples, plain = Samples(cell), internals.get_reward
    scorer = Scorer(samples)

    def get_reward(model: nn.Module, rows: Tensor, pad: int, prompt_tokens: int) -> Any:
        if isinstance(model, Scorer):
            return None, model.score(rows, prompt_tokens), None
        return plain(model, rows, pad, prompt_tokens)

    internals.get_reward = get_reward
    path = samples.backbone.path
    tokenizer = transformers.AutoTokenizer.from_pretrained(path, padding_side="left")
    data = Dataset.from_list([{"input_ids": samples.backbone.encode_prompt(p)} for p in samples.prompts])
    (reward,) = bundled(setup_of(["agents.train_ppo", "--env", cell.env]))
    trainer = PPOTrainer(
        args=config(cell), processing_class=tokenizer, ref_model=None, reward_model=scorer,
        model=transformers.AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32),
        value_model=value_model(path, reward), train_dataset=data, eval_dataset=data.select(range(2)),
        peft_config=LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"),
        callbacks=[Clock(samples)],
    )  # fmt: skip
    trainer.train()
    save_merged(trainer.accelerator.unwrap_model(trainer.model).policy, tokenizer, cell.folder)


def value_model(path: str, reward: Path) -> nn.Module:
    """Returns a model of values that is the reward model at first, by its adapter and head, both trained."""
    base = transformers.AutoModelForSequenceClassification.from_pretrained(path, num_labels=1, dtype=torch.float32)
    return PeftModel.from_pretrained(base, reward, is_trainable=True)


if __name__ == "__main__":
    main()
