"""Rows that say the same are trained on once: episodes of a group do alike for as long as they can."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from agents.algorithms.functional import Order
from agents.rollout import Rollout
from agents.steps import first_of_equal_rows


def merge(rollout: Rollout, keep_all: bool) -> Rollout:
    """Returns a rollout in which equal rows are one, with their advantages added up.

    The sum of the losses of equal rows is the loss of one row with their summed advantage, as long as no ratio is
    clipped: what they say has one probability. The mean over the tokens of a rollout stays the mean over all of them.

    Args:
        rollout: with the advantages that are trained on, and without values.
        keep_all: whether rows are needed whose advantages are 0, since a KL or an entropy is in the loss too. Else
            they are left out, and so are those that nothing is learned from.
    """
    assert rollout.values is None
    sound = rollout.response_mask.any(1)
    into = torch.tensor(first_of_equal_rows(rollout.prompts, rollout.responses, sound.tolist()))
    advantages = torch.zeros_like(rollout.advantages).index_add(0, into, rollout.advantages)
    counts = torch.zeros(len(into)).index_add(0, into, torch.ones(len(into)))
    rows = torch.nonzero(sound & (counts > 0) & (advantages.ne(0).any(1) | keep_all)).squeeze(1).tolist()
    kept = replace(taken(rollout, rows), advantages=advantages[rows], counts=counts[rows])
    return replace(kept, all_tokens=int(rollout.response_mask.sum()))


def taken(rollout: Rollout, rows: Sequence[int]) -> Rollout:
    """Returns some rows of a rollout, without what is said of the batches, and by a server, of all of them."""
    held = ((field.name, getattr(rollout, field.name)) for field in fields(rollout))
    tensors: dict[str, Any] = {name: value[list(rows)] for name, value in held if isinstance(value, Tensor)}
    return replace(
        rollout, **tensors, order=Order(*(tensor[list(rows)] for tensor in rollout.order)), batches=None,
        prompts=[rollout.prompts[i] for i in rows], responses=[rollout.responses[i] for i in rows],
        sampled_log_probs=None,
    )  # fmt: skip
