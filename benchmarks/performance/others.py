"""What the others that perlhf is measured beside are given alike: perlhf's adapters, and scorers of their own."""

from typing import Any

import torch
import transformers
from peft import LoraConfig

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]


def lora(rank: int, kind: str, **more: Any) -> LoraConfig:
    """Returns the adapters that perlhf has too; `kind` is peft's `task_type`."""
    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS, task_type=kind, **more)


def scorer(folder: str) -> transformers.PreTrainedModel:
    """Returns a scalar head on a backbone of its own."""
    return transformers.AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
