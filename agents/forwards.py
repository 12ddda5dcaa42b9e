"""How many rows go through the model together in training, and which of them."""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np

from agents.policy import LoRAPolicy
from agents.rollout import chunks_of
from agents.steps import Step
from backbones import group
from backbones.memory import rows_that_fit


def lengths_of(steps: Sequence[Step]) -> list[int]:
    """Returns the tokens of each row, prompt and response."""
    return [len(p) + len(r) for step in steps for p, r in zip(step.prompts, step.responses, strict=True)]


def micro_batch_for(policy: LoRAPolicy, steps: Sequence[Step]) -> int:
    """Returns how many rows as long as the longest have room in the memory of every process, 16 at most."""
    longest = max(len(row) for step in steps for row in step.responses)
    return min(group.gather(rows_that_fit(policy.policy_role, max(lengths_of(steps)), longest)))


def forwards_to_come(
    policy: LoRAPolicy, steps: Sequence[Step], batch_size: int, micro_batch_size: int, rng: np.random.Generator
) -> list[list[int]] | None:
    """Returns the rows of each forward of this process in the first epoch of updates; None in float32.

    A bf16 product rounds away what another order of sums, in a batch of another shape, would change, but for a few
    numbers, and these grow from layer to layer to a few percent of a ratio. So what ratios are taken against is
    computed in the very batches that will be trained on. In float32 it does not matter.

    Args:
        policy: that will be trained.
        steps: of the rollout.
        batch_size: rows in an optimizer step.
        micro_batch_size: rows in a forward.
        rng: that will draw the order of rows; it stays as it is.
    """
    if policy.backbone.precision == "fp32":
        return None
    lengths = lengths_of(steps)
    order = deepcopy(rng).permutation(len(lengths)).tolist()  # as `train` will draw it
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    parts = [group.own_part(lengths, rows) for rows in batches]
    return [chunk for rows in parts for chunk in chunks_of(lengths, rows, micro_batch_size)]
