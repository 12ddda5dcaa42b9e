"""Teaches a small backbone to see: miniature pictures told in words and asked about, easy ones first.

Perception comes before questions. A model that is asked from the start answers from the question alone, and finds the
picture late or never; so at first it only tells what is to be seen, of one thing, then of two, then of up to four.
Several questions about one picture make it read the question, as one question on two pictures makes it look.

To tell what a picture shows is not what takes long: a model that tells every shape may still toss a coin over "Is it a
star?". It has to find in the picture what a question is about and to compare the two, and learns that only where it is
asked often. So one that can tell pictures goes on with `inquiries`: all kinds of questions about each picture at once,
and things to be looked up.
"""

from collections.abc import Iterator, Sequence
from itertools import count

import numpy as np

from envs.lesson import Lesson
from envs.vqav2.asking import another, families_for
from envs.vqav2.lookups import look_up
from envs.vqav2.scenes.annotators import annotate
from envs.vqav2.scenes.corpus import FAMILIES, LEVELS, caption, draw_pair
from envs.vqav2.scenes.families import Family
from envs.vqav2.scenes.picture import draw_picture
from envs.vqav2.scenes.scene import Draw, Scene, in_split
from envs.vqav2.scenes.screens import Screen
from envs.vqav2.task import prompt_of

CAPTION = "CAPTION:"
_CAPTIONS = 0.4  # share of the lessons in which pictures are only told
_THINGS = ((0.12, 1), (0.24, 2), (_CAPTIONS, 4))  # until which share, how many things at most
_LEVELS = ((0.6, 2), (0.75, 3), (1.0, 4))  # until which share, the hardest level of the questions
_MORE = 3  # questions about a picture beside the one that it was posed for
# Of inquiries: share of the pictures that are posed for a level's question (the last level has the most kinds), how
# much is asked of a picture at most, and the share of the pictures that are told as well.
_SHARES, _QUESTIONS, _LOOK_UPS, _ALSO_TOLD = (0.1, 0.2, 0.3, 0.4), 6, 2, 0.25
# What is slow to learn is asked more often from a share of the inquiries on, and screens, whose labels are to be read,
# are then always told.
_EASY_UNTIL, _HARD_SHARES, _MORE_OFTEN = 0.37, (0.08, 0.14, 0.28, 0.5), 3
_SLOW = frozenset((
    "shape", "shape among", "count of shape", "side", "size", "same color", "is material", "count of material",
    "neighbor", "count at side", "is color of neighbor", "material of neighbor", "count of color and shape",
    "count of color and material", "more", "box checked", "switch on", "count of checked boxes", "color of button",
    "label of button", "has button", "row below",
))  # fmt: skip
_OF_LEVEL = {level: [family for family in FAMILIES.values() if family.level == level] for level in LEVELS}


def lessons(rng: np.random.Generator, total: int, size: int = 64) -> Iterator[Lesson]:
    """Endless lessons on pictures and wordings of the training split, of which the first `total` get harder."""
    draw = Draw(rng)
    for number in count():
        done = min(1.0, number / total)
        yield _told(draw, done, size) if done < _CAPTIONS else _asked(draw, rng, done, size)


def inquiries(rng: np.random.Generator, total: int, size: int = 64) -> Iterator[Lesson]:
    """Endless lessons for a model that can tell pictures: of the training split, with truths for answers.

    The truth is what most people say, so these answers are demonstrations as SFT imitates them.

    Args:
        rng: of everything that is drawn.
        total: lessons of which the later ones have more of what is slow to learn.
        size: side of the pictures in pixels.
    """
    draw = Draw(rng)
    for number in count():
        hard = number >= _EASY_UNTIL * total
        level = 1 + int(np.searchsorted(np.cumsum((_HARD_SHARES if hard else _SHARES)[:-1]), draw.number(), "right"))
        pair = draw_pair(draw.pick(_by_weight(_OF_LEVEL[level], hard)), rng, "train")
        which = draw.below(2)
        picture = pair.pictures[which]
        families = _by_weight(families_for(picture), hard)
        others = [another(families, picture, draw, balanced=True) for _ in range(_QUESTIONS - 1)]
        texts = {prompt_of(question): answer for question, answer, _ in filter(None, others)}
        texts[prompt_of(pair.question)] = pair.answer(which)
        texts |= dict(look_up(picture, draw) for _ in range(_LOOK_UPS))
        if draw.number() < _ALSO_TOLD or (hard and isinstance(picture, Screen)):
            texts[CAPTION] = caption(picture)
        yield Lesson(draw_picture(picture, size), [*texts.items()])


def _by_weight(families: Sequence[Family], hard: bool) -> list[Family]:
    """Returns the families, each as often as it is to be drawn."""
    return [family for family in families for _ in range(_MORE_OFTEN if hard and family.name in _SLOW else 1)]


def _told(draw: Draw, done: float, size: int) -> Lesson:
    """Things anywhere, and what they are."""
    most = _at(_THINGS, done)
    while True:
        number = 1 + draw.below(most)
        scene = draw.lone(*draw.pair()) if number == 1 else draw.scene([draw.pair() for _ in range(number)])
        if in_split(scene.fold, "train"):
            return Lesson(draw_picture(scene, size), [(CAPTION, caption(scene))])


def _asked(draw: Draw, rng: np.random.Generator, done: float, size: int) -> Lesson:
    """Returns a picture that a question was posed for, what is to be seen, and that question with a few others."""
    level = 1 + draw.below(_at(_LEVELS, done))
    pair = draw_pair(draw.pick(_OF_LEVEL[level]), rng, "train")
    which = draw.below(2)
    picture = pair.pictures[which]
    texts = [(CAPTION, caption(picture)), _text(pair.question, pair.answer(which), pair.family, draw)]
    if isinstance(picture, Scene) and len(picture.things) > 1:
        families = _OF_LEVEL[min(level, 3)]  # those of level 4 are about pictures of many kinds
        others = (another(families, picture, draw, balanced=False) for _ in range(_MORE))
        texts += [_text(*other, draw) for other in others if other is not None]
    return Lesson(draw_picture(picture, size), texts)


def _text(question: str, truth: str, family: Family, draw: Draw) -> tuple[str, str]:
    """Returns a question as the env asks it, with the answer of one of ten people, who may be mistaken."""
    people = annotate(truth, family.answer_type, family.level, family.answers, draw)
    return prompt_of(question), str(draw.pick(people)["answer"])


def _at(stages: tuple[tuple[float, int], ...], done: float) -> int:
    return next(number for until, number in stages if done <= until)
