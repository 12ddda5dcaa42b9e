"""The phone: whatever is done to it in whatever order, it stays a phone."""

import copy
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from envs.uinav.interface.actions import DIRECTIONS, Action, parse_action
from envs.uinav.interface.device import Ending
from envs.uinav.interface.screen import HEIGHT, WIDTH, nodes
from envs.uinav.phone import layout
from envs.uinav.phone.app import HOME, app_of, templates_of
from envs.uinav.phone.apps import BUILT_IN, KEPT
from envs.uinav.phone.device import PhoneDevice
from envs.uinav.phone.layout import BODY_TOP, BOTTOM, KEYBOARD
from envs.uinav.phone.state import Place

ROOT = Path(__file__).parents[1]
NAMES = tuple(templates_of(BUILT_IN))
DEVICE = PhoneDevice(BUILT_IN, NAMES)
NEW = templates_of((*BUILT_IN, *KEPT))
NEW_DEVICES = {unseen: PhoneDevice((*BUILT_IN, *KEPT), tuple(NEW), unseen) for unseen in ("", "values", "layouts")}


def check_screen(screen):
    """What holds of every screen."""
    assert screen.title or screen.app
    leaves = [element for element in nodes(screen.root) if not element.children and element.kind in LEAVES]
    assert [e for e in screen.elements if e not in leaves] == []
    for part in screen.parts:
        for element in part.children:
            left, top, right, bottom = element.box
            assert 0 <= left < right <= WIDTH
            assert 0 <= top < bottom <= HEIGHT
            assert part.box.left <= left
            assert right <= part.box.right
            assert part.box.top <= top
            assert bottom <= part.box.bottom + 4
            assert element.label or element.kind == "text"
            assert "\n" not in element.label
    boxes = [element.box for element in screen.elements]
    for i, one in enumerate(boxes):
        for other in boxes[:i]:
            apart = one.right <= other.left or other.right <= one.left
            assert apart or one.bottom <= other.top or other.bottom <= one.top, (one, other, screen.describe())
    assert sum(element.focused for element in screen.elements) <= 1


LEAVES = {"button", "icon", "app", "field", "item", "text", "image", "toggle", "check", "option", "tab", "key"}


class PhoneMachine(RuleBasedStateMachine):
    """Any legal or illegal action, in any order."""

    @initialize(seed=st.integers(0, 10_000), name=st.sampled_from(list(NEW)), unseen=st.sampled_from(list(NEW_DEVICES)))
    def start(self, seed, name, unseen):
        self.device = NEW_DEVICES[unseen]
        self.state, self.goal = self.device.reset(Random(seed), {"template": name})

    def do(self, action):
        before = self.device.describe(self.state)
        after = self.device.perform(self.state, action)
        assert self.device.describe(self.state) == before, "the state before was changed"
        assert isinstance(after.problem, str)
        assert "\n" not in after.problem
        assert after.label
        self.state = after.state

    @rule(share=st.floats(0, 1, exclude_max=True))
    def click(self, share):
        elements = self.device.screen(self.state).elements
        self.do(Action("click", 1 + int(share * len(elements))))

    @rule(share=st.floats(0, 1, exclude_max=True))
    def click_what_can_be_clicked(self, share):
        able = [i for i, e in enumerate(self.device.screen(self.state).elements, 1) if e.clickable]
        if able:
            number = able[int(share * len(able))]
            assert self.device.perform(self.state, Action("click", number)).problem == ""
            self.do(Action("click", number))

    @rule(number=st.integers(0, 9999), kind=st.sampled_from(["click", "long_press"]))
    def point_anywhere(self, number, kind):
        self.do(Action(kind, number))

    @precondition(lambda self: any(e.editable for e in self.device.screen(self.state).elements))
    @rule(share=st.floats(0, 1, exclude_max=True), text=st.one_of(st.text(max_size=30), st.sampled_from(["7:30", "5"])))
    def type_into_a_field(self, share, text):
        fields = [i for i, e in enumerate(self.device.screen(self.state).elements, 1) if e.editable]
        self.do(Action("type", fields[int(share * len(fields))], text))

    @precondition(lambda self: any(e.long_clickable for e in self.device.screen(self.state).elements))
    @rule(share=st.floats(0, 1, exclude_max=True))
    def press_long(self, share):
        able = [i for i, e in enumerate(self.device.screen(self.state).elements, 1) if e.long_clickable]
        self.do(Action("long_press", able[int(share * len(able))]))

    @rule(name=st.sampled_from(BUILT_IN))
    def open_an_app(self, name):
        self.do(Action("open_app", 0, app_of(name).title))
        assert self.state.phone.app == name

    @rule(text=st.text(max_size=10))
    def open_anything(self, text):
        self.do(Action("open_app", 0, text))

    @rule(direction=st.sampled_from(DIRECTIONS))
    def scroll(self, direction):
        self.do(Action("scroll", 0, direction))

    @rule(kind=st.sampled_from(["back", "wait"]))
    def other(self, kind):
        self.do(Action(kind))

    @rule()
    def go_home(self):
        self.do(Action("home"))
        assert self.state.phone.app == HOME
        assert len(self.state.phone.stack) == 1

    @rule()
    def do_the_right_thing(self):
        action = self.device.oracle(self.state, self.goal)
        assert parse_action(str(action)) == action
        if action.kind not in ("done", "infeasible"):
            self.do(action)

    @invariant()
    def it_is_still_a_phone(self):
        if not hasattr(self, "state"):
            return
        phone = self.state.phone
        assert phone.stack[0] == Place(HOME, HOME, scroll=phone.stack[0].scroll)
        assert all(place.page in app_of(place.app).pages for place in phone.stack)
        screen = self.device.screen(self.state)
        check_screen(screen)
        assert screen.describe() == self.device.describe(self.state)
        _, _, widgets, _ = layout.sorted_out(layout.widgets(phone))
        assert layout.height_of(widgets) == layout.stacked(widgets)[1]
        bottom = KEYBOARD.top if phone.focus else BOTTOM
        body = next(part for part in screen.parts if part.kind == "list")
        assert body.box.top == BODY_TOP
        assert body.box.bottom <= bottom
        assert self.device.success(self.state, self.goal, Ending("done")) in (True, False)


