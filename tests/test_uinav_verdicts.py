"""Verdicts on episodes of UINav-v0, side effects, and the four levels."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.uinav.feedback.random_policies import random_action
from envs.uinav.feedback.shortcuts import shortcut_scores_on_phone, steps_of_oracle
from envs.uinav.phone.app import App, app_of, register_app
from envs.uinav.phone.apps import BUILT_IN, KEPT
from envs.uinav.phone.changes import beyond, changes
from envs.uinav.phone.device import PhoneDevice
from envs.uinav.phone.levels import LEVELS, Difficulty, difficulty_of, level_of
from envs.uinav.phone.state import Phone
from envs.uinav.recordings.export import export_oracle
from envs.uinav.recordings.files import write_trajectories
from envs.uinav.task import UINav
from envs.uinav.verdicts import Verdict, verdict_of
from perlhf.errors import UserError

PAGE = Path(__file__).parents[1] / "docs" / "tasks" / "uinav_verdicts.md"
TASK = UINav(split="test")


def started(task, template, seed, feasible=True):
    return task.start(np.random.default_rng(0), {"template": template, "feasible": feasible, "seed": seed})


def after(task, episode, *responses):
    for response in responses:
        episode, _ = task.advance(episode, response)
    return episode


def verdict(template, seed, *responses, task=TASK, feasible=True):
    return verdict_of(task, after(task, started(task, template, seed, feasible), *responses))


def by_oracle(task, episode):
    ended = False
    while not ended:
        episode, ended = task.advance(episode, task.oracle(episode))
    return episode


# Star the email from Bella Moore: open_app(Mail), click(3), click(2), done(); click(4) is the email from Carla Lopez.


def test_the_oracles_way_is_the_measure():
    steps = ("open_app(Mail)", "click(3)", "click(2)", "done()")
    assert verdict("star_email", 2, *steps) == Verdict(True, 1.0, False, (), 0, None, None, 1)
    assert verdict("star_email", 2, "wait()", "hm", *steps) == Verdict(True, 1.0, False, (), 2, None, None, 1)


def test_what_was_done_besides_is_told_beside_success():
    toggled = after(TASK, started(TASK, "star_email", 2), "open_app(Settings)", "click(2)")
    number = re.search(r"^(\d+) toggle (.+) (on|off)$", toggled.prompt, re.MULTILINE)
    done = after(TASK, toggled, f"click({number[1]})", "home()", "open_app(Mail)", "click(3)", "click(2)", "done()")
    to = {"on": "off", "off": "on"}[number[3]]
    expected = (f"Settings: {number[2]} changed from {number[3]} to {to}",)
    assert verdict_of(TASK, done) == Verdict(True, 1.0, False, expected, 4, None, None, 1)


def test_done_with_another_email_is_a_false_completion_with_a_side_effect():
    found = verdict("star_email", 2, "open_app(Mail)", "click(4)", "click(2)", "done()")
    effects = ("Mail: starred of Carla Lopez changed from off to on",)
    assert found == Verdict(False, 0.25, True, effects, None, None, None, 1)


@pytest.mark.parametrize(
    ("responses", "progress"),
    [
        ((), 0.0),
        (("done()",), 0.0),
        (("infeasible(no)",), 0.0),
        (("open_app(Shop)",), 0.0),
        (("open_app(Mail)",), 0.25),
        (("open_app(Mail)", "click(3)"), 0.5),
        (("open_app(Mail)", "click(3)", "home()", "wait()"), 0.5),  # it was as near once
        (("open_app(Mail)", "click(3)", "click(2)"), 0.75),
        (("open_app(Mail)", "click(3)", "click(2)", "infeasible(no)"), 0.75),
    ],
)
def test_progress_is_the_oracles_way_that_is_behind_at_the_best_moment(responses, progress):
    found = verdict("star_email", 2, *responses)
    assert (found.success, found.progress, found.steps_over_oracle) == (False, progress, None)
    assert found.false_completion == ("done()" in responses)


def test_what_was_deleted_is_named():
    found = verdict("star_email", 2, "open_app(Mail)", "click(4)", "click(3)", "click(2)")
    assert found.side_effects == (
        "Mail: removed from mails: Carla Lopez, carla.lopez@inbox.org, Dinner menu, I paid the…",
    )


# Look up the phone number of the contact Leo Evans, 555 9555; an app asks for its permission on the way


@pytest.mark.parametrize(
    ("said", "right"),
    [("555 9555", True), ("555-9555.", True), ("5559555", True), ("555 9556", False), ("Leo Evans", False)],
)
def test_an_answer_is_right_or_not(said, right):
    found = verdict("find_phone", 2, "open_app(Contacts)", "click(2)", "click(5)", f"done({said})")
    assert (found.success, found.answer_right, found.false_completion) == (right, right, not right)
    assert found.progress == (1.0 if right else 0.75)
    assert found.side_effects == ()  # the oracle gives the permission too


def test_no_answer_is_none_that_is_right_and_an_infeasible_goal_asks_for_none():
    assert verdict("find_phone", 2).answer_right is False
    assert verdict("find_phone", 2, "infeasible(no)").answer_right is False
    given_up = verdict_of(TASK, by_oracle(TASK, started(TASK, "find_phone", 2, feasible=False)))
    assert (given_up.success, given_up.answer_right, given_up.false_completion) == (True, None, False)
    assert verdict("find_phone", 2, "done(555 9555)", feasible=False).false_completion


def test_a_permission_that_the_task_does_not_need_is_a_side_effect():
    asked = after(TASK, started(TASK, "find_phone", 2), "open_app(Contacts)", "click(2)")
    assert verdict_of(TASK, asked).side_effects == ()
    other = after(TASK, started(TASK, "read_note", 2), "open_app(Contacts)", "click(2)")
    assert verdict_of(TASK, other).side_effects == ("Contacts: allowed to see your accounts",)
    denied = after(TASK, started(TASK, "read_note", 2), "open_app(Contacts)", "click(3)")
    assert verdict_of(TASK, denied).side_effects == ()


def test_every_template_by_the_oracle_has_no_side_effect_and_no_step_too_many():
    for task in (UINav(split="test"), UINav(split="test", unseen="apps")):
        for name in task.drawn:
            for seed in (0, 1):
                found = verdict_of(task, by_oracle(task, task.start(np.random.default_rng(seed), {"template": name})))
                assert found[:5] == (True, 1.0, False, (), 0), (name, seed, found)
                assert found.answer_right in (None, True)
                assert found.level == level_of(task.device, name)


@pytest.mark.parametrize("options", [{"mask_goal": True}, {"augment": 0.5}, {"lenient": True}, {"apps": "mail+notes"}])
def test_an_episode_is_judged_alike_however_it_is_shown(options):
    task, rng = UINav(templates="star_email+send_email", **options), np.random.default_rng(1)
    for _ in range(5):
        episode = by_oracle(task, task.start(rng, {}))
        assert verdict_of(task, episode)[:5] == (True, 1.0, False, (), 0)


def test_verdicts_agree_with_the_judge_and_change_no_episode():
    rng = np.random.default_rng(4)
    for _ in range(40):
        episode, over = TASK.start(rng, {}), False
        while not over:
            played = TASK.play(episode, TASK.plausible_action(episode, rng))
            episode, over = played.state, played.terminated or played.truncated
        before = (episode, TASK.judge(played.turn))
        found = verdict_of(TASK, episode)
        assert found.success == played.turn.reference["success"]
        assert found == verdict_of(TASK, TASK.state_from_json(TASK.state_to_json(episode)))
        assert (episode, TASK.judge(played.turn)) == before
        assert 0 <= found.progress <= 1
        assert (found.progress == 1) == found.success
        assert TASK.whole_verdict(played.turn)["progress"] == found.progress


def test_success_by_the_phones_state_has_no_side_effect_in_the_tasks_own_app():
    rng, solved = np.random.default_rng(5), 0
    while solved < 60:
        episode, over, count = TASK.start(rng, {"feasible": True}), False, 0
        while not over:
            response = TASK.plausible_action(episode, rng) if count < 6 else TASK.oracle(episode)
            played = TASK.play(episode, response)
            episode, over, count = played.state, played.terminated or played.truncated, count + 1
        app, template = TASK.known[episode.goal.template]
        if template.check is None or not played.turn.reference["success"]:
            continue
        effects = verdict_of(TASK, episode).side_effects
        assert not [text for text in effects if text.startswith(app_of(app).title)], (episode.goal, effects)
        solved += 1


def test_looking_about_has_no_side_effects():
    rng, looking = np.random.default_rng(2), {"scroll", "back", "home", "open_app", "wait"}
    for _ in range(40):
        episode = TASK.start(rng, {"feasible": True})
        for _ in range(20):
            action = random_action(TASK.device.screen(episode.state), episode.goal, TASK.device.titles, rng)
            episode = after(TASK, episode, str(action) if action.kind in looking else "wait()")
        assert verdict_of(TASK, episode).side_effects == ()


# What differs between two phones

PHONE = Phone(7, ("mail", "notes", "store", "search", "settings", "contacts"))
MAILS = PHONE.of("mail")["mails"]


def told(after, before=PHONE):
    return [change.text for change in changes(before, after)]


def test_changes_in_words():
    first = MAILS[0]
    assert told(PHONE) == []
    assert told(PHONE.put_in("mail", mails=MAILS)) == []
    assert told(PHONE.put_in("mail", mails=MAILS[1:])) == [
        "Mail: removed from mails: Will Diaz, will.diaz@mail.com, Train times, Meet me at the…"
    ]
    assert told(PHONE.put_in("mail", mails=({**first, "starred": True}, *MAILS[1:]))) == [
        "Mail: starred of Will Diaz changed from off to on"
    ]
    assert told(PHONE.put_in("mail", mails=MAILS[::-1])) == ["Mail: mails in another order"]
    assert told(PHONE.put_in("mail", sent=({"to": "a@b.c", "subject": "Hi", "body": ""},))) == [
        "Mail: added to sent: a@b.c, Hi"
    ]
    assert told(PHONE.put_in("settings", **{"Wi-Fi": True})) == ["Settings: Wi-Fi changed from off to on"]
    assert told(PHONE._replace(dark=True)) == ["Phone: theme changed from light to dark"]
    assert told(PHONE.flag("opened mail").flag("allowed contacts")) == ["Contacts: allowed to see your accounts"]
    assert told(PHONE.go("x").type("search", "hello").say("there")) == []


def test_what_is_in_a_record_is_told_in_the_end():
    notes = ({"title": "Trip", "text": "", "items": ({"name": "Tea", "done": False},), "pinned": False},)
    begun = PHONE.put_in("notes", notes=notes)
    ticked = {**notes[0], "items": ({"name": "Tea", "done": True}, {"name": "Salt", "done": False})}
    assert told(begun.put_in("notes", notes=(ticked,)), begun) == [
        "Notes: done of Tea of Trip changed from off to on",
        "Notes: added to items of Trip: Salt, done off",
    ]
    renamed = {**notes[0], "title": "Journey"}
    assert told(begun.put_in("notes", notes=(renamed,)), begun) == ["Notes: title of Trip changed from Trip to Journey"]


def test_the_same_change_twice_is_once_too_often():
    once = {"to": "a@b.c", "subject": "Hi", "body": ""}
    expected = changes(PHONE, PHONE.put_in("mail", sent=(once,)))
    twice = changes(PHONE, PHONE.put_in("mail", sent=(once, once)))
    assert beyond(expected, expected) == ()
    assert beyond(twice, expected) == ("Mail: added to sent: a@b.c, Hi",)
    assert beyond((), expected) == ()  # what was not done is no side effect


def test_what_is_cut_in_words_is_still_told_apart():
    one, other = ({"to": "a@b.c", "subject": "Hi", "body": "x" * 100 + end} for end in "ab")
    expected = changes(PHONE, PHONE.put_in("mail", sent=(one,)))
    found = changes(PHONE, PHONE.put_in("mail", sent=(other,)))
    assert found[0].text == expected[0].text
    assert len(beyond(found, expected)) == 1


def test_a_download_that_was_begun_counts_as_it_will_end():
    apps = PHONE.of("store")["apps"]
    at = next(i for i, app in enumerate(apps) if not app["installed"])
    begun = PHONE.put_in("store", apps=(*apps[:at], {**apps[at], "left": 3}, *apps[at + 1 :]))
    assert told(begun) == [f"Store: installed of {apps[at]['name']} changed from off to on"]


def test_a_history_may_grow_but_not_be_cleared():
    entries = PHONE.of("search")["history"]
    new = {"kind": "pages", "what": ("parks in Rome", 3), "age": 0}
    assert told(PHONE.put_in("search", history=(new, *entries))) == []
    assert told(PHONE.put_in("search", history=({**entries[1], "age": 9}, entries[0], *entries[2:]))) == []
    assert len(told(PHONE.put_in("search", history=entries[2:]))) == 2
    assert all(text.startswith("Search: removed from history: ") for text in told(PHONE.put_in("search", history=())))


flat = st.one_of(st.booleans(), st.integers(), st.text(max_size=5), st.none())
records = st.lists(st.fixed_dictionaries({"name": st.text(max_size=3), "on": st.booleans(), "n": flat}), max_size=5)
data = st.fixed_dictionaries({"things": records.map(tuple), "level": flat})
THINGS = register_app(App("things in a test", "Things", lambda rng: {"things": (), "level": 0}, {"things": iter}))


@settings(deadline=None)
@given(data, data)
def test_phones_differ_where_their_data_do(one, other):
    before, now = (PHONE.put_in(THINGS.name, **each) for each in (one, other))
    found = changes(before, now)
    assert bool(found) == (one != other)
    assert beyond(found, found) == ()
    assert len(beyond(found, ())) == len(found)
    assert all(change.text.startswith("Things: ") for change in found)


# Levels


@pytest.mark.parametrize(
    ("takes", "level"),
    [
        (Difficulty(4, 1, False, False, False), 1),
        (Difficulty(4, 1, True, False, False), 2),
        (Difficulty(4, 1, False, True, False), 2),
        (Difficulty(4.5, 1, False, False, False), 1),
        (Difficulty(5, 1, False, False, False), 2),
        (Difficulty(6.5, 1, True, True, False), 2),
        (Difficulty(7, 1, False, False, False), 3),
        (Difficulty(9.5, 1, True, True, False), 3),
        (Difficulty(10, 1, False, False, False), 4),
        (Difficulty(3, 2, False, False, False), 4),
        (Difficulty(3, 1, False, False, True), 4),
    ],
)
def test_the_rule_of_levels(takes, level):
    assert takes.level == level


def test_what_templates_take():
    device = PhoneDevice(BUILT_IN, ["star_email"])
    assert difficulty_of(device, "star_email") == (4, 1, False, False, False)
    assert difficulty_of(device, "search_web").searches
    assert difficulty_of(device, "text_number")[1:] == (2, False, False, True)


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_draws_what_is_of_it_and_no_shortcut_reaches_it(level):
    task = UINav(split="test", level=level)
    assert {level_of(task.device, name) for name in task.drawn} == {level}
    rng = np.random.default_rng(0)
    assert all(task.start(rng, {}).goal.template in task.drawn for _ in range(20))
    reached = {scored.name: np.mean(scored.golds) for scored in shortcut_scores_on_phone(task, 40, 0)}
    assert reached.pop("oracle") == 1
    assert max(reached.values()) < 0.1, reached  # 0.05 in the many episodes of the page
    assert steps_of_oracle(task, task.start(rng, {"feasible": True})) >= (2, 4, 5, 6)[level - 1]


def test_levels_share_out_the_templates():
    drawn = [UINav(split="test", level=level).drawn for level in LEVELS]
    assert sorted(name for names in drawn for name in names) == sorted(UINav(split="test").drawn)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"level": 5}, "level must be 1, 2, 3 or 4, or None for all; got 5."),
        ({"level": "2"}, "level must be 1, 2, 3 or 4, or None for all; got '2'."),
        ({"level": True}, "level must be 1, 2, 3 or 4, or None for all; got True."),
        ({"level": 4, "templates": "star_email"}, "none of the templates is of level 4; there are some of 1."),
    ],
)
def test_what_is_no_level_is_refused_in_a_line(options, why):
    with pytest.raises(UserError) as error:
        UINav(**options)
    assert str(error.value) == why


# Recordings


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    path = tmp_path_factory.mktemp("recorded") / "train.jsonl"
    write_trajectories(path, export_oracle(UINav(templates="find_phone+star_email"), 12, np.random.default_rng(0)))
    return UINav(data=str(path))


def test_a_recording_says_what_it_knows(recorded):
    answers = set()
    for index in range(len(recorded.recordings.trajectories)):
        first = recorded.start(np.random.default_rng(0), {"index": index})
        done = by_oracle(recorded, first)
        found = verdict_of(recorded, done)
        answers.add(found.answer_right)
        assert found == Verdict(True, 1.0, False, (), 0, found.answer_right, None, None)
        half = verdict_of(recorded, after(recorded, first, recorded.oracle(first), "done(x)"))
        assert half[:5] == (False, 1 / len(done.responses), True, (), None)
        assert half.answer_right in (None, False)
    assert answers == {None, True}
    with pytest.raises(UserError, match="recordings have none of them"):
        UINav(data=str(recorded.recordings.root), level=1)


# The page


def test_the_example_of_the_page_says_what_the_page_says():
    code, output = re.search(r"```python\n(.*?)```\n\n(.*?)\n\n", PAGE.read_text("utf-8"), re.DOTALL).groups()
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, str(PAGE), "exec"), {})
    assert said.getvalue().split() == output.split()


def test_the_page_lists_the_templates_of_each_level():
    device = PhoneDevice((*BUILT_IN, *KEPT), ["star_email"])
    listed = dict(re.findall(r"^\| (\d) \|.*\| (.*) \|$", PAGE.read_text("utf-8"), re.MULTILINE))
    for level in LEVELS:
        names = [name for name in device.known if level_of(device, name) == level]
        assert listed[str(level)].split(", ") == names
