"""Checkpoints: a run that was interrupted goes on as if it had not been, bit for bit; damage is always noticed."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import LinearSchedule
from tiny_models import gemma

from agents import PPO, make_vec_env
from agents.checkpoint import (
    CheckpointError,
    checkpoints_of,
    keep_newest,
    newest_sound_checkpoint,
    read_checkpoint,
    save_checkpoint,
    set_state,
)
from agents.train_ppo import Options, read_options, train
from perlhf.errors import UserError

LETTER = "toy_tasks:starts_with_i"


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


class SaveAt(BaseCallback):
    """Saves at the start of the rollout that begins at a given step, as `agents.callbacks.Checkpoints` does."""

    def __init__(self, step, folder):
        super().__init__()
        self.step, self.folder = step, folder

    def _on_step(self):
        return True

    def _on_rollout_start(self):
        if self.num_timesteps == self.step:
            self.model.save(self.folder)


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


def test_the_command_resumes_bit_for_bit_and_so_does_its_log(path, tmp_path):
    def options(name, **kwargs):
        return Options(
            backbone=path, reward=LETTER, n_envs=4, batch_size=2, max_new_tokens=6, total_timesteps=16,
            checkpoint_every=1, eval_prompts=0, log_formats="", output_dir=str(tmp_path / name), **kwargs,
        )  # fmt: skip

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
    options = Options(
        backbone=path, reward=LETTER, n_envs=4, batch_size=2, max_new_tokens=6, total_timesteps=4,
        eval_prompts=0, log_formats="", output_dir=str(tmp_path / "run"),
    )  # fmt: skip
    train(options)
    with pytest.raises(UserError, match=r"is finished: 4 turns; raise --total-timesteps"):
        train(read_options(["--resume", str(tmp_path / "run")]))
    train(read_options(["--resume", str(tmp_path / "run"), "--total-timesteps", "8"]))
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["episodes"] == 8


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        read_options(["--resume", str(tmp_path)])


def test_a_run_killed_before_its_first_checkpoint_starts_again(path, tmp_path):
    options = Options(
        backbone=path, reward=LETTER, n_envs=4, batch_size=2, max_new_tokens=6, total_timesteps=8,
        eval_prompts=0, log_formats="", output_dir=str(tmp_path / "run"),
    )  # fmt: skip
    train(options)
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
    with pytest.raises(CheckpointError, match="is no checkpoint"):
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
        if folder == newest:  # white space of the manifest itself may change without meaning anything
            assert file.name == "manifest.json"
            assert json.loads(damaged) == json.loads(content)
        else:
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
    keep_newest(tmp_path, 2)
    assert [p.name for p in checkpoints_of(tmp_path)] == ["step-10", "step-2"]
    (tmp_path / "checkpoints" / "step-10" / "state.json").write_text("{}")
    with pytest.raises(CheckpointError, match="altered"):
        keep_newest(tmp_path, 1)
    assert len(checkpoints_of(tmp_path)) == 2


def test_another_format_is_refused(path, tmp_path):
    algorithm_of(path).save(tmp_path / "saved")
    manifest = tmp_path / "saved" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(CheckpointError, match="of format 99; this version reads format 1"):
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
