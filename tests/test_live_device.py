"""Devices of one's own: the radio of docs/a_device_of_your_own.md, and what is said where something is missing."""

import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from toy_radio import STATIONS, Radio

import envs  # noqa: F401 - registers perlhf/*
from envs.uinav.browser import chromium
from envs.uinav.interface.device import DeviceError
from envs.uinav.interface.live import LiveDevice
from envs.uinav.task import UINav
from perlhf.errors import UserError

ROOT = Path(__file__).parents[1]
UINAV = "perlhf/UINav-v0"


class Unplugged(Radio):
    def __init__(self):
        raise DeviceError("it has no power")


def radio(**options):
    return gym.make(UINAV, device="toy_radio:Radio", **options)


def test_the_radio_is_short_and_is_the_one_in_the_docs():
    code = Path(__file__).with_name("toy_radio.py").read_text(encoding="utf-8")
    assert len(code.splitlines()) < 50
    page = (ROOT / "docs" / "a_device_of_your_own.md").read_text(encoding="utf-8")
    assert code in re.findall(r"```python\n(.*?)```", page, re.DOTALL)


def test_a_goal_is_reached_by_its_button_and_the_last_word():
    env = radio()
    for seed in range(20):
        shown, info = env.reset(seed=seed)
        wanted = info["goal"].removeprefix("Tune the radio to ")
        assert shown["prompt"].startswith(f"GOAL {info['goal']}\nSCREEN Radio: Stations\n1 option Jazz o")
        shown, reward, *_ = env.step(f"click({1 + STATIONS.index(wanted)})")
        assert reward == 0
        assert f"DID click {wanted}\n" in shown["prompt"]
        assert f"option {wanted} on" in shown["prompt"]
        _, reward, terminated, _, info = env.step("done()")
        assert (reward, terminated, info["is_success"]) == (1.0, True, True)


def test_what_it_has_not_costs_a_step():
    env = radio(max_steps=3)
    env.reset(seed=0)
    shown, *_ = env.step("scroll(down)")
    assert "ERROR a radio has buttons and nothing else\n" in shown["prompt"]
    shown, *_ = env.step("click(5)")
    assert "ERROR no element 5, the last is 4\n" in shown["prompt"]
    _, reward, terminated, truncated, _ = env.step("sing")
    assert (reward, terminated, truncated) == (0.0, False, True)


def test_gymnasiums_checker_has_nothing_to_say():
    check_env(radio().unwrapped, skip_render_check=True)


def test_a_picture_is_drawn_of_what_has_none():
    env = radio(render_mode="rgb_array", image=True)
    shown, _ = env.reset(seed=0)
    assert shown["image"].shape == (512, 288, 3)
    assert env.render().std() > 0


def test_a_device_itself_is_played_on():
    device = Radio()
    env = gym.make(UINAV, device=device)
    env.reset(seed=0)
    assert env.unwrapped.task.device is device
    assert device.episode == 1


def test_one_radio_plays_one_episode_and_the_one_before_is_broken_off():
    env = gym.make_vec(UINAV, num_envs=2, device=Radio())
    env.reset(seed=0)
    _, rewards, terminated, truncated, infos = env.step(["click(1)", "click(2)"])
    assert list(rewards) == [0.0, 0.0]
    assert not terminated.any()
    assert list(truncated) == [True, False]
    assert infos["final_info"]["failed"][0]


def test_what_cannot_begin_again_is_neither_grouped_nor_compared_nor_restored():
    task = UINav(device=Radio())
    assert task.has_seats
    assert not task.repeats
    env = gym.make_vec(UINAV, num_envs=2, device=Radio())
    for refused in (
        lambda: task.first_states(3),
        lambda: task.state_from_json(task.state_to_json(task.start(np.random.default_rng(0), {}))),
        lambda: env.reset(options={"group_size": 2}),
    ):
        with pytest.raises(UserError, match=r"^UINav cannot begin an episode again\.[^\n]*$"):
            refused()


def test_it_has_nothing_that_only_the_phone_has():
    task = UINav(device=Radio())
    assert task.feedback() is None
    assert task.single_steps(10) is None
    assert task.catalogue() is None
    state = task.start(np.random.default_rng(0), {})
    assert task.groups(state) == ("tune",)
    with pytest.raises(UserError, match=r"^Radio has no oracle: [^\n]*\.$"):
        task.oracle(state)


