"""Files of trajectories: the format, what is joined and skipped, round trips, damage, and what the phone exports."""

import copy
import json
from functools import partial
from random import Random

import numpy as np
import pytest
from damage import line_damage, outcomes
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.corpora.jsonl import read_jsonl
from envs.corpora.splits import hashed_split
from envs.uinav.interface.actions import DIRECTIONS, parse_action
from envs.uinav.interface.device import Ending
from envs.uinav.interface.screen import ANDROID_CLASSES, Box, Element
from envs.uinav.recordings.device import RecordedDevice, playable
from envs.uinav.recordings.export import export_oracle
from envs.uinav.recordings.files import parse_trajectory, read_trajectories, trajectory_row, write_trajectories
from envs.uinav.recordings.trajectory import ENDINGS, Move, Shot, Step, Trajectory, kind_of, meant, merged, point_on
from envs.uinav.task import UINav
from perlhf.errors import DataError, UserError


def node(name, bounds, text="", **other):
    """A node with all the fields of the format."""
    plain = {"content_description": "", "resource_id": "", "scrollable": False, "focused": False, "checked": None}
    marks = {"clickable": True, "editable": name == "EditText", "enabled": True, "long_clickable": False}
    return {"class": f"android.widget.{name}", "text": text, "bounds": bounds, **plain, **marks, **other}


NAME = node("EditText", [40, 200, 1040, 330], content_description="Name")
GO = node("Button", [40, 800, 1040, 930], "Log in")
LOGIN = {
    "episode_id": 7,
    "goal": "Log in as bob",
    "screenshots": [],
    "screenshot_widths": [1080, 1080, 1080, 1080],
    "screenshot_heights": [2400, 2400, 2400, 2400],
    "accessibility_trees": [[NAME, GO], [{**NAME, "focused": True}, GO], [{**NAME, "text": "bob"}, GO], [GO]],
    "actions": [
        {"action_type": "click", "x": 540, "y": 265},
        {"action_type": "input_text", "text": "bob"},
        {"action_type": "click", "x": 41, "y": 801},
    ],
    "step_instructions": ["Tap the name", "Type bob", "Press Log in"],
}
QUESTION = {
    "episode_id": "q1",
    "goal": "What does the button say?",
    "screenshots": ["q/1.png"],
    "screenshot_widths": [1080],
    "screenshot_heights": [2400],
    "accessibility_trees": [[GO]],
    "actions": [{"action_type": "answer", "text": "Log in", "accepted": ["log in"]}],
    "step_instructions": [],
    "source": "questions",
    "group": "screen 3",
}


def changed(row, **fields):
    return {**copy.deepcopy(row), **fields}


def acted(*actions, row=LOGIN):
    """The row with these actions, each at the first screen."""
    count = len(actions)
    return changed(
        row,
        actions=list(actions),
        step_instructions=[],
        screenshot_widths=[1080] * count,
        screenshot_heights=[2400] * count,
        accessibility_trees=[[NAME, GO]] * count,
    )


# The format


def test_a_click_and_what_is_typed_after_it_are_one_step():
    trajectory = parse_trajectory(LOGIN, "f:1")
    assert trajectory.goal == "Log in as bob"
    assert (trajectory.episode_id, trajectory.group, trajectory.source, trajectory.success) == (7, "", "", True)
    first, second = trajectory.steps
    assert first.move == Move("type", (540, 265), "bob")
    assert not first.shot.elements[0].focused  # the screen of the click
    assert first.instruction == "Tap the name; Type bob"
    assert second.move == Move("click", (41, 801))
    assert second.shot.elements[0] == Element(
        "field", "bob", "Name", "", Box(40, 200, 1040, 330), clickable=True, editable=True
    )
    assert [element.text for element in trajectory.last.elements] == ["Log in"]


def test_every_action_is_read():
    actions = [
        {"action_type": "long_press", "x": 540, "y": 265},
        {"action_type": "type", "x": 540, "y": 265, "text": "a"},
        {"action_type": "input_text", "x": 540, "y": 265, "text": "b"},
        {"action_type": "scroll", "direction": "up"},
        {"action_type": "open_app", "app_name": "Mail"},
        {"action_type": "navigate_home"},
        {"action_type": "navigate_back"},
        {"action_type": "wait"},
        {"action_type": "status", "goal_status": "infeasible", "text": "no"},
    ]
    at = (540, 265)
    assert [step.move for step in parse_trajectory(acted(*actions), "f:1").steps] == [
        Move("long_press", at),
        Move("type", at, "a"),
        Move("type", at, "b"),
        Move("scroll", None, "up"),
        Move("open_app", None, "Mail"),
        Move("home"),
        Move("back"),
        Move("wait"),
        Move("infeasible", None, "no"),
    ]
    for status in ("complete", "successful"):
        only = acted({"action_type": "status", "goal_status": status})
        assert parse_trajectory(only, "f:1").steps[0].move == Move("done")
    assert parse_trajectory(QUESTION, "f:1").steps[0].move == Move("done", None, "Log in", ("log in",))


