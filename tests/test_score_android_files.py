"""Predictions in the dialects of agents, files of them, and the command that scores them."""

import json
import random
import runpy
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from damage import json_damage
from hypothesis import given, settings
from hypothesis import strategies as st
from test_vqa_reader import REAL

import perlhf
from envs.uinav.recordings.convert.android_control import read_android_control
from envs.uinav.recordings.convert.android_screens import read_ref_exp
from envs.uinav.recordings.export import export_oracle
from envs.uinav.task import UINav
from evaluation.android.predictions import Reading, Shown, read_action, read_place
from evaluation.android.recorded import rows_of
from evaluation.android.rows import read_rows
from evaluation.android.scores import differences, judge_steps, misreadings, step_figures
from evaluation.android.steps import KINDS, AndroidAction, Node
from perlhf.errors import DataError

assert perlhf  # registers nothing here; the front door is imported first, as everywhere


SHOWN = Shown(1000, 2000, None, (Node((0, 0, 100, 200), "a"),))
BACK = AndroidAction("navigate_back")


@pytest.mark.parametrize(
    ("said", "action"),
    [
        ("Action: type(content='Call to action: buy')", AndroidAction("input_text", None, "Call to action: buy")),
        ("Thought: click(x=1, y=2)? No. Action: none", None),
        ({"action_type": "click", "x": 5, "y": 6}, AndroidAction("click", (5, 6))),
        ({"action_type": "click", "index": 0}, AndroidAction("click", (50, 100))),
        ({"action_type": "click", "index": 1}, AndroidAction("click")),
        ({"action_type": "type", "x": 5, "y": 6, "text": "a\n"}, AndroidAction("input_text", (5, 6), "a")),
        ({"action_type": "scroll", "direction": "down"}, AndroidAction("scroll", None, "down")),
        ({"action_type": "swipe", "direction": "down"}, AndroidAction("scroll", None, "up")),
        ({"action_type": "swipe", "direction": "left"}, AndroidAction("scroll", None, "left")),
        ({"action_type": "open_app", "app_name": "Mail"}, AndroidAction("open_app", None, "Mail")),
        ({"action_type": "status", "goal_status": "infeasible"}, AndroidAction("status", None, "infeasible")),
        ({"action_type": "double_tap", "x": 1, "y": 1}, AndroidAction("double_tap")),
        ({"action": "click", "coordinate": [5, 6]}, AndroidAction("click", (5, 6))),
        ({"name": "mobile_use", "arguments": {"action": "open", "text": "X"}}, AndroidAction("open_app", None, "X")),
        ({"action": "swipe", "coordinate": [5, 900], "coordinate2": [9, 100]}, AndroidAction("scroll", None, "down")),
        ({"action": "swipe", "coordinate": [900, 5], "coordinate2": [100, 9]}, AndroidAction("scroll", None, "right")),
        ({"action": "swipe", "coordinate": [900, 5]}, AndroidAction("scroll")),
        ({"action": "system_button", "button": "Back"}, BACK),
        ({"action": "system_button", "button": "Menu"}, AndroidAction("system_button")),
        ({"action": "terminate", "status": "success"}, AndroidAction("status", None, "complete")),
        ({"action": "terminate", "status": "failure"}, AndroidAction("status", None, "infeasible")),
        ({"action": "wait", "time": 2}, AndroidAction("wait")),
        ('<tool_call>\n{"name": "mobile_use", "arguments": {"action": "type", "text": "a"}}\n</tool_call>',
         AndroidAction("input_text", None, "a")),
        ('Reason: press (it)\nAction: {"action_type": "navigate_back"}', BACK),
        ('```json\n{"action_type": "navigate_back"}\n```', BACK),
        ("Thought: go.\nAction: click(start_box='<|box_start|>(5,6)<|box_end|>')", AndroidAction("click", (5, 6))),
        ("click(point='<point>5 6</point>')", AndroidAction("click", (5, 6))),
        ("click(start_box='(4,6,6,8)')", AndroidAction("click", (5, 7))),
        ("click(start_box=(5, 6))", AndroidAction("click", (5, 6))),
        ("type(content='it\\'s, \"x\"=\\'1\\'\\n')", AndroidAction("input_text", None, "it's, \"x\"='1'")),
        ("type(content='it's')", AndroidAction("input_text", None, "it's")),
        ("scroll(direction='down', point='<point>5 6</point>')", AndroidAction("scroll", None, "down")),
        ("drag(start_box='(5,900)', end_box='(5,100)')", AndroidAction("scroll", None, "down")),
        ("press_back()", BACK),
        ("open_app(app_name='Mail')", AndroidAction("open_app", None, "Mail")),
        ("finished(content='done')", AndroidAction("status", None, "complete")),
        ("I would wait (a little)", None),
        ("", None),
        (None, None),
        (7, None),
        ([], None),
        ({"action": 7}, None),
        ('{"action_type": ', None),
        ("[" * 100_000, None),
    ],
)  # fmt: skip
def test_dialects(said, action):
    assert read_action(said, Reading(), SHOWN) == action


