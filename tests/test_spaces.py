"""The `Unicode` space."""

import copy
import json
import pickle

import gymnasium as gym
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv
from gymnasium.vector.utils import batch_space
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.corpora.surrogates import has_lone_surrogate
from envs.spaces import Unicode


class EchoEnv(gym.Env):
    """Shows the last action in a Dict, so that text passes through a vector env both ways."""

    observation_space = spaces.Dict({"text": Unicode(50), "count": spaces.Discrete(10)})
    action_space = Unicode(50)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {"text": "première 🙂", "count": 0}, {}

    def step(self, action):
        return {"text": action, "count": 1}, 0.0, False, False, {}


@pytest.mark.parametrize("text", ["", "hello.", "a" * 10, "é漢字🙂", "🙂" * 10, "\n\t\0\u2028\x7f", "\U0010ffff"])
def test_contains_any_text_up_to_max_length(text):
    assert Unicode(10).contains(text)
    assert text in Unicode(10)


@pytest.mark.parametrize("text", ["a" * 11, "🙂" * 11])
def test_text_longer_than_max_length_is_outside(text):
    assert not Unicode(10).contains(text)


def test_max_length_zero_holds_the_empty_string_only():
    assert Unicode(0).contains("")
    assert not Unicode(0).contains("a")
    assert Unicode(0).sample() == ""


@pytest.mark.parametrize("text", ["\ud800", "ok \udfff", "\udc00\ud800", "x\ud83d \ude42"])
def test_lone_surrogates_are_outside(text):
    assert has_lone_surrogate(text)
    assert not Unicode(10).contains(text)


@pytest.mark.parametrize("value", [b"bytes", 3, None, ["a"], ("a",), 1.5, object()])
def test_what_is_no_str_is_outside(value):
    assert not Unicode(10).contains(value)


@given(st.text(max_size=40))
@settings(max_examples=1000)
def test_any_text_without_surrogates_is_inside(text):
    assert Unicode(40).contains(text)


@given(st.text(max_size=20), st.characters(categories=["Cs"]), st.text(max_size=20))
@settings(max_examples=300)
def test_any_text_with_a_surrogate_is_outside(before, surrogate, after):
    assert not Unicode(41).contains(before + surrogate + after)


def test_samples_are_inside_and_of_many_lengths():
    space = Unicode(8, seed=0)
    samples = [space.sample() for _ in range(500)]
    assert all(space.contains(s) for s in samples)
    assert {len(s) for s in samples} == set(range(9))


def test_a_seed_decides_the_samples():
    first, second, other = Unicode(30, seed=1), Unicode(30, seed=1), Unicode(30, seed=2)
    drawn = [first.sample() for _ in range(5)]
    assert [second.sample() for _ in range(5)] == drawn
    assert [other.sample() for _ in range(5)] != drawn


def test_spaces_are_equal_where_their_max_length_is():
    assert Unicode(10) == Unicode(10, seed=3)
    assert Unicode(10) != Unicode(11)
    assert Unicode(10) != spaces.Text(10)
    assert Unicode(10) != "Unicode(10)"


@pytest.mark.parametrize("twin_of", [copy.deepcopy, lambda space: pickle.loads(pickle.dumps(space))])
def test_a_copy_is_equal_and_goes_on_sampling_alike(twin_of):
    space = Unicode(20, seed=5)
    space.sample()
    twin = twin_of(space)
    assert twin == space
    assert [twin.sample() for _ in range(5)] == [space.sample() for _ in range(5)]


def test_a_pickle_is_small():
    assert len(pickle.dumps(Unicode(100_000))) < 5_000


def test_repr_names_the_length():
    assert repr(Unicode(7)) == "Unicode(7)"


def test_a_batch_of_spaces_is_a_tuple():
    batched = batch_space(Unicode(5), 3)
    assert isinstance(batched, spaces.Tuple)
    assert list(batched.spaces) == [Unicode(5)] * 3
    assert batched.contains(("", "é", "abcde"))
    assert not batched.contains(("", "é", "abcdef"))


@given(st.lists(st.text(max_size=10), max_size=4))
def test_samples_survive_json(texts):
    space = Unicode(10)
    assert space.from_jsonable(json.loads(json.dumps(space.to_jsonable(texts)))) == texts


def test_shared_memory_is_refused_in_words():
    with pytest.raises(ValueError, match="shared_memory") as caught:
        AsyncVectorEnv([EchoEnv, EchoEnv])
    reasons = f"{caught.value} {caught.value.__cause__}"
    assert "shared_memory=False" in reasons


def test_async_without_shared_memory_carries_text_both_ways():
    vector = AsyncVectorEnv([EchoEnv, EchoEnv], shared_memory=False)
    try:
        first, _ = vector.reset(seed=0)
        then, *_ = vector.step(("", "né 漢🙂\n"))
    finally:
        vector.close()
    assert first["text"] == ("première 🙂", "première 🙂")
    assert then["text"] == ("", "né 漢🙂\n")
