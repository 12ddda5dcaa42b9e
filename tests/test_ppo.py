"""PPO: what a rollout holds, that it learns, that it stops when something is wrong, that SB3's habits work."""

import dataclasses
import gc
import importlib.util
import inspect
import math
import random
import re
import weakref
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, CheckpointCallback, EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv
from tiny_models import gemma
from toy_callbacks import After
from toy_tasks import starts_with_i

import envs  # noqa: F401
from agents import PPO, make_vec_env, preflight
from agents.algorithms import ALGORITHMS
from agents.algorithms.functional import normalize
from agents.hyperparameters import Hyperparameters
from agents.rollout import score_rollout
from agents.rollout_log import is_far_below_zero
from agents.running import RunningScale
from agents.setup import Setup
from agents.steps import Step
from agents.train_ppo import Options, make_algorithm
from backbones.backbone import Backbone
from backbones.draws import row_seeds
from backbones.forward import log_probs_of
from backbones.model.anatomy import hash_base
from backbones.roles import LoRASettings
from perlhf.errors import RewardError, UserError
from rewards.reward_model import RewardModel, learned_model

LETTER = "toy_tasks:starts_with_i"
EXAMPLE = Path(__file__).parents[1] / "examples" / "ppo_in_one_file.py"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma")
    gemma(folder)
    return str(folder)


def small(path, env="HH-v0", reward=LETTER, n_envs=8, policy_kwargs=None, **kwargs):
    """PPO on a random model of width 32: fast, and good for everything but learning."""
    vec_env = make_vec_env(env, n_envs, seed=0, reward=reward) if isinstance(env, str) else env
    settings = {"backbone": path, "max_new_tokens": 8, **(policy_kwargs or {})}
    options = {"batch_size": 4, "seed": 0, "device": "cpu", **kwargs}
    return PPO("LoRAPolicy", vec_env, policy_kwargs=settings, **options)


def length(turns):
    """The number of characters."""
    return [float(len(turn.response)) for turn in turns]


def collected(algorithm):
    """The algorithm with one rollout and no update."""

    class Stop(Exception):
        pass

    def stop(_):
        raise Stop

    with pytest.raises(Stop):
        algorithm.learn(algorithm.n_envs, callback=After(stop))
    return algorithm


def test_the_rollout_holds_what_was_said(path):
    algorithm = collected(small(path))
    rollout = algorithm.rollout
    assert len(rollout) == 8
    assert rollout.response_mask.sum(1).tolist() == [len(r) for r in rollout.responses]
    recomputed = log_probs_of(algorithm.policy.policy_role, rollout.prompts, rollout.responses)
    torch.testing.assert_close(rollout.old_log_probs, recomputed, atol=1e-5, rtol=0)
    torch.testing.assert_close(rollout.returns, (rollout.advantages + rollout.values) * rollout.response_mask)
    assert torch.equal(rollout.old_log_probs, rollout.reference_log_probs)
    assert rollout.kl.abs().sum() == 0


def test_a_response_that_was_cut_pays_the_penalty(path):
    algorithm = collected(small(path, reward="toy_tasks:always_one", missing_eos_penalty=3.0, n_envs=64))
    rollout = algorithm.rollout
    assert rollout.ended.any()
    assert not rollout.ended.all()
    assert set(rollout.scores[rollout.ended].tolist()) == {1.0}
    assert set(rollout.scores[~rollout.ended].tolist()) == {-2.0}


def test_preflight_passes_and_is_recorded(path):
    algorithm = small(path)
    algorithm.learn(8)
    questions = [check.question for check in algorithm.preflight_checks]
    assert questions == [
        "reference equals policy", "KL is exactly 0", "ratio is 1 before any update",
        "mask covers exactly the response tokens", "score is on the last action token",
        "advantages follow from the scores", "responses end, or are cut at 8 tokens", "scores are what the env paid",
        "log-probabilities are those of a plain forward", "training says what scoring said",
        "just policy and value are trained", "the policy's gradient is that of the reward",
        "the policy's gradient turns with the reward", "the policy has nothing to learn from equal rewards",
        "the value's gradient is that of the reward", "the value's gradient turns with the reward",
        "the value has nothing to learn from equal rewards",
        "samples are the policy's own", "sampling follows the policy's weights", "the policy's weights have a say",
        "scoring follows the policy's weights", "training follows the policy's weights", "the reference keeps still",
        "the value keeps still", "the KL is taken off the reward",
        "base weights unchanged", "adapters learn",
    ]  # fmt: skip
    assert all(check.passed for check in algorithm.preflight_checks)


def plant_start(algorithm):
    with torch.no_grad():
        for parameter in algorithm.policy.policy_role.parameters().values():
            parameter.add_(0.05)


def plant_ratio(algorithm):
    algorithm.rollout.old_log_probs = algorithm.rollout.old_log_probs - 0.1 * algorithm.rollout.response_mask
    algorithm.rollout.reference_log_probs = algorithm.rollout.old_log_probs.clone()


