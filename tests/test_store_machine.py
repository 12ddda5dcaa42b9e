"""The store of checkpoints, and the lock of its run, against a dictionary of what should be there."""

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from machines import played

from backbones.checkpoints import (
    CheckpointError,
    Saved,
    checkpoints_of,
    go_on_from_newest,
    is_sound,
    keep_newest,
    newest_sound_checkpoint,
    place_of,
    read_checkpoint,
    step_of,
    verify,
    write_checkpoint,
)
from perlhf import run_lock
from perlhf.errors import UserError
from perlhf.sealed_folder import SealError

DAMAGES = ("flip", "cut", "delete", "add", "no manifest", "empty")
DISK = ("rename", "replace", "fsync", "mkdir")  # functions of os that a save calls
moments = st.integers(1, 16) | st.integers(13, 16)  # of them; the last of a save with a sealed folder's renames
steps = st.integers(1, 4)


def at_call(number, do):
    """A patch of `os` whose `number`th call of what a save does to the disk does something else."""
    patch, left = pytest.MonkeyPatch(), [number]
    for name, own in [(name, getattr(os, name)) for name in DISK]:

        def instead(*arguments, own=own, **options):
            left[0] -= 1
            if left[0] == 0:
                do()
            return own(*arguments, **options)

        patch.setattr(os, name, instead)
    return patch, left


