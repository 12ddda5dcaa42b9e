"""Teaches a small backbone to see: miniature pictures told in words and asked about, easy ones first.

Perception comes before questions. A model that is asked from the start answers from the question alone, and finds the
picture late or never; so at first it only tells what is to be seen, of one thing, then of two, then of up to four, of
charts and screens. That takes a quarter of the lessons. What takes long is to find in the picture what a question is
about and to compare the two: a model that tells every shape in its captions may still toss a coin over "Is it a star?".
So every picture is asked about many times, and the hard questions come early.

Several questions about one picture make it read the question, as one question on two pictures makes it look.
"""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from envs.vqav2.scenes.annotators import annotate
from envs.vqav2.scenes.charts import BarChart, PieChart
from envs.vqav2.scenes.corpus import FAMILIES, LEVELS, caption, draw_pair, wording_for
from envs.vqav2.scenes.families import Family, Words, fill
from envs.vqav2.scenes.picture import draw_picture
from envs.vqav2.scenes.questions import PLURALS
from envs.vqav2.scenes.relations import SIDES
from envs.vqav2.scenes.scene import MATERIALS, Draw, Scene, in_split
from envs.vqav2.scenes.screens import Screen
from envs.vqav2.task import prompt_of

CAPTION = "CAPTION:"
_CAPTIONS = 0.25  # share of the lessons in which pictures are only told
_THINGS = ((0.07, 1), (0.14, 2), (_CAPTIONS, 4))  # until which share, how many things at most
_CHARTS = 0.18  # from which share on half of the pictures that are told are charts and screens
_LEVELS = ((0.38, 2), (0.5, 3), (1.0, 4))  # until which share, the hardest level of the questions
_MORE = 7  # questions about a picture beside the one that it was posed for
_TRIES = 12  # to ask one of them
_OF_LEVEL = {level: [family for family in FAMILIES.values() if family.level == level] for level in LEVELS}
_POSED = {name: family.pose(Draw(np.random.default_rng(0))) for name, family in FAMILIES.items()}
# The words of a family, in its own order, which decides what wordings are held out.
_FIELDS = {name: tuple(posed.words) for name, posed in _POSED.items()}
_PICTURE = {name: type(posed.picture) for name, posed in _POSED.items()}  # what a family is asked of
_KIND = {"box checked": "box", "switch on": "switch"}  # of the row that a question is about


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
        yield _told(draw, rng, done, size) if done < _CAPTIONS else _asked(draw, rng, done, size)


def _told(draw: Draw, rng: np.random.Generator, done: float, size: int) -> Lesson:
    """Things anywhere, and what they are; later charts and screens too."""
    if done > _CHARTS and draw.coin():
        family = draw.pick([family for family in _OF_LEVEL[4] if _PICTURE[family.name] is not Scene])
        picture = draw_pair(family, rng, "train").pictures[draw.below(2)]
        return Lesson(draw_picture(picture, size), [(CAPTION, caption(picture))])
    most = _at(_THINGS, done)
    while True:
        number = 1 + draw.below(most)
        scene = draw.lone(*draw.pair()) if number == 1 else draw.scene([draw.pair() for _ in range(number)])
        if in_split(scene.fold, "train"):
            return Lesson(draw_picture(scene, size), [(CAPTION, caption(scene))])


def _asked(draw: Draw, rng: np.random.Generator, done: float, size: int) -> Lesson:
    """Returns a picture that a question was posed for, what is to be seen, and that question with others."""
    hardest = _at(_LEVELS, done)
    pair = draw_pair(draw.pick(_OF_LEVEL[1 + draw.below(hardest)]), rng, "train")
    which = draw.below(2)
    picture = pair.pictures[which]
    posed = _text(pair.question, pair.answer(which), pair.family, draw)
    families = _families_for(picture, hardest)
    others = [text for _ in range(_MORE) if (text := _another(families, picture, draw)) is not None]
    texts = dict(reversed([posed, *others]))  # a question that came up twice is asked once
    return Lesson(draw_picture(picture, size), [(CAPTION, caption(picture)), *reversed(texts.items())])


