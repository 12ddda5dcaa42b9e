"""Records what the phone's oracle does, as trajectories that `envs.uinav.recordings.files` writes and UINav replays."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.uinav.interface.actions import Action
from envs.uinav.interface.device import Ending, Goal
from envs.uinav.interface.screen import Screen
from envs.uinav.recordings.trajectory import ENDINGS, POINTING, Move, Shot, Step, Trajectory, point_on
from perlhf.errors import UserError

if TYPE_CHECKING:  # the task stands on this folder
    from envs.uinav.task import UINav


def export_oracle(task: "UINav", count: int, rng: np.random.Generator) -> Iterator[Trajectory]:
    """Yields what the oracle does in as many episodes of a task.

    An episode ends with the oracle's last word, or after `task.max_steps`, and then its `success` is False. Its group
    is the goal's text, so that no goal is on both sides of a split; its source is "phone/" and the template.

    Args:
        task: on the simulated phone; what a policy would be shown (masked, augmented) plays no part.
        count: of episodes.
        rng: draws them.

    Raises:
        UserError: the task plays recordings, or an element that the oracle points at is covered.
    """
    if task.recordings is not None:
        raise UserError("only episodes on the phone can be exported; this task plays recordings.")
    for _ in range(count):
        episode = task.start(rng, {})
        steps, success = _played(task, episode.state, episode.goal)
        source, goal = f"phone/{episode.goal.template}", episode.goal.text
        yield Trajectory(goal, tuple(steps), episode.seed, source, goal, None, success)


def _played(task: "UINav", state: Any, goal: Goal) -> tuple[list[Step], bool]:
    steps: list[Step] = []
    for _ in range(task.max_steps):
        action = task.device.oracle(state, goal)
        shot = shot_of(task.device.screen(state))
        steps.append(Step(shot, _move(action, shot)))
        if action.kind in ENDINGS:
            return steps, task.device.success(state, goal, Ending(action.kind, action.text))
        state = task.device.perform(state, action).state
    return steps, False


def shot_of(screen: Screen) -> Shot:
    """Returns a screen as a recorded one, in the pixels of its canvas; its theme and its containers are not kept."""
    elements = tuple(element._replace(children=()) for element in screen.elements)
    about = (screen.app, screen.title, screen.notice, screen.above, screen.below)
    return Shot(elements, screen.width, screen.height, "", *about)


def _move(action: Action, shot: Shot) -> Move:
    """Returns an action as a recorded one, with a point that means its element."""
    if action.kind not in POINTING:
        return Move(action.kind, None, action.text)
    point = point_on(shot.elements, action.element - 1)
    if point is None:
        raise UserError(f"{action} on {shot.app}: {shot.title} points at an element that others cover.")
    return Move(action.kind, point, action.text)
