"""Steps of UI episodes as labelled responses: mistakes, demonstrations, endings, and what they are labelled by."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.setup import Setup
from envs.corpora.records import LabelledRecord
from envs.hh.task import HH
from envs.reward_spec import resolve_reward
from envs.turn import Turn
from envs.uinav.feedback.demonstrations import demonstrations, is_right, reachable, visited
from envs.uinav.feedback.mistakes import altered, another_text, elsewhere, mistake, skipping, too_soon
from envs.uinav.feedback.progress import LONGEST, ahead, steps_left
from envs.uinav.feedback.random_policies import random_action
from envs.uinav.feedback.steps import Endings, UISteps
from envs.uinav.interface.actions import Action, parse_action
from envs.uinav.recordings.export import export_oracle
from envs.uinav.recordings.files import write_trajectories
from envs.uinav.task import UINav
from perlhf.errors import RewardError
from rewards.functions import step_match, success


@pytest.fixture(scope="module")
def states():
    return list(islice(visited(UINav(), np.random.default_rng(3)), 300))


@pytest.fixture(scope="module")
def held_out():
    return UISteps(UINav(split="test"), 120)


# Mistakes


@settings(max_examples=200)
@given(number=st.integers(0, 299), seed=st.integers(0, 10**6))
def test_mistakes_are_other_actions_that_can_be_said(states, number, seed):
    task, state, rng = UINav(), states[number], np.random.default_rng(seed)
    screen, right = task.device.screen(state.state), task.device.oracle(state.state, state.goal)
    moved = elsewhere(right, screen, rng)
    if moved is not None:
        assert moved.element != right.element
        assert screen.elements[moved.element - 1].enabled
    for wrong in (
        altered(right, state.goal, task.device.titles, rng),
        too_soon(right, state.goal, rng),
        mistake(right, screen, state.goal, task.device.titles, rng),
    ):
        assert wrong != right
        assert parse_action(str(wrong)) == wrong
    assert too_soon(right, state.goal, rng).kind in ("done", "infeasible")


@given(number=st.integers(0, 299))
def test_a_skipped_step_is_one_of_those_to_come(states, number):
    task, state = UINav(), states[number]
    screen, path = task.device.screen(state.state), list(ahead(task.device, state))
    assert path[0] == (screen, task.device.oracle(state.state, state.goal))
    skip = skipping(path)
    if skip is not None:
        assert screen.elements[skip.element - 1].enabled
        assert (skip.kind, skip.text) in {(action.kind, action.text) for _, action in path[1:]}


def test_a_form_may_be_saved_half_filled_and_that_is_wrong():
    task = UINav(templates="add_contact")
    state, wrong = task.start(np.random.default_rng(2), {}), 0
    while not (right := task.oracle(state)).startswith("done"):
        skip = skipping(ahead(task.device, state))
        if right.startswith("type") and skip is not None:
            shown = task.device.screen(state.state).elements[skip.element - 1]
            assert "Save" in (shown.text, shown.description)
            assert not is_right(task, state, str(skip))
            wrong += 1
        state, _ = task.advance(state, right)
    assert wrong >= 1
    assert skipping(ahead(task.device, state)) is None  # after the last step none is to come


@given(text=st.text(max_size=30), seed=st.integers(0, 10**6))
def test_another_text_is_another(states, text, seed):
    assert another_text(text, states[0].goal, np.random.default_rng(seed)) != text


def test_where_only_one_element_takes_an_action_none_is_elsewhere():
    task = UINav(templates="send_email")
    state = task.start(np.random.default_rng(0), {})
    screen = task.device.screen(state.state)
    alone = screen._replace(elements=screen.elements[:1])
    assert elsewhere(Action("click", 1), alone, np.random.default_rng(0)) is None


# What is right


def test_the_oracle_is_right_wherever_the_episodes_stray(states):
    task = UINav()
    assert sum("ERROR" in state.prompt for state in states) > 3  # they do stray
    assert all(reachable(task, state) and is_right(task, state, task.oracle(state)) for state in states)


def test_right_is_what_brings_the_goal_nearer():
    task = UINav(templates="send_email")
    state = task.start(np.random.default_rng(1), {})
    assert is_right(task, state, "open_app(Mail)")
    wrong = ("open_app(Maps)", "home()", "wait()", "done()", "infeasible(no mail)", "click(0)", "no action", "")
    assert not any(is_right(task, state, response) for response in wrong)
    while not task.oracle(state).startswith("type"):
        state, _ = task.advance(state, task.oracle(state))
    fields = [n for n, e in enumerate(task.device.screen(state.state).elements, 1) if e.editable]
    filled = [f"type({n}, {value})" for n in fields for value in state.goal.values.values()]
    assert sum(is_right(task, state, response) for response in filled) == 3  # address, subject, body: in any order


def test_a_masked_goal_is_answered_with_names():
    task = UINav(templates="send_email", mask_goal=True)
    documents = list(islice(demonstrations(task, np.random.default_rng(0), strays=0), 40))
    typed = [response for _, response in documents if response.startswith("type")]
    assert typed
    assert all("<" in response for response in typed)


def test_some_demonstrations_are_mistakes_if_asked_for():
    task = UINav()
    clean = list(islice(demonstrations(task, np.random.default_rng(0), mistakes=0.0), 200))
    always = list(islice(demonstrations(task, np.random.default_rng(0), mistakes=1.0), 200))
    assert [p for p, _ in clean][:1] == [p for p, _ in always][:1]
    assert all(response for _, response in always)


# Records


def test_one_is_right_to_two_that_are_not(held_out):
    labels = [record.label for record in held_out.records]
    assert len(held_out.states) == 120
    assert len(labels) == 3 * 120
    assert 1 / 3 <= np.mean(labels) < 0.42  # now and then what was meant to be wrong is another way to the goal
    for record in held_out.records:
        assert isinstance(record, LabelledRecord)
        assert held_out.judge(Turn(record.prompt, record.response, record.meta)) == record.label


def test_training_has_endings_that_come_too_soon():
    records = UISteps(UINav(), 60).records
    assert 60 * 3 < len(records) < 60 * 4
    assert 0.25 < np.mean([record.label for record in records]) < 0.36


def test_training_has_steps_that_were_left_out():
    steps = UISteps(UINav(templates="add_contact"), 60)
    said = {(record.meta["state"], record.response) for record in steps.records}
    skips = [(n, skipping(ahead(steps.task.device, state))) for n, state in enumerate(steps.states)]
    possible = [(n, str(skip)) for n, skip in skips if skip is not None]
    assert len(possible) >= 10
    assert set(possible) <= said
    held_out = UISteps(UINav(templates="add_contact", split="test"), 60)
    assert len(held_out.records) == 3 * 60


def test_records_are_the_same_every_time(held_out):
    assert UISteps(UINav(split="test"), 120).records == held_out.records
    assert UISteps(UINav(split="validation"), 30).records[0].prompt != held_out.records[0].prompt


def test_groups_say_whether_a_template_was_ever_trained_on(held_out):
    groups = {group for record in held_out.records for group in record.meta["groups"]}
    assert {"seen templates", "unseen templates"} < groups
    trained = {group for record in UISteps(UINav(), 60).records for group in record.meta["groups"]}
    assert "unseen templates" not in trained


def test_commands_get_the_steps_of_a_ui_task(tmp_path):
    for split in ("train", "test"):
        write_trajectories(tmp_path / f"{split}.jsonl", export_oracle(UINav(), 12, np.random.default_rng(0)))
    (task,) = Setup.of("UINav-v0", data=str(tmp_path)).feedback("test")
    assert isinstance(task, UISteps)
    assert len(task.states) == sum(len(t.steps) for t in task.task.recordings.trajectories)
    assert sum(record.label for record in task.records) >= len(
        task.states
    )  # each recorded step, by AndroidControl's rule
    assert task.can_rate
    assert task.rate(0, task.oracle(0), np.random.default_rng(0)) == 1.0


# The referee's


def test_endings_are_right_where_the_goal_is_reached():
    task = UINav(split="test")
    endings = Endings(task, 200)
    kinds = {parse_action(record.response).kind for record in endings.records}
    assert kinds == {"done", "infeasible"}
    labels = [record.label for record in endings.records]
    assert 0.2 < np.mean(labels) < 0.5
    for record in endings.records:
        played = task.play(endings.states[record.meta["state"]], record.response)
        assert played.turn.reference["success"] == bool(record.label)


# Reward functions


def test_success_and_step_match_are_what_the_env_says():
    turns = [Turn("p", "r", {"success": done, "matched": not done}) for done in (True, False)]
    assert success(turns) == [1.0, 0.0]
    assert step_match(turns) == [0.0, 1.0]
    with pytest.raises(
        RewardError, match="this reward is for recordings of UI tasks: the turn's reference has no 'matched'"
    ):
        step_match([Turn("p", "r", {"success": True})])
    with pytest.raises(RewardError, match="this reward is for a UI task"):
        success([Turn("p", "r")])


def played(task, seed, responses):
    """The turns of an episode in which as many steps are said: the oracle's where true, else anything legal."""
    rng = np.random.default_rng(seed)
    state, turns = task.start(rng, {}), []
    for right in responses:
        result = task.play(state, task.oracle(state) if right else task.plausible_action(state, rng))
        turns.append(result.turn)
        state = result.state
        if result.terminated or result.truncated:
            break
    return turns