def plant_mask(algorithm):
    algorithm.rollout.response_mask[0, len(algorithm.rollout.responses[0]) - 1] = False


def plant_score(algorithm):
    algorithm.rollout.rewards = torch.roll(algorithm.rollout.rewards, -1, dims=1)


@pytest.mark.parametrize(
    ("plant", "when", "message"),
    [
        (plant_start, "before", "reference equals policy"),
        (plant_ratio, "rolled out", "ratio is 1"),
        (plant_mask, "rolled out", "mask covers exactly"),
        (plant_score, "rolled out", "score is on the last action token"),
    ],
)
def test_preflight_stops_and_names_the_likely_cause(path, plant, when, message):
    algorithm = small(path)
    if when == "before":
        plant(algorithm)
    with pytest.raises(preflight.PreflightError, match=f"{message}.*Likely: ") as error:
        algorithm.learn(8, callback=None if when == "before" else After(plant))
    assert "\n" not in str(error.value)


def test_preflight_notices_a_base_that_trains_along(path):
    algorithm = small(path)
    weights = [p.detach().clone() for p in algorithm.policy.parameters()]
    backbone = algorithm.policy.backbone
    digest = backbone.hash
    embeddings = backbone.model.get_input_embeddings().weight
    kept = embeddings.detach().clone()
    with torch.no_grad():
        embeddings[3] += 1
        checks = preflight.after_update(algorithm.policy, digest, weights)
        embeddings.copy_(kept)
    assert [check.passed for check in checks] == [False, False]


def test_the_base_is_the_same_after_training(path):
    algorithm = small(path)
    before = hash_base(algorithm.policy.backbone.model)
    algorithm.learn(24)
    assert hash_base(algorithm.policy.backbone.model) == before


@pytest.mark.parametrize("micro", [1, 3])
def test_micro_batches_change_memory_not_results(path, micro):
    whole, parts = (small(path, micro_batch_size=size) for size in (8, micro))
    for algorithm in (whole, parts):
        algorithm.learn(8)
    for a, b in zip(whole.policy.parameters(), parts.policy.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=0)


def test_a_micro_batch_is_made_when_it_is_read_and_gone_with_the_next(path, monkeypatch):
    algorithm = small(path, n_envs=4, micro_batch_size=1).learn(4)  # whose first update checks itself
    made, alive = [], []
    of_policy = algorithm.policy.batch

    def batch(*rows):
        alive.append(sum(reference() is not None for reference in made))
        found = of_policy(*rows)
        made.append(weakref.ref(found.input_ids))
        return found

    monkeypatch.setattr(algorithm.policy, "batch", batch)
    algorithm.learn(4, reset_num_timesteps=False)
    assert len(alive) == 4  # one each, for policy and value alike
    assert max(alive) <= 1


def test_gradients_are_clipped_to_the_norm(path):
    algorithm = small(path, max_grad_norm=1e-3)
    norms = []
    step = algorithm.policy.optimizer.step

    def measured():
        gradients = [p.grad for p in algorithm.policy.parameters() if p.grad is not None]
        norms.append(math.sqrt(sum(float(g.square().sum()) for g in gradients)))
        step()

    algorithm.policy.optimizer.step = measured
    algorithm.learn(8)
    assert len(norms) == 2
    assert max(norms) <= 1.001e-3


def test_training_leaves_the_global_random_states_alone(path):
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    small(path).learn(8)
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()
    assert torch.equal(torch.get_rng_state(), states[2])


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(path):
    def weights(seed):
        algorithm = small(path, env=make_vec_env("HH-v0", 8, seed=seed, reward=LETTER), seed=seed)
        return torch.cat([p.detach().flatten() for p in algorithm.learn(16).policy.parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_seeds_share_no_episodes(path):
    def prompts(seed):
        options = Options(backbone=path, reward=LETTER, n_envs=8, seed=seed)
        algorithm = make_algorithm(options, Setup.of_options(options, options.reward))
        return algorithm.env.reset()["prompt"]

    assert prompts(0) == make_vec_env("HH-v0", 8, seed=0).reset()["prompt"]
    assert prompts(1) == make_vec_env("HH-v0", 8, seed=1_000_003).reset()["prompt"]
    assert len(set(prompts(0)) & set(prompts(1))) < 4  # seed + i would share 7


def test_target_kl_stops_the_epochs(path):
    algorithm = small(path, learning_rate=0.05, n_epochs=10, target_kl=1e-6)
    steps = []
    step = algorithm.policy.optimizer.step
    algorithm.policy.optimizer.step = lambda: (steps.append(1), step())
    algorithm.learn(8)
    assert 1 <= len(steps) < 20


def test_kl_target_steers_the_coefficient_up_when_the_policy_strays(path):
    algorithm = small(path, learning_rate=0.02, kl_target=1e-4, kl_horizon=100, kl_coef=0.1)
    algorithm.learn(8)
    assert algorithm.kl_coef == pytest.approx(0.1 * (1 - 0.2 * 8 / 100))  # the first rollout has a KL of 0
    algorithm.learn(16, reset_num_timesteps=False)
    assert algorithm.kl_coef > 0.1 * (1 - 0.2 * 8 / 100)


def test_scores_are_divided_by_their_running_deviation(path):
    algorithm = small(path, reward="toy_tasks:starts_with_i", normalize_scores=True)
    algorithm.score_scale = RunningScale(count=1000, mean=0.0, squares=4000.0)
    algorithm.missing_eos_penalty = 0.0
    collected(algorithm)
    assert algorithm.score_scale.count == 1008
    assert algorithm.rollout.scores.max() <= 1 / algorithm.score_scale.std + 1e-6


def test_running_scale_equals_the_deviation_of_everything_seen():
    scale, rng = RunningScale(), np.random.default_rng(0)
    parts = [rng.normal(3, 2, size=n) for n in (1, 5, 64)]
    for part in parts:
        scale.update(part)
    assert scale.std == pytest.approx(np.concatenate(parts).std())
    assert RunningScale().std == 1.0
    constant = RunningScale()
    constant.update(np.full(10, 7.0))
    assert constant.std == 1.0


def test_a_linear_schedule_falls_to_zero(path):
    rates = []
    algorithm = small(path, learning_rate=LinearSchedule(1e-3, 0.0, 1.0), batch_size=8)
    optimizer = algorithm.policy.optimizer
    step = optimizer.step
    optimizer.step = lambda: (rates.append(optimizer.param_groups[0]["lr"]), step())
    algorithm.learn(32)
    assert rates == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])  # the next in line would be 0


