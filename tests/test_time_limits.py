"""How long episodes may be: what the spec says, and what is known of an episode that somebody else cuts off."""

from itertools import cycle
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeAwareObservation, TimeLimit
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.logger import Logger
from test_uinav_recorded import path  # noqa: F401 - the recordings, a fixture

import envs  # noqa: F401 - registers perlhf/*
from agents import make_vec_env

UI = "perlhf/UINav-v0"


def wrappers_of(env):
    """The names of the layers around an env."""
    names = []
    while isinstance(env, gym.Wrapper):
        names.append(type(env).__name__)
        env = env.env
    return names


@pytest.mark.parametrize(
    ("env_id", "options", "steps"),
    [
        (UI, {}, 20),
        (UI, {"max_steps": 50}, 50),
        ("perlhf/UINavNumeric-v0", {}, 20),
        ("perlhf/UINavNumeric-v0", {"max_steps": 7}, 7),
        ("perlhf/HH-v0", {}, None),  # it ends with its one response and is never truncated
    ],
)
def test_the_spec_says_how_long_an_episode_may_be(env_id, options, steps):
    env = gym.make(env_id, **options)
    assert env.spec.max_episode_steps == steps
    assert "TimeLimit" not in wrappers_of(env)  # the task itself truncates
    assert gym.spec(env_id).max_episode_steps is None  # or `gym.make` would cut episodes of a larger `max_steps`


def test_an_episode_may_be_longer_than_by_default():
    env = gym.make(UI, templates="send_email", max_steps=23)
    env.reset(seed=0)
    ends = [env.step("wait()")[2:4] for _ in range(23)]
    assert ends == [(False, False)] * 22 + [(False, True)]


def test_an_env_made_anew_from_its_spec_is_the_same():
    env = gym.make(UI, max_steps=3)
    again = gym.make(env.spec)
    assert again.spec == env.spec
    for each in (env, again):
        each.reset(seed=0)
    for _ in range(3):
        (shown, *rest), (shown_again, *rest_again) = env.step("wait()"), again.step("wait()")
        assert (shown, rest) == (shown_again, rest_again)
    assert rest[2] is True


def test_a_spec_with_another_length_needs_the_limit_too():
    """Gymnasium puts the spec's own limit around what is made from it, as docs/tasks/uinav.md says."""
    spec = gym.make(UI, max_steps=3).spec
    for limit, steps in ((None, 3), (5, 5), (-1, 5)):
        env = gym.make(spec, max_steps=5, max_episode_steps=limit)
        env.reset(seed=0)
        assert [env.step("wait()")[3] for _ in range(steps)] == [False] * (steps - 1) + [True]


def test_the_time_can_be_observed():
    env = TimeAwareObservation(gym.make(UI), flatten=False)
    shown, _ = env.reset(seed=0)
    assert (shown["time"].tolist(), env.observation_space["time"].high.tolist()) == ([0], [20])
    assert env.step("wait()")[0]["time"].tolist() == [1]


@pytest.mark.parametrize("wrap", [lambda env: TimeLimit(env, 2), lambda env: gym.make(UI, max_episode_steps=2)])
def test_an_episode_that_is_cut_off_has_its_verdict(wrap):
    env = wrap(gym.make(UI))
    _, about = env.reset(seed=0)
    env.step("wait()")
    *_, terminated, truncated, info = env.step("wait()")
    assert (terminated, truncated) == (False, True)
    assert info == {"gold": 0.0, "is_success": False, "template": about["template"]}


def test_a_recording_that_is_cut_off_is_worth_the_share_that_was_done(path):  # noqa: F811
    """As where it is too long: one of three steps, whoever cuts it."""
    options = {"data": str(path), "reward": "gold"}
    single = TimeLimit(gym.make(UI, **options), 2)
    many = gym.make_vec(UI, num_envs=1, max_episode_steps=2, **options)
    own = gym.make(UI, max_steps=3, **options)
    single.reset(options={"index": 0})
    many.reset(options={"index": 0})
    own.reset(options={"index": 0})
    for response in ("type(1, Bob Smith)", "wat"):
        *_, info = single.step(response)
        *_, infos = many.step([response])
        own.step(response)
    *_, truncated, about = own.step("wat")
    final = {key: infos["final_info"][key][0] for key in ("gold", "is_success", "template")}
    assert truncated
    assert final == info == about == {"gold": pytest.approx(1 / 3), "is_success": False, "template": "toy"}


def test_sb3_saves_successes_of_evaluations_in_which_some_episodes_are_cut_off(tmp_path):
    """`EvalCallback` wants as many successes of each evaluation as episodes: 2 of them end and 2 are cut off here."""
    said = cycle([["done()", "wait()"], ["wait()", "wait()"]])
    env = make_vec_env(gym.make(UI, templates="star_email", max_episode_steps=2), 2, seed=0)
    model = SimpleNamespace(
        predict=lambda *args, **kwargs: (next(said), None), get_env=lambda: env, get_vec_normalize_env=lambda: None,
        logger=Logger(None, []), num_timesteps=0,
    )  # fmt: skip
    callback = EvalCallback(env, n_eval_episodes=4, eval_freq=1, log_path=str(tmp_path), verbose=0)
    callback.init_callback(model)
    callback.on_step()
    callback.on_step()
    with np.load(tmp_path / "evaluations.npz") as saved:
        assert saved["successes"].tolist() == [[False] * 4] * 2
        assert set(saved["ep_lengths"].ravel().tolist()) == {1, 2}
