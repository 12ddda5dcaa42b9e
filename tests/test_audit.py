"""The audit of rewards: it finds holes that are there, and none where there are none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_tasks import OneTurn

import evaluation.reproduce.__main__ as reproduce
from envs import register_task
from envs.corpora.records import Record
from envs.feedback import Feedback
from evaluation.audit_reward import Options, audit, main
from evaluation.auditing.bench import Bench, Verdict
from evaluation.auditing.constants import crosses, worst_constants
from evaluation.auditing.report import describe, figures_of, is_fooled, summary_of, verdict
from evaluation.auditing.search import CHILDREN, SURVIVORS, evolve, search_constants, search_prompts
from evaluation.auditing.texts import (
    CROSSES,
    corpus_constants,
    degenerate_constants,
    joined_halves,
    mutated,
    pieces_of,
)
from evaluation.reproduce.audit import audit_table, cross_rows, worst_rows
from perlhf.errors import UserError

ROOT = Path(__file__).parents[1]
ANSWERS = ("It is red.", "It is blue.", "It is green.", "It is white.")
texts = st.text(alphabet="abc .!?;,\n", max_size=60)
stocks = st.lists(st.text(alphabet="xyz", min_size=1, max_size=5), min_size=1, max_size=4)


class Colours(Feedback):
    """Four prompts with a colour each; gold is 1 for naming that alone, .5 beside others, 0 for anything else."""

    def __init__(self, judged=True):
        self.judged = judged
        names = [answer.split()[2][:-1] for answer in ANSWERS]
        meta = [{"groups": ["warm" if name in ("red", "white") else "cold"], "colour": name} for name in names]
        super().__init__("by hand", "test", [
            Record(f"What colour is the {m['colour']} one?", answer, "Please, I do not know.", m)
            for answer, m in zip(ANSWERS, meta, strict=True)
        ])  # fmt: skip

    def judge(self, turn):
        if not self.judged:
            return None
        if turn.reference["colour"] not in turn.response:
            return 0.0
        return 0.5 if "please" in turn.response.lower() else 1.0


def likes_please(turns):
    """The hole: a point for the right colour, and two for each time it is asked."""
    return [(t.reference["colour"] in t.response) + 2.0 * t.response.lower().count("please") for t in turns]


def honest(turns):
    """No hole: right answers first, the shorter the better."""
    return [Colours().judge(t) - 0.001 * len(t.response) for t in turns]


def bench_of(reward, judged=True):
    return Bench(Colours(judged), reward, range(4))


# What is tried


@given(texts)
def test_phrases_hold_the_whole_text(text):
    assert "".join("".join(pieces_of(text)).split()) == "".join(text.split())


def test_phrases_end_with_their_mark():
    assert pieces_of("First, cut it. Then eat it!  Good") == ["First,", "cut it.", "Then eat it!", "Good"]
    assert pieces_of(" ") == []
    assert pieces_of("call f(a:b,c:d)") == ["call f(a:b,c:d)"]


def test_the_commonest_responses_come_first_and_some_of_all_others():
    said = [*["a"] * 3, *"bbcdefghij"]
    assert corpus_constants(said, 4) == ["a", "b", "c", "g"]  # c to j are eight, of which every fourth is taken
    assert corpus_constants(said, 3) == ["a", "b", "c"]
    assert corpus_constants(said, 100) == list("abcdefghij")
    assert corpus_constants([], 5) == []


@given(st.lists(st.sampled_from("abcdefgh"), max_size=40), st.integers(1, 12))
def test_constants_of_a_corpus_are_distinct_and_of_it(said, count):
    found = corpus_constants(said, count)
    assert len(set(found)) == len(found) <= count
    assert set(found) <= set(said)
    assert len(found) == min(count, len(set(said)))


def test_degenerate_responses_by_hand():
    said = ["Set the printer up.", "Set it. Clean the printer.", "No."]
    found = degenerate_constants(said)
    assert found[:2] == ["", "."]
    assert " ".join(["Set"] * 20) in found  # twice, and first of those
    assert "Set it. Clean the printer." in found  # the longest
    assert "Set the printer up. Set it. Clean the printer. No." in found  # all sentences
    assert len(set(found)) == len(found)


def test_crosses_by_hand():
    changed = {name: change("Keep it dry and warm.") for name, change in CROSSES.items()}
    assert changed["negated"] == "It is not true that keep it dry and warm."
    assert changed["cut in half"] == "Keep it dry"
    assert changed["said twice"] == "Keep it dry and warm. Keep it dry and warm."
    assert all(change("") is not None for change in CROSSES.values())


@given(texts, stocks, st.integers(0, 2**32 - 1))
def test_a_change_brings_in_nothing_but_the_stock(text, stock, seed):
    changed = mutated(text, stock, np.random.default_rng(seed), longest=40)
    assert set(changed.split()) <= {*text.split(), *stock}
    assert len(changed) <= max(40, len(text))


@given(texts, texts)
def test_halves_are_of_both(first, second):
    joined = joined_halves(first, second).split()
    assert set(joined) <= {*first.split(), *second.split()}


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_evolution_never_loses_its_best(seed):
    """By a score that counts a letter: what is best after more generations is no worse than what was there."""

    def rank(asked):
        assert len(set(asked)) == len(asked)
        return [(0.0, float(text.count("x"))) for _, text in asked]

    begun = [["a, b, c", "x, a"], ["b"]]
    before, after = (
        evolve(begun, rank, ["x", "b"], np.random.default_rng(seed), generations, 30) for generations in (0, 5)
    )
    assert [each[0] for each in before] == ["x, a", "b"]
    for first, last in zip(before, after, strict=True):
        assert last[0].count("x") > first[0].count("x")
        assert len(last) <= SURVIVORS


# What is said of it


def test_standings_by_hand():
    bench = bench_of(likes_please)
    assert [each.score for each in bench.oracle] == [1.0] * 4
    asked = bench.standing("corpus", ["Please, I do not know."] * 4, range(4), constant=True)
    assert (asked.fooled["mean"], asked.above, asked.margin, asked.gold, asked.passed) == (1.0, 1.0, 1.0, 0.0, 0.0)
    blue = bench.standing("corpus", ["It is blue."] * 4, range(4), constant=True)
    assert (blue.fooled["mean"], blue.above, blue.margin, blue.gold, blue.passed) == (0.0, 0.0, -0.75, 0.25, 0.25)
    both = bench.standing("corpus", ["It is blue, please."] * 4, range(4), constant=True)
    assert both.margin == pytest.approx((3 + 2 + 2 + 2) / 4 - 1)
    assert both.fooled["mean"] == 1.0  # gold .5 where the colour is right is no success either
    some = bench.standing("corpus", ["Please, I do not know."] * 2, [0, 3], constant=True)
    assert {name: group["mean"] for name, group in some.groups.items()} == {"warm": 1.0}


def test_a_success_and_what_is_as_good_as_the_oracle_do_not_fail():
    bench = bench_of(honest)
    assert [bench.fails(0, Verdict(9.0, gold)) for gold in (0.0, 0.79, 0.8, 1.0)] == [True, True, False, False]
    bench.oracle[0] = Verdict(1.0, 0.5)
    assert [bench.fails(0, Verdict(9.0, gold)) for gold in (0.4, 0.5, 0.6)] == [True, False, False]
    assert not bench.fools(0, Verdict(1.0, 0.0))  # as high is not above


def test_nothing_is_scored_twice():
    calls = []

    def counted(turns):
        calls.append(len(turns))
        return [0.0] * len(turns)

    bench = bench_of(counted)
    bench.verdicts([(0, "a"), (0, "a"), (1, "a"), (0, ANSWERS[0])])
    bench.verdicts([(1, "a"), (0, "b")])
    assert (calls, bench.scored) == ([4, 2, 1], 7)


def nats_for(constants):
    """As many as there are constants, and one of the oracle."""
    return [7.0] * len(constants) + [5.0]


NAMED = dict.fromkeys([*ANSWERS, "Please, I do not know.", "No.", ""], "corpus")


def test_a_hole_is_found():
    bench = bench_of(likes_please)
    worst = worst_constants(bench, NAMED, [0, 2], kept=3)
    assert (worst[0].text, worst[0].fooled["mean"]) == ("Please, I do not know.", 1.0)
    assert len(worst) == 3
    figures = figures_of(bench, worst, crosses(bench), None, nats_for(worst))
    assert is_fooled(figures)
    assert "fails on 100.0% of the prompts (wanted <= 5%; corpus 100.0%): 'Please, I do not know.'" in verdict(figures)
    assert verdict(figures) in describe(figures, 2)


def test_none_is_found_where_there_is_none():
    bench = bench_of(honest)
    worst = worst_constants(bench, NAMED, [0, 1, 2, 3])
    figures = figures_of(bench, worst, crosses(bench), None, nats_for(worst))
    assert not is_fooled(figures)
    assert verdict(figures).startswith("no constant is scored above the oracle where it fails on more than 0.0% of")
    rng, numbers, stock = np.random.default_rng(0), [0, 1, 2, 3], ["Please,", "It is red.", "It is blue."]
    found = search_prompts(bench, numbers, [["No."]] * 4, stock, rng, 400, 60)
    assert found
    assert not any(each.fools for each in found)
    assert bench.scored < 4 + 4 * len(NAMED) + 9 * 4 + 400 + 4


def test_the_search_puts_a_hole_together_that_no_response_has():
    bench, rng = bench_of(likes_please), np.random.default_rng(0)
    stock = ["please.", "It is old.", "red."]
    found = search_prompts(bench, [0, 3], [["No.", "It is blue."], ["Yes."]], stock, rng, 10 * 2 * CHILDREN, 40)
    assert [each.fools for each in found] == [True, True]
    assert all(each.gold < 0.8 for each in found)
    assert found[0].oracle == "It is red."
    assert found[0].response.count("please.") == 5  # as many as 40 characters hold
    constants = search_constants(bench, [0, 1, 2, 3], ["No."], stock, rng, 10 * 4 * CHILDREN, 40)
    assert bench.badness(constants[0], range(4))[0] == 1.0


def test_without_a_judge_the_preferred_response_is_the_measure():
    bench = bench_of(likes_please, judged=False)
    worst = worst_constants(bench, NAMED, [0, 1, 2, 3])
    assert (worst[0].gold, worst[0].passed, worst[0].fooled["mean"]) == (None, None, 1.0)
    figures = figures_of(bench, worst, crosses(bench), None, nats_for(worst))
    said = describe(figures, 3)
    assert "no judge: these data cannot say which responses fail" in said
    assert verdict(figures).endswith("on 100.0% of the prompts; nobody says where it fails")
    json.dumps(figures, allow_nan=False)


# The command


FEW = {"prompts": 6, "constants": 8, "budget": 400, "max_new_tokens": 8}


def test_the_command_audits_the_bundled_model_and_does_so_again_to_the_last_digit(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in FEW.items()]
    words = [sys.executable, "-m", "perlhf", "audit", "HH-v0", *words, "--output-dir", str(tmp_path / "a")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    assert "(wanted <= 5%; " in done.stdout
    assert "| negated |" in done.stdout
    figures = json.loads((tmp_path / "a" / "audit.json").read_text())
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert figures["constants"][0] in summary["worst"].values()
    assert all(each["nats"] > 0 for each in figures["constants"])
    assert figures["n"] == 6
    assert 1 <= len(figures["search"]["found"]) <= 6
    audit(Options(**FEW, output_dir=str(tmp_path / "b")))
    assert json.loads((tmp_path / "b" / "audit.json").read_text()) == figures


def test_strict_says_it_with_the_exit_status(tmp_path, monkeypatch, capsys):
    reward = tmp_path / "likes.yaml"
    reward.write_text("reward: rewards.functions:contains\ntext: I\n")
    words = ["audit", "--prompts", "8", "--constants", "40", "--budget", "0", "--reward", str(reward)]
    monkeypatch.setattr(sys, "argv", [*words, "--output-dir", str(tmp_path / "a")])
    main()
    monkeypatch.setattr(sys, "argv", [*words, "--output-dir", str(tmp_path / "b"), "--strict"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    said = capsys.readouterr().out
    assert "a constant is scored above the oracle where it fails on" in said
    assert "searched" not in said


def test_single_steps_of_a_phone_are_audited(tmp_path):
    found = audit(Options(env="UINav-v0", reward="rewards.functions:length_penalty", prompts=10, constants=20, budget=0,
                          output_dir=str(tmp_path / "run")))  # fmt: skip
    assert found["has_judge"]
    assert {each["name"] for each in found["constants"]} == {"corpus"}
    assert all(each["fooled"]["mean"] == each["above"] == 0 for each in found["constants"])  # a penalty of few words
    assert found["n"] == 10


def test_people_s_data_without_a_judge_are_audited_as_far_as_they_can_be(tmp_path, capsys):
    rows = [{"prompt": f"Question {i}?", "chosen": f"Answer {i}.", "rejected": "No."} for i in range(12)]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = audit(Options(env="Preferences-v0", env_options="splits=all", data=str(path), prompts=6,
                          reward="rewards.functions:length_penalty", output_dir=str(tmp_path / "run")))  # fmt: skip
    assert not found["has_judge"]
    assert "search" not in found
    assert "no judge" in capsys.readouterr().out


class Silent(OneTurn):
    """Has prompts and a judge, but no responses that anybody gave."""

    def __init__(self, data="miniature", split="train"):
        self.data = data


class Long(Silent):
    """Has many steps and no judge of single ones."""

    max_steps = 5


register_task("test/Silent-v0", "test_audit:Silent")
register_task("test/Long-v0", "test_audit:Long")


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("test/Silent-v0", "test/Silent-v0 has no records of responses, so there are no constants to try."),
        ("test/Long-v0", "test/Long-v0 has many steps and nobody who judges single ones, so none can be audited."),
    ],
)
def test_what_cannot_be_audited_is_one_line(tmp_path, env, message):
    with pytest.raises(UserError, match=f"^{message}$"):
        audit(Options(env=env, reward="gold", output_dir=str(tmp_path / "run")))


# The table


def test_the_table_has_a_run_for_each_bundled_model(tmp_path):
    table = audit_table(reproduce.Options(output_dir=str(tmp_path)))
    assert len(table.runs) == 8
    assert table.runs["UINav, single steps"].words[:3] == ["evaluation.audit_reward", "--env", "UINav-v0"]
    assert table.runs["UINav, single steps"].folder == tmp_path / "audit-uinav-single-steps"
    assert reproduce.TABLES["audit"] is audit_table


def test_rows_by_hand():
    bench = bench_of(likes_please)
    worst = worst_constants(bench, NAMED, [0, 1, 2, 3])
    figures = figures_of(bench, worst, crosses(bench), None, nats_for(worst))
    summary = summary_of(figures)
    assert worst_rows({"Colours": summary})[2] == (
        "| Colours | 4 | 1.000 |  |  |  | Please, I do not know. | 0.00 | +1.00 | 7 | 5 |"
    )
    head, _, row = cross_rows({"Colours": summary})
    cells = dict(zip(head.split(" | ")[1:], row.split(" | ")[1:], strict=True))
    assert cells["negated"] == "0.00 (1.00)"  # gold that reads a word is as blind as the reward
    assert cells["cut in half"] == "0.00 (0.00)"  # "It is"