def test_a_reward_that_returns_nan_stops_the_run_and_is_named(path):
    with pytest.raises(RewardError, match=r"toy_tasks:nan_on_the_third returned nan for turn 2"):
        small(path, reward="toy_tasks:nan_on_the_third").learn(8)


def test_a_gradient_that_is_not_finite_stops_before_the_weights_are_touched(path):
    algorithm = small(path, batch_size=8, preflight=False)  # one step: it is the first that fails

    def poison(model):
        model.rollout.returns[0, 0] = float("inf")

    before = [p.detach().clone() for p in algorithm.policy.parameters()]
    with pytest.raises(UserError, match=r"gradient is not finite.*returns of row 0"):
        algorithm.learn(8, callback=After(poison))
    assert all(torch.equal(a, b) for a, b in zip(before, algorithm.policy.parameters(), strict=True))


def test_empty_responses_train_without_a_crash(path):
    algorithm = small(path, preflight=False)  # which would find that they are nobody's samples
    end = algorithm.policy.backbone.end_ids[0]
    algorithm.policy.sample = lambda prompts, seeds: ([[end] for _ in prompts], None)
    algorithm.learn(16)
    assert algorithm.rollout.response_mask.shape == (8, 1)
    assert all(torch.isfinite(p).all() for p in algorithm.policy.parameters())


def test_constant_rewards_move_the_policy_not_at_all(path):
    algorithm = small(path, reward="toy_tasks:always_one", kl_coef=0.0, preflight=False)

    def flatten(model):
        model.rollout.advantages = torch.full_like(model.rollout.advantages, 0.1) * model.rollout.response_mask

    before = [p.detach().clone() for p in algorithm.policy.policy_parameters.parameters()]
    algorithm.learn(8, callback=After(flatten))
    assert all(torch.equal(a, b) for a, b in zip(before, algorithm.policy.policy_parameters.parameters(), strict=True))


# Settings.


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clip_rnage": 0.1}, "PPO has no argument 'clip_rnage'. Did you mean 'clip_range'?"),
        ({"sed": 1}, "PPO has no argument 'sed'. Did you mean 'seed'?"),
        ({"batch_size": 0}, "batch_size must be >= 1, got 0."),
        ({"batch_size": 2.5}, "batch_size must be a whole number, got 2.5."),
        ({"learning_rate": float("nan")}, "learning_rate must be a finite number, got nan."),
        ({"clip_range": None}, "clip_range must be a number, got None."),
        ({"gamma": 1.5}, "gamma must be >= 0 and <= 1, got 1.5."),
        ({"vf_coef": "half"}, "vf_coef must be a number, got 'half'."),
        ({"policy_kwargs": {"temperature": 0}}, "temperature must be > 0, got 0."),
        ({"policy_kwargs": {"temperature": -1.0}}, "temperature must be > 0, got -1.0."),
        ({"policy_kwargs": {"temperature": float("nan")}}, "temperature must be a finite number, got nan."),
        ({"gamma": float}, f"gamma must be a number, got {float!r}."),
        ({"clip_range_vf": LinearSchedule(0.2, 0.1, 1.0)}, "clip_range_vf must be a number, got LinearSchedule("),
        ({"seed": -1}, "seed must be a whole number, 0 or more, got -1."),
        ({"normalize_scores": "no"}, "normalize_scores must be True or False, got 'no'."),
        ({"policy_kwargs": {"full": "no"}}, "full must be True or False, got 'no'."),
        ({"policy_kwargs": {"lora_layers": 4}}, "lora_layers must be text, got 4."),
        ({"policy_kwargs": {"lora_rnk": 4}}, "LoRAPolicy has no argument 'lora_rnk'. Did you mean 'lora_rank'?"),
        ({"policy_kwargs": {"value_adapter": "its own"}}, "value_adapter must be one of own, shared, got 'its own'."),
    ],
)
def test_settings_are_held_to_their_bounds_from_python_too(path, given, message):
    with pytest.raises(UserError) as error:
        small(path, **given)
    assert str(error.value).startswith(message)