def test_a_random_policy_is_scored_on_it():
    task = UINav(device=Radio(), max_steps=6)
    (scored,) = task.shortcut_scores(task, 60, 0)
    assert scored.name == "random"
    assert 0 < sum(scored.golds) < 30


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"device": "browsr"},
            r"unknown device 'browsr'\. Did you mean 'browser'\? [^\n]*",
        ),
        ({"device": "toy_radio:Rado"}, r"device 'toy_radio:Rado': toy_radio has no 'Rado'\. Did you mean 'Radio'\?"),
        ({"device": "toy_rdio:Radio"}, r"device 'toy_rdio:Radio': no module named 'toy_rdio'\."),
        (
            {"device": "toy_radio:Radio", "templates": "tune"},
            "device 'toy_radio:Radio' cannot be made with templates: got an unexpected keyword argument 'templates'\\.",
        ),
        ({"device": f"{__name__}:Unplugged"}, rf"device '{__name__}:Unplugged': it has no power\."),
        ({"device": 3}, r"device 3 gave int, expected an envs\.uinav\.interface\.live\.LiveDevice\."),
        (
            {"device": "builtins:dict"},
            r"device 'builtins:dict' gave dict, expected an envs\.uinav\.interface\.live\.LiveDevice\.",
        ),
        ({"device": Radio(), "templates": "tune"}, "templates are given to a device that is made already; [^\n]*"),
        (
            {"device": Radio(), "apps": "mail", "unseen": "apps"},
            "apps and unseen: of the simulated phone or of recordings; leave out with device=...",
        ),
        (
            {"device": Radio(), "density": 2},
            "density: of the simulated phone or of recordings; leave out with device=...",
        ),
    ],
)
def test_a_mistake_is_one_line(options, line):
    with pytest.raises(UserError, match=f"^{line}$"):
        UINav(**options)


def test_a_device_that_fails_at_the_beginning_is_one_line():
    class Broken(Radio):
        def reset(self, rng, options):
            raise DeviceError("it has no power")

    with pytest.raises(UserError, match=r"^the device cannot begin an episode: it has no power\.$"):
        gym.make(UINAV, device=Broken()).reset(seed=0)


def test_a_default_of_a_live_device_is_what_its_docstring_says():
    device = LiveDevice()
    assert (device.repeats, device.has_oracle, device.over(0), device.picture(0)) == (False, False, False, None)
    for missing in (lambda: device.reset(None, {}), lambda: device.screen(0), lambda: device.perform(0, None)):
        with pytest.raises(NotImplementedError):
            missing()


# The browser, where something of it is not there.


@pytest.mark.parametrize("package", ["playwright", "miniwob"])
def test_a_missing_package_is_named_with_its_command(package, monkeypatch):
    there = SimpleNamespace(origin="/there/__init__.py")
    monkeypatch.setattr(chromium, "find_spec", lambda name: None if name == package else there)
    with pytest.raises(UserError, match=rf"^device='browser' needs the package {package}: pip install [^\n]*'\.$"):
        chromium.miniwob_pages()


def test_pages_are_found_without_importing_their_package(monkeypatch):
    monkeypatch.setattr(chromium, "find_spec", lambda name: SimpleNamespace(origin="/there/__init__.py"))
    assert chromium.miniwob_pages() == Path("/there/html/miniwob")


def test_which_chromium_is_taken(monkeypatch, tmp_path):
    monkeypatch.delenv("PERLHF_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert chromium.find_chromium() is None
    for name in ("google-chrome", "chromium"):
        program = tmp_path / name
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
        assert chromium.find_chromium() == str(program)
    monkeypatch.setenv("PERLHF_CHROMIUM", str(tmp_path / "google-chrome"))
    assert chromium.find_chromium() == str(tmp_path / "google-chrome")
    monkeypatch.setenv("PERLHF_CHROMIUM", "/no/such/program")
    with pytest.raises(UserError, match=r"^PERLHF_CHROMIUM='/no/such/program' is no program that can be run\.$"):
        chromium.find_chromium()


@pytest.mark.skipif(importlib.util.find_spec("playwright") is not None, reason="Playwright is installed here")
def test_without_the_extra_the_browser_is_one_line():
    with pytest.raises(UserError, match=r"^device='browser' needs the package playwright: pip install [^\n]*$"):
        UINav(device="browser", templates="click-button")
