"""REINFORCE, RLOO, GRPO and REINFORCE++: by numbers worked out by hand, by gradients, and by what they learn."""

import math
from dataclasses import replace
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch
import toy_tasks
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.vec_env import DummyVecEnv
from tiny_models import gemma
from toy_callbacks import After

import agents.rollout
import agents.setup
from agents import GRPO, PPO, make_vec_env
from agents.algorithms import ALGORITHMS
from agents.algorithms.functional import Order, chain_gae, compare_in_groups, score_function_loss
from agents.algorithms.grpo import group_normalized
from agents.algorithms.rloo import leave_one_out
from agents.hyperparameters import Hyperparameters
from agents.memory_report import held_by, plan_of
from agents.merging import merge
from agents.rollout import ScoreSettings, score_rollout
from agents.steps import Step
from agents.train_ppo import Options, read_options, train
from perlhf.errors import UserError

LETTER = "toy_tasks:starts_with_i"
OTHERS = ["reinforce", "rloo", "grpo", "reinforce++"]
CRITIC_FREE = ["rloo", "grpo", "reinforce++"]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma")
    gemma(folder)
    return str(folder)


def small(path, algorithm, n_envs=8, reward=LETTER, env="test/OneTurn-v0", **kwargs):
    """An algorithm on a random model of width 32: fast, and good for everything but learning."""
    envs = make_vec_env(env, n_envs, seed=0, reward=reward)
    options = {"batch_size": 4, "seed": 0, "device": "cpu", **kwargs}
    return PPO(
        "LoRAPolicy", envs, algorithm=algorithm, policy_kwargs={"backbone": path, "max_new_tokens": 4}, **options
    )


# Advantages and losses by hand.


def order_of(*envs):
    """Rows of one episode for each env, of envs with a row in each step until they have no more."""
    steps = [envs[:i].count(env) for i, env in enumerate(envs)]
    over = [env not in envs[i + 1 :] for i, env in enumerate(envs)]
    nothing = torch.zeros(len(envs))
    return Order(torch.tensor(steps), torch.tensor(envs), torch.tensor(over), nothing > 0, nothing)


EACH_AN_EPISODE = order_of(0, 1, 2, 3)


def rollout_of(rewards, mask, order, values=None):
    return SimpleNamespace(rewards=rewards, response_mask=mask, order=order, values=values)


def scored(group_size, gamma=1.0):
    return ScoreSettings(0.1, 0.0, gamma, 0.95, group_size=group_size)


def test_leave_one_out_by_hand():
    # of 1, 0, 0, 3: the others' means are 1, 4/3, 4/3, 1/3
    returns = torch.tensor([[1.0, 0.0, 0.0, 3.0]])
    expected = torch.tensor([[0.0, -4 / 3, -4 / 3, 8 / 3]])
    torch.testing.assert_close(leave_one_out(returns, torch.ones(1, 4, dtype=torch.bool)), expected)
    # without the last, which failed: 1 - 0, 0 - 1/2, 0 - 1/2, and nothing of it
    sound = torch.tensor([[True, True, True, False]])
    torch.testing.assert_close(leave_one_out(returns, sound), torch.tensor([[1.0, -0.5, -0.5, 0.0]]))
    alone = torch.tensor([[True, False, False, False]])
    assert leave_one_out(returns, alone).eq(0).all()


def test_group_normalized_by_hand():
    # 1, 0, 0, 1: mean 1/2, spread 1/2; three of four: mean 3/4, spread sqrt(3)/4
    returns = torch.tensor([[1.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 0.0], [2.0, 2.0, 2.0, 2.0]])
    expected = torch.tensor([[1.0, -1.0, -1.0, 1.0], [3**-0.5] * 3 + [-(3**0.5)], [0.0] * 4])
    torch.testing.assert_close(group_normalized(returns, torch.ones(3, 4, dtype=torch.bool)), expected)
    # of the first group without its first: mean 1/3, spread sqrt(2)/3
    sound = torch.tensor([[False, True, True, True]])
    expected = torch.tensor([[0.0, -(0.5**0.5), -(0.5**0.5), 2**0.5]])
    torch.testing.assert_close(group_normalized(returns[:1], sound), expected)


