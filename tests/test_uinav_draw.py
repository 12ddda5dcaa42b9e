"""How screens are drawn and written: every kind of element, every part, both themes, and any text at all."""

import hashlib
import os
import subprocess
import sys
import unicodedata
from pathlib import Path
from random import Random

import gymnasium as gym
import numpy as np
import pytest
from cost import cost
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from envs.font import is_lacking
from envs.uinav.drawing.appearance import ground_of
from envs.uinav.drawing.film import Film, filmstrip, save_film
from envs.uinav.drawing.glyphs import GLYPHS, glyph, glyph_name
from envs.uinav.drawing.lettering import clean, elided, letters, width, wrapped
from envs.uinav.drawing.palette import ACCENTS, THEMES, accent, app_colour, contrast, ink_on
from envs.uinav.drawing.picture import draw_screen
from envs.uinav.drawing.terminal import write_screen
from envs.uinav.interface.screen import ANDROID_CLASSES, Box, Element, Screen
from perlhf.errors import UserError

FOLDERS = os.pathsep.join(str(folder) for folder in Path(__file__).parents[:2])
CONTAINERS = ("bar", "list", "foot", "dialog", "keyboard", "screen")
LEAVES = [kind for kind in ANDROID_CLASSES if kind not in CONTAINERS]
APPS = [app for app in ACCENTS if app != "Home"]
ROW, LIST, BAR = Box(12, 100, 276, 144), Box(0, 60, 288, 488), Box(0, 20, 288, 60)
both_themes = pytest.mark.parametrize("theme", ["light", "dark"])
every_kind = pytest.mark.parametrize("kind", LEAVES)


def element(kind, text="Lunch plan", box=ROW, **rest):
    checked = False if kind in ("toggle", "check", "option", "tab") else None
    described = {"field": "Subject", "icon": "Search", "image": "A lake"}.get(kind, "")
    made = Element(kind, "" if kind in ("icon", "image") else text, described, kind, box, True, checked=checked)
    return made._replace(**rest)


def screen(*elements, kind="list", box=LIST, **rest):
    values = {"app": "Mail", "title": "Inbox", "parts": (Element(kind, "", "", "", box, children=elements),)}
    return Screen(**{**values, "elements": elements, **rest})


def rich_screen(theme="light"):
    bar = (element("icon", box=Box(6, 24, 38, 56), description="Back"), element("icon", box=Box(250, 24, 282, 56)))
    kinds = [kind for kind in LEAVES if kind not in ("icon", "app", "key")]
    rows = tuple(element(kind, box=Box(12, 64 + 40 * i, 276, 104 + 40 * i)) for i, kind in enumerate(kinds))
    foot = (element("icon", box=Box(228, 436, 276, 484), description="Edit"),)
    parts = (
        Element("bar", "", "", "", BAR, children=bar),
        Element("list", "", "", "", Box(0, 60, 288, 432), children=rows),
        Element("foot", "", "", "", Box(0, 432, 288, 488), children=foot),
    )
    return Screen("Mail", "Inbox", parts, bar + rows + foot, True, True, "Sent", theme)


def differing(one, other):
    """(rows, columns) of the pixels that differ."""
    return np.nonzero((one != other).any(axis=2))


def columns(text):
    assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Mn", "Me", "Cs")]
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


@both_themes
@every_kind
def test_an_element_is_seen_in_its_box_and_nowhere_else(kind, theme):
    with_it, without = draw_screen(screen(element(kind), theme=theme)), draw_screen(screen(theme=theme))
    assert with_it.shape == (512, 288, 3)
    assert with_it.dtype == np.uint8
    assert with_it.flags.writeable
    rows, across = differing(with_it, without)
    assert len(rows) > 20
    assert rows.min() >= ROW.top
    assert rows.max() < ROW.bottom
    assert across.min() >= ROW.left
    assert across.max() < ROW.right


