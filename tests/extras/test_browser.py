"""MiniWoB++ in live pages: the same text as the recordings, a clock that stands, and states that are values."""

import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from random import Random

import gymnasium as gym
import numpy as np
import pytest
from miniwob_scripts import SCRIPTS

import envs  # noqa: F401 - registers perlhf/*
from envs.uinav.browser.chromium import find_chromium, miniwob_pages
from envs.uinav.browser.device import BEYOND, DEMONSTRATED, BrowserDevice, task_names
from envs.uinav.browser.pages import close_pages, pages
from envs.uinav.interface.actions import Action
from envs.uinav.interface.device import DeviceError, Ending
from perlhf.errors import UserError

pytestmark = pytest.mark.extras
pytest.importorskip("playwright")
pytest.importorskip("miniwob")
if find_chromium() is None:
    pytest.skip("no Chromium is installed", allow_module_level=True)

UINAV = "perlhf/UINav-v0"


@pytest.fixture(scope="module", autouse=True)
def _closed_in_the_end():
    yield
    close_pages()


def begun(name, seed=1, device=None):
    return (device or BrowserDevice()).reset(Random(seed), {"template": name})


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_does_the_task_with_ten_seeds_of_ten(name):
    env = gym.make(UINAV, device="browser", templates=name)
    device = env.unwrapped.task.device
    for seed in range(10):
        _, info = env.reset(seed=seed)
        assert info["template"] == f"miniwob/{name}"
        reward, over = 0.0, False
        for response in SCRIPTS[name](info["goal"], lambda: device.screen(env.unwrapped.state.state)):
            assert not over
            _, reward, over, _, _ = env.step(response)
        assert (reward, over) == (1.0, True)


def test_a_wrong_click_ends_the_episode_with_nothing():
    env = gym.make(UINAV, device="browser", templates="click-test-2")
    env.reset(seed=0)
    screen = env.unwrapped.task.device.screen(env.unwrapped.state.state)
    wrong = next(i for i, e in enumerate(screen.elements, 1) if e.text == "TWO")
    _, reward, terminated, truncated, info = env.step(f"click({wrong})")
    assert (reward, terminated, truncated, info["is_success"]) == (0.0, True, False, False)


def test_a_page_reads_as_the_recorded_ones_do():
    device = BrowserDevice()
    state, goal = begun("login-user", 3, device)
    assert device.describe(state).split("\n") == [
        "SCREEN Page", "1 text Username", "2 field Username", "3 text Password", "4 field Password", "5 button Login",
    ]  # fmt: skip
    assert goal.template == "miniwob/login-user"
    assert goal.text.startswith('Enter the username "')
    assert list(goal.values.values()) == list(goal.text.split('"')[1::2])
    after, label, problem = device.perform(state, Action("type", 2, "ann"))
    assert (label, problem) == ("type Username", "")
    assert device.describe(after).split("\n")[2] == "2 field Username: ann *"
    assert device.describe(state).split("\n")[2] == "2 field Username"  # the state before is a value


def test_the_same_seed_and_actions_show_the_same_in_any_order_and_in_another_browser():
    device = BrowserDevice()
    names = ("email-inbox", "click-tab-2", "click-collapsible-2", "use-autocomplete", "click-pie", "social-media")

    def played(name):
        state, goal = begun(name, 5, device)
        seen = [goal.text, state.shot]
        for action in (Action("click", 1), Action("wait"), Action("scroll", 0, "down"), Action("click", 2)):
            if not state.over:
                state = device.perform(state, action).state
            seen.append((state.shot, state.reward))
        return [*seen, device.picture(state).tobytes()]

    first = {name: played(name) for name in names}
    close_pages()
    assert {name: played(name) for name in reversed(names)} == {name: first[name] for name in reversed(names)}


def test_the_clock_stands_between_steps():
    device = BrowserDevice()
    state, _ = begun("simon-says", 0, device)  # its lights flash by the clock
    before = device.picture(state)
    time.sleep(1.5)
    assert np.array_equal(device.picture(state), before)
    delayed, _ = begun("button-delay", 0, device)
    later = device.perform(device.perform(delayed, Action("wait")).state, Action("wait")).state
    assert not later.over


