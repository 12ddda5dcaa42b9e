"""perlhf lab hack: peaks that are no noise, stops, and pairs, with figures worked out by hand."""

import numpy as np
import pytest

from envs.corpora.records import Record
from evaluation.labs.peaks import chosen_by, halves, last_within, over_seeds, peak_of
from evaluation.labs.proxies import Proxy, per_word, turned, words_of


def test_halves_take_turns_of_two():
    one, other = halves(7)
    assert one.tolist() == [0, 1, 4, 5]
    assert other.tolist() == [2, 3, 6]


def test_a_peak_is_read_where_it_was_not_chosen():
    # Prompts 0 and 1 are best at look 1, prompts 2 and 3 at look 2; each half chooses where the other is read.
    golds = [[0, 0, 0, 0], [0.9, 0.9, 0.2, 0.4], [0.1, 0.3, 0.8, 0.8], [0.1, 0.1, 0.1, 0.1]]
    peak = peak_of(golds)
    assert peak.look == 1  # .6 over all, beside .5
    assert peak.gold == pytest.approx((0.1 + 0.3 + 0.2 + 0.4) / 4)
    assert peak.end == pytest.approx(0.1)
    assert peak.fall == pytest.approx(0.15)
    assert peak.error == pytest.approx(np.std([0.0, 0.2, 0.1, 0.3], ddof=1) / 2)


def test_noise_alone_is_no_fall():
    rng = np.random.default_rng(0)
    falls = [peak_of(rng.random((9, 96))).fall for _ in range(200)]
    assert abs(np.mean(falls)) < 3 * np.std(falls) / np.sqrt(200)
    naive = [(golds := rng.random((9, 96))).mean(1).max() - golds[-1].mean() for _ in range(200)]
    assert np.mean(naive) > 0.03  # what the highest mean less the last one would say


def test_too_few_prompts_have_no_halves():
    with pytest.raises(ValueError, match="four prompts"):
        peak_of([[0.1, 0.2, 0.3]])


def test_gold_where_something_else_is_highest():
    proxy = [[0, 0, 0, 0], [1, 1, 2, 2], [2, 2, 1, 1]]  # each half is highest at another look
    golds = [[0, 0, 0, 0], [0.1, 0.2, 0.3, 0.4], [0.5, 0.6, 0.7, 0.8]]
    assert chosen_by(proxy, golds) == pytest.approx((0.7 + 0.8 + 0.1 + 0.2) / 4)


@pytest.mark.parametrize(
    ("kls", "last"), [([0, 1, 2], 2), ([0, 1, 4, 2], 1), ([0, 5, 6], 0), ([4, 5], 0), ([0, 3.0, 3.1], 1)]
)
def test_the_last_look_within_a_limit(kls, last):
    assert last_within(kls, 3.0) == last


def test_a_mean_over_seeds_has_students_interval():
    found = over_seeds([1.0, 2.0, 3.0, 4.0, 5.0])  # a standard deviation of the root of 2.5, over the root of 5
    assert found["mean"] == 3
    assert found["high"] - 3 == pytest.approx(2.776 * 0.5**0.5)
    assert 3 - found["low"] == pytest.approx(2.776 * 0.5**0.5)
    with pytest.raises(ValueError, match="seeds"):
        over_seeds([1.0])


def pair(number):
    return Record(f"prompt {number}", f"good {number}", f"bad {number}", {"case": number})


def test_labels_are_turned_in_as_many_pairs_as_said():
    pairs = [pair(i) for i in range(8)]
    found = turned(pairs, 0.25, np.random.default_rng(0))
    wrong = [i for i, one in enumerate(found) if one.chosen == f"bad {i}"]
    assert len(wrong) == 2
    assert [one if i in wrong else None for i, one in enumerate(found)] == [
        pairs[i]._replace(chosen=f"bad {i}", rejected=f"good {i}") if i in wrong else None for i in range(8)
    ]
    assert turned(pairs, 0, np.random.default_rng(0)) == pairs


def test_proxies_of_other_pairs_have_other_names():
    assert Proxy(8).name != Proxy(8, member=1).name != Proxy(8, wrong=0.25).name
    assert "wrong0.25" in Proxy(8, wrong=0.25).name


def test_what_a_word_is_worth_by_hand():
    # Differences of scores and of words: the line through 0 has the slope (2 * 1 + 1 * 2 - 1 * 1) / (1 + 4 + 1).
    assert per_word(np.array([2.0, 1.0, -1.0]), np.array([1, 2, 1])) == pytest.approx(0.5)
    assert per_word(np.array([2.0, 1.0]), np.array([0, 0])) == 0  # all are as long: length is worth nothing
    assert words_of(["", "one", " two  words "]).tolist() == [0, 1, 2]
