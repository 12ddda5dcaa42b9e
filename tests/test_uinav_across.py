"""Templates over two or three apps: the oracle does them, nothing else does, and nothing draws them unasked."""

from random import Random

import numpy as np
import pytest

from envs.uinav.feedback.random_policies import SHORTCUTS
from envs.uinav.interface.actions import Action, parse_action
from envs.uinav.interface.device import Ending
from envs.uinav.phone.across import ACROSS
from envs.uinav.phone.app import templates_of
from envs.uinav.phone.apps import BUILT_IN
from envs.uinav.task import UINav
from perlhf.errors import UserError

SEEDS = 40
TASK = UINav(templates="across")
DEVICE = TASK.device
COMPUTED = {"alarm_before_event": "before"}  # what is typed there stands nowhere: it is worked out

every_template = pytest.mark.parametrize("name", ACROSS)


def begun(seed, name, **options):
    return DEVICE.reset(Random(seed), {"template": name, **options})


def played(state, goal):
    """What the oracle does from here on: (state before, action) of each step."""
    steps = []
    while len(steps) <= TASK.max_steps:
        action = DEVICE.oracle(state, goal)
        assert parse_action(str(action)) == action
        steps.append((state, action))
        if action.kind in ("done", "infeasible"):
            return steps
        state, _, problem = DEVICE.perform(state, action)
        assert problem == "", (goal, str(action), DEVICE.describe(state))
    raise AssertionError([str(action) for _, action in steps])


def reached(steps, goal):
    state, action = steps[-1]
    return DEVICE.success(state, goal, Ending(action.kind, action.text))


@every_template
def test_the_oracle_reaches_the_goal_through_all_apps_of_the_template(name):
    app, template = ACROSS[name]
    for seed in range(SEEDS):
        state, goal = begun(seed, name, feasible=True)
        for ending in (Ending("done"), Ending("infeasible", "no")):
            assert not DEVICE.success(state, goal, ending)
        steps = played(state, goal)
        assert reached(steps, goal), (seed, goal, [str(action) for _, action in steps])
        assert {app, *template.needs} <= {state.phone.app for state, _ in steps}
        assert len({app, *template.needs}) in (2, 3)


@every_template
def test_what_is_typed_or_said_is_in_the_goal_or_was_on_a_screen(name):
    for seed in range(SEEDS):
        state, goal = begun(seed, name, feasible=True)
        seen = goal.text + str(state.values.get(COMPUTED.get(name), ""))
        for shown, action in played(state, goal):
            seen += DEVICE.describe(shown)
            if action.kind in ("type", "done"):
                assert action.text in seen, (seed, str(action))


@every_template
def test_what_is_not_there_is_called_infeasible_after_a_look(name):
    if ACROSS[name].template.absent is None:
        with pytest.raises(UserError, match="can always be done"):
            TASK.start(np.random.default_rng(0), {"template": name, "feasible": False})
        return
    apps = set()
    for seed in range(SEEDS):
        state, goal = begun(seed, name, feasible=False)
        steps = played(state, goal)
        assert reached(steps, goal), (seed, goal, [str(action) for _, action in steps])
        assert steps[-1][1].kind == "infeasible"
        assert len(steps) > 1
        apps.add(steps[-1][0].phone.app)
    assert apps <= {ACROSS[name].app, *ACROSS[name].template.needs}


@every_template
def test_anything_else_that_is_changed_on_the_phone_spoils_it(name):
    if ACROSS[name].template.check is None:
        pytest.skip("an answer")
    others = {"settings": "wifi", "music": "shuffle", "clock": "timer"}
    state, goal = begun(1, name, feasible=True)
    steps = played(state, goal)
    phone = steps[-1][0].phone
    check = ACROSS[name].template.check
    assert check(phone, state.values)
    for app, key in others.items():
        if key in phone.of(app):
            assert not check(phone.put_in(app, **{key: "other"}), state.values)
    assert not check(phone.put_in("contacts", calls=("Ana Baker",)), state.values)
    assert not check(phone.put_in("search", bookmarks=()), state.values)
    read = phone.put_in("search", history=(*phone.of("search")["history"], {"kind": "pages", "what": "x", "age": 0}))
    assert check(read, state.values)


