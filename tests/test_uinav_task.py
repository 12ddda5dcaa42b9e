"""UINav-v0 as an environment."""

import copy
import pickle
import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import envs  # noqa: F401 - registers perlhf/*
from backbones.backbone import Backbone
from envs.uinav.feedback.random_policies import SHORTCUTS
from envs.uinav.interface.actions import OTHER_NAMES, parse_action
from envs.uinav.phone.app import templates_of
from envs.uinav.phone.apps import BUILT_IN
from envs.uinav.task import UINav
from perlhf.errors import UserError

ROOT = Path(__file__).parents[1]
UINAV = "perlhf/UINav-v0"
KNOWN = templates_of(BUILT_IN)


def started(template="send_email", seed=0, **options):
    env = gym.make(UINAV, **options)
    observation, info = env.reset(seed=0, options={"template": template, "feasible": True, "seed": seed})
    return env, observation["prompt"], info


def play_oracle(env):
    """What the oracle's episode shows from here on."""
    shown, ended = [], False
    while not ended:
        action = env.unwrapped.oracle()
        observation, reward, terminated, truncated, info = env.step(action)
        shown.append((action, observation["prompt"], reward, terminated, truncated, info))
        ended = terminated or truncated
    return shown


def number_of(prompt, line):
    """The number of the element with this line."""
    found = re.search(rf"^(\d+) {re.escape(line)}", prompt, re.MULTILINE)
    assert found, prompt
    return found[1]


# What is observed


def test_an_episode_word_for_word():
    env, prompt, info = started(seed=3)
    to, subject, body = env.unwrapped.state.goal.values.values()
    assert info["template"] == "send_email"
    assert prompt.startswith(f"GOAL {info['goal']}\nSCREEN Home\n1 app ")
    assert prompt.endswith("\nACTION:")
    prompt = env.step("open_app(Mail)")[0]["prompt"]
    if "SCREEN Mail: Inbox" not in prompt:
        prompt = env.step(f"click({number_of(prompt, 'button ')})")[0]["prompt"]
    assert "\nDID open_app(Mail)" in prompt
    prompt = env.step(f"click({number_of(prompt, 'icon Compose')})")[0]["prompt"]
    assert prompt.split("SCREEN ")[1] == (
        "Mail: Compose\n1 icon Back\n2 icon Send\n3 field To\n4 field Subject\n5 field Message\nACTION:"
    )
    for field, text in ((3, to), (4, subject), (5, body)):
        prompt = env.step(f"type({field}, {text})")[0]["prompt"]
    assert prompt.split("SCREEN ")[1] == (
        "Mail: Compose\n1 icon Back\n2 icon Send\n"
        f"3 field To: {to}\n4 field Subject: {subject}\n5 field Message: {body} *\n6 key Enter\nACTION:"
    )
    assert "DID click Compose; type To; type Subject; type Message\n" in prompt
    prompt = env.step("click(2)")[0]["prompt"]
    assert "\nSCREEN Mail: Inbox\nNOTE Sent\n" in prompt
    _, reward, terminated, truncated, info = env.step("done()")
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info == {"gold": 1.0, "is_success": True, "template": "send_email"}


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ("click(99)", "no element 99, the last is"),
        ("click(0)", "elements are numbered from 1"),
        ("press(1)", "not an action"),
        ("type(1, x)", "is no field"),
        ("long_press(1)", "cannot be pressed long"),
        ("scroll(up)", "nothing more above"),
        ("scroll(left)", "nothing more to the left"),
        ("open_app(Nothing)", "no app 'Nothing'"),
        ("back()", "this is the home screen"),
        ("", "not an action"),
    ],
)
def test_a_bad_action_costs_a_step_and_is_told_why(action, why):
    env, prompt, _ = started()
    observation, reward, terminated, truncated, _ = env.step(action)
    assert f"\nERROR {why}"[:40] in observation["prompt"] or why in observation["prompt"].split("ERROR ")[1]
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert prompt.split("SCREEN")[1] == observation["prompt"].split("SCREEN")[1]