def test_text_typed_into_a_page_that_a_click_opened_goes_into_its_field():
    row = acted({"action_type": "click", "x": 540, "y": 865}, {"action_type": "input_text", "text": "x"})
    assert [step.move for step in parse_trajectory(row, "f:1").steps] == [
        Move("click", (540, 865)),
        Move("type", (540, 265), "x"),
    ]
    other = {**NAME, "bounds": [0, 0, 10, 10]}
    row["accessibility_trees"][1] = [other, {**NAME, "focused": True}, GO]
    assert parse_trajectory(row, "f:1").steps[1].move.point == (540, 265)
    row["accessibility_trees"][1] = [GO]
    skipped = parse_trajectory(row, "f:1")
    assert (skipped.where, skipped.reason) == ("f:1", "type at step 2 hits no element")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"goal": " "}, "the goal has no words"),
        ({"actions": [{"action_type": "wait"}] * 2 + [{"action_type": "click", "x": 0, "y": 0}]}, "click at step 3"),
    ],
)
def test_what_cannot_be_played_is_skipped(tmp_path, fields, reason):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(LOGIN) + "\n" + json.dumps(changed(LOGIN, **fields)) + "\n")
    content = read_trajectories(path)
    assert len(content.records) == 1
    assert [skipped.where for skipped in content.skipped] == [f"{path}:2"]
    assert reason in content.skipped[0].reason


WAIT, DONE = {"action_type": "wait"}, {"action_type": "status", "goal_status": "complete"}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (changed(LOGIN, episode_id=None), "field 'episode_id' must be a whole number, got nothing."),
        (changed(LOGIN, goal=3), "field 'goal' must be a string, got int."),
        (changed(LOGIN, actions=[]), "field 'actions' has 0 for 4 screens; there must be as many, or one fewer, and"),
        (changed(LOGIN, actions=[WAIT] * 5), "field 'actions' has 5 for 4 screens"),
        (changed(LOGIN, actions=[DONE, WAIT, WAIT]), "actions[0] ends the episode, and 2 more follow."),
        (changed(LOGIN, screenshots=["a.png"]), "field 'screenshots' has 1, expected 4 or none."),
        (changed(LOGIN, screenshots=["../a.png", "", "", ""]), "screenshot '../a.png' leads out of the folder"),
        (changed(LOGIN, screenshots=["/a.png", "", "", ""]), "screenshot '/a.png' leads out of the folder"),
        (changed(LOGIN, screenshot_widths=[1, 2]), "field 'screenshot_widths' has 2 for 4 screens."),
        (changed(LOGIN, screenshot_widths=[0] * 4), "screenshot_widths[0] must be from 1 to 100000 pixels, got 0."),
        (changed(LOGIN, step_instructions=["x"]), "field 'step_instructions' has 1, expected 3 or none."),
        (changed(LOGIN, success=1), "field 'success' must be true or false, got 1."),
        (changed(LOGIN, screens=[{}]), "field 'screens' has 1 for 4 screens."),
        (changed(QUESTION, screens=[3]), "screens[0] must be an object, got 3."),
        (changed(QUESTION, accessibility_trees=[{}]), "field 'accessibility_trees[0]' must be an array, got dict."),
        (changed(QUESTION, accessibility_trees=[[3]]), "accessibility_trees[0][0] must be an object, got 3."),
        (changed(QUESTION, accessibility_trees=[[{}]]), "accessibility_trees[0][0]: no field 'class'"),
        (changed(QUESTION, accessibility_trees=[[{**GO, "kind": "x"}]]), "no kind of element is called 'x'."),
        (changed(QUESTION, accessibility_trees=[[{**GO, "bounds": [1]}]]), "'bounds' must have 4 numbers, got 1."),
        (
            changed(QUESTION, accessibility_trees=[[{**GO, "bounds": [2, 0, 1, 1]}]]),
            "right or bottom before the other.",
        ),
        (changed(QUESTION, accessibility_trees=[[{**GO, "checked": 1}]]), "'checked' must be true or false, got 1."),
        (
            changed(QUESTION, actions=[{"action_type": "fly"}]),
            "actions[0]: no action_type is called 'fly'; known: click",
        ),
        (
            changed(QUESTION, actions=[{"action_type": "click", "x": 1}]),
            "field 'y' must be a whole number, got nothing.",
        ),
        (
            changed(QUESTION, actions=[{"action_type": "scroll", "direction": "in"}]),
            "direction must be up, down, left,",
        ),
        (
            changed(QUESTION, actions=[{"action_type": "answer", "text": "", "accepted": 3}]),
            "'accepted' must be an arr",
        ),
        (
            changed(QUESTION, actions=[{"action_type": "status", "goal_status": "x"}]),
            "goal_status must be complete, su",
        ),
    ],
)
def test_what_is_not_of_the_format_is_named(tmp_path, row, problem):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(LOGIN) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(DataError) as error:
        read_trajectories(path)
    assert str(error.value).startswith(f"{path}:2: ")
    assert problem in str(error.value)
    assert str(error.value).isprintable()


