"""Envs against the dozen lines that foretell them: any calls in any order, whoever else plays beside."""

import copy
import json
import pickle
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorWrapper
from gymnasium.wrappers import TimeLimit
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule
from machines import played
from toy_script import ANSWERS, REFUSED, SPEC, Foretold, plausible

from agents import make_vec_env
from envs.core import TaskEnv, TaskVectorEnv
from perlhf.errors import UserError

seeds = st.none() | st.integers(0, 4)
numbers = st.none() | st.sampled_from([0, 999, -1, 1000, "3", None])
answers = st.sampled_from(ANSWERS)
limits = st.none() | st.integers(1, 5)
twins = st.sampled_from([copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])


class Pair:
    """An env and what foretells it; `shown` is what it should render."""

    def __init__(self, env, foretold, shown=None):
        self.env, self.foretold, self.shown = env, foretold, shown


class SingleEnvs(RuleBasedStateMachine):
    """Some `TaskEnv`s, made and copied at any time, that are called in turns."""

    pairs = Bundle("pairs")

    @initialize(target=pairs)
    def first(self):
        return Pair(TaskEnv(**SPEC), Foretold())

    @rule(target=pairs, mode=st.sampled_from([None, "ansi"]))
    def make(self, mode):
        return Pair(TaskEnv(**SPEC, render_mode=mode), Foretold())

    @rule(target=pairs, pair=pairs, twin_of=twins)
    def copy(self, pair, twin_of):
        return Pair(twin_of(pair.env), copy.deepcopy(pair.foretold), pair.shown)

    @rule(pair=pairs, seed=seeds, number=numbers)
    def reset(self, pair, seed, number):
        options, foretold = {} if number is None else {"number": number}, pair.foretold
        if number not in (None, 0, 999):
            with pytest.raises(UserError, match="'number' must be from 0 to 999"):
                pair.env.reset(seed=seed, options=options)
            foretold.adopt(pair.env.np_random, "0")
            foretold.state = pair.shown = None  # as before the first reset
            return
        observation, info = pair.env.reset(seed=seed, options=options)
        if seed is None and foretold.rng is None:
            foretold.adopt(pair.env.np_random, observation["prompt"])
        else:
            foretold.reset(seed, number)
        assert observation == {"prompt": foretold.prompt}
        assert info == {"number": foretold.state[0]}
        pair.shown = (foretold.prompt, "", None, None)

    @rule(pair=pairs, seed=seeds, options=st.sampled_from([{"numbr": 1}, {"number": 1, "group_size": 2}, [], 3]))
    def reset_with_what_it_does_not_know(self, pair, seed, options):
        with pytest.raises(UserError, match=r"has no reset option|the options of a reset are a dict"):
            pair.env.reset(seed=seed, options=options)

    @rule(pair=pairs, answer=answers | st.sampled_from(REFUSED))
    def step(self, pair, answer):
        foretold = pair.foretold
        if foretold.state is None or foretold.over:
            with pytest.raises(ResetNeeded, match="over" if foretold.state else "call reset before step"):
                pair.env.step(answer)
        elif answer in REFUSED:
            with pytest.raises((UserError, RuntimeError)):
                pair.env.step(answer)
        else:
            prompt, expected = foretold.prompt, foretold.step(answer)
            assert pair.env.step(answer) == ({"prompt": foretold.prompt}, *expected)
            pair.shown = (prompt, answer, expected[0], expected[-1]["gold"] if foretold.over else None)

    @rule(pair=pairs, seed=st.integers(0, 9))
    def ask_what_may_be_said(self, pair, seed):
        for asked, said in (
            (pair.env.oracle, "e"),
            (partial(pair.env.plausible_action, rng_of(seed)), plausible(seed)),
        ):
            if pair.foretold.state is None:
                with pytest.raises(ResetNeeded):
                    asked()
            else:
                assert asked() == said

    @rule(pair=pairs)
    def close(self, pair):
        pair.env.close()  # there is nothing to let go of: it plays on

    @rule(pair=consumes(pairs))
    def forget(self, pair):
        del pair

    @rule(pair=pairs)
    def look(self, pair):
        assert pair.env.state == pair.foretold.state
        rendered, shown = pair.env.render(), pair.env.shown
        if pair.env.render_mode is None:
            assert rendered is shown is None
        elif pair.shown is not None:
            turn, score, gold = shown
            assert (turn.prompt, turn.response, score, gold) == pair.shown
            assert pair.shown[0] in rendered


def rng_of(seed):
    return np.random.default_rng(seed)


def column(infos, key, i):
    """What batched infos say of env i; None where they say nothing."""
    return infos[key][i] if key in infos and infos[f"_{key}"][i] else None