def test_what_stands_around_an_action_is_left_aside_where_it_is_leniently_read():
    said = "I open the app.\nACTION: Open_app('Mail')."
    for lenient, shown in ((False, "ERROR not an action"), (True, "DID open_app(Mail)")):
        env, _, _ = started(lenient=lenient)
        assert shown in env.step(said)[0]["prompt"]
    figures = env.unwrapped.task.figures_of([said, "back()", "hello"])
    assert figures == {"actions": 1 / 3, "actions, leniently read": 2 / 3}


def test_a_problem_is_told_once():
    env, _, _ = started()
    env.step("click(99)")
    assert "ERROR" not in env.step("open_app(Mail)")[0]["prompt"]


def test_ending_without_the_goal_reached_gives_nothing():
    env, _, _ = started()
    _, reward, terminated, _, info = env.step("done()")
    assert (reward, terminated, info) == (0.0, True, {"gold": 0.0, "is_success": False, "template": "send_email"})


def test_too_many_steps_truncate_and_say_so():
    env, _, _ = started(max_steps=3)
    for _ in range(2):
        assert env.step("wait()")[3] is False
    _, reward, terminated, truncated, info = env.step("wait()")
    assert (reward, terminated, truncated, info) == (
        0.0,
        False,
        True,
        {"gold": 0.0, "is_success": False, "template": "send_email"},
    )


def test_the_last_allowed_step_may_reach_the_goal():
    env, _, _ = started()
    steps = len(play_oracle(env))
    env, _, _ = started(max_steps=steps)
    *_, (_, _, reward, terminated, truncated, _) = play_oracle(env)
    assert (reward, terminated, truncated) == (1.0, True, False)


def test_no_prompt_is_long_for_the_shipped_tokenizer():
    env, backbone, lengths = gym.make(UINAV), Backbone.load("tiny"), []
    for seed in range(300):
        observation, _ = env.reset(seed=seed)
        lengths.append(len(backbone.encode_prompt(observation["prompt"])))
        lengths += [len(backbone.encode_prompt(prompt)) for _, prompt, *_ in play_oracle(env)[:-1]]
    assert np.median(lengths) <= 200


def test_images_are_screens():
    env, prompt, _ = started(image=True)
    same = started()[1]
    assert prompt == same
    assert env.observation_space["image"].shape == (512, 288, 3)
    image = env.unwrapped.task.observe(env.unwrapped.state)["image"]
    assert image.dtype == np.uint8
    assert env.observation_space.contains({"prompt": prompt, "image": image})
    after = env.step("open_app(Mail)")[0]["image"]
    assert (after != image).any()
    marked, _, _ = started(image=True, marks=True)
    assert (marked.unwrapped.task.observe(marked.unwrapped.state)["image"] != image).any()
    many = gym.make_vec(UINAV, num_envs=3, image=True)
    assert many.reset(seed=0)[0]["image"].shape == (3, 512, 288, 3)


def test_a_rendered_step_shows_the_tap_and_the_frame_of_text():
    env, _, _ = started(render_mode="rgb_array")
    before = env.render()
    env.step("click(1)")
    assert env.render().shape == before.shape == (512, 288, 3)
    env, _, info = started(render_mode="ansi")
    assert env.render().startswith(f"Goal: {info['goal']}\n╭")
    env.step("click(99)")
    assert "> click(99)\n! no element 99" in env.render()


# What it cannot be won by


@pytest.mark.parametrize("name", SHORTCUTS)
def test_tricks_reach_hardly_any_goal(name):
    task, rng, reached = UINav(split="test"), np.random.default_rng(0), 0
    for number in range(600):
        episode, ended = task.start(rng, {"template": list(KNOWN)[number % len(KNOWN)]}), False
        while not ended:
            action = SHORTCUTS[name](task.device.screen(episode.state), episode.goal, task.device.titles, rng)
            played = task.play(episode, str(action))
            episode, ended = played.state, played.terminated or played.truncated
        reached += played.turn.reference["success"]
    assert reached < 0.05 * 600