returns_of_groups = st.lists(st.floats(-5, 5, width=32), min_size=2, max_size=8)


@given(returns_of_groups, st.floats(-3, 3, width=32))
@settings(max_examples=50, deadline=None)
def test_a_baseline_takes_off_what_all_have_and_sums_to_nothing(returns, shift):
    row, sound = torch.tensor([returns], dtype=torch.float64), torch.ones(1, len(returns), dtype=torch.bool)
    for compare in (leave_one_out, group_normalized):
        found = compare(row, sound)
        assert abs(float(found.sum())) < 1e-6 * len(returns)
        torch.testing.assert_close(compare(row + shift, sound), found, atol=1e-3, rtol=1e-3)


def test_an_episodes_advantage_is_on_all_tokens_of_all_its_turns():
    # two envs of one group, two turns each; env 0 is paid .5 and 1 at its turns, env 1 nothing: returns 1.5 and 0
    order = order_of(0, 1, 0, 1)
    rewards = torch.tensor([[0.0, 0.5], [0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    mask = torch.tensor([[True, True], [True, False], [True, False], [True, True]])
    found = ALGORITHMS["rloo"].advantages(rollout_of(rewards, mask, order), scored(2))
    torch.testing.assert_close(found, torch.tensor([[1.5, 1.5], [-1.5, 0.0], [1.5, 0.0], [-1.5, -1.5]]))
    found = ALGORITHMS["grpo"].advantages(rollout_of(rewards, mask, order), scored(2))
    torch.testing.assert_close(found, torch.tensor([[1.0, 1.0], [-1.0, 0.0], [1.0, 0.0], [-1.0, -1.0]]))


def test_an_episode_that_failed_is_compared_with_nothing():
    rewards, mask = torch.tensor([[1.0], [0.0], [5.0], [2.0]]), torch.tensor([[True], [True], [False], [True]])
    found = compare_in_groups(leave_one_out, rewards * mask, mask, EACH_AN_EPISODE, 4)
    torch.testing.assert_close(found, torch.tensor([[0.0], [-1.5], [0.0], [1.5]]))  # of 1, 0 and 2


def test_reinforce_plus_plus_by_hand():
    # one env, a turn of two tokens and one of one, gamma 1/2: 1/4 + 1/2 (0 + 1/2 * 1), 0 + 1/2 * 1, 1
    order = order_of(0, 0)
    rewards, mask = torch.tensor([[0.25, 0.0], [1.0, 0.0]]), torch.tensor([[True, True], [True, False]])
    rollout = rollout_of(rewards, mask, order)
    found = ALGORITHMS["reinforce++"].advantages(rollout, scored(1, gamma=0.5))
    torch.testing.assert_close(found, torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
    assert ALGORITHMS["reinforce++"].normalizes
    # in groups of two the mean return is taken off: returns 3, 1 and 0, 4 have means 2 and 2
    rewards, mask = torch.tensor([[3.0], [1.0], [0.0], [4.0]]), torch.ones(4, 1, dtype=torch.bool)
    found = ALGORITHMS["reinforce++"].advantages(rollout_of(rewards, mask, EACH_AN_EPISODE), scored(2))
    torch.testing.assert_close(found, torch.tensor([[1.0], [-1.0], [-2.0], [2.0]]))


def test_reinforce_by_hand():
    # (1 - beta) score - beta KL with beta .2: the score counts .8; returns to come less values
    reinforce = ALGORITHMS["reinforce"]
    assert reinforce.reward_weights(0.2) == (0.8, 0.2)
    rewards, mask = torch.tensor([[-0.1, -0.1, 0.7]]), torch.ones(1, 3, dtype=torch.bool)
    order = order_of(0)
    rollout = rollout_of(rewards, mask, order, values=torch.tensor([[0.5, 0.5, 1.0]]))
    torch.testing.assert_close(reinforce.advantages(rollout, scored(1)), torch.tensor([[0.0, 0.1, -0.3]]))
    # the loss is -log p A, its gradient -A, and the value's is half a square without a clip
    log_probs = torch.tensor([[-1.0, -2.0, -3.0]], requires_grad=True)
    part = SimpleNamespace(
        advantages=torch.tensor([[1.0, -2.0, 5.0]]), mask=torch.tensor([[True, True, False]]),
        returns=torch.tensor([[1.0, 1.0, 9.0]]),
    )  # fmt: skip
    losses, clipped = reinforce.policy_loss(log_probs, part, None)
    assert losses.tolist() == [[1.0, -4.0, 0.0]]
    assert not clipped.any()
    losses.sum().backward()
    assert log_probs.grad.tolist() == [[-1.0, 2.0, 0.0]]
    errors = reinforce.value_loss(torch.tensor([[3.0, 1.0, 0.0]]), part, None)
    assert errors.tolist() == [[2.0, 0.0, 0.0]]


def test_grpo_has_its_kl_in_the_loss_and_not_in_the_reward():
    grpo = ALGORITHMS["grpo"]
    assert grpo.reward_weights(0.3) == (1.0, 0.0)
    log_probs = torch.tensor([[-1.0, -1.0]], requires_grad=True)
    part = SimpleNamespace(
        old_log_probs=torch.tensor([[-1.0, -1.5]]), reference_log_probs=torch.tensor([[-2.0, -1.0]]),
        advantages=torch.tensor([[2.0, 2.0]]), mask=torch.tensor([[True, True]]), counts=torch.tensor([1.0]),
    )  # fmt: skip
    losses, clipped = grpo.policy_loss(log_probs, part, SimpleNamespace(clip_range=0.2, kl_coef=0.5))
    # ratio 1: -2, and half of k3 at log q - log p = -1: e^-1 - 1 + 1; ratio e^.5 > 1.2: -2.4 and no KL
    assert losses.tolist()[0] == pytest.approx([-2 + 0.5 * math.exp(-1), -2.4])
    assert clipped.tolist() == [[False, True]]
    losses.sum().backward()
    # -2 for the ratio, and 1 - e^-1 times half for k3; nothing where the clip holds and p = q
    assert log_probs.grad.tolist()[0] == pytest.approx([-2 + 0.5 * (1 - math.exp(-1)), 0.0])


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=6), st.floats(0.1, 1))
@settings(max_examples=40, deadline=None)
def test_returns_to_come_are_gae_without_values(rewards, gamma):
    order = order_of(0)
    row = torch.tensor([rewards], dtype=torch.float64)
    found = chain_gae(row.float(), torch.zeros_like(row).float(), row == row, order, gamma, 1.0)
    expected = [sum(r * gamma**k for k, r in enumerate(rewards[i:])) for i in range(len(rewards))]
    assert found.tolist()[0] == pytest.approx(expected, abs=1e-4)


def test_padding_says_nothing_in_the_score_functions_loss():
    log_probs = torch.tensor([[-1.0, float("-inf")]], requires_grad=True)
    losses, _ = score_function_loss(log_probs, torch.tensor([[1.0, 0.0]]), torch.tensor([[True, False]]))
    losses.sum().backward()
    assert losses.tolist() == [[1.0, 0.0]]
    assert log_probs.grad.tolist() == [[-1.0, 0.0]]


# Through the loop.


@pytest.mark.parametrize("name", OTHERS)
def test_preflight_holds_for_every_algorithm(path, name):
    algorithm = small(path, name, reward="toy_tasks:letters", learning_rate=1e-3).learn(8)
    questions = [check.question for check in algorithm.preflight_checks]
    assert questions[-2:] == ["base weights unchanged", "adapters learn"]
    asked = {"mask covers exactly the response tokens", "the policy's gradient is that of the reward"}
    assert asked <= set(questions)
    assert all(check.passed for check in algorithm.preflight_checks)


def test_a_rollout_that_says_nothing_moves_nothing_and_is_no_failure(path):
    tells = []

    def reward(turns):
        return toy_tasks.letters(turns) if tells else [1.0] * len(turns)

    algorithm = small(path, "grpo", reward=reward, missing_eos_penalty=0.0, kl_coef=0.0)
    before = [p.detach().clone() for p in algorithm.policy.parameters()]
    algorithm.learn(8)
    assert all(torch.equal(a, b) for a, b in zip(before, algorithm.policy.parameters(), strict=True))
    assert algorithm.preflight_checks[-1].question == "the KL is taken off the reward"
    tells.append("from now on")
    algorithm.learn(8, reset_num_timesteps=False)
    assert algorithm.preflight_checks[-1].question == "adapters learn"


def gradients(algorithm, rollout):
    """The gradient of one optimizer step on a whole rollout."""
    algorithm.rollout, found = rollout, []
    algorithm.policy.optimizer.step = lambda: found.append([p.grad.clone() for p in algorithm.policy.parameters()])
    algorithm.train()
    return torch.cat([gradient.flatten() for gradient in found[0]])


@pytest.mark.parametrize(("name", "kl_coef"), [("grpo", 0.0), ("grpo", 0.2), ("rloo", 0.1), ("reinforce++", 0.1)])
def test_equal_rows_are_trained_on_once_and_give_the_same_gradient(path, monkeypatch, name, kl_coef):
    algorithm = small(path, name, reward="toy_tasks:letters", kl_coef=kl_coef, batch_size=64, max_grad_norm=1e9)
    end = algorithm.policy.backbone.end_ids[0]
    said = [[5, 6, end], [5, 6, end], [7, end], [7, 8, 9, end], [5, 6, end], [7, end], [7, end], [9, end]]
    algorithm.policy.sample = lambda prompts, seeds: (said, None)
    with torch.no_grad():  # so that there is a KL
        for parameter in algorithm.policy.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)), alpha=0.02)
    algorithm.preflight_checks = [SimpleNamespace(question="adapters learn")]
    kept = []
    algorithm.learn(8, callback=After(lambda model: kept.append(model.rollout)))
    (rollout,) = kept
    rollout.advantages = rollout.advantages.clone()
    if name == "grpo":
        rollout.advantages[7] = 0.0  # a row that nothing is learned from
    merged = merge(rollout, keep_all=kl_coef > 0 and name == "grpo")
    assert len(merged) < len(rollout) == 8
    found = gradients(algorithm, rollout)
    monkeypatch.setattr("agents.ppo.merge", lambda rollout, keep_all: rollout)
    apart = gradients(algorithm, rollout)
    assert apart.abs().max() > 1e-4
    torch.testing.assert_close(found, apart, atol=1e-6, rtol=1e-5)


