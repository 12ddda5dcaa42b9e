"""perlhf lab credit: a game of two turns whose advantages are worked out by hand, and each estimate of them."""

import numpy as np
import pytest

from backbones.backbone import Backbone
from backbones.draws import row_seeds
from backbones.forward import log_probs_of
from backbones.generate import generate
from backbones.model.loading import SHIPPED
from envs.registry import env_id, task_of
from evaluation.labs.credit import play
from evaluation.labs.credit_estimates import (
    Played,
    judged,
    of_equal_states,
    of_forks,
    of_values,
    of_whole_episodes,
    sums_of,
)
from evaluation.labs.policy_table import Node, Table, likely_responses, table_of

# From the first state to 1 or 2 by a fair coin; from 1 to success with 3/4, from 2 with 1/4.
GAME = Table(
    (
        Node(0, 1.0, None, (1, 2), (0.5, 0.5), "0"),
        Node(1, 0.5, None, (3, 4), (0.75, 0.25), "1"),
        Node(2, 0.5, None, (3, 4), (0.25, 0.75), "2"),
        Node(3, 0.5, 1, (), (), ""),
        Node(4, 0.5, 0, (), (), ""),
    ),
    kept=1.0,
)
VALUES = np.array([0.5, 0.75, 0.25, 1.0, 0.0])
# One group: won by way of 1, lost by way of 1, lost by way of 2.
EPISODES = Played(np.array([[[0, 1, 3], [0, 1, 4], [0, 2, 4]]]), np.ones((1, 3, 2), bool), np.array([[1.0, 0.0, 0.0]]))
TRUE = [[0.25, 0.25], [0.25, -0.75], [-0.25, -0.25]]


def test_values_and_turns_of_a_table_are_sums():
    assert GAME.values().tolist() == VALUES.tolist()
    assert GAME.turns().tolist() == [2, 1, 1, 0, 0]


def test_a_state_that_is_not_gone_on_from_is_between_failure_and_success():
    cut = Table((*GAME.nodes[:4], GAME.nodes[4]._replace(outcome=None)), kept=1.0)
    assert cut.values(0.0)[0] == 0.5
    assert cut.values(1.0)[0] == 1.0


def test_groups_are_compared_by_their_returns():
    assert of_whole_episodes(EPISODES, normalized=False)[0].tolist() == [[1, 1], [-0.5, -0.5], [-0.5, -0.5]]
    by_spread = of_whole_episodes(EPISODES, normalized=True)[0]
    assert by_spread[0] == pytest.approx([2**0.5] * 2)  # 2/3 over the root of 2/9
    assert by_spread[1:] == pytest.approx(np.full((2, 2), -(0.5**0.5)))


def test_equal_states_are_compared_with_each_other():
    found = of_equal_states(EPISODES, np.array([0, 1, 2, 3, 4]))[0]
    assert found == pytest.approx(np.array([[2 / 3, 0.5], [-1 / 3, -0.5], [-1 / 3, 0.0]]))
    same = of_equal_states(EPISODES, np.array([0, 1, 1, 3, 4]))[0]  # 1 and 2 show one screen
    assert same[:, 1] == pytest.approx([2 / 3, -1 / 3, -1 / 3])


def test_generalised_advantages_by_true_values():
    assert of_values(EPISODES, VALUES, 0.0)[0] == pytest.approx(np.array(TRUE))
    assert of_values(EPISODES, VALUES, 1.0)[0] == pytest.approx(np.array([[0.5, 0.25], [-0.5, -0.75], [-0.5, -0.25]]))
    half = of_values(EPISODES, VALUES, 0.5)[0]
    assert half[0] == pytest.approx([0.25 + 0.25 / 2, 0.25])


def test_many_forks_find_the_truth_and_few_vary_around_it():
    rng = np.random.default_rng(0)
    assert of_forks(EPISODES, VALUES, 10**6, rng)[0] == pytest.approx(np.array(TRUE), abs=0.005)
    one = np.stack([of_forks(EPISODES, VALUES, 1, rng)[0] for _ in range(2000)])
    assert set(np.unique(one)) == {-1.0, 0.0, 1.0}
    assert one.mean(0) == pytest.approx(np.array(TRUE), abs=0.06)


def test_bias_and_noise_of_returns_less_true_values():
    played = play(GAME, 500, 4, np.random.default_rng(0))
    assert played.returns.mean() == pytest.approx(0.5, abs=0.05)
    found = judged(sums_of(played, of_values(played, VALUES, 1.0), VALUES))
    assert found.bias == pytest.approx(0, abs=0.03)
    assert found.noise == pytest.approx((0.1875 / 2) ** 0.5, rel=0.05)  # 3/16 in the first turn, none in the last
    exact = judged(sums_of(played, of_values(played, VALUES, 0.0), VALUES))
    assert exact == pytest.approx((0, 0, 1, 1), abs=1e-6)
    shifted = judged(sums_of(played, of_values(played, VALUES, 0.0) + 0.5, VALUES))
    assert shifted.bias == pytest.approx(0, abs=1e-6)  # which normalized advantages are without


def test_a_group_is_wrong_where_the_way_was_right_and_the_end_was_not():
    """By hand: a group's advantage does not tell the turns of an episode apart, so it has a bias on each."""
    played = play(GAME, 2000, 2, np.random.default_rng(1))
    found = judged(sums_of(played, of_whole_episodes(played, normalized=False), VALUES))
    # On average R - 1/2: first turn +-1/4 as it should be; last turn +-1/2 in place of 1/4, -3/4, 3/4, -1/4.
    assert found.bias == pytest.approx((0.5 * 0.25**2) ** 0.5, rel=0.1)


HOT = 1.5  # a temperature at which several responses are likely


@pytest.fixture(scope="module")
def phone():
    role = Backbone.load(SHIPPED["tiny-uinav"], "cpu").reference
    task = task_of(env_id("UINav-v0"), split="train")
    return task, task.start(np.random.default_rng([0, 2]), {}), role


def test_likely_responses_are_all_there_with_their_probability(phone):
    _, start, role = phone
    prompt = role.backbone.encode_prompt(start.prompt)
    (said,) = likely_responses(role, [prompt], HOT, 0.002, 24)
    ids, p = [list(each.ids) for each in said], [each.probability for each in said]
    assert len({tuple(row) for row in ids}) == len(ids) > 1
    assert p == sorted(p, reverse=True)
    assert min(p) >= 0.002
    assert log_probs_of(role, [prompt] * len(ids), ids, HOT).sum(1).exp().tolist() == pytest.approx(p, rel=1e-3)
    sampled = generate(role, [prompt] * 64, 24, HOT, row_seeds(0, range(64), 0))
    likely = log_probs_of(role, [prompt] * 64, sampled, HOT).sum(1).exp() >= 0.00202
    assert likely.any()
    assert all(row in ids for row, enough in zip(sampled, likely, strict=True) if enough)


def test_a_table_holds_what_may_happen(phone):
    task, start, role = phone
    made = table_of(task, start, role, 0.7, 0.05, 0.1, 24)
    assert made.nodes[0].probability == 1
    assert 0.5 < made.kept <= 1
    for i, node in enumerate(made.nodes):
        assert not node.next or sum(node.p) == pytest.approx(1)
        assert all(after > i for after in node.next)
    ends = sum(node.probability for node in made.nodes if not node.next)
    assert ends == pytest.approx(1)
    assert made.values(0.0)[0] <= made.values(1.0)[0]
