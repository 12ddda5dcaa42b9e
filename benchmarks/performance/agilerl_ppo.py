"""Measures PPO iterations of AgileRL (its PPO for language models, of turns and tokens) on the same files.

Policy, reference and critic are LoRA adapters on one backbone there too. It has no reward model of its own: responses
are scored by a plain sequence classifier, as TRL's are. Without vLLM, which needs a GPU, it samples prompt by prompt.
"""

from pathlib import Path
from typing import Any

import agilerl  # type: ignore[import-not-found]
import torch
import transformers
from transformers.models.llama import modeling_llama  # noqa: F401 - imported by both processes that are compared

from benchmarks.performance.measure import PhaseClock, Task, print_result, read_task
from benchmarks.performance.others import lora, scorer
from envs.hh.reader import read_hh

# It takes Liger's kernels wherever they are installed, requires that they are, and they run on GPUs alone.
agilerl.HAS_LIGER_KERNEL = False
from agilerl.algorithms.ppo_llm import PPO  # type: ignore[import-not-found]  # noqa: E402


def make_algorithm(task: Task, tokenizer: Any) -> PPO:
    """Token-level PPO in float32, as the others are measured."""
    work = task.work
    assert work is not None
    return PPO(
        pad_token_id=tokenizer.pad_token_id, pad_token=tokenizer.pad_token, model_name=task.model,
        model_config={"dtype": torch.float32}, lora_config=lora(work["lora_rank"], "CAUSAL_LM"),
        batch_size=work["n_envs"],
        mini_batch_size=work["batch_size"], micro_batch_size_per_gpu=work["batch_size"],
        update_epochs=work["n_epochs"], max_output_tokens=work["max_new_tokens"],
        min_output_tokens=work["max_new_tokens"], max_model_len=512, temperature=1.0, top_k=0, lr_actor=1e-4,
        lr_critic=1e-4, advantage_granularity="token", gradient_checkpointing=False, use_liger_loss=False, device="cpu",
    )  # fmt: skip


def iterate(algorithm: PPO, reward: Any, rows: list[list[int]], clock: PhaseClock) -> None:
    """One rollout and what is learned from it."""
    prompts = [{"input_ids": torch.tensor([row]), "attention_mask": torch.ones(1, len(row)).long()} for row in rows]
    result = clock.timed("sampling", algorithm.get_action)(prompts)
    with torch.no_grad():
        scores = torch.cat([reward(input_ids=ids).logits[:, 0] for ids in batched(result.token_ids)])
    learn = clock.timed("optimizing", algorithm.learn)
    learn((result.token_ids, result.action_masks, scores))


def batched(token_ids: list[torch.Tensor], size: int = 32) -> list[torch.Tensor]:
    """Rows of one length, in batches."""
    rows = torch.cat([ids.reshape(-1, ids.shape[-1]) for ids in token_ids])
    return list(rows.split(size))


def main() -> None:
    """Runs the iterations."""
    task = read_task()
    assert task.work is not None
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    tokenizer = transformers.AutoTokenizer.from_pretrained(task.model)
    texts = [record.prompt for record in read_hh(Path(task.data) / "train.jsonl").records]
    reward = scorer(task.model)
    algorithm, clock, count = make_algorithm(task, tokenizer), PhaseClock(), task.work["n_envs"]
    for number in range(1 + task.work["iterations"]):
        clock.mark()
        drawn = [texts[(number * count + i) % len(texts)] for i in range(count)]
        iterate(algorithm, reward, [tokenizer(text)["input_ids"] for text in drawn], clock)
    clock.mark()
    print_result(clock.result(count))


if __name__ == "__main__":
    main()
