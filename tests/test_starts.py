"""Where groups of episodes begin: at the border of what is solved, the same after a resume."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_tasks import TwoTurns

from agents.starts import AGAIN, FLOOR, KEPT, SOLVED, Starts
from envs.uinav.task import UINav


class Kinds(TwoTurns):
    """A state is a number and its kind; `kinds` of these are drawn alike."""

    kinds = 4

    def start(self, rng, options):
        return [int(rng.integers(1 << 30)), int(rng.integers(self.kinds))]

    def groups(self, state):
        return [f"kind {state[1]}", "of no account"]


class NoKinds(TwoTurns):
    """Says of no state what it is counted under."""


told = st.lists(st.tuples(st.integers(0, 3), st.lists(st.booleans(), max_size=8)), max_size=30)
ALL, NONE, HALF = [True] * 4, [False] * 4, [True, False]


def starts_after(history, frontier=0.5, seed=0):
    starts = Starts(Kinds(), frontier, seed)
    for number, (kind, successes) in enumerate(history):
        starts.tell([[number, kind]], [successes])
    return starts


@given(told, st.floats(0, 1), st.integers(0, 2**32), st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_after_a_resume_the_same_is_proposed(history, frontier, seed, groups):
    starts = starts_after(history, frontier, seed)
    starts.propose(3)
    state = json.loads(json.dumps(starts.get_state()))
    resumed = Starts(Kinds(), frontier, seed + 1)
    resumed.set_state(state)
    for other in (starts, resumed):
        other.tell([[7, 1]], [HALF])
    assert resumed.propose(groups) == starts.propose(groups)
    assert resumed.get_state() == starts.get_state()


@given(told)
@settings(max_examples=60, deadline=None)
def test_success_is_a_probability_and_every_kind_is_wanted(history):
    starts = starts_after(history)
    assert all(0 <= p <= 1 for p in starts.success.values())
    assert all(FLOOR <= starts.weight([0, kind]) <= 0.25 + FLOOR for kind in range(4))
    assert set(starts.success) == {f"kind {kind}" for kind, successes in history if successes}


@given(told)
@settings(max_examples=60, deadline=None)
def test_what_some_attempts_solved_is_begun_in_again_and_once(history):
    starts = starts_after(history, frontier=1.0)
    expected = [[n, kind] for n, (kind, of) in enumerate(history) if any(of) and sum(of) < SOLVED * len(of)]
    assert list(starts.again) == expected
    proposed = [tuple(state) for state in starts.propose(200) if state[0] < len(history)]
    assert Counter(proposed) == Counter(map(tuple, expected))  # within 200 groups each comes, and none twice
    assert not starts.again


def test_the_latest_are_kept():
    starts = starts_after([(0, HALF)] * (KEPT + 3))
    assert len(starts.again) == KEPT
    assert starts.again[0] == [3, 0]


def test_success_by_hand():
    # .5 before anything is known; .7 * .5 + .3 * 1 = .65; .7 * .65 + .3 * .5 = .605
    starts = starts_after([(2, ALL), (2, HALF)])
    assert starts.success == {"kind 2": pytest.approx(0.605)}
    assert starts.weight([0, 2]) == pytest.approx(0.605 * 0.395 + 0.03)
    assert starts.weight([0, 3]) == pytest.approx(0.28)  # unknown


@pytest.mark.parametrize(("frontier", "low", "high"), [(0.0, 0, 0), (0.5, 450, 550), (1.0, 1000, 1000)])
def test_a_share_of_the_groups_begins_at_the_border(frontier, low, high):
    proposed = Starts(Kinds(), frontier, 1).propose(1000)
    assert low <= sum(state is not None for state in proposed) <= high  # three standard errors are 47


def test_new_states_are_of_kinds_that_are_sometimes_solved():
    # Three kinds always or never solved: p near 0 or 1, weight .03; one at a half, weight .28. Of 16 candidates four
    # are of each kind on average, so the share of the last is near .28 / (.28 + 3 * .03) = .76.
    starts = starts_after([*[(0, NONE), (1, ALL), (2, NONE)] * 40], 1.0)
    counts = Counter(state[1] for state in starts.propose(1000))
    assert 0.70 < counts[3] / 1000 < 0.79
    assert min(counts.values()) > 40  # nothing is left out: each of the others has a share of .08


def test_half_of_the_border_is_what_was_begun_in_before():
    starts = starts_after([(0, HALF)] * KEPT, frontier=1.0)
    again = sum(state[0] < KEPT for state in starts.propose(100))
    assert AGAIN == 0.5
    assert 35 < again < 65  # three standard errors are 15


def test_a_task_without_kinds_has_one():
    starts = Starts(NoKinds(), 1.0, 0)
    starts.tell([[0], [1]], [ALL, NONE])
    assert list(starts.success) == [""]
    assert all(state in ([0], [1]) for state in starts.propose(10))


def test_asking_for_nothing_draws_nothing():
    starts = Starts(Kinds(), 1.0, 3)
    before = starts.get_state()
    assert starts.propose(0) == []
    starts.tell([], [])
    assert starts.get_state() == before
    with pytest.raises(ValueError, match="zip"):
        starts.tell([[0, 0]], [])


def test_of_the_phone_kinds_are_templates_and_states_come_back_from_json():
    task = UINav()
    starts = Starts(task, 1.0, 0)
    state = task.start(np.random.default_rng(0), {})
    starts.tell([task.state_to_json(state)], [HALF])
    (template,) = starts.success
    assert template in task.known
    resumed = Starts(task, 1.0, 5)
    resumed.set_state(json.loads(json.dumps(starts.get_state())))
    assert task.observe(task.state_from_json(resumed.again[0])) == task.observe(state)
    proposed = resumed.propose(8)
    assert proposed == starts.propose(8)
    assert json.loads(json.dumps(proposed)) == proposed
    assert task.groups(task.state_from_json(proposed[0]))[0] in task.known