def test_coordinates():
    said = {"action": "click", "coordinate": [500, 250]}
    points = {c: read_action(said, Reading(c), SHOWN).point for c in ("pixels", "0-1000")}
    assert points == {"pixels": (500, 250), "0-1000": (500, 500)}
    assert read_action({"action": "click", "coordinate": [0.5, 0.25]}, Reading("0-1"), SHOWN).point == (500, 500)
    resized = SHOWN._replace(picture=(500, 500))
    assert read_action(said, Reading(), resized).point == (1000, 1000)
    assert read_action(said, Reading("0-1000"), resized).point == (500, 500)
    assert read_action({"action": "scroll", "direction": "up"}, Reading("pixels", "finger"), SHOWN).text == "down"


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ([5, 6], (5, 6)),
        ([1, 2, 3, 4], (1, 2, 3, 4)),
        ("(5, 6)", (5, 6)),
        ("The button is at [1, 2, 3, 4].", (1, 2, 3, 4)),
        ("<point>5 6</point>", (5, 6)),
        ("Action: click(start_box='(5,6)')", (5, 6)),
        ("pyautogui.click(x=5, y=6)", (5, 6)),
        ('[{"bbox_2d": [1, 2, 3, 4], "label": "x"}]', (1, 2, 3, 4)),
        ({"action": "click", "coordinate": [5, 6]}, (5, 6)),
        ({"name": "mobile_use", "arguments": {"action": "click", "coordinate": [5, 6]}}, (5, 6)),
        ("nowhere", None),
        ([1, 2, 3], None),
        ([True, 1], None),
        (None, None),
        ({}, None),
    ],
)
def test_places(said, place):
    assert read_place(said, Reading(), SHOWN) == place


KEYS = "action action_type coordinate coordinate2 arguments x y index text direction bbox_2d button".split()
values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)


@given(values)
@settings(max_examples=100)
def test_nothing_that_is_said_makes_reading_raise(said):
    for reading in (Reading(), Reading("0-1000", "finger"), Reading("0-1")):
        read_action(said, reading, SHOWN)
        read_place(said, reading, SHOWN)
        read_action(json.dumps(said), reading, SHOWN)


@given(st.text("clik(typeconta'\"=)[]{}:0123456789,. \\n<>/_", max_size=60))
@settings(max_examples=100)
def test_no_text_makes_reading_raise(said):
    read_action(said, Reading(), SHOWN)
    read_place(said, Reading(), SHOWN)


# Files

STEP = {
    "id": "7/0", "screen": [1000, 2000], "gold": {"action_type": "click", "x": 500, "y": 1000},
    "boxes": [[400, 900, 600, 1100]], "elements": [{"bounds": [400, 900, 600, 1100], "text": "Log in"}],
    "prediction": {"action_type": "click", "x": 560, "y": 1110},
}  # fmt: skip
TARGET = {"screen": [1000, 2000], "box": [10, 20, 30, 40], "group": "mobile/text", "prediction": [20, 30]}


def written(folder, *rows):
    path = folder / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"screen": [1, 2]}, "a row has either 'gold'"),
        ({**STEP, "box": [1, 2, 3, 4]}, "a row has either 'gold'"),
        ({k: v for k, v in STEP.items() if k != "prediction"}, "no field 'prediction'"),
        ({**STEP, "element": []}, "unknown field 'element'. Did you mean 'elements'?"),
        ({**STEP, "screen": [1000]}, "field 'screen' must be an array of 2 numbers, got list"),
        ({**STEP, "screen": [0, 5]}, "must be [width, height], both above 0"),
        (
            {**STEP, "gold": {"action_type": "clicks"}},
            "no recorded action_type is called 'clicks'. Did you mean 'click'?",
        ),
        ({**STEP, "gold": {"action_type": "click", "x": 1}}, "x and y of 'gold' must hold numbers"),
        ({**STEP, "gold": {"action_type": "scroll", "direction": "away"}}, "must be up, down, left, right, got 'away'"),
        ({**STEP, "boxes": [[1, 2, 3]]}, "boxes[0] must be an array of 4 numbers"),
        (
            {**STEP, "elements": [{"text": "x"}]},
            "elements[0]: field 'bounds' must be an array of 4 numbers, got nothing",
        ),
        ({**TARGET, "box": [30, 40, 10, 20]}, "is no [left, top, right, bottom]; see --box-format"),
    ],
)
def test_a_row_that_is_wrong_is_one_line(tmp_path, row, problem):
    path = written(tmp_path, STEP, row)
    with pytest.raises(DataError) as caught:
        read_rows(path, "corners")
    assert problem in str(caught.value)
    assert str(caught.value).startswith(f"{path}:2: ")
    assert "\n" not in str(caught.value)


