"""perlhf lab credit: a game of two turns whose advantages are worked out by hand, and each estimate of them."""

import json
from pathlib import Path

import numpy as np
import pytest

from backbones.backbone import Backbone
from backbones.draws import row_seeds
from backbones.forward import log_probs_of
from backbones.generate import generate
from backbones.model.loading import SHIPPED
from envs.registry import env_id, task_of
from evaluation.labs.credit import estimates_of, play
from evaluation.labs.credit_estimates import Played, of_equal_states, of_forks, of_values, of_whole_episodes
from evaluation.labs.credit_judged import judged, sums_of
from evaluation.labs.credit_report import rows_of, share_of, summary, value_sums
from evaluation.labs.policy_table import Node, Table, likely_responses, table_of

# From the first state to 1 or 2 by a fair coin; from 1 to success with 3/4, from 2 with 1/4.
GAME = Table(
    (
        Node(0, 1.0, None, (1, 2), (0.5, 0.5), 1.0, "0"),
        Node(1, 0.5, None, (3, 4), (0.75, 0.25), 1.0, "1"),
        Node(2, 0.5, None, (3, 4), (0.25, 0.75), 1.0, "2"),
        Node(3, 0.5, 1, (), (), 0.0, ""),
        Node(4, 0.5, 0, (), (), 0.0, ""),
    )
)
VALUES = np.array([0.5, 0.75, 0.25, 1.0, 0.0])
# One group: won by way of 1, lost by way of 1, lost by way of 2.
EPISODES = Played(np.array([[[0, 1, 3], [0, 1, 4], [0, 2, 4]]]), np.ones((1, 3, 2), bool), np.array([[1.0, 0.0, 0.0]]))
TRUE = [[0.25, 0.25], [0.25, -0.75], [-0.25, -0.25]]
# The mean square of the true advantage: 1/16 of the first turn, 3/4 * 1/16 + 1/4 * 9/16 of the last.
TRUE_SQUARE = (0.0625 + 0.1875) / 2


# The table.


def test_values_and_turns_of_a_table_are_sums():
    assert GAME.values().tolist() == VALUES.tolist()
    assert GAME.bounds().tolist() == [VALUES.tolist()] * 2
    assert GAME.turns().tolist() == [2, 1, 1, 0, 0]


def test_what_is_not_in_the_table_may_fail_or_succeed():
    start, one, two, won, lost = GAME.nodes
    partly = Table((start._replace(kept=0.9), one._replace(kept=0.8), two, won, lost._replace(outcome=None)))
    # From 1: at least 0.8 * 0.75, at most 0.8 + 0.2; from 2 at least 0.25, at most 1; from the start 0.9 of their mean.
    assert partly.bounds() == pytest.approx(np.array([[0.9 * 0.425, 0.6, 0.25, 1, 0], [1, 1, 1, 1, 1]]))
    assert partly.values().tolist() == VALUES.tolist()  # the game that the table is


def test_episodes_are_played_as_the_table_says():
    later = Table((Node(0, 1.0, None, (1, 3), (0.2, 0.8), 1.0, ""), *GAME.nodes[1:]))
    played = play(later, 500, 4, np.random.default_rng(0))
    assert played.nodes.shape == (500, 4, 3)
    first = played.nodes[..., 1]
    assert np.isin(first, (1, 3)).all()
    assert (first == 3).mean() == pytest.approx(0.8, abs=0.03)  # an episode of one turn
    assert (played.mask[..., 1] == (first == 1)).all()
    assert (played.nodes[..., 2] == np.where(first == 1, np.where(played.returns, 3, 4), 0)).all()
    assert played.returns.mean() == pytest.approx(0.8 + 0.2 * 0.75, abs=0.03)


# The estimates, of three episodes.


def test_groups_are_compared_by_their_returns():
    assert of_whole_episodes(EPISODES, normalized=False)[0].tolist() == [[1, 1], [-0.5, -0.5], [-0.5, -0.5]]
    by_spread = of_whole_episodes(EPISODES, normalized=True)[0]
    assert by_spread[0] == pytest.approx([2**0.5] * 2)  # 2/3 over the root of 2/9
    assert by_spread[1:] == pytest.approx(np.full((2, 2), -(0.5**0.5)))


def test_equal_states_are_compared_with_each_other():
    anchors = np.array([0, 1, 2, 3, 4])
    found = of_equal_states(EPISODES, anchors, normalized=False)[0]
    assert found == pytest.approx(np.array([[2 / 3, 0.5], [-1 / 3, -0.5], [-1 / 3, 0.0]]))
    by_spread = of_equal_states(EPISODES, anchors, normalized=True)[0]
    assert by_spread == pytest.approx(np.array([[2**0.5, 1], [-(0.5**0.5), -1], [-(0.5**0.5), 0]]))
    same = of_equal_states(EPISODES, np.array([0, 1, 1, 3, 4]), normalized=False)[0]  # 1 and 2 show one screen
    assert same[:, 1] == pytest.approx([2 / 3, -1 / 3, -1 / 3])
    # A screen that an episode comes back to counts as often; other groups do not count.
    again = Played(np.array([[[0, 0, 3], [0, 2, 4]]] * 2), np.ones((2, 2, 2), bool), np.array([[1.0, 0.0]] * 2))
    found = of_equal_states(again, anchors, normalized=False)
    assert found == pytest.approx(np.array([[[1 / 3, 1 / 3], [-2 / 3, 0]]] * 2))