def test_what_is_merged_is_counted(path):
    algorithm = small(path, "grpo", reward="toy_tasks:letters", kl_coef=0.0, preflight=False)
    end = algorithm.policy.backbone.end_ids[0]
    algorithm.policy.sample = lambda prompts, seeds: ([[5, end], [5, end], [7, 8, end], [5, end]] * 2, None)
    kept = []
    algorithm.learn(8, callback=After(lambda model: kept.append(model.rollout)))
    rollout = replace(kept[0], advantages=kept[0].response_mask * torch.arange(1.0, 9.0)[:, None])
    assert len(set(map(tuple, rollout.prompts))) == 1  # one group of eight
    merged = merge(rollout, keep_all=False)
    assert merged.counts.tolist() == [6.0, 2.0]
    assert merged.advantages[:, 0].tolist() == [1.0 + 2 + 4 + 5 + 6 + 8, 3.0 + 7]
    assert merged.tokens([0, 1]) == (18.0, 18.0)
    assert merged.tokens([1]) == (9.0, 6.0)  # half of the rows: half of all tokens; those that it stands for
    nothing = merge(replace(rollout, advantages=torch.zeros_like(rollout.advantages)), keep_all=False)
    assert len(nothing) == 0


@pytest.mark.parametrize(("name", "rows"), [("grpo", [0, 1]), ("ppo", [0, 1, 2])])
def test_equal_rows_are_scored_once_where_there_are_no_values(path, monkeypatch, name, rows):
    policy, scored_rows, own = small(path, name).policy, [], agents.rollout.map_batches

    def map_batches(backbone, prompts, responses, forward, parts):
        scored_rows.extend(row for part in parts for row in part)
        return own(backbone, prompts, responses, forward, parts)

    monkeypatch.setattr(agents.rollout, "map_batches", map_batches)
    end, said = policy.backbone.end_ids[0], [[-1.0, -2.0], [-3.0], [-1.5, -2.5]]
    step = Step([[5], [6], [5]], [[7, end], [end], [7, end]], np.ones(3), np.ones(3, bool), {}, sampled_log_probs=said)
    settings = scored(3)._replace(algorithm=ALGORITHMS[name])
    rollout = score_rollout(policy, [step], {}, settings)
    assert sorted(scored_rows) == rows
    torch.testing.assert_close(rollout.old_log_probs[0], rollout.old_log_probs[2])
    assert rollout.old_log_probs[0, 0] != rollout.old_log_probs[1, 0]
    assert rollout.sampled_log_probs == said  # by a server, which is asked for what equal rows say too
    scored_rows.clear()
    score_rollout(policy, [step], {}, settings, [[0, 1, 2]])  # as somebody says
    assert scored_rows == [0, 1, 2]


