"""Every registered perlhf/* environment, one by one and side by side."""

import copy
import json
import os
import pickle
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import toy_tasks  # noqa: F401 - registers test/*
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from hypothesis import given, settings
from hypothesis import strategies as st

import envs  # noqa: F401 - registers perlhf/*
from envs.corpora.surrogates import has_lone_surrogate
from envs.registry import class_of
from envs.reward_spec import resolve_reward, reward_name, score_turns
from envs.spaces import Unicode
from envs.turn import Turn
from envs.vector_infos import stacked_infos
from perlhf.errors import DataError, RewardError, UserError

ROOT = Path(__file__).parents[1]
# Those of tasks: text in, text out. UINavNumeric, which has numbers instead, is tested in test_uinav_numeric.py, and
# what has no data of its own in test_preferences.py.
TASKS = sorted(name for name, spec in gym.registry.items() if name.startswith("perlhf/") and "task" in spec.kwargs)
IDS = [name for name in TASKS if not class_of(name).needs_data]
HH = "perlhf/HH-v0"
TURN = Turn("\n\nHuman: Hi\n\nAssistant:", "a b c d e f")

# JSON-able rewards of each kind that needs no model.
CONTAINS_E = {"reward": "rewards.functions:contains", "text": "e"}
PENALTY = {"reward": "rewards.functions:length_penalty", "target": 2}
REWARDS = ["gold", CONTAINS_E, [{**CONTAINS_E, "weight": 2.0}, {**PENALTY, "weight": 0.5}]]

every_id = pytest.mark.parametrize("env_id", IDS)
any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates included


def length_of_response(turns):
    return [float(len(turn.response)) for turn in turns]


class Model:
    """A callable reward that must never be copied, as a neural network must not."""

    def __call__(self, turns):
        return [0.5] * len(turns)

    def __deepcopy__(self, memo):
        raise AssertionError("the model was copied")

    def __reduce__(self):
        raise AssertionError("the model was pickled")


class Tensor:
    """What a tensor of torch shows of itself: its items are tensors too, and no numbers."""

    def __init__(self, values):
        self.values, self.ndim = values, np.ndim(values)

    def tolist(self):
        return self.values

    item = tolist

    def __iter__(self):
        return map(Tensor, self.values)


def plain(value):
    """Equal values give equal strings, whatever arrays they hold."""
    return json.dumps(value, default=lambda array: array.tolist(), sort_keys=True)


def play(env, seed, episodes=3):
    """Everything that some episodes show, with the same actions for the same seed."""
    rng, seen = np.random.default_rng(seed), []
    for number in range(episodes):
        seen.append(env.reset(seed=seed if number == 0 else None))
        ended = False
        while not ended:
            action = env.unwrapped.plausible_action(rng)
            observation, reward, terminated, truncated, info = env.step(action)
            seen.append((action, observation, reward, terminated, truncated, info))
            ended = terminated or truncated
    return plain(seen)


# Gymnasium's own contract


def test_the_environments_are_registered():
    assert HH in IDS
    assert set(TASKS) - set(IDS) == {"perlhf/Preferences-v0"}
    numeric = {name for name in gym.registry if name.startswith("perlhf/")} - set(TASKS)
    assert numeric == {"perlhf/UINavNumeric-v0"}


@every_id
def test_passes_gymnasiums_checker_without_a_warning(env_id):
    env = gym.make(env_id, reward="gold")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


@every_id
def test_the_same_seed_gives_the_same_episodes(env_id):
    first, second = (gym.make(env_id, reward="gold") for _ in range(2))
    played = play(first, seed=7)
    assert play(second, seed=7) == played
    assert play(first, seed=7) == played
    assert play(first, seed=8) != played


EPISODES = """
import json, sys
import gymnasium as gym, numpy as np
import envs
for env_id in sys.argv[1:]:
    env = gym.make(env_id, reward="gold")
    for seed in range(20):
        rng, (observation, info), ended = np.random.default_rng(seed), env.reset(seed=seed), False
        seen = [observation, info]
        while not ended:
            action = env.unwrapped.plausible_action(rng)
            observation, reward, terminated, truncated, info = env.step(action)
            ended = terminated or truncated
            seen.append([action, observation, reward, terminated, truncated, info, env.unwrapped.oracle()])
        print(json.dumps(seen, default=lambda array: array.tolist()))
"""


def run_python(code, *arguments, **environ):
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120)


def test_two_processes_play_the_same_episodes():
    runs = [run_python(EPISODES, *IDS, PYTHONHASHSEED=seed) for seed in ("1", "2")]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr
    assert len(runs[0].stdout.splitlines()) == 20 * len(IDS)
    assert runs[0].stdout == runs[1].stdout


def test_environments_never_import_torch():
    code = """
import sys
import gymnasium as gym, envs
for env_id in sys.argv[1:]:
    env = gym.make(env_id, reward="gold", render_mode="rgb_array")
    env.reset(seed=0); env.step("hello"); env.render()
    vector = gym.make_vec(env_id, num_envs=2, reward="gold")
    vector.reset(seed=0); vector.step(("hello", ""))
assert "torch" not in sys.modules, "torch was imported"
assert "transformers" not in sys.modules, "transformers was imported"
"""
    run = run_python(code, *IDS)
    assert run.returncode == 0, run.stderr


