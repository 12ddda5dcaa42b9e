"""What a UI task consists of and what it cannot be won by: its templates, and tricks against its own verdict."""

from collections.abc import Iterator

import numpy as np

from envs.uinav.feedback.random_policies import TRICKS, Beginner
from envs.uinav.phone.device import PhoneDevice
from envs.uinav.task import Episode, UINav
from evaluation.metrics import Interval, bootstrap_mean

EPISODES = 50  # of each template, to count the oracle's steps


def template_rows(task: UINav) -> Iterator[tuple[str, str, str, str, str]]:
    """App, template, an example of its goal, the oracle's steps (median, least to most) and what else is to say."""
    rng = np.random.default_rng(0)
    for name in drawn(task):
        app, template = task.known[name]
        episodes = [task.start(rng, {"template": name, "feasible": True}) for _ in range(EPISODES)]
        lengths = [steps_of_oracle(task, episode) for episode in episodes]
        steps = f"{np.median(lengths):.0f} ({min(lengths)} to {max(lengths)})"
        kind = "answer" if template.answer is not None else "state"
        notes = [kind, *["may be infeasible"] * (template.absent is not None), *["held out"] * template.held_out]
        yield app, name, episodes[0].goal.text, steps, ", ".join(notes)


def drawn(task: UINav) -> tuple[str, ...]:
    """The templates that the task draws from."""
    assert isinstance(task.device, PhoneDevice)
    return task.device.templates


def steps_of_oracle(task: UINav, episode: Episode) -> int:
    """How many actions the oracle takes to the end."""
    count, ended = 0, False
    while not ended:
        episode, ended = task.advance(episode, task.oracle(episode))
        count += 1
    return count


def trick_rows(task: UINav, count: int, seed: int) -> Iterator[tuple[str, Interval]]:
    """Name and success rate of each trick over `count` episodes, as many of each template, and of the oracle."""
    for name, trick in TRICKS.items():
        yield name, bootstrap_mean(successes(task, trick, count, seed))
    yield "oracle", bootstrap_mean(successes(task, None, count, seed))


def successes(task: UINav, trick: Beginner | None, count: int, seed: int) -> list[float]:
    """1 for each episode that reached its goal, else 0; None plays the oracle."""
    rng, names = np.random.default_rng(seed), drawn(task)
    reached = []
    for number in range(count):
        episode, over = task.start(rng, {"template": names[number % len(names)]}), False
        while not over:
            action = task.oracle(episode)
            if trick is not None:
                action = str(trick(task.device.screen(episode.state), episode.goal, rng))
            played = task.play(episode, action)
            episode, over = played.state, played.terminated or played.truncated
        reached.append(float(played.turn.reference["success"]))
    return reached