def test_hyperparameters_are_attributes_by_their_names(path):
    algorithm = small(path, gamma=0.9, clip_range_vf=None, kl_coef=np.float32(0.5), n_epochs=np.int64(2))
    assert (algorithm.gamma, algorithm.gae_lambda, algorithm.n_epochs, algorithm.batch_size) == (0.9, 0.95, 2, 4)
    algorithm.vf_coef = 0.25  # as a callback may
    found = algorithm.hyperparameters
    assert (found.vf_coef, found.clip_range_vf, found.kl_coef, found.learning_rate) == (0.25, None, 0.5, 0.8 / 32)
    assert {field.name for field in dataclasses.fields(Hyperparameters)} <= vars(algorithm).keys()


def test_a_run_folder_is_its_newest_checkpoint(path, tmp_path):
    algorithm = small(path, n_envs=2).learn(2)
    algorithm.save(tmp_path / "run" / "checkpoints" / "step-2")
    algorithm.learn(2, reset_num_timesteps=False).save(tmp_path / "run" / "checkpoints" / "step-10")
    assert PPO.load(tmp_path / "run").num_timesteps == algorithm.num_timesteps > 2


def test_numbers_of_numpy_and_paths_are_taken_and_saved(path, tmp_path):
    numbers = {"learning_rate": np.float32(1e-3), "clip_range": np.float32(0.5), "n_steps": np.int64(1)}
    given = {**numbers, "seed": np.int64(3), "policy_kwargs": {"lora_rank": np.int64(2), "backbone": Path(path)}}
    algorithm = small(path, n_envs=2, **given).learn(2)
    algorithm.clip_range = np.float32(0.25)  # as a callback may
    algorithm.learn(2, reset_num_timesteps=False).save(tmp_path / "model")
    loaded = PPO.load(tmp_path / "model")
    assert (loaded.learning_rate, loaded.clip_range, loaded.n_steps, loaded.seed) == (
        float(np.float32(1e-3)),
        0.25,
        1,
        3,
    )
    assert loaded.policy_kwargs == {"backbone": path, "max_new_tokens": 8, "lora_rank": 2}


def test_an_env_is_needed():
    with pytest.raises(UserError, match=r'PPO needs an env, as in PPO\("LoRAPolicy", "HH-v0"\)'):
        PPO("LoRAPolicy")


def test_no_episodes_side_by_side_is_a_mistake():
    with pytest.raises(UserError, match="num_envs must be at least 1, a whole number, got 0"):
        make_vec_env("HH-v0", 0)


def test_every_hyperparameter_is_used():
    algorithms = (inspect.getsource(type(each)) for each in ALGORITHMS.values())
    source = "".join([inspect.getsource(PPO), *algorithms])
    unused = [f.name for f in dataclasses.fields(Hyperparameters) if not re.search(rf"\b(h|self)\.{f.name}\b", source)]
    assert not unused


# Episodes of several turns.


def test_gae_runs_over_the_turns_of_an_episode_laid_end_to_end(path):
    env = make_vec_env(gym.make_vec("test/TwoTurns-v0", num_envs=3, reward=LETTER), seed=0)
    algorithm = collected_steps(small(path, env=env, n_steps=4, gamma=0.9, gae_lambda=0.8, kl_coef=0.0), 4)
    rollout = algorithm.rollout
    for env_index in range(3):
        for first in (0, 2):  # an episode is two steps, and ends in the rollout
            pair = [step * 3 + env_index for step in (first, first + 1)]
            rewards, values = (
                [float(x) for row in pair for x in tensor[row][rollout.response_mask[row]]]
                for tensor in (rollout.rewards, rollout.values)
            )
            after = [*values[1:], 0.0]
            expected, running = [], 0.0
            for r, v, nxt in reversed(list(zip(rewards, values, after, strict=True))):
                running = r + 0.9 * nxt - v + 0.9 * 0.8 * running
                expected.append(running)
            found = [float(x) for row in pair for x in rollout.advantages[row][rollout.response_mask[row]]]
            assert found == pytest.approx(expected[::-1], abs=1e-4)


def collected_steps(algorithm, n_steps):
    algorithm.batch_size = 4

    class Stop(Exception):
        pass

    def stop(_):
        raise Stop

    with pytest.raises(Stop):
        algorithm.learn(algorithm.n_envs * n_steps, callback=After(stop))
    return algorithm


