"""`Scripted`: an agent of a few rules, which know words and no app: what somebody writes in an hour, as a baseline.

It opens the app that words of the goal are cues for; touches what has most words of the goal, then what confirms; fills
empty fields with what the goal says in capitals, digits or an address; scrolls once; answers a question with what
stands behind the words it asks for, and else says done. It touches nothing twice on one page.
"""

import re

from envs.uinav.interface.actions import Action
from envs.uinav.interface.episode import Episode
from envs.uinav.interface.screen import Element, Screen
from envs.uinav.task import UINav

_QUIET = frozenset("a an and the to of in on at for with from is me my it that says say what does all by as".split())
_CUES = {
    "Mail": "email mail inbox",
    "Contacts": "contact call phone company",
    "Messages": "message chat text write",
    "Clock": "alarm timer clock stopwatch",
    "Calendar": "event calendar meeting appointment",
    "Music": "song playlist music play album",
    "Maps": "place map route directions rating",
    "Notes": "note",
    "Shop": "cart buy order shop price",
    "Store": "install uninstall update app store",
    "Search": "search history downloads bookmark page",
    "Settings": "turn switch brightness volume language wifi bluetooth settings mode",
}
_CONFIRM = frozenset("save send ok done confirm allow yes delete add create remove".split())
_VALUE = re.compile(r"\S+@[\w.]+|\d[\d: ]*\d|\b[A-Z]\w*(?: [A-Z]\w*)*")


class Scripted:
    """Acts by rules; what it has tried in an episode is all that it remembers."""

    def __init__(self, task: UINav) -> None:
        self.task = task
        self._tried: dict[int, set[tuple[str, ...]]] = {}

    def act(self, number: int, step: int, episode: Episode) -> Action:
        """Returns the next action in an episode.

        Args:
            number: of the episode.
            step: from 0; what is remembered of this number is forgotten there.
            episode: as it stands.
        """
        if step == 0:
            self._tried[number] = set()
        tried = self._tried[number]
        screen, goal = self.task.device.screen(episode.state), episode.goal.text
        mark, action = _chosen(screen, goal, tuple(self.task.device.titles), frozenset(tried))
        tried.add(mark)
        return action


def _chosen(
    screen: Screen, goal: str, titles: tuple[str, ...], tried: frozenset[tuple[str, ...]]
) -> tuple[tuple[str, ...], Action]:
    """Returns an action and the mark by which it is remembered."""
    wanted = _words(goal)
    if ("open",) not in tried and (title := _app_for(wanted, titles)):
        return ("open",), Action("open_app", 0, title)
    fresh = [(i, e) for i, e in enumerate(screen.elements, 1) if e.enabled and (screen.title, e.label) not in tried]
    able = [(i, e) for i, e in fresh if e.clickable and not e.editable]
    number, best = max(able, key=lambda each: _alike(each[1], wanted), default=(0, None))
    if best is not None and _alike(best, wanted) > 0:
        return (screen.title, best.label), Action("click", number)
    values = [value for value in _VALUE.findall(goal[1:]) if ("typed", value) not in tried]
    for number, field in fresh:
        if field.editable and not field.text and values and "search" not in field.label.lower():
            return ("typed", values[0]), Action("type", number, values[0])
    for number, button in able:
        if _words(button.label) & _CONFIRM:
            return (screen.title, button.label), Action("click", number)
    if screen.below and (screen.title, "scroll") not in tried:
        return (screen.title, "scroll"), Action("scroll", 0, "down")
    return ("done",), Action("done", 0, _answer(screen, wanted))


def _app_for(wanted: frozenset[str], titles: tuple[str, ...]) -> str:
    """Returns the app whose cues, or name, the goal has most of; "" where it has none."""

    def cues(title: str) -> int:
        return len(wanted & (_words(_CUES.get(title, "")) | _words(title)))

    best = max(titles, key=cues, default="")
    return best if best and cues(best) else ""


def _answer(screen: Screen, wanted: frozenset[str]) -> str:
    """Returns what stands behind the words of the goal in a text of the screen, as "9:50" of "Time: 9:50"."""
    for element in screen.elements:
        head, colon, rest = element.label.partition(": ")
        if colon and _words(head) & wanted:
            return rest
    return ""


def _alike(element: Element, wanted: frozenset[str]) -> float:
    """Returns how many words of the goal an element has, and a little less for each other word."""
    words = _words(element.label)
    return len(words & wanted) - 0.01 * len(words) if words & wanted else 0.0


def _words(text: str) -> frozenset[str]:
    """Returns the words of a text that say something, without the s of a plural."""
    found = (word.lower().rstrip(".,?") for word in re.findall(r"[\w@.:'-]+", text))
    return frozenset(word.removesuffix("s") for word in found if word not in _QUIET)
