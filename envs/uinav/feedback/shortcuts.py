"""Lists what there is to do on the phone, and scores shortcuts that must not work there."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from envs.task import Catalogue, Scored
from envs.uinav.feedback.random_policies import SHORTCUTS, RandomPolicy
from envs.uinav.interface.episode import Episode
from envs.uinav.phone.app import Template
from envs.uinav.phone.device import PhoneDevice

if TYPE_CHECKING:  # the task stands on this module
    from envs.uinav.task import UINav

EPISODES = 50  # of each template, to count the oracle's steps


def template_catalogue(task: "UINav") -> Catalogue:
    """Returns a row for each template: app, an example of its goal, the oracle's steps (median, range), notes."""
    return Catalogue(("app", "template", "a goal", "oracle's steps", ""), _template_rows(task))


def _template_rows(task: "UINav") -> Iterator[tuple[str, str, str, str, str]]:
    rng = np.random.default_rng(0)
    for name in drawn_templates(task):
        app, template = task.known[name]
        episodes = [task.start(rng, {"template": name, "feasible": True}) for _ in range(EPISODES)]
        lengths = [steps_of_oracle(task, episode) for episode in episodes]
        steps = f"{np.median(lengths):.0f} ({min(lengths)} to {max(lengths)})"
        kind = "answer" if template.answer is not None else "state"
        notes = [kind, *["may be infeasible"] * (template.absent is not None), *_met(template)]
        yield app, name, episodes[0].goal.text, steps, ", ".join(notes)


def _met(template: Template) -> list[str]:
    """Returns how training meets a template, where people do not show it often."""
    if template.held_out:
        return ["held out"]
    return [] if template.demonstrated == 1 else [template.kind]


def drawn_templates(task: "UINav") -> tuple[str, ...]:
    """Returns the templates that the task draws from."""
    assert isinstance(task.device, PhoneDevice)
    return task.device.templates


def steps_of_oracle(task: "UINav", episode: Episode) -> int:
    """Counts the actions that the oracle takes to the end."""
    count, ended = 0, False
    while not ended:
        episode, ended = task.advance(episode, task.oracle(episode))
        count += 1
    return count


def shortcut_scores_on_phone(task: "UINav", count: int, seed: int) -> Iterator[Scored]:
    """Scores the success of each shortcut, and of the oracle, in `count` episodes: as many of each template."""
    for name, policy in {**SHORTCUTS, "oracle": None}.items():
        yield Scored(name, _successes(task, policy, count, seed), [("success rate",)] * count)


def _successes(task: "UINav", policy: RandomPolicy | None, count: int, seed: int) -> list[float]:
    """1 for each episode that reached its goal, else 0; None plays the oracle."""
    rng, names = np.random.default_rng(seed), drawn_templates(task)
    reached = []
    for number in range(count):
        episode, over = task.start(rng, {"template": names[number % len(names)]}), False
        while not over:
            action = task.oracle(episode)
            if policy is not None:
                drawn = policy(task.device.screen(episode.state), episode.goal, task.device.titles, rng)
                action = task.as_response(drawn, episode)
            played = task.play(episode, action)
            episode, over = played.state, played.terminated or played.truncated
        reached.append(float(played.turn.reference["success"]))
    return reached