@pytest.mark.parametrize("name", CRITIC_FREE)
def test_without_values_there_is_no_value_role_anywhere(path, tmp_path, name):
    algorithm = small(path, name, reward="toy_tasks:letters").learn(8)
    assert algorithm.policy.value_role is None
    assert not [n for n, _ in algorithm.policy.named_parameters() if "value" in n]
    assert "value" not in held_by(algorithm.policy, None)
    assert algorithm.rollout.values is None
    algorithm.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / "value").exists()
    loaded = PPO.load(tmp_path / "saved", make_vec_env("test/OneTurn-v0", 8, reward="toy_tasks:letters"), device="cpu")
    assert (loaded.algorithm, loaded.policy.value_role) == (name, None)
    for one in (algorithm, loaded):
        one.learn(8, reset_num_timesteps=False)
    for mine, theirs in zip(algorithm.policy.parameters(), loaded.policy.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_no_values_are_planned_where_there_are_none(path):
    learning = [Hyperparameters(algorithm=algorithm, batch_size=8) for algorithm in ("ppo", "rloo")]
    with_values, without = (plan_of(Options(), rows, 8, "gold", path) for rows in learning)
    assert with_values.roles.keys() - without.roles.keys() == {"value"}


def test_values_alone_are_trained_in_the_first_rollouts(path):
    algorithm = small(path, "ppo", reward="toy_tasks:letters", value_warmup=2, learning_rate=1e-2)
    moved = []
    roles = (algorithm.policy.policy_role, algorithm.policy.value_role)
    for _ in range(3):
        before = [[p.detach().clone() for p in role.parameters().values()] for role in roles]
        algorithm.learn(8, reset_num_timesteps=False)
        after = [list(role.parameters().values()) for role in roles]
        moved.append(
            [any(not torch.equal(a, b) for a, b in zip(*pair, strict=True)) for pair in zip(before, after, strict=True)]
        )
    assert moved == [[False, True], [False, True], [True, True]]


def test_the_average_is_the_policy_inside_its_block_and_in_the_checkpoint(path, tmp_path):
    algorithm = small(path, "grpo", reward="toy_tasks:letters", average_weights=0.5, learning_rate=1e-2).learn(16)
    role = algorithm.policy.policy_role
    last = torch.cat([p.detach().flatten() for p in role.parameters().values()])
    with algorithm.averaged():
        mean = torch.cat([p.detach().flatten() for p in role.parameters().values()])
    assert not torch.equal(mean, last)
    algorithm.save(tmp_path / "saved")
    loaded = PPO.load(tmp_path / "saved", device="cpu")
    with loaded.averaged():
        assert torch.equal(torch.cat([p.flatten() for p in loaded.policy.policy_role.parameters().values()]), mean)
    assert torch.equal(torch.cat([p.flatten() for p in loaded.policy.policy_role.parameters().values()]), last)


# Mistakes are one line.


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"algorithm": "grop"}, "algorithm must be one of ppo, reinforce, rloo, grpo, reinforce++, got 'grop'."),
        (
            {"algorithm": "grpo", "group_size": 1},
            "algorithm 'grpo' compares responses to one prompt; group_size must be",
        ),
        ({"algorithm": "rloo", "group_size": 3}, "n_envs 8 is no multiple of group_size 3; take 6 or 9, or another"),
        ({"algorithm": "grpo", "vf_coef": 1.0}, "vf_coef has no say with algorithm 'grpo'; leave it out."),
        (
            {"algorithm": "reinforce", "clip_range": 0.1},
            "clip_range has no say with algorithm 'reinforce'; leave it out.",
        ),
        (
            {"algorithm": "reinforce", "kl_coef": 1.0},
            "'reinforce' weighs the score by 1 - kl_coef; kl_coef must be",
        ),
        ({"algorithm": "ppo", "frontier": 0.5}, "frontier chooses where whole episodes begin; give a group_size"),
    ],
)
def test_what_does_not_go_together_is_one_line(path, given, message):
    with pytest.raises(UserError) as error:
        small(path, **given)
    assert str(error.value).startswith(message)