def test_200_damaged_files_of_trajectories(tmp_path):
    path = tmp_path / "a.jsonl"

    def rows(_):
        return len(path.read_bytes().rstrip(b"\n").split(b"\n"))

    read, refused = outcomes(path, line_damage([LOGIN, QUESTION]), partial(read_trajectories, path), rows, [path])
    assert min(read, refused) > 20


# What a point means


def test_the_smallest_element_that_reacts_is_meant():
    def element(box, **marks):
        return Element("text", "x", "", "", Box(*box), **marks)

    row, word, mute = (
        element((0, 0, 9, 9), clickable=True),
        element((2, 2, 4, 4)),
        element((5, 5, 7, 7))._replace(text=""),
    )
    elements = (row, word, mute, element((0, 0, 20, 20), clickable=True), element((10, 10, 12, 12)))
    assert meant(elements, (3, 3)) == 0  # a row, and not the word in it that does not react
    assert meant(elements, (6, 6)) == 0
    assert meant(elements, (11, 11)) == 3
    assert meant(elements[4:], (11, 11)) == 0  # nothing reacts there
    assert meant(elements, (20, 20)) is None
    assert meant(elements, None) is None
    assert point_on(elements, 0) == (4, 4)
    assert point_on(elements, 3) == (10, 10)
    assert point_on((row, row), 1) is None


def test_kinds_of_android_classes():
    assert [kind_of(f"android.widget.{name}") for name in ("TextView", "EditText", "Switch", "Button", "No")] == [
        "text",
        "field",
        "toggle",
        "button",
        "item",
    ]
    assert kind_of("androidx.recyclerview.widget.RecyclerView") == "list"
    assert kind_of("") == "item"


# Round trips

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5)
flags = st.booleans()
sides = st.integers(0, 99)
boxes = st.builds(lambda a, b, c, d: Box(min(a, c), min(b, d), max(a, c), max(b, d)), sides, sides, sides, sides)
elements = st.builds(
    Element,
    st.sampled_from(sorted(ANDROID_CLASSES)),
    words,
    words,
    words,
    boxes,
    flags,
    flags,
    flags,
    flags,
    st.sampled_from([None, True, False]),
    flags,
    st.just(()),
    flags,
)
shots = st.builds(
    Shot,
    st.lists(elements, max_size=3).map(tuple),
    st.integers(1, 99),
    st.integers(1, 99),
    st.sampled_from(["", "a/b.png"]),
    words,
    words,
    words,
    flags,
    flags,
)
points = st.tuples(sides, sides)
none, empty, no_answers = st.none(), st.just(""), st.just(())
moves = st.one_of(
    st.builds(Move, st.sampled_from(["click", "long_press"]), points, empty, no_answers),
    st.builds(Move, st.just("type"), points, words, no_answers),
    st.builds(Move, st.just("scroll"), none, st.sampled_from(DIRECTIONS), no_answers),
    st.builds(Move, st.just("open_app"), none, words, no_answers),
    st.builds(Move, st.sampled_from(["home", "back", "wait"]), none, empty, no_answers),
)
last_moves = st.one_of(
    moves,
    st.builds(Move, st.just("done"), none, words, st.lists(words, max_size=2).map(tuple)),
    st.builds(Move, st.just("infeasible"), none, words, no_answers),
)
trajectories = st.builds(
    lambda goal, steps, end, *rest: Trajectory(goal, (*steps, end), *rest),
    st.just("go"),
    st.lists(st.builds(Step, shots, moves, words), max_size=3),
    st.builds(Step, shots, last_moves, words),
    st.one_of(st.integers(-9, 9), words),
    words,
    words,
    st.one_of(st.none(), shots),
    flags,
)


