"""Every kind of reward behaves alike: in `gym.make` and `gym.make_vec`, as JSON, in worker processes, on resume."""

import json
import pickle

import gymnasium as gym
import pytest
import torch
import yaml
from foreign_rewards import judging, save_adapter, save_bert, save_causal_qwen, save_qwen
from gymnasium.envs.registration import EnvSpec
from tiny_models import gemma
from toy_callbacks import SaveAt

import envs  # noqa: F401 - registers perlhf/*
from agents import PPO, make_vec_env
from agents.checkpoint import set_state
from agents.train_ppo import Options, read_options, train
from backbones.checkpoints import read_checkpoint
from backbones.roles import LoRASettings
from rewards import classifier
from rewards.functions import reward_from_text
from rewards.reward_model import RewardModel

KINDS = [
    "pair", "chat", "adapter", "adapter on the policy's base", "own", "min", "mean", "uncertainty", "trl", "judge",
    "sum",
]  # fmt: skip
RESPONSES = ["I can help you.", "No", "", "yes, that is good, and I can help with it today"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rewards")
    backbone = gemma(folder / "policy")
    save_bert(folder / "bert"), save_qwen(folder / "qwen"), save_causal_qwen(folder / "base")
    save_adapter(folder / "adapter", folder / "base")
    save_adapter(folder / "on_policy", folder / "policy")
    role = backbone.add_role("reward", LoRASettings(2), head=True)
    for parameter in role.parameters().values():
        torch.nn.init.normal_(parameter, std=0.3)
    RewardModel(role).save(folder / "own")
    yield folder
    classifier.release_all()


@pytest.fixture(scope="module")
def specs(place):
    with judging() as server:
        own, adapter, bert = (str(place / name) for name in ("own", "on_policy", "bert"))
        judge = {"reward": f"judge:{server.url}#small", "cache": str(place / "judge.sqlite")}
        yield {
            "pair": bert,
            "chat": f"classifier:{place / 'qwen'}",
            "adapter": str(place / "adapter"),
            "adapter on the policy's base": adapter,
            "own": own,
            "min": f"min({own}, {adapter})",
            "mean": f"mean({own}, {bert}, trl:foreign_rewards:of_trl)",
            "uncertainty": {"ensemble": "uncertainty", "members": [own, adapter, judge], "penalty": 0.1},
            "trl": "foreign_rewards:of_trl",
            "judge": judge,
            "sum": [{"reward": bert, "weight": 0.5}, {"ensemble": "min", "members": [adapter, own], "weight": 2}],
        }


@pytest.mark.parametrize("kind", KINDS)
def test_one_env_and_many_score_alike_and_specs_are_json(specs, kind):
    spec = specs[kind]
    vector = gym.make_vec("perlhf/HH-v0", 4, reward=spec)
    vector.reset(seed=0)
    together = vector.step(RESPONSES)[1].tolist()
    assert len({round(score, 6) for score in together}) > 1
    made = gym.make("perlhf/HH-v0", reward=spec)
    assert EnvSpec.from_json(made.spec.to_json()).kwargs["reward"] == json.loads(json.dumps(spec))
    again = pickle.loads(pickle.dumps(gym.make(EnvSpec.from_json(made.spec.to_json())).unwrapped))
    for i, response in enumerate(RESPONSES):
        for env in (made, again):
            env.reset(seed=i)
            assert env.step(response)[1] == pytest.approx(together[i], abs=1e-5)


@pytest.mark.parametrize("kind", ["pair", "uncertainty", "trl"])
def test_workers_of_gymnasium_score_alike(specs, kind):
    vector = gym.make_vec("perlhf/HH-v0", 2, reward=specs[kind])
    vector.reset(seed=0)
    expected = vector.step(RESPONSES[:2])[1].tolist()
    workers = gym.make_vec("perlhf/HH-v0", 2, "async", reward=specs[kind])
    try:
        workers.reset(seed=0)
        assert workers.step(RESPONSES[:2])[1].tolist() == pytest.approx(expected, abs=1e-5)
    finally:
        workers.close()


def algorithm_of(place, spec):
    env = make_vec_env("HH-v0", 4, seed=0, reward=spec)
    policy = {"backbone": str(place / "policy"), "max_new_tokens": 6}
    return PPO("LoRAPolicy", env, policy_kwargs=policy, seed=0, device="cpu", batch_size=2, learning_rate=1e-2)


@pytest.mark.parametrize("kind", KINDS)
def test_ppo_resumes_bit_for_bit(place, specs, tmp_path, kind):
    whole = algorithm_of(place, specs[kind])
    whole.learn(8, callback=SaveAt(4, tmp_path / "middle"))
    whole.save(tmp_path / "whole")
    resumed = algorithm_of(place, specs[kind])
    set_state(resumed, *read_checkpoint(tmp_path / "middle"))
    resumed.learn(4, reset_num_timesteps=False)
    resumed.save(tmp_path / "resumed")
    tensors, others = (read_checkpoint(tmp_path / name)[0] for name in ("whole", "resumed"))
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


@pytest.mark.parametrize("kind", ["min", "uncertainty"])
def test_the_command_takes_names_and_files_and_keeps_no_key(place, specs, tmp_path, monkeypatch, kind, capsys):
    monkeypatch.setenv("PERLHF_JUDGE_KEY", "secret-key")
    reward = specs[kind]
    if not isinstance(reward, str):
        (tmp_path / "reward.yaml").write_text(yaml.safe_dump(reward))
        reward = str(tmp_path / "reward.yaml")
        assert reward_from_text(reward) == specs[kind]
    small = {"n_envs": 4, "batch_size": 2, "max_new_tokens": 6, "checkpoint_every": 1, "log_formats": ""}
    run, policy = tmp_path / "run", str(place / "policy")
    train(Options(backbone=policy, output_dir=str(run), reward=reward, total_timesteps=4, eval_prompts=4, **small))
    train(read_options(["--resume", str(run), "--total-timesteps", "8"]))
    summary = json.loads((run / "summary.json").read_text())
    assert summary["turns"] == 8
    assert "policy" in summary
    said = capsys.readouterr()
    written = "".join(file.read_text(errors="replace") for file in run.rglob("*") if file.is_file())
    assert "secret" not in written + said.out + said.err
