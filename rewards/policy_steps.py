"""Steps of a policy's own episodes, labelled: what a step reward model has to know before PPO asks it.

The oracle's episodes hold one order of doing things. A policy finds others, such as choosing the day of an event before
its place is typed, and a model that never saw the screens on the way scores by habit there: it let a form be saved half
filled. States that the learner itself comes to are what DAgger (arXiv 1011.0686) adds.
"""

from typing import Any

import numpy as np

from backbones.draws import FEEDBACK, row_seeds
from backbones.generate import ROWS, generate_together
from backbones.roles import Role
from envs.corpora.records import LabelledRecord
from envs.feedback import StepFeedback


def policy_steps(
    steps: StepFeedback,
    role: Role,
    count: int,
    rng: np.random.Generator,
    max_new_tokens: int = 64,
    seed: int = 0,
    corrected: bool = False,
) -> list[LabelledRecord]:
    """`count` labelled steps of episodes that `role` plays.

    Args:
        steps: of whose task the episodes are, and who labels them; an episode ends early where the goal is out of
            reach, since nothing is right from there.
        role: who plays, sampled.
        count: of records.
        rng: of the episodes.
        max_new_tokens: where a response is cut.
        seed: of the samples.
        corrected: a wrong step is followed by the right one of the same state; both count.
    """
    task = steps.task
    records: list[LabelledRecord] = []
    states = [task.start(rng, {}) for _ in range(min(count, ROWS))]
    played = 0  # turns of each
    while len(records) < count:
        shown = [task.turn(state) for state in states]
        images = [turn.image for turn in shown]
        prompts = [role.backbone.encode_prompt(turn.prompt, turn.image) for turn in shown]
        seeds = row_seeds(seed, range(len(states)), played, FEEDBACK)
        texts = [role.backbone.decode(ids) for ids in generate_together(role, prompts, max_new_tokens, 1.0, seeds)]
        for n, (state, text, image) in enumerate(zip(states, texts, images, strict=True)):
            records.append(steps.label(state, text, image))
            if corrected and not records[-1].label:
                records.append(steps.label(state, task.oracle(state), image))
            states[n] = _after(steps, state, text) or task.start(rng, {})
        played += 1
    return records[:count]


def _after(steps: StepFeedback, state: Any, text: str) -> Any | None:
    """Returns the state that a response leads to; None where the episode is over or its goal out of reach."""
    played = steps.task.play(state, text)
    over = played.terminated or played.truncated
    return None if over or not steps.goes_on(played.state) else played.state
