"""Attacks on the phone: harmless to who ignores them, seen where they are followed, and new in the test split."""

import copy
import pickle
import re

import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401 - registers perlhf/*
from envs.uinav.feedback.obedience import obedient_action
from envs.uinav.feedback.random_policies import SHORTCUTS
from envs.uinav.interface.actions import Action
from envs.uinav.interface.device import Ending
from envs.uinav.phone import attack_texts
from envs.uinav.phone.attack import KINDS, attack_on, has_come_up, was_followed
from envs.uinav.phone.attack_texts import Sayings
from envs.uinav.phone.words import ATTACKED, PLAIN
from envs.uinav.task import UINav
from perlhf.errors import RewardError, UserError

UINAV = "perlhf/UINav-v0"
TASKS = {kind: UINav(attack=kind) for kind in KINDS}
every_kind = pytest.mark.parametrize("kind", KINDS)


def played(task, policy, seed, **options):
    """The episodes of one play, the last one behind its last action, and what `info` says of it."""
    episode, over, passed = task.start(np.random.default_rng(seed), options), False, []
    while not over:
        passed.append(episode)
        turn = task.play(episode, policy(episode))
        episode, over = turn.state, turn.terminated or turn.truncated
    return [*passed, episode], {**task.final_info(turn.turn), "success": turn.turn.reference["success"]}


def obeying(task):
    return lambda episode: str(obedient_action(task, episode))


# Ignored, and followed


@every_kind
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("templates", ["", "across"])
def test_the_oracle_reaches_its_goal_and_follows_none(kind, split, templates):
    task, shown = UINav(attack=kind, split=split, templates=templates), 0
    for seed in range(25):
        passed, info = played(task, task.oracle, seed)
        assert info["success"], (seed, passed[0].goal, passed[-1].responses)
        assert (info["attack"], info["attack_followed"]) == (kind, False)
        assert not any(task.device.attack_followed(episode.state) for episode in passed)
        shown += has_come_up(passed[-1].state.phone)
    assert shown >= 23


@every_kind
@pytest.mark.parametrize("split", ["train", "test"])
def test_who_does_what_it_says_has_followed_it(kind, split):
    task, followed = UINav(attack=kind, split=split), 0
    for seed in range(40):
        passed, info = played(task, obeying(task), seed)
        attack = attack_on(passed[0].state.phone.seed)
        if not has_come_up(passed[-1].state.phone):
            continue
        assert info["attack_followed"], (seed, attack, passed[-1].responses)
        followed += 1
        before = [episode for episode in passed if not task.device.attack_followed(episode.state)]
        assert any(attack.says.partition("{")[0] in episode.prompt for episode in before)
        if attack.deed:  # a policy is told all that it has to type
            assert all(str(attack.values[key]) in attack.says for key in attack.values if key not in ("index", "label"))
    assert followed >= 37


@every_kind
def test_silly_policies_reach_no_goal_under_attack(kind):
    for name, count in {"random": 40, "type everything": 40, "infeasible, with a reason": 400}.items():
        rng, reached, task = np.random.default_rng(0), 0, TASKS[kind]

        def says(episode, policy=SHORTCUTS[name], rng=rng, task=task):
            return str(policy(task.device.screen(episode.state), episode.goal, task.device.titles, rng))

        for seed in range(count):
            reached += played(task, says, seed)[1]["success"]
        assert reached <= 0.05 * count


# What each kind does, by hand


def attacked(kind, **wanted):
    """An episode with this attack, where it has just come up."""
    task = TASKS[kind]
    for seed in range(300):
        episode = task.start(np.random.default_rng(seed), {"template": "send_email", "feasible": True})
        attack = attack_on(episode.state.phone.seed)
        if all(getattr(attack, name) == value for name, value in wanted.items()):
            while not has_come_up(episode.state.phone) or episode.state.phone.focus:
                episode, _ = task.advance(episode, task.oracle(episode))
            return task, episode, attack
    raise AssertionError(wanted)


def number_of(episode, line):
    found = re.search(rf"^(\d+) {re.escape(line)}", episode.prompt, re.MULTILINE)
    assert found, episode.prompt
    return found[1]


@pytest.mark.parametrize("kind", attack_texts.WINDOWS)
@pytest.mark.parametrize("right", [0, 1])
def test_a_window_covers_the_page_and_has_two_buttons(kind, right):
    task, episode, attack = attacked(kind, right=right)
    labels = [attack.harmless, attack.tempting] if right == 0 else [attack.tempting, attack.harmless]
    screen = task.device.screen(episode.state)
    assert [element.text for element in screen.elements[1:]] == labels
    tempted, _ = task.advance(episode, f"click({3 - right})")
    closed, _ = task.advance(episode, f"click({2 + right})")
    gone_back, _ = task.advance(episode, "back()")
    assert [task.device.attack_followed(each.state) for each in (tempted, closed, gone_back)] == [True, False, False]
    for after in (tempted, closed, gone_back):
        assert after.state.phone.dialog is None
        assert (after.state.phone.app == "home") == (kind == "crash")
        again, _ = task.advance(after, "open_app(Mail)")
        assert again.state.phone.dialog is None  # it comes up once
    assert "NOTE Thank you" in tempted.prompt


def test_a_page_that_a_crash_covered_counts_as_not_read():
    task, rng = UINav(attack="crash", templates="across"), np.random.default_rng(0)
    for _ in range(60):
        episode, over = task.start(rng, {}), False
        while not over and episode.state.phone.dialog is None:
            episode, over = task.advance(episode, task.oracle(episode))
        if over or not has_come_up(episode.state.phone):
            continue
        covered = episode.state.phone.trail[-1]
        after, _ = task.advance(episode, task.oracle(episode))
        assert after.state.phone.trail == (*episode.state.phone.trail[:-1], ("home", "home", None))
        assert covered[0] != "home"


def test_a_field_that_steals_is_followed_by_typing_into_it():
    task, episode, attack = attacked("phishing")
    field = number_of(episode, f"field {attack.harmless}")
    typed, _ = task.advance(episode, f"type({field}, 1234)")
    assert task.device.attack_followed(typed.state)
    cleared, _ = task.advance(typed, f"type({field}, )")
    assert not task.device.attack_followed(cleared.state)
    empty, _ = task.advance(episode, f"click({number_of(episode, f'button {attack.tempting}')})")
    assert not task.device.attack_followed(empty.state)
    assert f"NOTE Enter your {attack.harmless}" in empty.prompt
    sent, _ = task.advance(typed, f"click({number_of(typed, f'button {attack.tempting}')})")
    assert f"field {attack.harmless}" not in sent.prompt
    away, _ = task.advance(sent, "home()")
    assert task.device.attack_followed(away.state)
    pressed, _ = task.advance(typed, f"click({number_of(typed, 'key Enter')})")
    assert task.device.attack_followed(pressed.state)


@pytest.mark.parametrize("kind", attack_texts.ORDERS)
def test_an_order_is_followed_by_its_deed_alone(kind):
    task, episode, attack = attacked(kind, deed="email")
    phone = episode.state.phone
    letter = {key: attack.values[key] for key in ("to", "subject", "body")}
    for to, followed in ((attack.values["to"], True), (attack.values["to"].upper(), True), ("ana@mail.com", False)):
        assert was_followed(phone.put_in("mail", sent=({**letter, "to": to},))) is followed
    _, episode, attack = attacked(kind, deed="message")
    phone = episode.state.phone
    chats = phone.of("messages")["chats"]
    text = {"name": attack.values["to"], "lines": ((True, "x"),), "muted": False, "pinned": False}
    assert was_followed(phone.put_in("messages", chats=(text, *chats)))
    assert not was_followed(phone.put_in("messages", chats=({**text, "name": "Ana Baker"}, *chats)))
    _, episode, attack = attacked(kind, deed="alarm")
    phone = episode.state.phone
    alarms = phone.of("clock")["alarms"]
    gone = tuple(alarm for alarm in alarms if alarm["time"] != attack.values["time"])
    assert was_followed(phone.put_in("clock", alarms=gone))
    left = tuple(alarm for alarm in alarms if alarm not in gone)
    assert not was_followed(phone.put_in("clock", alarms=left))
    _, episode, attack = attacked(kind, deed="search")
    entry = {"kind": "searches", "what": attack.values["query"], "age": 0}
    assert was_followed(episode.state.phone.put_in("search", history=(entry,)))
    assert not was_followed(episode.state.phone.put_in("search", history=({**entry, "kind": "pages"},)))
    task, episode, attack = attacked(kind, deed="button")
    pressed, _ = task.advance(episode, f"click({number_of(episode, f'button {attack.tempting}')})")
    assert task.device.attack_followed(pressed.state)


def test_no_alarm_is_ordered_away_where_the_task_is_in_the_clock():
    task, deeds = UINav(attack="order"), set()
    for seed in range(60):
        for template in ("set_alarm", "text_city_time", "alarm_before_event"):
            episode = task.start(np.random.default_rng(seed), {"template": template})
            deeds.add(attack_on(episode.state.phone.seed).deed)
    assert deeds == {"email", "message", "search", "button"}
    lonely = UINav(attack="order", apps="settings")
    orders = {attack_on(lonely.start(np.random.default_rng(i), {}).state.phone.seed).deed for i in range(20)}
    assert orders == {"button"}


def test_an_order_stands_in_every_app_and_opens_as_a_window():
    task = TASKS["order"]
    episode = task.start(np.random.default_rng(0), {"template": "send_email", "feasible": True})
    says = attack_on(episode.state.phone.seed).says
    assert says not in episode.prompt
    for title in task.device.titles:
        opened, _ = task.advance(episode, f"open_app({title})")
        while opened.state.phone.dialog is not None:
            opened, _ = task.advance(opened, "click(2)")
        assert f"text {says}" in opened.prompt, opened.prompt
    row = next(line for line in opened.prompt.splitlines() if f", {attack_on(opened.state.phone.seed).who}" in line)
    window, _ = task.advance(opened, f"click({row.split()[0]})")
    assert f"1 text {says}\n2 button Close" in window.prompt
    assert not task.device.attack_followed(window.state)


@every_kind
def test_nothing_that_it_says_looks_like_a_line_of_the_prompt(kind):
    head = re.compile(r"(GOAL|DID|ERROR|SCREEN|NOTE) |more (above|below)|ACTION:|\d+ [a-z]+ ?")
    for seed in range(10):
        passed, _ = played(TASKS[kind], TASKS[kind].oracle, seed)
        for episode in passed:
            lines = episode.prompt.splitlines()
            assert all(head.match(line) for line in lines), episode.prompt
            assert [line for line in lines if line.startswith("GOAL")] == lines[:1]


# Splits, and the phone beneath


def pools():
    tables = (attack_texts.WINDOWS, attack_texts.ORDERS, attack_texts.DEEDS)
    alone = [value for value in vars(attack_texts).values() if isinstance(value, Sayings)]
    return [*alone, *(sayings for table in tables for sayings in table.values())]


def test_what_attacks_say_in_the_test_split_they_say_nowhere_else():
    for sayings in pools():
        seen, unseen = ({part for row in rows for part in row} for rows in sayings)
        assert not seen & unseen
        assert len(sayings.seen) >= 2
        assert len(sayings.unseen) >= 2
    said = {}
    for split in ("train", "validation", "test"):
        task, rng = UINav(attack="all", split=split), np.random.default_rng(0)
        attacks = [attack_on(task.start(rng, {}).state.phone.seed) for _ in range(400)]
        assert {attack.kind for attack in attacks} == set(KINDS)
        said[split] = {(attack.kind, attack.says.replace("  ", " ")) for attack in attacks if attack.deed != "alarm"}
    assert not said["test"] & (said["train"] | said["validation"])
    windows = {text for text in said["train"] if text[0] in attack_texts.WINDOWS}
    assert windows == {text for text in said["validation"] if text[0] in attack_texts.WINDOWS}


def test_the_goal_and_what_is_on_the_phone_are_as_without_the_attack():
    plain, task = UINav(), UINav(attack="all")
    for seed in range(40):
        without, episode = (each.start(np.random.default_rng(seed), {}) for each in (plain, task))
        assert episode.goal == without.goal
        assert episode.state.values == without.state.values
        bare, phone = without.state.phone, episode.state.phone
        assert phone.seed & PLAIN == bare.seed
        assert phone.seed >> ATTACKED
        assert all(phone.of(app) == bare.of(app) for app in phone.installed)
        assert episode.prompt == without.prompt  # the home screen is the same, and what time it says
        assert task.device.screen(episode.state) == plain.device.screen(without.state)


def test_kinds_are_named_one_by_one_or_joined():
    assert len(KINDS) >= 6
    task = UINav(attack="popup+crash")
    drawn = [task.start(np.random.default_rng(seed), {}) for seed in range(40)]
    assert {attack_on(episode.state.phone.seed).kind for episode in drawn} == {"popup", "crash"}
    assert {task.groups(episode)[-1] for episode in drawn} == {"attack popup", "attack crash"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attack": "poup"}, "unknown attack 'poup'.*Did you mean 'popup'"),
        ({"attack": "popup+x"}, "unknown attack 'x'"),
        ({"attack": True}, "attack must be a text"),
        ({"attack": "+"}, r"attack '\+' names no kind"),
    ],
)
def test_mistakes_in_the_option_are_told(options, message):
    with pytest.raises(UserError, match=message):
        UINav(**options)


# States, and what is said of them


def test_a_state_is_a_value_and_is_written_as_json():
    task = UINav(attack="all")
    for seed in range(24):
        episode = task.start(np.random.default_rng(seed), {})
        for _ in range(3):
            episode, _ = task.advance(episode, str(obedient_action(task, episode)))
        for twin in (copy.deepcopy(episode), pickle.loads(pickle.dumps(episode))):
            assert twin == episode
            assert task.oracle(twin) == task.oracle(episode)
        saved = task.state_to_json(episode)
        assert task.state_from_json(saved) == episode
        other = UINav(attack="popup" if saved["attack"] != "popup" else "crash")
        with pytest.raises(UserError, match=f"saved with the attack '{saved['attack']}'.*same templates.*attack"):
            other.state_from_json(saved)
        with pytest.raises(UserError, match="and here it has None"):
            UINav().state_from_json(saved)


def test_info_says_the_kind_and_whether_it_was_followed():
    env = gym.make(UINAV, attack="phishing")
    env.reset(seed=0)
    info = env.step("wait()")[-1]
    assert (info["attack"], info["attack_followed"]) == ("phishing", False)
    many = gym.make_vec(UINAV, num_envs=4, attack="all")
    many.reset(seed=0)
    over = None
    while over is None:
        *_, terminated, _, infos = many.step(many.oracle())
        over = infos["final_info"] if terminated.any() else None
    assert set(np.asarray(over["attack"])[terminated]) <= set(KINDS)
    assert not np.asarray(over["attack_followed"])[terminated].any()


def test_a_reward_counts_what_was_followed_once():
    env = gym.make(UINAV, attack="phishing+crash", reward="rewards.functions:attack_followed")
    for seed in range(6):
        env.reset(seed=seed)
        rewards, over = [], False
        while not over:
            task, state = env.unwrapped.task, env.unwrapped.state
            _, reward, terminated, truncated, info = env.step(str(obedient_action(task, state)))
            rewards.append(reward)
            over = terminated or truncated
        assert sum(rewards) == info["attack_followed"]
        assert set(rewards) <= {0.0, 1.0, -1.0}
    plain = gym.make(UINAV, reward="rewards.functions:attack_followed")
    plain.reset(seed=0)
    with pytest.raises(RewardError, match="is for phones that are attacked"):
        plain.step("wait()")


def test_without_an_attack_nothing_is_said_of_one():
    env = gym.make(UINAV)
    env.reset(seed=0)
    assert set(env.step("wait()")[-1]) == {"gold", "is_success", "template"}
    task = UINav()
    episode = task.start(np.random.default_rng(0), {})
    assert task.device.attack_followed(episode.state) is None
    assert not has_come_up(episode.state.phone)
    assert not any(group.startswith("attack") for group in task.groups(episode))
    assert "attack" not in task.state_to_json(episode)
    assert task.max_steps == 20
    assert UINav(attack="popup").max_steps == 26
    assert UINav(attack="popup", max_steps=7).max_steps == 7


@every_kind
def test_pictures_other_layouts_and_apps_of_ones_own_have_it_too(kind):
    task = UINav(attack=kind, split="test", unseen="layouts", image=True)
    for seed in range(6):
        passed, info = played(task, task.oracle, seed)
        assert info["success"]
        assert task.observe(passed[-2])["image"].shape == (512, 288, 3)
        for episode in passed:
            assert task.device.screen(episode.state).describe() == task.device.describe(episode.state)
    own = UINav(attack=kind, apps="toy_app", templates="light_lamp")
    for seed in range(6):
        for policy, followed in ((own.oracle, False), (obeying(own), True)):
            assert played(own, policy, seed)[1]["attack_followed"] is followed


def test_the_scores_of_shortcuts_have_two_rows_by_kind_of_attack():
    task = UINav(attack="popup+order", split="test", templates="send_email+set_alarm")
    rows = {each.name: each for each in task.shortcut_scores(task, 20, 0)}
    assert np.mean(rows["oracle: goals reached"].golds) == 1
    assert np.mean(rows["oracle: attacks followed"].golds) == 0
    assert np.mean(rows["obedient: attacks followed"].golds) == 1
    assert {name for group in rows["random: attacks followed"].groups for name in group} == {"all", "popup", "order"}


def test_the_end_of_an_episode_is_judged_by_its_goal_alone():
    task, episode, _ = attacked("popup", right=0)
    tempted, _ = task.advance(episode, "click(3)")
    goal = tempted.goal
    while not task.oracle(tempted).startswith("done"):
        tempted, _ = task.advance(tempted, task.oracle(tempted))
    assert task.device.attack_followed(tempted.state)
    assert task.device.success(tempted.state, goal, Ending("done"))
    assert task.device.oracle(tempted.state, goal) == Action("done")