TestPhone = PhoneMachine.TestCase
TestPhone.settings = settings(
    max_examples=1000, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)


def episode(seed, steps=12):
    """Screens of an episode of random and right actions."""
    rng, (state, goal), seen = Random(seed), DEVICE.reset(Random(seed), {}), []
    for _ in range(steps):
        screen = DEVICE.describe(state)
        seen.append(screen)
        able = [i for i, e in enumerate(DEVICE.screen(state).elements, 1) if e.clickable]
        action = DEVICE.oracle(state, goal)
        if rng.random() < 0.5 or action.kind in ("done", "infeasible"):
            action = Action("click", rng.choice(able)) if able else Action("back")
        state = DEVICE.perform(state, action).state
    return goal, seen


def test_the_same_seed_gives_the_same_episode_in_another_process():
    code = (
        f"import sys, zlib; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / 'tests')!r}]\n"
        "from test_uinav_phone import episode\n"
        "print(zlib.crc32(repr([episode(seed) for seed in range(1000)]).encode()))"
    )
    command = [sys.executable, "-c", code]
    outputs = [
        subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": number})
        for number in ("1", "2")
    ]
    assert [output.stderr for output in outputs] == ["", ""]
    assert outputs[0].stdout == outputs[1].stdout
    assert outputs[0].stdout.strip().isdecimal()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda state: pickle.loads(pickle.dumps(state))])
def test_a_copy_in_the_middle_goes_on_alike(copied):
    for seed in range(60):
        state, goal = DEVICE.reset(Random(seed), {})
        for _ in range(3):
            action = DEVICE.oracle(state, goal)
            if action.kind in ("done", "infeasible"):
                break
            state = DEVICE.perform(state, action).state
        twin = copied(state)
        assert twin == state
        assert DEVICE.describe(twin) == DEVICE.describe(state)
        action = DEVICE.oracle(twin, goal)
        assert action == DEVICE.oracle(state, goal)
        if action.kind not in ("done", "infeasible"):
            assert DEVICE.perform(twin, action).state == DEVICE.perform(state, action).state


def test_what_is_shown_is_made_again_after_an_action_and_kept_where_nothing_changed():
    state, _ = DEVICE.reset(Random(0), {})
    text, page = state.text, state.page
    assert DEVICE.perform(state, Action("wait")).state is state
    assert state.page is page
    after = DEVICE.perform(state, Action("open_app", 0, "Settings")).state
    assert after != state
    assert state.page is not page
    assert (state.text, state.page) == (text, page)


@pytest.mark.parametrize("kind", ["click", "long_press", "type"])
def test_elements_are_numbered_from_1(kind):
    state, _ = DEVICE.reset(Random(0), {})
    assert DEVICE.perform(state, Action(kind, 0)).problem == "elements are numbered from 1"


def test_values_of_a_phone_are_plain():
    for seed in range(20):
        for name in BUILT_IN:
            made = app_of(name).make(Random(seed))
            assert json.dumps(made)
            lists = [value for value in made.values() if isinstance(value, list)]
            assert not lists, "a list can be changed in place; use a tuple"


def test_scrolling_down_and_up_shows_everything():
    """Every widget of a long page is fully visible at some stop, in both directions."""
    rng = np.random.default_rng(0)
    for seed in range(300):
        state, _ = DEVICE.reset(Random(seed), {})
        name = BUILT_IN[int(rng.integers(len(BUILT_IN)))]
        state = DEVICE.perform(state, Action("open_app", 0, app_of(name).title)).state
        if state.phone.dialog is not None:
            continue
        down, state = stops(state, "down")
        up, _ = stops(state, "up")
        everything = {w.label for w in pages(state) if w.kind != "title"}
        assert everything <= down
        assert everything <= up


def stops(state, direction):
    seen = set()
    for _ in range(30):
        seen |= {element.label for element in DEVICE.screen(state).elements}
        state, _, problem = DEVICE.perform(state, Action("scroll", 0, direction))
        if problem:
            return seen, state
    raise AssertionError("scrolling never ended")


def pages(state):
    return layout.widgets(state.phone)
