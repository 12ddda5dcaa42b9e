"""Two tricks of UINav (arXiv 2312.10170): utterance masking, and augmentation of what does not matter."""

import re
from random import Random

from envs.uinav.actions import Action
from envs.uinav.device import Goal
from envs.uinav.phone.words import SENTENCES, SUBJECTS, full_name, pick
from envs.uinav.screen import HEIGHT, WIDTH, Box, Element, Screen

_NUMBERED = re.compile(r"([0-9]+ )(.*)", re.DOTALL)
_JITTER = 4  # pixels


def mask_goal(prompt: str, goal: Goal) -> str:
    """The prompt with `<name>` in place of each value of the goal, on the screen as well; element numbers stay."""
    values = sorted(goal.values.items(), key=lambda item: -len(item[1]))
    if not values:
        return prompt
    names = {value: f"<{name}>" for name, value in reversed(values)}
    known = re.compile("|".join(rf"(?<!\w){re.escape(value)}(?!\w)" for _, value in values))
    lines = []
    for line in prompt.split("\n"):
        numbered = _NUMBERED.fullmatch(line)
        head, rest = numbered.groups() if numbered else ("", line)
        lines.append(head + known.sub(lambda found: names[found[0]], rest))
    return "\n".join(lines)


def unmask(response: str, goal: Goal) -> str:
    """The response with the values in place of their names."""
    for name, value in goal.values.items():
        response = response.replace(f"<{name}>", value)
    return response


def augment(screen: Screen, action: Action, goal: Goal, share: float, rng: Random) -> Screen:
    """The screen with what does not matter for the next action changed: other words in it, its box moved a little.

    Args:
        screen: what is shown.
        action: the right one; what it points at stays.
        goal: what it speaks of stays too.
        share: of the elements that do not matter.
        rng: of the changes.
    """
    changed = {}
    for number, element in enumerate(screen.elements, 1):
        if number != action.element and not _matters(element, goal) and rng.random() < share:
            changed[id(element)] = _changed(element, rng)
    parts = tuple(part._replace(children=tuple(changed.get(id(e), e) for e in part.children)) for part in screen.parts)
    return screen._replace(parts=parts, elements=tuple(changed.get(id(e), e) for e in screen.elements))


def _matters(element: Element, goal: Goal) -> bool:
    said = f"{element.text} {element.description}".casefold()
    return element.editable or any(value.casefold() in said for value in goal.values.values())


def _changed(element: Element, rng: Random) -> Element:
    words = pick(rng, (pick(rng, SUBJECTS), pick(rng, SENTENCES), full_name(rng)))
    left, top, right, bottom = element.box
    across, down = rng.randint(-_JITTER, _JITTER), rng.randint(-_JITTER, _JITTER)
    across, down = max(-left, min(across, WIDTH - right)), max(-top, min(down, HEIGHT - bottom))
    box = Box(left + across, top + down, right + across, bottom + down)
    if element.description:
        return element._replace(description=words, box=box)
    return element._replace(text=words, box=box)
