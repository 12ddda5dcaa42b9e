"""Recordings as a device and as UINav-v0: what matches, what ends an episode, what is shown."""

import copy
import json
import pickle
import re
import warnings

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from PIL import Image

import envs  # noqa: F401 - registers perlhf/*
from envs.corpora.splits import hashed_split
from envs.uinav.interface.actions import parse_action
from envs.uinav.interface.screen import Box, Element
from envs.uinav.recordings.device import RecordedDevice, load_recordings, matches
from envs.uinav.recordings.files import write_trajectories
from envs.uinav.recordings.screen import shown
from envs.uinav.recordings.trajectory import Move, Shot, Step, Trajectory
from envs.uinav.task import UINav
from perlhf.errors import DataError, UserError

UINAV = "perlhf/UINav-v0"
FIELD = Element("field", "", "Name", "", Box(10, 10, 90, 30), clickable=True, editable=True)
OK = Element("button", "OK", "", "", Box(10, 40, 50, 60), clickable=True)
ROW = Element("item", "Row", "", "", Box(0, 30, 100, 70), clickable=True)  # around OK; its middle is on OK's edge
SMALL = Element("icon", "", "Star", "", Box(20, 45, 30, 55), clickable=True)  # inside OK
SHOT = Shot((FIELD, ROW, OK, SMALL), 100, 200)
AT_FIELD, AT_ROW, AT_OK, AT_STAR = (50, 20), (80, 65), (40, 50), (25, 50)


def group_of(split):
    """A group that a file's hash puts into this split."""
    return next(f"group {i}" for i in range(100) if hashed_split(f"group {i}") == split)


def login(**fields):
    """Types a name, presses OK, and says so."""
    steps = (
        Step(SHOT, Move("type", AT_FIELD, "Bob Smith"), "Type the name"),
        Step(SHOT, Move("click", AT_OK)),
        Step(SHOT, Move("done", None, "3 apples", ("three apples", "3"))),
    )
    return Trajectory("Log in as Bob Smith", steps, 1, "toy", group_of("train"))._replace(**fields)


def short(**fields):
    """Scrolls down and opens Mail; ends with it."""
    steps = (Step(SHOT, Move("scroll", None, "down")), Step(SHOT, Move("open_app", None, "Mail")))
    after = Shot((OK,), 100, 200, app="Mail", title="Inbox")
    return Trajectory("Open Mail", steps, 2, "toy", group_of("train"), after)._replace(**fields)


def never():
    """Cannot be done."""
    return Trajectory("Fly", (Step(SHOT, Move("infeasible", None, "no wings")),), 3, "toy", group_of("train"))


@pytest.fixture
def path(tmp_path):
    write_trajectories(tmp_path / "toy.jsonl", [login(), short(), never()])
    return str(tmp_path / "toy.jsonl")


def began(path, index, **options):
    env = gym.make(UINAV, data=path, **options)
    observation, info = env.reset(seed=0, options={"index": index})
    return env, observation["prompt"], info


# What matches, worked out by hand. The elements are 1 Name, 2 Row, 3 OK, 4 Star. OK's middle (30, 50) is right of Star
# (20 to 30); Row's middle (50, 50) is right of OK (10 to 50); Star's middle (25, 50) is inside OK and Row.


