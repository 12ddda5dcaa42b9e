"""A disk that is full from any write of a run on, or refuses it: one line, exit status 1, and nothing is lost.

Each kind of run is made again for each of its writes. Files of tensors are written by code that Python's own functions
do not see, so a disk of its own is filled for real; what has no need of room, such as fsync and rename, is refused.
"""

import builtins
import errno
import os
import re
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from children import exit_code, start_child
from safetensors import SafetensorError
from test_disk import disk, errors_in  # noqa: F401 - a fixture
from test_fit_resume import CASES, given, outcome  # noqa: F401 - a fixture
from test_fit_resume import options_for as fit_options
from test_probe import counting  # noqa: F401 - a fixture
from test_stopping import assert_same_run, root  # noqa: F401 - a fixture
from test_stopping import options_for as ppo_options

from agents import train_ppo
from backbones.checkpoints import checkpoints_of, is_sound

pytestmark = pytest.mark.long
KINDS = ("PPO", "sft", "reward model")


def writes(path, mode="r", *rest, **others):
    return any(letter in mode for letter in "wax+")


def opens_to_write(path, flags, *rest, **others):
    return flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)


def watch_writes(before):
    """Calls `before` with the number of each operation that changes a disk, and what of; returns a count of them."""
    count = 0

    def counted(module, name, changes=lambda *arguments, **others: True):
        plain = getattr(module, name)

        def call(*arguments, **others):
            nonlocal count
            if changes(*arguments, **others):
                count += 1
                before(count, arguments[0])
            return plain(*arguments, **others)

        setattr(module, name, call)

    for name in ("fsync", "rename", "replace", "mkdir"):
        counted(os, name)
    counted(os, "open", opens_to_write)
    counted(builtins, "open", writes)
    for name in ("backbones.checkpoints", "backbones.roles"):
        counted(sys.modules[name], "save_file")
    return lambda: count


def fill(folder):
    """Takes all room that a small disk has; never that of a larger one, should nothing be mounted there any more."""
    room = shutil.disk_usage(folder).free
    assert os.path.ismount(folder)
    assert room < 2**24
    with open(folder / "filler", "ab", buffering=0) as file:
        for size in (2**16, 4096, 1):
            with suppress(OSError):
                for _ in range(room // size + 1):
                    file.write(b"x" * size)
    assert shutil.disk_usage(folder).free == 0


def refuse(what):
    """Says what the system says: no name of a file, where it was given an open one, or what Rust makes of it."""
    if isinstance(what, dict):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), *([] if isinstance(what, int) else [str(what)]))


class Kind:
    """A kind of run: how it begins or goes on in a folder, and whether two of its folders hold the same."""

    def __init__(self, name, root, given):  # noqa: F811
        self.name, self.root, self.given = name, root, given
        self.module = train_ppo if name == "PPO" else CASES[name][0]

    def options(self, folder):
        if self.name == "PPO":
            return ppo_options(self.root, folder, checkpoint_every=1, total_timesteps=4, preflight=False)
        return fit_options(self.name, self.given, folder, epochs=1, batch_size=24)

    def go(self, folder):
        if (folder / "config.yaml").exists():
            self.module.train(self.module.read_options(["--resume", str(folder)]))
        else:
            shutil.rmtree(folder, ignore_errors=True)
            self.module.train(self.options(folder))

    def assert_same(self, first, second):
        if self.name == "PPO":
            assert_same_run(first, second)
        else:
            assert outcome(first) == outcome(second)


@pytest.fixture(params=KINDS)
def kind(request, root, given):  # noqa: F811
    return Kind(request.param, root, given)


@pytest.mark.parametrize("how", ["full", "refused"])
def test_no_room_at_any_write_of_a_run(how, kind, disk, tmp_path, record_property):  # noqa: F811
    whole, place, counted = tmp_path / "whole", disk(8000), tmp_path / "counted"

    def count():
        written = watch_writes(lambda number, what: None)
        kind.go(whole)
        Path(counted).write_text(str(written()))

    assert exit_code(start_child(count)) == 0
    run, trials, ended = place / "run", int(counted.read_text()), 0
    for number in range(1, trials + 1):
        said = tmp_path / f"said-{number}"

        def strike(reached, what):
            if reached == number:  # noqa: B023
                fill(place) if how == "full" else refuse(what)

        code = exit_code(start_child(lambda: kind.go(run), before=lambda: watch_writes(strike), said=said))
        (place / "filler").unlink(missing_ok=True)
        errors = errors_in(said)
        assert (code, len(errors)) in ((1, 1), (0, 0)), (number, code, said.read_text())
        if code:  # else nothing of the run needed room any more, or what did was not missed
            ended += 1
            assert re.match(rf"error: {re.escape(str(place))}\S*: No space left on device", errors[0]), (number, errors)
        assert all(is_sound(checkpoint) for checkpoint in checkpoints_of(run)), number
        if not (run / "summary.json").exists():
            assert exit_code(start_child(lambda: kind.go(run), said=said)) == 0, (number, said.read_text())
        kind.assert_same(whole, run)
        shutil.rmtree(run)
    record_property("trials", trials)
    record_property("ended by it", ended)
    assert ended >= trials / 2