@pytest.mark.parametrize(("steps", "truncated"), [(2, True), (1, False)])
def test_a_cut_episode_is_bootstrapped_with_the_value_of_what_follows(path, steps, truncated):
    # truncated by the time limit, or cut by the end of the rollout: both go on as far as values are concerned
    limit = 2 if truncated else 10
    env = make_vec_env(gym.make_vec("test/Endless-v0", num_envs=2, reward=LETTER, max_episode_steps=limit), seed=0)
    algorithm = small(path, env=env, n_steps=steps, gamma=0.9, gae_lambda=1.0, kl_coef=0.0)
    collected_steps(algorithm, steps)
    rollout, policy = algorithm.rollout, algorithm.policy
    for env_index in range(2):
        row = (steps - 1) * 2 + env_index
        prompt = rollout.prompts[row]  # the last observation of Endless is its prompt again
        follows = policy.values(policy.batch([prompt], [[0]])).detach()[0, 0].item()
        mask = rollout.response_mask[row]
        last = rollout.rewards[row][mask][-1] + 0.9 * follows - rollout.values[row][mask][-1]
        assert rollout.advantages[row][mask][-1].item() == pytest.approx(last.item(), abs=1e-4)


def test_a_terminated_episode_is_not_bootstrapped(path):
    algorithm = collected(small(path, kl_coef=0.0))
    rollout = algorithm.rollout
    for row in range(len(rollout)):
        mask = rollout.response_mask[row]
        expected = rollout.rewards[row][mask][-1] - rollout.values[row][mask][-1]
        assert rollout.advantages[row][mask][-1].item() == pytest.approx(expected.item(), abs=1e-4)


# It learns.


def share_rewarded(scores):
    """What share of the rollouts' responses was rewarded, in the first and in the last three rollouts."""
    return float(np.mean(scores[:3])), float(np.mean(scores[-3:]))


def test_it_learns_the_one_rewarded_word_in_seconds():
    env = make_vec_env(gym.make_vec("test/OneTurn-v0", num_envs=32, reward=LETTER), seed=0)
    algorithm = PPO(
        "LoRAPolicy", env, learning_rate=1e-2, kl_coef=0.0, seed=0, device="cpu", missing_eos_penalty=0.0,
        policy_kwargs={"max_new_tokens": 8},
    )  # fmt: skip
    scores = []
    algorithm.learn(32 * 15, callback=After(lambda model: scores.append(model.rollout.scores.mean().item())))
    first, last = share_rewarded(scores)
    assert first < 0.7
    assert last > 0.9


def test_it_credits_the_first_turn_for_what_is_paid_after_the_second():
    env = make_vec_env(gym.make_vec("test/TwoTurns-v0", num_envs=32, reward="gold"), seed=0)
    algorithm = PPO(
        "LoRAPolicy", env, n_steps=2, n_epochs=2, learning_rate=1e-2, kl_coef=0.0, seed=0, device="cpu",
        policy_kwargs={"max_new_tokens": 8}, missing_eos_penalty=0.0,
    )  # fmt: skip
    scores = []
    algorithm.learn(64 * 12, callback=After(lambda model: scores.append(model.rollout.scores[32:].mean().item())))
    first, last = share_rewarded(scores)
    assert first < 0.6
    assert last > 0.75


def test_values_of_a_constant_reward_become_that_reward(path):
    algorithm = small(path, reward="toy_tasks:always_one", n_envs=16, kl_coef=0.0, learning_rate=2e-2,
                      missing_eos_penalty=0.0, clip_range_vf=None)  # fmt: skip
    algorithm.learn(16 * 20)
    values = algorithm.rollout.values[algorithm.rollout.response_mask]
    assert values.mean().item() == pytest.approx(1.0, abs=0.15)


