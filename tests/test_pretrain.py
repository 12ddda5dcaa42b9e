"""What the shipped text backbones read: documents of the phone, exercises, and the weights of their tokens."""

import json
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from agents.pretrain.__main__ import main, thinned
from agents.pretrain.curriculum import exercise
from agents.pretrain.texts import CORPORA, UIDemonstrations
from backbones.model.loading import SHIPPED
from envs.uinav.feedback.demonstrations import visited
from envs.uinav.feedback.weights import demonstrated_weights
from envs.uinav.interface.actions import parse_action
from envs.uinav.phone.app import FEW
from envs.uinav.task import UINav

COUNT = 3000


@pytest.fixture(scope="module")
def documents():
    return list(islice(UIDemonstrations().documents(np.random.default_rng(0), COUNT), COUNT))


def is_exercise(prompt):
    return prompt.startswith("REPEAT") or "\nSCREEN\n" in prompt


def share(documents):
    return np.mean([is_exercise(prompt) for prompt, _ in documents])


def test_exercises_come_early_and_then_no_more(documents):
    assert share(documents[:150]) == 1
    assert share(documents[160:1250]) == pytest.approx(0.85, abs=0.04)
    assert share(documents[1270:1550]) == pytest.approx(0.3, abs=0.09)
    assert share(documents[1570:2090]) == pytest.approx(0.1, abs=0.04)
    assert share(documents[2110:]) == 0


def test_twice_the_documents_and_half_of_the_stretch_have_the_same_exercises(documents):
    long = list(islice(UIDemonstrations(until=0.35).documents(np.random.default_rng(0), 2 * COUNT), COUNT))
    assert long == documents


def lists(documents):
    """The names of each list in the exercises."""
    shown = [prompt.split("\n")[2:-1] for prompt, _ in documents if is_exercise(prompt) and prompt.startswith("GOAL")]
    return [[line.split(" ", 2)[2] for line in lines] for lines in shown]


def test_lists_grow(documents):
    assert {len(names) for names in lists(documents[:150])} == {2}
    middle = [len(names) for names in lists(documents[700:790])]  # up to .633 of the way from 5% to 38%: 2 + 6 lines
    assert max(middle) == 8
    late = [len(names) for names in lists(documents[1150:])]
    assert min(late) == 2
    assert max(late) == 12


def test_the_tokenizer_is_made_from_the_phone_too():
    first = list(islice(UIDemonstrations().typical(iter(())), 800))
    assert 0.8 < share(first) < 0.99


def test_only_what_people_show_is_demonstrated_and_the_seldom_shown_seldom(documents):
    known = UINav().known
    shown = {name for name, each in known.items() if each.template.demonstrated and not each.template.held_out}
    task = UIDemonstrations().shown()
    assert set(task.device.templates) == shown
    few = UIDemonstrations(templates=3).shown()
    assert len(few.device.templates) == 3
    assert set(few.device.templates) < shown
    episodes = visited(task, np.random.default_rng(0), templates=demonstrated_weights(task))
    goals = {(episode.seed, episode.goal.template) for episode in islice(episodes, 4000)}  # of about 700 episodes
    weights = [known[name].template.demonstrated for _, name in goals]
    rare = sum(known[name].template.demonstrated == FEW for name in shown) * FEW
    often = sum(known[name].template.demonstrated == 1 for name in shown)
    assert np.mean(np.array(weights) == FEW) == pytest.approx(rare / (rare + often), abs=0.04)


WORDS = [f"{a}{b}" for a in "klmnprst" for b in ("abe", "ilo", "umi", "eri", "ona", "ufe", "asi", "oko", "iwe", "ugu")]


