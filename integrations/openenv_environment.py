"""A server of OpenEnv over an env of perlhf.

    PERLHF_ENV=UINav-v0 PERLHF_ENV_OPTIONS=split=test uvicorn --factory integrations.openenv_environment:app

It has reset, step and state, for any number of clients at once.
"""

import os
import threading
from functools import partial
from typing import Any

from envs.registry import parse_env_options
from integrations.text import messages, text_env
from perlhf.errors import UserError

try:
    from fastapi import FastAPI
    from openenv.core.env_server import Action, Environment, Observation, State, create_app
except ImportError:
    raise UserError("this needs openenv-core: pip install 'perlhf[openenv]'.") from None

_ONE_AT_A_TIME = threading.Lock()  # sessions run in threads, and share the backbone that a learned reward is on


class TextAction(Action):
    """What the policy says."""

    response: str


class TextObservation(Observation):
    """What is seen: the prompt as text, the same as messages for a chat model, and the env's `info`."""

    prompt: str
    messages: list[dict[str, str]]
    info: dict[str, Any]


class PerlhfEnvironment(Environment[TextAction, TextObservation, State]):
    """One session: episodes of one env, one after the other."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, env: str, **options: Any) -> None:
        super().__init__()
        self._env = text_env(env, **options)
        self._state = State()

    def reset(self, seed: int | None = None, episode_id: str | None = None, **options: Any) -> TextObservation:
        observation, info = self._env.reset(seed=seed, options=options or None)
        self._state = State(episode_id=episode_id)
        return _seen(observation, info)

    def step(self, action: TextAction, timeout_s: float | None = None, **_: Any) -> TextObservation:
        with _ONE_AT_A_TIME:
            observation, reward, terminated, truncated, info = self._env.step(action.response)
        self._state.step_count += 1
        return _seen(observation, info, reward=float(reward), done=terminated or truncated)

    @property
    def state(self) -> State:
        return self._state


def _seen(observation: dict[str, Any], info: dict[str, Any], **more: Any) -> TextObservation:
    prompt = observation["prompt"]
    return TextObservation(prompt=str(prompt), messages=messages(prompt), info=info, **more)


def app(env: str | None = None, sessions: int = 64, **options: Any) -> FastAPI:
    """Returns the server; without arguments, as uvicorn calls it, of what PERLHF_ENV and PERLHF_ENV_OPTIONS say."""
    if env is None:
        env = os.environ.get("PERLHF_ENV", "HH-v0")
        options = parse_env_options(os.environ.get("PERLHF_ENV_OPTIONS", ""))
    make = partial(PerlhfEnvironment, env, **options)
    make()  # so that a wrong name is said now, and not to the first client
    return create_app(make, TextAction, TextObservation, env, sessions)