def test_the_example_in_one_file_trains_to_the_same_bits(capsys):
    spec = importlib.util.spec_from_file_location("ppo_in_one_file", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    policy, value = example.main(iterations=2, n_envs=24, epochs=2)  # of two optimizer steps each
    peak = 0.8 / policy.backbone.hidden_size
    algorithm = PPO("LoRAPolicy", "HH-v0", lambda left: peak * left, n_envs=24, n_epochs=2, seed=0, device="cpu")
    algorithm.learn(48)
    fresh = algorithm.policy.backbone.add_role("policy", LoRASettings(8), seed=0)
    for mine, theirs, start in (
        (policy, algorithm.policy.policy_role, fresh), (value, algorithm.policy.value_role, None)
    ):  # fmt: skip
        for name, parameter in mine.parameters().items():
            assert torch.equal(parameter, theirs.parameters()[name]), name
            assert start is None or not torch.equal(parameter, start.parameters()[name]), f"{name} did not learn"
    assert capsys.readouterr().out.splitlines()[0].split()[:4] == ["step", "score", "gold", "KL"]


def test_the_example_is_short():
    assert len(EXAMPLE.read_text().splitlines()) <= 350


# One copy in memory, and roles on it.


def copies(shape):
    """Where in memory there are parameters of this shape; other tests of the process may have left some."""
    gc.collect()
    return {o.data_ptr() for o in gc.get_objects() if isinstance(o, torch.nn.Parameter) and o.shape == shape}


def test_policy_value_reward_and_reference_share_one_model():
    backbone = Backbone.load("tiny")
    shape = backbone.model.get_input_embeddings().weight.shape
    before = copies(shape)
    env = make_vec_env("HH-v0", 4, seed=0)
    algorithm = PPO("LoRAPolicy", env, batch_size=4, seed=0, device="cpu", policy_kwargs={"max_new_tokens": 8})
    algorithm.learn(4)
    reward = learned_model(env.get_attr("reward_function")[0])
    policy = algorithm.policy
    assert reward.role.backbone is policy.backbone is Backbone.load("tiny")
    assert backbone.model.get_input_embeddings().weight.data_ptr() in before
    assert copies(shape) <= before


def test_the_value_role_starts_as_the_reward_model():
    env = make_vec_env("HH-v0", 4, seed=0)
    algorithm = collected(PPO("LoRAPolicy", env, seed=0, device="cpu", policy_kwargs={"max_new_tokens": 64}))
    reward = learned_model(env.get_attr("reward_function")[0])
    for mine, theirs in zip(
        algorithm.policy.value_role.parameters().values(), reward.role.parameters().values(), strict=True
    ):
        assert torch.equal(mine, theirs)
    # read after the end token, as the reward model does, the value is the score itself
    policy, rollout = algorithm.policy, algorithm.rollout
    rows = [i for i in range(4) if rollout.ended[i]]
    batch = policy.batch([rollout.prompts[i] for i in rows], [[*rollout.responses[i], 0] for i in rows])
    with torch.no_grad():
        values = policy.values(batch)
    for k, i in enumerate(rows):
        assert values[k, len(rollout.responses[i])].item() == pytest.approx(rollout.scores[i].item(), abs=1e-3)


def test_a_value_role_above_frozen_layers_starts_as_the_upper_part_of_the_reward_model(path):
    reward = RewardModel(Backbone.load(str(path)).add_role("reward", LoRASettings(4), head=True, seed=7), centre=3.0)
    policy = small(path, reward=reward, policy_kwargs={"lora_layers": "1", "lora_targets": "all-linear"}).policy
    mine, theirs = policy.value_role.parameters(), reward.role.parameters()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    assert {name for name in theirs if name not in mine} == {name for name in theirs if "layers.0." in name}
    assert (policy.frozen_layers, policy.value_offset) == (1, -3.0)


def test_the_value_role_does_not_start_as_a_reward_model_whose_head_is_not_all(path):
    backbone = Backbone.load(str(path))
    reward = RewardModel(backbone.add_role("reward", LoRASettings(4), head=True, seed=7), centre=3.0)
    for weight, offset in ((0.0, -3.0), (0.1, 0.0)):
        reward.log_prob_weight = weight
        policy = small(path, reward=reward).policy
        assert policy.value_offset == offset
        assert torch.equal(policy.value_role.head.weight, reward.role.head.weight) == (weight == 0)


def test_full_training_goes_through_the_same_code_on_copies_of_its_own(path):
    algorithm = small(path, policy_kwargs={"full": True}, learning_rate=1e-3)
    before = hash_base(algorithm.policy.backbone.model)
    algorithm.learn(16)
    assert hash_base(algorithm.policy.backbone.model) == before
    models = {id(algorithm.policy.policy_role.model), id(algorithm.policy.value_role.model)}
    assert id(algorithm.policy.backbone.model) not in models
    assert len(models) == 2
    assert all(check.passed for check in algorithm.preflight_checks)


# SB3's habits.


def test_evaluate_policy_works_on_the_algorithm(path):
    algorithm = small(path)
    env, twin = (make_vec_env("HH-v0", 4, seed=5, reward=length) for _ in range(2))
    mean, std = evaluate_policy(algorithm, env, n_eval_episodes=8)
    prompts, scores = twin.reset(), []
    for _ in range(2):
        prompts, rewards, _, _ = twin.step(algorithm.predict(prompts, deterministic=True)[0])
        scores += rewards.tolist()
    assert np.std(scores) > 0
    assert (mean, std) == pytest.approx((np.mean(scores), np.std(scores)))


@pytest.mark.filterwarnings("ignore:Evaluation environment is not wrapped")  # SB3's, of a plain env
def test_evaluate_policy_and_its_callback_work_on_a_single_env(path, tmp_path):
    algorithm = small(path)
    env = gym.make("perlhf/HH-v0", reward=length)
    env.reset(seed=5)
    scores, lengths = evaluate_policy(algorithm, env, 3, return_episode_rewards=True)
    assert max(scores) > 0
    assert lengths == [1, 1, 1]
    alone = Monitor(gym.make("perlhf/HH-v0", reward=LETTER))
    with pytest.warns(UserWarning, match="Training and eval env are not of the same type"):  # SB3's
        algorithm.learn(
            8, callback=EvalCallback(alone, eval_freq=1, n_eval_episodes=2, log_path=str(tmp_path), verbose=0)
        )
    assert (tmp_path / "evaluations.npz").exists()


def test_evaluate_policy_on_a_single_env_is_that_on_a_vector_env(path):
    algorithm = small(path)
    single = DummyVecEnv([lambda: Monitor(gym.make("perlhf/HH-v0", reward=length))])
    many = make_vec_env("HH-v0", 1, seed=5, reward=length)
    single.seed(5)
    found = [evaluate_policy(algorithm, env, 4, return_episode_rewards=True)[0] for env in (single, many)]
    assert found[0] == pytest.approx(found[1])
    assert len(set(found[0])) > 1


def test_callbacks_evaluate_and_save_while_training(path, tmp_path):
    algorithm = small(path)
    evaluation = EvalCallback(
        make_vec_env("HH-v0", 4, seed=5, reward=LETTER), eval_freq=2, n_eval_episodes=4, verbose=0,
        best_model_save_path=str(tmp_path / "best"), log_path=str(tmp_path), deterministic=False,
    )  # fmt: skip
    saving = CheckpointCallback(save_freq=2, save_path=str(tmp_path / "saved"), verbose=0)
    algorithm.learn(8 * 4, callback=CallbackList([evaluation, saving]))
    assert (tmp_path / "evaluations.npz").exists()
    loaded = PPO.load(next((tmp_path / "saved").iterdir()), device="cpu")
    assert loaded.num_timesteps in (16, 32)
    assert PPO.load(next((tmp_path / "best").iterdir()), device="cpu").policy.max_new_tokens == 8


def test_evaluation_in_the_middle_does_not_change_training(path):
    def weights(callback):
        algorithm = small(path).learn(16, callback=callback)
        return torch.cat([p.detach().flatten() for p in algorithm.policy.parameters()])

    evaluation = EvalCallback(
        make_vec_env("HH-v0", 4, seed=5, reward=LETTER), eval_freq=1, n_eval_episodes=4, verbose=0, deterministic=False
    )
    assert torch.equal(weights(evaluation), weights(None))


def test_samples_follow_from_the_seed_the_env_and_its_turn(path):
    algorithm, given = small(path, seed=3, preflight=False), []  # which samples too
    algorithm.policy.sample = lambda prompts, seeds, sample=algorithm.policy.sample: (
        given.append(list(seeds)), sample(prompts, seeds)
    )[1]  # fmt: skip
    algorithm.learn(16)
    algorithm.learn(8)  # counts its steps from 0 again, as SB3 does, but draws no number twice
    assert algorithm.num_timesteps == 8
    assert given == [row_seeds(3, range(8), turn) for turn in range(3)]


def test_learn_goes_on_where_it_was(path):
    algorithm = small(path)
    algorithm.learn(8)
    algorithm.learn(8, reset_num_timesteps=False)
    assert algorithm.num_timesteps == 16


def test_a_callback_can_stop_training(path):
    class Stop(BaseCallback):
        def _on_step(self):
            return self.num_timesteps < 16

    algorithm = small(path)
    algorithm.learn(80, callback=Stop())
    assert algorithm.num_timesteps == 16
    # and goes on from the prompts that the env shows now
    task_env = algorithm.env.unwrapped.task_env
    assert algorithm.last_observation == task_env.set_state(task_env.get_state())


def test_predict_answers_one_prompt_or_many(path):
    algorithm = small(path)
    env = gym.make("perlhf/HH-v0", reward="gold")
    observation, _ = env.reset(seed=0)
    action, state = algorithm.predict(observation, deterministic=True)
    assert isinstance(action, str)
    assert state is None
    assert algorithm.predict({"prompt": (observation["prompt"],) * 2}, deterministic=True)[0] == [action, action]


def test_each_sampled_prediction_is_another_one_and_all_come_again(path):
    first, second = small(path), small(path)
    prompts = {"prompt": ("\n\nHuman: Hello\n\nAssistant:",) * 3}
    said = [first.predict(prompts)[0] for _ in range(2)]
    assert len({text for texts in said for text in texts}) == 6
    second.predict(prompts, deterministic=True)  # draws nothing
    assert [second.predict(prompts)[0] for _ in range(2)] == said


def test_an_env_of_any_make_is_taken(path):
    single = gym.make("perlhf/HH-v0", reward="gold")
    many = gym.make_vec("perlhf/HH-v0", num_envs=3, reward="gold")
    settings = {"backbone": path}
    assert PPO("LoRAPolicy", single, n_envs=5, policy_kwargs=settings, device="cpu").n_envs == 5
    assert small(path, env=many).n_envs == 3


def test_a_time_limit_goes_along(path):
    for reward in (LETTER, starts_with_i):
        single = gym.make("test/Endless-v0", reward=reward, max_episode_steps=3)
        assert make_vec_env(single, 2).get_attr("max_episode_steps") == [3, 3]
    twice = gym.wrappers.TimeLimit(single, 2)
    assert make_vec_env(twice).get_attr("max_episode_steps") == [2]
    assert make_vec_env(gym.make("test/Endless-v0", reward=LETTER)).get_attr("max_episode_steps") == [None]


def test_what_would_have_no_effect_is_refused():
    single, many = gym.make("perlhf/HH-v0", reward="gold"), gym.make_vec("perlhf/HH-v0", num_envs=2, reward="gold")
    for env in (single, many, make_vec_env(many)):
        with pytest.raises(UserError, match="data given with an env that is made already"):
            make_vec_env(env, data="miniature")
    for env in (many, make_vec_env(many)):
        with pytest.raises(UserError, match="expected a vector env of 8 episodes, got one of 2"):
            make_vec_env(env, 8)
        assert make_vec_env(env, 2).num_envs == 2


def test_a_seed_counts_for_an_env_that_is_made_already():
    made = make_vec_env("HH-v0", 2, reward="gold")
    assert make_vec_env(made, seed=3).reset() == make_vec_env("HH-v0", 2, seed=3).reset()


def test_methods_of_the_env_answer_once_for_each_index():
    env = make_vec_env("HH-v0", 3, seed=0, reward="gold")
    env.reset()
    answers = list(env.unwrapped.task_env.oracle())
    assert env.env_method("oracle") == answers
    assert env.env_method("oracle", indices=[1]) == [answers[1]]
    assert env.env_method("oracle", indices=2) == [answers[2]]
    state = env.unwrapped.task_env.get_state()
    assert env.env_method("get_state", indices=[0, 2]) == [state, state]
    assert env.env_method("render", indices=[0, 2]) == [None, None]  # made without a render mode


def test_what_is_said_of_a_new_episode_is_in_reset_infos():
    env = make_vec_env("HH-v0", 2, seed=0, reward="gold").unwrapped
    env.reset()
    *_, rows = env.step(["a", "b"])
    assert not any("index" in row for row in rows)  # these are of the episodes that are over
    assert [info["index"] for info in env.reset_infos] == env.task_env.get_state()["states"]


@pytest.mark.parametrize("mode", ["rgb_array", "ansi"])
def test_rendering_before_the_first_reset_shows_nothing(mode):
    env = make_vec_env("HH-v0", 2, seed=0, reward="gold", render_mode=mode)
    assert env.render() is None
    env.reset()
    assert (env.render() is None) == (mode == "ansi")  # SB3 returns pictures only
    assert len(env.env_method("render")) == 2


def test_other_envs_are_refused_in_one_line():
    for env in (gym.make("CartPole-v1"), gym.make_vec("CartPole-v1", num_envs=2), "CartPole-v1"):
        with pytest.raises(UserError, match=r"^env 'CartPole-v1' takes no text: its action space is Discrete\(2\)"):
            PPO("LoRAPolicy", env)
    with pytest.raises(UserError, match=r"unknown env 'HX-v0'.*'HH-v0'"):
        PPO("LoRAPolicy", "HX-v0")


def test_a_kl_is_far_below_zero_beyond_three_standard_errors():
    assert is_far_below_zero(torch.full((8,), -1.0))
    assert not is_far_below_zero(torch.zeros(8))
    assert is_far_below_zero(torch.tensor([-4.0, -2.0] * 2))  # mean -3, standard error 1 / 2
    assert not is_far_below_zero(torch.tensor([-2.0, 0.0] * 2))  # mean -1, standard error 1 / 2


def test_negative_kl_is_reported_once_it_is_sustained(path, monkeypatch, capsys):
    algorithm = small(path, verbose=1)
    algorithm.learn(8)
    capsys.readouterr()
    below = [torch.ones, torch.ones, torch.ones, lambda *shape: torch.full(shape, -100.0)]  # log q of the reference
    monkeypatch.setattr(
        "agents.rollout.log_probs_of",
        lambda role, prompts, responses, *_: below.pop(0)(len(responses), max(map(len, responses))),
    )
    found = []

    def watch(model):
        found.append((model.negative_kl_rollouts, "negative for three rollouts" in capsys.readouterr().out))

    algorithm.learn(4 * 8, callback=After(watch), reset_num_timesteps=False)
    assert found == [(1, False), (2, False), (3, True), (0, False)]


def test_score_rollout_leaves_padding_at_zero(path):
    algorithm = small(path)
    policy = algorithm.policy
    end = policy.backbone.end_ids[0]
    step = Step([[5, 6], [7]], [[8, 9, end], [end]], np.array([1.0, 2.0]), np.array([True, True]), {})
    rollout = score_rollout(policy, [step], {"prompt": ["a", "b"]}, algorithm.score_settings)
    outside = ~rollout.response_mask
    for tensor in (rollout.old_log_probs, rollout.values, rollout.rewards, rollout.advantages, rollout.returns):
        assert (tensor[outside] == 0).all()
    assert (normalize(rollout.advantages, rollout.response_mask)[outside] == 0).all()