# Copies and states


def test_a_state_is_written_as_json_and_goes_on_alike():
    env = gym.make_vec(UINAV, num_envs=8)
    env.reset(seed=5)
    rng = np.random.default_rng(0)
    for _ in range(4):
        env.step(env.plausible_action(rng))
    saved = env.get_state()
    other = gym.make_vec(UINAV, num_envs=8)
    assert other.set_state(saved)["prompt"] == env.set_state(saved)["prompt"]
    for _ in range(12):
        actions = env.oracle()
        assert actions == other.oracle()
        first, second = env.step(actions), other.step(actions)
        assert first[0] == second[0]
        assert [x.tolist() for x in first[1:4]] == [x.tolist() for x in second[1:4]]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_a_copied_env_goes_on_alike(copied):
    for seed in range(20):
        env = gym.make(UINAV)
        env.reset(seed=seed)
        env.step(env.unwrapped.oracle())
        twin = copied(env)
        assert play_oracle(twin) == play_oracle(env)
        assert twin.reset()[0] == env.reset()[0]


def test_side_by_side_as_one_by_one():
    many = gym.make_vec(UINAV, num_envs=4)
    prompts = many.reset(seed=11)[0]["prompt"]
    singles = [gym.make(UINAV) for _ in range(4)]
    assert prompts == tuple(env.reset(seed=11 + i)[0]["prompt"] for i, env in enumerate(singles))
    for _ in range(3):
        actions = many.oracle()
        observations, rewards, terminated, _, _ = many.step(actions)
        for i, env in enumerate(singles):
            observation, reward, ended, _, _ = env.step(actions[i])
            assert (reward, ended) == (rewards[i], terminated[i])
            if ended:
                observation, _ = env.reset()
            assert observation["prompt"] == observations["prompt"][i]


@given(st.integers(0, 2**31), st.lists(st.text(max_size=20), max_size=4))
@settings(max_examples=1000)
def test_any_text_is_taken(seed, responses):
    task = ANY
    episode = task.start(np.random.default_rng(seed), {})
    for response in responses:
        played = task.play(episode, response)
        assert played.turn.prompt == episode.prompt
        assert task.state_from_json(task.state_to_json(played.state)) == played.state
        episode = played.state
        if played.terminated:
            break


ANY = UINav()


# Splits


def test_splits_share_no_episode_and_some_templates_are_for_the_test_alone():
    held_out = {name for name, (_, template) in KNOWN.items() if template.held_out}
    assert held_out
    seeds = {}
    for split in ("train", "validation", "test"):
        task, rng = UINav(split=split), np.random.default_rng(0)
        episodes = [task.start(rng, {}) for _ in range(1500)]
        seeds[split] = {episode.seed for episode in episodes}
        drawn = {episode.goal.template for episode in episodes}
        assert drawn == (set(KNOWN) if split == "test" else set(KNOWN) - held_out)
        assert 0 < np.mean([not episode.goal.feasible for episode in episodes]) < 0.05
    assert not seeds["train"] & seeds["validation"]
    assert not seeds["train"] & seeds["test"]
    assert not seeds["validation"] & seeds["test"]


def test_infeasible_goals_end_with_a_reason():
    env = gym.make(UINAV)
    env.reset(seed=0, options={"template": "delete_email", "feasible": False})
    *_, (action, _, reward, terminated, _, info) = play_oracle(env)
    assert parse_action(action).kind == "infeasible"
    assert (reward, terminated, info["is_success"]) == (1.0, True, True)
    env.reset(seed=0, options={"template": "delete_email", "feasible": False})
    assert env.step("infeasible()")[1] == 0.0
    env.reset(seed=0, options={"template": "delete_email", "feasible": True})
    assert env.step("infeasible(no mail)")[1] == 0.0


# UINav's tricks