def test_generalised_advantages_by_values():
    assert of_values(EPISODES, VALUES, 0.0)[0] == pytest.approx(np.array(TRUE))
    assert of_values(EPISODES, VALUES, 1.0)[0] == pytest.approx(np.array([[0.5, 0.25], [-0.5, -0.75], [-0.5, -0.25]]))
    half = of_values(EPISODES, VALUES, 0.5)[0]
    assert half[0] == pytest.approx([0.25 + 0.25 / 2, 0.25])
    wrong = of_values(EPISODES, np.array([0.4, 0.9, 0.0, 7.0, 7.0]), 0.0)[0]  # over, an episode has no value
    assert wrong == pytest.approx(np.array([[0.5, 0.1], [0.5, -0.9], [-0.4, 0.0]]))


def test_many_forks_find_the_truth_and_few_vary_around_it():
    rng = np.random.default_rng(0)
    assert of_forks(EPISODES, VALUES, 10**6, rng)[0] == pytest.approx(np.array(TRUE), abs=0.005)
    one = np.stack([of_forks(EPISODES, VALUES, 1, rng)[0] for _ in range(2000)])
    assert set(np.unique(one)) == {-1.0, 0.0, 1.0}
    assert one.mean(0) == pytest.approx(np.array(TRUE), abs=0.06)


# How they are judged.


def test_products_of_a_group_with_itself_are_no_bias():
    played = Played(np.array([[[0, 1, 3]], [[0, 1, 3]]]), np.ones((2, 1, 2), bool), np.ones((2, 1)))
    found = judged(sums_of(played, np.array([[[1.0, 0.5]], [[0.0, 0.5]]]), VALUES), in_own_unit=False)
    # Both turns have 1/4. The first: 1 and 0, whose variance is 1/2, and whose mean cannot be told from 1/4.
    # The last: 1/2 twice, off by 1/4 whichever the group; no other turn of its state was played.
    assert found.noise == pytest.approx((0.5 / 2) ** 0.5)
    assert found.bias == 0
    assert found.slope == pytest.approx((0.25 * 2) / (4 * 0.0625))
    alone = Played(played.nodes[:1], played.mask[:1], played.returns[:1])
    assert judged(sums_of(alone, np.ones((1, 1, 2)), VALUES), in_own_unit=False)[3:6] == (0, 0, 0)


@pytest.fixture(scope="module")
def many():
    return play(GAME, 4000, 2, np.random.default_rng(0))


def roots(*squares):
    return pytest.approx(tuple(each**0.5 for each in squares), rel=0.05, abs=0.02)


def test_returns_less_true_values_have_noise_alone(many):
    found = judged(sums_of(many, of_values(many, VALUES, 1.0), VALUES), in_own_unit=False)
    assert found[3:6] == roots(0, 0, 0.1875 / 2)  # 3/4 * 1/4 in the first turn, none in the last
    exact = judged(sums_of(many, of_values(many, VALUES, 0.0), VALUES), in_own_unit=False)
    assert exact == pytest.approx((1, 1, 1, 0, 0, 0, 1), abs=1e-6)


def test_wrong_values_are_a_bias_before_and_an_offset_after(many):
    """Too high by 0.2 in state 1: the turn into it gains that, and those out of it lose it."""
    found = judged(sums_of(many, of_values(many, VALUES + np.array([0, 0.2, 0, 0, 0]), 0.0), VALUES), in_own_unit=False)
    # First turns: +0.2 and 0, so an offset of 0.1 and a bias of 0.1; half of the last ones: an offset of 0.2.
    assert found[3:6] == roots(0.1**2 / 2, 0.1**2 / 2 + 0.2**2 / 4, 0)


def test_a_group_has_an_offset_and_no_bias(many):
    found = judged(sums_of(many, of_whole_episodes(many, normalized=False), VALUES), in_own_unit=False)
    # R - R': V(s) - V(start) too much, which is 0 and then 1/4; 3/16 + 1/4 of variance, and then 1/4.
    assert found[3:6] == roots(0, 0.0625 / 2, (0.4375 + 0.25) / 2)
    assert found.slope == pytest.approx(1, abs=0.05)
    assert found.correlation == pytest.approx((TRUE_SQUARE / 0.5) ** 0.5, abs=0.03)  # (R - R')^2 is 1/2 on average
    assert found.needed == pytest.approx(0.5 / TRUE_SQUARE, rel=0.1)
    # A factor is a learning rate.
    thrice = judged(sums_of(many, 3 * of_whole_episodes(many, normalized=False), VALUES), in_own_unit=True)
    assert thrice[3:6] == roots(0, 0.0625 / 2, (0.4375 + 0.25) / 2)
    assert thrice.slope == pytest.approx(3, abs=0.15)


