"""MiniWoB++'s tasks in live pages as a device.

A page is read as `envs.uinav.recordings.convert.miniwob_page` reads the recorded ones, so a policy that learned from
people's demonstrations reads live pages as it read those. Success is the task's own reward, without its loss for time.
Source of the tasks: Farama-Foundation/miniwob-plusplus (Liu et al., ICLR 2018, arXiv 1802.08802).
"""

import io
import re
from collections.abc import Mapping, Sequence
from functools import cache
from random import Random
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from envs.uinav.browser.chromium import find_chromium, miniwob_pages
from envs.uinav.browser.pages import Gesture, Look, Place, close_pages, pages
from envs.uinav.interface.actions import Action
from envs.uinav.interface.device import DeviceError, Ending, Goal, Performed
from envs.uinav.interface.live import LiveDevice
from envs.uinav.interface.screen import HEIGHT, WIDTH, Screen
from envs.uinav.recordings.convert.miniwob_page import HEIGHT as PAGE_HEIGHT
from envs.uinav.recordings.convert.miniwob_page import WIDTH as PAGE_WIDTH
from envs.uinav.recordings.convert.miniwob_page import elements_of
from envs.uinav.recordings.screen import label_of, screen_of, shown
from envs.uinav.recordings.trajectory import POINTING, Shot, point_on
from perlhf.errors import UserError, did_you_mean

# Tasks that need what UINav has no action for: dragging, drawing, hovering, a chosen point, or to be quick. They are
# drawn only where they are named.
BEYOND = frozenset(
    "bisect-angle button-delay chase-circle circle-center click-scroll-list drag-box drag-circle drag-cube drag-items "
    "drag-items-grid drag-shapes drag-shapes-2 drag-single-shape drag-sort-numbers draw-circle draw-line find-midpoint "
    "highlight-text highlight-text-2 hot-cold hover-shape moving-items resize-textarea right-angle simon-says "
    "stock-market text-editor use-colorwheel use-colorwheel-2 use-slider use-slider-2".split()
)
# Tasks that people demonstrated, in what docs/tasks/uinav_browser.md trains on.
DEMONSTRATED = frozenset(
    "choose-date-medium choose-date-nodelay choose-list click-button click-button-sequence click-checkboxes "
    "click-checkboxes-large click-checkboxes-soft click-collapsible click-collapsible-2-nodelay "
    "click-collapsible-nodelay click-color click-dialog click-dialog-2 click-link click-menu click-option click-pie "
    "click-pie-nodelay click-shades click-shape click-tab click-tab-2 click-tab-2-hard click-test click-test-2 "
    "click-widget count-shape email-inbox email-inbox-nl-turk enter-date enter-text enter-text-dynamic enter-time "
    "focus-text focus-text-2 grid-coordinate guess-number identify-shape login-user multi-layouts multi-orderings "
    "navigate-tree social-media social-media-all social-media-some tic-tac-toe use-autocomplete-nodelay "
    "use-spinner".split()
)
_NEEDS_FLIGHTS = frozenset({"book-flight", "book-flight-nodelay"})  # pages of their own, larger than 160 x 210
_QUOTED = re.compile(r'"([^"]+)"')
_SEEDS = 2**31


@cache
def task_names() -> tuple[str, ...]:
    """Returns the names of all tasks that are installed, sorted."""
    return tuple(sorted({path.stem for path in miniwob_pages().glob("*.html")}))


class LivePage(NamedTuple):
    """An episode in a page as a value: what leads there, and what is seen there.

    Attributes:
        place: what leads there.
        shot: the page's elements.
        numbers: those of them that are shown.
        over: whether the task has ended the episode.
        reward: the task's own.
    """

    place: Place
    shot: Shot
    numbers: tuple[int, ...]
    over: bool = False
    reward: float = 0.0


