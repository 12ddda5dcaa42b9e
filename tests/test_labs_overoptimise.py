"""perlhf lab overoptimise: best-of-n as a sum over all draws, done by hand."""

from itertools import combinations
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.labs import overoptimise
from evaluation.labs.best_of_n import expected_best, fit_best_of_n, fit_learned, kl_of


def test_the_kl_of_best_of_n():
    assert kl_of(1) == 0
    assert kl_of(4) == pytest.approx(log(4) - 0.75)


def test_the_highest_scored_of_two_of_three():
    # Of the draws {a, b}, {a, c}, {b, c} with scores 1, 3, 2 the best are b, c, b.
    assert expected_best([[1, 3, 2]], [[0.0, 0.3, 0.9]], 2).tolist() == pytest.approx([(0.3 + 0.9 + 0.3) / 3])
    assert expected_best([[1, 3, 2]], [[0.0, 0.3, 0.9]], 1).tolist() == pytest.approx([0.4])
    assert expected_best([[1, 3, 2]], [[0.0, 0.3, 0.9]], 3).tolist() == pytest.approx([0.3])


def test_of_equal_scores_each_is_as_likely():
    assert expected_best([[1, 2, 2]], [[0.0, 0.2, 0.8]], 3).tolist() == pytest.approx([0.5])
    assert expected_best([[1, 2, 2]], [[0.0, 0.2, 0.8]], 2).tolist() == pytest.approx([(0.2 + 0.8 + 0.5) / 3])


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1)), min_size=1, max_size=6), st.data())
def test_it_is_the_mean_over_all_draws(samples, data):
    n = data.draw(st.integers(1, len(samples)))
    best = []
    for drawn in combinations(samples, n):
        top = max(score for score, _ in drawn)
        best.append(np.mean([value for score, value in drawn if score == top]))
    scores, values = zip(*samples, strict=True)
    assert expected_best([scores], [values], n)[0] == pytest.approx(np.mean(best))


@pytest.mark.parametrize("n", [0, 4])
def test_more_than_there_are_cannot_be_drawn(n):
    with pytest.raises(ValueError, match="n of 1 to 3"):
        expected_best([[1, 2, 3]], [[1, 2, 3]], n)


def test_curves_of_the_known_forms_are_found_again():
    kls = [0.5, 1.0, 2.0, 4.0]
    d = np.sqrt(kls)
    assert fit_best_of_n(kls, d * (0.3 - 0.1 * d)) == pytest.approx((0.3, 0.1))
    assert fit_learned(kls, d * (0.3 - 0.1 * np.log(d))) == pytest.approx((0.3, 0.1))


def test_ensembles_choose_by_what_their_members_make_together():
    members = np.array([[[0.0, 3.0, 2.0]], [[0.0, 1.0, 2.0]]])  # of one prompt with three samples
    assert overoptimise.combined("min", members).tolist() == [[0.0, 1.0, 2.0]]
    assert overoptimise.combined("mean", members).tolist() == [[0.0, 2.0, 2.0]]
    assert overoptimise.combined("uncertainty", members).tolist() == [[0.0, 1.5, 2.0]]  # 2 less half a variance of 1


def test_curves_of_best_of_n_by_hand():
    golds = [[0.2, 0.8, 0.5]]
    found = overoptimise.best_of_n([np.array([[0.0, 3.0, 2.0]]), np.array([[0.0, 1.0, 2.0]])], golds)
    assert found["n"] == [1, 2, 3]
    # One member takes 0.8, 0.8 or 0.5 of two, the other 0.8, 0.5 or 0.5: the mean over both.
    assert found["single"]["gold"] == pytest.approx([0.5, (0.8 + 0.8 + 0.5 + 0.8 + 0.5 + 0.5) / 6, 0.65])
    assert found["min"]["gold"][-1] == pytest.approx(0.5)
    assert found["mean"]["gold"][-1] == pytest.approx(0.65)  # of two equal ones each is as likely
    assert found["single"]["proxy"][0] == pytest.approx(0)


def test_numbers_of_samples_double():
    assert overoptimise.doublings(8) == [1, 2, 4, 8]
    assert overoptimise.doublings(6) == [1, 2, 4, 6]
    assert overoptimise.standard(np.zeros((2, 2))).tolist() == [[0, 0], [0, 0]]
