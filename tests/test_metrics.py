"""Figures and intervals against numbers worked out by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from envs.corpora.records import LabelledRecord
from evaluation.metrics import (
    auc,
    bootstrap_auc,
    bootstrap_mean,
    correlation,
    distinct_n,
    group_aucs,
    group_means,
    pair_accuracy,
)
from evaluation.reward_models import evaluate_reward_model
from rewards.preferences import Labels


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


def test_the_auc_of_a_group_compares_within_the_group_alone():
    scores, labels, groups = [1, 2, 3, 4], [0, 1, 1, 0], [["a"], ["a"], ["b"], ["b"]]
    areas = group_aucs(scores, labels, groups)
    assert {name: area["mean"] for name, area in areas.items()} == {"a": 1.0, "b": 0.0}
    assert areas["a"]["n"] == 2


@pytest.mark.parametrize(
    ("scores", "labels", "value"),
    [
        ([1, 2, 3, 4], [0, 0, 1, 1], 1.0),
        ([4, 3, 2, 1], [0, 0, 1, 1], 0.0),
        ([7, 7, 7, 7], [0, 0, 1, 1], 0.5),
        ([1, 2, 3, 4], [0, 1, 0, 1], 0.75),  # 2 beats 1, 4 beats 1 and 3, 2 loses to 3: three of four
        ([1, 1, 2], [0, 1, 1], 0.75),  # a tie and a win: (.5 + 1) / 2
        ([2, 2, 1, 2], [1, 0, 0, 0], 2 / 3),  # two ties and a win: (.5 + 1 + .5) / 3
        ([1, 2], [1, 1], 0.5),  # nothing to compare with
        ([1, 2], [0, 0], 0.5),
    ],
)
def test_auc_by_hand(scores, labels, value):
    assert auc(scores, labels) == pytest.approx(value)


@given(st.lists(st.tuples(st.integers(-5, 5), st.sampled_from([0.0, 1.0])), min_size=1, max_size=30))
def test_auc_is_the_share_of_couples_and_turns_with_the_scores(items):
    scores, labels = [s for s, _ in items], [y for _, y in items]
    couples = [(a, b) for a, y in items for b, z in items if y > z]
    wins = sum((a > b) + (a == b) / 2 for a, b in couples)
    assert auc(scores, labels) == pytest.approx(wins / len(couples) if couples else 0.5)
    assert auc([-s for s in scores], labels) == pytest.approx(1 - auc(scores, labels))
    assert auc([2 * s + 1 for s in scores], labels) == auc(scores, labels)


def test_the_interval_of_a_perfect_auc_is_a_point_where_no_draw_lacks_a_side():
    # A draw of 200 items, half of each label, lacks a side with probability 2 * .5 ** 200.
    assert bootstrap_auc([0.0] * 100 + [1.0] * 100, [0] * 100 + [1] * 100) == {
        "mean": 1.0, "low": 1.0, "high": 1.0, "n": 200
    }  # fmt: skip


def test_the_interval_of_auc_is_what_theory_says():
    # Unrelated scores, 200 of each label: standard error sqrt(401 / (12 * 200 * 200)) = .0289, so +- .0567
    scores = np.random.default_rng(1).normal(size=400)
    interval = bootstrap_auc(scores, [0, 1] * 200)
    assert interval["low"] < interval["mean"] < interval["high"]
    assert (interval["high"] - interval["low"]) / 2 == pytest.approx(0.0567, abs=0.006)
    assert bootstrap_auc(scores, [0, 1] * 200) == interval


class _Scorer:
    """A reward model whose logits are known."""

    logits = {"a b c": 2.0, "a": -1.0, "a b": 0.25, "a b c d": -2.0}

    def raw_scores_together(self, prompts, responses, images):
        return torch.tensor([self.logits[response] for response in responses])


class _RealData:
    """A task with no annotator."""

    can_rate = False


@pytest.mark.parametrize(("longer_is_good", "by_length"), [(True, 0.25), (False, 0.75)])
def test_a_model_of_labels_is_measured_by_hand(longer_is_good, by_length):
    held_out = [
        LabelledRecord("p", response, label, {})
        for response, label in (("a b c", 1.0), ("a", 1.0), ("a b", 0.0), ("a b c d", 0.0))
    ]
    train = [
        LabelledRecord("p", "a b", float(longer_is_good), {}),
        LabelledRecord("p", "a", float(not longer_is_good), {}),
    ]
    report = evaluate_reward_model(_Scorer(), Labels(), _RealData(), train, held_out)
    assert report["auc"]["mean"] == 0.75  # 2 beats .25 and -2, -1 beats -2 alone
    assert report["accuracy"]["mean"] == 0.5  # signs of the logits, not of the scores: 2 and -2 are right
    assert report["accuracy"]["n"] == report["auc"]["n"] == 4
    assert report["ceiling"] is None
    # 3 words beat 2 and lose to 4, 1 loses to both: 1 of 4, or 3 of 4 where training says that shorter is better
    # "b" is the word that tells most in training; it is in one of two good and in both bad responses, ties half
    by_keyword = 0.25 if longer_is_good else 0.75
    # two responses to one prompt are too few to fit TF-IDF on: it scores all alike
    of_tfidf = {"tfidf": 0.5}
    baselines = {"random": 0.5, "length": by_length, "keyword": by_keyword, "majority_accuracy": 0.5, **of_tfidf}
    assert report["baselines"] == baselines