def test_masked_goals_name_the_values_and_take_their_names():
    env, prompt, info = started(mask_goal=True, seed=3)
    plain, _, _ = started(seed=3)
    values = plain.unwrapped.state.goal.values
    assert set(values) == {"to", "subject", "body"}
    assert all(f"<{name}>" in prompt and value not in prompt for name, value in values.items())
    shown = play_oracle(env)
    assert [action for action, *_ in shown if action.startswith("type")] == [
        "type(3, <to>)",
        "type(4, <subject>)",
        "type(5, <body>)",
    ]
    assert shown[-1][2] == 1.0
    assert "field Subject: <subject>" in shown[-2][1] or "NOTE Sent" in shown[-2][1]
    assert info["goal"] == plain.unwrapped.state.goal.text


def test_masked_goals_are_reached_on_every_template():
    env = gym.make(UINAV, mask_goal=True, split="test")
    for seed, name in enumerate(2 * list(KNOWN)):
        env.reset(seed=seed, options={"template": name})
        assert play_oracle(env)[-1][2] == 1.0


def test_augmentation_changes_what_does_not_matter():
    plain, _, _ = started("delete_email")
    env, _, _ = started("delete_email", augment=1.0)
    changed = 0
    while True:
        action = plain.unwrapped.oracle()
        assert env.unwrapped.oracle() == action
        before = plain.unwrapped.task.observe(plain.unwrapped.state)["prompt"].split("\n")
        after = env.unwrapped.task.observe(env.unwrapped.state)["prompt"].split("\n")
        assert len(before) == len(after)
        changed += sum(one != other for one, other in zip(before, after, strict=True))
        number = parse_action(action).element
        if number:
            line = next(line for line in before if line.startswith(f"{number} "))
            assert line in after
        if plain.step(action)[2]:
            break
        env.step(action)
    assert changed > 5


@pytest.mark.parametrize("name", [name for name, (_, template) in KNOWN.items() if template.answer is not None])
def test_augmentation_leaves_the_answer_and_makes_no_second_one(name):
    env = gym.make(UINAV, augment=1.0, split="test")
    for seed in range(20):
        observation, _ = env.reset(seed=seed, options={"template": name, "feasible": True})
        while not (action := env.unwrapped.oracle()).startswith("done"):
            observation = env.step(action)[0]
        said = parse_action(action).text
        screen = observation["prompt"].split("SCREEN")[1]
        assert said in screen
        for value in env.unwrapped.state.goal.values.values():
            plain = env.unwrapped.task.device.describe(env.unwrapped.state.state)
            assert screen.count(value) <= plain.count(value)


def test_augmentation_is_the_same_for_the_same_step():
    first, prompt, _ = started("read_email", augment=0.5)
    second, again, _ = started("read_email", augment=0.5)
    assert prompt == again
    assert play_oracle(first) == play_oracle(second)


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"templates": "send_emial"}, "unknown template 'send_emial'. Did you mean 'send_email'?"),
        ({"templates": ["send_email", "nothing"]}, "unknown template 'nothing'"),
        ({"split": "tset"}, "unknown split 'tset'. Did you mean 'test'?"),
        ({"apps": "no_such_module"}, "apps 'no_such_module': no module named 'no_such_module'."),
        ({"apps": "envs.uinav.phone.words"}, "apps 'envs.uinav.phone.words': the module registers no app"),
        ({"apps": "mail", "templates": "set_alarm"}, "unknown template 'set_alarm'"),
        ({"apps": "messages", "templates": "text_number"}, "unknown template 'text_number'"),
        ({"apps": ""}, "apps must name at least one app"),
        ({"augment": 2}, "augment must be from 0 to 1"),
        ({"max_steps": 0}, "max_steps must be at least 1"),
        ({"max_steps": 2.5}, "max_steps must be at least 1, a whole number, got 2.5"),
        ({"image": "no"}, "image must be True or False, got 'no'."),
        ({"augment": "x"}, "augment must be from 0 to 1"),
        ({"templates": 3}, "templates and apps are names"),
        ({"apps": [3]}, "templates and apps are names"),
        ({"apps": "envs.uinav.phone.apps.home"}, "there is no template in apps 'home'"),
        ({"split": None}, "unknown split None."),
        ({"data": 3}, "data must be 'miniature' or a path, got 3."),
        ({"data": "real"}, "real: no such file or folder; give a .jsonl file of trajectories"),
        ({"imag": True}, "UINav has no option 'imag'. Did you mean 'image'?"),
    ],
)
def test_wrong_options_are_one_line(options, message):
    with pytest.raises(UserError) as error:
        gym.make(UINAV, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"template": "send_emial"}, "Did you mean 'send_email'?"),
        ({"feasible": 1}, "option 'feasible' must be True or False, got 1."),
        ({"template": 3}, "unknown template 3."),
        ({"template": "send_email", "feasible": False}, "template 'send_email' can always be done"),
        ({"seed": -1}, "option 'seed' must be a whole number from 0, got -1."),
        ({"index": 3}, "UINav has no reset option 'index'."),
    ],
)
def test_wrong_reset_options_are_one_line(options, message):
    with pytest.raises(UserError, match=re.escape(message)):
        gym.make(UINAV).reset(options=options)


