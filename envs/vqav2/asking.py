"""Questions about a picture that was drawn for another question: every kind that it allows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.vqav2.scenes.charts import BarChart, PieChart
from envs.vqav2.scenes.corpus import FAMILIES, LEVELS, wording_for
from envs.vqav2.scenes.families import Family, Words, fill
from envs.vqav2.scenes.questions import PLURALS
from envs.vqav2.scenes.relations import SIDES
from envs.vqav2.scenes.scene import MATERIALS, Draw, Scene
from envs.vqav2.scenes.screens import Screen

_TRIES = 12  # to ask a question of a picture that was posed for another
_POSED = {name: family.pose(Draw(np.random.default_rng(0))) for name, family in FAMILIES.items()}
# The words of a family, in its own order, which decides what wordings are held out.
_FIELDS = {name: tuple(posed.words) for name, posed in _POSED.items()}
_PICTURE = {name: type(posed.picture) for name, posed in _POSED.items()}  # what a family is asked of
_KIND = {"box checked": "box", "switch on": "switch"}  # of the row that a question is about


def families_for(picture: Any) -> list[Family]:
    """Returns the kinds of questions that a picture can be asked: of one thing the easy ones, of several the others."""
    fitting = [family for family in FAMILIES.values() if _PICTURE[family.name] is type(picture)]
    if not isinstance(picture, Scene):
        return fitting
    low, high = (1, 2) if len(picture.things) == 1 else (2, LEVELS[-1])
    return [family for family in fitting if low <= family.level <= high]


def another(families: Sequence[Family], picture: Any, draw: Draw, balanced: bool) -> tuple[str, str, Family] | None:
    """Returns a question about a picture that was posed for another, its answer and its kind; None where none is found.

    Args:
        families: the kinds that it may be of.
        picture: what is asked about.
        draw: random choices.
        balanced: whether "yes" and "no", and the counts that can be answered, are right about equally often, as where
            a picture is posed for its question: else there is something to learn that is not in the picture.
    """
    for _ in range(_TRIES):
        family = draw.pick(families)
        wanted = draw.pick(family.answers) if balanced and family.answer_type != "other" else None
        try:
            words = _words(family, picture, draw)
            answer = family.answer(picture, words)
        except (ValueError, IndexError):  # what it asks about is not there, or is there twice
            continue
        if wanted in (None, answer):
            return fill(wording_for(family, words, draw), words), answer, family
    return None


def _words(family: Family, picture: Any, draw: Draw) -> Words:
    """Draws the words that fill the wordings of a family.

    Raises:
        ValueError: they make no question about this picture.
    """
    if isinstance(picture, Scene):
        words = _words_of_scene(family, picture, draw)
    elif isinstance(picture, Screen):
        words = _words_of_screen(family, picture, draw)
    else:
        words = _words_of_chart(family, picture, draw)
    return {name: words[name] for name in _FIELDS[family.name]}


def _words_of_scene(family: Family, scene: Scene, draw: Draw) -> Words:
    """Things of the scene, or as often what is near to them."""
    thing, other = draw.some(scene.things, 2) if len(scene.things) > 1 else scene.things * 2
    color, shape = thing[:2] if draw.coin() else draw.near(*thing[:2])
    material = thing.material if draw.coin() else draw.pick(MATERIALS)
    fields = _FIELDS[family.name]
    words = {
        "color": color, "shape": shape, "shapes": PLURALS[shape], "shape2": other.shape, "material": material,
        "thing": thing.name, "other": other.shape if "others" in fields else other.name, "others": PLURALS[other.shape],
        "side": draw.pick(tuple(SIDES)), "word": draw.pick(("bigger", "smaller")),
    }  # fmt: skip
    if ("thing" in fields and thing.name == other.name) or ({"shape2", "others"} & {*fields} and shape == other.shape):
        raise ValueError("a thing is not compared with itself")
    return words


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
