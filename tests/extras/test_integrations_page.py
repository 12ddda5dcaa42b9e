"""docs/integrations.md: its code runs as it stands there, and its versions are those installed."""

import re
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path

import gymnasium as gym
import pytest

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("trl")

from chat_models import model_of, tokenizer_of  # noqa: E402
from oracle_speaker import OracleSpeaker, oracle_server  # noqa: E402

from integrations.openenv_environment import app  # noqa: E402

pytestmark = pytest.mark.extras
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")


def block(word):
    """The code on the page that has a word in it."""
    (found,) = [code for code in re.findall(r"```python\n(.*?)```", PAGE, flags=re.S) if word in code]
    return found


def run(code, folder):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_versions_are_those_that_are_installed_here():
    rows = re.findall(r"^\| \[[^|]*\| ([a-z-]+) ([\d.]+) \|", PAGE, flags=re.M)
    assert {name for name, _ in rows} == {"trl", "verifiers", "openenv-core", "inspect-ai"}
    assert all(version(name) == said for name, said in rows)


@pytest.mark.parametrize("word", ["trl_reward", "trl_environment"])
def test_the_code_for_trl_runs(word, tmp_path):
    tokenizer = tokenizer_of("qwen", "qwen3")
    tokenizer.save_pretrained(tmp_path / "my-chat-model")
    model_of(tokenizer).save_pretrained(tmp_path / "my-chat-model")
    assert "'reward':" in run(block(word), tmp_path)


def test_the_code_for_verifiers_runs(tmp_path):
    env, states = gym.make("perlhf/UINav-v0", split="test"), []
    for seed in range(2):
        env.reset(seed=seed)
        states.append(env.unwrapped.state)
    with oracle_server(OracleSpeaker(env.unwrapped.task, states)) as url:
        assert run(block("verifiers").replace("http://localhost:8000/v1", url), tmp_path).split() == ["1.0"] * 4


def test_the_code_for_openenv_runs(tmp_path):
    server = uvicorn.Server(uvicorn.Config(app("UINav-v0"), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    said = run(block("openenv").replace("http://localhost:8000", url), tmp_path)
    server.should_exit = True
    thread.join()
    assert said.startswith("GOAL")
    assert said.endswith("0.0 False\n")


def test_the_code_for_inspect_runs(tmp_path):
    said = run(block("inspect_ai"), tmp_path).split()
    assert said[::2] == ["gold", "is_success"]
    assert all(0 <= float(number) <= 1 for number in said[1::2])