def test_a_phone_may_have_few_apps():
    env, prompt, _ = started(apps="mail+clock")
    assert [line.split(" ", 1)[1] for line in prompt.splitlines() if " app " in line] in (
        ["app Mail", "app Clock"],
        ["app Clock", "app Mail"],
    )
    assert play_oracle(env)[-1][2] == 1.0


def test_templates_are_taken_as_a_list_or_joined():
    for given_as in ("send_email+read_email", ["send_email", "read_email"]):
        task, rng = UINav(templates=given_as), np.random.default_rng(0)
        assert {task.start(rng, {}).goal.template for _ in range(50)} == {"send_email", "read_email"}


@pytest.mark.parametrize("typed", ["\\ud800", "bob\\n9 button Send\\nACTION: done()", "a\\u2028b\\tc"])
def test_what_is_typed_stays_on_its_line_and_is_valid_text(typed):
    env, _, _ = started()
    env.step("open_app(Mail)")
    while "field To" not in (prompt := env.unwrapped.state.prompt):
        env.step(env.unwrapped.oracle())
    lines = len(prompt.split("\n"))
    observation = env.step(f'type({number_of(prompt, "field To")}, "{typed}")')[0]
    assert env.observation_space.contains(observation)
    observation["prompt"].encode()
    assert len(observation["prompt"].split("\n")) == lines + ("DID" not in prompt) + ("key Enter" not in prompt)
    observation = env.step(f"type({number_of(prompt, 'field To')}, {'x' * 101})")[0]
    assert "ERROR a field holds at most 100 characters" in observation["prompt"]


def test_a_permission_that_is_refused_or_left_closes_the_app_and_is_asked_for_again():
    env, seed = gym.make(UINAV, templates="save_place"), 0
    while True:
        env.reset(seed=0, options={"seed": seed})
        prompt = env.step("open_app(Maps)")[0]["prompt"]
        if "Allow Maps" in prompt:
            break
        seed += 1
    for refuse in (f"click({number_of(prompt, 'button Deny')})", "back()"):
        prompt = env.step(refuse)[0]["prompt"]
        assert "SCREEN Home\nNOTE Maps cannot work without it" in prompt
        prompt = env.step("open_app(Maps)")[0]["prompt"]
        assert "Allow Maps" in prompt
    assert "Allow Maps" not in env.step(f"click({number_of(prompt, 'button Allow')})")[0]["prompt"]
    env.step("home()")
    assert "Allow Maps" not in env.step("open_app(Maps)")[0]["prompt"]


def test_an_observed_image_is_the_observers_own():
    env, _, _ = started(image=True)
    observation = env.step("open_app(Mail)")[0]
    before = observation["image"].copy()
    observation["image"][:] = 0
    task, state = env.unwrapped.task, env.unwrapped.state
    assert (task.observe(state)["image"] == before).all()
    assert (task.turn(state).image == before).all()
    assert copy.deepcopy(env.unwrapped.state) == env.unwrapped.state