@both_themes
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("button", {"enabled": False}),
        ("toggle", {"checked": True}),
        ("check", {"checked": True}),
        ("option", {"checked": True}),
        ("tab", {"checked": True}),
        ("field", {"focused": True}),
        ("field", {"text": ""}),
        ("toggle", {"enabled": False}),
        ("icon", {"description": "Delete"}),
        ("icon", {"description": "Zap"}),
        ("image", {"description": "A city"}),
        ("item", {"text": "Lunch plan, See you at noon"}),
    ],
)
def test_an_element_differs_from_its_twin(kind, change, theme):
    first = element(kind)
    twin = first._replace(**change)
    assert len(differing(draw_screen(screen(first, theme=theme)), draw_screen(screen(twin, theme=theme)))[0]) > 15


@both_themes
@pytest.mark.parametrize(
    ("kind", "box"),
    [("dialog", Box(12, 200, 276, 300)), ("keyboard", Box(0, 332, 288, 488))],
)
def test_dialogs_and_keyboards_are_seen(kind, box, theme):
    rows, across = differing(draw_screen(screen(kind=kind, box=box, theme=theme)), draw_screen(screen(theme=theme)))
    inside = (rows >= box.top) & (rows < box.bottom) & (across >= box.left) & (across < box.right)
    assert inside.sum() > 0.95 * (box.right - box.left) * (box.bottom - box.top)
    assert (~inside).any() == (kind == "dialog")  # a dialog dims all that it does not cover


def test_what_is_in_a_dialog_and_in_the_foot_looks_different_there():
    places = [draw_screen(screen(element("button"), kind=kind, box=ROW))[100:144] for kind in ("list", "dialog")]
    assert (places[0] != places[1]).any()
    places = [draw_screen(screen(element("icon"), kind=kind, box=ROW))[100:144] for kind in ("list", "foot")]
    assert (places[0] != places[1]).any()


def test_short_labels_are_whole_in_narrow_places():
    """A fifth of a row, 52 pixels: what is behind the dots would not be seen."""
    for kind in ("tab", "option"):
        shown = [draw_screen(screen(element(kind, f"Mo{last}", Box(12, 100, 64, 136)))) for last in "ngp"]
        assert len({picture.tobytes() for picture in shown}) == 3


def test_parts_of_a_screen_change_it():
    plain = rich_screen()
    pictures = [
        draw_screen(s)
        for s in (
            plain,
            plain._replace(above=False),
            plain._replace(below=False),
            plain._replace(notice=""),
            plain._replace(notice="Saved"),
            plain._replace(theme="dark"),
            plain._replace(title="Sent"),
            plain._replace(app="Notes"),
            plain._replace(app="Home", title=""),
        )
    ]
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)


def test_every_app_has_a_pictogram_and_a_colour_of_its_own():
    icons = [draw_screen(screen(element("app", app, Box(12, 64, 78, 148)), app="Home", title="")) for app in APPS]
    assert len({icon[64:120, 12:78].tobytes() for icon in icons}) == 12
    assert len({app_colour(app) for app in APPS}) == 12
    assert {f"app {app}" for app in APPS} <= set(GLYPHS)
    assert app_colour("Pomodoro") == app_colour("Pomodoro") != app_colour("Weather")


@both_themes
@pytest.mark.parametrize("app", [*APPS, "Pomodoro", "Weather", "Bank"])
def test_text_can_be_read(app, theme):
    """A contrast of 4.5 is the least for text by the Web Content Accessibility Guidelines, level AA."""
    colours = THEMES[theme]
    for place in ("list", "bar", "dialog"):
        assert contrast(colours.ink, ground_of(place, app, theme)) >= 4.5
        assert contrast(colours.faint, ground_of(place, app, theme)) >= 4.5
    assert contrast(accent(app, theme), colours.page) >= 4.5
    assert contrast(accent(app, theme), colours.card) >= 4.5
    assert contrast(ink_on(accent(app, theme)), accent(app, theme)) >= 4.5


def test_contrast_of_black_and_white_is_21():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((9, 9, 9), (9, 9, 9)) == 1


