"""The table of UINav-v0's starts: what each has read, and how its rows are made of summaries."""

from types import SimpleNamespace

import pytest
import yaml

from agents.setup import RECIPES
from evaluation.reproduce import ui_start
from evaluation.reproduce.ui_start import STARTS, Start, label_of, start_rows, start_table, words_of

RECIPE = {"steps": 1000, "batch_size": 16, "exercises": 0.5}  # 8,000 exercises and as many steps of demonstrations


@pytest.mark.parametrize(
    ("share", "steps", "exercises"),
    [(1, 1000, 0.5), (3, 2000, 0.25), (1 / 4, 625, 0.8)],  # 8,000 of 16,000, of 32,000 and of 10,000 documents
)
def test_a_start_has_read_the_same_exercises_and_its_share_of_demonstrations(share, steps, exercises):
    assert words_of(Start(share, None), RECIPE) == ["--steps", steps, "--exercises", exercises]
    assert words_of(Start(share, 7), RECIPE)[-2:] == ["--templates", 7]


def test_every_start_can_be_pretrained():
    recipe = yaml.safe_load((RECIPES / "pretrain" / "tiny-uinav.yaml").read_text())
    for start in STARTS:
        _, _, _, share, *_ = words_of(start, recipe)
        assert 0.2 <= share <= 0.9
    assert Start(1.0, None) in STARTS
    assert len({label_of(start, recipe) for start in STARTS}) == len(STARTS)


def test_rl_begins_on_each_pretrained_start_with_each_seed(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(ui_start, "finish", made.append)
    options = SimpleNamespace(output_dir=str(tmp_path), quick=False, seeds="0,1")
    table = start_table(options)
    assert [run.words[:2] for run in made] == [["agents.pretrain", "tiny-uinav"]] * len(STARTS)
    assert len(table.runs) == 2 * len(STARTS)
    run = next(iter(table.runs.values()))
    assert run.words[run.words.index("--backbone") + 1] == str(made[0].folder)
    assert run.folder != made[0].folder


def interval(mean):
    return {"mean": mean, "low": mean - 0.01, "high": mean + 0.01, "n": 10}


def test_a_row_has_success_before_and_after_and_by_how_templates_are_met():
    groups = [{"greedy": {"demonstrated": interval(m), "never demonstrated": interval(m - 0.25)}} for m in (0.5, 0.625)]
    tries = {"sft": {"1": 0.25, "4": 0.5, "16": 0.75}, "policy": {"1": 0.5, "4": 0.625, "16": 0.875}}
    summary = {
        "sft": {"gold_greedy": 0.375, "groups": groups[0]},
        "policy": {"gold_greedy": 0.5, "groups": groups[1]},
        "pass_at": tries, "gain": {"greedy": interval(0.125)}, "beyond_sharpening": interval(0.0625),
        "turns": 12345, "cpu_seconds": 99.6,
    }  # fmt: skip
    rows = start_rows({"8,000 steps of all templates, seed 0": summary})
    assert rows[2] == (
        "| 8,000 steps of all templates, seed 0 | 0.375 | 0.250 | 0.500 | 0.750 | 0.500 | 0.875 "
        "| +0.125 [+0.115, +0.135] | +0.062 [+0.052, +0.072] | 12,345 | 100 |"
    )
    assert rows[4] == "| greedy, SFT -> RL | demonstrated | never demonstrated |"
    assert rows[6] == "| 8,000 steps of all templates, seed 0 | 0.500 -> 0.625 | 0.250 -> 0.375 |"