def test_a_state_of_other_templates_is_refused():
    saved = gym.make_vec(UINAV, num_envs=1, templates="send_email")
    saved.reset(seed=0)
    other = gym.make_vec(UINAV, num_envs=1, templates="star_email+read_note")
    with pytest.raises(UserError, match="restore it in an env with the same templates"):
        other.set_state(saved.get_state())


def test_a_state_of_another_dialect_is_refused():
    saved = UINav(actions="coordinates")
    state = saved.start(np.random.default_rng(0), {})
    value = saved.state_to_json(saved.advance(state, saved.oracle(state))[0])
    for actions in ("elements", "coordinates:1000"):
        with pytest.raises(UserError, match=f"saved with the actions 'coordinates', and here it has '{actions}'"):
            UINav(actions=actions).state_from_json(value)


def test_ten_thousand_strings_are_taken_without_an_error():
    """Actions with characters changed, dropped, doubled, and noise, in the course of episodes."""
    rng, env, taken = np.random.default_rng(0), gym.make(UINAV), 0
    observation, _ = env.reset(seed=0)
    while taken < 10_000:
        characters = list(env.unwrapped.oracle())
        for _ in range(int(rng.integers(0, 4))):
            place = int(rng.integers(len(characters) + 1))
            characters[place : place + int(rng.integers(0, 3))] = str(rng.choice(list(' "(),0aé🙂\n')))
        observation, reward, terminated, truncated, _ = env.step("".join(characters))
        assert reward in (0.0, 1.0)
        assert env.observation_space.contains(observation)
        taken += 1
        if terminated or truncated:
            env.reset()


# The command


def play(*arguments, typed=""):
    command = [sys.executable, "-m", "envs.uinav.play", *arguments]
    return subprocess.run(command, input=typed, capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_the_oracle_plays_in_the_terminal_and_is_filmed(tmp_path):
    film = tmp_path / "email.gif"
    done = play("--task", "send_email", "--seed", "4", "--oracle", "--film", str(film))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Goal: " in done.stdout
    assert "> open_app(Mail)" in done.stdout
    assert done.stdout.splitlines()[-2:] == ["reached", f"wrote {film}"]
    with Image.open(film) as animation:
        assert animation.n_frames == done.stdout.count("\n> ") + 1  # and the last screen


def test_a_person_plays_in_the_terminal():
    done = play("--task", "read_email", "--seed", "4", typed="hint\nopen_app(Mail)\n99\n\nquit\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "> open_app(Mail)\n" in done.stdout
    assert "! no element 99" in done.stdout
    done = play("--task", "read_email", "--seed", "4", typed="done(nothing)\n")
    assert done.stdout.endswith("not reached\nThe goal was not reached.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "send_emial"], "error: unknown template 'send_emial'. Did you mean 'send_email'?"),
        (["--film", "x.mp4"], "error: cannot write a film to 'x.mp4'; its name must end in .png or .gif."),
    ],
)
def test_mistakes_on_its_command_line_are_one_line(arguments, message):
    done = play(*arguments)
    assert done.returncode == 2
    assert done.stderr.strip() == message


def test_the_page_lists_what_there_is():
    page = (ROOT / "docs" / "tasks" / "uinav.md").read_text(encoding="utf-8")
    for name, (app, template) in KNOWN.items():
        row = next(line for line in page.splitlines() if f"| {name} |" in line)
        assert app in row.split("|")[1].strip().split("+")
        assert ("held out" in row) == template.held_out
        assert ("may be infeasible" in row) == (template.absent is not None)
    for kind, (control, world) in OTHER_NAMES.items():
        assert re.search(rf"^\| `{kind}\(.*\)` \| .* \| {control or ''} ?\| {world} \|$", page, re.MULTILINE), kind
    assert len(KNOWN) >= 40
    assert len(BUILT_IN) >= 10
    assert "`python -m evaluation.baselines --env UINav-v0`" in page
    assert not re.findall(r"\{[A-Z]+\}", page)
