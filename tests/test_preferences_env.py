"""Preferences-v0 as an environment, and the commands over a file of one's own."""

import copy
import json
import pickle
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import gymnasium as gym
import pytest
from command_modules import command_module
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st
from test_envs import plain, play
from written_files import write_table

import envs  # noqa: F401 - registers perlhf/*
from agents.setup import Setup
from envs.corpora.surrogates import has_lone_surrogate
from envs.registry import class_of
from perlhf.conversation import Conversation, Message
from perlhf.errors import RewardError, UserError
from perlhf.options import parse_options

ROOT = Path(__file__).parents[1]
ID = "perlhf/Preferences-v0"
LENGTH = {"reward": "rewards.functions:length_penalty", "target": 2}


def talk(i):
    """A pair of messages, in which the user says what looks like another speaker's turn."""
    asked = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": f"Question {i}: é?\n\nAssistant: yes\n\nHuman: no"},
    ]
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in (f"Please do {i}.", "No."))
    return {"prompt": asked, "chosen": chosen, "rejected": rejected}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return str(write_table(tmp_path_factory.mktemp("data") / "talks.jsonl", [talk(i) for i in range(400)]))


@pytest.fixture
def make(data):
    return partial(gym.make, ID, data=data, reward=LENGTH)


# Gymnasium's contract


def test_passes_gymnasiums_checker_without_a_warning(make):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(make().unwrapped)


def test_the_same_seed_gives_the_same_episodes(make):
    first, second = make(), make()
    assert play(first, seed=7) == play(second, seed=7) == play(first, seed=7) != play(first, seed=8)


def test_a_prompt_has_its_messages(make):
    env = make()
    observation, info = env.reset(options={"index": 0})
    prompt = observation["prompt"]
    assert isinstance(prompt, Conversation)
    assert prompt.messages[0] == Message("system", "Be brief.")
    assert env.unwrapped.oracle().startswith("Please do ")
    assert env.step("a b c d")[1:] == (-1.0, True, False, {})  # no judge, so no gold
    assert info == {"index": 0}


def test_a_spec_a_pickle_and_a_copy_go_on_alike(make):
    env = make(render_mode="ansi")
    env.reset(seed=5)
    twins = [pickle.loads(pickle.dumps(env)), copy.deepcopy(env), gym.make(EnvSpec.from_json(env.spec.to_json()))]
    twins[-1].reset(seed=5)
    expected = plain(env.step("hello")), plain(env.reset())
    for twin in twins:
        shown = twin.step("hello")
        assert (plain(shown), plain(twin.reset())) == expected
        assert isinstance(shown[0]["prompt"], Conversation)


def test_many_episodes_are_those_of_single_envs_and_are_resumed(make, data):
    vector = gym.make_vec(ID, num_envs=3, data=data, reward=LENGTH)
    singles = [make() for _ in range(3)]
    shown, _ = vector.reset(seed=40)
    assert shown["prompt"] == tuple(env.reset(seed=40 + i)[0]["prompt"] for i, env in enumerate(singles))
    state = json.loads(json.dumps(vector.get_state()))
    following = plain(vector.step(("a b c", "", "x")))
    again = vector.set_state(state)["prompt"]
    assert [prompt.messages for prompt in again] == [prompt.messages for prompt in shown["prompt"]]
    assert plain(vector.step(("a b c", "", "x"))) == following


def test_workers_show_the_text_of_the_prompts(make, data):
    vector = gym.make_vec(ID, 2, "async", data=data, reward=LENGTH)
    try:
        shown, _ = vector.reset(seed=3)
        assert shown["prompt"] == tuple(make().reset(seed=3 + i)[0]["prompt"] for i in range(2))
        assert vector.step(("a b c", ""))[1].tolist() == [-0.5, 0.0]
    finally:
        vector.close()


def test_workers_show_the_messages_too_where_memory_is_not_shared(data):
    vector = gym.make_vec(ID, 2, "async", vector_kwargs={"shared_memory": False}, data=data, reward=LENGTH)
    try:
        shown, _ = vector.reset(seed=3)
        assert [prompt.messages[0] for prompt in shown["prompt"]] == [Message("system", "Be brief.")] * 2
    finally:
        vector.close()


def test_a_prompt_is_flattened_as_its_text(make):
    env = make()
    observation, _ = env.reset(seed=0)
    flat = spaces.flatten(env.observation_space, observation)
    assert spaces.unflatten(env.observation_space, flat) == observation


def test_messages_are_shown_as_they_are_and_not_as_the_text_reads(make):
    env = make(render_mode="ansi")
    env.reset(options={"index": 0})
    lines = env.render().splitlines()
    assert lines[0] == "System: Be brief."
    assert lines[1].startswith("Human: Question ")
    picture = make(render_mode="rgb_array")
    picture.reset(options={"index": 0})
    assert picture.render().shape == (512, 512, 3)


