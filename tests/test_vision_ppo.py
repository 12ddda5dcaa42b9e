"""PPO on VQAv2-v0: one trainer for text and images, pixels in every figure of a rollout, images never transposed."""

import numpy as np
import pytest
import torch
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from tiny_models import gemma, save_seeing_gemma

from agents import PPO, make_vec_env
from agents.rollout import ScoreSettings, score_rollout
from agents.steps import Step
from backbones.backbone import Backbone
from backbones.draws import row_seeds
from backbones.model.anatomy import hash_base
from backbones.model.loading import BackboneError
from backbones.roles import LoRASettings
from rewards.reward_model import RewardModel

VQA = "VQAv2-v0"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return str(save_seeing_gemma(tmp_path_factory.mktemp("sees")))


def small(path, env=None, **kwargs):
    settings = {"backbone": path, "max_new_tokens": 6, **kwargs.pop("policy_kwargs", {})}
    env = make_vec_env(VQA, 8, seed=0) if env is None else env
    return PPO("LoRAPolicy", env, policy_kwargs=settings, batch_size=4, seed=0, device="cpu", **kwargs)


def weights(algorithm):
    return {name: p.detach().clone() for name, p in algorithm.policy.named_parameters()}


def test_it_learns_checkpoints_and_resumes_bit_for_bit(path, tmp_path):
    straight = small(path)
    straight.learn(32)
    first = small(path)
    first.learn(16)
    first.save(tmp_path / "step-16")
    again = PPO.load(tmp_path / "step-16", make_vec_env(VQA, 8), device="cpu")
    again.learn(16, reset_num_timesteps=False)
    expected, got = weights(straight), weights(again)
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert any((p != 0).any() for name, p in got.items() if "lora_B" in name)
    assert np.array_equal(straight.last_observation["image"], again.last_observation["image"])
    assert hash_base(again.policy.backbone.model) == again.policy.backbone.hash
    assert PPO.load(tmp_path / "step-16", device="cpu").observation_space["image"].shape == (64, 64, 3)


def test_the_first_update_passes_its_own_checks(path):
    algorithm = small(path)
    algorithm.learn(8)
    assert {c.question for c in algorithm.preflight_checks if c.passed} >= {
        "reference equals policy", "KL is exactly 0", "ratio is 1 before any update", "adapters learn",
        "base weights unchanged",
    }  # fmt: skip


def test_a_rollout_without_its_pixels_is_another_rollout(path):
    algorithm = small(path)
    algorithm.learn(16)  # so that the policy is no longer the reference
    policy, observation = algorithm.policy, algorithm.env.reset()
    prompts = policy.encode(observation)
    responses, _ = policy.sample(prompts, row_seeds(0, range(len(prompts)), 0))
    blind = policy.encode({**observation, "image": np.zeros_like(observation["image"])})
    settings = ScoreSettings(0.1, 1.0, 1.0, 0.95)

    def scored(prompts):
        step = Step(prompts, responses, np.zeros(8), np.ones(8, dtype=bool), {})
        return score_rollout(policy, [step], observation, settings)

    seen, unseen = scored(prompts), scored(blind)
    for name in ("old_log_probs", "reference_log_probs", "values", "entropy"):
        difference = (getattr(seen, name) - getattr(unseen, name)).abs().amax(1)
        assert (difference > 1e-4).all(), name
    again = scored(prompts)
    assert torch.equal(seen.old_log_probs, again.old_log_probs)


def test_values_of_prompts_and_predictions_see_the_image(path):
    policy = small(path).policy
    observation = make_vec_env(VQA, 4, seed=1).reset()
    blind = {**observation, "image": np.zeros_like(observation["image"])}
    assert (policy.predict_values(observation) != policy.predict_values(blind)).all()
    said = [policy.predict(shown, deterministic=True)[0] for shown in (observation, blind)]
    assert said[0] != said[1]
    one = {key: observation[key][0] for key in ("prompt", "image")}
    assert policy.predict(one, deterministic=True)[0] == said[0][0]


def test_a_reward_model_on_the_same_backbone_sees_the_image(path):
    backbone = Backbone.load(path)
    model = RewardModel(backbone.add_role("reward", LoRASettings(2), head=True), log_prob_weight=0.1)
    env = make_vec_env(VQA, 4, seed=0, reward=model)
    algorithm = small(path, env)
    algorithm.learn(4)
    turns = [env.get_attr("task")[0].turn(i, "red") for i in range(3)]
    blind = [type(t)(t.prompt, t.response, t.reference, np.zeros_like(t.image)) for t in turns]
    assert all(a != b for a, b in zip(model(turns), model(blind), strict=True))
    images = [turn.image for turn in turns]
    alone = model.score_texts([t.prompt for t in turns], ["red"] * 3, images)
    assert alone.tolist() == model(turns)


class Spy:
    """Notes the images that a policy is shown."""

    def __init__(self, policy, monkeypatch):
        self.images, encode = [], type(policy).encode

        def spied(policy, observation):
            self.images.append(np.asarray(observation["image"]))
            return encode(policy, observation)

        monkeypatch.setattr(type(policy), "encode", spied)


@pytest.mark.parametrize("as_id", [True, False])
def test_training_and_evaluation_see_the_same_upright_images(path, tmp_path, monkeypatch, as_id):
    env = VQA if as_id else make_vec_env(VQA, 8, seed=0)
    algorithm = small(path, env, n_envs=8) if as_id else small(path, env)
    spy = Spy(algorithm.policy, monkeypatch)
    callback = EvalCallback(
        make_vec_env(VQA, 2, seed=0, split="validation"), eval_freq=1, n_eval_episodes=2, log_path=str(tmp_path),
        best_model_save_path=str(tmp_path), verbose=0,
    )  # fmt: skip
    algorithm.learn(8, callback=callback)
    assert {image.shape for image in spy.images} == {(8, 64, 64, 3), (2, 64, 64, 3)}
    assert {image.dtype for image in spy.images} == {np.dtype(np.uint8)}
    task = make_vec_env(VQA, 1, split="validation").get_attr("task")[0]
    evaluated = next(image for image in spy.images if len(image) == 2)
    known = {task.observe(i)["image"].tobytes() for i in range(len(task.records))}
    assert all(image.tobytes() in known for image in evaluated)
    assert (tmp_path / "best_model.zip").exists() or (tmp_path / "best_model").exists()


def test_evaluate_policy_takes_images(path):
    mean, _ = evaluate_policy(small(path).policy, make_vec_env(VQA, 2, seed=0), n_eval_episodes=4)
    assert 0 <= mean <= 1


def test_adapters_on_the_tower_learn_where_asked(path, tmp_path):
    algorithm = small(path, policy_kwargs={"lora_vision": True})
    algorithm.learn(8)
    moved = {n for n, p in algorithm.policy.policy_parameters.items() if "lora_B" in n and (p != 0).any()}
    assert any("vision_tower" in name for name in moved)
    assert any("language_model" in name for name in moved)
    algorithm.save(tmp_path / "saved")
    again = PPO.load(tmp_path / "saved", device="cpu")
    assert len(again.policy.value_parameters) == len(algorithm.policy.value_parameters)


def test_a_backbone_for_text_alone_is_refused(tmp_path):
    gemma(tmp_path)
    with pytest.raises(BackboneError, match="takes no images") as error:
        small(str(tmp_path)).learn(8)
    assert "\n" not in str(error.value)