@pytest.mark.parametrize(
    ("recorded", "said", "right"),
    [
        (Move("click", AT_OK), "click(3)", True),
        (Move("click", AT_OK), "click(4)", True),  # the middle of the star is a point of the button
        (Move("click", AT_OK), "click(2)", False),
        (Move("click", AT_OK), "click(1)", False),
        (Move("click", AT_OK), "long_press(3)", False),
        (Move("click", AT_STAR), "click(4)", True),  # the smallest around the point
        (Move("click", AT_STAR), "click(3)", False),
        (Move("click", AT_ROW), "click(2)", True),
        (Move("click", AT_ROW), "click(3)", True),
        (Move("click", AT_ROW), "click(1)", False),
        (Move("long_press", AT_OK), "long_press(3)", True),
        (Move("long_press", AT_OK), "click(3)", False),
        (Move("type", AT_FIELD, "Bob Smith"), "type(1, Bob Smith)", True),
        (Move("type", AT_FIELD, "Bob Smith"), 'type(1, " Bob  Smith ")', True),
        (Move("type", AT_FIELD, "Bob Smith"), "type(1, bob smith)", False),
        (Move("type", AT_FIELD, "Bob Smith"), "type(1, Bob)", False),
        (Move("type", AT_FIELD, "Bob Smith"), "type(3, Bob Smith)", False),
        (Move("type", AT_FIELD, ""), 'type(1, "")', True),
        (Move("type", AT_FIELD, "Bob Smith"), "click(1)", False),
        (Move("scroll", None, "down"), "scroll(down)", True),
        (Move("scroll", None, "down"), "scroll(up)", False),
        (Move("open_app", None, "Mail"), "open_app( mail.)", True),
        (Move("open_app", None, "Mail"), "open_app(Gmail)", False),
        (Move("back"), "back()", True),
        (Move("back"), "home()", False),
        (Move("wait"), "wait()", True),
        (Move("done"), "done()", True),
        (Move("done"), "done(whatever)", True),
        (Move("done"), "infeasible(no)", False),
        (Move("done", None, "3 apples", ("3",)), "done(3 Apples.)", True),
        (Move("done", None, "3 apples", ("3",)), "done(3)", True),
        (Move("done", None, "3 apples", ("3",)), "done(4)", False),
        (Move("done", None, "3 apples", ("3",)), "done()", False),
        (Move("done", None, "", ("3",)), "done(4)", False),
        (Move("done", None, "", ("3",)), "done()", True),
        (Move("infeasible", None, "no"), "infeasible(another reason)", True),
        (Move("infeasible", None, "no"), "infeasible()", False),
        (Move("infeasible", None, "no"), "done()", False),
    ],
)
def test_what_matches(recorded, said, right):
    action = parse_action(said)
    assert matches(Step(SHOT, recorded), action, action.element - 1 if action.element else None) is right


# Episodes


def test_an_episode_word_for_word(path):
    env, prompt, info = began(path, 0)
    screen = "SCREEN Page\n1 field Name\n2 item Row\n3 button OK\n4 icon Star\nACTION:"
    assert prompt == f"GOAL Log in as Bob Smith\n{screen}"
    assert (info["template"], info["goal"], info["feasible"]) == ("toy", "Log in as Bob Smith", True)
    assert env.unwrapped.oracle() == "type(1, Bob Smith)"
    observation, reward, terminated, truncated, info = env.step("type(1, Bob Smith)")
    assert observation["prompt"] == f"GOAL Log in as Bob Smith\nDID type Name\n{screen}"
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info == {"gold": 1 / 3, "is_success": False, "template": "toy"}  # if it were cut off here
    assert env.step("click(4)")[0]["prompt"] == f"GOAL Log in as Bob Smith\nDID type Name; click Star\n{screen}"
    assert env.unwrapped.oracle() == "done(3 apples)"
    _, reward, terminated, truncated, info = env.step("done(Three apples)")
    assert (reward, terminated, truncated, info) == (
        1.0,
        True,
        False,
        {"gold": 1.0, "is_success": True, "template": "toy"},
    )


@pytest.mark.parametrize(
    ("index", "actions", "gold"),
    [
        (0, ["type(1, Bob Smith)", "click(1)"], 1 / 3),
        (0, ["click(3)"], 0.0),
        (0, ["done(3 apples)"], 0.0),
        (0, ["type(1, Bob Smith)", "done(3 apples)"], 1 / 3),
        (0, ["type(1, Bob Smith)", "click(3)", "done(4 apples)"], 2 / 3),
        (0, ["type(1, Bob Smith)", "click(3)", "wait()"], 2 / 3),
        (1, ["scroll(down)", "open_app(Maps)"], 0.5),
        (1, ["scroll(down)", "open_app(Mail)"], 1.0),
        (2, ["infeasible(no wings)"], 1.0),
        (2, ["infeasible()"], 0.0),
        (2, ["back()"], 0.0),
    ],
)
def test_an_episode_ends_at_its_end_or_off_the_path(path, index, actions, gold):
    env, _, _ = began(path, index)
    for action in actions[:-1]:
        assert env.step(action)[1:4] == (0.0, False, False)
    _, reward, terminated, truncated, info = env.step(actions[-1])
    assert (reward, terminated, truncated) == (gold, True, False)
    assert info == {"gold": gold, "is_success": gold == 1, "template": info["template"]}


