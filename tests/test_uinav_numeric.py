"""`UINavNumeric`: the phone as arrays and three numbers."""

import copy
import pickle
import subprocess
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from zlib import crc32

import gymnasium as gym
import numpy as np
import pytest
import toy_lights  # noqa: F401 - registers the app
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils import env_checker
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common import env_checker as sb3_checker
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

import envs  # noqa: F401 - registers perlhf/*
import envs.uinav.numeric.features as f
from envs.registry import env_id, task_of
from envs.uinav.interface.actions import Action
from envs.uinav.interface.device import Goal
from envs.uinav.interface.episode import Episode
from envs.uinav.interface.screen import Box, Element, Screen
from envs.uinav.numeric.actions import KINDS, NUMBER, SHAPE, NotInNumbersError, answer, from_numbers, masks, to_numbers
from envs.uinav.numeric.env import NumericUINav
from perlhf.errors import UserError

ENV = "perlhf/UINavNumeric-v0"
TEMPLATES = NumericUINav().task.device.templates
numbers = st.tuples(*(st.integers(0, size - 1) for size in SHAPE))


def make(**arguments):
    return gym.make(ENV, disable_env_checker=True, **arguments).unwrapped


def play(env, seed, episodes=3):
    """All that some episodes show, as bytes and text, with the same actions for the same seed."""
    rng, seen = np.random.default_rng(seed), []
    for number in range(episodes):
        seen.append(plain(env.reset(seed=seed if number == 0 else None)))
        ended = False
        while not ended:
            step = env.step(env.plausible_action(rng))
            seen.append(plain(step))
            ended = step[2] or step[3]
    return seen


def plain(step):
    observation, *rest = step
    return {name: array.tobytes() for name, array in observation.items()}, rest


def solve(env, **reset):
    """The oracle's episode: its last info, and whether all its actions were allowed."""
    env.reset(**reset)
    ended, allowed = False, True
    while not ended:
        action = env.oracle()
        allowed &= bool(is_allowed(env.action_masks(), action).all())
        _, _, ended, truncated, info = env.step(action)
        assert not truncated
    return info, allowed


def is_allowed(mask, action):
    kinds, elements, values = np.split(mask, np.cumsum(SHAPE)[:-1])
    return np.array([kinds[action[0]], elements[action[1]], values[action[2]]])


# Contracts


def test_both_checkers_pass_without_a_warning():
    env = gym.make(ENV)
    drawn = find_spec("envs.uinav.draw") is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env_checker.check_env(env.unwrapped, skip_render_check=not drawn)
        sb3_checker.check_env(env.unwrapped)
    assert env.unwrapped.metadata["render_modes"] == ["rgb_array", "ansi", "human"]


def test_the_spaces_are_flat_boxes_and_three_numbers():
    env = make()
    observation, _ = env.reset(seed=0)
    assert env.action_space.nvec.tolist() == [13, 16, 4] == list(SHAPE)
    assert {name: box.shape for name, box in env.observation_space.items()} == {
        "elements": (16 * 58,), "mask": (16,), "goal": (33,), "screen": (29,), "history": (31,),
    }  # fmt: skip
    assert {array.dtype for array in observation.values()} == {np.dtype("float32")}
    assert "goal" in make().reset(seed=0)[1]


def test_the_same_seed_gives_the_same_episodes():
    first, second = make(), make()
    played = play(first, seed=7)
    assert play(second, seed=7) == played == play(first, seed=7)
    assert play(first, seed=8) != played


def test_two_processes_see_the_same():
    code = f"""
import hashlib, gymnasium as gym, numpy as np, envs
env, rng, seen = gym.make({ENV!r}).unwrapped, np.random.default_rng(0), hashlib.sha256()
env.reset(seed=0)
for _ in range(300):
    observation, _, ended, truncated, info = env.step(env.plausible_action(rng))
    seen.update(b"".join(array.tobytes() for array in observation.values()) + repr(info).encode())
    if ended or truncated:
        env.reset()
import sys
assert "torch" not in sys.modules
print(seen.hexdigest())
"""
    root = Path(__file__).parents[1]
    runs = [
        subprocess.run([sys.executable, "-c", code], cwd=root, env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
                       capture_output=True, text=True, timeout=120)
        for seed in ("1", "2")
    ]  # fmt: skip
    assert runs[0].returncode == 0, runs[0].stderr
    assert runs[0].stdout == runs[1].stdout