def test_progress_is_a_twelfth_for_each_step_of_the_oracles_way():
    turns = played(UINav(templates=["create_note"]), 0, [True] * 20)
    reward = resolve_reward({"reward": "rewards.functions:success_and_progress", "weight": 0.6}, UINav())
    assert turns[-1].reference["success"]
    assert reward(turns) == pytest.approx([0.05] * (len(turns) - 1) + [1.05])


def test_a_way_there_and_back_is_worth_nothing():
    task = UINav(templates=["create_note"])
    state, turns = task.start(np.random.default_rng(0), {}), []
    for _ in range(3):
        for response in (task.oracle(state), "back()"):
            result = task.play(state, response)
            turns.append(result.turn)
            state = result.state
    scores = resolve_reward("rewards.functions:success_and_progress", task)(turns)
    assert scores == pytest.approx([0.5 / 12, -0.5 / 12] * 3)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.lists(st.booleans(), min_size=1, max_size=14))
def test_progress_of_an_episode_is_how_much_nearer_it_ends_than_it_began(seed, responses):
    task = UINav()
    turns = played(task, seed, responses)
    total = sum(resolve_reward("rewards.functions:success_and_progress", task)(turns))
    first, last = turns[0].reference["before"], turns[-1].reference
    end = last["before"] if last["after"].ending is not None else last["after"]
    left = 0 if last["success"] else steps_left(task.device, end)
    assert total == pytest.approx(float(last["success"]) + 0.5 * (steps_left(task.device, first) - left) / LONGEST)