@every_id
def test_the_spaces_are_text(env_id):
    env = gym.make(env_id, reward="gold").unwrapped
    assert isinstance(env.action_space, Unicode)
    assert isinstance(env.observation_space, spaces.Dict)
    assert isinstance(env.observation_space["prompt"], Unicode)


@every_id
def test_the_oracle_reaches_full_gold_and_success(env_id):
    env = gym.make(env_id, reward="gold")
    for seed in range(50):
        env.reset(seed=seed)
        ended = False
        while not ended:
            _, reward, ended, truncated, info = env.step(env.unwrapped.oracle())
            assert not truncated
        assert (reward, info["gold"], info["is_success"]) == (1.0, 1.0, True)


@every_id
def test_plausible_actions_are_actions_good_and_bad(env_id):
    env, rng, golds = gym.make(env_id, reward="gold"), np.random.default_rng(0), []
    for seed in range(200):
        env.reset(seed=seed)
        over = False
        while not over:
            action = env.unwrapped.plausible_action(rng)
            assert env.action_space.contains(action)
            _, gold, terminated, truncated, _ = env.step(action)
            over = terminated or truncated
        golds.append(gold)
    assert min(golds) < 0.3
    assert max(golds) > 0.9


@every_id
def test_step_before_reset_is_refused(env_id):
    with pytest.raises(ResetNeeded):
        gym.make(env_id, reward="gold").step("hello")
    with pytest.raises(ResetNeeded):
        gym.make_vec(env_id, num_envs=1, reward="gold").step(("hello",))


# Copies, pickles, specs


@every_id
@pytest.mark.parametrize("reward", REWARDS, ids=["name", "mapping", "sum"])
def test_a_spec_survives_json_and_pickle(env_id, reward):
    env = gym.make(env_id, reward=reward)
    for spec in (EnvSpec.from_json(env.spec.to_json()), pickle.loads(pickle.dumps(env.spec))):
        assert spec.kwargs["reward"] == reward
        twin = gym.make(spec)
        assert play(twin, seed=3) == play(env, seed=3)


@every_id
def test_a_vector_spec_survives_json(env_id):
    env = gym.make_vec(env_id, num_envs=2, reward=CONTAINS_E)
    twin = gym.make_vec(EnvSpec.from_json(env.spec.to_json()))
    assert twin.num_envs == 2
    assert plain(twin.reset(seed=4)[0]) == plain(env.reset(seed=4)[0])
    assert twin.step(("yes", "no"))[1].tolist() == env.step(("yes", "no"))[1].tolist() == [1.0, 0.0]


@every_id
@pytest.mark.parametrize("reward", REWARDS, ids=["name", "mapping", "sum"])
def test_a_pickle_made_mid_episode_goes_on_alike(env_id, reward):
    env = gym.make(env_id, reward=reward, render_mode="ansi")
    env.reset(seed=5)
    twin = pickle.loads(pickle.dumps(env))
    assert twin.render() == env.render()
    assert plain(twin.step("hello")) == plain(env.step("hello"))
    assert plain(twin.reset()) == plain(env.reset())


@pytest.mark.parametrize(
    "twin_of", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))], ids=["copy", "pickle"]
)
@pytest.mark.parametrize("render_mode", ["ansi", "rgb_array"])
def test_what_is_shown_of_pictures_goes_with_a_twin_and_the_task_does_not(twin_of, render_mode):
    env = gym.make("perlhf/UINav-v0", image=True, render_mode=render_mode)
    env.reset(seed=5)
    env.step("home()")
    twin = twin_of(env)
    assert np.array_equal(twin.render(), env.render())
    (turn, *_) = twin.unwrapped.shown
    assert isinstance(turn.picture, np.ndarray)
    assert np.array_equal(twin.step("wait()")[0]["image"], env.step("wait()")[0]["image"])


@every_id
def test_a_pickle_does_not_hold_the_data(env_id):
    env = gym.make(env_id, reward="gold")
    env.reset(seed=5)
    env.step("hello")
    bounds = len(pickle.dumps(env.observation_space))  # of an image some numbers a pixel
    assert len(pickle.dumps(env.unwrapped)) - bounds < 20_000


@every_id
def test_a_vector_pickle_goes_on_alike(env_id):
    env = gym.make_vec(env_id, num_envs=3, reward="gold")
    env.reset(seed=5)
    env.step(("a", "b", "c"))
    twin = pickle.loads(pickle.dumps(env))
    assert plain(twin.step(("a", "b", "c"))) == plain(env.step(("a", "b", "c")))


@every_id
def test_a_deep_copy_goes_on_alike_and_on_its_own(env_id):
    env = gym.make(env_id, reward="gold")
    env.reset(seed=5)
    twin = copy.deepcopy(env)
    stepped = plain(twin.step("hello"))
    following = plain(twin.reset())
    assert plain(env.step("hello")) == stepped
    assert plain(env.reset()) == following


