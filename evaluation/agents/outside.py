"""Agents of somebody else's: a callable of "module:name", and a language model behind an endpoint.

The contract of a callable is `agent(observation, info) -> str`. `observation` is the env's, "prompt" and perhaps
"image"; `info` says what an agent may know beside it, see `info_for`. docs/evaluate_an_agent.md has an example.
"""

import inspect
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from envs.entry_points import load_callable
from envs.task import Task
from envs.uinav.task import UINav
from evaluation.agents.episodes import Asked, NoAnswerError, Said
from perlhf.chat_endpoint import ChatEndpoint, data_url, with_picture
from perlhf.client import GarbledAnswerError, ServerError
from perlhf.conversation import messages_of
from perlhf.errors import UserError, one_line

KEYS = ("PERLHF_AGENT_KEY", "OPENAI_API_KEY", "VLLM_API_KEY")  # environment variables of an endpoint's key

Contract = Callable[[Mapping[str, Any], Mapping[str, Any]], str]


def chat_messages(observation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns an observation as a chat model reads it: the task's instructions and examples, the prompt, the picture.

    The picture stands in the last message, as a data URL.
    """
    messages: list[dict[str, Any]] = [message._asdict() for message in messages_of(observation["prompt"])]
    if observation.get("image") is not None:
        messages[-1]["content"] = with_picture(messages[-1]["content"], data_url(observation["image"]))
    return messages


def info_for(task: Task, asked: Asked) -> dict[str, Any]:
    """Returns what an agent is told beside the observation.

    Returns:
        `episode`, its number; `step`, from 0, and `max_steps`; `messages`, see `chat_messages`; `instructions`, the
        first of them or None; of UI tasks `goal` and `template`.
    """
    info = {
        "episode": asked.number,
        "step": asked.step,
        "max_steps": task.max_steps,
        "instructions": task.instructions,
        "messages": chat_messages(asked.observation),
    }
    if isinstance(task, UINav):
        info |= {"goal": asked.state.goal.text, "template": asked.state.goal.template}
    return info


class Outside:
    """An agent of somebody else's: a callable, or what makes one.

    A class, or a function without arguments, is called once for each episode that is played at a time, and gives an
    agent. Where an agent has `reset()`, that is called before each of its episodes.

    Args:
        task: that is played.
        place: "module:name".

    Raises:
        UserError: there is no such callable.
    """

    together = 1

    def __init__(self, task: Task, place: str) -> None:
        self.task, self.place = task, place
        self._found = load_callable(place, f"--agent {place!r}")
        self._makes = inspect.isclass(self._found) or _takes_nothing(self._found)
        self._here = threading.local()  # a thread plays one episode at a time

    def answer(self, asked: Sequence[Asked]) -> list[Said]:
        (question,) = asked
        agent = self._agent(begins=question.step == 0)
        try:
            said = agent(dict(question.observation), info_for(self.task, question))  # it may change what it gets
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # sys.exit() too: in a thread that would be waited for without end
            raise self._raised(error) from error
        if not isinstance(said, str):
            raise UserError(f"agent {self.place} must return text, got {type(said).__name__}: {str(said)[:60]!r}.")
        return [Said(said)]

    def _agent(self, begins: bool) -> Contract:
        """Returns the agent of this thread, ready for a new episode where one begins."""
        try:
            if not hasattr(self._here, "agent"):
                self._here.agent = self._found() if self._makes else self._found
                if not callable(self._here.agent):
                    raise UserError(f"{self.place} makes {self._here.agent!r}, which cannot be called.")
            if begins and callable(reset := getattr(self._here.agent, "reset", None)):
                reset()
        except (UserError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise self._raised(error) from error
        found: Contract = self._here.agent
        return found

    def _raised(self, error: BaseException) -> NoAnswerError:
        """Returns what is said of an agent that raises: the error, and the last line of its module on the way there."""
        frames, module = traceback.extract_tb(error.__traceback__), sys.modules.get(self.place.partition(":")[0])
        own = [frame for frame in frames if frame.filename == getattr(module, "__file__", None)]
        frame = (own or frames)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        return NoAnswerError(f"agent {self.place} raised {type(error).__name__}: {one_line(error)[:200]} ({where}).")


def _takes_nothing(found: Callable[..., Any]) -> bool:
    """Returns whether a callable has no argument that must be given."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return False
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return not any(p.kind in (*positional, inspect.Parameter.VAR_POSITIONAL) for p in parameters)


class Endpoint:
    """A language model behind an OpenAI-compatible endpoint. Each turn is asked for alone, as policies are trained.

    Args:
        url, model: of the server, and of the model as it calls it.
        timeout: seconds for one answer.
        tries: how often a question is put where there is no answer, or one that is no chat completion.
        fields: of the request; see `ChatEndpoint`.

    Raises:
        UserError: the address is none.
    """

    together = 1

    def __init__(self, url: str, model: str, timeout: float, tries: int, fields: Mapping[str, Any]) -> None:
        self.endpoint = ChatEndpoint(url, model, "--endpoint", KEYS, timeout, tries, fields)
        self.tries = tries

    def answer(self, asked: Sequence[Asked]) -> list[Said]:
        (question,) = asked
        messages = chat_messages(question.observation)
        try:
            for _ in range(self.tries - 1):
                try:
                    return [Said(*self.endpoint.ask(messages))]
                except GarbledAnswerError:
                    continue
            return [Said(*self.endpoint.ask(messages))]
        except ServerError as error:
            raise NoAnswerError(str(error)) from None