def _families_for(picture: Any, hardest: int) -> list[Family]:
    """Returns the kinds of questions that a picture can be asked: of one thing the easy ones, of several the others."""
    fitting = [family for family in FAMILIES.values() if _PICTURE[family.name] is type(picture)]
    if not isinstance(picture, Scene):
        return fitting
    low, high = (1, 2) if len(picture.things) == 1 else (2, hardest)
    return [family for family in fitting if low <= family.level <= high]


def _another(families: Sequence[Family], picture: Any, draw: Draw) -> tuple[str, str] | None:
    """Returns a question about a picture that was posed for another; None where none was found.

    "Yes" and "no", and the counts that can be answered, are right about equally often, as where a picture is posed for
    its question: or there would be something to learn that is not in the picture.
    """
    for _ in range(_TRIES):
        family = draw.pick(families)
        wanted = None if family.answer_type == "other" else draw.pick(family.answers)
        try:
            words = _words(family, picture, draw)
            answer = family.answer(picture, words)
        except (ValueError, IndexError):  # what it asks about is not there, or is there twice
            continue
        if wanted in (None, answer):
            return _text(fill(wording_for(family, words, draw), words), answer, family, draw)
    return None


def _words(family: Family, picture: Any, draw: Draw) -> Words:
    """Draws the words that fill the wordings of a family.

    Raises:
        ValueError: they make no question about this picture.
    """
    of_picture = {Scene: _words_of_scene, Screen: _words_of_screen}.get(_PICTURE[family.name], _words_of_chart)
    words = of_picture(family, picture, draw)
    return {name: words[name] for name in _FIELDS[family.name]}


def _words_of_scene(family: Family, scene: Scene, draw: Draw) -> Words:
    """Things of the scene, or as often what is near to them."""
    thing, other = draw.some(scene.things, 2) if len(scene.things) > 1 else scene.things * 2
    color, shape = thing[:2] if draw.coin() else draw.near(*thing[:2])
    material = thing.material if draw.coin() else draw.pick(MATERIALS)
    fields = _FIELDS[family.name]
    if ("thing" in fields and thing.name == other.name) or ({"shape2", "others"} & {*fields} and shape == other.shape):
        raise ValueError("a thing is not compared with itself")
    return {
        "color": color, "shape": shape, "shapes": PLURALS[shape], "shape2": other.shape, "material": material,
        "thing": thing.name, "other": other.shape if "others" in fields else other.name, "others": PLURALS[other.shape],
        "side": draw.pick(tuple(SIDES)), "word": draw.pick(("bigger", "smaller")),
    }  # fmt: skip


def _words_of_chart(family: Family, chart: BarChart | PieChart, draw: Draw) -> Words:
    """Two parts of the chart; the question is which is more, so that they are not alike."""
    part, other = draw.some(chart.parts, 2)
    if "other" in _FIELDS[family.name] and part.value == other.value:
        raise ValueError("parts of a size are not compared")
    return {"color": part.color, "other": other.color, "word": draw.pick(("tallest", "shortest"))}


def _words_of_screen(family: Family, screen: Screen, draw: Draw) -> Words:
    """Returns the words of a row of the screen."""
    row = draw.pick(screen.rows)
    if row.kind != _KIND.get(family.name, row.kind):
        raise ValueError("the row is of another kind")
    return {"label": row.label, "color": row.color}


def _text(question: str, truth: str, family: Family, draw: Draw) -> tuple[str, str]:
    """Returns a question as the env asks it, with the answer of one of ten people, who may be mistaken."""
    people = annotate(truth, family.answer_type, family.level, family.answers, draw)
    return prompt_of(question), str(draw.pick(people)["answer"])


def _at(stages: tuple[tuple[float, int], ...], done: float) -> int:
    return next(number for until, number in stages if done <= until)
