"""A server of OpenEnv over our envs, in this process, and the package's own client on it."""

import threading
import time

import gymnasium as gym
import pytest

pytest.importorskip("openenv")

import uvicorn
from openenv.core import GenericEnvClient

from integrations.openenv_environment import app
from perlhf.errors import UserError

pytestmark = pytest.mark.extras


@pytest.fixture
def served():
    """Serves an env on a free port; gives its URL."""
    servers = []

    def serve(*env, **options):
        server = uvicorn.Server(uvicorn.Config(app(*env, **options), port=0, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        servers.append((server, thread))
        begun = time.monotonic()
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < begun + 60
            time.sleep(0.01)
        return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"

    yield serve
    for server, thread in servers:
        server.should_exit = True
        thread.join()


def test_an_episode_on_the_phone(served):
    twin = gym.make("perlhf/UINav-v0", split="test")
    observation, _ = twin.reset(seed=5)
    with GenericEnvClient(base_url=served("UINav-v0", split="test")).sync() as env:
        result, over, steps = env.reset(seed=5), False, 0
        while not over:
            assert result.observation["prompt"] == observation["prompt"]
            assert result.observation["messages"][-1] == {"role": "user", "content": observation["prompt"]}
            assert result.observation["messages"][0]["role"] == "system"
            action = twin.unwrapped.oracle()
            observation, reward, terminated, truncated, info = twin.step(action)
            result, over, steps = env.step({"response": action}), terminated or truncated, steps + 1
            assert (result.reward, result.done) == (reward, over)
        assert result.observation["info"]["is_success"] is info["is_success"] is True
        assert env.state()["step_count"] == steps > 1


def test_sessions_of_a_learned_reward_are_apart(served):
    url, here = served("HH-v0"), gym.make("perlhf/HH-v0")
    said = ["I can't help with that.", "Yes."]
    with GenericEnvClient(base_url=url).sync() as one, GenericEnvClient(base_url=url).sync() as other:
        for env, seed in ((one, 1), (other, 2)):
            env.reset(seed=seed)
        for env, seed, text in ((one, 1, said[0]), (other, 2, said[1])):
            here.reset(seed=seed)
            assert env.step({"response": text}).reward == pytest.approx(here.step(text)[1], abs=1e-5)


def test_the_environment_variables_say_what_is_served(monkeypatch):
    monkeypatch.setenv("PERLHF_ENV", "UINav-v1")
    with pytest.raises(UserError, match="Did you mean 'UINav-v0'"):
        app()
    monkeypatch.setenv("PERLHF_ENV", "VQAv2-v0")
    with pytest.raises(UserError, match="shows pictures"):
        app()
    monkeypatch.setenv("PERLHF_ENV", "UINav-v0")
    monkeypatch.setenv("PERLHF_ENV_OPTIONS", "split=test")
    assert app().title
