"""A judge that is asked in both orders: what is sent, who wins, and what is left of a bias of position."""

import json

import numpy as np
import pytest
from foreign_rewards import judging
from hypothesis import given
from hypothesis import strategies as st

from agents import train_ppo
from envs.turn import Turn
from evaluation.both_orders import both_orders, describe_orders
from evaluation.win_rate import judge_spec
from evaluation.win_rate import main as win_rate
from perlhf.errors import RewardError, UserError
from perlhf.run_folder import read_summary
from rewards.pair_judge import PAIR_RUBRIC, Asked, PairJudge, prefer

A, B, NEITHER = (json.dumps({"better": name}) for name in ("A", "B", "neither"))


@pytest.fixture
def server(monkeypatch, tmp_path):
    for name in ("OPENAI_API_KEY", "PERLHF_JUDGE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with judging() as found:
        yield found


def shown_in(body):
    """The two responses of a request, A and B."""
    content = json.loads(body["messages"][0]["content"].split("\n\n")[1])
    return content["response A"], content["response B"]


def likes_length_else_a(body):
    """A judge with a bias: the longer one where that is longer by more than five signs, else what is shown first."""
    a, b = map(len, map(str, shown_in(body)))
    return B if b > a + 5 else A


def pairs_of(*lengths):
    return [
        (Turn(f"prompt {i}", "p" * mine), Turn(f"prompt {i}", "s" * other)) for i, (mine, other) in enumerate(lengths)
    ]


def means(asked):
    return {name: round(value["mean"], 6) for name, value in both_orders(asked).items()}


def test_what_is_sent_in_both_orders(server):
    server.answers = [A, B]
    (asked,) = prefer([(Turn("Hi", "one"), Turn("Hi", "two"))], server.url, "small", concurrency=1)
    assert asked == Asked(1.0, 1.0)
    assert [shown_in(body) for _, _, body in server.asked] == [("one", "two"), ("two", "one")]
    rubric, shown, form = server.asked[0][2]["messages"][0]["content"].split("\n\n")
    assert (rubric, form) == (PAIR_RUBRIC, PairJudge.form)
    assert json.loads(shown)["conversation"] == [{"role": "user", "content": "Hi"}]


def test_a_judge_that_always_says_a_has_no_opinion(server):
    server.answer = lambda body: A
    assert means(prefer(pairs_of((3, 4), (5, 6)), server.url, "small")) == {
        "win": 0.0, "tie": 1.0, "loss": 0.0, "win_rate": 0.5, "one_order": 1.0, "other_order": 0.0,
        "changed": 1.0, "shown_first": 1.0,
    }  # fmt: skip


def test_a_bias_of_position_is_cancelled_and_reported(server):
    server.answer = likes_length_else_a
    # The first is far longer in two pairs, the second in one; three are near, which the order decides alone.
    asked = prefer(pairs_of((20, 1), (20, 2), (1, 20), (3, 4), (5, 4), (6, 7)), server.url, "small")
    assert asked == [(1, 1), (1, 1), (0, 0), (1, 0), (1, 0), (1, 0)]
    assert means(asked) == pytest.approx({
        "win": 2 / 6, "tie": 3 / 6, "loss": 1 / 6, "win_rate": 3.5 / 6,
        "one_order": 5 / 6, "other_order": 2 / 6,  # what one order alone would have said
        "changed": 3 / 6, "shown_first": (3 * 0.5 + 3 * 1) / 6,
    }, abs=1e-6)  # fmt: skip
    said = describe_orders(both_orders(asked), "the policy", "SFT")
    assert "win rate of the policy against SFT, a tie half: 0.583 [" in said
    assert "the order changed 0.500 [" in said


def test_a_win_in_one_order_and_neither_in_the_other_is_a_tie():
    assert means([Asked(1.0, 0.5), Asked(0.5, 0.0), Asked(0.5, 0.5), Asked(0.0, 0.0)]) == {
        "win": 0.0, "tie": 0.75, "loss": 0.25, "win_rate": 0.375, "one_order": 0.5, "other_order": 0.25,
        "changed": 0.5, "shown_first": 0.625,
    }  # fmt: skip


VERDICTS = st.sampled_from([0.0, 0.5, 1.0])
ASKED = st.lists(st.builds(Asked, VERDICTS, VERDICTS), min_size=1, max_size=12)


@given(ASKED)
def test_whoever_is_called_the_first_the_verdict_is_the_same(asked):
    here, swapped = means(asked), means([Asked(1 - later, 1 - first) for first, later in asked])
    assert here["win_rate"] == pytest.approx(1 - swapped["win_rate"], abs=2e-6)
    assert (here["win"], here["loss"]) == (swapped["loss"], swapped["win"])
    assert (here["changed"], here["shown_first"]) == (swapped["changed"], swapped["shown_first"])
    assert here["win"] + here["tie"] + here["loss"] == pytest.approx(1, abs=3e-6)


@given(st.lists(VERDICTS, min_size=1, max_size=12))
def test_a_judge_that_goes_by_the_order_alone_makes_no_winner(of_shown_first):
    assert means([Asked(said, 1 - said) for said in of_shown_first])["win_rate"] == 0.5


def test_equal_responses_are_not_asked_about_and_answers_are_kept(server):
    server.answer = likes_length_else_a
    pairs = [*pairs_of((20, 1)), (Turn("Hi", "same"), Turn("Hi", "same"))]
    assert prefer(pairs, server.url, "small") == prefer(pairs, server.url, "small") == [(1, 1), (0.5, 0.5)]
    assert len(server.asked) == 2
    prefer(pairs, server.url, "small", rubric="Another.", cache=False)
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        (A, 1.0), (B, 0.0), (NEITHER, 0.5), (f"{A} or rather\n```json\n{B}\n```", 0.0), ('{"better" : "A" }', 1.0),
        ("A", None), ('{"better": "a"}', None), ('{"better": "C"}', None), ("", None),
    ],
)  # fmt: skip
def test_the_verdict_in_an_answer(said, verdict):
    assert PairJudge("http://host", "small", 1.0, 1.0, 1, None).read(said) == verdict