@every_id
@pytest.mark.parametrize("reward", ["gold", Model()], ids=["name", "callable"])
@pytest.mark.parametrize("make", [gym.make, partial(gym.make_vec, num_envs=2)], ids=["one", "vector"])
def test_a_deep_copy_shares_the_reward_and_the_task(env_id, reward, make):
    env = make(env_id, reward=reward)
    env.reset(seed=0)
    function = env.unwrapped.reward_function
    twin = copy.deepcopy(env)
    assert twin is not env
    assert twin.unwrapped.reward_function is function
    assert twin.unwrapped.task is env.unwrapped.task
    assert twin.unwrapped.spec is env.unwrapped.spec


def test_a_spec_says_how_long_an_episode_of_the_task_may_be():
    env = gym.make("perlhf/UINav-v0", reward="gold").unwrapped
    assert env.spec.max_episode_steps == env.task.max_steps > 0
    assert gym.make(HH, reward="gold").unwrapped.spec.max_episode_steps is None


@every_id
@pytest.mark.parametrize("make", [gym.make, partial(gym.make_vec, num_envs=2)], ids=["one", "vector"])
@pytest.mark.parametrize(
    "save",
    [lambda env: env.spec.to_json(), lambda env: pickle.dumps(env.spec), pickle.dumps],
    ids=["spec.to_json", "pickle of spec", "pickle"],
)
def test_a_callable_reward_says_in_one_line_why_it_cannot_be_saved(env_id, make, save):
    env = make(env_id, reward=length_of_response)
    env.reset(seed=0)
    with pytest.raises(UserError, match=r"length_of_response.*cannot be saved.*reward='module:name'") as caught:
        save(env)
    assert "\n" not in str(caught.value)


@every_id
def test_an_env_with_a_callable_reward_passes_the_checker_uncopied(env_id):
    env = gym.make(env_id, reward=Model())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env.unwrapped)


@every_id
def test_an_env_made_again_from_its_spec_has_the_same_callable(env_id):
    model = Model()
    env = gym.make(env_id, reward=model)
    assert gym.make(env.spec).unwrapped.reward_function is model
    assert gym.make_vec(env.spec, num_envs=2).reward_function is model


# Many episodes side by side


@every_id
def test_a_vector_episode_equals_the_single_env_with_its_seed(env_id):
    vector, rng = gym.make_vec(env_id, num_envs=3, reward="gold"), np.random.default_rng(0)
    singles = [gym.make(env_id, reward="gold") for _ in range(3)]
    observations, infos = vector.reset(seed=40)
    for i, env in enumerate(singles):
        observation, info = env.reset(seed=40 + i)
        assert observations["prompt"][i] == observation["prompt"]
        assert {key: infos[key][i] for key in info} == info
    for _ in range(6):
        actions = vector.plausible_action(rng)
        observations, rewards, terminated, truncated, infos = vector.step(actions)
        for i, env in enumerate(singles):
            observation, reward, over, cut, info = env.step(actions[i])
            assert (rewards[i], terminated[i], truncated[i]) == (reward, over, cut)
            if over:
                assert infos["final_obs"][i]["prompt"] == observation["prompt"]
                assert {key: infos["final_info"][key][i] for key in info} == info
                observation, info = env.reset()
                assert {key: infos[key][i] for key in info} == info
            assert observations["prompt"][i] == observation["prompt"]


@every_id
def test_vector_envs_reset_in_the_same_step(env_id):
    vector = gym.make_vec(env_id, num_envs=2, reward="gold")
    assert vector.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert type(vector).metadata["autoreset_mode"] is AutoresetMode.SAME_STEP


@every_id
def test_a_vector_step_scores_all_turns_in_one_call(env_id):
    calls = []

    def reward(turns):
        calls.append([(turn.prompt, turn.response) for turn in turns])
        return length_of_response(turns)

    vector = gym.make_vec(env_id, num_envs=3, reward=reward)
    observations, _ = vector.reset(seed=0)
    assert calls == []
    for step in (1, 2):
        prompts = observations["prompt"]
        observations, rewards, *_ = vector.step(("a", "", "ccc"))
        assert len(calls) == step
        assert calls[-1] == list(zip(prompts, ("a", "", "ccc"), strict=True))
        assert rewards.tolist() == [1.0, 0.0, 3.0]
        assert rewards.dtype == np.float64


def test_final_info_and_final_obs_are_of_the_episode_that_ended():
    vector = gym.make_vec(HH, num_envs=2, reward="gold")
    before, _ = vector.reset(seed=1)
    right = vector.oracle()[0]
    after, rewards, terminated, truncated, infos = vector.step((right, ""))
    assert terminated.tolist() == [True, True]
    assert truncated.tolist() == [False, False]
    assert rewards.tolist() == [1.0, 0.0]
    assert infos["final_info"]["gold"].tolist() == [1.0, 0.0]
    assert infos["final_info"]["is_success"].tolist() == [True, False]
    assert infos["_final_info"].tolist() == infos["_final_obs"].tolist() == [True, True]
    assert [observation["prompt"] for observation in infos["final_obs"]] == list(before["prompt"])
    assert after["prompt"] != before["prompt"]
    assert infos["index"].shape == (2,)


