"""Groups of whole episodes: they begin alike, what is over waits, and it does not matter who plays them."""

import gymnasium as gym
import numpy as np
import pytest
import toy_tasks  # noqa: F401 - registers test/TwoTurns-v0
from stable_baselines3.common.callbacks import BaseCallback
from tiny_models import gemma
from toy_tasks import TwoTurns

from agents import PPO, make_vec_env
from envs.shp.task import SHP
from perlhf.errors import UserError


class Uneven(TwoTurns):
    """As many turns as the letters of the first answer, three at most; the reward is of the last one."""

    def advance(self, state, response):
        state = [*state, response]
        return state, len(state) - 1 >= min(3, max(1, len(state[1])))

    def judge(self, turn):
        return float(turn.response.endswith("!"))


gym.register(
    "test/Uneven-v0",
    entry_point="envs.core:TaskEnv",
    vector_entry_point="envs.core:TaskVectorEnv",
    kwargs={"task": "test_groups:Uneven"},
)


def uneven(num_envs=4, **kwargs):
    return gym.make_vec("test/Uneven-v0", num_envs=num_envs, reward="gold", **kwargs).unwrapped


def test_a_group_begins_in_one_state_that_its_first_env_draws():
    env = gym.make_vec("perlhf/UINav-v0", num_envs=6, reward="gold").unwrapped
    shown, infos = env.reset(seed=3, options={"group_size": 3})
    alone = [gym.make("perlhf/UINav-v0", reward="gold").reset(seed=seed)[0]["prompt"] for seed in (3, 6)]
    assert list(shown["prompt"]) == [alone[0]] * 3 + [alone[1]] * 3
    assert infos["episode_seed"][0] == infos["episode_seed"][2] != infos["episode_seed"][3]


def test_starts_may_be_given_and_options_of_the_task_hold_for_those_that_are_drawn():
    env = gym.make_vec("perlhf/UINav-v0", num_envs=4, reward="gold").unwrapped
    _, first = env.reset(seed=0)
    start = env.get_state()["states"][2]
    _, infos = env.reset(options={"group_size": 2, "starts": [None, start], "template": "star_email"})
    assert list(infos["template"][:2]) == ["star_email"] * 2
    assert set(infos["episode_seed"][2:]) == {first["episode_seed"][2]}
    _, infos = env.reset(options={"group_size": 4, "starts": [start]})
    assert set(infos["episode_seed"]) == {first["episode_seed"][2]}


def test_what_is_over_waits_and_is_not_scored():
    seen = []

    def reward(turns):
        seen.append([turn.response for turn in turns])
        return [1.0] * len(turns)

    env = gym.make_vec("test/Uneven-v0", num_envs=4, reward=reward).unwrapped
    env.reset(seed=0, options={"group_size": 4})
    _, rewards, terminated, _, infos = env.step(["a", "bb", "ccc", "d"])
    assert terminated.tolist() == [True, False, False, True]
    assert "is_success" in infos["final_info"]
    _, rewards, terminated, _, infos = env.step([None, "x!", "y", "never said"])
    assert rewards.tolist() == [0.0, 1.0, 1.0, 0.0]
    assert terminated.tolist() == [False, True, False, False]
    assert infos["final_info"]["is_success"].tolist() == [False, True, False, False]
    _, _, terminated, _, _ = env.step([None, None, "z", None])
    assert terminated.tolist() == [False, False, True, False]
    _, rewards, terminated, _, infos = env.step([None] * 4)  # all wait
    assert not rewards.any()
    assert not terminated.any()
    assert infos == {}
    assert seen == [["a", "bb", "ccc", "d"], ["x!", "y"], ["z"]]
    env.reset()
    _, _, terminated, _, infos = env.step(["a"] * 4)  # new episodes begin again in the places of those that are over
    assert terminated.all()
    assert not env.step(["bb"] * 4)[2].any()


def test_an_env_in_a_group_of_its_own_plays_one_whole_episode():
    env = uneven(num_envs=2)
    env.reset(seed=0, options={"group_size": 1})
    assert env.step(["a", "bb"])[2].tolist() == [True, False]
    _, rewards, terminated, _, _ = env.step([None, "!"])
    assert (rewards.tolist(), terminated.tolist()) == ([0.0, 1.0], [False, True])
    assert not env.step([None, None])[2].any()


def test_workers_play_groups_that_lie_across_them():
    states = []
    for workers in (0, 3):
        env = gym.make_vec("perlhf/UINav-v0", num_envs=8, reward="gold", workers=workers).unwrapped
        shown, _ = env.reset(seed=1, options={"group_size": 4})
        prompts, golds = [shown["prompt"]], []
        for _ in range(4):
            said = ["done(nothing)", *env.oracle()[1:]]
            shown, rewards, terminated, _, _ = env.step(said)
            prompts.append(shown["prompt"])
            golds.append((rewards.tolist(), terminated.tolist()))
        states.append((prompts, golds, env.get_state()))
        env.close()
    assert states[0] == states[1]


