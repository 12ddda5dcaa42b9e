"""Figures and intervals against numbers worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.metrics import bootstrap_mean, correlation, distinct_n, group_means, pair_accuracy


def test_the_interval_of_a_coin_is_what_theory_says():
    # 500 tosses, half heads: standard error sqrt(.25 / 500) = .02236, so about .5 +- .0438
    interval = bootstrap_mean([0, 1] * 250)
    assert interval["mean"] == 0.5
    assert interval["n"] == 500
    assert interval["low"] == pytest.approx(0.4562, abs=0.006)
    assert interval["high"] == pytest.approx(0.5438, abs=0.006)


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30))
def test_the_mean_lies_in_its_interval_and_the_interval_in_the_range(values):
    interval = bootstrap_mean(values, resamples=200)
    eps = 1e-9 * max(1, *map(abs, values))
    assert min(values) - eps <= interval["low"] <= interval["high"] <= max(values) + eps
    assert interval["mean"] == pytest.approx(float(np.mean(values)))


def test_the_interval_is_the_same_every_time():
    assert bootstrap_mean([1, 2, 3, 4]) == bootstrap_mean([1, 2, 3, 4])


@pytest.mark.parametrize("bad", [[], [1.0, float("nan")], [[1.0], [2.0]]])
def test_nothing_and_nan_are_refused(bad):
    with pytest.raises(ValueError, match="non-empty list of finite numbers"):
        bootstrap_mean(bad)


def test_pair_accuracy_counts_a_tie_as_half():
    assert pair_accuracy([2, 1, 1], [1, 2, 1]).tolist() == [1.0, 0.0, 0.5]


def test_distinct_n_by_hand():
    # bigrams: a b, b a, a b | a b: 2 distinct of 4
    assert distinct_n(["a b a b", "a b"], 2) == 0.5
    assert distinct_n(["a"], 2) == 0.0
    assert distinct_n([], 2) == 0.0


def test_correlation_by_hand():
    assert correlation([1, 2, 3], [2, 4, 6]) == pytest.approx(1.0)
    assert correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1.0)
    assert correlation([1, 1, 1], [1, 2, 3]) == 0.0


def test_groups_are_averaged_apart_and_named_in_order():
    groups = group_means([1.0, 0.0, 0.5], [["a", "x"], ["b", "x"], ["a", "y"]])
    assert list(groups) == ["a", "b", "x", "y"]
    assert [groups[name]["mean"] for name in groups] == [0.75, 0.0, 0.5, 0.5]
    assert [groups[name]["n"] for name in groups] == [2, 1, 2, 1]
    assert group_means([1.0], [[]]) == {}