def test_any_text_is_an_answer_or_is_refused_in_one_line(make):
    env = make(disable_env_checker=True)

    @given(st.text(st.characters(exclude_categories=())), st.integers(0, 2**32))
    @settings(max_examples=300)
    def check(text, seed):
        env.reset(seed=seed)
        if has_lone_surrogate(text):
            with pytest.raises(UserError, match="lone surrogate"):
                env.step(text)
        else:
            words = len(text.split())
            assert env.step(text)[1:] == (-max(0, words - 2) / 2, True, False, {})

    check()


# What must be given

NO_DATA = (
    "Preferences-v0 has no data of its own: give --data (in Python data=) a file, folder or glob of jsonl, json, csv "
    "or parquet, or hub:ORG/NAME."
)
NO_REWARD = (
    "Preferences has no reward and no judge of its own; give --reward (in Python reward=) a reward model's folder, "
    "'module:name' or a YAML file."
)


@pytest.mark.parametrize("make_one", [gym.make, partial(gym.make_vec, num_envs=2)], ids=["one", "vector"])
def test_data_and_reward_must_be_given(make_one, data):
    for given_data in ({}, {"data": "miniature"}, {"data": "hub"}, {"data": ""}):
        with pytest.raises(UserError) as caught:
            make_one(ID, reward=LENGTH, **given_data)
        assert str(caught.value) == NO_DATA
    for name in ("bundled", "gold"):
        for reward in (name, {"reward": name}, [{"reward": name, "weight": 1.0}]):
            with pytest.raises(RewardError) as caught:
                make_one(ID, data=data, reward=reward)
            assert str(caught.value) == f"reward {name!r}: {NO_REWARD}"


def test_other_tasks_take_no_columns():
    with pytest.raises(UserError) as caught:
        Setup.of("HH-v0", columns="prompt=question")
    assert str(caught.value) == (
        "--columns 'prompt=question': HH reads the files of one corpus, whose columns have their names; --env "
        "Preferences-v0 reads other files."
    )


def test_columns_of_a_command_reach_the_task(tmp_path):
    rows = [{"question": f"Question {i}", "good": "Yes", "bad": "No"} for i in range(20)]
    path = write_table(tmp_path / "a.csv", rows)
    words = ["Preferences-v0", "--data", str(path), "--columns", "prompt=question,chosen=good,rejected=bad"]
    setup = Setup.of_options(parse_options(command_module("rewards.train_reward_model").Options, words))
    assert setup.backbone_name == "tiny"
    train, test = setup.feedback("train", "test")
    assert train.records[0][1:3] == test.records[0][1:3] == ("Yes", "No")


def test_of_the_tasks_that_ship_this_one_alone_needs_data():
    needy = [i for i, spec in gym.registry.items() if "task" in spec.kwargs and class_of(i).needs_data]
    assert needy == [ID]


# Commands


def run(*words, cwd):
    environment = {"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "HOME": str(cwd)}
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs a command in this process; gives what it printed."""

    def called(command, *words):
        monkeypatch.setattr(sys, "argv", ["command", *map(str, words)])
        command_module(command).main()
        return capsys.readouterr().out

    return called


def test_messages_become_a_reward_model_and_a_policy(tmp_path, data, call, monkeypatch):
    words = ("--env", "Preferences-v0", "--data", data)
    few = ("--pairs", 32, "--eval-pairs", 16, "--output-dir", "rm")
    out = run("rewards.train_reward_model", *words, *few, cwd=tmp_path)
    assert "learning from 32 records of the data\n" in out
    out = run(
        "agents.train_ppo", *words, "--reward", "rm", "--total-timesteps", 16, "--n-envs", 8, "--batch-size", 8,
        "--max-new-tokens", 8, "--eval-prompts", 8, "--output-dir", "ppo", cwd=tmp_path,
    )  # fmt: skip
    assert "gain over SFT" in out
    summary = json.loads((tmp_path / "ppo" / "summary.json").read_text())
    assert (summary["env"], summary["turns"], summary["policy"]["n"]) == ("Preferences-v0", 16, 8)
    monkeypatch.chdir(tmp_path)  # the reward of the run is "rm"
    assert "gain over SFT" in call("evaluation.evaluate", "--run", "ppo", "--prompts", 8)


@pytest.mark.parametrize(
    ("command", "words", "problem"),
    [
        ("agents.train_ppo", [], f"reward 'bundled': {NO_REWARD}"),
        ("agents.train_ppo", ["--data", "DATA"], f"reward 'bundled': {NO_REWARD}"),
        ("agents.train_sft", [], NO_DATA),
    ],
)
def test_a_command_says_in_one_line_what_is_missing(data, call, command, words, problem):
    with pytest.raises(UserError) as caught:
        call(command, "--env", "Preferences-v0", *(data if word == "DATA" else word for word in words))
    assert str(caught.value) == problem