def test_a_state_in_the_middle_of_groups_comes_back():
    env, other = uneven(), uneven()
    env.reset(seed=0, options={"group_size": 2})
    env.step(["a", "bb", "ccc", "bb"])
    other.set_state(env.get_state())
    for one in (env, other):
        with pytest.raises(UserError, match="action 1 must be a str"):
            one.step([None, None, "x", "y"])
    first, second = (one.step([None, "x!", "y", "z"]) for one in (env, other))
    assert first[1].tolist() == second[1].tolist() == [0.0, 1.0, 0.0, 0.0]
    assert env.get_state() == other.get_state()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"group_size": 3}, "4 envs are no groups of 3; take a multiple of it."),
        ({"group_size": 0}, "group_size must be at least 1, a whole number, got 0."),
        ({"group_size": True}, "group_size must be at least 1, a whole number, got True."),
        ({"group_size": 2, "starts": [None]}, "expected 2 starts, one for each group of 2 envs, got 1."),
        ({"group_siz": 2}, "Uneven has no reset option 'group_siz'. Did you mean 'group_size'?"),
    ],
)
def test_options_that_do_not_fit_are_one_line(options, message):
    with pytest.raises(UserError) as error:
        uneven().reset(options=options)
    assert str(error.value) == message


def test_text_tasks_give_one_prompt_to_a_group():
    env = make_vec_env("SHP-v0", 8, seed=0, reward="gold")
    env.set_options({"group_size": 4})
    prompts = env.reset()["prompt"]
    assert len(set(prompts[:4])) == len(set(prompts[4:])) == 1
    assert env.reset()["prompt"] != prompts  # options count for one reset
    record = SHP().start(np.random.default_rng(0), {})
    env.set_options({"group_size": 8, "starts": [record]})
    assert set(env.reset()["prompt"]) == {SHP().observe(record)["prompt"]}


# In training.


class Kept(BaseCallback):
    """Keeps every rollout, and what its envs were told."""

    def __init__(self):
        super().__init__()
        self.rollouts, self.actions = [], []

    def _on_step(self):
        self.actions.append(self.locals["actions"])
        return True

    def _on_rollout_end(self):
        self.rollouts.append(self.model.rollout)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma")
    gemma(folder)
    return str(folder)


def trained(path, turns, env="test/Uneven-v0", n_envs=8, **kwargs):
    envs = make_vec_env(env, n_envs, seed=0, reward="toy_tasks:letters")
    settings = {"backbone": path, "max_new_tokens": 3}
    options = {"algorithm": "rloo", "group_size": 4, "batch_size": 8, "seed": 0, **kwargs}
    algorithm, kept = PPO("LoRAPolicy", envs, policy_kwargs=settings, device="cpu", **options), Kept()
    algorithm.learn(turns, callback=kept)
    return algorithm, kept


def test_a_rollout_is_one_whole_episode_of_each_env_and_no_row_waits(path):
    algorithm, kept = trained(path, 1)
    (rollout,) = kept.rollouts
    order = rollout.order
    assert order.over.sum() == 8
    assert not order.goes_on.any()
    turns = [int((order.envs == env).sum()) for env in range(8)]
    assert len(rollout) == sum(turns) == algorithm.num_timesteps
    assert len(set(turns)) > 1  # so that some have waited
    assert sum(action is not None for step in kept.actions for action in step) == len(rollout)
    prompts = [tuple(rollout.prompts[i]) for i in range(8)]
    assert len(set(prompts[:4])) == len(set(prompts[4:])) == 1
    returns = [float(rollout.rewards[order.envs == env].sum()) for env in range(8)]
    for env in range(8):
        others = [returns[i] for i in range(8) if i // 4 == env // 4 and i != env]
        found = rollout.advantages[order.envs == env][rollout.response_mask[order.envs == env]]
        assert found.tolist() == pytest.approx([returns[env] - sum(others) / 3] * len(found), abs=1e-5)
    assert [info["l"] for info in algorithm.ep_info_buffer] == sorted(turns)


def test_a_rollout_of_so_many_turns_cuts_what_is_longer(path):
    _, kept = trained(path, 1, env="test/Endless-v0", n_steps=2)
    (rollout,) = kept.rollouts
    assert len(rollout) == 16
    assert rollout.order.goes_on.sum() == 8


def test_ppo_plays_groups_too(path):
    algorithm, kept = trained(path, 1, algorithm="ppo")
    assert kept.rollouts[0].values is not None
    assert len(kept.rollouts[0]) == algorithm.num_timesteps > 8


@pytest.mark.parametrize("algorithm", ["rloo", "reinforce++"])
def test_a_run_in_groups_goes_on_bit_for_bit(path, tmp_path, algorithm):
    options = {"algorithm": algorithm, "frontier": 0.5, "group_size": 2}
    whole, kept = trained(path, 60, **options)
    part, _ = trained(path, 1, **options)
    part.save(tmp_path / "saved")
    resumed = PPO.load(tmp_path / "saved", make_vec_env("test/Uneven-v0", 8, reward="toy_tasks:letters"), device="cpu")
    assert resumed.starts.get_state() == part.starts.get_state()
    assert len(kept.rollouts) > 2
    later = Kept()
    resumed.learn(60 - resumed.num_timesteps, callback=later, reset_num_timesteps=False)
    assert [rollout.responses for rollout in later.rollouts] == [rollout.responses for rollout in kept.rollouts[1:]]
    assert resumed.starts.get_state() == whole.starts.get_state()
    for mine, theirs in zip(whole.policy.parameters(), resumed.policy.parameters(), strict=True):
        assert np.array_equal(mine.detach().numpy(), theirs.detach().numpy())
