"""Reward functions that are not learned, and specs from YAML."""

import pytest
import torch

from envs.hh.task import HH
from envs.reward_spec import resolve_reward, score_turns
from envs.turn import Turn
from perlhf.errors import RewardError
from rewards.baselines import fit_keyword, fit_length, refuses
from rewards.functions import contains, length_penalty, load_reward_yaml, repetition_penalty, reward_from_text

from envs.corpora.records import LabelledRecord, Record  # isort: skip


def turns(*responses):
    return [Turn("Human: Hi", response) for response in responses]


def test_length_penalty_by_hand():
    # target 2: two words 0, three words -1/2, six words -2
    assert length_penalty(turns("", "a b", "a b c", "a b c d e f"), target=2) == [0.0, 0.0, -0.5, -2.0]


def test_repetition_penalty_by_hand():
    # bigrams of "a b a b": ab, ba, ab: one of three came before
    assert repetition_penalty(turns("a b a b", "A b c", "a"), n=2) == pytest.approx([-1 / 3, 0.0, 0.0])


@pytest.mark.parametrize("target", [0, -3])
def test_a_length_penalty_without_a_length_is_one_line(target):
    with pytest.raises(RewardError, match=f"^length_penalty: target must be .* above 0, got {target}.$"):
        length_penalty(turns("a"), target=target)


@pytest.mark.parametrize("n", [0, -1])
def test_a_repetition_of_no_words_is_one_line(n):
    with pytest.raises(RewardError, match=f"^repetition_penalty: n must be at least 1 word, got {n}.$"):
        repetition_penalty(turns("a b"), n=n)


@pytest.mark.parametrize(
    "returned",
    [
        torch.tensor([1.5, 2.0]),
        torch.tensor([1.5, 2.0], requires_grad=True),
        torch.tensor([1.5, 2.0], dtype=torch.bfloat16),
        [torch.tensor(1.5), torch.tensor(2)],
    ],
)
def test_tensors_are_scores(returned):
    assert score_turns(lambda batch: returned, turns("a", "b")).tolist() == [1.5, 2.0]


def test_contains():
    assert contains(turns("I can help", "I can HELP"), text="help") == [1.0, 0.0]


def test_a_yaml_sum_is_the_weighted_sum(tmp_path):
    path = tmp_path / "reward.yaml"
    path.write_text(
        "- reward: rewards.functions:contains\n  text: help\n  weight: 2\n"
        "- reward: rewards.functions:length_penalty\n  target: 1\n  weight: 0.5\n"
    )
    function = resolve_reward(reward_from_text(str(path)), HH(split="test"))
    # "I can help": 2 * 1 + .5 * -(3 - 1) / 1; "no": 0
    assert score_turns(function, turns("I can help", "no")).tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [("a: [", "not valid YAML"), ("just text", "expected a mapping"), ("\xff", "not valid YAML")],
)
def test_a_bad_yaml_file_is_one_line_with_its_name(tmp_path, content, message):
    path = tmp_path / "reward.yaml"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(RewardError, match=message) as error:
        load_reward_yaml(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_yaml_file_is_named(tmp_path):
    with pytest.raises(RewardError, match="cannot be read"):
        load_reward_yaml(tmp_path / "none.yaml")


def test_names_pass_unchanged():
    assert reward_from_text("bundled") == "bundled"


def pairs(*sides):
    return [Record("p", chosen, rejected, {}) for chosen, rejected in sides]


def test_the_length_baseline_takes_the_direction_of_its_pairs():
    assert fit_length(pairs(("a b", "a"), ("a b c", "a")))("x y z") == 3.0
    assert fit_length(pairs(("a", "a b"), ("a", "a b")))("x y z") == -3.0


def test_the_keyword_baseline_finds_the_word_that_tells():
    keyword = fit_keyword(pairs(("sorry no", "yes ok"), ("sorry a", "b ok"), ("sorry", "c")))
    assert keyword("I am sorry") > keyword("I am glad")
    absent = fit_keyword(pairs(("yes", "bad a"), ("b", "bad")))
    assert absent("bad luck") < absent("luck")
    assert fit_keyword([])("anything") == 0.0


def test_the_keyword_of_labels_goes_by_the_shares_of_good_and_bad():
    # "sure" is in 2 of 2 good and in 1 of 4 bad ones, "no" in none and in 2 of 4
    labels = (("sure a", 1.0), ("sure", 1.0), ("sure b", 0.0), ("no", 0.0), ("no c", 0.0), ("d", 0.0))
    keyword = fit_keyword([LabelledRecord("p", response, label, {}) for response, label in labels])
    assert [keyword(text) for text in ("sure thing", "no", "")] == [1.0, 0.0, 0.0]


def test_a_refusal_is_recognised():
    assert [refuses(text) for text in ("I can't help.", "I will not.", "Sure, you can.")] == [1.0, 1.0, 0.0]
