"""The lock of a run folder: one process at a time writes to it, and a killed one leaves no lock."""

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass

import pytest

from perlhf import run_lock
from perlhf.errors import UserError
from perlhf.options import option
from perlhf.run_folder import new_run_folder

HOLDS = "import sys, pathlib; from perlhf import run_lock; run_lock.take(pathlib.Path(sys.argv[1])); print('taken', flush=True); sys.stdin.read()"  # noqa: E501


@dataclass
class Options:
    """Does something."""

    seed: int = option(0, "of everything", low=0)


class Holder:
    """A process that holds the lock of a folder."""

    def __init__(self, folder):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, "-c", HOLDS, str(folder)], text=True, **pipes)
        self.said = self.process.stdout.readline()

    def end(self, kill=False):
        if kill:
            self.process.send_signal(signal.SIGKILL)
        return self.process.communicate()


def test_a_folder_that_another_process_has_is_refused_in_one_line_until_it_ends(tmp_path):
    other = Holder(tmp_path)
    assert other.said == "taken\n"
    with pytest.raises(UserError) as refused:
        new_run_folder(str(tmp_path), "name", Options())
    message = str(refused.value)
    assert message.startswith(f"{tmp_path} is being written to by process {other.process.pid} on ")
    assert "wait until that ends, or end it; a run of its own takes another --output-dir." in message
    assert "\n" not in message
    assert not (tmp_path / "config.yaml").exists()
    other.end()
    assert os.listdir(tmp_path) == []  # the lock goes with whoever had it
    assert new_run_folder(str(tmp_path), "name", Options()) == tmp_path
    run_lock.release(tmp_path)


def test_a_killed_process_leaves_no_lock(tmp_path):
    other = Holder(tmp_path)
    other.end(kill=True)
    assert os.listdir(tmp_path) == [run_lock.LOCK]
    with run_lock.released_after():
        assert new_run_folder(str(tmp_path), "name", Options()) == tmp_path  # and the file counts for no run
    assert os.listdir(tmp_path) == ["config.yaml"]


def test_a_process_takes_it_once_and_lets_it_go_after_the_block_only(tmp_path):
    with run_lock.released_after():
        assert run_lock.take(tmp_path) is True
        with run_lock.released_after():
            assert run_lock.take(tmp_path) is False
        assert Holder(tmp_path).end()[1].strip().splitlines()[-1].startswith("perlhf.errors.UserError: ")
    other = Holder(tmp_path)
    assert other.said == "taken\n"
    other.end()


def test_a_forked_process_does_not_keep_the_lock_of_a_dead_one(tmp_path):
    """The child of a killed run, such as a worker, lives on: the folder is free all the same."""
    script = "import sys, os, time, pathlib; from perlhf import run_lock; run_lock.take(pathlib.Path(sys.argv[1]))\n"
    script += "if os.fork() == 0:\n  print(os.getpid(), flush=True); time.sleep(60)\nos.wait()"
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    try:
        with pytest.raises(UserError, match=f"process {parent.pid} on"):
            run_lock.take(tmp_path)
        parent.kill()
        parent.wait()
        assert run_lock.take(tmp_path) is True
        run_lock.release(tmp_path)
    finally:
        os.kill(child, signal.SIGKILL)
        parent.stdout.close()


def test_a_folder_that_was_deleted_and_made_anew_is_taken_anew(tmp_path):
    folder = tmp_path / "run"
    for _ in range(2):
        folder.mkdir()
        assert run_lock.take(folder) is True
        shutil.rmtree(folder)
    run_lock.release(folder)


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / run_lock.LOCK).symlink_to(tmp_path / "notes.txt")
    with pytest.raises(OSError, match=r"run/\.lock"):
        run_lock.take(tmp_path / "run")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_two_starts_without_a_folder_never_get_the_same_one(tmp_path):
    code = "import sys; sys.path.insert(0, sys.argv[1]); from test_run_lock import Options; from perlhf.run_folder import new_run_folder; print(new_run_folder(None, 'ppo', Options()))"  # noqa: E501
    here = os.path.dirname(__file__)
    paths = os.pathsep.join([os.path.dirname(here), os.environ.get("PYTHONPATH", "")])
    started = [
        subprocess.Popen([sys.executable, "-c", code, here], cwd=tmp_path, stdout=subprocess.PIPE, text=True,
                         env={**os.environ, "PYTHONPATH": paths})
        for _ in range(4)
    ]  # fmt: skip
    found = sorted(process.communicate()[0].strip() for process in started)
    assert found == ["runs/ppo", "runs/ppo-2", "runs/ppo-3", "runs/ppo-4"]
