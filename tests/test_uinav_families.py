"""Goals by composition: what is never demonstrated has its words and its elements in what is, and splits by newness."""

import re
from collections import Counter
from functools import cache
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.uinav.feedback.weights import demonstrated_weights
from envs.uinav.interface.device import Ending
from envs.uinav.phone import words
from envs.uinav.phone.app import FEW, initial_data, templates_of
from envs.uinav.phone.apps import BUILT_IN, KEPT
from envs.uinav.phone.apps.setup import UNSEEN
from envs.uinav.phone.device import PhoneDevice
from envs.uinav.phone.families import ASK, Asked, questions, wordings
from envs.uinav.phone.widgets import Named
from envs.uinav.task import UINav
from perlhf.errors import UserError

EVERYTHING = templates_of((*BUILT_IN, *KEPT))
KNOWN = templates_of(BUILT_IN)
SHOWN = {name for name, (_, template) in KNOWN.items() if not template.held_out and template.demonstrated}
NOT_SHOWN = sorted(set(EVERYTHING) - SHOWN)
# Words that say nothing of what is to be done.
SMALL = set(
    "a all an and at be by do does for from have how i in into is it its me my of on or that the then this to".split()
)


def words_of(goals):
    """What a goal says beside its values."""
    return set(re.findall(r"[a-z]+", re.sub(r"\{.*?\}", " ", " ".join(goals)).lower())) - SMALL


@cache
def touched(name):
    """What the oracle points at in a template's episodes, by the names that its app gives them."""
    device, found = PhoneDevice((*BUILT_IN, *KEPT), [name]), set()
    for seed in range(25):
        state, goal = device.reset(Random(seed), {"template": name, "feasible": True})
        action = device.oracle(state, goal)
        while action.kind != "done":
            if action.element and state.phone.dialog is None:
                widget = Named(*state.page.front[action.element - 1])
                found.add(widget.name or widget.label.partition(",")[0])
            state = device.perform(state, action).state
            action = device.oracle(state, goal)
    return found


# The deal: what is demonstrated, and what is not


def test_half_is_demonstrated_a_quarter_seldom_a_quarter_never():
    kinds = Counter(template.kind for _, template in KNOWN.values())
    seen = len(KNOWN) - kinds["unseen templates"]
    assert 0.45 < kinds["demonstrated"] / seen < 0.6
    assert 0.2 < kinds["few demonstrations"] / seen < 0.3
    assert 0.2 < kinds["never demonstrated"] / seen < 0.3
    assert 10 <= kinds["unseen templates"] <= 12
    assert {each.template.demonstrated for each in KNOWN.values()} == {1.0, FEW, 0.0}


@pytest.mark.parametrize("name", NOT_SHOWN)
def test_what_is_never_demonstrated_has_its_words_in_goals_that_are(name):
    app, template = EVERYTHING[name]
    title = {"tickets"} if app in KEPT else set()  # the app's own name
    assert words_of((*template.goals, *template.unseen_goals)) - title <= words_of(shown_goals())


@cache
def shown_goals():
    return tuple(goal for name in sorted(SHOWN) for goal in KNOWN[name].template.goals)


@pytest.mark.parametrize("name", NOT_SHOWN)
def test_what_is_never_demonstrated_touches_elements_that_others_touch(name):
    row = {"ticket"} if EVERYTHING[name].app in KEPT else set()  # the rows of a list that no other app has
    others = set().union(*(touched(other) for other in SHOWN))
    assert touched(name) - row <= others


def test_unseen_wordings_are_made_of_words_that_were_said():
    for name, (_, template) in KNOWN.items():
        if template.held_out:
            continue
        assert template.unseen_goals, name
        assert 3 <= len((*template.goals, *template.unseen_goals)) <= 6, name
        assert len(template.goals) >= 2, name
        assert not set(template.unseen_goals) & set(template.goals), name
        assert words_of(template.unseen_goals) <= words_of(shown_goals()), name


