"""Wrong arguments of envs are one line, whatever their type: a UserError that says what was given."""

import inspect

import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401 - registers perlhf/*
from envs.registry import class_of
from envs.uinav.drawing.film import save_film
from envs.uinav.numeric.env import NumericUINav
from perlhf.errors import RewardError, UserError

IDS = sorted(i for i in gym.registry if i.startswith("perlhf/"))
WRONG = [float("nan"), float("inf"), -1, 1.5, object(), [[1]], {"a": 1}, b"x", "no such thing"]
RIGHT = {("perlhf/UINavNumeric-v0", "progress"): (1.5,), ("perlhf/UINav-v0", "density"): (1.5,)}
RIGHT |= {(i, "instructions"): ("no such thing",) for i in IDS}


def parameters():
    for env_id in IDS:
        made_of = NumericUINav if "Numeric" in env_id else class_of(env_id)
        names = [name for name in inspect.signature(made_of).parameters if name not in ("reward", "render_mode")]
        yield from ((env_id, name) for name in names)


@pytest.fixture
def needed(tmp_path):
    """What an env without data and reward of its own must be given."""
    (tmp_path / "prompts.jsonl").write_text("".join(f'{{"prompt": "Prompt {i}"}}\n' for i in range(3)))
    return {"data": tmp_path / "prompts.jsonl", "reward": "rewards.functions:length_penalty"}


@pytest.mark.parametrize(("env_id", "name"), list(parameters()))
def test_a_wrong_argument_of_an_env_is_one_line(env_id, name, needed):
    others = needed if env_id == "perlhf/Preferences-v0" else {}
    for value in WRONG:
        if any(value is right or value == right for right in RIGHT.get((env_id, name), ())):
            gym.make(env_id, **{**others, name: value})
            continue
        with pytest.raises(UserError) as caught:
            gym.make(env_id, **{**others, name: value})
        assert not isinstance(caught.value, RewardError)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("env_id", "name", "value", "message"),
    [
        ("UINav-v0", "max_steps", 0, "max_steps must be at least 1, a whole number, got 0"),
        ("UINav-v0", "lenient", 1, "lenient must be True or False, got 1"),
        ("UINav-v0", "max_elements", None, "max_elements must be at least 1, a whole number, got None"),
        ("UINav-v0", "augment", True, "augment must be from 0 to 1, the share of elements that it changes, got True"),
        ("UINavNumeric-v0", "progress", float("nan"), "progress must be a number from 0"),
        ("VQAv2-v0", "image_size", 10**6, "image_size must be a whole number from 32 to 1024 pixels, got 1000000"),
        ("VQAv2-v0", "image_size", 64.0, "image_size must be a whole number from 32 to 1024 pixels, got 64.0"),
        ("HH-v0", "split", 0, "unknown split 0."),
    ],
)
def test_bounds_are_named(env_id, name, value, message):
    with pytest.raises(UserError) as caught:
        gym.make(f"perlhf/{env_id}", **{name: value})
    assert message in str(caught.value)


@pytest.mark.parametrize("seed", [1.5, "12", object(), float("nan"), [1], {1, 2}])
def test_a_wrong_seed_of_many_envs_is_one_line(seed):
    vector = gym.make_vec("perlhf/HH-v0", num_envs=2, reward="gold")
    with pytest.raises(UserError, match="seed"):
        vector.reset(seed=seed)


@pytest.mark.parametrize("options", [5, "index", ["index"]])
def test_options_of_a_reset_are_a_dict(options):
    for env in (gym.make("perlhf/HH-v0").unwrapped, gym.make_vec("perlhf/HH-v0", num_envs=1)):
        with pytest.raises(UserError, match="the options of a reset are a dict, got "):
            env.reset(options=options)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), True, "1", None])
def test_a_film_is_shown_for_a_time(tmp_path, seconds):
    frame = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(UserError, match="seconds must be a number above 0"):
        save_film(tmp_path / "a.gif", [frame], [""], seconds)