def test_a_seed_gives_the_episode_of_the_text_env():
    env = make()
    text = gym.make("perlhf/UINav-v0", templates=list(TEMPLATES), reward="gold")
    for seed in range(20):
        info, expected = env.reset(seed=seed)[1], text.reset(seed=seed)[1]
        assert {key: info[key] for key in expected} == expected
        rng = np.random.default_rng(seed)
        ended = False
        while not ended:
            action = env.plausible_action(rng)
            _, reward, terminated, truncated, info = text.step(env.response(action))
            assert env.step(action)[1:] == (reward, terminated, truncated, info)
            ended = terminated or truncated


def dumped(env):
    return pickle.loads(pickle.dumps(env))


@pytest.mark.parametrize("twin", [dumped, copy.deepcopy])
def test_a_twin_made_mid_episode_goes_on_alike_and_on_its_own(twin):
    env = make(progress=0.1)
    env.reset(seed=3)
    env.step(env.oracle())
    other = twin(env)
    action = other.oracle()
    assert action.tolist() == env.oracle().tolist()
    stepped, following = plain(other.step(action)), plain(other.reset())
    assert plain(env.step(action)) == stepped
    assert plain(env.reset()) == following
    assert play(other, seed=1) == play(env, seed=1)


def test_a_spec_survives_json_and_one_with_a_callable_says_why_not():
    env = gym.make(ENV, templates=[TEMPLATES[0]], max_steps=9, progress=0.1)
    twin = gym.make(EnvSpec.from_json(env.spec.to_json()))
    assert play(twin.unwrapped, seed=2) == play(env.unwrapped, seed=2)
    live = gym.make(ENV, reward=lambda turns: [0.0 for _ in turns])
    with pytest.raises(UserError, match="cannot be saved"):
        live.spec.to_json()


def test_any_sequence_of_actions_stays_inside_the_space():
    env = make(templates=[*TEMPLATES, "switch_light"], apps="all+toy_lights")

    @given(st.integers(0, 2**32), st.lists(numbers, max_size=20))
    @settings(max_examples=300)
    def check(seed, actions):
        observation, _ = env.reset(seed=seed)
        for action in actions:
            assert env.observation_space.contains(observation)
            observation, reward, terminated, truncated, _ = env.step(np.array(action))
            assert type(reward) is float
            assert reward in (0.0, 1.0)
            if terminated or truncated:
                break
        assert env.observation_space.contains(observation)

    check()


# Mistakes


@pytest.mark.parametrize("bad", [[13, 0, 0], [0, 16, 0], [0, 0, 4], [-1, 0, 0], [0, 0], [0.0, 0.0, 0.0], None, "click"])
def test_an_action_outside_the_space_is_one_line_and_changes_nothing(bad):
    env = make()
    env.reset(seed=0)
    with pytest.raises(UserError, match=r"^action must be three integers from 0 to below \(13, 16, 4\), got"):
        env.step(bad)
    assert env.step(np.array([NUMBER["home"], 0, 0]))[2:4] == (False, False)


