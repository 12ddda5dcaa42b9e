"""A disk that is full or read-only, a folder that is deleted: one line, exit code 1, and what is saved is sound."""

import errno
import os
import re
import resource
import shutil
import signal
import subprocess

import pytest
import torch
from children import exit_code, in_child, lines_in, start_child, wait_until
from command_modules import command_module
from test_fit_resume import given  # noqa: F401 - a fixture
from test_probe import counting  # noqa: F401 - a fixture
from test_stopping import assert_same_run, options_for, root  # noqa: F401 - a fixture

from agents.train_ppo import read_options, train
from backbones.checkpoints import Saved, checkpoints_of, is_sound, place_of, read_checkpoint, write_checkpoint
from perlhf.metrics_log import MetricsLog
from perlhf.run_folder import naming_the_file


def errors_in(said):
    """The lines of errors on a command's stderr, which hold no traceback."""
    text = said.read_text()
    assert "Traceback" not in text
    return [line for line in text.splitlines() if line.startswith("error: ")]


@pytest.fixture
def disk(tmp_path):
    """A disk of its own, as large as one says."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = []

    def sized(size, *more):
        options = ",".join([f"size={size}k", *(["remount"] if mounted else []), *more])
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True)
        if done.returncode:
            pytest.skip("nobody may mount a disk here")
        mounted.append(size)
        return folder

    yield sized
    if mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("size", [40, 200, 330])
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(size, root, disk, tmp_path):  # noqa: F811
    """At 40 KiB not even the first checkpoint has room, at the others a later one, or its copy of an adapter."""
    run, said = disk(size) / "run", tmp_path / "said"
    settings = {"checkpoint_every": 1, "keep_checkpoints": 3}
    child = start_child(lambda: train(options_for(root, run, **settings)), said=said)
    assert exit_code(child) == 1
    (error,) = errors_in(said)
    wanted = f"No space left on device; what is saved is sound; make room, then go on with --resume {run}"
    assert re.fullmatch(rf"error: {re.escape(str(run))}\S*: {re.escape(wanted)}", error)
    assert all(is_sound(checkpoint) for checkpoint in checkpoints_of(run))
    assert bool(checkpoints_of(run)) == (size > 40)
    assert not list(run.rglob("*.part"))
    disk(20_000)
    assert in_child(lambda: train(read_options(["--resume", str(run)])), said=said) == 0
    assert_same_run(root / "run", run)


def test_a_read_only_disk_is_one_line(root, disk, tmp_path):  # noqa: F811
    folder, said = disk(1000, "ro"), tmp_path / "said"
    assert exit_code(start_child(lambda: train(options_for(root, folder / "run")), said=said)) == 1
    assert errors_in(said) == [f"error: {folder / 'run'}: Read-only file system"]


def at_most(size):
    """No file may grow beyond so many bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@pytest.mark.parametrize("command", ["agents.train_sft", "rewards.train_reward_model"])
def test_what_sft_and_reward_models_cannot_write_is_one_line_too(command, given, tmp_path):  # noqa: F811
    module, run, said = command_module(command), tmp_path / "run", tmp_path / "said"
    few = {"records": 16} if command == "agents.train_sft" else {"pairs": 16, "start": "random"}
    options = module.Options(**given, **few, batch_size=8, checkpoint_every=1, output_dir=str(run))
    child = start_child(lambda: module.train(options), before=at_most(9000), said=said)
    assert exit_code(child) == 1
    (error,) = errors_in(said)
    assert re.search(r"step-1: File too large; what is saved is sound; make room, then go on with --resume", error)
    assert not list((run / "checkpoints").iterdir())


@pytest.mark.parametrize("what", ["", "metrics.jsonl", "config.yaml", "checkpoints"])
def test_what_is_deleted_while_a_run_is_under_way_ends_it_in_one_line(what, root, tmp_path):  # noqa: F811
    run, said = tmp_path / "run", tmp_path / "said"
    settings = {"checkpoint_every": 1, "total_timesteps": 4000}
    child = start_child(lambda: train(options_for(root, run, **settings)), said=said)
    wait_until(lambda: lines_in(run / "metrics.jsonl") >= 2)
    path = run / what
    shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
    if what == "checkpoints":  # it is made anew, but for a save that was under way in it
        wait_until(lambda: errors_in(said) or any(is_sound(checkpoint) for checkpoint in checkpoints_of(run)))
        if not errors_in(said):
            os.kill(child, signal.SIGTERM)
            assert exit_code(child) == 143
            return
    assert exit_code(child) == 1
    (error,) = errors_in(said)
    assert re.search(r"deleted (or altered )?while the run|No such file or directory", error)
    assert str(run) in error
    assert all(is_sound(checkpoint) for checkpoint in checkpoints_of(run))


@pytest.mark.parametrize("kept", [False, True])
def test_a_save_that_finds_no_room_at_any_of_its_writes_leaves_what_was_there(kept, tmp_path, monkeypatch):
    """Every fsync, rename and open of a save in turn is the one that the disk refuses."""
    place = place_of(tmp_path, 1)
    if kept:
        write_checkpoint(place, Saved({"weight": torch.ones(3)}, {"first": True}))
    refused = 0
    for number in range(100):
        calls = 0

        def refuse(plain):
            def call(*arguments, **others):
                nonlocal calls
                calls += 1
                if calls == number + 1:  # noqa: B023
                    raise OSError(errno.ENOSPC, "No space left on device")
                return plain(*arguments, **others)

            return call

        with monkeypatch.context() as patched:
            for name in ("fsync", "rename", "replace", "mkdir"):
                patched.setattr(os, name, refuse(getattr(os, name)))
            try:
                write_checkpoint(place, Saved({"weight": torch.zeros(3)}, {"first": False}))
            except OSError as error:
                refused += 1
                said = str(error)
            else:  # a folder that is there need not be made
                said = str(tmp_path)
        if calls <= number:  # of the refused one there is none any more
            break
        assert str(tmp_path) in said
        if kept:
            assert read_checkpoint(place).state in ({"first": True}, {"first": False})
        elif place.exists():
            assert is_sound(place)
        assert not list(tmp_path.rglob(".*.part"))
        if kept:
            write_checkpoint(place, Saved({"weight": torch.ones(3)}, {"first": True}))
        else:
            shutil.rmtree(tmp_path / "checkpoints", ignore_errors=True)
    assert refused >= 8


def test_a_row_that_the_disk_does_not_take_names_the_file(tmp_path):
    def write():
        with open(tmp_path / "said", "w", encoding="utf-8") as said:
            log = MetricsLog(tmp_path / "metrics.jsonl")
            try:
                for step in range(100):
                    log.write({"step": step})
            except OSError as error:
                said.write(f"{error.errno} {error.filename}")
            log.close()

    assert in_child(write, before=at_most(500)) == 0
    assert (tmp_path / "said").read_text() == f"{errno.EFBIG} {tmp_path / 'metrics.jsonl'}"


def test_only_faults_of_a_disk_get_the_name_of_the_folder(tmp_path):
    with pytest.raises(ConnectionRefusedError) as refused, naming_the_file(tmp_path):
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    assert refused.value.filename is None
    with pytest.raises(OSError, match="No space left on device") as full, naming_the_file(tmp_path):
        raise RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
    assert full.value.filename == str(tmp_path)