INFOS = st.dictionaries(
    st.integers(0, 4),
    st.fixed_dictionaries(
        {"final_obs": st.just({"prompt": "x"}), "name": st.text(max_size=3)},
        optional={
            "count": st.integers(-5, 5),
            "share": st.floats(-1, 1),
            "good": st.booleans(),
            "none": st.none(),
            "numpy": st.integers(0, 9).map(np.int32),
            "array": st.integers(0, 9).map(lambda n: np.full((2, 3), n)),
            "pair": st.just((1, 2)),
            "empty": st.just({}),
            "final_info": st.fixed_dictionaries({"gold": st.floats(0, 1)}, optional={"is_success": st.booleans()}),
        },
    ),
)


@given(INFOS)
def test_infos_are_stacked_as_gymnasium_adds_them_one_by_one(infos):
    vector, added = gym.make_vec(HH, num_envs=5), {}
    for i, info in infos.items():
        added = vector._add_info(added, info, i)
    assert described(stacked_infos(infos, 5)) == described(added)


def described(infos):
    """The keys in their order, and what is in the arrays with their types."""
    return [
        (key, described(value) if isinstance(value, dict) else (value.dtype, value.shape, value.tolist()))
        for key, value in infos.items()
    ]


def test_no_turn_is_kept_where_nothing_is_rendered():
    env, vector = gym.make(HH).unwrapped, gym.make_vec(HH, num_envs=2).unwrapped
    env.reset(seed=0), vector.reset(seed=0)
    env.step("a"), vector.step(("a", "b"))
    assert env.shown is None
    assert env.render() is None
    assert vector.shown == [None, None]
    assert vector.render() is None


def test_vector_observations_are_inside_the_spaces():
    vector = gym.make_vec(HH, num_envs=3, reward="gold")
    observations, _ = vector.reset(seed=0)
    assert vector.observation_space.contains(observations)
    assert vector.action_space.contains(vector.oracle())


def test_one_seed_for_each_env_and_none_keeps_the_generator():
    vector = gym.make_vec(HH, num_envs=2, reward="gold")
    prompts = vector.reset(seed=[11, 4])[0]["prompt"]
    alone = [gym.make(HH, reward="gold").reset(seed=seed)[0]["prompt"] for seed in (11, 4)]
    assert list(prompts) == alone
    following = vector.reset()[0]["prompt"]
    vector.reset(seed=[11, 4])
    again = vector.reset(seed=[None, 4])[0]["prompt"]
    assert again == (following[0], prompts[1])


@pytest.mark.parametrize("actions", [(), ("a",), ("a", "b", "c")])
def test_a_wrong_number_of_actions_is_refused(actions):
    vector = gym.make_vec(HH, num_envs=2, reward="gold")
    vector.reset(seed=0)
    with pytest.raises(UserError, match=f"expected 2 actions, one for each env, got {len(actions)}"):
        vector.step(actions)


@pytest.mark.parametrize(
    ("bad", "problem"),
    [(3, "int"), (None, "NoneType"), ("\ud800", "a lone surrogate"), ("x" * 20_001, "20001 characters")],
)
def test_a_bad_action_names_its_index(bad, problem):
    vector = gym.make_vec(HH, num_envs=3, reward="gold")
    vector.reset(seed=0)
    with pytest.raises(UserError, match=rf"^action 1 must be a str of at most 20000 .* got {problem}\.$"):
        vector.step(("a", bad, "c"))
    single = gym.make(HH, reward="gold", disable_env_checker=True)
    single.reset(seed=0)
    with pytest.raises(UserError, match=rf"^action must be a str of at most 20000 .* got {problem}\.$"):
        single.step(bad)


def test_a_refused_action_changes_nothing():
    vector = gym.make_vec(HH, num_envs=2, reward="gold")
    vector.reset(seed=0)
    state = plain(vector.get_state())
    with pytest.raises(UserError):
        vector.step(("fine", "\ud800"))
    assert plain(vector.get_state()) == state


@every_id
def test_a_state_written_as_json_goes_on_alike(env_id):
    vector, twin = (gym.make_vec(env_id, num_envs=3, reward="gold") for _ in range(2))
    vector.reset(seed=9)
    vector.step(("a", "b", "c"))
    state = json.loads(json.dumps(vector.get_state()))
    shown = twin.set_state(state)
    assert plain(twin.get_state()) == plain(state)
    for _ in range(3):
        following, twin_following = vector.step(("a", "b", "c")), twin.step(("a", "b", "c"))
        assert plain(following) == plain(twin_following)
    vector.set_state(state)
    assert plain(vector.set_state(state)) == plain(shown)


def test_an_env_made_with_no_episodes_is_refused():
    with pytest.raises(UserError, match="num_envs must be at least 1, a whole number, got 0"):
        gym.make_vec(HH, num_envs=0, reward="gold")


# The record that an episode is about


def test_reset_takes_the_record_of_an_index():
    env, vector = gym.make(HH, reward="gold"), gym.make_vec(HH, num_envs=2, reward="gold")
    for index in (0, 123, 19_999, np.int64(5)):
        observation, info = env.reset(seed=0, options={"index": index})
        assert info["index"] == index
        assert observation["prompt"] == env.unwrapped.task.records[index].prompt
    observations, infos = vector.reset(seed=0, options={"index": 7})
    assert infos["index"].tolist() == [7, 7]
    assert observations["prompt"] == (vector.task.records[7].prompt,) * 2


