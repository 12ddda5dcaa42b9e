"""Checkpoints: a run that was interrupted goes on as if it had not been, bit for bit; damage is always noticed."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import gymnasium as gym
import numpy as np
import pytest
import torch
import toy_tasks  # noqa: F401 - registers test/TwoTurns-v0
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from stable_baselines3.common.utils import LinearSchedule
from test_run_lock import Holder
from tiny_models import gemma
from toy_callbacks import SaveAt
from toy_tasks import TwoTurns

import agents.train_ppo as command
from agents import PPO, make_vec_env
from agents.callbacks import run_logger
from agents.checkpoint import save_checkpoint, set_state
from agents.train_ppo import Options, read_options, train
from backbones.backbone import Backbone
from backbones.checkpoints import (
    FORMAT,
    CheckpointError,
    checkpoints_of,
    keep_newest,
    newest_sound_checkpoint,
    read_checkpoint,
)
from backbones.roles import LoRASettings
from envs import register_task
from perlhf.errors import UserError
from perlhf.run_folder import read_summary, update_summary, write_json
from perlhf.sealed_folder import SealError, sealed
from rewards.reward_model import RewardModel

LETTER = "toy_tasks:starts_with_i"


def share_of_i(turns):
    """The share of letters that are an i: no round number, as most rewards."""
    return [turn.response.lower().count("i") / 7 + 0.1 for turn in turns]


class TwoTurnsOfData(TwoTurns):
    """With the two options that commands give."""

    def __init__(self, data="miniature", split="train"):
        pass


register_task("test/TwoTurnsOfData-v0", "test_resume:TwoTurnsOfData")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma")
    gemma(folder)
    return str(folder)


def algorithm_of(path, **kwargs):
    env = make_vec_env("HH-v0", 4, seed=0, reward=LETTER)
    options = {"batch_size": 2, "learning_rate": LinearSchedule(1e-2, 0.0, 1.0), "kl_target": 1.0, "kl_horizon": 50}
    settings_ = {"backbone": path, "max_new_tokens": 6}
    return PPO("LoRAPolicy", env, policy_kwargs=settings_, seed=0, device="cpu", **{**options, **kwargs})


def same_tensors(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("boundary", [4, 8, 12])
def test_four_iterations_equal_some_then_resumed_at_every_boundary(path, tmp_path, boundary):
    whole = algorithm_of(path, normalize_scores=True)
    whole.learn(16, callback=SaveAt(boundary, tmp_path / "middle"))
    whole.save(tmp_path / "whole")
    resumed = algorithm_of(path, normalize_scores=True)
    set_state(resumed, *read_checkpoint(tmp_path / "middle"))
    resumed.learn(16 - boundary, reset_num_timesteps=False)
    resumed.save(tmp_path / "resumed")
    (tensors, state), (other_tensors, other_state) = (
        read_checkpoint(tmp_path / name) for name in ("whole", "resumed")
    )  # fmt: skip
    same_tensors(tensors, other_tensors)
    for one in (state, other_state):
        for episode in one["episodes"][0]:
            episode.pop("t")  # wall clock
    assert state == other_state
    assert resumed.kl_coef == whole.kl_coef


def options_for(path, folder, **kwargs):
    """A run of 4 episodes side by side, without an evaluation."""
    small = {"n_envs": 4, "batch_size": 2, "max_new_tokens": 6, "total_timesteps": 4, "checkpoint_every": 1,
             "eval_prompts": 0, "log_formats": "", "reward": LETTER}  # fmt: skip
    return Options(backbone=path, output_dir=str(folder), **{**small, **kwargs})


def resume(folder, *arguments):
    return train(read_options(["--resume", str(folder), *arguments]))


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize("reward", [LETTER, "test_resume:share_of_i"])
def test_the_command_resumes_bit_for_bit_and_so_does_its_log(path, tmp_path, reward):
    def options(name):
        return options_for(path, tmp_path / name, total_timesteps=16, reward=reward)

    train(options("whole"))
    train(options("cut"))
    # as if it had been killed after the second update: the later checkpoint gone, the log longer than the rest
    for folder in (tmp_path / "cut" / "policy", tmp_path / "cut" / "value"):
        shutil.rmtree(folder)
    newest = checkpoints_of(tmp_path / "cut")
    assert [p.name for p in newest] == ["step-16", "step-12"]
    shutil.rmtree(newest[0])
    train(read_options(["--resume", str(tmp_path / "cut")]))
    for name in ("policy", "value"):
        same_tensors(
            load_file(tmp_path / "whole" / name / "adapter_model.safetensors"),
            load_file(tmp_path / "cut" / name / "adapter_model.safetensors"),
        )
    logs = []
    for name in ("whole", "cut"):
        rows = map(json.loads, (tmp_path / name / "metrics.jsonl").read_text().splitlines())
        logs.append([{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows])
    assert len(logs[0]) == 4
    assert logs[0] == logs[1]


def test_a_finished_run_says_so(path, tmp_path):
    train(options_for(path, tmp_path / "run"))
    other = Holder(tmp_path / "run")
    with pytest.raises(UserError, match=rf"run is being written to by process {other.process.pid} on"):
        train(read_options(["--resume", str(tmp_path / "run")]))
    other.end()
    with pytest.raises(UserError, match=r"is finished: 4 turns; raise --total-timesteps"):
        train(read_options(["--resume", str(tmp_path / "run")]))
    train(read_options(["--resume", str(tmp_path / "run"), "--total-timesteps", "8"]))
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["turns"] == 8


def test_a_run_that_stopped_before_its_evaluation_is_finished_by_resuming_it(path, tmp_path, monkeypatch):
    run = tmp_path / "run"
    monkeypatch.setattr(command, "evaluate", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(options_for(path, run, eval_prompts=4))
    monkeypatch.undo()
    trained = (run / "policy" / "adapter_model.safetensors").read_bytes()
    cost = summary_of(run)["cpu_seconds"]
    for folder in ("policy", "value"):
        shutil.rmtree(run / folder)
    resume(run)
    assert (run / "policy" / "adapter_model.safetensors").read_bytes() == trained
    assert (run / "value").is_dir()
    assert {"policy", "sft", "win_rate"} <= summary_of(run).keys()
    assert summary_of(run)["cpu_seconds"] == cost
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 1
    with pytest.raises(UserError, match=r"is finished: 4 turns"):
        resume(run)


def test_an_evaluation_of_an_earlier_policy_is_none_of_the_later_one(path, tmp_path, monkeypatch):
    run = tmp_path / "run"
    train(options_for(path, run, eval_prompts=4))
    monkeypatch.setattr(command, "evaluate", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        resume(run, "--total-timesteps", "8")
    assert "policy" not in summary_of(run)
    monkeypatch.undo()
    resume(run)
    assert "policy" in summary_of(run)
    assert summary_of(run)["turns"] == 8


def test_what_may_change_on_resume_does_and_stays_changed(path, tmp_path):
    run = tmp_path / "run"
    train(options_for(path, run))
    (tmp_path / "more.yaml").write_text("total-timesteps: 12\nkl_coef: 0.5\nclip_range: 0.3\n")
    arguments = ["--config", str(tmp_path / "more.yaml"), "--kl-coef", "0.25"]
    options = read_options(["--resume", str(run), *arguments])
    assert (options.total_timesteps, options.clip_range, options.kl_coef) == (12, 0.3, 0.25)
    assert (options.n_envs, options.backbone) == (4, path)  # the run's own
    train(options)
    rows = [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["train/kl_coef"] for row in rows] == [0.1, 0.25, 0.25]
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert (config["total_timesteps"], config["kl_coef"], config["resume"]) == (12, 0.25, None)
    for folder in (run / "policy", run / "checkpoints" / "step-12"):  # as if it had been killed before its end
        shutil.rmtree(folder)
    resume(run)
    assert summary_of(run)["turns"] == 12


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--lora-rank", "3"], "lora_rank is 8, got 3"),
        (["--n-envs", "8"], "n_envs is 4, got 8"),
        (["--full", "True"], "full is False, got True"),
        (["--seed", "1"], "seed is 0, got 1"),
        (["--value-rank", "2", "--temperature", "0.5"], "value_rank is 4, got 2; temperature is 1.0, got 0.5"),
        (["--reward", "gold"], f"reward is '{LETTER}', got 'gold'"),
        (["--backbone", "tiny"], "backbone is '.*', got 'tiny'"),
        (["--output-dir", "elsewhere"], "output_dir is '.*', got 'elsewhere'"),
    ],
)
def test_a_change_of_what_the_run_is_is_refused_by_name(path, tmp_path, arguments, problem):
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(vars(options_for(path, tmp_path))))
    with pytest.raises(UserError, match=f"cannot change on resume: {problem}. Leave it") as error:
        read_options(["--resume", str(tmp_path), "--total-timesteps", "8", *arguments])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("config", "what"),
    [("pairs: 8\nseed: 0\n", "rewards.train_reward_model"), ("records: null\nseed: 0\n", "agents.train_sft")],
)
def test_a_folder_of_another_command_is_named(tmp_path, config, what):
    (tmp_path / "config.yaml").write_text(config)
    with pytest.raises(UserError, match=f"is a run of {what}; --resume takes the folder of an agents.train_ppo run"):
        read_options(["--resume", str(tmp_path)])


def test_a_checkpoint_goes_on_its_own_base_only(path, tmp_path):
    train(options_for(path, tmp_path / "run"))
    state = json.loads((tmp_path / "run" / "checkpoints" / "step-4" / "state.json").read_text())
    assert state["base_sha256"] == Backbone.load(path).hash
    gemma(tmp_path / "other", seed=1)
    other = algorithm_of(str(tmp_path / "other"))
    before = [p.detach().clone() for p in other.policy.parameters()]
    hashes = rf"sha256 {state['base_sha256'][:12]}, but .* has {other.policy.backbone.hash[:12]}"
    with pytest.raises(CheckpointError, match=hashes):
        set_state(other, *read_checkpoint(tmp_path / "run" / "checkpoints" / "step-4"))
    assert all(torch.equal(a, b) for a, b in zip(before, other.policy.parameters(), strict=True))


def test_a_checkpoint_of_another_shape_is_one_line(path, tmp_path):
    algorithm_of(path).learn(4).save(tmp_path / "saved")
    with pytest.raises(CheckpointError, match=r"the checkpoint has \(8, 32\) for .*lora_A.*, this policy \(3, 32\)"):
        PPO.load(tmp_path / "saved", device="cpu", policy_kwargs={"backbone": path, "lora_rank": 3})
    with pytest.raises(CheckpointError, match="of 4 envs side by side, got 2"):
        PPO.load(tmp_path / "saved", env=make_vec_env("HH-v0", 2, reward=LETTER), device="cpu")
    assert PPO.load(tmp_path / "saved", env="HH-v0", device="cpu").n_envs == 4


def test_progress_csv_holds_all_rows_after_a_resume(path, tmp_path):
    run = tmp_path / "run"
    train(options_for(path, run, total_timesteps=8, log_formats="csv"))
    resume(run, "--total-timesteps", "16")
    with open(run / "progress.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["time/total_timesteps"] for row in rows] == ["4", "8", "12", "16"]
    metrics = [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]
    assert [float(row["rollout/score"]) for row in rows] == [row["rollout/score"] for row in metrics]
    seconds = [row["time/cpu_seconds"] for row in metrics]  # of both parts together
    assert 0 < seconds[0] < seconds[1] < seconds[2] < seconds[3] <= read_summary(run)["cpu_seconds"]


def test_costs_add_up_over_resumes(path, tmp_path, monkeypatch):
    monkeypatch.setattr("agents.callbacks.Stopwatch", lambda: SimpleNamespace(seconds=5.0, cpu_seconds=2.0))
    run = tmp_path / "run"
    train(options_for(path, run))
    resume(run, "--total-timesteps", "8")
    summary = summary_of(run)
    assert (summary["seconds"], summary["cpu_seconds"], summary["samples_per_cpu_second"]) == (10.0, 4.0, 2.0)


def test_turns_and_episodes_are_counted_over_resumes(path, tmp_path):
    # Two turns an episode, on 4 envs: 3 turns of each end one episode in every env, 5 end two.
    run = tmp_path / "run"
    train(options_for(path, run, env="test/TwoTurnsOfData-v0", reward="gold", total_timesteps=12))
    assert (summary_of(run)["turns"], summary_of(run)["episodes"]) == (12, 4)
    resume(run, "--total-timesteps", "20")
    assert (summary_of(run)["turns"], summary_of(run)["episodes"]) == (20, 8)


def test_a_run_of_before_episodes_were_counted_goes_on_and_says_none(path, tmp_path):
    run = tmp_path / "run"
    train(options_for(path, run))
    before = shutil.copytree(checkpoints_of(run)[0], tmp_path / "before")
    state = json.loads((before / "state.json").read_text())
    assert state["cost"].pop("episodes") == 4
    write_json(before / "state.json", state)
    with sealed(checkpoints_of(run)[0], FORMAT, "checkpoint") as part:
        shutil.copytree(before, part, dirs_exist_ok=True, ignore=shutil.ignore_patterns("manifest.json"))
    update_summary(run, ("turns",), episodes=4)  # as it was called
    with pytest.raises(UserError, match=r"is finished: 4 turns"):
        resume(run)
    resume(run, "--total-timesteps", "8")
    assert (summary_of(run)["turns"], summary_of(run)["episodes"]) == (8, None)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        ({"eval_split": "tset", "eval_prompts": 4}, r"unknown split 'tset'. Did you mean 'test'"),
        ({"log_formats": "csv,tensorbord"}, r"unknown log format 'tensorbord'. Did you mean 'tensorboard'"),
        ({"log_formats": "tensorboard"}, r"'tensorboard' needs a package that is not installed: pip install"),
    ],
)
def test_mistakes_are_found_before_there_is_a_folder(path, tmp_path, monkeypatch, mistake, message):
    monkeypatch.setattr("stable_baselines3.common.logger.SummaryWriter", None)
    with pytest.raises(UserError, match=message):
        train(options_for(path, tmp_path / "run", **mistake))
    assert not (tmp_path / "run").exists()


def test_log_formats_may_have_spaces_between(tmp_path):
    logger = run_logger(tmp_path, " csv, stdout,")
    assert len(logger.output_formats) == 3
    logger.close()


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        read_options(["--resume", str(tmp_path)])


def test_a_run_killed_before_its_first_checkpoint_starts_again(path, tmp_path):
    train(options_for(path, tmp_path / "run", total_timesteps=8))
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    train(read_options(["--resume", str(tmp_path / "run")]))
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def test_save_and_load_say_the_same(path, tmp_path):
    algorithm = algorithm_of(path).learn(8)
    algorithm.save(tmp_path / "saved")
    loaded = PPO.load(tmp_path / "saved", device="cpu")
    observation = {"prompt": ["\n\nHuman: Hello!\n\nAssistant:"] * 3}
    assert loaded.predict(observation, deterministic=True) == algorithm.predict(observation, deterministic=True)
    assert isinstance(loaded.learning_rate, LinearSchedule)
    assert (loaded.learning_rate.start, loaded.kl_target, loaded.batch_size) == (1e-2, 1.0, 2)
    assert PPO.load(tmp_path / "saved", device="cpu", batch_size=4).batch_size == 4


@pytest.mark.parametrize(("saved", "spellings"), [("x", ["x", "x.zip"]), ("y.zip", ["y", "y.zip"])])
def test_the_ending_of_sb3_may_be_there_or_not(path, tmp_path, saved, spellings):
    algorithm = algorithm_of(path).learn(4)
    algorithm.save(str(tmp_path / saved))
    assert [PPO.load(str(tmp_path / name), device="cpu").num_timesteps for name in spellings] == [4, 4]


def test_the_working_directory_may_be_the_checkpoint(path, tmp_path, monkeypatch):
    algorithm_of(path).learn(4).save(tmp_path / "x")
    monkeypatch.chdir(tmp_path / "x")
    assert PPO.load(".", device="cpu").num_timesteps == 4
    with pytest.raises(SealError, match=r"^/ holds no checkpoint"):
        PPO.load("/")


def test_what_is_no_checkpoint_is_one_line(tmp_path):
    (tmp_path / "theirs.zip").write_bytes(b"PK")
    (tmp_path / "folder").mkdir()
    for name in ("theirs", "theirs.zip"):
        with pytest.raises(CheckpointError, match=r"theirs.zip is a file; agents.PPO saves folders"):
            PPO.load(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"nothing.zip holds no checkpoint: there is no such folder"):
        PPO.load(tmp_path / "nothing.zip")
    with pytest.raises(SealError, match=r"folder holds no checkpoint \(no manifest.json\)"):
        PPO.load(tmp_path / "folder")
    with pytest.raises(CheckpointError, match="expected the path of a checkpoint's folder, got BytesIO"):
        PPO.load(io.BytesIO())


def test_load_takes_what_sb3_takes(path, tmp_path, capsys):
    algorithm = algorithm_of(path).learn(8)
    algorithm.save(tmp_path / "saved")
    env = make_vec_env("HH-v0", 4, seed=0, reward=LETTER)
    loaded = PPO.load(
        tmp_path / "saved", env, "cpu", print_system_info=True, force_reset=False,
        custom_objects={"learning_rate": 0.5, "clip_range": 0.3, "lr_schedule": lambda _: 0.5},
    )  # fmt: skip
    assert "Stable-Baselines3" in capsys.readouterr().out
    assert (loaded.learning_rate, loaded.clip_range) == (0.5, 0.3)
    assert loaded.last_observation == algorithm.last_observation
    with pytest.raises(UserError, match=r"PPO has no argument 'clip_rnage'\. Did you mean 'clip_range'"):
        PPO.load(tmp_path / "saved", device="cpu", clip_rnage=0.3)


def few_prompts(number, tmp_path):
    """HH-v0 over a file of a few conversations."""
    asked = [f"\n\nHuman: Question {i}?\n\nAssistant:" for i in range(number)]
    rows = [{"chosen": f"{prompt} Yes.", "rejected": f"{prompt} No."} for prompt in asked]
    file = tmp_path / f"{number}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return make_vec_env("HH-v0", 4, seed=0, data=str(file), reward=LETTER)


def test_an_env_that_is_another_one_is_an_error_in_one_line_or_begins_anew(path, tmp_path):
    algorithm_of(path).learn(4).save(tmp_path / "saved")
    others = {
        "of task HH .*another task, split or data": few_prompts(3, tmp_path),  # fewer records than the saved indices
        "of task TwoTurns .*another task, split or data": make_vec_env(
            gym.make_vec("test/TwoTurns-v0", num_envs=4, reward=LETTER)
        ),
        "of 4 envs side by side, got 2": make_vec_env("HH-v0", 2, reward=LETTER),
    }
    for message, env in others.items():
        with pytest.raises(CheckpointError, match=f"{message}.*force_reset=True") as error:
            PPO.load(tmp_path / "saved", env=env, device="cpu")
        assert "\n" not in str(error.value)
        loaded = PPO.load(tmp_path / "saved", env=env, device="cpu", force_reset=True)
        assert loaded.learn(env.num_envs, reset_num_timesteps=False).num_timesteps == 4 + env.num_envs
    other_split = PPO.load(
        tmp_path / "saved", env=make_vec_env("HH-v0", 4, split="test", reward=LETTER), device="cpu", force_reset=True
    )
    assert other_split.learn(4, reset_num_timesteps=False).num_timesteps == 8


def test_arguments_given_to_load_win(path, tmp_path):
    algorithm = algorithm_of(path, kl_coef=0.1).learn(8)  # kl_target steers it
    assert algorithm.kl_coef != 0.1
    algorithm.save(tmp_path / "saved")
    assert PPO.load(tmp_path / "saved", device="cpu").kl_coef == algorithm.kl_coef
    for wanted in (0.5, 0.1):
        loaded = PPO.load(tmp_path / "saved", device="cpu", kl_coef=wanted)
        assert loaded.kl_coef == wanted
        loaded.save(tmp_path / "again")
        assert PPO.load(tmp_path / "again", device="cpu").kl_coef == wanted


def test_a_value_adapter_that_began_as_a_reward_model_of_another_rank_is_loaded_without_an_env(path, tmp_path):
    backbone = Backbone.load(path)
    reward = RewardModel(backbone.add_role("reward", LoRASettings(6, 9.0), head=True, seed=3), centre=0.25)
    env = make_vec_env("HH-v0", 4, reward=reward)
    algorithm = PPO("LoRAPolicy", env, batch_size=4, seed=0, device="cpu",
                    policy_kwargs={"backbone": path, "value_rank": 4, "max_new_tokens": 6}).learn(4)  # fmt: skip
    algorithm.save(tmp_path / "saved")
    loaded = PPO.load(tmp_path / "saved", device="cpu")
    assert loaded.policy.value_role.settings == LoRASettings(6, 9.0)
    prompts = {"prompt": ["\n\nHuman: Hello!\n\nAssistant:"]}
    assert torch.equal(loaded.policy.predict_values(prompts), algorithm.policy.predict_values(prompts))
    elsewhere = PPO.load(tmp_path / "saved", env=make_vec_env("HH-v0", 4, reward=LETTER), device="cpu")
    assert elsewhere.policy.value_role.settings == LoRASettings(6, 9.0)


def test_episode_returns_come_back_as_the_numbers_they_were(path, tmp_path):
    algorithm = algorithm_of(path).learn(4)
    algorithm.ep_info_buffer.append({"r": np.float32(0.1), "l": 1, "t": 0.5})
    algorithm.save(tmp_path / "saved")
    last = PPO.load(tmp_path / "saved", device="cpu").ep_info_buffer[-1]
    assert last == algorithm.ep_info_buffer[-1]
    assert isinstance(last["r"], np.float32)


def test_a_loaded_algorithm_with_an_env_goes_on_learning(path, tmp_path):
    algorithm_of(path).learn(8).save(tmp_path / "saved")
    loaded = PPO.load(tmp_path / "saved", env=make_vec_env("HH-v0", 4, reward=LETTER), device="cpu")
    assert loaded.learn(8, reset_num_timesteps=False).num_timesteps == 16


def test_no_pickle_is_in_a_checkpoint(path, tmp_path):
    algorithm_of(path).learn(4).save(tmp_path / "saved")
    endings = {p.suffix for p in (tmp_path / "saved").rglob("*") if p.is_file()}
    assert endings == {".json", ".safetensors"}


def test_a_callable_that_cannot_be_saved_is_named(path, tmp_path):
    algorithm = algorithm_of(path, learning_rate=lambda left: 1e-3 * left)
    with pytest.raises(CheckpointError, match=r"learning_rate is the callable .* use a number or LinearSchedule"):
        algorithm.save(tmp_path / "saved")


def test_saving_over_something_else_is_refused(path, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(SealError, match="is no checkpoint"):
        save_checkpoint(algorithm_of(path), tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


@pytest.fixture(scope="module")
def saved(path, tmp_path_factory):
    run = tmp_path_factory.mktemp("run")
    algorithm = algorithm_of(path)
    for step in (1, 2):
        algorithm.save(run / "checkpoints" / f"step-{step}")
    return run


@settings(max_examples=300)
@given(st.data())
def test_any_flipped_or_cut_byte_is_noticed_and_the_checkpoint_before_is_taken(saved, data):
    newest = saved / "checkpoints" / "step-2"
    files = sorted(p for p in newest.rglob("*") if p.is_file())
    file = data.draw(st.sampled_from(files))
    content = file.read_bytes()
    position = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        damaged = (
            content[:position] + bytes([content[position] ^ data.draw(st.integers(1, 255))]) + content[position + 1 :]
        )
    else:
        damaged = content[:position]
    file.write_bytes(damaged)
    try:
        folder, problems = newest_sound_checkpoint(saved)
        assert folder == saved / "checkpoints" / "step-1"
        assert len(problems) == 1
        assert "step-2" in problems[0]
    finally:
        file.write_bytes(content)


def test_folders_still_being_written_are_no_checkpoints(saved):
    part = saved / "checkpoints" / ".step-3.part"
    part.mkdir()
    assert [p.name for p in checkpoints_of(saved)] == ["step-2", "step-1"]
    part.rmdir()


def test_old_checkpoints_go_once_the_newest_is_sound(path, tmp_path):
    algorithm = algorithm_of(path)
    for step in (1, 2, 10):
        algorithm.save(tmp_path / "checkpoints" / f"step-{step}")
    keep_newest(tmp_path / "checkpoints" / "step-10", 2)
    assert [p.name for p in checkpoints_of(tmp_path)] == ["step-10", "step-2"]
    (tmp_path / "checkpoints" / "step-10" / "state.json").write_text("{}")
    with pytest.raises(OSError, match="deleted or altered"):
        keep_newest(tmp_path / "checkpoints" / "step-10", 1)
    assert len(checkpoints_of(tmp_path)) == 2


def damage(checkpoint):
    (checkpoint / "state.json").write_text("{}")


def test_only_sound_checkpoints_count_as_kept(path, tmp_path):
    algorithm = algorithm_of(path)
    for step in (1, 2, 3, 4):
        algorithm.save(tmp_path / "checkpoints" / f"step-{step}")
    damage(tmp_path / "checkpoints" / "step-3")
    keep_newest(tmp_path / "checkpoints" / "step-4", 2)
    assert [p.name for p in checkpoints_of(tmp_path)] == ["step-4", "step-3", "step-2"]


def test_a_folder_with_another_name_is_no_checkpoint(saved):
    shutil.copytree(saved / "checkpoints" / "step-2", saved / "checkpoints" / "step-2.bak")
    assert [p.name for p in checkpoints_of(saved)] == ["step-2", "step-1"]
    shutil.rmtree(saved / "checkpoints" / "step-2.bak")


def test_a_run_goes_on_past_a_damaged_checkpoint_and_sets_it_aside(path, tmp_path, capsys):
    run = tmp_path / "run"
    train(options_for(path, run, total_timesteps=8))
    damage(run / "checkpoints" / "step-8")
    resume(run, "--total-timesteps", "12")
    assert "step-8" in capsys.readouterr().err
    names = sorted(p.name for p in (run / "checkpoints").iterdir())
    assert names == ["bad-step-8", "step-12", "step-8"]
    assert [json.loads(row)["step"] for row in (run / "metrics.jsonl").read_text().splitlines()] == [4, 8, 12]


def test_a_run_without_a_sound_checkpoint_is_refused_and_left_alone(path, tmp_path):
    run = tmp_path / "run"
    train(options_for(path, run))
    damage(run / "checkpoints" / "step-4")
    metrics = (run / "metrics.jsonl").read_text()
    with pytest.raises(CheckpointError, match=r"no checkpoint to go on from: .*step-4.*altered") as error:
        resume(run, "--total-timesteps", "8")
    assert "\n" not in str(error.value)
    assert (run / "metrics.jsonl").read_text() == metrics


@pytest.mark.parametrize("renames", [0, 1])
def test_a_kill_while_a_checkpoint_is_replaced_leaves_one(path, tmp_path, monkeypatch, renames):
    algorithm = algorithm_of(path).learn(4)
    algorithm.save(tmp_path / "saved")
    algorithm.learn(4, reset_num_timesteps=False)
    rename, done = os.rename, []

    def killed(*names):
        if len(done) == renames:
            raise KeyboardInterrupt
        done.append(names)
        rename(*names)

    monkeypatch.setattr(os, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        algorithm.save(tmp_path / "saved")
    monkeypatch.undo()
    assert PPO.load(tmp_path / "saved", device="cpu").num_timesteps == 4
    algorithm.save(tmp_path / "saved")
    assert PPO.load(tmp_path / "saved", device="cpu").num_timesteps == 8
    assert [p.name for p in tmp_path.iterdir()] == ["saved"]


def test_another_format_is_refused(path, tmp_path):
    algorithm_of(path).save(tmp_path / "saved")
    manifest = tmp_path / "saved" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(f'"format": {FORMAT}', '"format": 99'))
    with pytest.raises(SealError, match=f"of format 99; this version reads format {FORMAT}"):
        read_checkpoint(tmp_path / "saved")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "HX-v0"], "unknown env 'HX-v0'. Did you mean 'HH-v0'?"),
        (["--kl-coeff", "0.1"], "unknown option --kl-coeff. Did you mean '--kl-coef'?"),
        (["--reward", "rewards.functions:lenght_penalty"], "Did you mean 'length_penalty'?"),
        (["--n-epochs", "two"], "invalid int value: 'two'"),
        (["--reward", "/no/such/folder"], "unknown reward '/no/such/folder'"),
    ],
)
def test_bad_arguments_are_one_line_and_exit_2(arguments, message):
    done = subprocess.run(
        [sys.executable, "-m", "agents.train_ppo", *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.strip().count("\n") == 0