@every_template
def test_goals_differ_and_have_several_wordings(name):
    assert len(ACROSS[name].template.goals) >= 3
    texts = {begun(seed, name)[1].text for seed in range(60)}
    assert len(texts) >= 20
    assert not any("{" in text for text in texts)


@pytest.mark.parametrize("shortcut", SHORTCUTS)
def test_tricks_reach_hardly_any_goal(shortcut):
    task, rng, count, successes = UINav(templates="across", split="test"), np.random.default_rng(0), 20, 0
    for name in count * list(ACROSS):
        episode, ended = task.start(rng, {"template": name}), False
        while not ended:
            action = SHORTCUTS[shortcut](task.device.screen(episode.state), episode.goal, task.device.titles, rng)
            turn = task.play(episode, str(action))
            episode, ended = turn.state, turn.terminated or turn.truncated
        successes += turn.turn.reference["success"]
    assert successes < 0.05 * count * len(ACROSS)


def test_lists_of_two_products_are_bought_in_any_order():
    state, _ = begun(3, "list_to_cart", feasible=True)
    first, second = state.values["lines"]
    cart = state.phone.at_first("shop")["cart"]
    for lines in ((first, second), (second, first)):
        bought = state.phone.put_in("shop", cart=(*cart, *lines))
        assert ACROSS["list_to_cart"].template.check(bought, state.values)
    for lines in ((first,), (first, second, first), ({**first, "count": 2}, second)):
        assert not ACROSS["list_to_cart"].template.check(state.phone.put_in("shop", cart=(*cart, *lines)), state.values)


def test_an_alarm_before_an_event_is_one_hour_earlier():
    for seed in range(20):
        state, _ = begun(seed, "alarm_before_event", feasible=True)
        event = state.phone.of("calendar")["events"][state.values["event"]]
        hours, _, minutes = event["time"].partition(":")
        assert state.values["before"] == f"{int(hours) - 1}:{minutes}"


def test_the_earlier_one_is_as_often_the_event_as_the_alarm():
    drawn = [begun(seed, "alarm_or_event", feasible=True)[0].values for seed in range(200)]
    events = sum(values["earlier"] != values["at"] for values in drawn)
    assert 50 < events < 150


def test_only_who_names_them_draws_them():
    assert set(TASK.drawn) == set(ACROSS)
    assert len(ACROSS) >= 12
    for split in ("train", "validation", "test"):
        assert not set(UINav(split=split).drawn) & set(ACROSS)
    assert not set(templates_of(BUILT_IN)) & set(ACROSS)
    mixed = UINav(templates="send_email+across+list_to_cart")
    assert mixed.drawn == ("send_email", *ACROSS)
    assert UINav(templates="list_to_cart").drawn == ("list_to_cart",)
    assert UINav().start(np.random.default_rng(0), {"template": "list_to_cart"}).goal.template == "list_to_cart"


def test_across_stands_for_those_that_the_apps_allow():
    assert UINav(templates="across", apps="mail+calendar").drawn == ("cancel_event_from_email",)
    with pytest.raises(UserError, match="'across' are over two or three apps, and no two"):
        UINav(templates="across", apps="mail")
    with pytest.raises(UserError, match=r"unknown template 'acros'.*Did you mean 'across'"):
        UINav(templates="acros")


def test_a_state_is_written_and_read_again():
    for seed, name in enumerate(ACROSS):
        episode = TASK.start(np.random.default_rng(seed), {"template": name})
        for _ in range(4):
            episode, _ = TASK.advance(episode, TASK.oracle(episode))
        assert TASK.state_from_json(TASK.state_to_json(episode)) == episode


def test_a_spoiled_cart_leaves_the_oracle_something_to_do():
    state, goal = begun(3, "list_to_cart", feasible=True)
    first, second = state.values["lines"]
    cart = state.phone.at_first("shop")["cart"]
    state, _, _ = DEVICE.perform(state, Action("open_app", 0, "Notes"))
    phone = state.phone.put_in("shop", cart=(*cart[1:], first, second))
    spoiled = type(state)(phone, state.values)
    for _ in range(15):
        spoiled = DEVICE.perform(spoiled, DEVICE.oracle(spoiled, goal)).state
