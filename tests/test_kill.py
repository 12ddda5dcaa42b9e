"""Runs that are killed: whenever it happens, resuming ends in the same bytes as a run that nobody touched.

`make test-long`. Each trial forks after one import, so that it costs a second and not ten.
"""

import builtins
import json
import os
import random
import shutil
import signal
import sys
import time

import pytest
from children import in_child, start_child
from safetensors.torch import load_file
from test_resume import same_tensors
from tiny_models import gemma

from agents.train_ppo import Options, read_options, train

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of an uninterrupted run, and the options that made it."""
    root = tmp_path_factory.mktemp("whole")
    gemma(root / "backbone")
    in_child(lambda: train(options_for(root, root / "run")))
    return root


def options_for(root, folder):
    return Options(
        backbone=str(root / "backbone"), reward="toy_tasks:starts_with_i", n_envs=4, batch_size=2, max_new_tokens=6,
        total_timesteps=24, checkpoint_every=1, eval_prompts=0, log_formats="", threads=1, output_dir=str(folder),
    )  # fmt: skip


def start_or_resume(root, folder):
    if (folder / "config.yaml").exists():
        train(read_options(["--resume", str(folder)]))
    else:
        shutil.rmtree(folder, ignore_errors=True)
        train(options_for(root, folder))


def assert_same_run(root, folder):
    for role in ("policy", "value"):
        same_tensors(*(load_file(run / role / "adapter_model.safetensors") for run in (root / "run", folder)))
    logs = []
    for run in (root / "run", folder):
        rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
        logs.append([{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows])
    assert logs[0] == logs[1]
    assert not list((folder / "checkpoints").glob(".*.part.part"))


def killed_after(child, seconds):
    """Kills a child process, or returns False where it was done before that; it must not fail by itself."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            assert status == 0
            return False
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def kills_until_done(whole, folder, rng, longest):
    """Starts a run, kills it at random moments and resumes it until it is done; how often it was killed."""
    kills = 0
    while not (folder / "summary.json").exists():
        child = start_child(lambda: start_or_resume(whole, folder))
        kills += killed_after(child, rng.uniform(0.02, 1) * longest * (1 + kills / 4))
        assert kills < 60
    return kills


@pytest.mark.parametrize("trial", range(20))
def test_killed_at_random_moments(whole, tmp_path, trial):
    rng, longest, kills = random.Random(trial), 1.0, 0
    while kills == 0:  # on a fast machine the run may end first: then sooner
        folder = tmp_path / f"run-{longest}"
        kills = kills_until_done(whole, folder, rng, longest)
        assert_same_run(whole, folder)
        longest /= 2


def die_at(operation):
    """Makes the process die, without any cleaning up, just before its n-th file operation of a save."""
    count = 0

    def counted(function):
        def wrapper(*args, **kwargs):
            nonlocal count
            count += 1
            if count == operation:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return wrapper

    for name in ("rename", "replace", "fsync", "open", "mkdir", "rmdir", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    builtins.open = counted(builtins.open)
    sys.modules["backbones.checkpoints"].save_file = counted(sys.modules["backbones.checkpoints"].save_file)


@pytest.mark.parametrize("operation", range(20, 260, 4))
def test_killed_just_before_a_file_operation(whole, tmp_path, operation):
    folder = tmp_path / "run"
    status = in_child(lambda: start_or_resume(whole, folder), before=lambda: die_at(operation))
    assert os.WIFSIGNALED(status), "the run has fewer file operations than this"
    assert in_child(lambda: start_or_resume(whole, folder) if not (folder / "summary.json").exists() else None) == 0
    assert_same_run(whole, folder)
