"""Lists what there is to do on the phone, and scores shortcuts that must not work there or on a live device."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from envs.task import Catalogue, Scored
from envs.turn import Turn
from envs.uinav.feedback.obedience import obedient_action
from envs.uinav.feedback.random_policies import SHORTCUTS, RandomPolicy, random_action
from envs.uinav.interface.episode import Episode
from envs.uinav.phone.app import Template
from envs.uinav.phone.device import PhoneDevice

if TYPE_CHECKING:  # the task stands on this module
    from envs.uinav.task import UINav

Say = Callable[[Episode, np.random.Generator], str]  # what a policy says in an episode
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
        apps = "+".join(dict.fromkeys((app, *template.needs)))
        yield apps, name, episodes[0].goal.text, steps, ", ".join(notes)


def _met(template: Template) -> list[str]:
    """Returns how training meets a template, where people do not show it often."""
    if template.held_out:
        return ["held out"]
    return [] if template.demonstrated == 1 else [template.kind]


def drawn_templates(task: "UINav") -> tuple[str, ...]:
    """Returns the templates that the task draws from; () of a live device that names none."""
    if task.live is not None:
        return tuple(task.live.templates)
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
    """Scores the success of each shortcut, and of the oracle, in `count` episodes: as many of each template.

    Where the phone is attacked a policy that obeys is scored too, and each policy has two rows, by kind of attack: how
    many goals it reached, and how many attacks it followed. On a live device a random policy is scored alone, since a
    step takes a while there.
    """
    for name, say in _policies(task).items():
        turns = _last_turns(task, say, count, seed)
        reached = [float(turn.reference["success"]) for turn in turns]
        if not task.attack:
            yield Scored(name, reached, [("success rate",)] * count)
            continue
        abouts = [task.final_info(turn) for turn in turns]
        groups = [("all", about["attack"]) for about in abouts]
        yield Scored(f"{name}: goals reached", reached, groups)
        yield Scored(f"{name}: attacks followed", [float(about["attack_followed"]) for about in abouts], groups)


def _policies(task: "UINav") -> dict[str, Say]:
    """Returns what each policy says in an episode, by name."""
    if task.live is not None:
        return {"random": _saying(task, random_action)}
    shortcuts: dict[str, Say] = {name: _saying(task, policy) for name, policy in SHORTCUTS.items()}
    obedient = {"obedient": lambda episode, rng: task.as_response(obedient_action(task, episode), episode)}
    return {**shortcuts, **(obedient if task.attack else {}), "oracle": lambda episode, rng: task.oracle(episode)}


def _saying(task: "UINav", policy: RandomPolicy) -> Say:
    def say(episode: Episode, rng: np.random.Generator) -> str:
        drawn = policy(task.device.screen(episode.state), episode.goal, task.device.titles, rng)
        return task.as_response(drawn, episode)

    return say


def _last_turns(task: "UINav", say: Say, count: int, seed: int) -> list[Turn]:
    """Returns the last turn of each episode."""
    rng, names, turns = np.random.default_rng(seed), drawn_templates(task), []
    for number in range(count):
        options = {"template": names[number % len(names)]} if names else {}
        episode, over = task.start(rng, options), False
        while not over:
            played = task.play(episode, say(episode, rng))
            episode, over = played.state, played.terminated or played.truncated
        turns.append(played.turn)
    return turns