def test_step_before_reset_and_after_the_end_is_refused():
    env = make()
    for call in (lambda: env.step(np.array([0, 0, 0])), env.oracle, env.action_masks):
        with pytest.raises(ResetNeeded, match="call reset before"):
            call()
    env.reset(seed=0)
    env.step(np.array([NUMBER["done"], 15, 0]))
    with pytest.raises(ResetNeeded, match="the episode is over"):
        env.step(np.array([0, 0, 0]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"templates": "x_y"}, "unknown template 'x_y'"), ({"split": "tst"}, "unknown split 'tst'. Did you mean 'test'?"),
     ({"render_mode": "rgb"}, "unknown render_mode 'rgb'"), ({"max_steps": 0}, "max_steps must be at least 1")],
)  # fmt: skip
def test_wrong_arguments_are_one_line(arguments, message):
    with pytest.raises(UserError) as caught:
        NumericUINav(**arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_commands_refuse_it_in_one_line():
    with pytest.raises(UserError, match=r"^env 'perlhf/UINavNumeric-v0' takes no text[^\n]*$"):
        task_of(env_id("UINavNumeric-v0"))


# The oracle and the masks


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_oracle_reaches_every_goal_with_actions_that_are_allowed(template):
    env = make(templates=template)
    ends = [solve(env, seed=seed) for seed in range(200)]
    assert np.mean([info["is_success"] for info, _ in ends]) >= 0.95
    assert all(allowed for _, allowed in ends)


def test_templates_that_numbers_cannot_do_are_left_out_by_default_and_say_so():
    assert NumericUINav(apps="all+toy_lights").task.device.templates == (*TEMPLATES, "switch_light")
    env = make(apps="mail+settings+toy_lights", templates="count_lights")
    env.reset(seed=0)
    env.step(env.oracle())
    with pytest.raises(NotInNumbersError, match=r"^done\(3\) has no numbers: no element of the screen says it\.$"):
        env.oracle()


def test_what_is_allowed_to_be_clicked_is_there():
    env, rng = make(), np.random.default_rng(0)
    env.reset(seed=0)
    for _ in range(2000):
        kinds, elements, values = np.split(env.action_masks(), np.cumsum(SHAPE)[:-1])
        assert kinds.any()
        assert elements.any()
        assert values.any()
        shown = env.task.device.screen(env.state.state).elements
        if kinds[NUMBER["click"]]:
            assert elements.sum() == min(16, len(shown))
            assert elements[: len(shown)].all()
        action = np.array([rng.choice(np.flatnonzero(part)) for part in (kinds, elements, values)])
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            env.reset()


# By hand

GOAL = Goal("send", "Write bob@x.com the text Hello you", {"to": "bob@x.com", "text": "Hello you"})
FIELD = Element("field", "bob@x.com", "To", "to", Box(72, 128, 216, 256), True, True, focused=True)
SEND = Element("icon", "", "Write", "send", Box(0, 0, 288, 512), True, enabled=False)
NOTE = Element("toggle", "Hello you, Bob", "", "x", Box(0, 0, 0, 0), checked=True, long_clickable=True)
SCREEN = Screen("Mail", "Compose", (Element("dialog", "", "", "", Box(0, 0, 9, 9)),), (FIELD, SEND, NOTE), below=True)


def row_of(kind, flags, box, matches, slots, label):
    """A row written as a person would: what is 1 in kind, flags and words, and the other numbers."""
    bag = np.zeros(16)
    bag[[crc32(word.encode()) % 16 for word in label]] = 1.0
    kinds = [float(name == kind) for name in f.ELEMENT_KINDS]
    return np.array([*kinds, *(float(name in flags) for name in f.FLAGS), *box, *matches, *slots, *bag], np.float32)


def test_the_rows_of_a_screen_by_hand():
    goal = f.read_goal(GOAL.text, tuple(GOAL.values.items()))
    # The goal has 8 words (write bob x com the text hello you), 3 of which are its wording (write the text).
    assert goal.text == " write bob x com the text hello you "
    assert goal.wording == " write the text "
    assert goal.asked == ({"to", "write"}, {"text"})
    rows = [f.element_row(element, goal) for element in SCREEN.elements]
    flags = {"clickable", "editable", "focused", "enabled"}
    no = [0, 0, 0, 0]
    expected = [
        # The first value is what the field holds, and what "To" asks for.
        row_of("field", flags, [0.25, 0.25, 0.75, 0.5], [0, 0, 0], [0, 0, 1, 1, *no, *no, *no], ["to"]),
        row_of("icon", {"clickable"}, [0, 0, 1, 1], [1, 1 / 8, 1], [0, 0, 0, 1, *no, *no, *no], ["write"]),
        row_of("toggle", {"checkable", "checked", "enabled", "long_clickable"}, no, [1, 3 / 8, 0],
               [*no, 0, 1, 0, 0, *no, *no], ["hello", "you", "bob"]),
    ]  # fmt: skip
    for row, wanted in zip(rows, expected, strict=True):
        np.testing.assert_array_equal(row, wanted)


def test_the_other_parts_by_hand():
    episode = Episode(0, {}, GOAL, None, ("back()", "scroll(down)"), ("back()", "scroll(down)"), "nothing more below")
    shown = f.features(episode, SCREEN, max_steps=8)
    assert shown["mask"].tolist() == [1.0] * 3 + [0.0] * 13
    assert shown["goal"][-1] == 0.5  # two values of at most four
    assert set(np.flatnonzero(shown["goal"][:32])) == {crc32(word) % 32 for word in (b"write", b"the", b"text")}
    assert shown["screen"][-5:].tolist() == [0, 1, 1, 0, 0]  # more below, a dialog
    assert set(np.flatnonzero(shown["screen"][:16])) == {crc32(word) % 16 for word in (b"mail", b"compose")}
    assert np.flatnonzero(shown["history"][:13]).tolist() == [NUMBER["scroll down"]]
    assert shown["history"][13:15].tolist() == [1.0, 0.25]  # a problem; two steps of eight
    assert not shown["elements"].reshape(16, -1)[3:].any()


@pytest.mark.parametrize(
    ("given", "action"),
    [
        ((0, 2, 3), Action("click", 3)), ((1, 15, 0), Action("long_press", 16)),
        ((2, 0, 1), Action("type", 1, "Hello you")), ((2, 0, 2), Action("type", 1, "")),
        ((3, 9, 3), Action("scroll", 0, "up")), ((6, 0, 0), Action("scroll", 0, "right")), ((7, 0, 0), Action("back")),
        ((8, 0, 0), Action("home")), ((9, 1, 0), Action("open_app", 0, "Clock")), ((9, 2, 0), Action("open_app")),
        ((10, 0, 0), Action("wait")), ((11, 15, 0), Action("done")), ((11, 0, 0), Action("done", 0, "bob@x.com")),
        ((11, 2, 1), Action("done", 0, "Bob")), ((12, 0, 0), Action("infeasible", 0, "it cannot be done")),
    ],
)  # fmt: skip
def test_numbers_stand_for_actions(given, action):
    assert from_numbers(given, SCREEN, tuple(GOAL.values.values()), ("Mail", "Clock")) == action


@pytest.mark.parametrize(
    ("label", "parts"),
    [("Total: 12, paid", ["Total: 12, paid", "12, paid", "12, paid", "Total"]), ("Ana", ["Ana"] * 4), ("", [""] * 4)],
)
def test_parts_of_a_label(label, parts):
    element = Element("text", label, "", "", Box(0, 0, 1, 1))
    assert [answer(element, part) for part in range(4)] == parts


@given(numbers)
def test_numbers_come_back_from_the_action_they_stand_for(given):
    values, titles = tuple(GOAL.values.values()), ("Mail", "Clock")
    action = from_numbers(given, SCREEN, values, titles)
    try:
        back = to_numbers(action, SCREEN, values, titles)
    except NotInNumbersError:
        assert (given[0] == NUMBER["type"] and given[2] > 1) or (given[0] == NUMBER["open_app"] and given[1] > 1)
    else:
        assert from_numbers(back, SCREEN, values, titles) == action or action == Action("done")  # it answers nothing


def test_masks_by_hand():
    allowed = masks(SCREEN, tuple(GOAL.values.values()))
    kinds, elements, values = np.split(allowed, np.cumsum(SHAPE)[:-1])
    refused = {kind for kind, on in zip(KINDS, kinds, strict=True) if not on}
    assert refused == {"scroll up", "scroll left", "scroll right"}
    assert np.flatnonzero(elements).tolist() == [0, 1, 2]
    assert values.tolist() == [True] * 4  # two values; the last two are parts of "Hello you, Bob"
    assert np.split(masks(SCREEN._replace(elements=()), ()), [13])[0][:3].tolist() == [False] * 3


# Learning


def lamp_env():
    return Monitor(make(templates="switch_light", apps="mail+settings+toy_lights", progress=0.1))


def success(model, episodes=100):
    env, reached = make(templates="switch_light", apps="mail+settings+toy_lights", split="test"), 0
    for seed in range(episodes):
        observation, _ = env.reset(seed=seed)
        ended = truncated = False
        while not (ended or truncated):
            observation, _, ended, truncated, info = env.step(model.predict(observation, deterministic=True)[0])
        reached += info["is_success"]
    return reached / episodes


def test_progress_is_paid_once_for_each_step_nearer_than_ever():
    env = make(templates="switch_light", apps="mail+settings+toy_lights", progress=0.25)
    for seed in range(20):
        env.reset(seed=seed)
        rewards, ended = [], False
        while not ended:
            _, reward, ended, _, _ = env.step(env.oracle())
            rewards.append(reward)
        assert rewards == [0.25] * (len(rewards) - 1) + [1.0]
    # The third app is opened, left, opened again; a lamp that is not meant is lit: the goal is out of reach.
    env.reset(seed=0)
    kinds = ("wait", "open_app", "home", "open_app", "click", "done")
    assert [env.step(np.array([NUMBER[kind], 2, 0]))[1] for kind in kinds] == [0, 0.25, 0, 0, 0, 0]


def test_ppo_of_stable_baselines3_learns_an_easy_template():
    many = DummyVecEnv([lamp_env] * 8)
    model = PPO(
        "MultiInputPolicy", many, n_steps=128, batch_size=256, n_epochs=6, gamma=0.9, learning_rate=7e-4, ent_coef=0.01,
        policy_kwargs={"net_arch": [128, 128]}, seed=0, device="cpu",
    )  # fmt: skip
    before = success(model)
    model.learn(24_000)
    after = success(model)
    assert before < 0.1
    assert after > 0.8, after
