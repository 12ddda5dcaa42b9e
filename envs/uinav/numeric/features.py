"""A UI episode as numbers: what the elements are, how they match the goal, what was done. All are from 0 to 1."""

import re
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

import numpy as np
from gymnasium import spaces

from envs.uinav.interface.episode import Episode
from envs.uinav.interface.screen import ANDROID_CLASSES, HEIGHT, WIDTH, Element, Screen
from envs.uinav.numeric.actions import KINDS, MAX_ELEMENTS, MAX_VALUES, kind_number

ELEMENT_KINDS = tuple(ANDROID_CLASSES)[:12]  # those of leaves; the others are containers
FLAGS = ("clickable", "editable", "checkable", "checked", "focused", "enabled", "long_clickable")
SIDES = ("left", "top", "right", "bottom")
MATCHES = ("in_goal", "goal_in", "in_wording")  # see `_matches`
SLOTS = ("equals", "contains", "holds", "asked")  # of each value of the goal, see `_slots`
LABEL_WORDS, GOAL_WORDS, SCREEN_WORDS, NOTICE_WORDS, DONE_WORDS = 16, 32, 16, 8, 16  # of hashed bags of words
ROW = len(ELEMENT_KINDS) + len(FLAGS) + len(SIDES) + len(MATCHES) + len(SLOTS) * MAX_VALUES + LABEL_WORDS
_PLACE = {kind: place for place, kind in enumerate(ELEMENT_KINDS)}
_WORD = re.compile(r"\w+")


def observation_space() -> spaces.Dict:
    """Returns the space of `features`: one flat float32 Box from 0 to 1 for each part."""
    sizes = {
        "elements": MAX_ELEMENTS * ROW,
        "mask": MAX_ELEMENTS,
        "goal": GOAL_WORDS + 1,
        "screen": SCREEN_WORDS + NOTICE_WORDS + 5,
        "history": len(KINDS) + 2 + DONE_WORDS,
    }
    return spaces.Dict({name: spaces.Box(0.0, 1.0, (size,), np.float32) for name, size in sizes.items()})


def features(episode: Episode, screen: Screen, max_steps: int) -> dict[str, np.ndarray]:
    """Returns what a policy is shown.

    Args:
        episode: as it is.
        screen: of it, with its elements in the order of `ranked`.
        max_steps: at which the episode is truncated.

    Returns:
        "elements": (MAX_ELEMENTS * ROW,), a row for each element, as `element_row` gives it;
        "mask": (MAX_ELEMENTS,), 1 where there is an element;
        "goal": (GOAL_WORDS + 1,), the words of the goal without its values, and how many values there are, of 4;
        "screen": words of the app's and the page's name, of the notice, then whether there is more above, more below,
        a dialog, a keyboard, a notice;
        "history": kind of the last action, whether it had a problem, share of `max_steps` that is over, words of the
        last actions. All are float32 from 0 to 1.
    """
    goal = read_goal(episode.goal.text, tuple(episode.goal.values.items()))
    elements = np.zeros((MAX_ELEMENTS, ROW), np.float32)
    mask = np.zeros(MAX_ELEMENTS, np.float32)
    rows = [element_row(element, goal) for element in screen.elements[:MAX_ELEMENTS]]
    if rows:
        elements[: len(rows)] = rows
    mask[: len(screen.elements)] = 1.0
    return {
        "elements": elements.reshape(-1),
        "mask": mask,
        "goal": _goal_row(goal.wording, len(goal.values)).copy(),
        "screen": _screen(screen),
        "history": _history(episode, max_steps),
    }


@lru_cache(maxsize=1024)
def _goal_row(wording: str, values: int) -> np.ndarray:
    return np.append(bag(wording, GOAL_WORDS), np.float32(values / MAX_VALUES))


class ReadGoal(NamedTuple):
    """A goal in words, lower case.

    Attributes:
        text: all of it, between spaces.
        wording: its words without those of its values.
        values: what it was filled with, the first `MAX_VALUES`, as they are.
        spelled: the words of each value, between spaces.
        asked: for each value its name and the word in front of it: what a field for it may be called.
    """

    text: str
    wording: str
    values: tuple[str, ...]
    spelled: tuple[str, ...]
    asked: tuple[frozenset[str], ...]


@lru_cache(maxsize=1024)
def read_goal(text: str, values: tuple[tuple[str, str], ...]) -> ReadGoal:
    """Returns the goal of an episode from its text and its values by name."""
    values = values[:MAX_VALUES]
    wording = text
    for _, value in sorted(values, key=lambda pair: -len(pair[1])):
        wording = wording.replace(value, " ")
    asked = []
    for name, value in values:
        before = words(text.partition(value)[0])
        asked.append(frozenset(words(name) + before[-1:]))
    spelled = tuple(_spelled(value) for _, value in values)
    return ReadGoal(_spelled(text), _spelled(wording), tuple(value for _, value in values), spelled, tuple(asked))


