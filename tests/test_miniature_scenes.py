"""Miniature VQA's scenes: what is asked of them and answered, worked out by hand and by a second program; pictures."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as example_count
from hypothesis import strategies as st

from envs.vqav2.scenes.charts import BarChart, Part, PieChart
from envs.vqav2.scenes.corpus import FAMILIES, draw_pair
from envs.vqav2.scenes.families import QUESTION_TYPES, question_type
from envs.vqav2.scenes.graphics import PALETTE
from envs.vqav2.scenes.picture import draw_picture
from envs.vqav2.scenes.scene import (
    COLORS,
    MATERIALS,
    RADIUS,
    SHAPES,
    SIZES,
    Draw,
    Scene,
    Thing,
    caption,
    in_split,
    is_unseen,
)
from envs.vqav2.scenes.screens import LABELS, Row, Screen
from perlhf.errors import UserError


def scene(told):
    """ "large red metal star 0 1; ..." with column and row of the grid, each 0 to 2."""
    things = []
    for thing in told.split(";"):
        size, color, material, shape, column, row = thing.split()
        things.append(Thing(color, shape, size, material, 11 + 21 * int(column), 11 + 21 * int(row)))
    return Scene(tuple(things))


def chart(kind, told):
    parts = (part.split() for part in told.split(";"))
    return kind(tuple(Part(color, int(value)) for color, value in parts))


def screen(told):
    rows = (row.split() for row in told.split(";"))
    return Screen(tuple(Row(kind, color, label, bool(on)) for kind, color, label, *on in rows))


# What every family answers, worked out by hand

RED_STAR = scene("large red metal star 0 1")
BLUE_RING = scene("small blue wood ring 2 2")
FEW = scene("large red metal star 0 1; small blue wood star 2 1; small red wood ring 1 0")
# columns:  0                         1                            2
# row 0     -                         green heart (large, metal)   red heart (small, wood)
# row 1     blue cross (large, wood)  black square (small, rubber) blue heart (large, metal)
# row 2     -                         blue square (large, wood)    -
MANY = scene(
    "large green metal heart 1 0; small red wood heart 2 0; large blue wood cross 0 1; small black rubber square 1 1; "
    "large blue metal heart 2 1; large blue wood square 1 2"
)
LEFT, RIGHT = ({"side": f"to the {side} of", "other": "red ring"} for side in ("left", "right"))
SAME = scene("large red wood star 0 0; small red metal ring 1 1")
NOT_SAME = scene("large red wood star 0 0; small pink wood ring 1 1")
BARS = chart(BarChart, "red 3; blue 5; green 1; pink 4")
PIE = chart(PieChart, "red 1; blue 2; green 5")
EVEN = chart(PieChart, "red 4; yellow 1; black 3")
SCREEN = screen("button red Mail; box blue Wifi on; switch green News; button pink Book")
BOXES = screen("box red Mail on; box blue Wifi; box green News on")

BY_HAND = [
    ("color", RED_STAR, {"shape": "star"}, "red"),
    ("color", BLUE_RING, {"shape": "ring"}, "blue"),
    ("shape", RED_STAR, {"color": "red"}, "star"),
    ("shape", BLUE_RING, {"color": "blue"}, "ring"),
    ("is color", RED_STAR, {"color": "red", "shape": "star"}, "yes"),
    ("is color", RED_STAR, {"color": "blue", "shape": "star"}, "no"),
    ("is shape", BLUE_RING, {"color": "blue", "shape": "ring"}, "yes"),
    ("is shape", BLUE_RING, {"color": "blue", "shape": "circle"}, "no"),
    ("exists", FEW, {"color": "blue", "shape": "star"}, "yes"),
    ("exists", FEW, {"color": "blue", "shape": "ring"}, "no"),
    ("any of color", FEW, {"color": "blue"}, "yes"),
    ("any of color", FEW, {"color": "black"}, "no"),
    ("count", FEW, {}, "3"),
    ("count", RED_STAR, {}, "1"),
    ("count of color", FEW, {"color": "red"}, "2"),
    ("count of color", FEW, {"color": "green"}, "0"),
    ("count of shape", FEW, {"shape": "star", "shapes": "stars"}, "2"),
    ("count of shape", FEW, {"shape": "cross", "shapes": "crosses"}, "0"),
    ("color among", FEW, {"shape": "ring"}, "red"),
    ("color among", MANY, {"shape": "cross"}, "blue"),
    ("shape among", FEW, {"color": "blue"}, "star"),
    ("shape among", MANY, {"color": "green"}, "heart"),
    ("side", MANY, {"thing": "blue cross", "side": "to the left of", "other": "green heart"}, "yes"),
    ("side", MANY, {"thing": "blue cross", "side": "to the right of", "other": "green heart"}, "no"),
    ("side", MANY, {"thing": "red heart", "side": "above", "other": "blue square"}, "yes"),
    ("side", MANY, {"thing": "red heart", "side": "below", "other": "blue square"}, "no"),
    ("size", MANY, {"thing": "blue cross", "word": "bigger", "other": "red heart"}, "yes"),
    ("size", MANY, {"thing": "blue cross", "word": "bigger", "other": "green heart"}, "no"),
    ("size", MANY, {"thing": "red heart", "word": "smaller", "other": "blue heart"}, "yes"),
    ("size", MANY, {"thing": "blue heart", "word": "smaller", "other": "red heart"}, "no"),
    ("same color", SAME, {"shape": "star", "shape2": "ring"}, "yes"),
    ("same color", NOT_SAME, {"shape": "ring", "shape2": "star"}, "no"),
    ("is material", MANY, {"thing": "blue cross", "material": "wood"}, "yes"),
    ("is material", MANY, {"thing": "blue cross", "material": "rubber"}, "no"),
    ("material", MANY, {"thing": "black square"}, "rubber"),
    ("material", MANY, {"thing": "green heart"}, "metal"),
    ("count of material", MANY, {"material": "wood"}, "3"),
    ("count of material", FEW, {"material": "rubber"}, "0"),
    ("neighbor", MANY, {"side": "to the left of", "other": "black square"}, "cross"),
    ("neighbor", MANY, {"side": "below", "other": "black square"}, "square"),
    ("count at side", MANY, {"side": "to the right of", "other": "blue square"}, "2"),
    ("count at side", MANY, {"side": "above", "other": "green heart"}, "0"),
    ("color of neighbor", MANY, {"shape": "heart", "side": "below", "other": "green heart"}, "blue"),
    ("color of neighbor", FEW, {"shape": "star", "side": "to the left of", "other": "red ring"}, "red"),
    ("is color of neighbor", FEW, {**LEFT, "shape": "star", "color": "red"}, "yes"),
    ("is color of neighbor", FEW, {**RIGHT, "shape": "star", "color": "red"}, "no"),
    ("material of neighbor", FEW, {"side": "to the left of", "other": "red ring"}, "metal"),
    ("material of neighbor", FEW, {"side": "to the right of", "other": "red ring"}, "wood"),
    ("count of color and shape", MANY, {"color": "blue", "shape": "heart", "shapes": "hearts"}, "1"),
    ("count of color and shape", MANY, {"color": "green", "shape": "cross", "shapes": "crosses"}, "0"),
    ("count of color and material", MANY, {"color": "blue", "material": "wood"}, "2"),
    ("count of color and material", MANY, {"color": "green", "material": "wood"}, "0"),
    ("more", MANY, {"shape": "heart", "other": "square", "shapes": "hearts", "others": "squares"}, "yes"),
    ("more", MANY, {"shape": "cross", "other": "square", "shapes": "crosses", "others": "squares"}, "no"),
    ("more", FEW, {"shape": "circle", "other": "cross", "shapes": "circles", "others": "crosses"}, "no"),
    ("color of extreme bar", BARS, {"word": "tallest"}, "blue"),
    ("color of extreme bar", BARS, {"word": "shortest"}, "green"),
    ("value of bar", BARS, {"color": "pink"}, "4"),
    ("value of bar", BARS, {"color": "green"}, "1"),
    ("taller bar", BARS, {"color": "pink", "other": "red"}, "yes"),
    ("taller bar", BARS, {"color": "green", "other": "red"}, "no"),
    ("count of taller bars", BARS, {"color": "red"}, "2"),
    ("count of taller bars", BARS, {"color": "blue"}, "0"),
    ("count of bars", BARS, {}, "4"),
    ("count of bars", chart(BarChart, "red 3; blue 5"), {}, "2"),
    ("count of slices", PIE, {}, "3"),
    ("count of slices", chart(PieChart, "red 3; blue 5"), {}, "2"),
    ("color of biggest slice", PIE, {}, "green"),
    ("color of biggest slice", EVEN, {}, "red"),
    ("bigger slice", PIE, {"color": "blue", "other": "red"}, "yes"),
    ("bigger slice", PIE, {"color": "red", "other": "green"}, "no"),
    ("more than half", PIE, {"color": "green"}, "yes"),
    ("more than half", EVEN, {"color": "red"}, "no"),
    ("box checked", SCREEN, {"label": "Wifi"}, "yes"),
    ("box checked", BOXES, {"label": "Wifi"}, "no"),
    ("switch on", SCREEN, {"label": "News"}, "no"),
    ("switch on", screen("switch red Mail on"), {"label": "Mail"}, "yes"),
    ("count of checked boxes", BOXES, {}, "2"),
    ("count of checked boxes", screen("box red Mail"), {}, "0"),
    ("count of buttons", SCREEN, {}, "2"),
    ("count of buttons", BOXES, {}, "0"),
    ("color of button", SCREEN, {"label": "Book"}, "pink"),
    ("color of button", SCREEN, {"label": "Mail"}, "red"),
    ("label of button", SCREEN, {"color": "pink"}, "book"),
    ("label of button", SCREEN, {"color": "red"}, "mail"),
    ("has button", SCREEN, {"label": "Mail"}, "yes"),
    ("has button", SCREEN, {"label": "Wifi"}, "no"),
    ("row below", SCREEN, {"label": "Mail"}, "wifi"),
    ("row below", SCREEN, {"label": "News"}, "book"),
]  # fmt: skip


@pytest.mark.parametrize(("family", "picture", "words", "answer"), BY_HAND)
def test_what_is_answered_by_hand(family, picture, words, answer):
    assert FAMILIES[family].answer(picture, words) == answer


def test_every_family_is_answered_by_hand_in_two_ways():
    answers = {}
    for family, _, _, answer in BY_HAND:
        answers.setdefault(family, set()).add(answer)
    assert set(answers) == set(FAMILIES)
    assert all(len(found) > 1 for found in answers.values())


def test_an_unclear_question_is_not_answered():
    with pytest.raises(ValueError, match="unpack"):
        FAMILIES["color among"].answer(FEW, {"shape": "star"})


# A second program for each family, written another way: over plain lists, without the names of the first


def _beside(things, side, other):
    (ox, oy), *_ = [(x, y) for c, s, _, _, x, y in things if f"{c} {s}" == other]
    spaces = {"to the left of": lambda x, y: x < ox, "to the right of": lambda x, y: x > ox}
    spaces |= {"above": lambda x, y: y < oy, "below": lambda x, y: y > oy}
    return [thing for thing in things if spaces[side](*thing[4:])]


def _told(things, name, at):
    found = [thing[at] for thing in things if f"{thing[0]} {thing[1]}" == name]
    assert len(found) == 1
    return found[0]


def _count(things, *wanted):
    return str(len([thing for thing in things if set(wanted) <= set(thing)]))


def _bool(truth):
    return {True: "yes", False: "no"}[bool(truth)]


def _bigger(t, w):
    order = ["small", "large"] if w["word"] == "bigger" else ["large", "small"]
    return _bool(order.index(_told(t, w["thing"], 2)) > order.index(_told(t, w["other"], 2)))


def _side_of(t, w, shape=None):
    (found,) = [thing for thing in _beside(t, w["side"], w["other"]) if shape in (None, thing[1])]
    return found


def _heights(t):
    return dict(t)


AGAIN = {
    "color": lambda t, w: t[0][0],
    "shape": lambda t, w: t[0][1],
    "is color": lambda t, w: _bool(t[0][0] == w["color"]),
    "is shape": lambda t, w: _bool(t[0][1] == w["shape"]),
    "exists": lambda t, w: _bool([w["color"], w["shape"]] in [thing[:2] for thing in t]),
    "any of color": lambda t, w: _bool(w["color"] in [thing[0] for thing in t]),
    "count": lambda t, w: _count(t),
    "count of color": lambda t, w: _count(t, w["color"]),
    "count of shape": lambda t, w: _count(t, w["shape"]),
    "color among": lambda t, w: {s: c for c, s, *_ in t}[w["shape"]],
    "shape among": lambda t, w: {c: s for c, s, *_ in t}[w["color"]],
    "side": lambda t, w: _bool(w["thing"] in [f"{c} {s}" for c, s, *_ in _beside(t, w["side"], w["other"])]),
    "size": _bigger,
    "same color": lambda t, w: _bool(len({c for c, s, *_ in t if s in (w["shape"], w["shape2"])}) == 1),
    "is material": lambda t, w: _bool(_told(t, w["thing"], 3) == w["material"]),
    "material": lambda t, w: _told(t, w["thing"], 3),
    "count of material": lambda t, w: _count(t, w["material"]),
    "neighbor": lambda t, w: _side_of(t, w)[1],
    "count at side": lambda t, w: _count(_beside(t, w["side"], w["other"])),
    "color of neighbor": lambda t, w: _side_of(t, w, w["shape"])[0],
    "is color of neighbor": lambda t, w: _bool(_side_of(t, w, w["shape"])[0] == w["color"]),
    "material of neighbor": lambda t, w: _side_of(t, w)[3],
    "count of color and shape": lambda t, w: _count(t, w["color"], w["shape"]),
    "count of color and material": lambda t, w: _count(t, w["color"], w["material"]),
    "more": lambda t, w: _bool(int(_count(t, w["shape"])) > int(_count(t, w["other"]))),
    "color of extreme bar": lambda t, w: sorted(t, key=lambda p: p[1])[-1 if w["word"] == "tallest" else 0][0],
    "value of bar": lambda t, w: str(_heights(t)[w["color"]]),
    "taller bar": lambda t, w: _bool(_heights(t)[w["color"]] > _heights(t)[w["other"]]),
    "count of taller bars": lambda t, w: str(sorted(_heights(t).values())[::-1].index(_heights(t)[w["color"]])),
    "count of bars": lambda t, w: str(len(_heights(t))),
    "count of slices": lambda t, w: str(len(_heights(t))),
    "color of biggest slice": lambda t, w: sorted(t, key=lambda p: p[1])[-1][0],
    "bigger slice": lambda t, w: _bool(_heights(t)[w["color"]] > _heights(t)[w["other"]]),
    "more than half": lambda t, w: _bool(_heights(t)[w["color"]] >= 5),
    "box checked": lambda t, w: _bool(["box", w["label"], True] in [[k, s, on] for k, _, s, on in t]),
    "switch on": lambda t, w: _bool(["switch", w["label"], True] in [[k, s, on] for k, _, s, on in t]),
    "count of checked boxes": lambda t, w: str(len([k for k, _, _, on in t if k == "box" and on])),
    "count of buttons": lambda t, w: _count(t, "button"),
    "color of button": lambda t, w: {(k, s): c for k, c, s, _ in t}["button", w["label"]],
    "label of button": lambda t, w: {(k, c): s.lower() for k, c, s, _ in t}["button", w["color"]],
    "has button": lambda t, w: _bool(("button", w["label"]) in [(k, s) for k, _, s, _ in t]),
    "row below": lambda t, w: next(b[2].lower() for a, b in itertools.pairwise(t) if a[2] == w["label"]),
}

_pairs = st.builds(
    lambda family, split, unseen, seed: draw_pair(
        FAMILIES[family], np.random.default_rng(seed), split, unseen and split != "train"
    ),
    st.sampled_from(sorted(FAMILIES)),
    st.sampled_from(["train", "validation", "test"]),
    st.booleans(),
    st.integers(0, 2**32),
)


@given(_pairs)
@example_count(max_examples=2_000)
def test_a_pair_has_two_right_answers_that_differ(pair):
    things = [[list(part) for part in picture[0]] for picture in pair.pictures]
    answers = [AGAIN[pair.family.name](t, pair.words) for t in things]
    assert answers == [pair.answer(0), pair.answer(1)]
    assert answers[0] != answers[1]
    assert set(answers) <= set(pair.family.answers)
    assert re.fullmatch(r"[A-Z][A-Za-z ]+\?", pair.question)
    assert " a orange" not in pair.question
    assert question_type(pair.question) in QUESTION_TYPES


@given(_pairs)
@example_count(max_examples=500)
def test_the_pictures_of_a_pair_differ_in_little(pair):
    one, two = ([tuple(part) for part in picture[0]] for picture in pair.pictures)
    changed = {part[:4] for part in one} ^ {part[:4] for part in two}
    assert len(changed) <= 2 * 4  # at most four things, bars or rows are others than before
    assert not np.array_equal(draw_picture(pair.pictures[0]), draw_picture(pair.pictures[1]))


@given(_pairs)
@example_count(max_examples=500)
def test_things_do_not_touch_and_are_on_the_canvas(pair):
    for picture in pair.pictures:
        if isinstance(picture, Scene):
            for t in picture.things:
                low = RADIUS[t.size] + 1
                assert low <= t.x <= 64 - low
                assert low <= t.y <= 64 - low
            for one, two in itertools.combinations(picture.things, 2):
                assert np.hypot(one.x - two.x, one.y - two.y) >= RADIUS[one.size] + RADIUS[two.size] + 1


@given(_pairs)
@example_count(max_examples=500)
def test_sides_are_never_in_doubt(pair):
    if "side" in pair.words:
        axis = 4 if "to the" in pair.words["side"] else 5
        for picture in pair.pictures:
            (other,) = [t for t in picture.things if t.name == pair.words["other"]]
            asked = [t for t in picture.things if t.name == pair.words.get("thing", t.name) and t is not other]
            assert all(abs(t[axis] - other[axis]) >= 15 for t in asked)


# What is drawn


def nearest_color(pixel):
    return min(PALETTE, key=lambda name: np.abs(np.array(PALETTE[name]) - pixel).sum())


def is_color(pixels, color, within=24):
    return np.abs(pixels.astype(int) - PALETTE[color]).max(-1) <= within


@pytest.mark.parametrize("size", [64, 128, 256])
@pytest.mark.parametrize("color", COLORS)
def test_every_thing_shows_its_colour_at_its_place(color, size):
    unit = size // 64
    for shape, big, material in itertools.product(SHAPES, SIZES, MATERIALS):
        picture = draw_picture(Scene((Thing(color, shape, big, material, 40, 22),)), size)
        seen = is_color(picture, color)
        radius = RADIUS[big] * unit
        rows, columns = np.nonzero(seen)
        assert seen.sum() > 0.2 * radius**2, (color, shape, big, material)
        assert abs(columns.mean() - 40 * unit) < 0.5 * radius
        assert abs(rows.mean() - 22 * unit) < 0.5 * radius
        assert max(abs(columns - 40 * unit).max(), abs(rows - 22 * unit).max()) <= 1.1 * radius


def test_colours_are_told_apart():
    for one, two in itertools.combinations(PALETTE.values(), 2):
        assert np.abs(np.subtract(one, two)).sum() > 100


@given(_pairs)
@example_count(max_examples=300)
def test_every_thing_of_a_drawn_scene_is_visible(pair):
    for picture in pair.pictures:
        if isinstance(picture, Scene):
            pixels = draw_picture(picture)
            for t in picture.things:
                r = RADIUS[t.size]
                assert is_color(pixels[t.y - r : t.y + r, t.x - r : t.x + r], t.color).sum() > 0.2 * r**2


@given(_pairs)
@example_count(max_examples=300)
def test_every_part_of_a_chart_and_every_row_of_a_screen_is_visible(pair):
    for picture in pair.pictures:
        pixels = draw_picture(picture, 128)
        if isinstance(picture, PieChart):
            for color, value in picture.parts:
                assert 0.75 < is_color(pixels, color, 2).sum() / (value / 8 * np.pi * 54**2) <= 1
        if isinstance(picture, BarChart):
            for color, value in picture.parts:  # 8.7 units for each 1, without the bar's rim
                assert is_color(pixels, color, 2).any(1).sum() == pytest.approx(17.4 * value, abs=4)
        if isinstance(picture, Screen):
            for i, row in enumerate(picture.rows):
                band = pixels[22 + 26 * i : 48 + 26 * i]
                assert is_color(band, row.color, 2).sum() > (400 if row.kind == "button" else 60)


def all_differ(looks):
    for one, two in itertools.combinations([draw_picture(look).astype(int) for look in looks], 2):
        assert (np.abs(one - two).max(-1) > 40).sum() >= 10


def test_materials_sizes_labels_and_states_look_different():
    for color, shape in itertools.product(COLORS, SHAPES):
        all_differ(Scene((Thing(color, shape, s, m, 30, 30),)) for m in MATERIALS for s in SIZES)
    looks = [Screen((Row(kind, "red", label),)) for kind in ("button", "box", "switch") for label in LABELS]
    looks += [Screen((Row(kind, "red", "Mail", True),)) for kind in ("box", "switch")]
    all_differ(looks)


@given(_pairs, st.sampled_from([64, 96, 128]))
@example_count(max_examples=100)
def test_a_picture_is_the_same_every_time(pair, size):
    first = draw_picture(pair.pictures[0], size)
    assert first.shape == (size, size, 3)
    assert first.dtype == np.uint8
    assert first.flags.writeable
    again = draw_picture(pair.pictures[0], size)
    assert np.array_equal(first, again)
    first[:] = 0
    assert np.array_equal(draw_picture(pair.pictures[0], size), again)


@pytest.mark.parametrize("size", [0, 31, 1025, 64.0, True, "64"])
def test_a_wrong_size_is_refused(size):
    with pytest.raises(UserError, match="size must be a whole number of pixels from 32 to 1024"):
        draw_picture(RED_STAR, size)


# Scenes


def test_a_caption_reads_by_rows():
    assert caption(FEW) == (
        "small red wood ring top center, large red metal star middle left, small blue wood star middle right"
    )


def test_a_quarter_of_colours_is_held_out_with_each_shape():
    for i, shape in enumerate(SHAPES):
        assert sum(is_unseen(color, i) for color in COLORS) == 2, shape
    for color in COLORS:
        assert sum(is_unseen(color, i) for i in range(8)) == 2, color


def test_every_colour_of_a_shape_is_in_every_fold():
    for color, shape in itertools.product(COLORS, SHAPES):
        folds = {Scene((Thing(color, shape, s, m, 0, 0),)).fold for s in SIZES for m in MATERIALS}
        assert folds == {0, 1, 2, 3}


def test_each_fold_is_in_one_split():
    for fold in range(4):
        assert sum(in_split(fold, split) for split in ("train", "validation", "test")) == 1


@given(st.integers(0, 2**32), st.booleans())
def test_draws_are_within_bounds(seed, unseen):
    draw = Draw(np.random.default_rng(seed), unseen)
    numbers = [draw.number() for _ in range(200)]
    assert 0 <= min(numbers) <= max(numbers) < 1
    assert sorted(draw.some(range(9), 9)) == list(range(9))
    color, shape = draw.pair()
    assert is_unseen(color, SHAPES.index(shape)) is unseen
    assert draw.near(color, shape) != (color, shape)
    assert draw.color_for(shape, color) != color
    assert draw.shape_for(color, shape) != shape
