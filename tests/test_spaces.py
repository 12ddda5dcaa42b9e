"""The `Unicode` space."""

import copy
import json
import pickle

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.spaces.utils import is_space_dtype_shape_equiv
from gymnasium.vector import AsyncVectorEnv
from gymnasium.vector.utils import (
    batch_differing_spaces,
    batch_space,
    concatenate,
    create_empty_array,
    iterate,
)
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


@pytest.mark.parametrize("shared_memory", [True, False])
def test_an_async_vector_env_carries_text_both_ways(shared_memory):
    vector = AsyncVectorEnv([EchoEnv, EchoEnv], shared_memory=shared_memory)
    try:
        first, _ = vector.reset(seed=0)
        then, *_ = vector.step(("", "né 漢🙂\n" + "x" * 43))
        last, *_ = vector.step(("short", ""))
    finally:
        vector.close()
    assert first["text"] == ("première 🙂", "première 🙂")  # what was given stays as it was
    assert then["text"] == ("", "né 漢🙂\n" + "x" * 43)
    assert last["text"] == ("short", "")
    assert last["count"].tolist() == [1, 1]


def test_without_copies_an_async_vector_env_shows_what_is_in_memory_now():
    vector = AsyncVectorEnv([EchoEnv, EchoEnv], copy=False)
    try:
        shown, _ = vector.reset(seed=0)
        vector.step(("a", "b"))
        assert (len(shown["text"]), *shown["text"], shown["text"][:1]) == (2, "a", "b", ("a",))
        assert repr(shown["text"]) == "('a', 'b')"
    finally:
        vector.close()


# Gymnasium's functions on spaces


def test_a_flat_text_is_the_numbers_of_its_characters():
    space = Unicode(6)
    flat = spaces.flatten(space, "é🙂a")
    assert flat.tolist() == [0xE9, 0x1F642, 97, 0x110000, 0x110000, 0x110000]
    assert spaces.flatten_space(space).contains(flat)
    assert spaces.flatdim(space) == 6


@given(st.text(max_size=12))
def test_flat_text_is_read_back(text):
    space = Unicode(12)
    assert spaces.unflatten(space, spaces.flatten(space, text)) == text


def test_any_sample_of_a_flat_space_is_some_text():
    space = Unicode(50)
    flat_space = spaces.flatten_space(space)
    flat_space.seed(0)
    for _ in range(50):
        assert space.contains(spaces.unflatten(space, flat_space.sample()))
    assert space.contains(spaces.unflatten(space, np.full(50, 0xD800, np.int32)))  # a surrogate


def test_text_beside_pixels_is_flattened_and_read_back():
    space = spaces.Dict({"image": spaces.Box(0, 255, (2, 2), np.uint8), "prompt": Unicode(4)})
    shown = {"image": np.arange(4, dtype=np.uint8).reshape(2, 2), "prompt": "né?"}
    flat = spaces.flatten(space, shown)
    assert flat.shape == (8,)
    assert spaces.flatten_space(space).contains(flat)
    found = spaces.unflatten(space, flat)
    assert (found["prompt"], found["image"].tolist()) == ("né?", [[0, 1], [2, 3]])


def test_the_other_functions_of_gymnasium_take_the_space():
    space = Unicode(5, seed=0)
    assert create_empty_array(space, 2) == ("", "")
    assert concatenate(space, ["é", "b"], create_empty_array(space, 2)) == ("é", "b")
    assert list(iterate(batch_space(space, 2), ("é", "b"))) == ["é", "b"]
    assert space.sample(mask=(3, None)) in space
    assert space.is_np_flattenable
    assert is_space_dtype_shape_equiv(space, Unicode(5))
    assert not is_space_dtype_shape_equiv(space, Unicode(6))
    assert batch_differing_spaces([space, Unicode(5)]) == spaces.Tuple([space, space])
