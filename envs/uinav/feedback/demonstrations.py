"""Demonstrates what the oracle would do, state by state, in episodes that also stray.

A policy makes mistakes and has to go on from there, so the states after them belong to what it learns from; the
response to each is the oracle's (DAgger, arXiv 1011.0686).
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from envs.uinav.feedback.mistakes import mistake
from envs.uinav.feedback.progress import steps_left
from envs.uinav.feedback.random_policies import random_action
from envs.uinav.feedback.weights import demonstrated_weights
from envs.uinav.interface.actions import ActionError
from envs.uinav.interface.device import Ending, perform
from envs.uinav.interface.episode import Episode

if TYPE_CHECKING:  # the task stands on this module
    from envs.uinav.task import UINav

STRAYS = 0.15  # share of the steps that are not the oracle's
_FAR = 40  # actions that the oracle may need from where it was led astray


def visited(
    task: "UINav", rng: np.random.Generator, strays: float = STRAYS, templates: Mapping[str, float] | None = None
) -> Iterator[Episode]:
    """Endless states, episode by episode, from each of which the oracle reaches the goal.

    `templates` has the probability of each to be drawn; by default the task draws them.
    """
    names, shares = list(templates or ()), list((templates or {}).values())
    while True:
        drawn = {"template": names[rng.choice(len(names), p=shares)]} if names else {}
        episode: Episode | None = task.start(rng, drawn)
        while episode is not None:
            yield episode
            episode = _after(task, episode, rng, strays)


def _after(task: "UINav", episode: Episode, rng: np.random.Generator, strays: float) -> Episode | None:
    """Returns the state after the oracle's action or another; None where the episode is over or out of reach."""
    astray = rng.random() < strays
    after, ended = task.advance(episode, stray(task, episode, rng) if astray else task.oracle(episode))
    if ended or len(after.responses) >= task.max_steps:
        return None
    return None if astray and not reachable(task, after) else after


def stray(task: "UINav", episode: Episode, rng: np.random.Generator) -> str:
    """Returns a mistake near what is right, or anything at all."""
    screen = task.device.screen(episode.state)
    if rng.random() < 0.5:
        return task.as_response(random_action(screen, episode.goal, task.device.titles, rng), episode)
    right = task.device.oracle(episode.state, episode.goal)
    return task.as_response(mistake(right, screen, episode.goal, task.device.titles, rng), episode)


def reachable(task: "UINav", episode: Episode) -> bool:
    """Returns whether the oracle reaches the goal from here."""
    return steps_left(task.device, episode, _FAR) < _FAR


def is_right(task: "UINav", episode: Episode, response: str) -> bool:
    """Returns whether a response is right here: the recorded one, or on the phone one that brings the goal nearer.

    Nearer is by the oracle's count of the actions that are left.
    """
    if task.recordings is not None:
        return bool(task.play(episode, response).turn.reference["matched"])
    try:
        action = task.action(response, episode)
    except ActionError:
        return False
    device, state, goal = task.device, episode.state, episode.goal
    if action.kind in ("done", "infeasible", "answer"):  # an answer is right where one that ends here would be
        kind = "infeasible" if action.kind == "infeasible" else "done"
        return device.success(state, goal, Ending(kind, action.text or (episode.answer if kind == "done" else "")))
    after = episode._replace(state=perform(device, state, action).state)
    return steps_left(device, after, _FAR) < steps_left(device, episode, _FAR)


def demonstrations(
    task: "UINav", rng: np.random.Generator, strays: float = STRAYS, mistakes: float = 0.0
) -> Iterator[tuple[str, str]]:
    """Endless (prompt, response): the oracle's response, or with a chance of `mistakes` a wrong one.

    Of the templates of the phone each as often as people show it.
    """
    templates = demonstrated_weights(task) if task.recordings is None else None
    for episode in visited(task, rng, strays, templates):
        if rng.random() >= mistakes:
            yield episode.prompt, task.oracle(episode)
            continue
        screen, action = task.device.screen(episode.state), task.device.oracle(episode.state, episode.goal)
        yield episode.prompt, task.as_response(mistake(action, screen, episode.goal, task.device.titles, rng), episode)
