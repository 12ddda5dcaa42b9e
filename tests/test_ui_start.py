"""The table of UINav-v0's starts: what each has read, and how its rows are made of summaries."""

from types import SimpleNamespace

import pytest
import yaml

from agents.pretrain.texts import demonstrated_share
from agents.setup import RECIPES
from evaluation.reproduce import ui_start
from evaluation.reproduce.ui_start import STARTS, Start, label_of, start_rows, start_table, words_of

RECIPE = {"steps": 1000, "batch_size": 10}


@pytest.mark.parametrize(("length", "steps", "until"), [(1.0, 1000, 0.7), (2.0, 2000, 0.35), (0.5, 500, 1.4)])
def test_a_start_has_the_exercises_where_the_recipe_has_them(length, steps, until):
    assert words_of(Start(length, None), RECIPE) == ["--steps", steps, "--exercises-until", until]
    assert words_of(Start(length, 7), RECIPE)[-2:] == ["--templates", 7]


def test_demonstrations_are_what_no_exercise_is():
    # .05 x 1 + .37 x .85 + .1 x .3 + .18 x .1 of the documents are exercises
    assert demonstrated_share() == pytest.approx(1 - 0.4125)
    assert demonstrated_share(2) == pytest.approx(2 - 0.4125)
    assert demonstrated_share(0.25) == pytest.approx(0.15 * 0.2)  # 0.05 to 0.25 of the documents
    assert label_of(Start(1.0, 7), RECIPE) == "5,875 steps of 7 templates"


def test_every_start_can_be_pretrained():
    recipe = yaml.safe_load((RECIPES / "pretrain" / "tiny-uinav.yaml").read_text())
    for start in STARTS:
        _, _, _, until, *_ = words_of(start, recipe)
        assert 0.1 <= until <= 2
    assert Start(1.0, None) in STARTS
    assert len({label_of(start, recipe) for start in STARTS}) == len(STARTS)


def test_rl_begins_on_each_pretrained_start_with_each_seed(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(ui_start, "finish", made.append)
    options = SimpleNamespace(output_dir=str(tmp_path), quick=False, seeds="0,1")
    table = start_table(options)
    assert len(table.runs) == 2 * len(STARTS)
    assert len(made) == 3 * len(STARTS)  # a backbone and two trainings
    backbone, trained, _ = made[:3]
    assert backbone.words[:2] == ["agents.pretrain", "tiny-uinav"]
    assert trained.words[trained.words.index("--backbone") + 1] == str(backbone.folder)
    run = next(iter(table.runs.values()))
    assert run.words[run.words.index("--run") + 1] == str(trained.folder)


def interval(mean):
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01, "n": 10}


def test_a_row_has_success_before_and_after_and_by_how_templates_are_met():
    groups = [{"greedy": {"demonstrated": interval(m), "never demonstrated": interval(m - 0.25)}} for m in (0.5, 0.625)]
    means = {"sft": {"1": 0.25, "4": 0.5, "16": 0.75}, "policy": {"1": 0.5, "4": 0.625, "16": 0.875}}
    tries = {side: {k: interval(mean) for k, mean in by_k.items()} for side, by_k in means.items()}
    summary = {
        "sft": {"gold_greedy": 0.375, "groups": groups[0]},
        "policy": {"gold_greedy": 0.5, "groups": groups[1]},
        "pass_at": tries, "gain": {"greedy": interval(0.125)}, "beyond_sharpening": interval(0.0625),
    }  # fmt: skip
    rows = start_rows({"8,000 steps of all templates, seed 0": summary})
    assert rows[2] == (
        "| 8,000 steps of all templates, seed 0 | 0.375 | 0.250 | 0.500 | 0.750 | 0.500 | 0.875 "
        "| +0.125 [+0.115, +0.135] | +0.062 [+0.052, +0.072] |"
    )
    assert rows[4] == "| greedy, SFT -> RL, by what the shipped start was shown | demonstrated | never demonstrated |"
    assert rows[6] == "| 8,000 steps of all templates, seed 0 | 0.500 -> 0.625 | 0.250 -> 0.375 |"
