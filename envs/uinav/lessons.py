"""Teaches a small backbone to act from pixels: to find and read what screens show first, and then what to do there.

A model that is shown screens and right actions alone learns which action comes next and not where things are: for one
action there is one place to find. So each screen is asked about many times. `FIND Rosa Hall` is answered by a click on
it, `READ 8, 11` (a point) or `READ 3` (a mark) by what stands there, and a page on which many goals begin is shown with
several of them, each with the oracle's action.
"""

from collections.abc import Iterator
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
_MARKED = 0.4  # share of the pictures with marks
_STREAMS = 16  # episodes side by side, so that a batch is not of one episode
_PAGES = 0.19  # share of the lessons, the first, that are pages of words
# Share of the later pictures that are shown with what to do there, until which share of all.
_STAGES = ((0.35, 0.3), (1.0, 0.8))
_SAID = 4000  # screens that the words are of
_HOMES = 0.2  # share of the home screens that are shown: they are all alike
_FINDS, _READS, _GOALS = (8, 3), (2, 1), 4  # questions on a screen alone and beside goals; goals on it
_WHOLE = 0.7  # share of the questions that name all of a line
_MOST = 5  # words of a line that are asked for or said
_TRIES = 20


def screen_lessons(rng: np.random.Generator, total: int) -> Iterator[Lesson]:
    """Endless lessons on screens of the training split, of which the first `total` go from reading to acting."""
    task, draws = UINav(), np.random.default_rng(0)
    said = Vocabulary.of(task.device.screen(episode.state) for episode in islice(visited(task, draws), _SAID))
    pages = pages_of_words(said, rng, SIZE, DENSITY)
    reading, acting = (_streams(templates, rng) for templates in ("", EASIEST))
    for number in count():
        if number < _PAGES * total:
            yield next(pages)
            continue
        shown = next((share for until, share in _STAGES if number < until * total), _STAGES[-1][1])
        acts = rng.random() < shown
        yield next((acting if acts else reading)[int(rng.random() >= _MARKED)])


def _streams(templates: str, rng: np.random.Generator) -> list[Iterator[Lesson]]:
    """Endless lessons on screens with marks, and on those without."""
    forms = [UINav(templates=templates, **FORMS[name]) for name in ("marks", "coordinates")]
    return [_lessons(task, rng, bool(templates)) for task in forms]


def _lessons(task: UINav, rng: np.random.Generator, acts: bool) -> Iterator[Lesson]:
    """Endless lessons on the screens of a task; with what to do there where `acts`."""
    episodes = [visited(task, rng) for _ in range(_STREAMS)]
    for number in count():
        episode = next(episodes[number % _STREAMS])
        if episode.state.phone.app == HOME and rng.random() >= _HOMES:
            continue
        screen = task.device.screen(episode.state)
        texts = questions(task, episode, screen, rng, _FINDS[acts], _READS[acts])
        if acts:
            texts |= {episode.prompt: task.oracle(episode)} | other_goals(task, episode, rng, _GOALS)
        if texts:
            yield Lesson(task.observe(episode)["image"], [*texts.items()], words_on(screen, DENSITY, task.marks))


def questions(
    task: UINav, episode: Episode, screen: Screen, rng: np.random.Generator, finds: int, reads: int
) -> dict[str, str]:
    """Returns responses by prompts: where words and icons are that one element has, and what an element says."""
    found: dict[str, str] = {}
    for number in rng.permutation(len(screen.elements))[: finds + reads]:
        element = screen.elements[number]
        click = task.as_response(Action("click", int(number) + 1), episode)
        if len(found) >= finds:
            read = " ".join(element.label.replace("\n", " ").split()[:_MOST])
            found[f"READ {click.removeprefix('click(').rstrip(')')}\nTEXT:"] = read
        elif (words := part_of(element, rng)) and sum(words in other.label for other in screen.elements) == 1:
            found[f"FIND {words}\nACTION:"] = click
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
