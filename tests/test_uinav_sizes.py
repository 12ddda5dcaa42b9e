"""Screens of other sizes and densities: what fits on a page, where points are, and that all can be done there."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.uinav.drawing.picture import draw_screen
from envs.uinav.interface.screen import HEIGHT, WIDTH, Box
from envs.uinav.observations.picture import resized
from envs.uinav.phone.canvas import CANVAS, canvas_of, sizes_of
from envs.uinav.recordings.export import export_oracle
from envs.uinav.recordings.files import write_trajectories
from envs.uinav.task import UINav
from perlhf.errors import UserError

SIZES = [("240x400", 1.0), ("360x640", 1.0), ("1080x2400", 2.625), ("1200x800", 1.0), ("288x512", 0.5)]


def test_the_canvas_of_old():
    assert (288, 512, 488, Box(0, 332, 288, 488), Box(232, 444, 280, 482), Box(0, 432, 288, 488), 38) == CANVAS
    assert sizes_of("", 1) == ((WIDTH, HEIGHT), CANVAS)
    assert sizes_of("288x512", 1.0) == sizes_of("", 1)


def test_sizes_by_hand():
    assert sizes_of("1080x2400", 2.625) == ((1080, 2400), canvas_of(411, 914))  # 411.4 and 914.3
    assert sizes_of("", 2.0) == ((576, 1024), CANVAS)
    assert sizes_of("100x100", 1, recorded=True) == ((100, 100), CANVAS)
    assert canvas_of(552, 512).letters == 76  # twice the room for words, 528 instead of 264 pixels


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"screen_size": "360"}, "screen_size must be WIDTHxHEIGHT in pixels, such as '360x640', got '360'."),
        ({"screen_size": "axb"}, "screen_size must be WIDTHxHEIGHT"),
        ({"screen_size": (360, 640)}, "screen_size must be WIDTHxHEIGHT"),
        ({"screen_size": "100x100"}, "leaves 100x100 pixels to lay pages out on, expected 240x400 to 1200x2400"),
        ({"screen_size": "360x640", "density": 2}, "leaves 180x320 pixels"),
        ({"density": 0}, "density must be a number from 0.5 to 8, got 0."),
        ({"density": True}, "density must be a number"),
        ({"density": float("nan")}, "density must be a number"),
    ],
)
def test_other_sizes_are_refused_in_one_line(options, problem):
    with pytest.raises(UserError) as caught:
        UINav(**options)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)


def episodes(task, count, seed=5):
    """Yields each state that the oracle comes through, and at last whether the goal was reached."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        state = task.start(rng, {})
        for _ in range(task.max_steps):
            yield state, None
            played = task.play(state, task.oracle(state))
            state = played.state
            if played.terminated:
                break
        yield state, task.judge(played.turn) == 1


@pytest.mark.parametrize(("size", "density"), SIZES)
def test_everything_can_be_done_and_stands_on_the_screen(size, density):
    task, ends = UINav(screen_size=size, density=density), 0
    for state, reached in episodes(task, 12):
        screen = task.device.screen(state.state)
        for element in screen.elements:
            left, top, right, bottom = element.box
            assert 0 <= left < right <= screen.width
            assert 0 <= top < bottom <= screen.height
        assert reached is not False
        ends += reached is True
    assert ends == 12


@pytest.mark.parametrize("actions", ["coordinates", "qwen", "ui-tars:1000", "browsergym"])
def test_points_are_those_of_the_picture(actions):
    task = UINav(screen_size="720x1600", density=2, actions=actions)
    assert [reached for _, reached in episodes(task, 8) if reached is not None] == [True] * 8


def test_a_point_on_a_picture_that_is_twice_as_large():
    small, large = UINav(actions="coordinates"), UINav(actions="coordinates", density=2)
    states = [task.start(np.random.default_rng(0), {"template": "send_email", "seed": 3}) for task in (small, large)]
    screens = [task.device.screen(state.state) for task, state in zip((small, large), states, strict=True)]
    assert screens[0] == screens[1]
    x, y = screens[0].elements[6].box.middle
    first, second = small.action(f"click({x}, {y})", states[0]), large.action(f"click({2 * x}, {2 * y})", states[1])
    assert first == second
    assert first.element == 7


def test_more_fits_on_a_longer_screen():
    shown = {}
    for size in ("240x400", "", "360x1000"):
        task = UINav(screen_size=size, templates="delete_email")
        screens = [task.device.screen(state.state) for state, _ in episodes(task, 6)]
        shown[size] = max(len(screen.elements) for screen in screens if screen.title == "Inbox")
    assert shown["240x400"] < shown[""] < shown["360x1000"]


@pytest.mark.parametrize(("size", "density"), SIZES)
def test_surface_and_screen_agree_on_every_size(size, density):
    task, rng = UINav(screen_size=size, density=density), np.random.default_rng(0)
    for state, _ in episodes(task, 3):
        screen, surface = task.device.screen(state.state), task.device.surface(state.state)
        assert (screen.focused(), screen.enter()) == (surface.focused(), surface.enter())
        for x, y in zip(rng.integers(screen.width, size=40), rng.integers(screen.height, size=40), strict=True):
            assert screen.at(int(x), int(y)) == surface.at(int(x), int(y))


@pytest.mark.parametrize(("size", "density"), SIZES)
def test_pictures_have_their_size(size, density):
    width, height = map(int, size.split("x"))
    task = UINav(screen_size=size, density=density, image=True, marks=True)
    assert task.image_shape == (height, width, 3)
    for state, _ in list(episodes(task, 1))[:3]:
        picture = task.observe(state)["image"]
        assert (picture.shape, picture.dtype) == ((height, width, 3), np.uint8)
        assert picture.std() > 5


def test_the_picture_of_old_is_not_touched():
    task = UINav(image=True)
    state = task.start(np.random.default_rng(0), {})
    drawn = draw_screen(task.device.screen(state.state))
    assert resized(drawn, (288, 512)) is drawn
    assert (task.observe(state)["image"] == drawn).all()


def test_recordings_have_pictures_of_other_sizes(tmp_path):
    path = tmp_path / "oracle.jsonl"
    write_trajectories(path, export_oracle(UINav(), 12, np.random.default_rng(0)))
    task = UINav(str(path), image=True, screen_size="144x256", actions="coordinates")
    assert [reached for _, reached in episodes(task, 2) if reached is not None] == [True, True]
    assert task.observe(task.start(np.random.default_rng(0), {}))["image"].shape == (256, 144, 3)
    with pytest.raises(UserError, match="density is of the simulated phone"):
        UINav(str(path), density=2.0)


@given(st.integers(240, 1200), st.integers(400, 2400))
@settings(max_examples=50)
def test_parts_of_a_canvas_do_not_overlap(width, height):
    canvas = canvas_of(width, height)
    assert 60 < canvas.keyboard.top < canvas.key.top < canvas.key.bottom < canvas.bottom < height
    assert 0 < canvas.key.left < canvas.key.right < width
    assert 60 < canvas.foot.top < canvas.bottom
    assert canvas.letters * 8 > width - 24 - 8 * 8  # as many pixels to a letter on each: 264 / 38, not quite 7
