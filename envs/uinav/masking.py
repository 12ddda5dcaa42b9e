"""Masks the values of a goal, and augments what does not matter on a screen, as UINav does (arXiv 2312.10170)."""

import re
from collections.abc import Sequence
from random import Random

from envs.uinav.interface.actions import Action
from envs.uinav.interface.device import Goal
from envs.uinav.interface.screen import Box, Element, Screen
from envs.uinav.phone.words import SENTENCES, SUBJECTS, full_name, pick

# What names an element at the beginning of a line, in each text of a screen.
_NUMBERED = re.compile(r'([0-9]+ |\t*\[[0-9]+\] |UI element [0-9]+: \{"index": [0-9]+, )(.*)', re.DOTALL)
_JITTER = 4  # pixels


def mask_goal(prompt: str, goal: Goal) -> str:
    """Writes `<name>` in place of each value of the goal, on the screen as well; element numbers stay."""
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
    """Writes the values in place of their names in a response."""
    for name, value in goal.values.items():
        response = response.replace(f"<{name}>", value)
    return response


def augment(screen: Screen, action: Action, needed: Sequence[str], share: float, rng: Random) -> Screen:
    """Returns the screen with other words and moved boxes where they do not matter for the next action.

    Args:
        screen: what is shown.
        action: the right one; what it points at, and what says its text, stays.
        needed: other texts that stay, and that no changed element says: the values of the goal, an answer.
        share: of the elements that do not matter.
        rng: of the changes.
    """
    kept = [text.casefold() for text in (action.text, *needed) if text]
    changed = {}
    for number, element in enumerate(screen.elements, 1):
        if number != action.element and not _says(element, kept) and not element.editable and rng.random() < share:
            changed[id(element)] = _changed(element, kept, (screen.width, screen.height), rng)
    parts = tuple(part._replace(children=tuple(changed.get(id(e), e) for e in part.children)) for part in screen.parts)
    return screen._replace(parts=parts, elements=tuple(changed.get(id(e), e) for e in screen.elements))


def _says(element: Element, texts: Sequence[str]) -> bool:
    """Returns whether the element says one of the texts, or a part of one, as a name in a goal may be cut."""
    said = f"{element.text} {element.description}".strip().casefold()
    return any(text in said or (len(said) > 1 and said in text) for text in texts)


def _changed(element: Element, kept: Sequence[str], sides: tuple[int, int], rng: Random) -> Element:
    words = pick(rng, (pick(rng, SUBJECTS), pick(rng, SENTENCES), full_name(rng)))
    if any(text in words.casefold() or words.casefold() in text for text in kept):
        words = "Something else"  # no second element may say what the goal is about
    left, top, right, bottom = element.box
    across, down = rng.randint(-_JITTER, _JITTER), rng.randint(-_JITTER, _JITTER)
    across, down = max(-left, min(across, sides[0] - right)), max(-top, min(down, sides[1] - bottom))
    box = Box(left + across, top + down, right + across, bottom + down)
    if element.description:
        return element._replace(description=words, box=box)
    return element._replace(text=words, box=box)