def test_faults_are_one_line(server):
    server.answers = ["Both are fine."] * 4
    with pytest.raises(RewardError, match=r"was asked twice for A, B or neither in JSON, and said 'Both are fine\.'"):
        prefer(pairs_of((1, 2)), server.url, "small", concurrency=1)
    with pytest.raises(UserError, match="the two responses of a pair must be to one prompt"):
        prefer([(Turn("Hi", "a"), Turn("Ho", "b"))], server.url, "small")
    with pytest.raises(RewardError, match="concurrency must be a whole number"):
        prefer([], server.url, "small", concurrency=0)
    for wrong in ("gold", "judge:mine", "http://host#small"):
        with pytest.raises(UserError, match="expected judge:URL#MODEL"):
            judge_spec(wrong)
    with pytest.raises(RewardError, match="names no model"):
        judge_spec("judge:http://host")


def test_a_policy_is_judged_against_its_sft(server, tmp_path, monkeypatch, capsys):
    run, out = tmp_path / "run", tmp_path / "out"
    few = {"total_timesteps": 8, "n_envs": 4, "batch_size": 4, "eval_prompts": 0, "max_new_tokens": 6, "threads": 1}
    few["learning_rate"] = 0.1  # so that the policy says something else
    train_ppo.train(train_ppo.Options(env="HH-v0", reward="gold", output_dir=str(run), **few))
    server.answer = likes_length_else_a
    (tmp_path / "judge.yaml").write_text(f"reward: judge:{server.url}#small\nrubric: Long is good.\ncache: false\n")
    words = f"win-rate {run} --judge {tmp_path / 'judge.yaml'} --prompts 6 --output-dir {out}"
    monkeypatch.setattr("sys.argv", words.split())
    win_rate()
    summary, rows = read_summary(out), json.loads((out / "verdicts.json").read_text())["pairs"]
    assert len(rows) == 6
    expected = np.mean([  # by the rule of the judge, on the answers that were written down
        1.0 if len(row["policy"]) > len(row["sft"]) + 5 else 0.0 if len(row["sft"]) > len(row["policy"]) + 5 else 0.5
        for row in rows
    ])  # fmt: skip
    assert summary["win_rate"]["mean"] == expected
    assert any(row["policy"] != row["sft"] for row in rows)
    assert server.asked[0][2]["messages"][0]["content"].startswith("Long is good.")
    assert "win rate of the policy against SFT" in capsys.readouterr().out
