"""Every template of every app: the oracle does it, and nothing else does."""

from random import Random

import numpy as np
import pytest

from envs.uinav.interface.actions import parse_action
from envs.uinav.interface.device import Ending
from envs.uinav.phone.app import app_of, initial_data, templates_of
from envs.uinav.phone.apps import BUILT_IN
from envs.uinav.phone.device import PhoneDevice
from envs.uinav.task import UINav

KNOWN = templates_of(BUILT_IN)
SEEDS = 600
LONGEST = 12  # steps of an oracle, with the last word but without dialogs that come up by chance

every_template = pytest.mark.parametrize("name", KNOWN, ids=[f"{app}-{name}" for name, (app, _) in KNOWN.items()])
every_app = pytest.mark.parametrize("name", BUILT_IN)


def play(device, seed, name, **options):
    """Actions of the oracle, and whether they reached the goal."""
    state, goal = device.reset(Random(seed), {"template": name, **options})
    actions, dialogs = [], 0
    while True:
        action = device.oracle(state, goal)
        assert parse_action(str(action)) == action
        actions.append(action)
        if action.kind in ("done", "infeasible"):
            return actions, dialogs, goal, device.success(state, goal, Ending(action.kind, action.text))
        opened = state.phone.dialog is None
        state, _, problem = device.perform(state, action)
        assert problem == "", (seed, name, str(action), device.describe(state))
        dialogs += opened and action.kind == "open_app" and state.phone.dialog is not None
        assert len(actions) < 30, (seed, name, [str(a) for a in actions], device.describe(state))


@every_template
def test_the_oracle_reaches_the_goal_on_every_seed(name):
    device, lengths = PhoneDevice(BUILT_IN, [name]), []
    for seed in range(SEEDS):
        actions, dialogs, goal, success = play(device, seed, name)
        assert success, (seed, goal, [str(action) for action in actions])
        assert (actions[-1].kind == "done") == goal.feasible, (seed, goal)
        lengths.append(len(actions) - dialogs)
    assert max(lengths) <= LONGEST + 2, max(lengths)  # two for scrolling to what is far down
    assert np.median(lengths) <= LONGEST


@every_template
def test_what_is_not_there_is_called_infeasible_and_only_then(name):
    if KNOWN[name][1].absent is None:
        pytest.skip("always feasible")
    device = PhoneDevice(BUILT_IN, [name])
    for seed in range(200):
        actions, _, goal, success = play(device, seed, name, feasible=False)
        assert success
        assert not goal.feasible
        assert actions[-1].kind == "infeasible"
        assert len(actions) > 1, "it says so before it has looked"


@every_template
def test_nothing_is_done_at_the_start(name):
    device = PhoneDevice(BUILT_IN, [name])
    for seed in range(SEEDS):
        state, goal = device.reset(Random(seed), {"template": name, "feasible": True})
        assert not device.success(state, goal, Ending("done")), (seed, goal)
        assert not device.success(state, goal, Ending("infeasible", "no")), (seed, goal)


@every_template
def test_goals_differ_and_say_all_that_has_to_be_typed(name):
    device, texts = PhoneDevice(BUILT_IN, [name]), set()
    for seed in range(200):
        _, goal = device.reset(Random(seed), {"template": name, "feasible": True})
        texts.add(goal.text)
        assert all(isinstance(value, str) and value in goal.text for value in goal.values.values())
        assert "{" not in goal.text
    assert len(texts) >= 5


@every_template
def test_what_is_typed_is_in_the_goal_or_was_on_a_screen(name):
    device = PhoneDevice(BUILT_IN, [name])
    for seed in range(50):
        state, goal = device.reset(Random(seed), {"template": name, "feasible": True})
        seen, action = goal.text, device.oracle(state, goal)
        while action.kind != "done":
            seen += device.describe(state)
            if action.kind == "type":
                assert action.text in seen, (seed, str(action))
            state = device.perform(state, action).state
            action = device.oracle(state, goal)
        assert action.text in seen + device.describe(state), (seed, str(action))


@every_app
def test_an_app_has_a_home_and_its_data_stay_as_they_were_made(name):
    app = app_of(name)
    assert app.title
    for seed in range(20):
        before = repr(app.make(Random(f"{seed} {name}")))
        for number, template in enumerate(app.templates):
            play(PhoneDevice(BUILT_IN, [template.name]), 100 * seed + number, template.name)
        assert repr(app.make(Random(f"{seed} {name}"))) == before
        assert repr(initial_data(name, seed)) == before


@every_app
def test_screens_are_short_enough_to_read(name):
    """No screen on an oracle's way has more than 14 elements or a label of more than 90 characters."""
    task = UINav(templates=[template.name for template in app_of(name).templates])
    if not app_of(name).templates:
        pytest.skip("no templates")
    for seed in range(100):
        episode, ended = task.start(np.random.default_rng(seed), {}), False
        while not ended:
            screen = task.device.screen(episode.state)
            assert len(screen.elements) <= 14, screen.describe()
            assert all(len(element.label) <= 90 for element in screen.elements)
            episode, ended = task.advance(episode, task.oracle(episode))
