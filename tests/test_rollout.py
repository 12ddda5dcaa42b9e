"""A rollout made by hand: its parts, what it is divided by, and the rewards that follow from its scores."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from agents.algorithms import ALGORITHMS
from agents.algorithms.functional import Order
from agents.rollout import Rollout, ScoreSettings, chunks_of, credited

SETTINGS = ScoreSettings(0.5, 0.0, 1.0, 1.0)


def numbers(*rows):
    return torch.tensor(rows, dtype=torch.float32)


@pytest.fixture
def rollout():
    """Three episodes of one turn, of 2, 1 and 3 tokens; 9 is on padding."""
    nothing = torch.zeros(3)
    order = Order(torch.zeros(3, dtype=torch.long), torch.arange(3), nothing == 0, nothing > 0, nothing)
    return Rollout(
        prompts=[[1, 2, 3], [4], [1, 2, 3]],
        responses=[[5, 6], [7], [5, 6, 7]],
        response_mask=torch.tensor([[True, True, False], [True, False, False], [True, True, True]]),
        scores=torch.tensor([2.0, -1.0, 4.0]),
        ended=torch.tensor([True, False, True]),
        failed=torch.tensor([False, False, True]),
        order=order,
        old_log_probs=numbers([-1, -2, 9], [-3, 9, 9], [-1, -1, -1]),
        reference_log_probs=numbers([-2, -2, 0], [-1, 0, 0], [-1, -3, -2]),
        entropy=numbers([0, 0, 0], [0, 0, 0], [0, 0, 0]),
        values=numbers([0.5, 1, 9], [1, 9, 9], [0, 0, 0]),
        rewards=numbers([0, 0, 0], [0, 0, 0], [0, 0, 0]),
        advantages=numbers([1, 2, 0], [3, 0, 0], [4, 5, 6]),
        returns=numbers([7, 8, 0], [9, 0, 0], [10, 11, 12]),
    )


def test_kl_is_of_tokens_and_of_responses_that_the_env_did_not_fail_at(rollout):
    assert rollout.kl.tolist() == [[1, 0, 0], [-2, 0, 0], [0, 2, 1]]
    assert rollout.response_kl.tolist() == [1, -2]
    assert len(rollout) == 3


def test_minibatches_are_every_row_once_an_epoch_in_drawn_orders(rollout):
    alike = np.random.default_rng(3)
    first, second = (alike.permutation(3).tolist() for _ in range(2))
    found = rollout.minibatches(2, 2, np.random.default_rng(3))
    assert found == [first[:2], first[2:], second[:2], second[2:]]


def test_sums_are_divided_by_their_tokens_or_by_their_share_of_all(rollout):
    assert rollout.tokens([0, 2]) == (5, 5)
    silent = replace(rollout, response_mask=torch.zeros(3, 3, dtype=torch.bool))
    assert silent.tokens([0, 1]) == (1, 1)
    merged = replace(rollout, counts=torch.tensor([2.0, 1.0, 3.0]), all_tokens=24)
    assert merged.tokens([0, 2]) == (16.0, 13.0)  # 24 * 2/3; 2 * 2 + 3 * 3
    assert replace(silent, counts=merged.counts, all_tokens=24).tokens([0]) == (8.0, 1.0)
    assert replace(rollout, counts=merged.counts).tokens([0]) == (2, 2)  # nothing says of how many
    assert replace(rollout, all_tokens=24).tokens([0]) == (2, 2)


def test_parts_are_of_like_lengths_and_equal_prompts_stand_side_by_side():
    lengths, rows = [9, 1, 8, 2, 5], [0, 1, 2, 3]
    assert chunks_of(lengths, rows, 2) == [[1, 3], [2, 0]]
    assert chunks_of(lengths, rows, 3) == [[1, 3, 2], [0]]
    # 0 and 1 have one prompt, the longest row of which is the longest of all
    prompts = [[5], [5], [6], [7], [8]]
    assert chunks_of(lengths, rows, 2, prompts) == [[3, 2], [1, 0]]
    assert chunks_of(lengths, [4, 3], 1) == [[3], [4]]


def test_chunks_are_of_whole_rows(rollout):
    # lengths 5, 2 and 6
    assert rollout.chunks([0, 1, 2], 2) == [[1, 0], [2]]
    assert rollout.chunks([2, 0], 2) == [[0, 2]]
    longer = replace(rollout, prompts=[[1, 2, 3], [4], [1, 2, 3], [4]], responses=[[5, 6], [7], [5], [5, 6, 7, 8, 9]])
    assert longer.chunks([0, 1, 2, 3], 2) == [[2, 0], [1, 3]]  # equal prompts side by side
    said = replace(longer, batches=[[0, 1, 2, 3]])  # as they were scored: by the lengths 5, 2, 4 and 6 alone
    assert said.chunks([0, 1, 2, 3], 2) == [[1, 2], [0, 3]]


def batch_of(prompts, responses):
    """What `LoRAPolicy.batch` returns, as far as it is read here."""
    return SimpleNamespace(rows=(prompts, responses), length=max(map(len, responses)), input_ids=torch.zeros(1))


POLICY = SimpleNamespace(batch=batch_of)


def test_a_part_is_its_rows_as_wide_as_they_need(rollout):
    part = rollout.part([1, 0], POLICY)
    assert part.batch.rows == ([[4], [1, 2, 3]], [[7], [5, 6]])
    assert part.mask.tolist() == [[True, False], [True, True]]
    assert part.old_log_probs.tolist() == [[-3, 9], [-1, -2]]
    assert part.reference_log_probs.tolist() == [[-1, 0], [-2, -2]]
    assert part.advantages.tolist() == [[3, 0], [1, 2]]
    assert part.counts.tolist() == [1, 1]
    assert part.old_values.tolist() == [[1, 9], [0.5, 1]]
    assert part.returns.tolist() == [[9, 0], [7, 8]]


def test_a_part_is_where_its_tokens_are(rollout):
    there = SimpleNamespace(length=3, input_ids=torch.zeros(1, device="meta"))
    part = rollout.part([0], SimpleNamespace(batch=lambda prompts, responses: there))
    assert {tensor.device.type for tensor in part if isinstance(tensor, torch.Tensor)} == {"meta"}
    assert sum(isinstance(tensor, torch.Tensor) for tensor in part) == 7


def test_what_nobody_says_is_none_and_the_algorithm_is_ppo(rollout):
    assert rollout.sampled_log_probs is rollout.monitored is rollout.batches is rollout.counts is None
    default = ScoreSettings(0.5, 0.0, 1.0, 1.0)
    assert (default.scale, default.algorithm, default.group_size) == (1.0, ALGORITHMS["ppo"], 1)


def test_a_part_of_no_rows_is_one_that_nothing_is_learned_from(rollout):
    part = replace(rollout, counts=torch.tensor([2.0, 1.0, 3.0]), values=None).part([], POLICY)
    assert part.batch.rows == ([[1, 2, 3]], [[5, 6]])
    assert part.mask.tolist() == [[False, False]]
    assert part.counts.tolist() == [2]
    assert part.old_values is None
    assert part.returns.tolist() == [[7, 8]]
    assert replace(rollout, counts=torch.tensor([2.0, 1.0, 3.0])).part([2, 1], POLICY).counts.tolist() == [3, 1]


def test_rewards_are_the_score_less_the_kl_and_returns_add_the_values(rollout):
    # KL coefficient .5. Row 0: -.5, 2. Row 1: 1 - 1. Row 2: 0, -1, 4 - .5
    # gamma and lambda 1: the sum of what is still to come, less the value
    found = credited(rollout, SETTINGS)
    assert found.rewards.tolist() == [[-0.5, 2, 0], [0, 0, 0], [0, -1, 3.5]]
    assert found.advantages.tolist() == [[1, 1, 0], [-1, 0, 0], [2.5, 2.5, 3.5]]
    assert found.returns.tolist() == [[1.5, 2, 0], [0, 0, 0], [2.5, 2.5, 3.5]]
    assert rollout.rewards.sum() == 0  # the one given stays as it is


def test_an_algorithm_weighs_score_and_kl_and_has_no_returns_without_values(rollout):
    grouped = replace(rollout, values=None, returns=None)
    found = credited(grouped, SETTINGS._replace(algorithm=ALGORITHMS["grpo"], group_size=3))
    assert found.rewards.tolist() == [[0, 2, 0], [-1, 0, 0], [0, 0, 4]]  # its KL is in the loss
    assert found.returns is None
    assert torch.equal(found.advantages != 0, grouped.response_mask)