@pytest.mark.parametrize("index", [-1, 20_000, "3", 1.0])
def test_an_index_outside_the_split_is_refused(index):
    env = gym.make(HH, reward="gold")
    with pytest.raises(UserError, match=rf"'index' must be a record from 0 to 19999, got {index!r}"):
        env.reset(options={"index": index})


# Mistakes: one line that names the nearest right word


@pytest.mark.parametrize("make", [gym.make, partial(gym.make_vec, num_envs=2)], ids=["one", "vector"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"splitt": "test"}, "HH has no option 'splitt'. Did you mean 'split'?"),
        ({"split": "tset"}, "unknown split 'tset'. Did you mean 'test'?"),
        ({"split": "zzz"}, "unknown split 'zzz'. Known: test, train, validation."),
        ({"render_mode": "rgb_arry"}, "unknown render_mode 'rgb_arry'. Did you mean 'rgb_array'?"),
        ({"data": "no/such/file"}, "no/such/file: no such file or folder; give HH-RLHF's jsonl(.gz) file"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*render_mode")
def test_a_wrong_argument_is_one_line_with_the_nearest_name(make, arguments, message):
    with pytest.raises(UserError) as caught:
        make(HH, reward="gold", **arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_data_file_is_a_data_error():
    with pytest.raises(DataError):
        gym.make(HH, data="no/such/file")


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ("golden", "unknown reward 'golden': expected 'bundled', 'gold', 'module:name', 'classifier:HUB_ID', "),
        ("", "unknown reward ''"),
        (":contains", "unknown reward ':contains'"),
        ("..relative:contains", "unknown reward '..relative:contains'"),
        ("x" * 5000, "unknown reward 'xxx"),
        ("rewards.functions:contain", "rewards.functions has no 'contain'. Did you mean 'contains'?"),
        ("no_such_module:f", "reward 'no_such_module:f': no module named 'no_such_module'."),
        ("rewards.functions:contains", "reward 'rewards.functions:contains': missing a required argument: 'text'."),
        ({"reward": "rewards.functions:contains", "txt": "a"}, "has no option 'txt'. Did you mean 'text'?"),
        ({"reward": "gold", "weight": 2}, "reward 'gold' has no option 'weight'."),
        ({"rewrd": "gold"}, "a reward mapping names its function under 'reward', got keys ['rewrd']."),
        ([], "a reward sum needs at least one part."),
        (["gold"], "each part of a reward sum is a mapping with 'reward' and 'weight', got 'gold'."),
        ([{"reward": "gold", "weight": "1"}], "reward 'gold': weight must be a number, got '1'."),
        ([{"reward": "gold", "weight": True}], "reward 'gold': weight must be a number, got True."),
        (3, "a reward is a name, a mapping, a list of mappings or a callable, got int."),
        (None, "a reward is a name, a mapping, a list of mappings or a callable, got NoneType."),
        ([{"reward": "gold", "weight": float("nan")}], "reward 'gold': weight must be finite, got nan."),
        ([{"reward": "gold", "weight": -float("inf")}], "reward 'gold': weight must be finite, got -inf."),
        ([{"reward": "gold", "weight": 10**400}], "reward 'gold': weight must be finite, got 1000"),
        ([np.zeros((40, 40))], "got array([[0., 0., 0., ..., 0., 0., 0.], [0., 0., 0., ..., 0., 0., 0.],"),
        ("sum.yaml", "reward 'sum.yaml' is a YAML file; read it and pass what it holds: reward=load_reward_yaml(FILE)"),
        (Path("a/sum.yml"), "reward 'a/sum.yml' is a YAML file"),
        (Path("no/such"), "unknown reward 'no/such'"),
        ("math:sqrt", "reward math:sqrt cannot be called with a list of turns: must be real number, not list."),
        ({"reward": 3, 5: "gold"}, "a reward mapping names its function under 'reward', got keys ['reward', 5]."),
    ],
)
def test_a_wrong_reward_is_one_line(reward, message):
    def play():
        env = gym.make(HH, reward=reward)  # finds what can be told without importing anything
        env.reset(seed=0)
        env.step("hello")

    with pytest.raises(RewardError) as caught:
        play()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ("bundeld", "Did you mean 'bundled'?"),
        ("no_such_module:f", "no module named 'no_such_module'"),
        ({"reward": "golden"}, "Did you mean 'gold'?"),
        ([{"reward": "gold"}, {"reward": "runs/none", "weight": 2}], "unknown reward 'runs/none'"),
        ([{"reward": "gold", "weight": "2"}], "weight must be a number, got '2'"),
    ],
)
@pytest.mark.parametrize("make", [gym.make, gym.make_vec])
def test_a_reward_that_is_not_there_is_found_when_the_env_is_made(make, reward, message):
    with pytest.raises(RewardError) as caught:
        make(HH, reward=reward)
    assert message in str(caught.value)