def test_targets_need_to_know_what_a_box_is(tmp_path):
    path = written(tmp_path, TARGET)
    with pytest.raises(DataError, match="say what the four numbers of 'box' are: --box-format corners"):
        read_rows(path)
    assert read_rows(path, "corners")[1][0].of.box == (10, 20, 30, 40)
    assert read_rows(path, "size")[1][0].of.box == (10, 20, 40, 60)
    with pytest.raises(DataError, match="the file has no rows"):
        read_rows(written(tmp_path))


def test_200_damaged_rows(tmp_path):
    path, outcomes = tmp_path / "p.jsonl", Counter()
    for seed in range(200):
        path.write_bytes(json_damage(STEP)(random.Random(seed)).replace(b"\n", b" ") + b"\n")
        try:
            steps_read, targets_read = read_rows(path, "corners")
            outcomes["read"] += len(steps_read) + len(targets_read) == 1
            judge_steps(steps_read, Reading())
        except DataError as error:
            outcomes["refused"] += str(error).startswith(f"{path}:1") and "\n" not in str(error)
    assert sum(outcomes.values()) == 200
    assert min(outcomes.values()) > 20


# The command


def run(monkeypatch, capsys, *words):
    monkeypatch.setattr(sys, "argv", ["score-android", *map(str, words)])
    runpy.run_module("evaluation.score_android", run_name="__main__", alter_sys=True)
    return capsys.readouterr().out


def test_the_command(tmp_path, monkeypatch, capsys):
    away = {**STEP, "id": "7/1", "prediction": "no idea"}
    app = {**STEP, "gold": {"action_type": "open_app", "app_name": "Mail"}, "prediction": "open_app(app_name='Mail')"}
    path, other = written(tmp_path, STEP, away, app, TARGET, {**TARGET, "prediction": [0, 0]}), tmp_path / "d.jsonl"
    out = run(monkeypatch, capsys, path, "--box-format", "corners", "--differences", other)
    table = {line.split()[0]: line.split()[1:5] for line in out.splitlines() if line.split()}
    # 1 of 2 clicks, and the app: 2 of 3, 1 of 2 without it
    assert table["qwen"] == ["66.7", "50.0", "50.0", "100.0"]
    assert table["element"] == ["33.3", "0.0", "0.0", "100.0"]
    assert table["agentcpm"] == ["50.0", "50.0", "50.0", "-"]
    assert table["point"][:3] == ["50.0", "50.0", "50.0"]
    assert f"1 of 3 predictions cannot be read, first {path}:2" in out
    (row,) = [json.loads(line) for line in other.read_text(encoding="utf-8").splitlines()]
    assert (row["where"], row["id"]) == (f"{path}:1", "7/0")
    assert row["wrong"] == ["element", "android-control"]
    assert row["said"] == {"kind": "click", "point": [560, 1110]}
    assert "conventions differ on 1 rows" in out


def test_the_command_prints_json(tmp_path, monkeypatch, capsys):
    path = written(tmp_path, STEP, STEP)
    figures = json.loads(run(monkeypatch, capsys, path, "--json"))
    assert figures["steps"]["conventions"]["aitw"]["all"] == {"right": 2, "n": 2, "share": 1.0}
    assert figures["differences"] == 2
    assert "targets" not in figures
    assert figures["hints"] == [f"1 steps have an id that one before them has, first {path}:2"]


def test_groups_weigh_the_same_in_one_of_the_means(tmp_path, monkeypatch, capsys):
    icon = {**TARGET, "group": "mobile/icon", "prediction": [0, 0]}
    path = written(tmp_path, TARGET, TARGET, TARGET, icon)
    figures = json.loads(run(monkeypatch, capsys, path, "--json", "--box-format", "corners"))
    found = figures["targets"]["conventions"]["point"]
    assert (found["by_target"]["share"], found["by_group"]) == (0.75, 0.5)


def test_predictions_are_not_written_over(tmp_path, monkeypatch, capsys):
    path = written(tmp_path, STEP)
    before = path.read_bytes()
    with pytest.raises(SystemExit):
        run(monkeypatch, capsys, path, "--differences", tmp_path / "sub" / ".." / path.name)
    assert "is the file of predictions; give another." in capsys.readouterr().err
    assert path.read_bytes() == before


