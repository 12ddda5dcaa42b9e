"""Steps of a policy's own episodes: where they are, what they are labelled by, and that they repeat."""

from types import SimpleNamespace

import numpy as np
import pytest

import rewards.policy_steps as module
from backbones.backbone import Backbone
from envs.corpora.records import image_of
from envs.uinav.feedback.steps import UISteps
from envs.uinav.recordings.export import export_oracle
from envs.uinav.recordings.files import write_trajectories
from envs.uinav.task import UINav
from rewards.policy_steps import policy_steps


def steps_of(monkeypatch, task, say, count=80, seed=0, corrected=True):
    """What `policy_steps` makes of a policy that says `say(state)`."""
    shown = []

    def encode_prompt(prompt, image):
        shown.append(prompt)
        return [len(shown) - 1]

    steps = UISteps(task, 1)
    states = {}
    started, played = task.start, task.play

    def remember(state):
        states[state.prompt] = state
        return state

    def play(state, text):
        result = played(state, text)
        remember(result.state)
        return result

    monkeypatch.setattr(task, "start", lambda *a: remember(started(*a)))
    monkeypatch.setattr(task, "play", play)
    monkeypatch.setattr(module, "generate_together", lambda role, prompts, *how: [shown[n] for (n,) in prompts])
    role = SimpleNamespace(
        backbone=SimpleNamespace(
            device="cpu", encode_prompt=encode_prompt, decode=lambda prompt: say(task, states[prompt])
        )
    )
    return policy_steps(steps, role, count, np.random.default_rng(seed), corrected=corrected)


def oracle(task, state):
    return task.oracle(state)


def test_the_oracle_walks_to_the_ends_and_is_right_all_the_way(monkeypatch):
    records = steps_of(monkeypatch, UINav(templates="send_email"), oracle, 64 * 12)
    assert [record.label for record in records] == [1.0] * 64 * 12
    assert sum(record.response.startswith("done") for record in records) >= 64
    assert sum("DID" not in record.prompt for record in records) > 64  # a new episode after each end
    groups = {group for record in records for group in record.meta["groups"]}
    assert groups == {"send_email", "seen templates", "demonstrated"}


def test_a_wrong_end_has_the_right_step_beside_it_and_begins_anew(monkeypatch):
    task = UINav(templates="send_email+add_event")
    records = steps_of(monkeypatch, task, lambda task, state: "infeasible(no)", 40)
    assert [record.label for record in records] == [0.0, 1.0] * 20
    assert {record.response for record in records[0::2]} == {"infeasible(no)"}
    assert all(record.response.startswith(("open_app", "click", "home")) for record in records[1::2])
    assert [record.prompt for record in records[0::2]] == [record.prompt for record in records[1::2]]
    assert not any("DID" in record.prompt for record in records)


def test_uncorrected_they_are_what_was_said_alone(monkeypatch):
    records = steps_of(monkeypatch, UINav(templates="send_email"), lambda task, state: "wait()", 100, corrected=False)
    assert {(record.response, record.label) for record in records} == {("wait()", 0.0)}


def test_pictures_go_along_as_in_the_steps_of_the_task(monkeypatch):
    task = UINav(templates="send_email", image=True)
    for record in (*steps_of(monkeypatch, task, oracle, 3), *UISteps(UINav(image=True), 2).records):
        assert image_of(record).shape == (512, 288, 3)
    assert image_of(steps_of(monkeypatch, UINav(templates="send_email"), oracle, 1)[0]) is None


def test_what_can_be_mended_is_gone_on_from(monkeypatch):
    """`wait()` leads nowhere and harms nothing, so the episode goes on until it is too long."""
    records = steps_of(monkeypatch, UINav(templates="send_email"), lambda task, state: "wait()", 2 * 64 * 4)
    assert {record.label for record in records[0::2]} == {0.0}
    assert max(record.prompt.count("wait") for record in records) == 3


def test_off_the_path_of_a_recording_the_episode_is_over(monkeypatch, tmp_path):
    write_trajectories(tmp_path / "train.jsonl", export_oracle(UINav(), 6, np.random.default_rng(0)))
    task = UINav(data=str(tmp_path))
    records = steps_of(monkeypatch, task, lambda task, state: "wait()", 30)
    assert [record.label for record in records] == [0.0, 1.0] * 15
    assert not any("DID" in record.prompt for record in records)


def test_a_real_policy_is_sampled_the_same_every_time():
    task, role = UISteps(UINav(templates="star_email+toggle_setting"), 1), Backbone.load("tiny-uinav").reference
    first, again = (policy_steps(task, role, 70, np.random.default_rng(3), max_new_tokens=24) for _ in range(2))
    assert first == again
    assert len(first) == 70
    assert 0.5 < np.mean([record.label for record in first]) < 1.0
    other = policy_steps(task, role, 70, np.random.default_rng(3), max_new_tokens=24, seed=1)
    assert [r.response for r in other] != [r.response for r in first]


@pytest.mark.parametrize("count", [0, 1])
def test_few_are_asked_for(monkeypatch, count):
    assert len(steps_of(monkeypatch, UINav(templates="send_email"), oracle, count)) == count