def test_a_reward_that_is_there_is_not_imported_when_the_env_is_made(tmp_path):
    (tmp_path / "made.py").write_text(
        "import sys, gymnasium as gym, envs\n"
        "for reward in ('bundled', 'rewards.bundled:hh', [{'reward': 'rewards.functions:contains', 'words': 'a'}]):\n"
        "    gym.make('perlhf/HH-v0', reward=reward)\n"
        "assert not {'torch', 'rewards'} & set(sys.modules)\n"
    )
    subprocess.run(
        [sys.executable, tmp_path / "made.py"], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


@pytest.mark.parametrize("count", [2.0, True, "2", float("nan"), None, -1])
def test_a_number_of_envs_is_a_whole_number(count):
    with pytest.raises(UserError, match="num_envs must be at least 1, a whole number, got "):
        gym.make_vec(HH, num_envs=count, reward="gold")


@pytest.mark.parametrize("steps", [0, -2, 2.5, True, "2", float("nan")])
def test_a_time_limit_is_a_whole_number(steps):
    with pytest.raises(UserError, match="max_episode_steps must be at least 1, a whole number, or -1 for no limit"):
        gym.make_vec(HH, num_envs=1, max_episode_steps=steps, reward="gold")


def test_minus_one_is_no_time_limit_as_for_a_single_env():
    assert gym.make_vec(HH, num_envs=1, max_episode_steps=-1, reward="gold").unwrapped.max_episode_steps is None


def test_an_import_error_inside_a_reward_module_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "broken_reward.py").write_text("import a_module_that_is_missing\n")
    monkeypatch.syspath_prepend(tmp_path)
    env = gym.make(HH, reward="broken_reward:score")
    env.reset(seed=0)
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_missing"):
        env.step("hello")


def test_a_mistaken_env_name_gets_the_nearest():
    from envs.registry import env_id

    assert env_id("HH-v0") == env_id(HH) == HH
    with pytest.raises(UserError, match=r"^unknown env 'HH-v1'\. Did you mean 'HH-v0'\?$"):
        env_id("HH-v1")


# What a reward function returns


@pytest.mark.parametrize(
    ("returned", "problem"),
    [
        ([float("nan")], "returned nan for turn 0: 'a b c d e f'"),
        ([float("inf")], "returned inf for turn 0"),
        ([np.float32("-inf")], "returned -inf for turn 0"),
        ([10**400], "returned inf for turn 0"),
        ([], "returned 0 scores for 1 turns"),
        ([1.0, 2.0], "returned 2 scores for 1 turns"),
        ([True], "returned True for turn 0, expected a number"),
        ([np.bool_(True)], "for turn 0, expected a number"),
        (["1"], "returned '1' for turn 0, expected a number"),
        ("1", "returned '1' for turn 0, expected a number"),
        ([None], "returned None for turn 0, expected a number"),
        ([1j], "returned 1j for turn 0, expected a number"),
        ([[1.0]], "returned [1.0] for turn 0, expected a number"),
        (None, "returned NoneType, expected 1 numbers"),
        (0.5, "returned float, expected 1 numbers"),
        (np.array(0.5), "returned ndarray, expected 1 numbers"),
        ({0.5}, "returned set, expected 1 numbers"),
        (frozenset([0.5]), "returned frozenset, expected 1 numbers"),
        ({0.5: 1}.keys(), "returned dict_keys, expected 1 numbers"),
        (np.array([[0.5]]), "returned [0.5] for turn 0, expected a number"),
        ([np.zeros((40, 40))], "returned array([[0., 0., 0., ..., 0., 0., 0.], [0., 0., 0., ..."),
        (Tensor([True]), "returned True for turn 0, expected a number"),
        (Tensor(0.5), "returned Tensor, expected 1 numbers"),
        ([Tensor([0.5])], "for turn 0, expected a number"),
    ],
)
def test_a_reward_that_is_not_one_finite_number_per_turn_is_named(returned, problem):
    def faulty(turns):
        return returned

    with pytest.raises(RewardError) as caught:
        score_turns(faulty, [TURN])
    assert problem in str(caught.value)
    assert "faulty" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "returned",
    [
        [2], [2.0], (2.0,), np.array([2.0]), [np.float32(2)], np.array([2]), iter([2]),
        Tensor([2.0]), [Tensor(2.0)], [np.array(2.0)],
    ],
)  # fmt: skip
def test_any_real_number_is_a_score(returned):
    scores = score_turns(lambda turns: returned, [TURN])
    assert scores.tolist() == [2.0]
    assert scores.dtype == np.float64


def test_an_error_inside_a_reward_that_yields_is_its_own():
    def yielding(turns):
        for _ in turns:
            yield 1 + "a"

    with pytest.raises(TypeError, match="unsupported operand"):
        score_turns(yielding, [TURN])


def test_a_bad_reward_stops_a_vector_step_and_names_the_turn():
    vector = gym.make_vec(HH, num_envs=3, reward=lambda turns: [0.0, 0.0, float("nan")])
    vector.reset(seed=0)
    with pytest.raises(RewardError, match=r"returned nan for turn 2: 'third'"):
        vector.step(("first", "second", "third"))


def test_reward_names_are_module_and_function():
    assert reward_name(length_of_response) == f"{__name__}:length_of_response"
    assert reward_name(partial(partial(length_of_response), x=1)) == f"{__name__}:length_of_response"
    assert reward_name(Model()) == f"{__name__}:Model"