def test_progress_is_of_ui_tasks():
    with pytest.raises(RewardError, match="success_and_progress: HH does not know how near a goal is"):
        resolve_reward("rewards.functions:success_and_progress", HH())([Turn("", "", {"success": True})])


def test_random_policies_and_mistakes_open_only_what_is_on_the_phone():
    task, rng = UINav(templates="send_email", apps="mail+contacts"), np.random.default_rng(0)
    episode = task.start(rng, {})
    screen = task.device.screen(episode.state)
    opened = {random_action(screen, episode.goal, task.device.titles, rng) for _ in range(1000)}
    assert {action.text for action in opened if action.kind == "open_app"} == {"Mail", "Contacts"}
    wrong = {altered(Action("open_app", 0, "Mail"), episode.goal, task.device.titles, rng) for _ in range(20)}
    assert wrong == {Action("open_app", 0, "Contacts")}


def test_where_no_app_can_be_opened_none_is():
    task, rng = UINav(), np.random.default_rng(0)
    episode = task.start(rng, {})
    screen = task.device.screen(episode.state)
    assert "open_app" not in {random_action(screen, episode.goal, (), rng).kind for _ in range(1000)}
    assert altered(Action("open_app", 0, "Mail"), episode.goal, (), rng).kind in ("back", "home", "wait", "done")