def test_after_the_last_step_the_last_screen_is_shown(path):
    env, _, _ = began(path, 1)
    env.step("scroll(down)")
    observation = env.step("open_app(Mail)")[0]
    assert "SCREEN Mail: Inbox\n1 button OK\n" in observation["prompt"]
    assert env.unwrapped.oracle() == "done()"


def test_the_reason_is_told_off_the_path(path):
    env, _, _ = began(path, 0)
    assert "\nERROR this is not what was recorded\nSCREEN Page" in env.step("back()")[0]["prompt"]


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ("click(5)", "no element 5, the last is 4"),
        ("click(0)", "elements are numbered from 1"),
        ("type(9, x)", "no element 9, the last is 4"),
        ("press", "not an action"),
    ],
)
def test_what_does_nothing_anywhere_costs_a_step(path, action, why):
    env, prompt, _ = began(path, 0, max_steps=4)
    observation, reward, terminated, truncated, _ = env.step(action)
    assert why in observation["prompt"]
    assert observation["prompt"].endswith(prompt.partition("\n")[2])
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert env.step("type(1, Bob Smith)")[2:4] == (False, False)
    env.step("wat")
    _, reward, terminated, truncated, info = env.step("wat")
    assert (reward, terminated, truncated, info) == (
        1 / 3,
        False,
        True,
        {"gold": 1 / 3, "is_success": False, "template": "toy"},
    )


def test_a_turn_says_whether_its_step_matched(path):
    task = UINav(path)
    episode, found = task.start(np.random.default_rng(0), {"index": 0}), []
    for said in ("wat", "type(1, Bob Smith)", "click(99)", "click(3)", "done(3)"):
        played = task.play(episode, said)
        found.append((played.turn.reference["matched"], played.turn.reference["success"]))
        episode = played.state
    assert found == [(False, False), (True, False), (False, False), (True, False), (True, True)]
    off = task.play(task.start(np.random.default_rng(0), {"index": 0}), "home()")
    assert (off.turn.reference["matched"], off.turn.reference["success"], off.terminated) == (False, False, True)
    phone = UINav()
    assert "matched" not in phone.play(phone.start(np.random.default_rng(0), {}), "home()").turn.reference


# What is shown


def test_boxes_are_scaled_to_the_canvas():
    device = RecordedDevice([login()])
    screen = device.screen(device.reset(None, {"index": 0})[0])
    assert [element.box for element in screen.elements[:3]] == [
        Box(29, 26, 259, 77),  # 10, 10, 90, 30 by 2.88 and 2.56
        Box(0, 77, 288, 179),
        Box(29, 102, 144, 154),
    ]
    assert screen.parts[0].children == screen.elements


def test_only_what_can_be_seen_is_shown():
    def element(text, box, **other):
        return Element("text", text, "", "", Box(*box), **other)

    page = (
        element("seen", (0, 0, 10, 10)),
        element("", (0, 0, 10, 10)),  # says nothing and does nothing
        element("", (0, 0, 10, 10), clickable=True),
        element("below", (0, 200, 10, 210)),
        element("half", (0, 190, 10, 208)),
        element("left", (-20, 0, 0, 10)),
        element("flat", (0, 5, 10, 5)),
    )
    assert shown(Shot(page, 100, 200), "go", 40) == (0, 2, 4)


