"""What is kept from drawing to drawing, and what is drawn by a shorter way, changes no pixel."""

import importlib
import pkgutil
from itertools import pairwise
from random import Random

import gymnasium as gym
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import envs.uinav.drawing
from envs.uinav.drawing.appearance import write
from envs.uinav.drawing.lettering import clean, letters, width, wrapped
from envs.uinav.drawing.paint import blank, coloured, inset, lay, paste, slab, stamp
from envs.uinav.drawing.picture import draw_screen
from envs.uinav.interface.screen import ANDROID_CLASSES, Box, Element, Screen

KINDS = [kind for kind in ANDROID_CLASSES if kind not in ("bar", "list", "foot", "dialog", "keyboard", "screen")]
PLACES = {
    "bar": Box(0, 20, 288, 60),
    "list": Box(0, 60, 288, 488),
    "foot": Box(0, 432, 288, 488),
    "keyboard": Box(0, 332, 288, 488),
    "dialog": Box(12, 200, 276, 300),
}
WORDS = ["Lunch plan", "Ana Ruiz, See you at noon", "gjpqy,;|()", "ÉÅẤğÇ Ş", "Привет", "☕ → 中", "7:05", "", "a  b "]
TEXTS = st.one_of(st.sampled_from(WORDS), st.text(max_size=30))
COLOURS = st.tuples(*[st.integers(0, 255)] * 3)
SIZES = st.sampled_from([11, 12, 13, 14, 17])


def forget():
    """Clears all that the modules of drawing keep."""
    for found in pkgutil.iter_modules(envs.uinav.drawing.__path__):
        for value in vars(importlib.import_module(f"envs.uinav.drawing.{found.name}")).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def random_screen(rng, texts):
    """Rows as on a phone, with an element anywhere now and then."""

    def element(top):
        box = Box(12, top, 276, top + rng.choice((36, 38, 40, 44, 48)))
        if rng.random() < 0.2:
            box = Box(*(rng.randint(-40, 500) for _ in range(4)))
        flags = {name: rng.random() < 0.5 for name in ("editable", "focused", "enabled")}
        checked = rng.choice((None, True, False))
        described = rng.choice((*texts, ""))
        return Element(rng.choice(KINDS), rng.choice(texts), described, "id", box, checked=checked, **flags)

    names = rng.sample(list(PLACES), rng.randint(1, 3))
    parts = tuple(
        Element(name, "", "", "", PLACES[name], children=tuple(element(64 + 44 * i) for i in range(rng.randint(0, 5))))
        for name in names
    )
    leaves = tuple(child for part in parts for child in part.children)
    app, theme = rng.choice(("Mail", "Home", "Shop", "Music", "Maps", "Zebra")), rng.choice(("light", "dark"))
    above, below, notice = rng.random() < 0.3, rng.random() < 0.3, rng.choice((*texts, ""))
    return Screen(app, rng.choice(texts), parts, leaves, above, below, notice, theme, rng.choice(("9:41", "23:59")))


@settings(max_examples=8)
@given(st.lists(TEXTS, min_size=1, max_size=4), st.integers(0, 2**32))
def test_a_screen_looks_the_same_with_all_that_is_kept_and_with_nothing(texts, seed):
    rng = Random(seed)
    screens = [random_screen(rng, texts) for _ in range(4)]
    first = [draw_screen(screen, marks=True) for screen in screens]
    again = [draw_screen(screen, marks=True) for screen in screens]  # with what all of them have left behind
    forget()
    fresh = [draw_screen(screen, marks=True) for screen in screens]
    for one, two, three in zip(first, again, fresh, strict=True):
        assert np.array_equal(one, two)
        assert np.array_equal(one, three)


def test_episodes_look_the_same_with_all_that_is_kept_and_with_nothing():
    env = gym.make("perlhf/UINav-v0", image=True)
    for seed in range(2):
        shown, over = env.reset(seed=seed)[0]["image"], False
        while not over:
            kept = shown.copy()
            shown[:] = 0  # what an env has given is whoever's it was given to
            forget()
            assert np.array_equal(draw_screen(env.unwrapped.task.device.screen(env.unwrapped.state.state)), kept)
            observation, _, terminated, truncated, _ = env.step(env.unwrapped.oracle())
            shown, over = observation["image"], terminated or truncated


@given(TEXTS, SIZES, st.booleans())
def test_words_side_by_side_are_the_line_that_has_no_words(text, size, bold):
    text = clean(text)
    joined = text.replace(" ", "\u00a0")  # as wide and as blank, and no end of a word
    assert width(text, size) == width(joined, size)
    line, whole = letters(text, size, bold), letters(joined, size, bold)
    common = min(line.shape[1], whole.shape[1])
    assert np.array_equal(line[:, :common], whole[:, :common])
    assert not line[:, common:].any()
    assert not whole[:, common:].any()


@given(st.lists(st.text("abgimW", min_size=1, max_size=6), min_size=1, max_size=12), SIZES, st.integers(110, 200))
def test_a_line_ends_where_its_next_word_has_no_room(words, size, room):
    lines = wrapped(" ".join(words), size, room, len(words))
    assert " ".join(lines).split(" ") == words
    for line, following in pairwise(lines):
        assert width(line, size) <= room < width(f"{line} {following.split(' ')[0]}", size)


@given(TEXTS, SIZES, st.booleans(), COLOURS, COLOURS, st.integers(0, 120))
def test_a_line_on_one_colour_is_the_line_on_anything(text, size, bold, ink, ground, room):
    one, other = blank(160, 60, ground), blank(160, 60, ground)
    taken = write(one, text, 5, 30, room, ink, size, bold)
    assert write(other, text, 5, 30, room, ink, size, bold, ground=ground) == taken
    assert np.array_equal(one, other)


@given(COLOURS, COLOURS, st.integers(1, 60), st.integers(1, 40))
def test_what_is_coloured_on_one_colour_is_stamped_on_it(ink, ground, wide, tall):
    mask, stamped = slab(wide, tall, 9), blank(wide, tall, ground)
    stamp(stamped, mask, 0, 0, ink)
    assert np.array_equal(coloured(mask, ink, ground), stamped)


@given(st.integers(30, 90), st.integers(30, 90), st.integers(-100, 100), st.integers(-100, 100), st.integers(0, 2**32))
def test_pictures_are_cut_off_where_the_canvas_ends(wide, tall, left, top, seed):
    rng = np.random.default_rng(seed)
    picture, canvas = (rng.integers(0, 256, size, np.uint8) for size in ((tall, wide, 3), (80, 100, 3)))
    pasted, round_one, laid = canvas.copy(), canvas.copy(), canvas.copy()
    paste(pasted, picture, left, top)
    inset(round_one, picture, 14, left, top)
    lay(laid, picture, slab(wide, tall, 14), left, top)
    assert np.array_equal(round_one, laid)
    for y in range(0, 80, 7):
        for x in range(0, 100, 7):
            inside = 0 <= x - left < wide and 0 <= y - top < tall
            assert np.array_equal(pasted[y, x], picture[y - top, x - left] if inside else canvas[y, x])