@settings(max_examples=300)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_an_exercise_is_answered_by_what_its_prompt_says(seed, hardness):
    prompt, response = exercise(WORDS, np.random.default_rng(seed), hardness)
    lines = prompt.split("\n")
    assert lines[-1] == "ACTION:"
    if lines[0].startswith("REPEAT"):
        assert lines[0] == f"REPEAT {response}"
        return
    action, goal = parse_action(response), f"{lines[0].removeprefix('GOAL ')} "
    names = [line.split(" ", 2)[2].split(",")[0] for line in lines[2:-1]]
    assert 2 <= len(names) <= 2 + int(10 * hardness)
    assert len(set(names)) == len(names)
    assert [f" {name} " in f" {goal}" for name in names].index(True) + 1 == action.element
    assert sum(f" {name} " in f" {goal}" for name in names) == 1
    assert f"{names[action.element - 1]} {action.text}".rstrip() in goal


@given(st.integers(0, 2**32 - 1))
def test_the_easiest_exercise_is_one_of_two_names_and_nothing_else(seed):
    prompt, response = exercise(WORDS, np.random.default_rng(seed), 0.0)
    goal, _, *elements, _ = prompt.split("\n")
    assert f"{response[6]} item {goal.removeprefix('GOAL ')}" == elements[int(response[6]) - 1]
    assert len(elements) == 2


def read_by(name, count):
    return list(islice(CORPORA[name].documents(np.random.default_rng(0), count), count))


def test_names_are_looked_up_before_anything_else_and_menus_stay():
    ends = np.array([prompt.split("\n")[-1] for prompt, _ in read_by("tiny-taskmaster-liked", 2000)])
    assert set(ends[:300]) == {"look up:"}
    assert np.mean(ends[300:1000] == "right:") == pytest.approx(0.4, abs=0.06)
    assert np.mean(ends[1000:] == "right:") == pytest.approx(0.35, abs=0.05)
    assert np.mean(ends[1000:] == "agent:") == pytest.approx(0.6, abs=0.05)


def test_exercises_stay_among_the_demonstrations_of_orders():
    ends = np.array([prompt.split("\n")[-1] for prompt, _ in read_by("tiny-taskmaster", 800)])
    assert set(ends) == {"agent:", "right:"}
    assert np.mean(ends[:400] == "agent:") == pytest.approx(0.8, abs=0.08)
    assert np.mean(ends[400:] == "agent:") == pytest.approx(0.8, abs=0.08)


def test_a_backbone_goes_on_from_another(tmp_path, monkeypatch):
    words = "tiny-shp --steps 1 --batch-size 2 --learning-rate 1e-6 --overwrite --output-dir".split()
    monkeypatch.setattr("sys.argv", ["pretrain", *words, str(tmp_path)])
    main()
    start = load_file(SHIPPED["tiny-shp-liked"] / "model.safetensors")
    after = load_file(tmp_path / "model.safetensors")
    assert start.keys() == after.keys()
    assert all(torch.allclose(start[name], after[name], atol=1e-4) for name in start)
    assert any(not torch.equal(start[name], after[name]) for name in start)


def test_what_a_share_of_the_prompt_weighs_is_what_the_whole_did():
    weights = torch.tensor([[0.1] * 5000 + [1.0, 1.0, 0.0]])
    thin = thinned(weights, 0.25, np.random.default_rng(0))
    assert thin[0, -3:].tolist() == [1.0, 1.0, 0.0]
    kept = thin[0, :5000]
    assert kept.unique().tolist() == pytest.approx([0.0, 0.4])
    assert kept.sum().item() == pytest.approx(500, rel=0.1)


def test_the_command_makes_a_backbone_of_the_phone(tmp_path, monkeypatch):
    words = "--backbone tiny-uinav --steps 2 --batch-size 4 --hidden-size 32 --layers 2 --output-dir".split()
    monkeypatch.setattr("sys.argv", ["pretrain", *words, str(tmp_path / "ui")])
    main()
    record = json.loads((tmp_path / "ui" / "pretraining.json").read_text())
    assert set(record["gold"]["UINav"]) == {"sampled", "greedy"}


def test_the_shipped_backbone_of_the_phone_says_how_good_it_is():
    record = json.loads((SHIPPED["tiny-uinav"] / "pretraining.json").read_text())
    assert record["synthetic_data_only"] is True
    golds = record["gold"]["UINav"]
    assert 0.5 < golds["sampled"] < golds["greedy"] < 1