def test_a_picture_follows_from_the_screen_in_any_process():
    code = (
        "import hashlib; from test_uinav_draw import rich_screen; from envs.uinav.drawing.picture import draw_screen;"
        "print(hashlib.sha256(draw_screen(rich_screen(), (40, 90), True).tobytes()).hexdigest())"
    )
    here = hashlib.sha256(draw_screen(rich_screen(), (40, 90), True).tobytes()).hexdigest()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": FOLDERS},
        )
        assert done.stdout.strip() == here, done.stderr


def test_a_drawn_screen_may_be_changed_without_changing_the_next():
    first = draw_screen(rich_screen())
    kept = first.copy()
    first[:] = 0
    assert (draw_screen(rich_screen()) == kept).all()


def test_a_tap_changes_only_what_is_near():
    rows, across = differing(draw_screen(rich_screen(), tap=(100, 200)), draw_screen(rich_screen()))
    assert len(rows) > 400
    assert np.hypot(rows - 200, across - 100).max() < 20
    assert draw_screen(rich_screen(), tap=(0, 511)).shape == (512, 288, 3)
    assert (draw_screen(rich_screen(), tap=(-500, 9999)) == draw_screen(rich_screen())).all()


def test_marks_are_at_the_corners():
    shown = screen(element("item"), element("item", box=Box(12, 200, 276, 244)))
    rows, across = differing(draw_screen(shown, marks=True), draw_screen(shown))
    assert across.max() < ROW.left + 12
    near = [(np.abs(rows - top) < 16).sum() for top in (100, 200)]
    assert min(near) > 60
    assert sum(near) == len(rows)
    apart = draw_screen(shown, marks=True)
    assert (apart[96:112, 2:16] != apart[196:212, 2:16]).any()  # another number


@both_themes
@every_kind
@pytest.mark.parametrize(
    "text", ["", "x" * 5000, "word " * 900, "漢字かな交じり文", "😀👩‍👩‍👧🇫🇷", "a\nb\tc\0d", "é\u0301\u200f", "\ud800"]
)
def test_any_label_can_be_drawn_and_written(kind, text, theme):
    shown = screen(element(kind, text, description=text), title=text, notice=text, theme=theme)
    assert draw_screen(shown, marks=True).shape == (512, 288, 3)
    assert {columns(line) for line in write_screen(shown).split("\n")} == {46}


@every_kind
@pytest.mark.parametrize(
    "box",
    [
        Box(-40, 100, 60, 140), Box(250, 480, 400, 600), Box(20, -30, 200, 10), Box(50, 50, 50, 50),
        Box(90, 90, 80, 80), Box(10, 10, 11, 11), Box(5, 5, 9, 300), Box(5, 5, 280, 8), Box(-9999, -9999, 9999, 9999),
        Box(1000, 1000, 1100, 1100), Box(0, 0, 288, 512),
    ],
)  # fmt: skip
def test_any_box_can_be_drawn(kind, box):
    for place in ("list", "bar", "foot", "dialog", "keyboard"):
        shown = screen(element(kind, box=box, focused=True), kind=place, box=box, above=True, below=True)
        assert draw_screen(shown, marks=True).shape == (512, 288, 3)


def random_element(rng, texts):
    left, top = rng.randint(-60, 300), rng.randint(-60, 540)
    box = Box(left, top, left + rng.randint(-5, 300), top + rng.randint(-5, rng.choice((40, 600))))
    checked = rng.choice((None, True, False))
    flags = {name: rng.random() < 0.5 for name in ("clickable", "editable", "focused", "enabled")}
    kind = rng.choice((*LEAVES, "unheard of"))
    return Element(kind, rng.choice(texts), rng.choice(texts), "id", box, checked=checked, **flags)