class BrowserDevice(LiveDevice):
    """Tasks of MiniWoB++ in live pages, see `envs.uinav.interface.live.LiveDevice`.

    Args:
        templates: names of tasks joined by "+", or a list; "" for all that UINav's actions can do, "demonstrated" for
            those of them that people demonstrated, "not-demonstrated" for the others.
        max_elements: the most elements of a page that are shown, see `envs.uinav.recordings.screen.shown`.

    Raises:
        UserError: a package or Chromium is missing, or a task is unknown.
    """

    repeats = True
    reset_options = frozenset({"template", "seed"})

    def __init__(self, templates: str | Sequence[str] = "", max_elements: int = 40) -> None:
        known = task_names()
        find_chromium()
        given = [name for name in templates.split("+") if name] if isinstance(templates, str) else list(templates)
        able = [name for name in known if name not in BEYOND | _NEEDS_FLIGHTS]
        groups = {
            "demonstrated": [name for name in able if name in DEMONSTRATED],
            "not-demonstrated": [name for name in able if name not in DEMONSTRATED],
        }
        names = [name for each in given for name in groups.get(each, [each])]
        for name in names:
            _check_name(name)
        self.templates = tuple(dict.fromkeys(names or able))
        self.max_elements = max_elements

    def check(self, options: Mapping[str, Any]) -> None:
        """Refuses a template that is no task; UserError."""
        if "template" in options:
            _check_name(options["template"])

    def reset(self, rng: Random, options: Mapping[str, Any]) -> tuple[LivePage, Goal]:
        """Options: "template", the name of a task; else one is drawn."""
        drawn = self.templates[int(rng.random() * len(self.templates))]
        place = Place(options.get("template", drawn), int(rng.random() * _SEEDS))
        try:
            look = _asked("begin", place.task, place.seed)
        except DeviceError:  # nobody can go on without a beginning, so once more, in another Chromium if that was lost
            look = _asked("begin", place.task, place.seed)
        values = {f"text {i}": text for i, text in enumerate(dict.fromkeys(_QUOTED.findall(look.goal)), 1)}
        return self._seen(place, look), Goal(f"miniwob/{place.task}", look.goal, values)

    def _seen(self, place: Place, look: Look) -> LivePage:
        shot = Shot(elements_of(look.page), PAGE_WIDTH, PAGE_HEIGHT)
        return LivePage(place, shot, shown(shot, look.goal, self.max_elements), look.over, look.reward)

    def screen(self, state: LivePage) -> Screen:
        """Returns the page's elements that are shown, on the canvas of 288 x 512 pixels."""
        return screen_of(state.shot, state.numbers)

    def perform(self, state: LivePage, action: Action) -> Performed:
        """See `envs.uinav.interface.device.Device.perform`."""
        label, shot, gesture = str(action), state.shot, Gesture(action.kind, action.text)
        if action.kind in POINTING:
            if action.element == 0:
                return Performed(state, label, "elements are numbered from 1")
            if action.element > len(state.numbers):
                return Performed(state, label, f"no element {action.element}, the last is {len(state.numbers)}")
            chosen = state.numbers[action.element - 1]
            element = shot.elements[chosen]
            name = label_of(element).partition(",")[0]
            label = f"{action.kind} {name}"
            if action.kind == "type" and not element.editable:
                return Performed(state, label, f"{name} takes no text")
            gesture = gesture._replace(box=element.box, point=point_on(shot.elements, chosen) or element.box.middle)
        elif action.kind not in ("scroll", "wait"):
            return Performed(state, label, "a page has no such thing")
        look = _asked("perform", state.place, gesture)
        place = state.place._replace(done=(*state.place.done, gesture))
        return Performed(self._seen(place, look), label, look.problem)

    def over(self, state: LivePage) -> bool:
        """Where the task has ended its episode."""
        return state.over

    def success(self, state: LivePage, goal: Goal, ending: Ending) -> bool:
        """Returns whether the task gave its whole reward."""
        return state.reward == 1

    def picture(self, state: LivePage) -> np.ndarray:
        """Returns the page on the canvas, each side scaled by itself so that boxes fit, (512, 288, 3) uint8."""
        image = Image.open(io.BytesIO(_asked("picture", state.place))).convert("RGB")
        return np.array(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))

    def close(self) -> None:
        """Ends the Chromium of this process."""
        close_pages()


def _asked(what: str, *arguments: Any) -> Any:
    own = pages()
    return own.chromium.ask(getattr(own, what), *arguments)


def _check_name(name: Any) -> None:
    if name not in task_names():
        raise UserError(f"unknown task {name!r} of MiniWoB++.{did_you_mean(str(name), task_names())}")