def test_a_weighted_sum_adds_up():
    # "a b c d e f": contains "e" is 1; six words against a target of two are -(6 - 2) / 2 = -2.
    task = gym.make(HH, reward="gold").unwrapped.task

    def score(spec):
        return score_turns(resolve_reward(spec, task), [TURN]).tolist()

    assert score(CONTAINS_E) == [1.0]
    assert score(PENALTY) == [-2.0]
    assert score([CONTAINS_E, PENALTY]) == [-1.0]
    assert score([{**CONTAINS_E, "weight": 2.0}, {**PENALTY, "weight": 0.5}]) == [1.0]
    assert score([{**CONTAINS_E, "weight": 0}, {**PENALTY, "weight": -1}]) == [2.0]


def test_a_sum_is_what_an_env_pays():
    env = gym.make(HH, reward=[{"reward": "gold", "weight": 3.0}, {**PENALTY, "weight": 0.0}])
    env.reset(seed=0)
    assert env.step(env.unwrapped.oracle())[1] == pytest.approx(3.0)
    env.reset(seed=0)
    assert env.step("")[1] == 0.0


# Pictures


@every_id
def test_without_a_mode_nothing_is_rendered(env_id):
    env = gym.make(env_id, reward="gold")
    env.reset(seed=0)
    assert env.unwrapped.render() is None
    vector = gym.make_vec(env_id, num_envs=2, reward="gold")
    vector.reset(seed=0)
    assert vector.render() is None


