"""Teaches a small backbone to see: miniature pictures told in words and asked about, easy ones first.

Perception comes before questions. A model that is asked from the start answers from the question alone, and finds the
picture late or never; so at first it only tells what is to be seen, of one thing, then of two, then of up to four.
Several questions about one picture make it read the question, as one question on two pictures makes it look.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np

from envs.vqav2.scenes.annotators import annotate
from envs.vqav2.scenes.corpus import FAMILIES, LEVELS, caption, draw_pair, wording_for
from envs.vqav2.scenes.families import Family, Words, fill
from envs.vqav2.scenes.picture import draw_picture
from envs.vqav2.scenes.questions import PLURALS
from envs.vqav2.scenes.relations import SIDES
from envs.vqav2.scenes.scene import MATERIALS, Draw, Scene, in_split
from envs.vqav2.task import prompt_of

CAPTION = "CAPTION:"
_CAPTIONS = 0.4  # share of the lessons in which pictures are only told
_THINGS = ((0.12, 1), (0.24, 2), (_CAPTIONS, 4))  # until which share, how many things at most
_LEVELS = ((0.6, 2), (0.75, 3), (1.0, 4))  # until which share, the hardest level of the questions
_MORE = 3  # questions about a picture beside the one that it was posed for
_TRIES = 12  # to ask one of them
_OF_LEVEL = {level: [family for family in FAMILIES.values() if family.level == level] for level in LEVELS}
# The words of a family, in its own order, which decides what wordings are held out.
_FIELDS = {name: tuple(family.pose(Draw(np.random.default_rng(0))).words) for name, family in FAMILIES.items()}


class Lesson(NamedTuple):
    """A picture and what is said of it.

    Attributes:
        picture: (size, size, 3) uint8.
        texts: (prompt, response) each, none of which knows of the others.
    """

    picture: np.ndarray
    texts: list[tuple[str, str]]


def lessons(rng: np.random.Generator, total: int, size: int = 64) -> Iterator[Lesson]:
    """Endless lessons on pictures and wordings of the training split, of which the first `total` get harder."""
    draw = Draw(rng)
    for number in count():
        done = min(1.0, number / total)
        yield _told(draw, done, size) if done < _CAPTIONS else _asked(draw, rng, done, size)


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
        texts += [text for _ in range(_MORE) if (text := _another(families, picture, draw)) is not None]
    return Lesson(draw_picture(picture, size), texts)


def _another(families: Sequence[Family], scene: Scene, draw: Draw) -> tuple[str, str] | None:
    """Returns a question about a scene that was posed for another; None where none was found."""
    for _ in range(_TRIES):
        family = draw.pick(families)
        if (words := _words(family, scene, draw)) is None:
            continue
        try:
            answer = family.answer(scene, words)
        except ValueError:  # what it asks about is not there, or is there twice
            continue
        return _text(fill(wording_for(family, words, draw), words), answer, family, draw)
    return None


def _words(family: Family, scene: Scene, draw: Draw) -> Words | None:
    """Draws the words that fill the wordings of a family: things of the scene, or as often what is near to them."""
    thing, other = draw.some(scene.things, 2)
    color, shape = thing[:2] if draw.coin() else draw.near(*thing[:2])
    material = thing.material if draw.coin() else draw.pick(MATERIALS)
    words = {
        "color": color, "shape": shape, "shapes": PLURALS[shape], "shape2": other.shape, "material": material,
        "thing": thing.name, "other": other.name, "side": draw.pick(tuple(SIDES)),
        "word": draw.pick(("bigger", "smaller")),
    }  # fmt: skip
    fields = _FIELDS[family.name]
    same = thing.name == other.name if "thing" in fields else "shape2" in fields and shape == other.shape
    return None if same else {name: words[name] for name in fields}


def _text(question: str, truth: str, family: Family, draw: Draw) -> tuple[str, str]:
    """Returns a question as the env asks it, with the answer of one of ten people, who may be mistaken."""
    people = annotate(truth, family.answer_type, family.level, family.answers, draw)
    return prompt_of(question), str(draw.pick(people)["answer"])


def _at(stages: tuple[tuple[float, int], ...], done: float) -> int:
    return next(number for until, number in stages if done <= until)
