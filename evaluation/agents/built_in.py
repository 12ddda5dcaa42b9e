"""Agents that are there by name: the oracle, one that tries things at random, and one of a few rules.

They act on the screen itself, so they speak whatever dialect an env's actions are said in.
"""

from collections.abc import Callable, Sequence

import numpy as np

from envs.task import Task
from envs.uinav.feedback.random_policies import random_action
from envs.uinav.task import UINav
from evaluation.agents.episodes import Asked, Said
from evaluation.agents.scripted import Scripted
from perlhf.errors import UserError


class BuiltIn:
    """An agent that may see the state of an episode.

    Args:
        speak: from a task and what is asked to an answer.
        task: that is played.
    """

    together = 1

    def __init__(self, task: Task, speak: Callable[[Task, Asked], str]) -> None:
        self.task, self.speak = task, speak

    def answer(self, asked: Sequence[Asked]) -> list[Said]:
        return [Said(self.speak(self.task, question)) for question in asked]


def built_in(name: str, task: Task, seed: int) -> BuiltIn:
    """Returns the agent of a name in `NAMES`.

    Args:
        name: of the agent.
        task: that it plays.
        seed: decides what it draws, in each episode and step by itself.

    Raises:
        UserError: it plays on a phone alone, and the task is none; or nobody knows what is right in the task.
    """
    if name == "oracle":
        if not task.has_oracle:
            raise UserError(f"--agent oracle: nobody knows what is right in {type(task).__name__}.")
        return BuiltIn(task, lambda task, asked: task.oracle(asked.state))
    if not isinstance(task, UINav):
        raise UserError(f"--agent {name} acts on a phone, and {type(task).__name__} has no screen.")
    if name == "random":
        return BuiltIn(task, lambda task, asked: _random(task, asked, seed))
    scripted = Scripted(task)
    return BuiltIn(task, lambda _, asked: _said(scripted, asked))


NAMES = ("random", "scripted", "oracle")


def _random(task: Task, asked: Asked, seed: int) -> str:
    assert isinstance(task, UINav)
    rng = np.random.default_rng([seed, asked.number, asked.step])
    screen = task.device.screen(asked.state.state)
    return task.as_response(random_action(screen, asked.state.goal, task.device.titles, rng), asked.state)


def _said(scripted: Scripted, asked: Asked) -> str:
    return scripted.task.as_response(scripted.act(asked.number, asked.step, asked.state), asked.state)
