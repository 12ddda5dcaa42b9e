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
from agents.pretrain.curriculum import HARDER, absent, exercise, facts, form, full_list, numbers, plain_list, repeated
from agents.pretrain.texts import UIDemonstrations
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


def test_exercises_come_first_alone_and_are_55_of_100(documents):
    assert share(documents[:440]) == 1  # 0.27 * 0.55 * 3000 = 445
    assert share(documents[450:1620]) == pytest.approx(0.9, abs=0.03)  # up to (0.55 - 0.1 - 0.015) / 0.8 * 3000 = 1632
    assert share(documents[1640:]) == pytest.approx(0.1, abs=0.03)
    assert share(documents) == pytest.approx(0.55, abs=0.03)


@pytest.mark.parametrize("wanted", [0.25, 0.9])
def test_any_share_of_exercises_can_be_had(wanted):
    found = list(islice(UIDemonstrations(exercises=wanted).documents(np.random.default_rng(0), 2000), 2000))
    assert share(found) == pytest.approx(wanted, abs=0.03)


def lists(documents):
    """The names of each list in the exercises."""
    shown = [prompt.split("\n")[2:-1] for prompt, _ in documents if is_exercise(prompt) and prompt.startswith("GOAL")]
    return [[line.split(" ", 2)[2] for line in lines if line[0].isdigit()] for lines in shown]


def test_lists_grow(documents):
    assert {len(names) for names in lists(documents[:440])} == {2, 3, 4}
    middle = [len(names) for names in lists(documents[990:1090])]  # half of the way from 445 to 1632: 4 + 8 / 2 lines
    assert max(middle) == 8
    late = [len(names) for names in lists(documents[1640:])]
    assert min(late) == 2
    assert max(late) == 12


def test_the_tokenizer_is_made_from_the_phone_too():
    assert share(list(UIDemonstrations().typical(iter(())))) == pytest.approx(0.55, abs=0.03)


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


def elements(prompt):
    """The goal, and kind and text of each line of the screen."""
    goal, _, *lines = prompt.removesuffix("\nACTION:").split("\n")
    return goal.removeprefix("GOAL "), [line.split(" ", 2)[1:] for line in lines if line != "more below"]


def is_in(name, goal):
    return f" {name} " in f" {goal} "


@settings(max_examples=300)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.sampled_from([plain_list, full_list]))
def test_a_list_is_answered_by_the_one_name_that_its_goal_has(seed, hardness, kind):
    rng = np.random.default_rng(seed)
    prompt, response = kind(WORDS, rng, 2 + int(10 * hardness))
    goal, lines = elements(prompt)
    action, names = parse_action(response), [text.split(",")[0] for _, text in lines]
    assert len(set(names)) == len(names) == 2 + int(10 * hardness)
    assert [is_in(name, goal) for name in names].index(True) + 1 == action.element
    assert sum(is_in(name, goal) for name in names) == 1
    assert f"{names[action.element - 1]} {action.text}".rstrip() in goal


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_a_number_is_found_among_numbers_like_it(seed, count):
    prompt, response = numbers(WORDS, np.random.default_rng(seed), count)
    goal, lines = elements(prompt)
    found = [part for _, text in lines for part in text.split(", ") if part[-1].isdigit()]
    assert len(set(found)) == count
    assert [is_in(number, goal) for number in found].index(True) + 1 == parse_action(response).element


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_a_fact_is_said_as_it_stands_beside_its_name(seed, count):
    prompt, response = facts(WORDS, np.random.default_rng(seed), count)
    goal, lines = elements(prompt)
    action = parse_action(response)
    assert action.kind == "done"
    right = [
        text for _, text in lines if text.endswith(f" {action.text}") and is_in(text[: -1 - len(action.text)], goal)
    ]
    assert len(right) == 1


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_a_form_gets_what_is_missing_or_wrong_and_is_sent_when_it_is_filled(seed, count):
    prompt, response = form(WORDS, np.random.default_rng(seed), count)
    goal, lines = elements(prompt)
    action = parse_action(response)
    held = [text.partition(": ")[::2] for kind, text in lines if kind == "field"]
    right = [bool(text) and f"{name} {text}" in goal for name, text in held]
    if action.kind == "click":
        assert all(right)
        assert lines[action.element - 1][0] == "icon"
        return
    name, text = held[action.element - 2]
    assert text != action.text
    assert is_in(f"{name} {action.text}", goal)
    earlier = goal[: goal.index(f"{name} {action.text}")]
    assert all(ok for ok, (other, _) in zip(right, held, strict=True) if is_in(other, earlier))


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_what_is_not_there_is_looked_for_below_or_said_to_be_missing(seed, count):
    prompt, response = absent(WORDS, np.random.default_rng(seed), count)
    goal, lines = elements(prompt)
    assert len(lines) == count
    assert not any(is_in(text, goal) for _, text in lines)
    if "\nmore below\n" in prompt:
        assert response == "scroll(down)"
    else:
        assert goal.endswith(parse_action(response).text.removeprefix("no "))


@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_words_are_said_again(seed, count):
    prompt, response = repeated(WORDS, np.random.default_rng(seed), count)
    assert prompt == f"REPEAT {response}\nACTION:"
    assert count + 2 <= len(response.split()) <= 2 * count + 1


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1))
def test_the_hardest_exercises_are_of_all_kinds_and_the_shares_are_whole(seed):
    assert sum(share for _, share in HARDER) == pytest.approx(1)
    prompt, response = exercise(WORDS, np.random.default_rng(seed), 1.0)
    assert prompt.endswith("\nACTION:")
    assert response


@given(st.integers(0, 2**32 - 1))
def test_the_easiest_exercises_have_a_few_names_of_which_the_goal_is_one(seed):
    prompt, response = exercise(WORDS, np.random.default_rng(seed), 0.0)
    goal, lines = elements(prompt)
    assert lines[int(response[6]) - 1] == ["item", goal]
    assert 2 <= len(lines) <= 4
    assert all(word in WORDS[:60] for word in goal.split())


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
