"""Runs that are asked to stop save where they go on, leave with 128 + the signal, and end in the same bytes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from children import exit_code, in_child, lines_in, start_child, wait_until
from safetensors.torch import load_file
from test_resume import same_tensors
from tiny_models import gemma

from agents.train_ppo import Options, read_options, train
from backbones.checkpoints import checkpoints_of, is_sound, read_checkpoint
from perlhf import stopping

TESTS = Path(__file__).parent


def waits(turns):
    """A reward that takes half a minute for the third rollout."""
    waits.calls += 1
    if waits.calls == 3:
        time.sleep(30)
    return [turn.response.lower().count("i") / 7 + 0.1 for turn in turns]


waits.calls = 0


def options_for(root, folder, **others):
    settings = {
        "reward": "test_resume:share_of_i", "n_envs": 4, "batch_size": 2, "max_new_tokens": 6, "total_timesteps": 24,
        "checkpoint_every": 100, "eval_prompts": 0, "log_formats": "", "threads": 1, **others,
    }  # fmt: skip
    return Options(backbone=str(root / "backbone"), output_dir=str(folder), **settings)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A backbone, and the folder of an uninterrupted run on it."""
    root = tmp_path_factory.mktemp("whole")
    gemma(root / "backbone")
    assert in_child(lambda: train(options_for(root, root / "run"))) == 0
    return root


def assert_same_run(first, second):
    for role in ("policy", "value"):
        same_tensors(*(load_file(run / role / "adapter_model.safetensors") for run in (first, second)))
    logs = []
    for run in (first, second):
        rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        logs.append([{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows])
    assert logs[0] == logs[1]


@pytest.mark.parametrize(
    ("number", "updates", "later"),
    [(signal.SIGTERM, 1, 0.0), (signal.SIGINT, 2, 0.03), (signal.SIGTERM, 3, 0.08), (signal.SIGHUP, 4, 0.12)],
)
def test_a_run_that_is_asked_to_stop_saves_and_goes_on_bit_for_bit(root, tmp_path, number, updates, later):
    """At some moment of a rollout or an update, with no checkpoint but the one that is then made."""
    run, said = tmp_path / "run", tmp_path / "said"
    child = start_child(lambda: train(options_for(root, run)), said=said)
    wait_until(lambda: lines_in(run / "metrics.jsonl") >= updates)
    time.sleep(later)
    asked = time.monotonic()
    os.kill(child, number)
    assert exit_code(child, 60) == 128 + number
    assert time.monotonic() - asked < 10
    text = said.read_text()
    assert f"{signal.Signals(number).name}: saving; a second one ends this at once" in text
    assert text.strip().splitlines()[-1] == f"stopped; go on with --resume {run}"
    (checkpoint,) = checkpoints_of(run)
    assert is_sound(checkpoint)
    assert read_checkpoint(checkpoint).state["num_timesteps"] >= 4 * updates
    assert not (run / ".lock").exists()
    assert in_child(lambda: train(read_options(["--resume", str(run)])), said=said) == 0, said.read_text()
    assert_same_run(root / "run", run)


def short_patience():
    stopping.PATIENCE = 0.2


def test_what_takes_long_is_broken_off_and_the_start_of_its_update_saved(root, tmp_path):
    run = tmp_path / "run"
    child = start_child(lambda: train(options_for(root, run, reward="test_stopping:waits")), before=short_patience)
    wait_until(lambda: lines_in(run / "metrics.jsonl") == 2)
    time.sleep(0.3)
    os.kill(child, signal.SIGTERM)
    assert exit_code(child, 10) == 143
    assert [path.name for path in checkpoints_of(run)] == ["step-8"]
    assert is_sound(checkpoints_of(run)[0])


def test_a_second_signal_ends_it_at_once(root, tmp_path):
    run, said = tmp_path / "run", tmp_path / "said"
    child = start_child(lambda: train(options_for(root, run, reward="test_stopping:waits")), said=said)
    wait_until(lambda: lines_in(run / "metrics.jsonl") == 2)
    time.sleep(0.3)
    os.kill(child, signal.SIGTERM)
    wait_until(lambda: said.exists() and "saving" in said.read_text(), 4)
    os.kill(child, signal.SIGINT)
    assert exit_code(child, 2) == 130
    assert checkpoints_of(run) == []


def test_all_weights_are_saved_at_the_end_of_the_update_under_way(root, tmp_path):
    run = tmp_path / "run"
    child = start_child(lambda: train(options_for(root, run, full=True)))
    wait_until(lambda: lines_in(run / "metrics.jsonl") == 2)
    os.kill(child, signal.SIGTERM)
    assert exit_code(child, 60) == 143
    (checkpoint,) = checkpoints_of(run)
    assert read_checkpoint(checkpoint).state["num_timesteps"] in (8, 12, 16)


def test_a_run_that_ignores_hang_ups_goes_on(root, tmp_path):
    run = tmp_path / "run"
    ignores = lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)  # noqa: E731 - as nohup does
    child = start_child(lambda: train(options_for(root, run)), before=ignores)
    wait_until(lambda: lines_in(run / "metrics.jsonl") >= 1)
    os.kill(child, signal.SIGHUP)
    assert exit_code(child) == 0