@settings(max_examples=120)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4), st.integers(0, 2**32))
def test_any_screen_can_be_drawn_and_written(texts, seed):
    rng = Random(seed)
    parts = []
    for _ in range(rng.randint(0, 4)):
        children = tuple(random_element(rng, texts) for _ in range(rng.randint(0, 5)))
        parts.append(random_element(rng, texts)._replace(kind=rng.choice(CONTAINERS), children=children))
    leaves = tuple(child for part in parts for child in part.children)
    app, theme = rng.choice((*ACCENTS, texts[0])), rng.choice(("light", "dark", "sepia"))
    above, below, width = rng.random() < 0.5, rng.random() < 0.5, rng.randint(0, 90)
    shown = Screen(app, texts[-1], tuple(parts), leaves, above, below, rng.choice(texts), theme)
    assert draw_screen(shown, tap=(width, 3 * width), marks=True).shape == (512, 288, 3)
    assert {columns(line) for line in write_screen(shown, width).split("\n")} == {max(width, 24)}


def test_drawing_is_fast():
    """The first is a screen that was drawn before; the second has a row that was not."""
    shown, labels = rich_screen(), iter(range(10**6))

    def changed():
        label = f"Mail {next(labels)}, Lunch plan"
        draw_screen(screen(*shown.elements[2:9], element("item", label)))

    draw_screen(shown)
    assert cost(lambda: [draw_screen(shown) for _ in range(10)], 0.006) < 0.006
    assert cost(lambda: [changed() for _ in range(10)], 0.008) < 0.008


# Letters and glyphs


def test_text_is_cut_to_its_room():
    assert elided("Lunch plan", 14, 200) == "Lunch plan"
    cut = elided("Lunch plan with everybody", 14, 80)
    assert cut.startswith("Lunch")
    assert cut.endswith("…")
    assert width(cut, 14) <= 80
    assert elided("Lunch", 14, 3) == ""
    assert wrapped("one two three four", 14, 60, 9) == ["one two", "three", "four"]
    assert wrapped("one two three four", 14, 60, 2) == ["one two", "three f…"]
    assert "".join(wrapped("x" * 40, 14, 60, 9)) == "x" * 40


def test_text_is_made_of_letters_that_the_font_has():
    assert clean("Zoe\u0308 — Café\nnoir…") == "Zoë — Café noir…"
    assert clean("👋🏽 hi\u200b ❤\ufe0f") == "👋 hi ❤"  # without the tone of the skin, and marks that show nothing
    assert letters("Ab", 14).shape[0] == 22
    assert letters("Ab", 14).max() == 128
    assert (letters("ab", 14) != letters("ba", 14)).any()
    assert letters("ab", 14, bold=True).sum() > letters("ab", 14).sum()
    assert not letters("", 14).any()


@pytest.mark.parametrize(
    "text", ["é", "ß", "Ł", "ő", "Ж", "ї", "Ω", "ά", "ệ", "→", "–", "—", "…", "€", "×", "😀", "🎉"]
)
def test_the_font_has_accents_greek_cyrillic_arrows_dashes_and_emoji(text):
    assert not is_lacking(text)
    plain = {"é": "e", "ő": "o", "ї": "і", "ά": "α", "ệ": "e"}.get(text, "-")
    assert letters(text, 14).sum() != letters(plain, 14).sum() or text == "-"


def test_a_character_that_the_font_lacks_is_a_box_with_its_number():
    one, other, far = (letters(text, 17) for text in ("\u4e2d", "\u4e2e", "\U0001f9ff"))
    assert is_lacking("\u4e2d")
    assert one.shape == other.shape
    assert (one != other).any()  # their numbers differ
    lit = np.nonzero(one.any(axis=0))[0]
    assert lit.max() // 3 <= width("\u4e2d", 17)
    assert far.shape[1] > one.shape[1]


