"""The report on a reward model: figures worked out by hand, changes of responses, files in RewardBench's forms."""

import json
from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.hh.task import HH
from envs.turn import Turn
from evaluation.report_reward_model import main as report_reward_model
from evaluation.report_reward_model import measure
from evaluation.reward_metrics.changes import CHANGES
from evaluation.reward_metrics.choices import Choice, drawn, of_records, read_choices, with_pairs
from evaluation.reward_metrics.figures import (
    accuracy,
    agreement,
    best_of,
    by_quarter,
    calibration,
    flips,
    gold_correlation,
    length,
    position,
    warnings_of,
)
from evaluation.reward_metrics.table import describe
from perlhf.errors import DataError, UserError
from perlhf.run_folder import read_summary

SCORES = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 1.0], [3.0, -1.0]])  # right, tied, wrong, right
WORDS = np.array([[5.0, 3.0], [2.0, 2.0], [1.0, 4.0], [7.0, 1.0]])


def close(value):
    return pytest.approx(value, abs=1e-6)


# Figures


def test_accuracy_over_pairs_and_groups():
    found = accuracy(SCORES, [["a"], ["a"], ["b"], ["b"]])
    assert found["accuracy"]["mean"] == 0.625
    assert {name: each["mean"] for name, each in found["groups"].items()} == {"a": 0.75, "b": 0.5}
    assert found["mean_of_groups"] == 0.625
    assert accuracy(SCORES, [[], [], [], []])["mean_of_groups"] is None


def test_calibration_of_four_pairs():
    found = calibration(SCORES)
    sure = [0.8807970780, 0.5, 0.7310585786, 0.9820137900]  # sigmoid of 2, 0, 1, 4; a bin each
    assert found["confidence"]["mean"] == close(sum(sure) / 4)
    assert found["ece"]["mean"] == close(((1 - sure[0]) + 0 + sure[2] + (1 - sure[3])) / 4)
    assert found["brier"]["mean"] == close(((1 - sure[0]) ** 2 + 0.25 + sure[2] ** 2 + (1 - sure[3]) ** 2) / 4)
    assert [(each["low"], each["n"], each["right"]) for each in found["bins"]] == [
        (0.5, 1, 0.5), (0.7, 1, 0.0), (0.85, 1, 1.0), (0.95, 1, 1.0)
    ]  # fmt: skip


def test_a_model_that_is_right_as_often_as_it_says_is_calibrated():
    scores = np.array([[1.0986123, 0.0]] * 3 + [[0.0, 1.0986123]])  # log 3: sure by 3/4
    assert calibration(scores)["ece"]["mean"] == close(0)
    assert calibration(scores)["brier"]["mean"] == close((3 / 16 + 9 / 16) / 4)


@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3)), min_size=1, max_size=20))
def test_errors_of_calibration_are_shares(pairs):
    found = calibration(np.array(pairs))
    assert 0 <= found["ece"]["mean"] <= 1
    assert 0 <= found["brier"]["mean"] <= 1


def test_quarters_of_a_margin():
    parts = by_quarter([8, 7, 6, 5, 4, 3, 2, 1], [1, 1, 0, 1, 1, 1, 0, 0])
    assert [(part["from"], part["to"], part["mean"], part["n"]) for part in parts] == [
        (1, 2, 0.0, 2), (3, 4, 1.0, 2), (5, 6, 0.5, 2), (7, 8, 1.0, 2)
    ]  # fmt: skip
    assert [part["n"] for part in by_quarter([1, 1, 1], [1, 0, 1])] == [3]  # equal ones stay together


def test_agreement_counts_a_label_that_noise_made_the_other_way_round():
    scores = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    found = agreement(scores, [1.0, -1.0, 0.0, None, 2.0])
    assert (found["agreement"]["mean"], found["agreement"]["n"]) == (close(1 / 3), 3)
    assert agreement(scores, [None] * 5) == {}


def test_what_length_has_to_do_with_scores():
    found = length(SCORES, WORDS)
    assert (found["prefers"], found["rule"]["mean"]) == ("longer", 0.625)
    assert found["share"] == 1.0  # the rule is as good as the model
    assert (found["against"]["mean"], found["against"]["n"]) == (0.0, 1)  # the third pair
    assert (found["prefers_longer"]["mean"], found["prefers_longer"]["n"]) == (1.0, 3)  # in all that differ in length
    assert found["correlation"]["mean"] == close(16.125 / sqrt(10.875 * 30.875))


def test_a_rule_of_the_shorter_one():
    found = length(np.array([[1.0, 0.0], [1.0, 0.0]]), np.array([[1.0, 5.0], [2.0, 3.0]]))
    assert (found["prefers"], found["rule"]["mean"], found["share"], found["against"]) == ("shorter", 1.0, 1.0, None)
    assert found["prefers_longer"]["mean"] == 0.0
    nothing = length(np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[1.0, 1.0], [2.0, 2.0]]))
    assert (nothing["share"], nothing["prefers_longer"]) == (None, None)