def test_outside_of_learning_a_signal_ends_a_command_at_once(tmp_path):
    def main():
        try:
            (tmp_path / "begun").touch()
            time.sleep(60)
        finally:
            (tmp_path / "closed").touch()

    child = start_child(main)
    wait_until((tmp_path / "begun").exists)
    os.kill(child, signal.SIGTERM)
    assert exit_code(child, 5) == 143
    assert (tmp_path / "closed").exists()


def processes_of(session):
    """The processes of a session that are alive."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, sid = status.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue
        if int(sid) == session and state != "Z":
            found.append(status.parent.name)
    return found


def started(run, root, *words, turns=4000, launcher=("-m", "agents.train_ppo")):
    """A run as a command, in a session of its own."""
    small = ["--n-envs", "4", "--batch-size", "2", "--max-new-tokens", "6", "--total-timesteps", str(turns)]
    small += ["--backbone", str(root / "backbone"), "--reward", "test_resume:share_of_i", "--eval-prompts", "0"]
    small += ["--checkpoint-every", "1000"]
    command = [sys.executable, *launcher, "HH-v0", *small, *words, "--output-dir", str(run)]
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_until(lambda: lines_in(run / "metrics.jsonl") >= 2 or process.poll() is not None)
    return process


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@needs_proc
@pytest.mark.long
def test_a_whole_group_of_processes_is_asked_and_none_is_left(root, tmp_path):
    """As a terminal, a container or a batch system does: the workers that play the episodes are asked too."""
    run = tmp_path / "run"
    process = started(run, root, "--env-workers", "2")
    assert len(processes_of(process.pid)) >= 3
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert f"stopped; go on with --resume {run}" in said.splitlines()
    assert is_sound(checkpoints_of(run)[0])
    wait_until(lambda: not processes_of(process.pid), 10)


@needs_proc
@pytest.mark.long
@pytest.mark.parametrize("group", [False, True])
def test_processes_of_one_run_stop_together_and_the_first_one_saves(group, root, tmp_path):
    """Asked by their launcher, which hands on what it is sent, or each by the terminal and by the launcher too."""
    run = tmp_path / "run"
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29731", "-m"]
    process = started(run, root, launcher=(*launcher, "agents.train_ppo"))
    (os.killpg if group else os.kill)(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert said.count("SIGTERM: saving; a second one ends this at once") == 1
    assert f"stopped; go on with --resume {run}" in said.splitlines()
    (checkpoint,) = checkpoints_of(run)
    assert is_sound(checkpoint)
    wait_until(lambda: not processes_of(process.pid), 10)


@needs_proc
@pytest.mark.long
@pytest.mark.parametrize("moment", range(20))
def test_a_run_that_is_asked_at_any_moment_goes_on_bit_for_bit(moment, root, tmp_path):
    run, said = tmp_path / "run", tmp_path / "said"
    number = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)[moment % 3]
    child = start_child(lambda: train(options_for(root, run)), said=said)
    wait_until(lambda: lines_in(run / "metrics.jsonl") >= 1)
    time.sleep(0.05 * moment)
    asked = time.monotonic()
    os.kill(child, number)
    code = exit_code(child, 60)
    assert time.monotonic() - asked < 10
    assert "Traceback" not in said.read_text()
    if code:  # else it was done
        assert code == 128 + number
        assert in_child(lambda: train(read_options(["--resume", str(run)])), said=said) == 0, said.read_text()
    assert_same_run(root / "run", run)