def test_letters_come_from_left_to_right():
    first, second = (np.nonzero(letters(text, 14).any(axis=0))[0] // 3 for text in ("l.", ".l"))
    assert first.max() == pytest.approx(second.max(), abs=2)
    heights = [np.nonzero(letters(text, 14)[:8].any(axis=0))[0].mean() for text in ("l.", ".l")]
    assert heights[0] < heights[1]


@pytest.mark.parametrize("name", GLYPHS)
def test_every_glyph_is_within_its_place(name):
    mask = glyph(name, 24)
    assert mask.shape == (24, 72)
    assert 0.03 < (mask > 64).mean() < 0.85


def test_icons_are_known_by_their_names():
    names = (
        "Back Search Delete Star Edit Add Send Menu More Share Reply Call Save Favorite Download Play Pause Next Close"
    )
    assert all(glyph_name(name) in GLYPHS for name in names.split())
    assert glyph_name("Add contact") == "add"
    assert glyph_name("Unstar") == "star full"
    assert glyph_name("Remove bookmark") == "bookmark full"
    assert glyph_name("Remove") == "delete"
    assert glyph_name("Zap") == ""


# Films


def film(count):
    frames = [draw_screen(rich_screen(), tap=(20 * i, 100)) for i in range(count)]
    return frames, [f"click({i})" for i in range(count)]


def test_a_filmstrip_has_at_most_six_in_a_row_and_rows_of_like_length():
    one, six, seven = (filmstrip(*film(count)).size for count in (1, 6, 7))
    assert one[0] > 288
    assert one[1] > 512
    assert one[1] == six[1]
    assert six[0] - one[0] == 5 * (288 + 14 + 22)  # with the bezel on both sides, and a gap
    assert seven[0] - one[0] == 3 * (288 + 14 + 22)
    assert seven[1] > 2 * 512
    assert seven[1] < 2 * six[1]


def test_the_frames_are_in_the_filmstrip():
    frames, captions = film(2)
    strip = np.asarray(filmstrip(frames, captions))
    for i, frame in enumerate(frames):
        left, top = 22 + i * (288 + 14 + 22) + 7, 22 + 7
        assert (strip[top + 20 : top + 490, left : left + 288] == frame[20:490]).all()
    assert (np.asarray(filmstrip(frames, ["a", "b"])) != strip).any()


def test_a_film_is_written(tmp_path):
    frames, captions = film(3)
    frames, captions = [*frames, frames[-1]], [*captions, captions[-1]]  # the last twice, as after wait()
    save_film(tmp_path / "film.png", frames, captions)
    with Image.open(tmp_path / "film.png") as strip:
        assert strip.size == filmstrip(frames, captions).size
    save_film(tmp_path / "film.gif", frames, captions, seconds=0.5)
    with Image.open(tmp_path / "film.gif") as animation:
        assert animation.n_frames == 4
        durations = []
        for i in range(4):
            animation.seek(i)
            durations.append(animation.info["duration"])
    assert durations == [500, 500, 500, 1250]
    assert (tmp_path / "film.gif").stat().st_size < 200_000


def test_a_film_has_its_goal_the_numbers_of_its_steps_and_its_end(tmp_path):
    env = gym.make("perlhf/UINav-v0", split="test").unwrapped
    env.reset(seed=1, options={"template": "star_email", "feasible": True})
    film = Film(env.task, env.state.goal.text)
    over = False
    while not over:
        action = env.oracle()
        film.add(env.state, action)
        *_, over, _, info = env.step(action)
    film.end(env.state, info["is_success"])
    assert [caption.partition(". ")[0] for caption in film.captions[:-1]] == ["1", "2", "3", "4"]
    assert film.captions[-1] == "goal reached"
    film.save(tmp_path / "film.png")
    without = filmstrip(film.frames, film.captions)
    with Image.open(tmp_path / "film.png") as strip:
        assert strip.size[0] == without.size[0]
        assert strip.size[1] > without.size[1]  # by the goal


@both_themes
@pytest.mark.parametrize(
    ("app", "title", "rows"),
    [("Maps", "Luna Cinema", ["Distance 2 km"]), ("Maps", "Directions", ["To Luna Cinema"]),
     ("Music", "Silver Echo", ["Artist Tin Walnuts"]), ("Shop", "Pinto kettle", ["Price $3.00"])],
)  # fmt: skip
def test_empty_rows_hold_a_map_a_cover_or_what_is_sold(app, title, rows, theme):
    def page(title, rows):
        made = tuple(element("text", row, Box(12, 64 + 24 * i, 276, 88 + 24 * i)) for i, row in enumerate(rows))
        return draw_screen(screen(*made, app=app, title=title, theme=theme))

    drawn, other, without = page(title, rows), page(title + "s", [row + "s" for row in rows]), page(title, ["Nothing"])
    assert (drawn[120:480] != without[120:480]).any(axis=2).mean() > 0.2 or app == "Maps"
    assert (drawn[120:480] != other[120:480]).any()
    assert (drawn == page(title, rows)).all()


def test_the_status_bar_says_what_time_it_is():
    at = [draw_screen(rich_screen()._replace(time=time)) for time in ("9:41", "23:05")]
    rows, across = differing(*at)
    assert rows.max() < 20
    assert across.max() < 80


def test_a_tap_is_a_ring_through_which_what_was_tapped_is_seen():
    rows, across = differing(draw_screen(rich_screen(), tap=(140, 200)), draw_screen(rich_screen()))
    distances = np.hypot(rows - 200, across - 140)
    assert distances.min() > 12
    assert distances.max() < 21


def test_mistakes_about_films_are_told_in_one_line(tmp_path):
    frames, captions = film(1)
    for path, given_frames, given_captions, seconds in (
        ("film.mp4", frames, captions, 1),
        ("film", frames, captions, 1),
        ("film.png", [], [], 1),
        ("film.gif", frames, [], 1),
        ("film.gif", frames, captions, 0),
    ):
        with pytest.raises(UserError) as error:
            save_film(tmp_path / path, given_frames, given_captions, seconds)
        assert "\n" not in str(error.value)
        assert not (tmp_path / path).exists()


# In the terminal


def test_a_screen_in_the_terminal():
    rows = (
        element("icon", box=Box(6, 24, 38, 56), description="Back"),
        element("icon", box=Box(250, 24, 282, 56), description="Send"),
        element("field", "Hi", Box(12, 64, 276, 108), focused=True),
        element("toggle", "Dark mode", Box(12, 110, 276, 150), checked=True),
        element("check", "Milk", Box(12, 150, 276, 180)),
        element("button", "Save this rather long draft", Box(12, 190, 276, 230), enabled=False),
    )
    lines = write_screen(screen(*rows, below=True, notice="Saved"), 30).split("\n")
    assert lines == [
        "╭────────────────────────────╮",
        "│ Mail: Inbox                │",
        "├────────────────────────────┤",
        "│  1 <Back>  2 <Send>        │",
        "│  3 [Subject: Hi▏]          │",
        "│  4 —● Dark mode            │",
        "│  5 [ ] Milk                │",
        "│  6 ( Save this rather long │",
        "│    draft ) (disabled)      │",
        "│ ▼ more below               │",
        "│ » Saved                    │",
        "╰────────────────────────────╯",
    ]


def test_a_dialog_in_the_terminal_hides_what_is_behind():
    behind, asked = element("item", "Behind"), element("text", "Delete?", Box(20, 200, 260, 224))
    answers = tuple(element("button", label, Box(x, 224, x + 100, 260)) for x, label in ((20, "Yes"), (130, "No")))
    front = (asked, *answers)
    parts = (
        Element("list", "", "", "", LIST, children=(behind,)),
        Element("dialog", "", "", "", Box(12, 200, 276, 264), children=front),
    )
    written = write_screen(Screen("Mail", "Mail", parts, front))
    assert "Behind" not in written
    assert "│ │  1 Delete?" in written
    assert "2 ( Yes )  3 ( No )" in written
    assert "Mail: Mail" not in written


def test_a_keyboard_in_the_terminal_is_one_line():
    written = write_screen(screen(element("key", "Enter"), kind="keyboard"))
    assert "qwertyuiop asdfghjkl zxcvbnm" in written
    assert " 1 ( Enter )" in written