def test_equal_states_in_small_groups_are_too_small(many):
    anchors = np.array([node.anchor for node in GAME.nodes])
    found = judged(sums_of(many, of_equal_states(many, anchors, normalized=False), VALUES), in_own_unit=False)
    # Two at the start: half of A on average. In the last turn the other is there every second time: a quarter of it.
    assert found.slope == pytest.approx((0.0625 / 2 + 0.1875 / 4) / (2 * TRUE_SQUARE), abs=0.03)
    assert found[3:5] == roots((0.0625 * 0.5**2 + 0.1875 * 0.75**2) / 2, 0)


def test_forks_have_noise_alone(many):
    found = judged(sums_of(many, of_forks(many, VALUES, 4, np.random.default_rng(1)), VALUES), in_own_unit=False)
    assert found[3:6] == roots(0, 0, ((0.25 + 0.1875) + 0.1875) / 2 / 4)


def test_starts_are_added_up_with_what_turns_cost():
    parts, many = [], play(GAME, 1000, 2, np.random.default_rng(1))
    for shift, cost in ((0.0, 3.0), (0.1, 5.0)):
        learned = {"512": VALUES + shift, "1024": VALUES}
        found = estimates_of(GAME, many, learned, np.random.default_rng(0))
        seen = many.nodes[..., :-1][many.mask]
        parts.append({
            "states": 3, "kept": 1.0, "value": [0.5, 0.5, 0.5], "between": 0.0, "length": 2.0,
            "sums": {name: sums_of(many, estimates, VALUES) for name, estimates in found.items()},
            "values": {count: value_sums(of[seen], VALUES[seen]) for count, of in learned.items()},
            "cost": {"VinePPO, 4 forks": cost},
        })  # fmt: skip
    found = summary(parts, 0)
    assert found["values"]["512"]["error"] == pytest.approx([0.05**0.5 * 0.1**0.5, 0, 0.1], abs=1e-6)
    forks, shifted = found["methods"]["VinePPO, 4 forks"], found["methods"]["GAE 1, V of 512 turns"]
    assert forks["turns"] == 4
    square = TRUE_SQUARE + 0.625 / 2 / 4
    assert forks["needed"] == pytest.approx([c * square / TRUE_SQUARE for c in (4, 3, 5)], rel=0.1)
    assert shifted["bias"][0] == pytest.approx(0, abs=0.03)
    assert shifted["offset"] == pytest.approx([0.005**0.5, 0, 0.1], abs=0.02)
    assert found["methods"]["GAE 0, V of 1,024 turns"]["correlation"] == pytest.approx([1, 1, 1])


def test_a_share_of_episodes_from_given_starts():
    # 1/5 and 5/5: only the first start leaves anything to chance, 4/25 over 4, and half of it counts.
    assert share_of(5, [1, 5]) == pytest.approx({"success": 0.6, "error": 0.2 / 2, "episodes": 10})


def test_the_page_has_the_tables_of_the_figures_beside_it():
    labs = Path(__file__).parents[1] / "docs" / "labs"
    page = (labs / "credit.md").read_text(encoding="utf-8")
    report = json.loads((labs / "credit.json").read_text(encoding="utf-8"))
    assert "\n".join(rows_of(report)).split("\n\n") == [part for part in page.split("\n\n") if "| ---: |" in part]


# A policy on the phone.

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
    nodes = made.nodes
    assert nodes[0].probability == 1
    for i, node in enumerate(nodes):
        assert not node.next or sum(node.p) == pytest.approx(1)
        assert all(after > i for after in node.next)
        assert 0 <= node.kept <= 1 + 1e-6
    assert sum(node.probability for node in nodes if not node.next) == pytest.approx(1)
    (low, high), values = made.bounds(), made.values()
    assert (low <= values + 1e-9).all()
    assert (values <= high + 1e-9).all()
    # Along the likeliest responses, the phone itself gets where the table says.
    state, place = start, 0
    while nodes[place].next:
        (said,) = generate(role, [role.backbone.encode_prompt(state.prompt)], 24, 0.0)
        played = task.play(state, role.backbone.decode(said))
        state = played.state
        over = played.terminated or played.truncated
        outcome = int(played.turn.reference["success"]) if over else None
        place = next(i for i in nodes[place].next if (nodes[i].prompt, nodes[i].outcome) == (state.prompt, outcome))
    assert place
