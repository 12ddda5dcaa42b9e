"""What a policy can learn UI tasks from: the oracle's actions, also in places where only a mistake leads."""

from collections.abc import Iterator

import numpy as np

from envs.uinav.beginners import random_action
from envs.uinav.task import UINav


def demonstrations(task: UINav, rng: np.random.Generator, wander: float = 0.0) -> Iterator[tuple[str, str]]:
    """Endless (prompt, right response), episode by episode.

    Args:
        task: whose episodes are played.
        rng: of the episodes and of the mistakes.
        wander: how often a random action is done in place of the right one, so that the way back is shown as well.
    """
    while True:
        episode = task.start(rng, {})
        while True:
            right = task.oracle(episode)
            yield episode.prompt, right
            done = right
            if rng.random() < wander:
                done = str(random_action(task.device.screen(episode.state), episode.goal, rng))
            _, episode, terminated, truncated = task.play(episode, done)
            if terminated or truncated:
                break