def test_how_often_a_change_turns_a_preference():
    before = np.array([[2.0, 1.0], [1.0, 2.0], [0.0, 1.0]])
    after = np.array([[1.0, 2.0], [0.0, 4.0], [5.0, 0.0]])
    found = flips(before, after, np.array([True, True, False]))  # the third pair is not touched
    assert (found["both"]["mean"], found["both"]["n"]) == (0.5, 2)
    assert found["lower_alone"]["mean"] == 0.5  # 2 draws level with 2; 0 stays below 2
    assert found["shift"]["mean"] == close(0.25 / sqrt(17 / 36))
    assert flips(before, after, np.zeros(3, dtype=bool)) is None


def test_scores_that_depend_on_the_order():
    found = position(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.0, 1.0], [0.0, 1.5]]))
    assert (found["changed"]["mean"], found["largest"]) == (0.5, 1.0)


def test_the_best_of_several():
    scores = [[3, 1, 2, 0], [1, 1, 0, 0], [0, 1, 1, 1], [5, 1, 2], [3, 4, 1], [3, 1, 2]]
    found = best_of([np.array(each, dtype=float) for each in scores], [1, 1, 1, 1, 2, 2])
    assert {name: (each["mean"], each["n"]) for name, each in found.items()} == {
        "best_of_4": (0.5, 3), "best_of_3": (1.0, 1), "all_right_above": (0.5, 2)
    }  # fmt: skip


def test_correlation_with_gold_is_within_prompts():
    scores = [np.array([1.0, 2.0]), np.array([10.0, 30.0])]
    assert gold_correlation(scores, [(0.0, 1.0), (0.0, 1.0)])["mean"] == close(10.5 / sqrt(200.5))


# Changes


@pytest.mark.parametrize(
    ("name", "text", "changed"),
    [
        ("case", "Ask Me.", "ask me."),
        ("case", "ask me.", "ASK ME."),
        ("spaces", "Ask me now", "Ask  me  now"),
        ("full stop", "Ask me.", "Ask me"),
        ("full stop", "Ask me", "Ask me."),
        ("repeated sentence", "Ask me. I can help.", "Ask me. I can help. I can help."),
        ("repeated sentence", "Why not", "Why not Why not"),
        ("repeated sentence", "Stop! Go on?! ", "Stop! Go on?! Go on?!"),
        ("repeated sentence", "", ""),
        ("typos", "to be or", "to be or"),  # no word is long enough
        ("typos", "a goal", "a gaol"),
    ],
)
def test_changes_of_a_response(name, text, changed):
    assert CHANGES[name](text, np.random.default_rng(0)) == changed


@given(
    st.lists(st.sampled_from(["sorry", "please", "I", "can't", "welcome."]), min_size=1, max_size=30), st.integers(0)
)
def test_typos_keep_the_letters_and_most_words(words, seed):
    text = " ".join(words)
    changed = CHANGES["typos"](text, np.random.default_rng(seed)).split(" ")
    assert [sorted(word) for word in changed] == [sorted(word) for word in words]
    assert sum(a != b for a, b in zip(words, changed, strict=True)) <= max(1, len(words) // 10)


# Choices


def test_records_of_a_task_and_drawn_choices():
    task = HH(split="test")
    pairs = of_records(task, 20)
    assert [choice.pair[0].response for choice in pairs] == [record.chosen for record in task.records[:20]]
    assert pairs[3].margin == task.gold_margin(task.records[3])
    choices = drawn(task, 20, seed=0)
    assert choices == drawn(task, 20, seed=0) != drawn(task, 20, seed=1)
    assert all(len({turn.response for turn in choice.turns}) == 4 for choice in choices)
    assert all(choice.golds[0] > max(choice.golds[1:]) for choice in choices)
    assert choices[0].golds == tuple(task.judge(turn) for turn in choices[0].turns)


def written(tmp_path, *rows):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_both_forms_of_rewardbench(tmp_path):
    first = {"prompt": "Hi", "chosen": "Hello!", "chosen_model": "m", "rejected": "No.", "subset": "easy", "id": 3}
    second = {
        "id": "x", "prompt": "2 + 2?", "chosen": ["4"], "rejected": ["5", "6", "3"], "num_correct": 1, "subset": "Math"
    }  # fmt: skip
    ties = {"prompt": "A colour?", "chosen": ["red", "blue"], "rejected": ["cat"], "subset": "Ties", "margin": 2}
    said = [{"role": "assistant", "content": "Hello!"}]
    talk = {"prompt": [{"role": "user", "content": "Hi"}], "chosen": said, "rejected": "No."}
    found = read_choices(written(tmp_path, first, second, ties, talk))
    assert [[turn.response for turn in choice.turns] for choice in found] == [
        ["Hello!", "No."], ["4", "5", "6", "3"], ["red", "blue", "cat"], ["Hello!", "No."]
    ]  # fmt: skip
    assert [(choice.right, choice.groups, choice.margin) for choice in found] == [
        (1, ("easy",), None), (1, ("Math",), None), (2, ("Ties",), 2.0), (1, (), None)
    ]  # fmt: skip
    assert found[0].turns[0].prompt == found[3].turns[0].prompt == "\n\nHuman: Hi\n\nAssistant:"
    assert [[turn.response for turn in choice.turns] for choice in with_pairs(found[1:3])] == [
        ["4", "5"],
        ["red", "cat"],
    ]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "Hi", "chosen": "a"}, "has no 'rejected'; a row needs prompt, chosen and rejected, and has prompt"),
        ({"prompt": "Hi", "chosen": [], "rejected": "b"}, "field 'chosen' has no messages"),
        ({"prompt": "Hi", "chosen": 3, "rejected": "b"}, "field 'chosen' must be a string or an array"),
        ({"prompt": "Hi", "chosen": "a", "rejected": "b", "margin": "x"}, "field 'margin' must be a finite number"),
        ({"prompt": " ", "chosen": "a", "rejected": "b"}, "the prompt is empty"),
    ],
)
def test_a_row_of_another_form_is_one_line(tmp_path, row, message):
    good = {"prompt": "Hi", "chosen": "a", "rejected": "b"}
    with pytest.raises(DataError, match=r"pairs\.jsonl:2: ") as caught:
        read_choices(written(tmp_path, good, row))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# The report