class VectorEnvs(RuleBasedStateMachine):
    """One `TaskVectorEnv`, copied, saved and put back at any time, in groups or not, beside single episodes."""

    @initialize(count=st.integers(1, 4), limit=limits)
    def begin(self, count, limit):
        self.count, self.limit, self.begun = count, limit, False
        self.env = self.made()
        self.episodes = [Foretold() for _ in range(count)]
        self.waits = None  # of each episode whether it is over and waits, while groups are played
        self.kept = []

    def made(self):
        return TaskVectorEnv(**SPEC, num_envs=self.count, max_episode_steps=self.limit)

    @rule(seed=seeds, listed=st.booleans(), number=numbers)
    def reset(self, seed, listed, number):
        options, known = {} if number is None else {"number": number}, number in (None, 0, 999)
        if seed is None and self.episodes[0].rng is None:
            seed = 7
        given = None if seed is None else [seed + 10 * i for i in range(self.count)]
        seeds = given if listed or seed is None else [seed + i for i in range(self.count)]
        asked = {"seed": seeds if listed else seed, "options": options}
        if not known:
            with pytest.raises(UserError, match="'number' must be from 0 to 999"):
                self.env.reset(**asked)
            self.episodes = [Foretold() for _ in range(self.count)]  # which generators moved on is not promised
            self.begun = False
            return
        observations, infos = self.env.reset(**asked)
        for i, episode in enumerate(self.episodes):
            episode.reset(None if seeds is None else seeds[i], number)
            assert infos["number"][i] == episode.state[0]
        self.begun, self.waits = True, None
        self.shows(observations)

    @rule(seed=st.integers(0, 4), size=st.integers(1, 4), fixed=st.lists(st.booleans(), min_size=4, max_size=4))
    def reset_in_groups(self, seed, size, fixed):
        if self.count % size:
            with pytest.raises(UserError, match="are no groups of"):
                self.env.reset(seed=seed, options={"group_size": size})
            self.seeded(seed)  # and the episodes go on
            return
        starts = [[500 + k] if fixed[k] else None for k in range(self.count // size)]
        observations, _ = self.env.reset(seed=seed, options={"group_size": size, "starts": starts})
        self.seeded(seed)
        for i, episode in enumerate(self.episodes):
            start, first = starts[i // size], self.episodes[i - i % size]
            if start is None and i % size == 0:
                episode.reset()
            else:
                episode.state, episode.over = list(first.state[:1] if start is None else start), False
        self.begun, self.waits = True, [False] * self.count
        self.shows(observations)

    def seeded(self, seed):
        for i, episode in enumerate(self.episodes):
            episode.rng = gym.utils.seeding.np_random(seed + i)[0]

    @rule(
        said=st.lists(answers, min_size=4, max_size=4),
        refused=st.none() | st.sampled_from(REFUSED),
        at=st.integers(0, 3),
    )
    def step(self, said, refused, at):
        said, at = said[: self.count], at % self.count
        waits = self.waits or [False] * self.count
        said = [None if wait else answer for wait, answer in zip(waits, said, strict=True)]
        if not self.begun:
            with pytest.raises(ResetNeeded, match="call reset before step"):
                self.env.step(said)
            return
        if refused is not None and not waits[at]:
            with pytest.raises((UserError, RuntimeError)):
                self.env.step([*said[:at], refused, *said[at + 1 :]])
            return
        observations, rewards, terminated, truncated, infos = self.env.step(said)
        for i, episode in enumerate(self.episodes):
            if waits[i]:
                assert (rewards[i], terminated[i], truncated[i]) == (0, False, False)
                assert column(infos, "final_info", i) is None
                continue
            reward, over, cut, info = episode.step(said[i])
            cut = not over and (cut or episode.length == self.limit)
            assert (rewards[i], terminated[i], truncated[i]) == (reward, over, cut)
            assert (column(infos, "final_obs", i) is not None) == (over or cut)
            if over or cut:
                assert column(infos, "final_obs", i) == {"prompt": episode.prompt}
                assert {key: column(infos["final_info"], key, i) for key in info} == info
                if self.waits is None:
                    episode.reset()
                    assert column(infos, "number", i) == episode.state[0]
                else:
                    self.waits[i] = True
        self.shows(observations)

    @rule(more=st.sampled_from([-1, 1]))
    def step_with_another_number_of_answers(self, more):
        with pytest.raises((UserError, ResetNeeded)):
            self.env.step(["a"] * (self.count + more))

    @rule(twin_of=twins)
    def copy(self, twin_of):
        self.env = twin_of(self.env)

    @precondition(lambda self: self.begun)
    @rule()
    def keep(self):
        state = json.dumps(self.env.get_state())
        self.kept.append((state, copy.deepcopy((self.episodes, self.waits))))

    @precondition(lambda self: self.kept)
    @rule(number=st.integers(0, 9), anew=st.booleans())
    def put_back(self, number, anew):
        if anew:
            self.env = self.made()
        state, foretold = self.kept[number % len(self.kept)]
        self.episodes, self.waits = copy.deepcopy(foretold)
        self.begun = True
        self.shows(self.env.set_state(json.loads(state)))

    @precondition(lambda self: self.begun)
    @rule(seed=st.integers(0, 9))
    def ask_what_may_be_said(self, seed):
        rng, alike = rng_of(seed), rng_of(seed)
        assert self.env.oracle() == ("e",) * self.count
        assert self.env.plausible_action(rng) == tuple(str(alike.choice(["end", "cut", "a"])) for _ in self.episodes)
        assert rng.random() == alike.random()

    def shows(self, observations):
        assert observations == {"prompt": tuple(episode.prompt for episode in self.episodes)}

    @invariant()
    def every_episode_is_where_it_should_be(self):
        if getattr(self, "begun", False):
            states = self.env.get_state()["states"]
            assert states == [episode.state for episode in self.episodes]


def limited(limit):
    env = TaskEnv(**SPEC)
    return env if limit is None else TimeLimit(env, limit)


class Autoresets(RuleBasedStateMachine):
    """What the trainer sees of the same episodes, whoever resets them: perlhf's own, and Gymnasium's in each mode."""

    @initialize(count=st.integers(1, 3), limit=limits, seed=st.integers(0, 4))
    def begin(self, count, limit, seed):
        self.count, self.limit = count, limit

        def vector(mode):
            return VectorWrapper(SyncVectorEnv([partial(limited, limit)] * count, autoreset_mode=mode))

        own = {} if limit is None else {"max_episode_steps": limit}
        self.envs = [
            make_vec_env("test/Script-v0", count, **own),
            make_vec_env(vector(AutoresetMode.SAME_STEP)),
            make_vec_env(vector(AutoresetMode.DISABLED)),
        ]
        self.late = vector(AutoresetMode.NEXT_STEP)
        with pytest.raises(UserError, match="begins a new episode one step too late"):
            make_vec_env(self.late)
        self.reset(seed)

    @rule(seed=seeds)
    def reset(self, seed):
        if not hasattr(self, "episodes"):
            self.episodes, self.later = ([Foretold() for _ in range(self.count)] for _ in range(2))
        for env in self.envs:
            if seed is not None:
                env.seed(seed)
            observations = env.reset()
            if env is self.envs[0]:
                first = observations
            assert observations == first
        self.returns = np.zeros(self.count)
        for i in range(self.count):
            for episode in (self.episodes[i], self.later[i]):
                episode.reset(None if seed is None else seed + i)
        assert first == {"prompt": tuple(episode.prompt for episode in self.episodes)}
        assert self.late.reset(seed=seed)[0] == {"prompt": tuple(episode.prompt for episode in self.later)}

    @rule(said=st.lists(answers, min_size=3, max_size=3))
    def step(self, said):
        said = said[: self.count]
        seen = [env.step(said) for env in self.envs]
        for i, episode in enumerate(self.episodes):
            reward, over, cut, info = episode.step(said[i])
            cut = not over and (cut or episode.length == self.limit)
            self.returns[i] += reward
            for _, rewards, dones, rows in seen:
                assert (rewards[i], dones[i]) == (np.float32(reward), over or cut)
                if dones[i]:
                    assert info.items() <= rows[i].items()
                    assert rows[i]["terminal_observation"] == {"prompt": episode.prompt}
                    assert rows[i]["TimeLimit.truncated"] is cut
                    assert (rows[i]["episode"]["r"], rows[i]["episode"]["l"]) == (
                        pytest.approx(self.returns[i], abs=1e-3), episode.length,
                    )  # fmt: skip
            if over or cut:
                episode.reset()
                self.returns[i] = 0
                assert [env.venv.reset_infos[i] for env in self.envs[:2]] == [{"number": episode.state[0]}] * 2
        for observations, *_ in seen:
            assert observations == {"prompt": tuple(episode.prompt for episode in self.episodes)}

    @rule(said=st.lists(answers, min_size=3, max_size=3))
    def step_where_a_row_is_a_reset(self, said):
        said = said[: self.count]
        observations, rewards, terminated, truncated, _ = self.late.step(said)
        for i, episode in enumerate(self.later):
            expected = (0, False, False)
            if episode.over:
                episode.reset()  # and what was said is lost
            else:
                reward, over, cut, _ = episode.step(said[i])
                cut = cut or episode.length == self.limit
                episode.over, expected = over or cut, (reward, over, cut)
            assert (rewards[i], terminated[i], truncated[i]) == expected
        assert observations == {"prompt": tuple(episode.prompt for episode in self.later)}


test_single_envs = played(SingleEnvs, few=40, many=1000)
test_a_vector_env = played(VectorEnvs, few=40, many=1000)
test_autoresets = played(Autoresets, few=15, many=400)
