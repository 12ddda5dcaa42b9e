"""Checkpoints that were altered in any way: always noticed, one line names the file, and the one before is taken.

`make test` does this to a small checkpoint; long tests to those of PPO, SFT and reward models, a thousand times.
"""

import json
import os
import random
import shutil
from collections import Counter

import pytest
import torch
from children import in_child
from damage import damage_bytes
from test_checkpoints import run as small_run  # noqa: F401 - a fixture
from test_fit_resume import CASES, given, options_for, outcome  # noqa: F401 - a fixture
from test_probe import counting  # noqa: F401 - a fixture
from test_stopping import assert_same_run, root  # noqa: F401 - a fixture
from test_stopping import options_for as ppo_options

from agents.train_ppo import read_options, train
from backbones.checkpoints import checkpoints_of, go_on_from_newest, read_checkpoint

TRIALS = 340  # of each of three kinds of run


def flip(file, rng, other):
    """One bit."""
    content = bytearray(file.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    file.write_bytes(content)


def few_bytes(file, rng, other):
    """Flipped, deleted, inserted or cut."""
    file.write_bytes(damage_bytes(file.read_bytes(), rng))


def random_range(file, rng, other):
    content = bytearray(file.read_bytes())
    start = rng.randrange(len(content))
    end = min(len(content), start + rng.choice((1, 16, 512, 4096)))
    content[start:end] = rng.randbytes(end - start)
    file.write_bytes(content)


def zeros(file, rng, other):
    """A block that was never written, or the whole file."""
    content = bytearray(file.read_bytes())
    start = rng.choice((0, rng.randrange(len(content)) // 512 * 512))
    end = rng.choice((len(content), min(len(content), start + 512)))
    content[start:end] = bytes(end - start)
    file.write_bytes(content)


def cut(file, rng, other):
    os.truncate(file, rng.randrange(file.stat().st_size))


def emptied(file, rng, other):
    os.truncate(file, 0)


def longer(file, rng, other):
    file.write_bytes(file.read_bytes() + rng.choice((b"\n", b"\0" * 512, rng.randbytes(20), file.read_bytes())))


def deleted(file, rng, other):
    file.unlink()


def folder_instead(file, rng, other):
    file.unlink()
    file.mkdir()


def link_to_nothing(file, rng, other):
    file.unlink()
    file.symlink_to(file.parent / "nothing")


def link_to_itself(file, rng, other):
    file.unlink()
    file.symlink_to(rng.choice((".", file.name)))


def link_to_another(file, rng, other):
    file.unlink()
    file.symlink_to(other)


def pipe_instead(file, rng, other):
    """Reading it would wait for ever."""
    file.unlink()
    os.mkfifo(file)


def swapped(file, rng, other):
    """Two files of the checkpoint have each other's names."""
    first, second = file.read_bytes(), other.read_bytes()
    file.write_bytes(second)
    other.write_bytes(first)


def of_the_one_before(file, rng, other):
    """The file of the checkpoint before, as a copy that was cut short leaves it."""
    before = checkpoints_of(run_of(file))[1] / file.relative_to(checkpoints_of(run_of(file))[0])
    shutil.copy(before, file)


def same_key_twice(file, rng, other):
    """A header of tensors, or an object of JSON, in which a name stands a second time."""
    content = file.read_bytes()
    if file.suffix == ".safetensors":
        size = int.from_bytes(content[:8], "little")
        header = content[8 : 8 + size].rstrip()
        name, entry = next(item for item in json.loads(header).items() if item[0] != "__metadata__")
        again = header[:-1] + f",{json.dumps(name)}:{json.dumps(entry)}".encode() + b"}"
        content = len(again).to_bytes(8, "little") + again + content[8 + size :]
    else:
        content = content.replace(b"{", b'{"format": 3, ', 1)
    file.write_bytes(content)


DAMAGES = (
    flip, few_bytes, random_range, zeros, cut, emptied, longer, deleted, folder_instead, link_to_nothing,
    link_to_itself, link_to_another, pipe_instead, swapped, of_the_one_before, same_key_twice,
)  # fmt: skip


def run_of(file):
    """The run folder that a file of a checkpoint is in."""
    return next(folder.parent for folder in file.parents if folder.name == "checkpoints")


def state_of(folder):
    """What every file under a folder holds, and what is no file."""
    return {
        path: path.read_bytes() if path.is_file() else f"no file: {path.is_symlink()} {path.is_dir()} {path.is_fifo()}"
        for path in sorted(folder.rglob("*"))
    }


def damage(run, rng, kind):
    """Damages a file of the newest checkpoint; returns the files that may be named."""
    newest = checkpoints_of(run)[0]
    files = sorted(path for path in newest.rglob("*") if path.is_file())
    before = state_of(newest)
    while state_of(newest) == before:  # zeros where there were zeros, or a file that is the same in both checkpoints
        file, other = rng.sample(files, 2)
        kind(file, rng, other)
    return (file, other) if kind is swapped else (file,)


def assert_noticed(run, named, capsys):
    """The checkpoint before is read, byte by byte, and one line names the file."""
    newest, before = checkpoints_of(run)[:2]
    wanted, found = read_checkpoint(before), []
    assert go_on_from_newest(run, found.append) == before
    (saved,) = found
    assert saved.state == wanted.state
    assert saved.tensors.keys() == wanted.tensors.keys()
    assert all(torch.equal(saved.tensors[name], tensor) for name, tensor in wanted.tensors.items())
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: ")
    # A manifest that was altered disagrees with a file that was not, and without one a folder is no checkpoint.
    names = [str(newest) if path.name == "manifest.json" else str(path) for path in named]
    assert any(name in line for name in names), line
    assert not newest.exists()
    assert newest.with_name(f"bad-{newest.name}").is_dir()


def damage_many(run, folder, seeds, capsys):
    """Damages copies of a run's checkpoints; returns how often which kind of damage was noticed."""
    noticed = Counter()
    for seed in seeds:
        kind, copy = DAMAGES[seed % len(DAMAGES)], folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(run / "checkpoints", copy / "checkpoints")
        assert_noticed(copy, damage(copy, random.Random(seed), kind), capsys)
        noticed[kind.__name__] += 1
    return noticed


def test_whatever_is_done_to_a_file_of_a_checkpoint_is_noticed(small_run, tmp_path, capsys):  # noqa: F811
    noticed = damage_many(small_run, tmp_path, range(2 * len(DAMAGES)), capsys)
    assert noticed == {kind.__name__: 2 for kind in DAMAGES}


@pytest.fixture(scope="module", params=["PPO", "sft", "reward model"])
def whole(request, root, given, tmp_path_factory):  # noqa: F811
    """A kind of run, one that ended, and one that was ended after its third checkpoint."""
    folder = tmp_path_factory.mktemp("runs")
    train_it = starter(request.param, root, given)
    assert in_child(lambda: train_it(folder / "whole")) == 0
    shutil.copytree(folder / "whole", folder / "cut")
    for checkpoint in checkpoints_of(folder / "cut")[:-3]:
        shutil.rmtree(checkpoint)
    (folder / "cut" / "summary.json").unlink()
    return request.param, folder


def starter(kind, root, given):  # noqa: F811
    if kind == "PPO":
        return lambda folder: train(ppo_options(root, folder, checkpoint_every=1, keep_checkpoints=100))
    return lambda folder: CASES[kind][0].train(options_for(kind, given, folder))


@pytest.mark.long
def test_a_thousand_damaged_checkpoints(whole, tmp_path, capsys, record_property):
    kind, folder = whole
    noticed = damage_many(folder / "cut", tmp_path, range(TRIALS), capsys)
    record_property("trials", TRIALS)
    print(f"\n{kind}: {sum(noticed.values())} of {TRIALS} noticed, {dict(noticed)}")


@pytest.mark.long
@pytest.mark.parametrize("damaged", DAMAGES, ids=lambda kind: kind.__name__)
def test_a_run_whose_newest_checkpoint_is_damaged_ends_in_the_same_bytes(whole, damaged, tmp_path):
    kind, folder = whole
    run, said = tmp_path / "run", tmp_path / "said"
    shutil.copytree(folder / "cut", run)
    damage(run, random.Random(damaged.__name__), damaged)
    module = CASES[kind][0] if kind in CASES else None
    go_on = (lambda: train(read_options(["--resume", str(run)]))) if module is None else (
        lambda: module.train(module.read_options(["--resume", str(run)]))
    )  # fmt: skip
    assert in_child(go_on, said=said) == 0
    warnings = [line for line in said.read_text().splitlines() if line.startswith(f"warning: {run}")]
    assert len(warnings) == 1
    assert "Traceback" not in said.read_text()
    if kind == "PPO":
        assert_same_run(folder / "whole", run)
    else:
        assert outcome(run) == outcome(folder / "whole")
