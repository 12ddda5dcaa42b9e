"""Forms of specs: ensembles, functions of TRL's form, and what is said of wrong ones."""

import numpy as np
import pytest
from foreign_rewards import of_trl
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.ensembles import Ensemble, ensemble_of
from envs.hh.task import HH
from envs.reward_spec import check_reward, names_in, resolve_reward, score_turns
from envs.turn import Turn
from perlhf.conversation import Conversation, Message
from perlhf.errors import RewardError

TURNS = [Turn("Hi", "see"), Turn("Hello", "no please", {"answer": "no", "n": 3})]
CHAT = [Turn(Conversation([Message("user", "Hi")]), "see")]


def resolved(spec):
    check_reward(spec, HH)
    return resolve_reward(spec, HH(split="test"))


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ("gold", {"gold"}),
        ("bundled", {"rewards.bundled:hh"}),
        ([{"reward": "min(gold, runs/a)"}, {"reward": "m:f", "weight": 2, "target": 3}], {"gold", "runs/a", "m:f"}),
        ({"ensemble": "mean", "members": ["runs/a", [{"reward": "gold"}]]}, {"runs/a", "gold"}),
        (len, set()),
    ],
)
def test_the_names_in_a_spec(spec, names):
    assert names_in(spec, HH) == names


# Ensembles


def one(turns):
    return [1.0] * len(turns)


def words(turns):
    return [float(len(turn.response.split())) for turn in turns]


ONE, WORDS = "test_reward_forms:one", "test_reward_forms:words"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        # words: 1 and 2; ones: 1 and 1; thrice the words: 3 and 6
        (f"min({WORDS}, {ONE})", [1, 1]),
        (f" mean( {WORDS},{ONE} ) ", [1, 1.5]),
        # of 2 and 1 the mean is 1.5 and the variance 0.25
        (f"uncertainty({WORDS}, {ONE}, penalty=2)", [1, 1]),
        (f"uncertainty({WORDS}, {ONE})", [1, 1.375]),
        (f"min(mean({WORDS}, {ONE}), {WORDS})", [1, 1.5]),
        ({"ensemble": "mean", "members": [WORDS, [{"reward": WORDS, "weight": 3}]]}, [2, 4]),
        ([{"reward": f"min({WORDS}, {ONE})", "weight": 2}, {"reward": ONE, "weight": -1}], [1, 1]),
        ([{"ensemble": "min", "members": [WORDS, ONE], "weight": 2}], [2, 2]),
        ({"ensemble": "uncertainty", "members": [ONE, ONE, ONE], "penalty": 9}, [1, 1]),
    ],
)
def test_ensembles_by_hand(spec, expected):
    assert score_turns(resolved(spec), TURNS).tolist() == expected


finite = st.floats(-100, 100)


@settings(max_examples=30)
@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(finite, min_size=n, max_size=n), min_size=2, max_size=5)))
def test_the_least_is_below_the_mean_and_doubt_costs(scores):
    scores = np.array(scores)
    least, mean, doubtful = (Ensemble(kind, ()).combine(scores) for kind in ("min", "mean", "uncertainty"))
    assert (least <= mean + 1e-9).all()
    assert (doubtful <= mean + 1e-9).all()
    agree = np.broadcast_to(scores[:1], scores.shape)
    assert Ensemble("uncertainty", ()).combine(agree) == pytest.approx(scores[0])


@settings(max_examples=30)
@given(st.recursive(st.sampled_from(["a", "b:c", "runs/x"]), lambda inner: st.lists(inner, min_size=2), max_leaves=8))
def test_the_short_form_is_the_long_one(tree):
    def short(node):
        return node if isinstance(node, str) else f"min({', '.join(map(short, node))})"

    def long(spec):
        found = ensemble_of(spec)
        return spec if found is None else [long(member) for member in found.members]

    assert long(short(tree)) == tree


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"ensemble": "max", "members": ["a", "b"]}, "ensemble 'max': expected one of min, mean, uncertainty"),
        ({"ensemble": "min", "members": [ONE]}, "'members' is a list of at least two rewards, got ['test_"),
        ({"ensemble": "min"}, "'members' is a list of at least two rewards, got None"),
        ({"ensemble": "min", "members": [ONE, one]}, "each member is a name, a mapping or a sum, got <function"),
        ({"ensemble": "min", "members": [ONE, ONE], "penalty": 1}, "'min' has no option 'penalty'"),
        ({"ensemble": "min", "members": [ONE, ONE], "memebrs": 1}, "has no option 'memebrs'. Did you mean 'members'?"),
        ({"ensemble": "uncertainty", "members": [ONE, ONE], "penalty": -1}, "penalty must be a number of at least 0"),
        ({"ensemble": "uncertainty", "members": [ONE, ONE], "penalty": True}, "penalty must be a number of at least 0"),
        (f"min({ONE}, golden)", "unknown reward 'golden'"),
        (f"min({ONE}, no_such:x)", "no module named 'no_such'"),
        (f"min({ONE}, {ONE}", "its parentheses do not match"),
        (f"min({ONE}, {ONE}))", "its parentheses do not match"),
        (f"uncertainty({ONE}, {ONE}, penalty=a)", "penalty must be a number, got 'a'"),
        (f"min({ONE}, members=2, {ONE})", "has no option 'members'. Known: penalty."),
        (f"uncertainty({ONE}, {ONE}, penalti=2)", "has no option 'penalti'. Did you mean 'penalty'?"),
        (f"min({ONE},)", "each member is a name"),
        ("judge:http://localhost:1", "names no model; give it behind '#', as in judge:http://localhost:8000#MODEL."),
        ("trl:no_such_module:f", "no module named 'no_such_module'"),
    ],
)
def test_a_wrong_form_is_one_line_when_the_env_is_made(spec, message):
    with pytest.raises(RewardError) as caught:
        check_reward(spec, HH)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# Functions of TRL's form


