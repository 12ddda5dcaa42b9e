"""Says how often each template is demonstrated: people show some of them often, some seldom, and some never."""

from typing import TYPE_CHECKING

from envs.uinav.feedback.shortcuts import drawn_templates

if TYPE_CHECKING:  # the task stands on this package
    from envs.uinav.task import UINav


def demonstrated_weights(task: "UINav") -> dict[str, float]:
    """Returns the weight of each template that the task draws from, in the order it draws from them; they sum to 1.

    Held-out templates and those that are never demonstrated weigh 0. Where the task draws from no others, as where
    they are named, all weigh the same.
    """
    names = drawn_templates(task)
    templates = [task.known[name].template for name in names]
    weights = [0.0 if template.held_out else template.demonstrated for template in templates]
    whole = sum(weights)
    return {name: weight / whole if whole else 1 / len(names) for name, weight in zip(names, weights, strict=True)}
