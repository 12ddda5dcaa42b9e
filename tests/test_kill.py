"""Runs that are killed: whenever it happens, resuming ends in the same bytes as a run that nobody touched.

`make test-long`. Each trial forks after one import, so that it costs a second and not ten. Three kinds of run: answers
to a prompt, episodes of many steps that a checkpoint is in the middle of, and pictures.
"""

import builtins
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from children import in_child, start_child
from safetensors.torch import load_file
from test_resume import same_tensors
from tiny_models import gemma, seeing_gemma

from agents.train_ppo import Options, read_options, train
from backbones.checkpoints import checkpoints_of, read_checkpoint

pytestmark = pytest.mark.long

# Of UINav-v0 an update is of three of an episode's twenty steps, since a random policy reaches no goal.
KINDS = {
    "HH-v0": (gemma, {}),
    "UINav-v0": (gemma, {"n_steps": 3, "total_timesteps": 36, "env_options": "templates=set_alarm"}),
    "VQAv2-v0": (seeing_gemma, {}),
}
RANDOM, AIMED = 26, 42  # trials of each kind


class Whole(NamedTuple):
    """A kind of run, the folder of one that nobody touched, the seconds it took, and its file operations."""

    kind: str
    folder: Path
    seconds: float
    operations: int


@pytest.fixture(scope="module", params=KINDS)
def whole(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    KINDS[request.param][0](root / "backbone")
    run, counted = Whole(request.param, root, 0.0, 0), root / "counted"

    def count():
        operations = watch_operations(lambda number: None)
        train(options_for(run, root / "counted run"))
        counted.write_text(str(operations()))

    assert in_child(count) == 0
    start = time.monotonic()
    assert in_child(lambda: train(options_for(run, root / "run"))) == 0
    return run._replace(seconds=time.monotonic() - start, operations=int(counted.read_text()))


def options_for(whole, folder):
    settings = {
        "reward": "test_resume:share_of_i", "n_envs": 4, "batch_size": 2, "max_new_tokens": 6, "total_timesteps": 12,
        "checkpoint_every": 1, "eval_prompts": 0, "preflight": False, "log_formats": "", "threads": 1,
        **KINDS[whole.kind][1],
    }  # fmt: skip
    return Options(env=whole.kind, backbone=str(whole.folder / "backbone"), output_dir=str(folder), **settings)


def start_or_resume(whole, folder):
    if (folder / "summary.json").exists():
        return
    if (folder / "config.yaml").exists():
        train(read_options(["--resume", str(folder)]))
    else:
        shutil.rmtree(folder, ignore_errors=True)
        train(options_for(whole, folder))


def assert_same_run(whole, folder):
    for role in ("policy", "value"):
        same_tensors(*(load_file(run / role / "adapter_model.safetensors") for run in (whole.folder / "run", folder)))
    logs = []
    for run in (whole.folder / "run", folder):
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


def is_saving(folder):
    """Whether a run was killed in the middle of a save."""
    return any((folder / "checkpoints").glob(".*"))


def test_a_checkpoint_of_many_steps_is_in_the_middle_of_episodes(whole):
    saved = [read_checkpoint(folder).state for folder in checkpoints_of(whole.folder / "run")]
    assert saved
    for state in saved:
        assert (min(state["env"]["task"]["steps"]) > 0) == (whole.kind == "UINav-v0")


@pytest.mark.parametrize("trial", range(RANDOM))
def test_killed_at_random_moments(whole, tmp_path, trial, record_property):
    rng, longest, kills = random.Random(f"{whole.kind} {trial}"), whole.seconds, 0
    while kills == 0:  # on a fast machine the run may end first: then sooner
        folder = tmp_path / f"run-{longest}"
        kills = kills_until_done(whole, folder, rng, longest)
        assert_same_run(whole, folder)
        longest /= 2
    record_property("kills", kills)


def watch_operations(before):
    """Calls `before` with the number of each file operation, files of tensors among them; returns their count."""
    count = 0

    def counted(function):
        def wrapper(*args, **kwargs):
            nonlocal count
            count += 1
            before(count)
            return function(*args, **kwargs)

        return wrapper

    for name in ("rename", "replace", "fsync", "open", "mkdir", "rmdir", "unlink"):
        setattr(os, name, counted(getattr(os, name)))
    builtins.open = counted(builtins.open)
    sys.modules["backbones.checkpoints"].save_file = counted(sys.modules["backbones.checkpoints"].save_file)
    return lambda: count


def die_at(operation):
    """Makes the process die, without any cleaning up, just before its n-th file operation."""
    watch_operations(lambda number: os.kill(os.getpid(), signal.SIGKILL) if number == operation else None)


@pytest.mark.parametrize("trial", range(AIMED))
def test_killed_just_before_a_file_operation(whole, tmp_path, trial, record_property):
    folder, operation = tmp_path / "run", 1 + whole.operations * (2 * trial + 1) // (2 * AIMED)
    status = in_child(lambda: start_or_resume(whole, folder), before=lambda: die_at(operation))
    assert os.WIFSIGNALED(status), "the run has fewer file operations than this"
    record_property("kills", 1)
    record_property("in a save", int(is_saving(folder)))
    assert in_child(lambda: start_or_resume(whole, folder)) == 0
    assert_same_run(whole, folder)