def test_other_classes_and_envs_are_refused_in_one_line(path):
    with pytest.raises(UserError, match="GRPO learns by 'grpo', got algorithm 'rloo'"):
        GRPO("LoRAPolicy", "HH-v0", algorithm="rloo")
    with pytest.raises(UserError, match="value_rank: this algorithm learns no values"):
        PPO("LoRAPolicy", "HH-v0", algorithm="grpo", policy_kwargs={"backbone": path, "value_rank": 8})
    others = DummyVecEnv([lambda: gym.make("test/OneTurn-v0", reward=LETTER)] * 8)
    with pytest.raises(UserError, match="whole episodes in groups are not played by DummyVecEnv: give PPO the id"):
        PPO("LoRAPolicy", others, algorithm="grpo", policy_kwargs={"backbone": path})
    with pytest.raises(UserError, match="frontier: Unjudged has no verdict on its episodes"):
        PPO("LoRAPolicy", make_vec_env("test/Unjudged-v0", 8, reward=LETTER), algorithm="grpo", frontier=0.5)


def test_a_class_of_its_own_name_learns_by_it(path, tmp_path):
    algorithm = GRPO("LoRAPolicy", "HH-v0", n_envs=8, policy_kwargs={"backbone": path}, device="cpu")
    assert (algorithm.algorithm, algorithm.group_size, algorithm.n_steps) == ("grpo", 8, None)
    algorithm.save(tmp_path / "saved")
    assert GRPO.load(tmp_path / "saved", device="cpu").group_size == 8


