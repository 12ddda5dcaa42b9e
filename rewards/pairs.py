"""The preference pairs a reward model learns from: the data's own, and pairs of a policy's samples.

Samples matter: a model that has never seen what the policy says scores it by adding up familiar parts, and PPO
finds out. They need a labeller, which the miniature data have (the noisy annotator).
"""

from collections.abc import Sequence

import numpy as np
import torch

from backbones.generate import generate
from backbones.roles import Role
from envs.data.records import Record
from envs.text import TextTask
from perlhf.errors import UserError


def data_pairs(task: TextTask, count: int | None, rng: np.random.Generator) -> list[Record]:
    """Up to `count` records of the task's split, drawn without replacement; all of them where None."""
    size = len(task.records)
    if count is None or count >= size:
        return list(task.records)
    return [task.records[int(i)] for i in rng.choice(size, size=count, replace=False)]


def sampled_pairs(
    task: TextTask,
    role: Role,
    count: int,
    rng: np.random.Generator,
    max_new_tokens: int = 64,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[Record]:
    """`count` pairs of two different responses that `role` gives to one prompt, labelled by the task's annotator.

    Raises:
        UserError: the task's data have no annotator.
    """
    if count == 0:
        return []
    if not task.has_annotator:
        raise UserError("pairs of the policy's own samples need a labeller, which only the miniature data have.")
    backbone, generator = role.backbone, torch.Generator(role.backbone.device).manual_seed(seed)
    pairs: list[Record] = []
    while len(pairs) < count:
        indices = [int(i) for i in rng.integers(len(task.records), size=min(256, 2 * (count - len(pairs)) + 8))]
        prompts = [backbone.encode_prompt(task.records[i].prompt) for i in indices]
        first, second = (
            [backbone.decode(ids) for ids in generate(role, prompts, max_new_tokens, temperature, generator)]
            for _ in range(2)
        )
        pairs += [_label(task, *item, rng) for item in zip(indices, first, second, strict=True) if item[1] != item[2]]
    return pairs[:count]


def _label(task: TextTask, index: int, first: str, second: str, rng: np.random.Generator) -> Record:
    if not task.annotate(index, first, second, rng):
        first, second = second, first
    record = task.records[index]
    return Record(record.prompt, first, second, record.meta)


def ceiling(task: TextTask, pairs: Sequence[Record]) -> float | None:
    """The best expected accuracy on the labels of these pairs; None where the labeller is not known."""
    return float(np.mean([task.label_ceiling(pair) for pair in pairs])) if task.has_annotator else None
