"""What reward models learn from, pairs and labels, and the losses on their scores: by numbers worked out by hand."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from envs.corpora.records import LabelledRecord, Record
from perlhf.errors import UserError
from rewards.preferences import Labels, Learned, Pairs
from rewards.rows import encode, pairwise_loss

LETTERS = SimpleNamespace(encode_prompt=lambda *given: list(given), encode_response=list, end_ids=["end", "other"])
TWO_PAIRS = [Record("p", "ab", "c", {"margin": 1.0}), Record("q", "d", "e", {})]


def test_a_margin_is_taken_off_the_difference():
    # 2 - 1 - 3 = -2 and 1 - 1 + 0 = 0: -log sigmoid(-2) = log(1 + e^2), -log sigmoid(0) = log 2
    loss = pairwise_loss(torch.tensor([2.0, 1.0]), torch.tensor([1.0, 1.0]), torch.tensor([3.0, 0.0]))
    assert loss.item() == pytest.approx((math.log(1 + math.exp(2)) + math.log(2)) / 2)


def test_what_is_scored_goes_with_its_image():
    assert encode(LETTERS, "p", "ab", "picture") == (["p", "picture"], ["a", "b", "end"])


def test_pairs_by_hand():
    pairs, scores = Pairs(), torch.tensor([2.0, 1.0, 0.0, 3.0])
    loss, right = pairs.loss(scores, TWO_PAIRS)
    # 2 - 1 - 1 = 0: log 2; 0 - 3 = -3: log(1 + e^3)
    assert loss.item() == pytest.approx((math.log(2) + math.log(1 + math.exp(3))) / 2)
    assert right == 1.0
    loss, _ = pairs.loss(scores[:2], [TWO_PAIRS[1]])  # nobody knows a margin
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert pairs.loss(torch.tensor([1.0, 1.0]), [TWO_PAIRS[1]])[1] == 0.0  # equal scores are not right
    said, added = pairs.targets(TWO_PAIRS)
    assert (said.tolist(), added.tolist()) == ([1.0, 1.0], [-1.0, 0.0])
    assert pairs.rows(LETTERS, TWO_PAIRS[0]) == [(["p", None], ["a", "b", "end"]), (["p", None], ["c", "end"])]
    shown = Record("p", "ab", "c", {"image": np.zeros((2, 2, 3), np.uint8)})
    assert [prompt[1].shape for prompt, _ in pairs.rows(LETTERS, shown)] == [(2, 2, 3)] * 2
    (((_, image), _),) = Labels().rows(LETTERS, LabelledRecord("p", "ab", 1.0, shown.meta))
    assert image.shape == (2, 2, 3)
    assert pairs.good(TWO_PAIRS[0]) == "ab"


def test_pairs_with_nothing_to_tell_apart_are_refused():
    ties = [Record("p", "a", " a ", {}), Record("q", "", "", {})]
    with pytest.raises(UserError, match="the two responses are equal in each of 2 pairs"):
        Pairs().check(ties)
    Pairs().check([*ties, TWO_PAIRS[0]])
    label = LabelledRecord("p", "a", 0.5, {})
    with pytest.raises(UserError, match=r"all 2 labels are 0\.5, so there is nothing to tell apart"):
        Labels().check([label, label])
    Labels().check([label, label._replace(label=0.0)])


@pytest.mark.parametrize(
    ("texts", "preferred", "labelled"),
    [("ab", True, ("a", "b")), ("ab", False, ("b", "a")), ("ab", None, None), ("aa", True, None)],
)
def test_a_pair_is_as_the_annotator_prefers(texts, preferred, labelled):
    asked = []

    def annotate(*given):
        asked.append(given)
        return preferred

    records = [None, Record("p", "x", "y", {"state": 7, "votes": 3})]
    found = Pairs().label(SimpleNamespace(records=records, annotate=annotate), 1, texts, "rng")
    assert found == (labelled and Record("p", *labelled, {"state": 7}))  # votes are of other responses
    assert asked == [(1, *texts, "rng")] * (texts[0] != texts[1])


def test_a_response_is_labelled_as_the_annotator_rates_it():
    records = [None, LabelledRecord("p", "x", 0.0, {"state": 7, "votes": 3})]
    task = SimpleNamespace(records=records, rate=lambda *given: {(1, "a", "rng"): 0.75}[given])
    assert Labels().label(task, 1, ["a", "b"], "rng") == LabelledRecord("p", "a", 0.75, {"state": 7})
    said, added = Labels().targets([LabelledRecord("p", "a", label, {}) for label in (0.75, 0.0)])
    assert (said.tolist(), added.tolist()) == ([0.75, 0.0], [0.0, 0.0])
    assert Labels().good(records[1]._replace(label=0.5)) is None
    loss, right = Labels().loss(torch.tensor([1.0, 0.0]), [records[1]._replace(label=y) for y in (0.5, 1.0)])
    assert loss.item() == pytest.approx((math.log(1 + math.exp(-1)) + 0.5 + math.log(2)) / 2)
    assert right == 0.0  # a label in the middle is not above it, nor is a score of 0 above 0


def test_the_loss_of_a_part_is_its_share_of_the_batch():
    rows = [Pairs().rows(LETTERS, record) for record in TWO_PAIRS]
    learned = Learned(Pairs(), TWO_PAIRS, rows)
    scored = []

    def score_rows(given, per_prompt):
        scored.append((given, per_prompt))
        return torch.tensor([2.0, 1.0, 0.0, 3.0][: len(given)])

    of_part = learned.loss(SimpleNamespace(score_rows=score_rows))
    loss, figures = of_part([0], [0, 1, 1, 1])
    assert loss.item() == pytest.approx(math.log(2) / 4)
    assert figures == {"accuracy": 0.25}
    loss, figures = of_part([0, 1], [0, 1, 1, 1])
    assert loss.item() == pytest.approx((math.log(2) + math.log(1 + math.exp(3))) / 4)
    assert figures == {"accuracy": 0.25}
    assert scored == [(rows[0], 2), ([*rows[0], *rows[1]], 2)]
    assert learned.lengths == [5, 4]
    assert learned.groups == ["p", "q"]
    assert learned.at([1]) == Learned(learned.preferences, [TWO_PAIRS[1]], [rows[1]])