def test_a_long_screen_is_cut_by_the_goal_and_not_by_the_answer():
    box = Box(0, 0, 10, 10)
    page = [Element("text", f"word {i}", "", "", box) for i in range(10)]
    page[4] = Element("button", "Press", "", "", box, clickable=True)
    page[6] = Element("text", "Blue Car", "", "", box)
    page[7] = Element("field", "", "Name", "", box, editable=True)
    page[8] = Element("icon", "", "", "", box, clickable=True)
    assert shown(Shot(tuple(page), 100, 200), "Find my car", 4) == (0, 4, 6, 7)
    assert shown(Shot(tuple(page), 100, 200), "Find my car", 9) == (0, 1, 2, 3, 4, 5, 6, 7, 9)
    assert shown(Shot(tuple(page), 100, 200), "Find my car", 10) == tuple(range(10))


def test_what_is_shown_does_not_depend_on_what_was_done():
    for move in (Move("click", AT_OK), Move("click", AT_STAR), Move("back")):
        device = RecordedDevice([login(steps=(Step(SHOT, move),))], max_elements=2)
        assert device.describe(device.reset(None, {"index": 0})[0]) == "SCREEN Page\n1 field Name\n2 item Row"


def test_long_texts_and_names_are_told_on_one_line():
    box = Box(0, 0, 10, 10)
    page = (
        Element("text", "a\n b" + "x" * 200, "", "", box),
        Element("icon", "", "", "com.app:id/send_now", box, clickable=True),
    )
    device = RecordedDevice([Trajectory("go", (Step(Shot(page, 100, 200), Move("back")),), 1)])
    lines = device.describe(device.reset(None, {"index": 0})[0]).split("\n")
    assert lines == ["SCREEN Page", f"1 text a b{'x' * 114}...", "2 icon send now"]


def test_a_screenshot_is_the_image(tmp_path):
    Image.new("RGB", (100, 200), (10, 20, 30)).save(tmp_path / "a.png")
    there = [step._replace(shot=SHOT._replace(screenshot="a.png")) for step in login().steps]
    write_trajectories(tmp_path / "b.jsonl", [login(steps=tuple(there))])
    env = gym.make(UINAV, data=str(tmp_path / "b.jsonl"), image=True, render_mode="rgb_array")
    observation, _ = env.reset(seed=0)
    assert observation["image"].shape == (512, 288, 3)
    assert (observation["image"] == (10, 20, 30)).all()
    observation["image"][:] = 0  # the observer's own
    assert (env.unwrapped.task.observe(env.unwrapped.state)["image"] == (10, 20, 30)).all()
    env.step("type(1, Bob Smith)")
    assert (env.render() == (10, 20, 30)).all()
    (tmp_path / "a.png").rename(tmp_path / "c.png")
    with pytest.raises(DataError, match=r"a\.png: no such file"):
        load_recordings(tmp_path, "train", 40, pictures=True)


# Which are played


def test_failed_and_cut_recordings_are_left_out_and_counted(tmp_path, caplog):
    far = Step(SHOT, Move("click", AT_STAR))
    write_trajectories(tmp_path / "a.jsonl", [login(), short(success=False), login(steps=(far,))])
    device = load_recordings(tmp_path / "a.jsonl", "train", 3)
    assert device.trajectories == (login(),)
    assert "of 3 recordings not played: 1 failed, of 1 an element is not among the 3 shown" in caplog.text
    with pytest.raises(
        DataError,
        match=r"no recording in split 'train' can be played: 1 failed, of 2 an element is not among the 1 shown\.",
    ):
        load_recordings(tmp_path / "a.jsonl", "train", 1)


def test_splits_are_by_group(tmp_path):
    many = [login(episode_id=i, group=f"worker {i % 50}", goal=f"Log in {i}") for i in range(500)]
    write_trajectories(tmp_path / "a.jsonl", many)
    groups = {}
    for split in ("train", "validation", "test"):
        found = load_recordings(tmp_path / "a.jsonl", split, 40).trajectories
        groups[split] = {trajectory.group for trajectory in found}
        assert len(found) == 10 * len(groups[split])
    assert sum(map(len, groups.values())) == 50
    assert len(set().union(*groups.values())) == 50
    assert 35 <= len(groups["train"]) <= 45


