"""How a policy that answers picture questions is measured: with pictures, with grey ones, and without any."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_models import save_seeing_gemma

import evaluation.reproduce.ui_groups as ui_groups
import evaluation.reproduce.vqa as vqa_tables
from agents import train_ppo
from backbones.backbone import Backbone
from backbones.model.loading import SHIPPED
from envs.reward_spec import resolve_reward
from envs.task import Scored
from envs.vqav2.task import VQAv2
from evaluation.baselines.shortcuts import shortcut_means
from evaluation.evaluator import Evaluator
from evaluation.reproduce.vqa import accuracy_rows, chosen_rows, feedback_rows, room_rows, statement_rows
from perlhf.run_folder import read_summary


def nothing(turns):
    return [0.0] * len(turns)


def test_blind_is_shown_a_grey_picture_of_the_same_size_and_the_same_question():
    backbone = Backbone.load("tiny-vqav2")
    evaluator = Evaluator(VQAv2(split="test"), nothing, max_new_tokens=4, n=6)
    seeing, blind = (evaluator.answer(backbone.reference, 0.0, blind=b) for b in (False, True))
    for state, (seen,), (unseen,) in zip(evaluator.states, seeing.rows, blind.rows, strict=True):
        assert list(seen[0]) == list(unseen[0])
        assert np.array_equal(seen[0].image, evaluator.task.turn(state).image)
        assert unseen[0].image.shape == seen[0].image.shape
        assert np.unique(unseen[0].image).tolist() == [128]


def test_the_shipped_backbone_answers_from_the_picture():
    """On 120 held-out questions; guesses from the question alone are at 0.4."""
    backbone = Backbone.load("tiny-vqav2")
    evaluator = Evaluator(VQAv2(split="test"), nothing, max_new_tokens=8, n=120)
    seeing, blind = (evaluator.answer(backbone.reference, 0.0, blind=b).best.mean() for b in (False, True))
    assert seeing > 0.6
    assert blind < 0.45
    golds = json.loads((SHIPPED["tiny-vqav2"] / "pretraining.json").read_text())["gold"]["vqav2"]
    assert golds["greedy_blind"] < 0.4 < golds["sampled"] < golds["greedy"]


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    """Of a run of a random model on two rollouts."""
    root = tmp_path_factory.mktemp("vqa")
    folder = str(root / "run")
    few = {"total_timesteps": 8, "n_envs": 4, "batch_size": 4, "eval_prompts": 8, "max_new_tokens": 4, "threads": 1}
    train_ppo.train(
        train_ppo.Options(
            env="VQAv2-v0", backbone=str(save_seeing_gemma(root / "sees")), reward="gold", output_dir=folder, **few
        )
    )
    return read_summary(root / "run")


def test_a_run_is_measured_blind_too(summary):
    assert summary["sft"]["blind"] == {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 8}
    rows = accuracy_rows({"seed 0": summary})
    assert rows[2].startswith("| seed 0 | 0.000 [0.000, 0.000] -> 0.000 [0.000, 0.000] |")
    assert "0.000 -> 0.000 |" in rows[2]
    cells = dict(zip(*(rows[i][2:-2].split(" | ") for i in (0, 2)), strict=True))
    assert cells["greedy, official script"] == "0.000 -> 0.000"
    assert summary["sft"]["official_greedy"] == summary["policy"]["official"] == 0.0
    kinds = {row.split(" | ")[0].removeprefix("| ") for row in rows[6:]}
    assert kinds == set(summary["sft"]["groups"]["sampled"])
    assert {"yes/no", "other", "level 1", "seen combinations"} <= kinds


def test_both_accuracies_are_in_the_tables():
    task = VQAv2(split="test")
    index = next(i for i, record in enumerate(task.records) if len(set(record.answers)) == 1)
    (said,) = set(task.records[index].answers)
    evaluator = Evaluator(task, resolve_reward("gold", task), n=1)
    evaluator.states = [index]
    answers = evaluator.play(lambda states, *_: ([f"{said.capitalize()}."], [([], [])]))
    assert (answers.golds.tolist(), answers.officials.tolist()) == ([1.0], [0.0])
    few = Scored("a policy", [1.0, 0.9], [["all", "number"], ["all", "other"]], [1.0, 0.0])
    (named,) = shortcut_means([few])
    assert named[1]["all"]["mean"] == 0.95
    assert named[1]["all, official script"]["mean"] == 0.5
    assert task.group_tables([*named[1]]) == [["all", "all, official script", "number", "other"]]


def test_guesses_without_the_picture_are_of_the_same_questions(summary, monkeypatch):
    kinds = ["all", *summary["sft"]["groups"]["sampled"]]
    asked = []

    def shortcut_scores(test, train, count, seed):
        asked.append((train.split, test.split, count))
        for name in ('always "yes"', "the commonest answer", "oracle"):
            yield Scored(name, [number / 10 for number in range(len(kinds))], [[kind] for kind in kinds])

    monkeypatch.setattr(VQAv2, "shortcut_scores", shortcut_scores)
    rows = vqa_tables.question_rows(summary)
    assert asked == [("train", "test", 8)]
    assert rows[2:] == [f"| the commonest answer | {' | '.join(f'{i / 10:.3f}' for i in range(len(kinds)))} |"]


def share(mean):
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01, "n": 9}


def test_a_table_says_what_is_left_to_take_and_what_the_score_chooses():
    sides = {
        "sft": {"probability": 0.9, "right": 0.8, "ece": 0.1},
        "policy": {"probability": 1, "right": 0.7, "ece": 0.3},
    }
    passed = {"sft": {"1": share(0.5), "4": share(0.8)}, "policy": {"1": share(0.6), "4": share(0.7)}}
    blind = {"guess": {"1": share(0.1), "4": share(0.3)}, "blind": {"1": share(0.2), "4": share(0.4)}}
    gain = {"1": share(0.1), "4": share(-0.1)}
    rows = room_rows({"seed 0": {"calibration": sides, "pass_at": {**passed, **blind, "gain": gain}}})
    assert rows[2:] == [
        "| seed 0 | 0.900 -> 1.000 | 0.800 -> 0.700 | 0.100 -> 0.300 | 0.500 -> 0.600 | 0.800 -> 0.700 "
        "| -0.100 [-0.110, -0.090] | 0.300, 0.400 |"
    ]
    runs = [
        {
            "sft": {"n": 9, "gold_greedy": greedy, "groups": {"greedy": {"number": share(greedy)}}},
            "best_of": {"n": 4, "temperature": 0.7, "gold": chosen, "groups": {"number": share(chosen)}},
        }
        for greedy, chosen in ((0.5, 0.6), (0.7, 0.9))
    ]
    rows = chosen_rows(runs)
    assert rows[0].startswith("| 4 of SFT's answers at T = 0.7, mean of the seeds | questions |")
    assert rows[2:] == ["| all | 9 | 0.600 | 0.750 |", "| number | 9 | 0.600 | 0.750 |"]


def test_runs_are_evaluated_when_they_are_trained(tmp_path, monkeypatch):
    trained = []

    def finish(run):
        trained.append(run)
        return {"turns": 8}

    monkeypatch.setattr(vqa_tables, "finish", finish)
    monkeypatch.setattr(ui_groups, "finish", finish)
    options = SimpleNamespace(output_dir=str(tmp_path), quick=False, seeds="0,1", nlvr="")
    tables = [make(options) for make in (vqa_tables.vqa_table, vqa_tables.vqa_ppo_table, vqa_tables.vqa_groups_table)]
    assert [run.words[1:3] for run in trained] == [["--env", "VQAv2-v0"]] * 6
    assert [list(table.runs) for table in tables] == [["seed 0", "seed 1"]] * 2 + [["SFT", "seed 0", "seed 1"]]
    for table, run in zip(tables, trained[::2], strict=True):
        assert next(iter(table.runs.values())).words[2] == str(run.folder)
    assert {each.words[0] for each in tables[0].runs.values()} == {"evaluation.evaluate"}
    assert {each.words[0] for each in tables[2].runs.values()} == {"evaluation.verdicts"}
    assert (
        len({each.folder for table in tables for each in table.runs.values()} | {run.folder for run in trained}) == 11
    )


def test_tables_of_reward_models_and_of_statements_have_their_figures(summary):
    figure = {"mean": 0.75, "low": 0.7, "high": 0.8, "n": 9}
    cost = {"cpu_seconds": 9.0, "peak_rss_mb": 700.0}
    rows = feedback_rows(
        {
            "labels": {"auc": figure, "accuracy": figure, "baselines": {"length": 0.5, "majority": 0.6}, **cost},
            "pairs": {"accuracy": figure, "baselines": {"length": 0.4}, **cost},
        }
    )
    assert rows[0] == "|  | figure | held out | length | majority | CPU s | peak MB |"
    assert rows[2] == "| labels | AUC | 0.750 [0.700, 0.800] | 0.500 | 0.600 | 9 | 700 |"
    assert rows[3] == "| pairs | accuracy | 0.750 [0.700, 0.800] | 0.400 |  | 9 | 700 |"
    told = statement_rows({"sft": {"held_out_loss": {"before": figure, "after": figure}}, "ppo": summary})
    assert told[2] == "| SFT | held-out loss, nats a token | 0.750 [0.700, 0.800] -> 0.750 [0.700, 0.800] |"
    assert told[3].startswith("| PPO | right, sampled (n = 8) | 0.000 [0.000, 0.000] -> ")
