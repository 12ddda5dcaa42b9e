"""An app of one's own in one file, as docs/tasks/uinav.md shows it."""

import re
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs  # noqa: F401 - registers perlhf/*
from envs.uinav.phone.app import App, Template, register_app
from perlhf.errors import UserError

ROOT = Path(__file__).parents[1]
TOY = Path(__file__).with_name("toy_app.py")
UINAV = "perlhf/UINav-v0"


def test_the_file_is_short_and_is_the_one_in_the_docs():
    code = TOY.read_text(encoding="utf-8")
    assert len(code.splitlines()) < 60
    page = (ROOT / "docs" / "tasks" / "uinav.md").read_text(encoding="utf-8")
    assert code in re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def test_its_task_is_done_by_the_oracle_and_by_nothing_less():
    env = gym.make(UINAV, apps="all+toy_app", templates="light_lamp")
    for seed in range(300):
        observation, info = env.reset(seed=seed)
        assert "app Lamps" in observation["prompt"]
        assert info["template"] == "light_lamp"
        over = False
        while not over:
            _, reward, terminated, truncated, _ = env.step(env.unwrapped.oracle())
            over = terminated or truncated
        assert reward == 1.0
    rng, reached = np.random.default_rng(0), 0
    for _ in range(200):
        env.reset()
        over = False
        while not over:
            action = "done()" if rng.random() < 0.1 else f"click({rng.integers(1, 8)})"
            _, reward, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
        reached += reward
    assert reached < 10


def test_the_env_with_it_passes_the_checker():
    check_env(gym.make(UINAV, apps="all+toy_app").unwrapped)


def test_an_app_that_was_not_asked_for_is_not_there():
    import toy_app  # noqa: F401

    observation, _ = gym.make(UINAV).reset(seed=0)
    assert "Lamps" not in observation["prompt"]
    with pytest.raises(UserError, match="unknown template 'light_lamp'"):
        gym.make(UINAV, templates="light_lamp")


def test_names_that_are_taken_are_refused():
    page = {"start": lambda phone: ()}
    with pytest.raises(UserError, match="there is an app 'mail' already"):
        register_app(App("mail", "Mail", lambda rng: {}, page))
    template = Template("send_email", ("x",), lambda rng, phone: {}, {}, check=lambda phone, values: True)
    with pytest.raises(UserError, match="app 'mail' has a template 'send_email' already"):
        register_app(App("another", "Another", lambda rng: {}, page, templates=(template,)))