def on_answers(completions, answer, n, **kwargs):
    """Says None where there is no answer."""
    assert set(kwargs) == {"prompts"}
    return [None if a is None else float(a in c) * k for c, a, k in zip(completions, answer, n, strict=True)]


def exact(completions, scale=1.0):
    return [scale * len(c) for c in completions]


async def later(prompts, completions, **kwargs):
    return [float(len(c)) for c in completions]


def of_the_run(prompts, completions, trainer_state):
    return [0.0]


def with_image(prompts, completions, image):
    return [float(each.sum()) for each in image]


def shows_form(prompts, completions, **kwargs):
    return [float(type(prompts[0]) is list) + 2 * float(type(completions[0]) is list) for _ in prompts]


@pytest.mark.parametrize("spec", ["trl:foreign_rewards:of_trl", "foreign_rewards:of_trl", of_trl])
def test_a_function_of_trl_is_known_by_name_or_by_its_arguments(spec):
    # "see" has two e, and "Hi" 2 characters; "no please" two e, and "Hello" 5
    assert score_turns(resolved(spec), TURNS) == pytest.approx([2 / 7 + 0.002, 2 / 7 + 0.005])


def test_columns_are_what_the_references_hold_and_none_counts_for_nothing_in_a_sum():
    spec = [{"reward": "test_reward_forms:on_answers", "weight": 2}, {"reward": ONE}]
    assert score_turns(resolved(spec), TURNS).tolist() == [1.0, 7.0]
    with pytest.raises(RewardError, match=r"no part of the reward sum applies to turn 0: 'see'"):
        score_turns(resolved(spec[:1]), TURNS)
    with pytest.raises(RewardError, match=r"test_reward_forms:on_answers returned None for turn 0"):
        score_turns(resolved("test_reward_forms:on_answers"), TURNS)
    with pytest.raises(RewardError, match="returned None for turn 0"):  # of a function of our own it is a mistake
        score_turns(resolve_reward([{"reward": "test_reward_forms:nothing"}], HH(split="test")), TURNS)


def nothing(turns):
    return [None for _ in turns]


def test_options_and_coroutines():
    assert score_turns(resolved({"reward": "test_reward_forms:exact", "scale": 2}), TURNS).tolist() == [6, 18]
    assert score_turns(resolved("trl:test_reward_forms:later"), TURNS).tolist() == [3, 9]
    picture = Turn("p", "r", picture=np.ones((2, 2, 3), np.uint8))
    assert score_turns(resolved("test_reward_forms:with_image"), [picture]).tolist() == [12]


@pytest.mark.parametrize(
    ("turns", "options", "expected"),
    [(TURNS, {}, 0), (CHAT, {}, 3), (TURNS, {"conversational": True}, 3), (CHAT, {"conversational": False}, 0)],
)
def test_texts_or_messages_as_the_task_is(turns, options, expected):
    found = score_turns(resolved({"reward": "test_reward_forms:shows_form", **options}), turns)
    assert set(found.tolist()) == {expected}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("test_reward_forms:of_the_run", "wants 'trainer_state', which TRL has of its own training run"),
        ("test_reward_forms:with_image", "wants 'image', and these turns have 'answer', 'n', 'prompts'"),
        ({"reward": "test_reward_forms:exact", "scal": 2}, "has no option 'scal'. Did you mean 'scale'?"),
        ("trl:test_reward_forms:exactly", "test_reward_forms has no 'exactly'. Did you mean 'exact'?"),
    ],
)
def test_what_a_function_of_trl_cannot_have_is_one_line(spec, message):
    with pytest.raises(RewardError) as caught:
        score_turns(resolved(spec), TURNS)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
