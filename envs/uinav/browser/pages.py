"""Live pages by what was done in them, so that an episode's state can be a value.

A place is a task, a seed and the gestures since: the same place is the same page, since the page's clock stands and its
random numbers are seeded. A page that has gone on, was given to another episode or was lost is reached again by loading
the task and doing the same. That is how groups of episodes begin alike and how a run goes on in the middle of one.
"""

import json
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from envs.uinav.browser.chromium import Chromium, miniwob_pages
from envs.uinav.interface.device import DeviceError
from envs.uinav.recordings.convert.miniwob_page import HEIGHT, WIDTH

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

PAUSE = 1000  # milliseconds that pass in a page with each gesture, and before the first; else its clock stands
_AT_ONCE = 64  # pages that are kept open
_LONGEST = 100  # characters that are typed key by key; a longer text is put in at once
_ASIDE = (490, 230)  # where the mouse rests at first, beside the task


class Gesture(NamedTuple):
    """What is done in a page: "click", "long_press" or "type" on an element, "scroll" in a direction, or "wait".

    Attributes:
        kind: of these.
        text: what is typed, or the direction.
        box: of the element.
        point: in it, which is taken unless something else lies over it there.
    """

    kind: str
    text: str = ""
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    point: tuple[int, int] = (0, 0)


class Place(NamedTuple):
    """Says where an episode stands."""

    task: str
    seed: int
    done: tuple[Gesture, ...] = ()


class Look(NamedTuple):
    """Holds what a page shows.

    Attributes:
        goal: in the page's words.
        page: its nodes, as `envs.uinav.recordings.convert.miniwob_page` reads them.
        over: whether the task has ended its episode.
        reward: the task's own, without its loss for time; from -1 to 1.
        problem: why the last gesture had no effect; "" if it had.
    """

    goal: str
    page: dict[str, Any]
    over: bool
    reward: float
    problem: str = ""


class Pages:
    """The open pages of this process. All methods but the class's own run in the browser's thread."""

    def __init__(self) -> None:
        script = (files("envs.uinav.browser") / "page.js").read_text(encoding="utf-8")
        self._folder = miniwob_pages()
        self.chromium = Chromium(script, self._folder.parent)  # beside the tasks lie the scripts of all
        self._held: OrderedDict[Place, Page] = OrderedDict()  # the one that was used last comes last
        self._free: list[Page] = []

    def begin(self, context: "BrowserContext", task: str, seed: int) -> Look:
        """Loads a task and starts its episode."""
        if len(self._held) >= _AT_ONCE:
            self._free.append(self._held.popitem(last=False)[1])
        page = self._free.pop() if self._free else context.new_page()
        with _closed_with_an_error(page):
            page.goto((self._folder / f"{task}.html").as_uri())
            page.mouse.move(*_ASIDE)
            look = _look(page.evaluate("([seed, pause]) => perlhf.begin(seed, pause)", [seed, PAUSE]))
        self._keep(Place(task, seed), page)
        return look

    def perform(self, context: "BrowserContext", place: Place, gesture: Gesture) -> Look:
        """Does a gesture where an episode stands."""
        page = self._at(context, place)
        with _closed_with_an_error(page):
            problem = _do(page, gesture)
            if page.evaluate("typeof perlhf + typeof core") != "objectobject":
                raise DeviceError("the page was left")
            look = _look(page.evaluate("pause => perlhf.after(pause)", PAUSE), problem)
        self._keep(place._replace(done=(*place.done, gesture)), page)
        return look

    def picture(self, context: "BrowserContext", place: Place) -> bytes:
        """Returns the picture of the task's page, 160 x 210 pixels, as PNG."""
        page = self._at(context, place)
        with _closed_with_an_error(page):
            picture = page.screenshot(clip={"x": 0, "y": 0, "width": WIDTH, "height": HEIGHT})
        self._keep(place, page)
        return picture

    def _keep(self, place: Place, page: "Page") -> None:
        """Notes where a page stands; one that stands there too is free."""
        if place in self._held:
            self._free.append(self._held.pop(place))
        self._held[place] = page

    def _at(self, context: "BrowserContext", place: Place) -> "Page":
        """Returns the page that stands there, no longer held; it is brought there where none does."""
        if place in self._held:
            return self._held.pop(place)
        here = Place(place.task, place.seed)
        self.begin(context, *here[:2])
        for gesture in place.done:
            self.perform(context, here, gesture)
            here = here._replace(done=(*here.done, gesture))
        return self._held.pop(place)


# By process: a forked one starts its own, and leaves its parent's alone.
_pages: dict[int, Pages] = {}
_locks: dict[int, Lock] = {}


def pages() -> Pages:
    """Returns the pages of this process, with a Chromium that runs; threads share them.

    Raises:
        UserError: none can be started.
    """
    process = os.getpid()
    with _locks.setdefault(process, Lock()):
        own = _pages.get(process)
        if own is None or own.chromium.lost:
            own = _pages[process] = Pages()
        return own


def close_pages() -> None:
    """Ends the Chromium of this process, where one runs."""
    own = _pages.pop(os.getpid(), None)
    if own is not None:
        own.chromium.close()


@contextmanager
def _closed_with_an_error(page: "Page") -> Iterator[None]:
    """Closes a page that something fails in: nobody knows where it stands."""
    try:
        yield
    except BaseException:
        page.close()
        raise


def _do(page: "Page", gesture: Gesture) -> str:
    """Does a gesture; returns why it has no effect, or ""."""
    kind, text, box, point = gesture
    x, y = point if kind in ("scroll", "wait") else page.evaluate("given => perlhf.reach(...given)", [*box, *point])
    if kind == "click":
        page.mouse.click(x, y)
    elif kind == "long_press":
        page.mouse.move(x, y)
        page.mouse.down()
        page.evaluate("pause => perlhf.advance(pause)", PAUSE)
        page.mouse.up()
    elif kind == "scroll":
        return str(page.evaluate("direction => perlhf.scroll(direction)", text))
    elif kind == "type":
        return _type(page, x, y, text)
    return ""


def _type(page: "Page", x: float, y: float, text: str) -> str:
    """Puts a text in place of what is in the field at a point: by keys where keys do it."""
    way = page.evaluate("([x, y]) => perlhf.typing(x, y)", [x, y])
    if way in ("chosen", "set"):
        return str(page.evaluate("([x, y, text]) => perlhf.fill(x, y, text)", [x, y, text]))
    page.mouse.click(x, y)
    if way != "keys":
        return "no text can be typed there"
    page.evaluate("document.activeElement && document.activeElement.select && document.activeElement.select()")
    if not text:
        page.keyboard.press("Delete")
    elif len(text) <= _LONGEST:
        page.keyboard.type(text)
    else:
        page.keyboard.insert_text(text)
    return ""


def _look(written: str, problem: str = "") -> Look:
    found = json.loads(written)
    return Look(found["goal"], found["page"], bool(found["done"]), float(found["reward"]), problem)