def test_a_folder_with_files_named_by_split(tmp_path):
    write_trajectories(tmp_path / "train.jsonl", [login()])
    write_trajectories(tmp_path / "test.jsonl", [short(), never()])
    assert load_recordings(tmp_path, "test", 40).trajectories == (short(), never())
    assert load_recordings(tmp_path, "train", 40).trajectories == (login(),)


def test_all_are_drawn_and_an_index_draws_one(path):
    env = gym.make(UINAV, data=path)
    env.reset(seed=0)
    goals = {env.reset()[1]["goal"] for _ in range(60)}
    assert goals == {"Log in as Bob Smith", "Open Mail", "Fly"}
    assert env.reset(options={"index": np.int64(1)})[1]["goal"] == "Open Mail"
    assert json.dumps(env.unwrapped.task.state_to_json(env.unwrapped.state))


def test_recordings_longer_than_twenty_steps_can_be_played(tmp_path):
    steps = tuple(Step(SHOT, Move("wait")) for _ in range(30))
    write_trajectories(tmp_path / "a.jsonl", [login(steps=steps)])
    env, _, _ = began(str(tmp_path / "a.jsonl"), 0)
    ends = [env.step("wait()") for _ in range(30)]
    assert [terminated or truncated for _, _, terminated, truncated, _ in ends] == [False] * 29 + [True]
    assert ends[-1][4]["is_success"]
    assert began(str(tmp_path / "a.jsonl"), 0, max_steps=1)[0].step("wait()")[3]


# As an environment


def test_gymnasium_finds_nothing_wrong(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(gym.make(UINAV, data=path).unwrapped)
        check_env(gym.make(UINAV, data=path, augment=0.5).unwrapped)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copied_env_goes_on_alike(path, copied):
    env, _, _ = began(path, 0)
    env.step("type(1, Bob Smith)")
    twin = copied(env)
    for action in ("click(3)", "done(3)"):
        first, second = env.step(action), twin.step(action)
        assert first == second
    assert first[1] == 1.0
    assert env.reset()[0] == twin.reset()[0]


def test_a_state_is_written_as_json_and_goes_on_alike(path):
    many = gym.make_vec(UINAV, num_envs=4, data=path)
    many.reset(seed=3)
    rng = np.random.default_rng(0)
    for _ in range(5):
        many.step(many.plausible_action(rng))
    saved = json.loads(json.dumps(many.get_state()))
    other = gym.make_vec(UINAV, num_envs=4, data=path)
    assert other.set_state(saved)["prompt"] == many.set_state(saved)["prompt"]
    for _ in range(6):
        actions = many.oracle()
        assert actions == other.oracle()
        first, second = many.step(actions), other.step(actions)
        assert first[0] == second[0]
        assert [x.tolist() for x in first[1:4]] == [x.tolist() for x in second[1:4]]


def test_augmentation_leaves_what_was_done(path):
    plain, env = (began(path, 0, augment=share)[0] for share in (0.0, 1.0))
    for action in ("type(1, Bob Smith)", "click(3)", "done(3 apples)"):
        assert plain.unwrapped.oracle() == env.unwrapped.oracle() == action
        plain.step(action)
        observation, reward, *_ = env.step(action)
    assert reward == 1.0
    assert "Star" not in observation["prompt"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"templates": "send_email"},
            "templates, apps, attack, unseen, level and mask_goal are of the simulated phone; recordings have none",
        ),
        ({"mask_goal": True}, "templates, apps, attack, unseen, level and mask_goal are of the simulated phone"),
        ({"max_elements": 0}, "max_elements must be at least 1, a whole number, got 0."),
        ({"split": "test"}, "no records in split 'test'"),
        ({"max_steps": 0}, "max_steps must be at least 1, a whole number, got 0."),
    ],
)
def test_wrong_options_are_one_line(path, options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        gym.make(UINAV, data=path, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"index": 3}, "option 'index' must be a whole number from 0 to 2, got 3."),
        ({"index": True}, "option 'index' must be a whole number from 0 to 2, got True."),
        ({"template": "toy"}, "UINav has no reset option 'template'."),
    ],
)
def test_wrong_reset_options_are_one_line(path, options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        gym.make(UINAV, data=path).reset(options=options)