def test_a_recipe_says_how_its_own_algorithm_weighs_the_kl_and_nothing_of_it_for_others():
    options = read_options(["UINav-v0"])
    assert (options.algorithm, options.group_size, options.kl_coef) == ("grpo", 16, 0.01)
    assert read_options(["UINav-v0", "--algorithm", "ppo", "--group-size", "1"]).kl_coef == 0.1
    assert read_options(["HH-v0", "--algorithm", "grpo"]).kl_coef == 0.1


def test_a_recipe_of_ppo_says_nothing_of_values_and_steps_that_there_are_not(tmp_path, monkeypatch):
    (tmp_path / "ppo").mkdir()
    (tmp_path / "ppo" / "UINav-v0.yaml").write_text("n_steps: 8\nclip_range_vf: 5.0\nlearning_rate: 0.0015\n")
    monkeypatch.setattr(agents.setup, "RECIPES", tmp_path)
    assert read_options(["UINav-v0"]).clip_range_vf == 5.0
    options = read_options(["UINav-v0", "--algorithm", "grpo"])
    assert (options.n_steps, options.clip_range_vf, options.learning_rate) == (None, 0.2, 0.0015)
    assert read_options(["UINav-v0", "--algorithm", "grpo", "--n-steps", "8"]).n_steps == 8
    options = read_options(["UINav-v0", "--algorithm", "reinforce"])
    assert (options.n_steps, options.clip_range_vf) == (8, 0.2)