def test_an_episode_outlives_its_own_ten_seconds():
    device = BrowserDevice()
    state, goal = begun("click-test", 0, device)
    for _ in range(12):
        state = device.perform(state, Action("wait")).state
    assert not state.over
    state = device.perform(state, Action("click", 1)).state
    assert device.success(state, goal, Ending("over"))


def test_a_state_is_reached_again_from_json_and_groups_begin_alike():
    env = gym.make_vec(UINAV, num_envs=4, device="browser", templates="click-checkboxes+enter-text")
    shown, _ = env.reset(seed=7, options={"group_size": 4})
    assert len(set(shown["prompt"])) == 1
    after, *_ = env.step(["click(1)", "click(2)", "scroll(down)", "nonsense"])
    assert len(set(after["prompt"])) >= 3
    saved = json.loads(json.dumps(env.get_state()))
    close_pages()  # every page is lost
    twin = gym.make_vec(UINAV, num_envs=4, device="browser", templates="click-checkboxes+enter-text")
    assert list(twin.set_state(saved)["prompt"]) == list(after["prompt"])
    said = ["click(1)"] * 4
    assert list(twin.step(said)[0]["prompt"]) == list(env.step(said)[0]["prompt"])


def test_a_copied_env_plays_on_by_itself():
    env = gym.make(UINAV, device="browser", templates="click-checkboxes").unwrapped
    env.reset(seed=2)
    twin = deepcopy(env)
    one, other = env.step("click(1)")[0], twin.step("click(2)")[0]
    assert one != other
    both = env.step("click(2)")[0]["prompt"], twin.step("click(1)")[0]["prompt"]
    first, second = (prompt.partition("SCREEN")[2].replace(" *", "") for prompt in both)  # all but what has the focus
    assert first == second


@pytest.mark.parametrize("how", [{"workers": 2}, {"vectorization_mode": "async"}])
def test_worker_processes_have_browsers_of_their_own(how):
    begun("click-test")  # one runs here too, and a fork leaves it alone
    alone = gym.make(UINAV, device="browser", templates="click-option").reset(seed=4)[0]["prompt"]
    envs_ = gym.make_vec(UINAV, num_envs=2, device="browser", templates="click-option", **how)
    try:
        shown, _ = envs_.reset(seed=[4, 5])
        assert shown["prompt"][0] == alone
        shown, rewards, *_ = envs_.step(["click(1)", "click(2)"])
        assert list(rewards) == [0.0, 0.0]
    finally:
        envs_.close()
    assert begun("click-test")[0].shot.elements


def test_pictures_are_the_page_on_the_canvas():
    env = gym.make(UINAV, device="browser", templates="click-test", image=True)
    shown, _ = env.reset(seed=0)
    assert shown["image"].shape == (512, 288, 3)
    assert tuple(shown["image"][10, 280]) == (255, 255, 0)  # MiniWoB++'s yellow bar with the goal
    assert tuple(shown["image"][500, 280]) == (255, 255, 255)


def test_what_cannot_be_done_costs_a_step_and_says_why():
    device = BrowserDevice()
    state, _ = begun("choose-list", 1, device)
    said = {
        str(action): device.perform(state, action).problem
        for action in (
            Action("click", 9), Action("click", 0), Action("type", 2, "x"), Action("home"),
            Action("open_app", 0, "Mail"), Action("scroll", 0, "down"),
        )
    }  # fmt: skip
    assert said == {
        "click(9)": "no element 9, the last is 2",
        "click(0)": "elements are numbered from 1",
        "type(2, x)": "Submit takes no text",
        "home()": "a page has no such thing",
        "open_app(Mail)": "a page has no such thing",
        "scroll(down)": "nothing moves down",
    }
    assert device.perform(state, Action("type", 1, "Nobody")).problem.startswith("there is no choice Nobody, but ")


def test_a_page_scrolls_to_its_ends():
    device = BrowserDevice()
    state, _ = begun("scroll-text-2", 0, device)  # a text that is longer than its box
    for direction in ("up", "down"):
        problems = []
        while len(problems) < 30 and not any(problems):
            state, _, problem = device.perform(state, Action("scroll", 0, direction))
            problems.append(problem)
        assert len(problems) > 1
        assert problems[-1] == f"nothing moves {direction}"