def ranked(screen: Screen, goal: ReadGoal) -> tuple[int, ...]:
    """Returns the positions of the elements, those first that match the goal best, in reading order among equals.

    A network without shared weights learns "the first element" much sooner than "the element that matches".
    """
    elements = screen.elements
    return tuple(sorted(range(len(elements)), key=lambda position: -_match(elements[position], goal)))


@lru_cache(maxsize=16384)
def _match(element: Element, goal: ReadGoal) -> float:
    """Share of the label's words that the goal has, 2 for a value in it; 4 more if something can be done with it."""
    label = _spelled(element.label)
    match = _matches(label, goal)[0] + 2 * any(value in label for value in goal.spelled if value.strip())
    able = element.clickable or element.editable or element.long_clickable
    return match + 4 if match and able else match


@lru_cache(maxsize=16384)
def element_row(element: Element, goal: ReadGoal) -> np.ndarray:
    """One element, (ROW,) float32: kind, `FLAGS`, `SIDES`, `MATCHES`, `SLOTS` of each value, words of its label.

    Kept, since most of a screen is the same one action later; never change it.
    """
    row = np.zeros(ROW, np.float32)
    if element.kind in _PLACE:
        row[_PLACE[element.kind]] = 1.0
    box = element.box
    sides = (box.left / WIDTH, box.top / HEIGHT, box.right / WIDTH, box.bottom / HEIGHT)
    label = _spelled(element.label)
    rest = (*_flags(element), *sides, *_matches(label, goal), *_slots(element, label, goal))
    row[len(ELEMENT_KINDS) : ROW - LABEL_WORDS] = np.clip(rest, 0.0, 1.0)
    row[ROW - LABEL_WORDS :] = bag(label, LABEL_WORDS)
    row.flags.writeable = False
    return row


def _flags(element: Element) -> tuple[float, ...]:
    checkable = element.checked is not None
    states = (element.clickable, element.editable, checkable, checkable and element.checked)
    return tuple(float(bool(on)) for on in (*states, element.focused, element.enabled, element.long_clickable))


def _matches(label: str, goal: ReadGoal) -> tuple[float, ...]:
    """Share of the label's words that the goal has, of the goal's that the label has; whether its wording has one."""
    said, wanted, wording = set(label.split()), set(goal.text.split()), set(goal.wording.split())
    both = len(said & wanted)
    return both / max(1, len(said)), both / max(1, len(wanted)), float(bool(said & wording))


def _slots(element: Element, label: str, goal: ReadGoal) -> list[float]:
    """For each value: the label is it; has it in it; the field holds it; the label is what the value is asked for as.

    Empty slots are 0.
    """
    found: list[float] = []
    typed = _spelled(element.text) if element.editable else ""
    for spelled, asked in zip(goal.spelled, goal.asked, strict=True):
        there = bool(spelled.strip())
        matches = (label == spelled, spelled in label, typed == spelled)
        found += [float(there and match) for match in matches]
        found.append(float(not asked.isdisjoint(label.split())))
    return found + [0.0] * (len(SLOTS) * (MAX_VALUES - len(goal.spelled)))


def _screen(screen: Screen) -> np.ndarray:
    kinds = [part.kind for part in screen.parts]
    row = np.zeros(SCREEN_WORDS + NOTICE_WORDS + 5, np.float32)
    row[:SCREEN_WORDS] = bag(f"{screen.app} {screen.title}", SCREEN_WORDS)
    row[SCREEN_WORDS:-5] = bag(screen.notice, NOTICE_WORDS)
    row[-5:] = screen.above, screen.below, "dialog" in kinds, "keyboard" in kinds, bool(screen.notice)
    return row


def _history(episode: Episode, max_steps: int) -> np.ndarray:
    row = np.zeros(len(KINDS) + 2 + DONE_WORDS, np.float32)
    last = kind_number(episode.responses[-1]) if episode.responses else None
    if last is not None:
        row[last] = 1.0
    row[len(KINDS)] = bool(episode.problem)
    row[len(KINDS) + 1] = min(1.0, len(episode.responses) / max_steps)
    row[len(KINDS) + 2 :] = bag(" ".join(episode.history), DONE_WORDS)
    return row


@lru_cache(maxsize=16384)
def bag(text: str, size: int) -> np.ndarray:
    """Returns which of `size` buckets the words of a text fall into, (size,) float32 of 0 and 1; never change it.

    By CRC-32, which is the same in every process, as `hash` is not.
    """
    row = np.zeros(size, np.float32)
    for word in words(text):
        row[crc32(word.encode()) % size] = 1.0
    row.flags.writeable = False
    return row


def words(text: str) -> list[str]:
    """Returns the words of a text, lower case, without punctuation."""
    return _WORD.findall(text.casefold())


@lru_cache(maxsize=16384)
def _spelled(text: str) -> str:
    """Returns the words between spaces, so that `in` finds whole words alone."""
    return f" {' '.join(words(text))} "
