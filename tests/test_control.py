"""The control: SFT at its best temperature, pass@k, guessing and calibration, worked out by hand."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import gemma
from toy_tasks import OneTurn, TwoTurns

from envs.hh.task import HH
from evaluation.control import (
    TEMPERATURES,
    beside_another,
    best_temperature,
    beyond_sharpening,
    choose_temperature,
    describe_others,
    in_words,
    sft_at_best,
    validation_like,
)
from evaluation.evaluator import Answers, Evaluator
from evaluation.metrics import best_of_k
from evaluation.pass_at import describe_samples, figures_of, of_samples, tries
from evaluation.reproduce.tables import control_cells, control_rows, pass_rows
from evaluation.short_answers import are_short, calibration, commonest, describe_calibration, guesses, probabilities_of
from perlhf.errors import UserError


def nothing(turns):
    return [0.0] * len(turns)


def lengths(turns):
    return [float(len(turn.response)) for turn in turns]


def answers(golds=None, scores=None):
    n = len(scores if golds is None else golds)
    found = None if golds is None else np.array(golds, dtype=float)
    return Answers([""] * n, [[([], [])]] * n, np.array(scores or [0.0] * n), found)


class Known(Evaluator):
    """Two episodes whose answers are known for each temperature; keeps what was asked."""

    def __init__(self, known, reward=nothing):
        super().__init__(OneTurn(), reward, n=2, split="validation")
        self.known, self.asked = known, []

    def answer(self, role, temperature, seed=None, blind=False):
        self.asked.append((temperature, self.reward is nothing))
        return self.known[temperature]


# The temperature


def test_of_equal_temperatures_the_lowest_is_taken():
    assert best_temperature({1.0: 0.5, 0.2: 0.7, 0.5: 0.7, 0.0: 0.1}) == 0.2
    assert best_temperature(dict.fromkeys(TEMPERATURES, 0.3)) == 0.0


def test_the_temperature_is_chosen_by_gold_which_needs_the_reward_once_at_most():
    known = {t: answers([t, 0.0], [-t, 0.0]) for t in TEMPERATURES}
    known[0.5] = answers([1.0, 0.5])
    validation = Known(known)
    assert choose_temperature(validation, None) == {
        "temperature": 0.5, "by": "gold", "n": 2, "split": "validation",
        "by_temperature": {"0": 0.0, "0.2": 0.1, "0.35": 0.175, "0.5": 0.75, "0.7": 0.35, "1": 0.5},
    }  # fmt: skip
    assert validation.asked == [(t, t == 0.0) for t in TEMPERATURES]


def test_without_a_judge_it_is_chosen_by_the_score():
    validation = Known({t: answers(scores=[-t, -t]) for t in TEMPERATURES})
    found = choose_temperature(validation, None)
    assert (found["temperature"], found["by"], found["by_temperature"]["1"]) == (0.0, "score", -1.0)
    assert validation.asked == [(t, True) for t in TEMPERATURES]


def test_what_sft_has_answered_is_not_asked_again():
    greedy, other = answers([1.0, 0.0]), answers([0.0, 0.0])
    evaluator = Known({0.5: other})
    assert sft_at_best(evaluator, None, 0.0, {0.0: greedy}) is greedy
    assert evaluator.asked == []
    assert sft_at_best(evaluator, None, 0.5, {0.0: greedy}) is other
    assert evaluator.asked == [(0.5, False)]  # gold is all that is asked for
    assert sft_at_best(evaluator, None, 0.5, {0.0: answers(scores=[1.0, 2.0])}) is other
    assert evaluator.asked[1:] == [(0.5, True)]


def test_without_a_validation_split_it_is_chosen_on_train_and_said_so(capsys):
    def only_train(split):
        if split != "train":
            raise UserError("mine.csv: no records in split 'validation'.")
        return OneTurn()

    evaluator = Evaluator(OneTurn(), nothing, 7, n=9, seed=3)
    found = validation_like(evaluator, only_train, 4)
    assert (found.split, len(found.states), found.max_new_tokens, found.seed) == ("train", 4, 7, 3)
    assert capsys.readouterr().out == (
        "SFT's temperature is chosen on train, since there is no validation split: "
        "mine.csv: no records in split 'validation'.\n"
    )
    assert validation_like(evaluator, lambda _: OneTurn(), 4).split == "validation"
    assert capsys.readouterr().out == ""


# What is left over


def test_the_policy_is_held_against_sft_episode_by_episode():
    evaluator = Evaluator(OneTurn(), nothing, n=4)
    evaluator.task.groups = lambda state: ["a"] if state is evaluator.states[0] else ["b"]
    found = beyond_sharpening(evaluator, answers([1.0, 1.0, 0.5, 0.0]), answers([0.0, 1.0, 0.0, 1.0]))
    assert (found["mean"], found["n"]) == (0.125, 4)  # of +1, 0, +.5, -1
    assert found["low"] < 0.125 < found["high"]
    assert {name: (each["mean"], each["n"]) for name, each in found["groups"].items()} == {
        "a": (1.0, 1), "b": (pytest.approx(-0.5 / 3), 3),
    }  # fmt: skip


def told(mean, low, high, sampled_low=0.1, temperature=0.5):
    return {
        "beyond_sharpening": {"mean": mean, "low": low, "high": high, "n": 9},
        "sft_temperature": {"temperature": temperature},
        "gain": {"sampled": {"low": sampled_low}},
        "sft": {"best": {"mean": 0.6, "low": 0.5, "high": 0.7}},
    }


def test_the_control_in_words():
    learned = in_words(told(0.12, 0.08, 0.16))
    assert learned == (
        "beyond sharpening: +0.120 [+0.080, +0.160]: learned more than a lower temperature gives (SFT's best: T = 0.5)"
    )
    assert in_words(told(0.01, -0.01, 0.03, temperature=0.0)) == (
        "beyond sharpening: +0.010 [-0.010, +0.030]: only sharpens: no difference to SFT at T = 0 is seen"
    )
    assert in_words(told(0.0, 0.0, 0.0, sampled_low=0.0)).endswith(": no gain: no difference to SFT at T = 0.5 is seen")
    assert in_words(told(-0.1, -0.2, -0.05)).endswith("]: below SFT at its best temperature (T = 0.5)")


def test_runs_of_earlier_versions_have_no_control_and_tables_of_them_still_are():
    assert in_words({"sft": {"gold": 0.5}}) == "beyond sharpening: not measured; evaluation.evaluate does it"
    assert control_cells([{"sft": {"gold": 0.5}}]) == ["", ""]
    assert control_cells([told(0.1, 0.0, 0.2), {"sft": {}}]) == ["", ""]


def test_the_control_in_tables():
    one = told(0.12, 0.08, 0.16)
    assert control_cells([one]) == ["0.600 [0.500, 0.700], T = 0.5", "+0.120 [+0.080, +0.160]"]
    assert control_cells([one, told(0.02, 0.0, 0.0, temperature=0.0)]) == [
        "0.600, T = 0.5, 0",
        "+0.070 (+0.120, +0.020)",
    ]
    assert control_rows(one) == [
        "|  | SFT at its best T | 0.600 [0.500, 0.700], T = 0.5 |",
        "|  | beyond sharpening | +0.120 [+0.080, +0.160] |",
    ]


# pass@k


def test_pass_at_k_by_hand():
    # One success of 4: 1/4, then 1 - C(3, 2) / C(4, 2) = 1/2. Two of 4: 1/2, then 1 - C(2, 2) / C(4, 2) = 5/6.
    values = [[0, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert best_of_k(values, 1).tolist() == pytest.approx([1 / 4, 1 / 2, 0])
    assert best_of_k(values, 2).tolist() == pytest.approx([1 / 2, 5 / 6, 0])
    assert best_of_k(values, 4).tolist() == pytest.approx([1, 1, 0])


def test_the_best_of_k_golds_by_hand():
    # Of .2, .4 and 1 the pairs have .4, 1 and 1.
    assert best_of_k([[1.0, 0.2, 0.4]], 2)[0] == pytest.approx(0.8)
    for k in (0, 4):
        with pytest.raises(ValueError, match=f"expected k from 1 to the 3 samples, got {k}"):
            best_of_k([[1.0, 0.2, 0.4]], k)


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.data())
def test_pass_at_k_is_chens_formula(successes, data):
    n, c = len(successes), sum(successes)
    k = data.draw(st.integers(1, n))
    assert best_of_k([successes], k)[0] == pytest.approx(1 - comb(n - c, k) / comb(n, k))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=7), st.data())
def test_the_best_of_k_is_the_mean_over_all_choices(values, data):
    k = data.draw(st.integers(1, len(values)))
    expected = np.mean([max(chosen) for chosen in combinations(values, k)])
    assert best_of_k([values], k)[0] == pytest.approx(expected)


def test_figures_of_samples_are_paired_and_by_group():
    sft = np.zeros((2, 4))
    sft[0, 0] = 1
    policy = np.zeros((2, 4))
    policy[0] = 1
    found = figures_of({"sft": sft, "policy": policy}, [["a"], ["b"]])
    assert tries(4) == [1, 4]
    assert {k: each["mean"] for k, each in found["sft"].items()} == {"1": 0.125, "4": 0.5}
    assert {k: each["mean"] for k, each in found["gain"].items()} == {"1": 0.375, "4": 0.0}
    assert found["gain"]["4"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 2}
    assert found["groups"]["policy"]["4"]["a"]["mean"] == 1.0
    assert (found["temperature"], found["samples"]) == (0.7, 4)


@pytest.fixture(scope="module")
def backbone(tmp_path_factory):
    return gemma(tmp_path_factory.mktemp("gemma"))


@pytest.mark.parametrize("task", [HH(split="test"), TwoTurns()])
def test_samples_side_by_side_are_those_of_one_evaluation_each(backbone, task):
    evaluator = Evaluator(task, lengths, max_new_tokens=3, n=35, seed=2)  # more than a block
    found = evaluator.samples(backbone.reference, 0.7, 2)
    each = [evaluator.answer(backbone.reference, 0.7, seed=1002 + k) for k in range(2)]
    assert found.scores.tolist() == np.stack([one.scores for one in each], axis=1).tolist()
    assert found.golds.tolist() == np.stack([one.golds for one in each], axis=1).tolist()
    assert len(set(found.scores[:, 0] - found.scores[:, 1])) > 1


def test_sfts_best_by_the_score_comes_from_the_same_samples(backbone):
    evaluator = Evaluator(HH(split="test"), lengths, max_new_tokens=3, n=6)
    roles = {"sft": backbone.reference, "policy": backbone.reference}
    found = of_samples(evaluator, roles, 4)
    scores = evaluator.samples(backbone.reference, 0.7, 4).scores
    assert found["best_of"]["score"] == pytest.approx(scores.max(axis=1).mean())
    assert (found["best_of"]["n"], found["best_of"]["temperature"]) == (4, 0.7)
    by_group = found["best_of"]["groups"]
    halves = [by_group[name]["mean"] * by_group[name]["n"] for name in ("harmful", "harmless")]
    assert sum(halves) / 6 == pytest.approx(found["best_of"]["gold"])
    groups = [evaluator.task.groups(state) for state in evaluator.states]
    assert {name: each["n"] for name, each in found["best_of"]["groups"].items()} == {
        name: sum(name in of_one for of_one in groups) for of_one in groups for name in of_one
    }
    assert found["pass_at"]["gain"]["4"]["mean"] == found["best_at"]["gain"]["1"]["mean"] == 0.0  # they are one
    assert {"guess", "blind"}.isdisjoint(found["pass_at"])
    lines = describe_samples(found)
    assert lines[0].startswith("  sft best of 4 by score, T = 0.7")
    assert lines[1].startswith("    by group: harmful 0.")
    assert lines[2].startswith("  pass@1 at T = 0.7: 0.000 -> 0.000, gain +0.000 [+0.000, +0.000]")
    assert describe_samples({}) == []


def test_without_a_judge_there_is_no_pass_at_k(backbone):
    evaluator = Evaluator(OneTurn(), lengths, max_new_tokens=3, n=3)
    evaluator.task.judge = lambda turn: None
    assert set(of_samples(evaluator, {"sft": backbone.reference, "policy": backbone.reference}, 2)) == {"best_of"}


def test_the_table_of_pass_at_k():
    sft, policy = np.zeros((2, 4)), np.zeros((2, 4))
    sft[0, 0] = policy[0] = 1
    groups = [["a"], ["b"]]
    run = {"pass_at": figures_of({"sft": sft, "policy": policy}, groups)}
    run["best_at"] = run["pass_at"]
    guessed = {"pass_at": {**run["pass_at"], "guess": {"4": {"mean": 0.25}}, "blind": {"4": {"mean": 0.5}}}}
    rows = pass_rows({"HH, seed 0": run, "VQAv2, seed 0": {**run, **guessed}})
    assert rows[0] == "|  | pass@1 | pass@4 | gain of pass@4 | guessing, grey pictures @4 | best gold of 4 |"
    cells = "0.125 -> 0.500 | 0.500 -> 0.500 | +0.000 [+0.000, +0.000]"
    assert rows[2] == f"| HH, seed 0 | {cells} |  | 0.500 -> 0.500 |"
    assert rows[3] == f"| VQAv2, seed 0 | {cells} | 0.250, 0.500 | 0.500 -> 0.500 |"
    assert rows[-2:] == ["| VQAv2, seed 0: a | 1 | 1.000 -> 1.000 |", "| VQAv2, seed 0: b | 1 | 0.000 -> 0.000 |"]


def test_another_sft_policy_plays_the_same_episodes():
    known = {t: answers([0.0, 0.5]) for t in TEMPERATURES}
    known[0.2] = answers([1.0, 0.5])
    evaluator = Known(known)
    found = beside_another(evaluator, Known(known), None, answers([1.0, 1.0]))
    assert (found["greedy"]["mean"], found["best"]["mean"], found["policy_less"]["mean"]) == (0.25, 0.75, 0.25)
    assert evaluator.asked == [(0.0, True), (0.2, False)]
    (line,) = describe_others({"others": {"tiny": found}})
    assert line.startswith("  tiny: greedy 0.250 [0.000, 0.500], at its best, T = 0.2, 0.750 [0.500, 1.000]; ")
    assert describe_others({}) == []


# Short answers


def test_answers_are_short_in_a_word_or_two_and_one_turn():
    row = ([], [])
    assert are_short(Answers(["yes", "a blue box on it"], [[row], [row]], np.zeros(2), None))  # three words on average
    assert not are_short(Answers(["yes", "a blue box on the table"], [[row], [row]], np.zeros(2), None))
    assert not are_short(Answers(["yes"], [[row, row]], np.zeros(1), None))


def test_the_commonest_answers_come_first():
    assert commonest(["no", "red", "yes", "no", "yes", "no"], 2) == ["no", "yes"]
    assert commonest(["b", "a"], 9) == ["a", "b"]


def test_guesses_are_right_where_one_of_the_first_is():
    class Numbers(OneTurn):
        """The right answer is the number of the episode, 0 to 3."""

        success_at = 0.5

        def first_states(self, n):
            return [[0, i] for i in range(n)]

        def judge(self, turn):
            return float(turn.response == str(turn.reference["said"][0]))

    evaluator = Evaluator(Numbers(), lengths, n=4)
    found = guesses(evaluator, ["0", "7", "3", "2"], [1, 4])
    assert {k: (each["mean"], each["n"]) for k, each in found.items()} == {"1": (0.25, 4), "4": (0.75, 4)}


def test_calibration_by_hand():
    found = calibration(np.array([0.96, 0.86, 0.16, 0.88]), np.array([True, False, False, True]))
    # .86 and .88 share a bin: .87 sure, half of them right. (.04 + 2 * .37 + .16) / 4
    assert found["ece"] == pytest.approx(0.235)
    assert [(each["low"], each["n"], each["right"]) for each in found["bins"]] == [
        (0.1, 1, 0),
        (0.8, 2, 0.5),
        (0.9, 1, 1),
    ]
    assert (found["probability"], found["right"]) == (pytest.approx(0.715), 0.5)
    assert describe_calibration({"calibration": {"sft": found}}) == [
        "calibration, greedy: sft 0.715 sure, 0.500 right, ECE 0.235"
    ]
    assert describe_calibration({}) == []


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_bins_hold_every_answer_once_and_its_probability(items):
    probabilities, right = (np.array(column) for column in zip(*items, strict=True))
    found = calibration(probabilities, right)
    assert sum(each["n"] for each in found["bins"]) == len(items)
    assert all(each["low"] - 1e-9 <= each["probability"] <= each["high"] + 1e-9 for each in found["bins"])
    assert abs(found["probability"] - found["right"]) - 1e-9 <= found["ece"] <= 1


def test_the_probability_of_an_answer_is_that_of_its_tokens(backbone):
    evaluator = Evaluator(HH(split="test"), nothing, max_new_tokens=1, n=3)
    greedy = evaluator.answer(backbone.reference, 0.0)
    found = probabilities_of(backbone.reference, greedy)
    for probability, [(prompt, response)] in zip(found, greedy.rows, strict=True):
        with torch.no_grad():
            logits = backbone.model(torch.tensor([prompt])).logits[0, -1]
        assert len(response) == 1
        assert probability == pytest.approx(float(logits.softmax(-1).max()), rel=1e-4)