def test_templates_weigh_as_much_as_they_are_demonstrated():
    task = UINav(templates=["send_email", "delete_about", "star_email", "forward_email"])
    assert [KNOWN[name].template.demonstrated for name in task.device.templates] == [1, FEW, 0, 1]
    assert list(demonstrated_weights(task).values()) == [1 / 1.1, FEW / 1.1, 0, 0]
    assert demonstrated_weights(UINav(templates="star_email+forward_email")) == {
        "star_email": 0.5,
        "forward_email": 0.5,
    }
    weights = demonstrated_weights(UINav())
    assert sum(weights.values()) == pytest.approx(1)
    assert {name for name, weight in weights.items() if weight} == SHOWN


def test_episodes_are_counted_by_how_often_their_template_is_demonstrated():
    task, rng = UINav(split="test"), np.random.default_rng(0)
    wanted = {
        "send_email": ("send_email", "seen templates", "demonstrated"),
        "delete_about": ("delete_about", "seen templates", "few demonstrations"),
        "star_email": ("star_email", "seen templates", "never demonstrated"),
        "find_company": ("find_company", "unseen templates"),
    }
    assert {name: task.groups(task.start(rng, {"template": name})) for name in wanted} == wanted


# Families


@given(name=st.text("abcdefgh_", min_size=1, max_size=12))
def test_each_template_of_a_family_lacks_one_of_its_forms(name):
    said = wordings(name, ASK, "the song {song}", ("Who sings {song}?",), field="artist")
    assert len(said["unseen_goals"]) == 1
    assert said["goals"][0] == "Who sings {song}?"
    forms = {form.replace("{field}", "artist").replace("{of}", "the song {song}") for form in ASK}
    assert {*said["goals"][1:], *said["unseen_goals"]} == forms


def test_a_question_is_answered_with_its_field():
    rows = [Asked("x_height", "height", "tall", FEW), Asked("x_weight", "weight", "heavy", held_out=True)]
    one, two = questions("{x}", rows, lambda rng, phone: {}, lambda say: {"page": say})
    values = {"tall": 3, "heavy": "4 kg"}
    assert (one.answer(None, values), two.answer(None, values)) == ("3", "4 kg")
    assert (one.kind, two.kind) == ("few demonstrations", "unseen templates")
    assert all("height" in goal and "{x}" in goal for goal in (*one.goals, *one.unseen_goals))


@given(seed=st.integers(0, 10**6), count=st.integers(1, 8))
def test_words_are_drawn_from_what_is_kept_from_training_or_from_the_rest(seed, count):
    pool = words.Pool("abcdefghij", "ABCDEFGHI")
    seen, unseen = Random(seed), words.UnseenRandom(seed)
    assert {words.pick(seen, pool), *words.some(seen, pool, count), words.other(seen, "abc", pool)} <= set(pool)
    drawn = {words.pick(unseen, pool), *words.some(unseen, pool, count), words.other(unseen, "ABC", pool)}
    assert drawn <= set(pool.unseen)
    assert words.other(unseen, "ABCDEFGH", pool) == "I"
    assert words.pick(unseen, "xyz") in "xyz"
    assert sorted(words.some(unseen, pool, 9)) == sorted(pool.unseen)


def test_no_word_is_both_seen_and_kept_from_training():
    pools = [value for value in vars(words).values() if isinstance(value, words.Pool)]
    assert len(pools) == 5
    for pool in pools:
        assert not set(pool) & set(pool.unseen)
        assert len(set(pool.unseen)) == len(pool.unseen) >= 13


# Splits


def drawn(unseen, count=300):
    """Tasks and episodes of the test split with one kind of newness."""
    task, rng = UINav(split="test", unseen=unseen), np.random.default_rng(0)
    return task, [task.start(rng, {}) for _ in range(count)]


def test_unseen_values_are_words_that_training_has_not():
    named = re.compile(r"\b(?:" + "|".join((*words.FIRST, *words.LAST)) + r")\b")
    new = re.compile(r"\b(?:" + "|".join((*words.FIRST.unseen, *words.LAST.unseen)) + r")\b")
    for seed in range(50):
        for app in ("mail", "messages"):
            old, made_new = (repr(initial_data(app, phone)) for phone in (seed, seed | words.NEW_VALUES))
            assert named.search(old)
            assert not new.search(old)
            assert new.search(made_new)
            assert not named.search(made_new)
    task, episodes = drawn("values")
    people = [task.start(np.random.default_rng(i), {"template": "find_phone", "feasible": i > 0}) for i in range(20)]
    assert all(new.search(episode.goal.text) and not named.search(episode.goal.text) for episode in people)
    assert {"seen templates", "unseen values"} < set(task.groups(episodes[0]))
    assert not any(KNOWN[episode.goal.template].template.held_out for episode in episodes)