def test_a_model_that_counts_words_is_a_rule_of_length():
    pairs = [
        Choice((Turn("p", "a b c"), Turn("p", "a")), 1, ("x",)),
        Choice((Turn("p", "a b c d"), Turn("p", "a b")), 1, ("y",)),
        Choice((Turn("p", "a"), Turn("p", "a b")), 1, ("y",)),
    ]
    report = measure(lambda turns: np.array([float(len(turn.response.split())) for turn in turns]), pairs, pairs)
    assert report["accuracy"]["mean"] == report["length"]["rule"]["mean"] == close(2 / 3)
    assert (report["length"]["share"], report["length"]["correlation"]["mean"]) == (1.0, close(1.0))
    assert (report["position"]["changed"]["mean"], report["position"]["largest"]) == (0.0, 0.0)
    assert report["changes"]["case"]["both"]["mean"] == report["changes"]["full stop"]["both"]["mean"] == 0.0
    # Said twice, the lower one has 2, 4 and 2 words, and the higher one 3, 4 and 2.
    assert report["changes"]["repeated sentence"]["lower_alone"]["mean"] == close(2 / 3)
    assert report["changes"]["typos"] is None  # no word is long enough
    assert report["best_of"] == {}
    assert report["gold_correlation"] is None
    assert "preferring the longer response reaches 100% of what the model does" in warnings_of(report)
    said = describe(report)
    assert "accuracy on pairs" in said
    assert "of the model's accuracy above 1/2 the rule reaches  1.000" in said
    assert "correlation with gold" not in said


def run(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["report-reward-model", *map(str, words)])
    report_reward_model()


def test_the_judge_of_a_task_agrees_with_itself(monkeypatch, tmp_path, capsys):
    run(monkeypatch, "HH-v0", "--reward", "gold", "--prompts", 20, "--output-dir", tmp_path / "out")
    summary = read_summary(tmp_path / "out")
    assert summary["agreement"]["mean"] == summary["best_of"]["best_of_4"]["mean"] == 1.0
    assert summary["gold_correlation"]["mean"] == close(1.0)
    assert 0.5 < summary["accuracy"]["mean"] < 1.0  # labels are noisy
    assert "best of 4" in capsys.readouterr().out


def test_a_file_of_pairs_and_a_task_without_any(monkeypatch, tmp_path):
    rows = [
        {"prompt": "Hi", "chosen": ["Hello there"], "rejected": ["no no no", "so so so so", "Hm"], "subset": "s"}
    ] * 2
    path = written(tmp_path, *rows)
    reward = "rewards.functions:repetition_penalty"
    run(monkeypatch, "HH-v0", "--reward", reward, "--pairs", path, "--output-dir", tmp_path / "out")
    summary = read_summary(tmp_path / "out")
    assert (summary["accuracy"]["n"], summary["groups"]["s"]["n"], summary["pairs"]) == (2, 2, str(path))
    # "so so so so" has two word triples that are one; all others have none that come twice, and draw level at 0.
    assert summary["best_of"]["best_of_4"] == {"mean": close(1 / 3), "low": close(1 / 3), "high": close(1 / 3), "n": 2}
    with pytest.raises(UserError, match="has no preference pairs"):
        run(monkeypatch, "UINav-v0", "--reward", "gold", "--prompts", 4, "--output-dir", tmp_path / "none")
