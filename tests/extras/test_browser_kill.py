"""A process with a live page is killed at a moment drawn by chance: nothing that it started is left.

Three times as a rule; `PERLHF_KILLS=100` kills a hundred. Once more one whose worker processes have a browser each.
"""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envs.uinav.browser.chromium import find_chromium

pytestmark = pytest.mark.extras
pytest.importorskip("playwright")
pytest.importorskip("miniwob")
if find_chromium() is None:
    pytest.skip("no Chromium is installed", allow_module_level=True)

KILLS = int(os.environ.get("PERLHF_KILLS", "3"))
SECONDS = 60  # that what was started is given to end, on a busy machine
VICTIM = """
from random import Random
from envs.uinav.browser.device import BrowserDevice
from envs.uinav.interface.actions import Action

device = BrowserDevice("click-button+email-inbox")
print("starting", flush=True)
while True:
    state, _ = device.reset(Random(), {})
    print("begun", flush=True)
    for _ in range(3):
        state = device.perform(state, Action("wait")).state
"""
WORKERS = """
import gymnasium as gym
import envs

env = gym.make_vec("perlhf/UINav-v0", num_envs=2, device="browser", templates="click-test", workers=2)
print("starting", flush=True)
env.reset()
print("begun", flush=True)
while True:
    env.step(["wait()", "wait()"])
"""


def marked(mark):
    """The processes that have inherited a variable, and their names."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ")[:80].decode()
        except OSError:
            continue
    return found


@pytest.mark.skipif(not Path("/proc").exists(), reason="processes are looked for in /proc")
@pytest.mark.parametrize(("script", "number"), [*((VICTIM, number) for number in range(KILLS)), (WORKERS, 1)])
def test_kill_9_leaves_no_process(script, number):
    rng, mark = random.Random(number), f"PERLHF_VICTIM={os.getpid()}_{number}"
    name, value = mark.split("=")
    victim = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, name: value}, stdout=subprocess.PIPE)
    assert victim.stdout.readline() == b"starting\n"
    if number % 2:  # in the middle of an episode, else while things are started
        assert victim.stdout.readline() == b"begun\n"
    time.sleep(rng.uniform(0, 1.5))
    victim.kill()
    victim.wait()
    victim.stdout.close()
    end = time.monotonic() + SECONDS
    while (left := marked(mark)) and time.monotonic() < end:
        time.sleep(0.1)
    assert left == {}