def damage(folder, kind, draw):
    """Does one thing to a checkpoint that makes it another."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path = files[draw % len(files)]
    content = path.read_bytes()
    if kind == "flip":
        at = draw % len(content)
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << draw % 8]) + content[at + 1 :])
    elif kind == "cut":
        path.write_bytes(content[: draw % len(content)])
    elif kind == "delete":
        path.unlink()
    elif kind == "add":
        (folder / "more.json").write_text("{}")
    elif kind == "no manifest":
        (folder / "manifest.json").unlink()
    else:
        shutil.rmtree(folder)
        folder.mkdir()


class Store(RuleBasedStateMachine):
    """A run that learns, saves, is refused by its disk or killed, is damaged, and goes on.

    `there` is what should be: by step the value that was saved, or None where it is damaged. `weight` and `best` are
    what the run has learned.
    """

    @initialize()
    def begin(self):
        self.run = Path(tempfile.mkdtemp())
        self.there, self.aside, self.weight, self.best = {}, set(), 0, 0
        self.locked = False

    def teardown(self):
        if hasattr(self, "run"):
            run_lock.release(self.run)
            shutil.rmtree(self.run)

    @rule(value=st.integers(0, 9))
    def learn(self, value):
        self.weight, self.best = value, max(self.best, value)

    def saved(self):
        tensors = {"weight": torch.full((2, 3), float(self.weight)), "best": torch.tensor(self.best)}
        return Saved(tensors, {"weight": self.weight, "best": self.best})

    def write(self, step):
        write_checkpoint(place_of(self.run, step), self.saved(), lambda part: (part / "log.txt").write_text("x"))

    def is_no_checkpoint(self, step):
        folder = place_of(self.run, step)
        return folder.exists() and not (folder / "manifest.json").exists()

    @rule(step=steps)
    def save(self, step):
        if self.is_no_checkpoint(step):
            with pytest.raises(SealError, match="exists and is no checkpoint"):
                self.write(step)
        else:
            self.write(step)
            self.there[step] = (self.weight, self.best)

    @rule(step=steps, number=moments)
    def save_on_a_disk_that_refuses(self, step, number):
        def refuse():
            raise OSError(28, "No space left on device")

        if self.is_no_checkpoint(step):
            return
        before = sorted(path.name for path in (self.run / "checkpoints").glob("*"))
        patch, left = at_call(number, refuse)
        try:
            self.write(step)
        except OSError:
            if self.read(step) != (self.weight, self.best) or left[0] > 0:
                after = sorted(path.name for path in (self.run / "checkpoints").glob("*"))
                assert [name for name in after if not name.startswith(".")] == [
                    name for name in before if not name.startswith(".")
                ]
                return
        finally:
            patch.undo()
        self.there[step] = (self.weight, self.best)

    @rule(step=steps, number=moments)
    def save_and_be_killed(self, step, number):
        if self.is_no_checkpoint(step):
            return
        child = os.fork()
        if child == 0:
            at_call(number, lambda: os._exit(9))
            self.write(step)
            os._exit(0)
        ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        now, before, folder = (self.weight, self.best), self.there.get(step), place_of(self.run, step)
        is_there = folder if folder.exists() else folder.with_name(f".{folder.name}.old")
        if is_sound(is_there):
            state = json.loads((is_there / "state.json").read_text())
            self.there[step] = state["weight"], state["best"]
        assert self.there.get(step) in ([now] if ended else [now, before])
        self.resume(put_back=True)

    def read(self, step):
        """What is read of a checkpoint; None where there is none, or a damaged one."""
        try:
            tensors, state = read_checkpoint(place_of(self.run, step))
        except SealError:
            return None
        found = state["weight"], state["best"]
        assert tensors["weight"].tolist() == [[found[0]] * 3] * 2
        assert tensors["best"].item() == found[1]
        return found

    @precondition(lambda self: any(self.there.values()))
    @rule(number=st.integers(0, 9), kind=st.sampled_from(DAMAGES), draw=st.integers(0, 10_000))
    def damage(self, number, kind, draw):
        sound = sorted(step for step, value in self.there.items() if value is not None)  # twice might undo it
        step = sound[number % len(sound)]
        damage(place_of(self.run, step), kind, draw)
        self.there[step] = None

    @rule(put_back=st.booleans())
    def resume(self, put_back):
        sound = [step for step, value in self.there.items() if value is not None]
        restored = []

        def restore(saved):
            if not put_back:
                raise CheckpointError("of another base.")
            restored.append(saved)

        if self.there and not sound:
            with pytest.raises(CheckpointError, match="has no checkpoint to go on from"):
                go_on_from_newest(self.run, restore)
        elif not sound:
            assert go_on_from_newest(self.run, restore) is None
            self.weight, self.best = 0, 0
        elif not put_back:
            with pytest.raises(CheckpointError, match="of another base"):
                go_on_from_newest(self.run, restore)
        else:
            assert go_on_from_newest(self.run, restore) == place_of(self.run, max(sound))
            (saved,) = restored
            self.weight, self.best = saved.state["weight"], saved.state["best"]
            assert (self.weight, self.best) == self.there[max(sound)]
            for step in [step for step in self.there if step > max(sound)]:
                del self.there[step]
                self.aside.add(step)

    @precondition(lambda self: any(self.there.values()))
    @rule(number=st.integers(0, 9), count=st.integers(1, 3))
    def keep_some(self, number, count):
        step = sorted(self.there)[number % len(self.there)]
        if self.there[step] is None:
            with pytest.raises(OSError, match="deleted or altered"):
                keep_newest(place_of(self.run, step), count)
            return
        keep_newest(place_of(self.run, step), count)
        kept = sorted((other for other, value in self.there.items() if value and other <= step), reverse=True)[:count]
        oldest = kept[-1] if len(kept) == count else 0  # of too few sound ones all stay, and what is damaged too
        self.there = {other: value for other, value in self.there.items() if other >= oldest}

    @rule()
    def take_the_lock(self):
        assert run_lock.take(self.run) is not self.locked
        self.locked = True

    @rule()
    def let_the_lock_go(self):
        run_lock.release(self.run)
        self.locked = False

    @rule()
    def another_process_comes(self):
        child = os.fork()
        if child == 0:
            try:
                run_lock.take(self.run)
            except UserError as error:
                os._exit(3 if f"by process {os.getppid()} on" in str(error) else 4)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == (3 if self.locked else 0)

    @invariant()
    def all_is_there_and_nothing_else(self):
        if not hasattr(self, "run"):
            return
        folders = checkpoints_of(self.run)
        assert [step_of(folder) for folder in folders] == sorted(self.there, reverse=True)
        assert {folder.name for folder in (self.run / "checkpoints").glob("bad-*")} == {
            f"bad-step-{step}" for step in self.aside
        }
        for step, value in self.there.items():
            assert is_sound(place_of(self.run, step)) is (value is not None)
            assert self.read(step) == value
            if value is None:
                with pytest.raises(SealError):
                    verify(place_of(self.run, step))
        sound = [step for step, value in self.there.items() if value is not None]
        newest, problems = newest_sound_checkpoint(self.run)
        assert newest == (place_of(self.run, max(sound)) if sound else None)
        assert len(problems) == sum(step > max(sound, default=0) for step in self.there)


test_store = played(Store, few=12, many=400, steps=20)


def test_a_save_in_the_place_of_another_may_be_killed_anywhere():
    ended = 0
    for moment in range(1, 30):
        store = Store()
        store.begin()
        store.learn(4)
        store.save(1)
        store.learn(5)
        store.save_and_be_killed(1, moment)
        store.all_is_there_and_nothing_else()
        ended += store.weight == 5
        store.teardown()
    assert 12 <= ended < 29  # it takes fewer than 17 calls, and the new one is there after the last rename alone