def test_unseen_wordings_are_those_alone():
    for episode in drawn("wordings")[1]:
        template = KNOWN[episode.goal.template].template
        assert episode.goal.text in {form.format(**episode.state.values) for form in template.unseen_goals}
    for split in ("train", "test"):
        for episode in (UINav(split=split).start(np.random.default_rng(i), {}) for i in range(100)):
            template = KNOWN[episode.goal.template].template
            assert episode.goal.text in {form.format(**episode.state.values) for form in template.goals}


def test_unseen_layouts_have_their_buttons_on_top_of_the_page():
    task, episodes = drawn("layouts", 60)
    kinds = set()
    for episode in episodes:
        ended = False
        while not ended:
            screen = task.device.screen(episode.state)
            assert [part.kind for part in screen.parts if part.kind == "foot"] == []
            if episode.state.phone.dialog is None:
                icons = [element.description for element in screen.elements if element.kind == "icon"]
                assert icons in ([], ["Back"])
            kinds |= {element.kind for element in screen.elements}
            episode, ended = task.advance(episode, task.oracle(episode))
    assert "button" in kinds
    phone = UINav().start(np.random.default_rng(0), {}).state.phone
    assert phone.seed < words.NEW_VALUES


def test_unseen_templates_and_apps_are_those_alone():
    task, episodes = drawn("templates")
    held_out = {name for name, (_, template) in KNOWN.items() if template.held_out}
    assert {episode.goal.template for episode in episodes} == held_out == set(task.device.templates)
    assert task.groups(episodes[0])[1:] == ("unseen templates",)
    task, episodes = drawn("apps")
    assert {EVERYTHING[episode.goal.template].app for episode in episodes} == set(KEPT)
    assert task.groups(episodes[0])[1:] == ("unseen apps",)
    assert "app Tickets" in episodes[0].prompt
    assert "app Tickets" not in UINav(split="test").start(np.random.default_rng(0), {}).prompt


@pytest.mark.parametrize("unseen", UNSEEN)
def test_the_oracle_reaches_every_goal_of_each_split(unseen):
    task = UINav(split="test", unseen=unseen)
    for number, name in enumerate(task.device.templates * (6 if unseen in ("templates", "apps") else 2)):
        may = task.known[name].template.absent is not None
        episode, ended = (
            task.start(np.random.default_rng(number), {"template": name, "feasible": not may or number % 5 > 0}),
            False,
        )
        assert not task.device.success(episode.state, episode.goal, Ending("done"))
        while not ended:
            played = task.play(episode, task.oracle(episode))
            episode, ended = played.state, played.terminated or played.truncated
        assert played.turn.reference["success"], (name, number, episode.prompt)
        assert task.state_from_json(task.state_to_json(episode)) == episode


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"split": "test", "unseen": "layout"}, "unknown unseen 'layout'.*Did you mean 'layouts'?"),
        ({"unseen": "values"}, "unseen='values' is of split 'test'.*got split 'train'"),
        ({"split": "test", "unseen": "templates", "templates": "star_email"}, "'star_email' is none of those that"),
        ({"split": "test", "unseen": "templates", "apps": "clock+search", "templates": "set_alram"}, "'set_alarm'"),
        (
            {"split": "test", "unseen": "templates", "apps": "search"},
            "no template in apps 'search' for split 'test' with",
        ),
        ({"split": "test", "unseen": "wordings", "templates": "text_number"}, "'text_number' has no wording that is"),
    ],
)
def test_mistakes_in_these_options_are_told(options, message):
    with pytest.raises(UserError, match=message):
        UINav(**options)


def test_an_episode_of_a_template_that_is_not_new_is_refused():
    task = UINav(split="test", unseen="wordings")
    with pytest.raises(UserError, match="template 'text_number' is none of those that unseen='wordings' draws"):
        task.start(np.random.default_rng(0), {"template": "text_number"})
