"""Teaches a small backbone to act from pixels: to read what screens show first, and then what to do there.

A model that is shown screens and right actions alone learns which action comes next and not where things are: for one
action there is one place to find. So it reads first, until it knows the words of a screen. Then screens are asked about
several times: `FIND Rosa Hall` is answered by a click on it, and a page on which many goals begin is shown with a few
of them, each with the oracle's action. What these screens say is told at first, and only then has to be read.
"""

from collections.abc import Iterator
from functools import cache
from itertools import count, islice
from random import Random
from typing import Any

import numpy as np

from envs.lesson import Lesson
from envs.uinav.drawing.words import words_on
from envs.uinav.feedback.demonstrations import visited
from envs.uinav.interface.actions import Action
from envs.uinav.interface.episode import Episode
from envs.uinav.interface.screen import Element, Screen
from envs.uinav.observations import PICTURED
from envs.uinav.phone.app import HOME
from envs.uinav.phone.device import PhoneDevice
from envs.uinav.reading import Vocabulary, pages_of_words
from envs.uinav.task import UINav

SIZE, DENSITY = (192, 320), 0.8  # width and height of the pictures, pixels: of the smallest page that there is
STEP = 16  # pixels, across and down, in which points are said: what one token of a picture is of
SEEN: dict[str, Any] = {"image": True, "text": "none", "screen_size": f"{SIZE[0]}x{SIZE[1]}", "density": DENSITY}
FORMS: dict[str, dict[str, Any]] = {  # options of the env
    "coordinates": {**SEEN, "actions": f"coordinates:{SIZE[0] // STEP}x{SIZE[1] // STEP}"},
    "marks": {**SEEN, "marks": True},
}
EASIEST = "easiest"
READING = 0.75  # share of the lessons, the first, that are read alone
_TOLD = 0.9  # share of the lessons until which screens that are acted on are told, not shown
# Share of the pages of words among these, until which share of them; the others are screens.
_STAGES = ((0.3, 1.0), (0.6, 0.5), (1.0, 0.25))
_ACTED_IN = 0.6  # share of these screens that are of the easiest templates
_MARKED = 0.4  # share of the screens with marks
_STREAMS = 16  # episodes side by side, so that a batch is not of one episode
_SAID = 4000  # screens that the words are of
_HOMES = (0.02, 0.3)  # share of the home screens that are read, and acted on: they are all alike
_FINDS, _GOALS = 1, 2  # questions on a screen, and other goals
_WHOLE = 0.7  # share of the questions that name all of a line
_MOST = 5  # words of a line that are asked for


def screen_lessons(rng: np.random.Generator, total: int) -> Iterator[Lesson]:
    """Endless lessons on screens of the training split, of which the first `total` go from reading to acting."""
    pages = pages_of_words(said_on_screens(), rng, SIZE, DENSITY)
    anything, easy, acting = _streams("", rng, False), _streams(EASIEST, rng, False), _streams(EASIEST, rng, True)
    for number in count():
        if number < READING * total:
            of_pages = next(share for until, share in _STAGES if number < until * READING * total)
            if rng.random() < of_pages:
                yield next(pages)
                continue
            screens = easy if rng.random() < _ACTED_IN else anything
        else:
            screens = acting
        lesson = next(screens[int(rng.random() >= _MARKED)])
        yield lesson._replace(told=READING * total <= number < _TOLD * total)


@cache
def said_on_screens() -> Vocabulary:
    """Returns the words of screens of the training split."""
    task, rng = UINav(), np.random.default_rng(0)
    return Vocabulary.of(task.device.screen(episode.state) for episode in islice(visited(task, rng), _SAID))


def _streams(templates: str, rng: np.random.Generator, acts: bool) -> list[Iterator[Lesson]]:
    """Endless lessons on screens with marks, and on those without."""
    forms = [UINav(templates=templates, **FORMS[name]) for name in ("marks", "coordinates")]
    return [_lessons(task, rng, acts) for task in forms]


def _lessons(task: UINav, rng: np.random.Generator, acts: bool) -> Iterator[Lesson]:
    """Endless lessons on the screens of a task; with what to find and to do there where `acts`."""
    episodes = [visited(task, rng) for _ in range(_STREAMS)]
    for number in count():
        episode = next(episodes[number % _STREAMS])
        at_home = episode.state.phone.app == HOME
        if at_home and rng.random() >= _HOMES[acts]:
            continue
        screen, texts = task.device.screen(episode.state), {}
        if acts:
            texts[episode.prompt] = task.oracle(episode)
        if acts and not at_home:
            texts |= other_goals(task, episode, rng, _GOALS) | questions(task, episode, screen, rng, _FINDS)
        yield Lesson(task.observe(episode)["image"], [*texts.items()], words_on(screen, DENSITY, task.marks))


def questions(task: UINav, episode: Episode, screen: Screen, rng: np.random.Generator, most: int) -> dict[str, str]:
    """Returns responses by prompts: where words and icons are that one element has."""
    found: dict[str, str] = {}
    for number in rng.permutation(len(screen.elements))[:most]:
        element = screen.elements[number]
        if (words := part_of(element, rng)) and sum(words in other.label for other in screen.elements) == 1:
            click = task.as_response(Action("click", int(number) + 1), episode)
            found[f"FIND {words}\n{PICTURED}\nACTION:"] = click
    return found


def part_of(element: Element, rng: np.random.Generator) -> str:
    """Returns a line of an element's label, or a few words of it."""
    lines = [line for part in element.label.split("\n") for line in part.split(", ") if line]
    words = lines[int(rng.integers(len(lines)))].split() if lines else []
    if rng.random() >= _WHOLE and words:
        start = int(rng.integers(len(words)))
        words = words[start : start + int(rng.integers(1, _MOST))]
    return " ".join(words[:_MOST])


def other_goals(task: UINav, episode: Episode, rng: np.random.Generator, most: int) -> dict[str, str]:
    """Returns responses by prompts: other goals of the same app that might begin as this episode has.

    Only on the first page of an app, where nothing has been changed by then.
    """
    phone, device = episode.state.phone, task.device
    assert isinstance(device, PhoneDevice)
    if phone.held or phone.dialog or len(phone.stack) != 2 or phone.focus:
        return {}
    names = [name for name in task.drawn if task.known[name].app == phone.app]
    names = [name for name in names if task.known[name].template.prepare is None]
    draws = Random(int(rng.integers(2**32)))
    found = {}
    for _ in range(most if names else 0):
        state, goal = device.another_goal(episode.state, draws.choice(names), draws)
        other = episode._replace(state=state, goal=goal)
        _, _, rest = episode.prompt.partition("\n")
        found[f"GOAL {goal.text}\n{rest}"] = task.oracle(other)
    return found
