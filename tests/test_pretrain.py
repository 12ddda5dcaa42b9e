"""What the shipped text backbones read: documents of the phone, exercises, and the weights of their tokens."""

import json
from itertools import islice

import numpy as np
import pytest
import torch

from agents.corpora import UIDemonstrations
from agents.pretrain import main, thinned
from backbones.loading import SHIPPED
from envs.uinav.actions import parse_action

COUNT = 3000


@pytest.fixture(scope="module")
def documents():
    return list(islice(UIDemonstrations().documents(np.random.default_rng(0), COUNT), COUNT))


def is_exercise(prompt):
    return prompt.startswith("REPEAT") or "\nSCREEN\n" in prompt


def share(documents):
    return np.mean([is_exercise(prompt) for prompt, _ in documents])


def test_exercises_come_early_and_then_no_more(documents):
    assert share(documents[:200]) == pytest.approx(0.5, abs=0.1)
    assert share(documents[250:590]) == pytest.approx(0.25, abs=0.08)
    assert share(documents[650:1750]) == pytest.approx(0.1, abs=0.04)
    assert share(documents[1800:]) == 0


def test_an_exercise_is_answered_by_what_its_prompt_says(documents):
    exercises = [document for document in documents if is_exercise(document[0])]
    for prompt, response in exercises:
        lines = prompt.split("\n")
        if lines[0].startswith("REPEAT"):
            assert lines[0] == f"REPEAT {response}"
            continue
        action = parse_action(response)
        label = lines[1 + action.element].split(" ", 2)[2]
        assert f"{label} {action.text}".rstrip() == lines[0].removeprefix("GOAL ")
    kinds = {response.split("(")[0] for prompt, response in exercises if prompt.startswith("GOAL")}
    assert kinds == {"click", "type"}


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