# It learns.


@pytest.mark.parametrize("name", OTHERS)
def test_it_learns_the_one_rewarded_word_in_seconds(name):
    env = make_vec_env(gym.make_vec("test/OneTurn-v0", num_envs=32, reward=LETTER), seed=0)
    algorithm = PPO(
        "LoRAPolicy", env, algorithm=name, learning_rate=1e-2, kl_coef=0.0, seed=0, device="cpu",
        missing_eos_penalty=0.0, policy_kwargs={"max_new_tokens": 4},
    )  # fmt: skip
    scores = []
    algorithm.learn(32 * 14, callback=After(lambda model: scores.append(model.rollout.scores.mean().item())))
    assert sum(scores[:3]) / 3 < 0.7
    assert sum(scores[-3:]) / 3 > 0.9


def test_it_credits_the_first_turn_for_what_is_paid_after_the_second():
    env = make_vec_env(gym.make_vec("test/TwoTurns-v0", num_envs=32, reward="gold"), seed=0)
    algorithm = PPO(
        "LoRAPolicy", env, algorithm="grpo", learning_rate=1e-2, kl_coef=0.0, seed=0, device="cpu",
        missing_eos_penalty=0.0, policy_kwargs={"max_new_tokens": 4},
    )  # fmt: skip
    scores = []
    algorithm.learn(64 * 14, callback=After(lambda model: scores.append(model.rollout.scores[32:].mean().item())))
    assert sum(scores[:3]) / 3 < 0.6
    assert sum(scores[-3:]) / 3 > 0.8


# The command.


def test_the_command_trains_without_values_and_resumes_bit_for_bit(path, tmp_path):
    def run(name, turns):
        options = Options(
            env="HH-v0", backbone=path, reward="test_algorithms:length", algorithm="rloo", group_size=4, n_envs=8,
            batch_size=4, max_new_tokens=4, total_timesteps=turns, eval_prompts=0, checkpoint_every=1,
            average_weights=0.5, frontier=0.5, seed=1, device="cpu", output_dir=str(tmp_path / name),
            schedule="constant",
        )  # fmt: skip
        return train(options)

    whole = run("whole", 32)
    run("parts", 16)
    train(read_options(["--resume", str(tmp_path / "parts"), "--total-timesteps", "32"]))
    for file in ("policy/adapter_model.safetensors", "checkpoints/step-32/state.safetensors"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes()
    assert not (tmp_path / "whole" / "value").exists()
    assert whole["turns"] == 32
    with pytest.raises(UserError, match="is finished: 32 turns"):
        train(read_options(["--resume", str(tmp_path / "parts")]))


def length(turns):
    """The number of characters."""
    return [float(len(turn.response)) for turn in turns]