def test_endless_texts_are_judged_at_once(tmp_path):
    gold = {"action_type": "input_text", "text": "hello"}
    said = {"action_type": "input_text", "text": "ab" * 500_000}
    steps, _ = read_rows(written(tmp_path, {**STEP, "gold": gold, "prediction": said}))
    began = time.perf_counter()
    assert judge_steps(steps, Reading()).verdicts["gui-odyssey"] == [False]
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize("words", [[], ["--without", "open"]])
def test_the_command_says_what_it_wants(words, monkeypatch, capsys, tmp_path):
    with pytest.raises(SystemExit):
        run(monkeypatch, capsys, *([written(tmp_path, STEP), *words] if words else []))
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def test_misreadings_are_pointed_out(tmp_path):
    rows = [{**STEP, "prediction": {"action": "click", "coordinate": [500, 500]}}] * 4  # thousandths
    scroll = {
        "screen": [1, 1],
        "gold": {"action_type": "scroll", "direction": "up"},
        "prediction": "scroll(direction='down')",
    }
    read, _ = read_rows(written(tmp_path, *rows, scroll))
    said = misreadings(judge_steps(read, Reading()), Reading())
    assert said == [
        "1 of 1 scrolls go the opposite way: is what they say the finger's? --scroll",
        "read as 0-1000, 100.0% of the clicks are near and not 0.0%: see --coordinates",
    ]
    meant = Reading("0-1000", "finger")
    assert misreadings(judge_steps(read, meant), meant) == []


# Recorded screens


def jittered(rows, spread, seed=0):
    """What was done, but a little off."""
    rng = random.Random(seed)
    for row in rows:
        said = dict(row["gold"])
        if "x" in said:
            said |= {"x": said["x"] + rng.gauss(0, spread) * row["screen"][0]}
            said |= {"y": said["y"] + rng.gauss(0, spread) * row["screen"][1]}
        yield {**row, "prediction": said}


def scored(tmp_path, rows):
    read, _ = read_rows(written(tmp_path, *rows))
    judged = judge_steps(read, Reading())
    found = step_figures(judged, ["open_app"])["conventions"]
    return {name: convention["all"]["share"] for name, convention in found.items()}, judged


def check_recorded(tmp_path, rows):
    """Perfect predictions are right under every convention; those that are a little off under some."""
    perfect, judged = scored(tmp_path, jittered(rows, 0))
    assert set(perfect.values()) == {1.0}
    assert differences(judged) == []
    off, judged = scored(tmp_path, jittered(rows, 0.05))
    assert off["element"] < off["qwen"] < off["aitw"] <= off["kind"] == 1
    assert off["element"] < off["gui-odyssey"] <= off["os-genesis"]
    assert len(differences(judged)) > len(rows) / 20


def test_recordings_of_the_phone(tmp_path):
    trajectories = export_oracle(UINav(), 40, np.random.default_rng(0))
    rows = [row for trajectory in trajectories for row in rows_of(trajectory)]
    assert {row["gold"]["action_type"] for row in rows} <= set(KINDS)
    check_recorded(tmp_path, rows)


@pytest.mark.long
@pytest.mark.skipif(not (REAL / "android_screens").is_dir(), reason="the real files are not on this machine")
def test_real_screens(tmp_path):
    content = read_ref_exp(REAL / "android_screens/uibert.ref_exp.dev.tfrecord.gz")
    rows = [row for trajectory in content.records for row in rows_of(trajectory)]
    assert len(rows) == 509
    check_recorded(tmp_path, rows[:100])


@pytest.mark.long
@pytest.mark.skipif(not (REAL / "android_control").is_dir(), reason="AndroidControl is not on this machine")
def test_real_episodes_of_android_control(tmp_path):
    path = sorted((REAL / "android_control").glob("android_control-*"))[0]
    rows = [row for trajectory in read_android_control(path).records for row in rows_of(trajectory)]
    check_recorded(tmp_path, rows)


def test_the_page_shows_what_the_commands_print(tmp_path, monkeypatch, capsys):
    root = Path(__file__).parents[1]
    monkeypatch.setattr(sys, "argv", ["android_predictions.py", "0.05"])
    runpy.run_path(str(root / "examples/android_predictions.py"), run_name="__main__")
    path = tmp_path / "predictions.jsonl"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    printed = run(monkeypatch, capsys, path, "--show", "0").rstrip()
    page = (root / "docs/score_android.md").read_text(encoding="utf-8")
    assert "".join(f"    {line}\n" if line else "\n" for line in printed.split("\n")) in page