@given(trajectories)
@settings(max_examples=500)
def test_what_is_written_is_read_back(trajectory):
    try:
        row = json.loads(json.dumps(trajectory_row(trajectory)))
    except UserError as error:
        assert str(error).startswith(f"episode {trajectory.episode_id}: ")  # noqa: PT017
        assert "hits no element" in str(error)  # noqa: PT017
        return
    assert parse_trajectory(row, "f:1") == trajectory


@given(trajectories)
@settings(max_examples=500)
def test_the_oracle_plays_whatever_can_be_played(trajectory):
    if not playable(trajectory._replace(success=True), 2):
        return
    device = RecordedDevice([trajectory], 2)
    state, goal = device.reset(Random(0), {})
    for number in range(len(trajectory.steps)):
        action = parse_action(str(device.oracle(state, goal)))
        assert device.credit(state, goal, None) == number / len(trajectory.steps)
        assert device.describe(state).count("\n") <= 5
        if action.kind in ENDINGS:
            ending = Ending(action.kind, action.text)
        else:
            state, _, problem = device.perform(state, action)
            assert (problem, device.over(state)) == ("", number + 1 == len(trajectory.steps))
            ending = Ending("over")
    assert device.success(state, goal, ending)


@pytest.mark.parametrize("name", ["b.jsonl", "b.jsonl.gz"])
def test_files_are_written_and_read_back(tmp_path, name):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(LOGIN) + "\n" + json.dumps(QUESTION) + "\n")
    read = read_trajectories(path).records
    write_trajectories(tmp_path / name, read)
    assert read_trajectories(tmp_path / name).records == read
    assert next(read_jsonl(tmp_path / name))[1]["actions"][0] == {
        "action_type": "input_text",
        "x": 540,
        "y": 265,
        "text": "bob",
    }


def test_what_would_not_be_read_back_is_not_written(tmp_path):
    shot = Shot((Element("field", "", "", "", Box(0, 0, 9, 9), editable=True),), 9, 9)
    steps = (Step(shot, Move("click", (4, 4))), Step(shot, Move("type", (4, 4), "x")))
    apart = Trajectory("go", steps, 1)
    assert merged(apart.steps) == apart.steps  # a click and a type that has its own point stay two
    write_trajectories(tmp_path / "a.jsonl", [apart])
    joined = apart._replace(steps=(steps[0], Step(shot, Move("type", None, "x"))))
    with pytest.raises(UserError, match=r"^episode 1: type at step 2 hits no element\.$"):
        write_trajectories(tmp_path / "a.jsonl", [joined])


# The phone's oracle


def test_what_the_oracle_does_is_exported(tmp_path):
    task = UINav(split="test")
    exported = list(export_oracle(task, 150, np.random.default_rng(0)))
    assert len({trajectory.source for trajectory in exported}) > 15
    assert all(trajectory.success and playable(trajectory, 40) for trajectory in exported)
    assert {trajectory.steps[-1].move.kind for trajectory in exported} == {"done", "infeasible"}
    write_trajectories(tmp_path / "phone.jsonl", exported)
    content = read_trajectories(tmp_path / "phone.jsonl")
    assert (content.records, content.skipped) == (exported, [])


def test_a_replayed_episode_of_the_phone_shows_the_same_prompts(tmp_path):
    phone = UINav()
    for trajectory in export_oracle(phone, 40, np.random.default_rng(5)):
        path = tmp_path / f"{trajectory.episode_id}.jsonl"
        write_trajectories(path, [trajectory])
        replay = UINav(str(path), split=hashed_split(trajectory.group))
        one = phone.start(np.random.default_rng(0), {"seed": trajectory.episode_id})
        other = replay.start(np.random.default_rng(0), {"index": 0})
        for _ in trajectory.steps:
            assert one.prompt == other.prompt
            assert phone.oracle(one) == replay.oracle(other)
            one, other = (task.play(e, task.oracle(e)) for task, e in ((phone, one), (replay, other)))
            assert one.turn.reference["success"] == other.turn.reference["success"]
            one, other = one.state, other.state
        assert one.ending.kind == other.ending.kind


def test_only_the_phone_is_exported(tmp_path):
    write_trajectories(tmp_path / "train.jsonl", [parse_trajectory(QUESTION, "f:1")])
    task = UINav(str(tmp_path / "train.jsonl"), split=hashed_split("screen 3"))
    with pytest.raises(UserError, match="only episodes on the phone can be exported"):
        next(export_oracle(task, 1, np.random.default_rng(0)))
