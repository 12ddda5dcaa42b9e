"""What a policy reads of a screen, in each way of telling it: numbers, words and marks are those of its elements."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.uinav.interface.device import Goal
from envs.uinav.interface.screen import Box, Element, Screen
from envs.uinav.masking import mask_goal
from envs.uinav.observations import PICTURED, TEXTS
from envs.uinav.observations.browser_gym import ROLES
from envs.uinav.recordings.export import export_oracle
from envs.uinav.recordings.files import write_trajectories
from envs.uinav.task import UINav
from perlhf.errors import UserError

ROOT = Path(__file__).parents[1]
WORDS = [text for text in TEXTS if text != "none"]
ROW = re.compile(r"UI element (\d+): \{(.*)\}")
BID = re.compile(r"\t*\[(\d+)\] (\w+) ('[^\n]*|\"[^\n]*)")


def read_android_world(prompt):
    """What an agent of AndroidWorld reads: the number of each element, its label, its text and what is ticked."""
    found = {}
    for number, inside in ROW.findall(prompt):
        row = json.loads("{" + inside.replace("True", "true").replace("False", "false") + "}")
        assert row["index"] == int(number)
        label = row.get("hint_text") or row.get("content_description") or row.get("text", "")
        found[int(number)] = (label, row.get("text", ""), row["is_checked"] or row["is_selected"])
    return found


def read_browser_gym(prompt):
    """What an agent of BrowserGym reads: the same."""
    found = {}
    for bid, role, rest in BID.findall(prompt):
        expression = re.match(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", rest)[0]
        value = re.search(r" value=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")", rest[len(expression) :])
        name = ast.literal_eval(expression)
        text = ast.literal_eval(value[1]) if value else name
        found[int(bid)] = (name, text, bool(re.search(r"(checked='true'|selected=True)", rest[len(expression) :])))
        assert role in ROLES.values()
    return found


READERS = {"androidworld": read_android_world, "browsergym": read_browser_gym}


def wanted(screen, text):
    """The same of the elements themselves."""
    return {
        number: (
            element.label,
            element.text if text == "androidworld" or element.editable else element.label,
            bool(element.checked),
        )
        for number, element in enumerate(screen.elements, 1)
    }


@pytest.mark.parametrize("text", READERS)
def test_an_agent_finds_what_the_oracle_points_at(text):
    task, rng, pointed = UINav(text=text), np.random.default_rng(0), 0
    for _ in range(25):
        state = task.start(rng, {})
        for _ in range(task.max_steps):
            screen = task.device.screen(state.state)
            assert (read := READERS[text](state.prompt)) == wanted(screen, text)
            action = task.device.oracle(state.state, state.goal)
            if action.element:
                assert read[action.element][0] == screen.elements[action.element - 1].label
                pointed += 1
            played = task.play(state, task.oracle(state))
            state = played.state
            if played.terminated:
                break
        assert task.device.success(state.state, state.goal, state.ending)
    assert pointed > 50


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("actions", ["elements", "coordinates", "qwen", "androidworld", "browsergym"])
def test_the_oracle_succeeds_in_each_text_and_dialect(text, actions):
    task, rng = UINav(text=text, actions=actions, image=text == "none"), np.random.default_rng(1)
    for _ in range(4):
        state, played = task.start(rng, {}), None
        for _ in range(task.max_steps):
            played = task.play(state, task.oracle(state))
            state = played.state
            if played.terminated:
                break
        assert task.judge(played.turn) == 1


labels = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=12)
kinds = st.sampled_from(["button", "icon", "item", "text", "toggle", "check", "tab", "option", "key", "app", "image"])


@given(st.lists(st.tuples(kinds, labels, st.booleans(), st.booleans()), max_size=5), labels, st.booleans())
@settings(max_examples=100)
def test_any_words_are_read_back(drawn, typed, apart):
    checkable = ("toggle", "check", "tab", "option")
    elements = [
        Element(kind, "" if kind in ("icon", "image") else said, said if kind in ("icon", "image") else "", "",
                Box(0, i, 9, i + 1), True, checked=ticked if kind in checkable else None, enabled=enabled)
        for i, (kind, said, ticked, enabled) in enumerate(drawn)
    ]  # fmt: skip
    elements.append(Element("field", typed, "Field", "", Box(0, 90, 9, 99), True, True))
    parts = (Element("list", "", "", "", Box(0, 0, 9, 99), children=tuple(elements)),) if apart else ()
    screen = Screen("Mail", "Inbox", parts, tuple(elements))
    for text, read in READERS.items():
        assert read(TEXTS[text](screen)) == wanted(screen, text)


def test_what_a_dialog_covers_is_not_told():
    button = Element("button", "OK", "", "", Box(0, 0, 9, 9), True)
    hidden = Element("item", "Behind", "", "", Box(0, 0, 9, 9), True)
    parts = tuple(
        Element(kind, "", "", "", Box(0, 0, 9, 9), children=(child,))
        for kind, child in (("list", hidden), ("dialog", button))
    )
    screen = Screen("Mail", "", parts, (button,), notice="Sent", below=True)
    assert TEXTS["browsergym"](screen) == (
        "RootWebArea 'Mail'\n\talert 'Sent'\n\tdialog ''\n\t\t[1] button 'OK', clickable\n\tStaticText 'more below'"
    )


def test_the_default_is_the_compact_text_as_the_device_writes_it():
    task, told = UINav(), UINav(text="compact", augment=0)
    state = task.start(np.random.default_rng(0), {})
    assert state == told.start(np.random.default_rng(0), {})
    assert task.device.describe(state.state) == TEXTS["compact"](task.device.screen(state.state))
    assert not task.by_screen
    assert task.examples == UINav.examples


def test_the_picture_alone():
    task = UINav(text="none", image=True, marks=True)
    state = task.start(np.random.default_rng(0), {})
    assert state.prompt == f"GOAL {state.goal.text}\n{PICTURED}\nACTION:"
    assert task.observe(state)["image"].shape == (512, 288, 3)


@pytest.mark.parametrize("text", WORDS)
def test_the_examples_are_told_alike(text):
    prompts = [prompt for prompt, _ in UINav(text=text).examples]
    assert len(prompts) == 3
    if text != "compact":
        assert [len(READERS[text](prompt)) for prompt in prompts] == [2, 2, 3]


@pytest.mark.parametrize("text", READERS)
def test_masked_goals_keep_the_numbers(text):
    elements = tuple(Element("button", f"Take {n}", "", "", Box(0, n, 9, n + 1), True) for n in (1, 2, 3))
    prompt = TEXTS[text](Screen("Shop", "", (), elements))
    masked = mask_goal(prompt, Goal("buy", "Buy 2", {"count": "2"}))
    assert READERS[text](masked)[2][0] == "Take <count>"
    assert set(READERS[text](masked)) == {1, 2, 3}


@pytest.mark.parametrize("text", READERS)
def test_augmented_screens_and_recordings_are_told_too(text, tmp_path):
    task = UINav(text=text, augment=1)
    state = task.start(np.random.default_rng(0), {})
    assert READERS[text](state.prompt)
    path = tmp_path / "oracle.jsonl"
    write_trajectories(path, export_oracle(UINav(), 12, np.random.default_rng(0)))
    for split in ("train", "validation", "test"):
        try:
            recorded = UINav(str(path), split=split, text=text)
        except UserError:
            continue
        state = recorded.start(np.random.default_rng(0), {})
        assert len(READERS[text](state.prompt)) == len(recorded.device.screen(state.state).elements)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"text": "android_world"}, "unknown text 'android_world' of a screen. Did you mean 'androidworld'?"),
        ({"text": "none"}, "text='none' leaves the picture alone: it needs image=True."),
        ({"text": 3}, "unknown text 3 of a screen."),
        ({"text": ["compact"]}, "unknown text ['compact'] of a screen."),
    ],
)
def test_what_cannot_be_told_is_one_line(options, problem):
    with pytest.raises(UserError) as caught:
        UINav(**options)
    assert problem in str(caught.value)


def test_the_page_shows_what_the_command_prints():
    command = [sys.executable, "-m", "envs.uinav.tell", "--episodes", "0"]
    printed = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    page = (ROOT / "docs/tasks/uinav_observations.md").read_text(encoding="utf-8")
    assert "".join(f"    {line}\n" if line else "\n" for line in printed.rstrip().split("\n")) in page