def test_names_of_tasks_and_what_is_missing_are_one_line_each():
    with pytest.raises(UserError, match=r"^unknown task 'click-buton' of MiniWoB\+\+\. Did you mean 'click-button'\?$"):
        BrowserDevice("click-buton")
    assert set(task_names()) >= BEYOND
    every = BrowserDevice().templates
    assert not set(every) & BEYOND
    shown, others = (BrowserDevice(name).templates for name in ("demonstrated", "not-demonstrated"))
    assert (len(shown), set(shown)) == (49, DEMONSTRATED)
    assert sorted(shown + others) == list(every)
    env = gym.make(UINAV, device="browser", templates="click-test").unwrapped
    env.reset(seed=0)
    with pytest.raises(UserError, match=r"^BrowserDevice has no oracle: [^\n]*\.$"):
        env.oracle()
    with pytest.raises(UserError, match=r"^unknown task 'x' of MiniWoB\+\+[^\n]*$"):
        env.reset(options={"template": "x"})


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are looked for in /proc")
def test_a_browser_that_is_lost_breaks_the_episode_off_and_the_next_one_goes_on():
    env = gym.make(UINAV, device="browser", templates="click-test").unwrapped
    env.reset(seed=0)
    for browser in chromiums_of(os.getpid()):
        os.kill(browser, signal.SIGKILL)
    time.sleep(1)
    _, reward, terminated, truncated, info = env.step("click(1)")
    assert (reward, terminated, truncated, info["failed"]) == (0.0, False, True, True)
    env.reset(seed=0)
    assert env.step("click(1)")[1] == 1.0


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are looked for in /proc")
def test_a_crash_is_the_devices_fault_and_leaves_one_browser():
    begun("click-test")
    with pytest.raises(DeviceError, match=r"^the browser failed: [^\n]*crash[^\n]*$"):
        pages().chromium.ask(lambda context: context.new_page().goto("chrome://crash"))
    begun("click-test")
    end = time.monotonic() + 60
    while len(chromiums_of(os.getpid())) > 1 and time.monotonic() < end:
        time.sleep(0.1)
    assert len(chromiums_of(os.getpid())) == 1


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are looked for in /proc")
def test_threads_share_one_browser():
    device = BrowserDevice()

    def shown(seed):
        return device.describe(begun("click-option", seed, device)[0])

    alone = [shown(seed) for seed in range(2)]
    close_pages()
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(shown, range(2))) == alone
    assert len(chromiums_of(os.getpid())) == 1


def test_a_page_reaches_no_network_and_no_file_but_those_of_the_tasks(tmp_path):
    begun("click-test")
    other = tmp_path / "other.html"
    other.write_text("Click a secret")
    task = (miniwob_pages() / "click-test-2.html").as_uri()
    with socket.create_server(("127.0.0.1", 0)) as server:
        urls = [task, other.as_uri(), f"http://127.0.0.1:{server.getsockname()[1]}/"]

        def framed(context):
            page = context.new_page()
            page.goto(task)
            page.evaluate("urls => document.body.append(...urls.map(src => Object.assign("
                          "document.createElement('iframe'), {src})))", urls)  # fmt: skip
            page.evaluate("urls => Promise.all(urls.map(url => fetch(url).catch(() => null)))", urls)
            page.wait_for_timeout(1000)
            shown = [frame.content() for frame in page.frames[1:]]
            page.close()
            return shown

        own, file, address = pages().chromium.ask(framed)
        server.settimeout(0.1)
        with pytest.raises(TimeoutError):
            server.accept()
    assert "core.js" in own
    assert "secret" not in file
    assert "ERR_FAILED" in file
    assert "ERR_FAILED" in address


def test_a_chromium_that_does_not_start_is_one_line(monkeypatch):
    close_pages()
    monkeypatch.setenv("PERLHF_CHROMIUM", "false")
    with pytest.raises(UserError, match=r"^[^\n]*Chromium cannot be started \([^\n]*/false\.$"):
        begun("click-test")


def chromiums_of(ancestor):
    """The main processes of the Chromiums that a process has started."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if b"--remote-debugging-pipe" in command and b"--type=" not in command:
            found.append(int(folder.name))

    def descends(pid):
        return pid == ancestor or (pid in parents and descends(parents[pid]))

    return [pid for pid in found if descends(pid)]
