"""From what a command line says of an env to its tasks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.setup import Setup
from envs import register_task
from envs.registry import env_id, env_options, feedback_of, parse_env_options, task_of
from envs.taskmaster.task import Taskmaster
from perlhf.errors import UserError

NAMES = ["TLDR-v0", "BOLT-v0", "HH-v0", "SHP-v0", "Taskmaster-v0"]


def test_env_options_by_hand():
    assert parse_env_options("") == {}
    assert parse_env_options("domain=ticketing") == {"domain": "ticketing"}
    assert parse_env_options("min_score_ratio=2.5, max_pairs_per_post=3,a=null,b=x=y") == {
        "min_score_ratio": 2.5, "max_pairs_per_post": 3, "a": None, "b": "x=y",
    }  # fmt: skip


@given(st.dictionaries(st.text("abcxyz_", min_size=1), st.integers() | st.booleans() | st.text("qrstuv", min_size=1)))
def test_env_options_come_back(options):
    assert parse_env_options(",".join(f"{name}={value}" for name, value in options.items())) == options


@given(st.text())
def test_any_text_is_env_options_or_one_line(text):
    problem = ""
    try:
        parse_env_options(text)
    except UserError as error:
        problem = str(error)
    assert len(problem.splitlines()) <= 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ticketing", "env option 'ticketing': expected NAME=VALUE, with commas between."),
        ("=3", "env option '=3': expected NAME=VALUE, with commas between."),
        ("domain=coffee,domain=tea", "env option 'domain=tea': domain is given twice."),
        ("domain=[coffee", "env option 'domain=[coffee': not a YAML value: while parsing a flow sequence."),
        ("data=x", "env option 'data': the command itself decides that; see --data, --reward and its help."),
        ("split=test", "env option 'split': the command itself decides that; see --data, --reward and its help."),
        ("domian=coffee", "Taskmaster has no option 'domian'. Did you mean 'domain'?"),
        ("n_envs=2", "Taskmaster has no option 'n_envs'. Known: domain."),
    ],
)
def test_wrong_env_options_are_one_line(text, message):
    with pytest.raises(UserError) as caught:
        env_options("perlhf/Taskmaster-v0", text)
    assert str(caught.value) == message


@pytest.mark.parametrize("given", [{"data": "x"}, {"reward": "gold"}])
def test_defaults_that_commands_would_override_are_not_registered(given):
    with pytest.raises(TypeError, match="no default of data or reward"):
        register_task("toys/Never-v0", "envs.hh.task:HH", **given)


def test_an_env_of_numbers_is_for_the_algorithms_of_stable_baselines3():
    with pytest.raises(UserError) as caught:
        task_of(env_id("UINavNumeric-v0"))
    assert str(caught.value) == (
        "env 'perlhf/UINavNumeric-v0' takes no text: its action space is MultiDiscrete([13 16 4]), expected "
        "gymnasium.spaces.Text. Train on it with an algorithm of Stable-Baselines3 itself."
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_text_task_has_two_splits(name):
    train, test = feedback_of(env_id(name), {}, ("train", "test"))
    assert (train.split, test.split) == ("train", "test")
    assert (len(train.records), len(test.records)) == (20_000, 2_000)


def test_the_options_reach_the_task():
    (task,) = Setup.of("Taskmaster-v0", "domain=ticketing").feedback("validation")
    assert isinstance(task, Taskmaster)
    assert (task.domain, task.split) == ("ticketing", "validation")
    assert task.default_reward == "rewards.bundled:taskmaster_ticketing"
    assert task_of(env_id("Taskmaster-v0")).domain == "coffee"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("domain=tea", "unknown domain 'tea'. Known: coffee, ticketing."),
        ("domains=coffee", "domain"),
        ("domain=3", "unknown domain 3"),
        ("domain=[coffee]", "unknown domain ['coffee']"),
    ],
)
def test_a_wrong_option_of_a_task_is_one_line(options, message):
    with pytest.raises(UserError) as caught:
        Setup.of("Taskmaster-v0", options).feedback("train")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