@every_id
def test_rgb_array_is_a_picture_that_changes_with_a_step(env_id):
    env = gym.make(env_id, reward="gold", render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    assert (before.ndim, before.shape[0], before.shape[2], before.dtype) == (3, 512, 3, np.uint8)
    assert len(np.unique(before.reshape(-1, 3), axis=0)) > 3
    env.step(env.unwrapped.oracle())
    after = env.render()
    assert (after.shape, after.dtype) == (before.shape, np.uint8)
    assert (before != after).any()
    env.reset(seed=0)
    assert (env.render() == before).all()


def test_ansi_is_the_chat_with_response_score_and_gold():
    env = gym.make(HH, reward=length_of_response, render_mode="ansi")
    observation, _ = env.reset(seed=0)
    question = observation["prompt"].rsplit("Human: ", 1)[1].removesuffix("\n\nAssistant:")
    assert f"Human: {question}" in env.render()
    assert "score" not in env.render()
    env.step("seven!!")
    shown = env.render().splitlines()
    assert f"Human: {question}" in shown
    assert shown[-2] == "> Assistant: seven!!"
    assert shown[-1].startswith("score +7.00   gold 0.")


def test_human_is_the_chat_printed_at_every_reset_and_step(capsys):
    env = gym.make(HH, reward="gold", render_mode="human").unwrapped
    env.reset(seed=0)
    assert "Human: " in capsys.readouterr().out
    env.step("seven!!")
    assert "> Assistant: seven!!" in capsys.readouterr().out
    assert env.render() is None
    assert "> Assistant: seven!!" in capsys.readouterr().out
    vector = gym.make_vec(HH, num_envs=2, reward="gold", render_mode="human").unwrapped
    vector.reset(seed=0)
    assert capsys.readouterr().out == ""
    assert vector.render() == (None, None)
    assert capsys.readouterr().out.count("Human: ") >= 2


def test_each_env_of_a_vector_is_rendered():
    vector = gym.make_vec(HH, num_envs=2, reward="gold", render_mode="ansi")
    vector.reset(seed=0)
    vector.step(("first", "second"))
    first, second = vector.render()
    assert "> Assistant: first" in first
    assert "> Assistant: second" in second
    assert all("gold 0." in text or "gold 1." in text for text in (first, second))  # the task's own verdict, too


@pytest.mark.parametrize(
    "text", ["é" * 20_000, "漢字 " * 5_000, "🙂" * 20_000, "a\n" * 10_000, "\n" * 20_000, "\0\x1b\u202e\u0301\u2028"]
)
def test_no_text_breaks_the_picture(text):
    for mode in ("rgb_array", "ansi"):
        env = gym.make(HH, reward="gold", render_mode=mode)
        env.reset(seed=0)
        env.step(text)
        assert env.render() is not None


# For any text and any seed


def test_any_text_is_an_action_or_is_refused_in_one_line():
    env = gym.make(HH, reward="gold", disable_env_checker=True)

    @given(any_text)
    @settings(max_examples=1000)
    def check(text):
        env.reset(seed=len(text))
        if has_lone_surrogate(text):
            with pytest.raises(UserError, match="lone surrogate"):
                env.step(text)
        else:
            _, reward, terminated, truncated, info = env.step(text)
            assert 0.0 <= reward <= 1.0
            assert info["gold"] == reward
            assert (terminated, truncated) == (True, False)

    check()


def test_any_seed_gives_the_same_episode_twice():
    first, second = (gym.make(HH, reward="gold") for _ in range(2))

    @given(st.integers(0, 2**64))
    @settings(max_examples=1000)
    def check(seed):
        assert play(first, seed, episodes=2) == play(second, seed, episodes=2)

    check()


# Resets


@every_id
@pytest.mark.parametrize("make", [gym.make, partial(gym.make_vec, num_envs=2)], ids=["one", "vector"])
def test_an_unknown_reset_option_is_refused_before_anything_changes(env_id, make):
    env = make(env_id, reward="gold")
    env.reset(seed=1)
    following = plain(copy.deepcopy(env).reset())
    task = env.unwrapped.task
    groups = {"group_size", "starts"} if make is not gym.make else set()
    first, known = min(task.reset_options), ", ".join(sorted(task.reset_options | groups))
    for option, hint in ((first[:-1], f"Did you mean '{first}'?"), ("xyz", f"Known: {known}.")):
        with pytest.raises(UserError) as caught:
            env.reset(seed=5, options={option: np.array([True, False])})
        assert str(caught.value) == f"{type(task).__name__} has no reset option '{option}'. {hint}"
    assert plain(env.reset(options={})) == following


@pytest.mark.parametrize("make", [gym.make, partial(gym.make_vec, num_envs=2)], ids=["one", "vector"])
def test_after_a_reset_that_the_task_refuses_another_is_needed(make):
    env = make(HH, reward="gold").unwrapped
    env.reset(seed=1)
    with pytest.raises(UserError, match="'index' must be a record"):
        env.reset(options={"index": -1})
    with pytest.raises(ResetNeeded, match="call reset before step"):
        env.step("hello" if make is gym.make else ("hello", "hello"))


@pytest.mark.parametrize("seeds", [[1, 2], [], [1, 2, 3, 4]])
def test_a_wrong_number_of_seeds_is_one_line(seeds):
    vector = gym.make_vec(HH, num_envs=3, reward="gold")
    with pytest.raises(UserError, match=f"^expected 3 seeds, one for each env, got {len(seeds)}.$"):
        vector.reset(seed=seeds)
    with pytest.raises(UserError, match=r"^a seed is a whole number, or a list of one for each env, got '7'\.$"):
        vector.unwrapped.reset(seed="7")


@every_id
@pytest.mark.parametrize("make", [gym.make, partial(gym.make_vec, num_envs=2)], ids=["one", "vector"])
def test_nothing_is_said_before_reset(env_id, make):
    env = make(env_id, reward="gold").unwrapped
    with pytest.raises(ResetNeeded, match="call reset before oracle"):
        env.oracle()
    with pytest.raises(ResetNeeded, match="call reset before plausible_action"):
        env.plausible_action(np.random.default_rng(0))


def test_an_episode_that_is_over_takes_no_more_steps():
    env = gym.make("test/TwoTurns-v0", reward="gold").unwrapped
    env.reset(seed=0)
    env.step("I do")
    env.step("the end")
    for again in (env, pickle.loads(pickle.dumps(env)), copy.deepcopy(env)):
        with pytest.raises(ResetNeeded, match="the episode is over; call reset before step"):
            again.step("more")
    env.reset()
    assert env.step("I do")[2] is False


def test_a_reward_that_raises_leaves_the_episode_where_it_was():
    def reward(turns):
        if turns[0].response == "bad":
            raise RuntimeError("planted")
        return [float(len(turns[0].reference["said"]))]

    env = gym.make("test/TwoTurns-v0", reward=reward, disable_env_checker=True)
    env.reset(seed=0)
    with pytest.raises(RuntimeError, match="planted"):
        env.step("bad")
    assert env.step("first")[1:3] == (0.0, False)  # nothing was said before it
    with pytest.raises(RuntimeError, match="planted"):
        env.step("bad")
    assert env.step("second")[1:3] == (1.0, True)


def test_a_type_error_inside_a_reward_is_its_own():
    def adds(turns):
        return [turn.response + 1 for turn in turns]

    def takes_nothing():
        return []

    with pytest.raises(TypeError, match="can only concatenate"):
        score_turns(adds, [TURN])
    with pytest.raises(RewardError, match=r"takes_nothing cannot be called with a list of turns: .*takes 0 positional"):
        score_turns(takes_nothing, [TURN])


# Paths


@pytest.mark.parametrize("make", [gym.make, partial(gym.make_vec, num_envs=2)], ids=["one", "vector"])
def test_paths_are_taken_like_text_and_survive_json(tmp_path, make):
    from written_files import write_hh

    from envs.hh.task import HH as Task

    write_hh(tmp_path / "pairs.jsonl", Task().records[:50])
    (tmp_path / "perlhf.json").write_text("{}")
    part = {"reward": tmp_path, "weight": 1.0}
    env = make(HH, data=tmp_path / "pairs.jsonl", reward=[part])
    spec = EnvSpec.from_json(env.spec.to_json())
    assert spec.kwargs["data"] == str(tmp_path / "pairs.jsonl")
    assert spec.kwargs["reward"] == [{"reward": str(tmp_path), "weight": 1.0}]
    assert part["reward"] is tmp_path
    assert env.unwrapped.task.data == str(tmp_path / "pairs.jsonl")


def test_a_path_is_a_reward_like_its_text(tmp_path):
    task = gym.make(HH, reward="gold").unwrapped.task
    (tmp_path / "perlhf.json").write_text("{}")
    function = resolve_reward(tmp_path, task)
    assert (function.func.__name__, function.keywords) == ("score", {"path": str(tmp_path)})
