"""The store of checkpoints and the command that verifies one: damage is always noticed, in one line."""

import hashlib
import json
import random
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from damage import OTHER, damage_bytes, damage_fields
from safetensors.torch import save_file

from backbones.checkpoints import (
    CheckpointError,
    Saved,
    as_json,
    checkpoints_of,
    go_on_from_newest,
    is_sound,
    keep_newest,
    optimizer_tensors,
    place_of,
    read_checkpoint,
    restore_optimizer,
    step_of,
    verify,
    write_checkpoint,
)
from perlhf import cli, options
from perlhf.errors import UserError
from perlhf.metrics_log import read_metrics
from perlhf.run_folder import json_text, read_summary
from perlhf.sealed_folder import SealError


def saved(step):
    return Saved({"weight": torch.arange(6.0).view(2, 3) + step, "count": torch.tensor(step)}, {"step": step})


def adapter(part):
    (part / "policy").mkdir()
    save_file({"a": torch.ones(2)}, part / "policy" / "adapter_model.safetensors")


@pytest.fixture
def run(tmp_path):
    for step in (1, 2):
        write_checkpoint(place_of(tmp_path / "runs" / "run", step), saved(step), adapter)
    return tmp_path / "runs" / "run"


def newest_of(run):
    found = []
    go_on_from_newest(run, found.append)
    return found[0].state["step"]


def test_what_was_written_is_read(run):
    tensors, state = read_checkpoint(place_of(run, 2))
    assert state == {"step": 2}
    assert torch.equal(tensors["weight"], torch.arange(6.0).view(2, 3) + 2)
    assert newest_of(run) == 2


def test_a_checkpoint_is_these_files_of_this_format(tmp_path):
    # those of runs that are under way are read after an update of perlhf too
    save_file({"weight": torch.ones(2)}, tmp_path / "state.safetensors")
    (tmp_path / "state.json").write_text('{"step": 7}')
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 3, "files": hashes}, indent=2) + "\n")
    tensors, state = read_checkpoint(tmp_path)
    assert state == {"step": 7}
    assert tensors["weight"].tolist() == [1.0, 1.0]
    with pytest.raises(SealError, match=r"runs/none holds no checkpoint \(no manifest\.json\)\.$"):
        verify(Path("runs/none"))


def test_a_disk_that_does_not_say_which_file_it_was_is_spoken_for(run):
    def full(_):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        write_checkpoint(place_of(run, 3), saved(3), full)
    assert caught.value.filename == str(place_of(run, 3))


def manifests(manifest):
    """Manifests that a file system, a bug or an attacker may leave."""
    files = manifest["files"]
    yield from ({**manifest, "files": value} for value in (*OTHER, {}, [["a", "b"]], {"../x": "0"}))
    yield from (value for value in OTHER)
    for name in files:
        yield {**manifest, "files": {key: value for key, value in files.items() if key != name}}
        yield {**manifest, "files": {**files, name: None}}
    yield from (damage_fields(manifest, random.Random(seed)) for seed in range(60))


def test_no_other_manifest_makes_a_checkpoint_sound(run):
    path = place_of(run, 2) / "manifest.json"
    whole = json.loads(path.read_text())
    tried = 0
    for manifest in manifests(whole):
        if manifest == whole:
            continue
        path.write_text(json_text(manifest))
        with pytest.raises(SealError) as error:
            verify(place_of(run, 2))
        assert "\n" not in str(error.value)
        tried += 1
    assert tried > 60


def test_a_manifest_that_is_a_folder_or_brackets_is_damaged(run):
    path = place_of(run, 2) / "manifest.json"
    path.write_text("[" * 100_000)
    assert not is_sound(place_of(run, 2))
    path.unlink()
    path.mkdir()
    with pytest.raises(SealError, match=r"manifest.json is damaged; take an earlier checkpoint"):
        verify(place_of(run, 2))
    assert newest_of(run) == 1


def test_a_file_that_nobody_sealed_is_named_and_a_hidden_one_is_none_of_ours(run):
    checkpoint = place_of(run, 2)
    (checkpoint / ".DS_Store").write_text("of a file browser")
    verify(checkpoint)
    save_file({"a": torch.zeros(2)}, checkpoint / "policy" / "more.safetensors")
    with pytest.raises(SealError, match=r"policy/more\.safetensors is not in the manifest beside it"):
        verify(checkpoint)


def test_what_another_took_the_place_of_never_comes_back_later(run):
    shutil.copytree(place_of(run, 2), run / "checkpoints" / ".step-2.old")  # of a save whose last fsync failed
    (place_of(run, 2) / "state.json").write_text("{}")
    assert newest_of(run) == newest_of(run) == 1
    assert not list((run / "checkpoints").glob("*step-2*.old"))


def test_what_does_not_fit_sets_nothing_aside(run):
    (place_of(run, 2) / "state.json").write_text("{}")

    def refuse(_):
        raise CheckpointError("of another base.")

    with pytest.raises(CheckpointError):
        go_on_from_newest(run, refuse)
    assert place_of(run, 2).is_dir()
    assert newest_of(run) == 1
    assert not place_of(run, 2).exists()
    assert (run / "checkpoints" / "bad-step-2").is_dir()


def test_of_a_run_the_newest_sound_ones_are_kept_and_damaged_ones_set_aside(run, capsys):
    for step in (3, 4, 10):
        write_checkpoint(place_of(run, step), saved(step))
    (run / "checkpoints" / "step-x").mkdir()  # not ours
    (place_of(run, 3) / "state.json").unlink()
    with pytest.raises(OSError, match=r"deleted or altered while the run was under way: '.*/step-3'"):
        keep_newest(place_of(run, 3), 1)
    assert [step_of(folder) for folder in checkpoints_of(run)] == [10, 4, 3, 2, 1]
    keep_newest(place_of(run, 10), 3)
    assert [step_of(folder) for folder in checkpoints_of(run)] == [10, 4, 3, 2]  # 3 is none of the three
    (place_of(run, 10) / "state.json").write_text("{}")
    shutil.copytree(place_of(run, 4), run / "checkpoints" / "bad-step-10")  # of a run that was damaged before
    assert go_on_from_newest(run, lambda _: None) == place_of(run, 4)
    assert re.fullmatch(r"warning: .*step-10/state\.json is missing or altered; [^\n]*\n", capsys.readouterr().err)
    assert [step_of(folder) for folder in checkpoints_of(run)] == [4, 3, 2]
    assert (run / "checkpoints" / "bad-step-10" / "state.json").read_text() == "{}"
    keep_newest(place_of(run, 4), 1)
    assert [step_of(folder) for folder in checkpoints_of(run)] == [4]


def test_a_run_without_checkpoints_begins_anew_and_one_without_a_sound_one_does_not_go_on(run):
    assert go_on_from_newest(run / "none", pytest.fail) is None
    for step in (1, 2):
        (place_of(run, step) / "state.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no checkpoint to go on from: .*step-2/state\.json"):
        go_on_from_newest(run, pytest.fail)


# What goes into one


def test_numpy_and_paths_become_plain_json_and_nothing_else_does():
    given = {"a": np.float64(0.5), "b": [np.int64(3), np.array([[1, 2]])], "c": Path("x") / "y", "d": None, "e": "f"}
    assert as_json(given) == {"a": 0.5, "b": [3, [[1, 2]]], "c": "x/y", "d": None, "e": "f"}
    with pytest.raises(TypeError, match="set is not JSON"):
        as_json({"a": {1}})


def adam():
    """An optimizer of two weights of which the second has no gradient yet."""
    first, second = (torch.nn.Parameter(torch.tensor([float(n)])) for n in (1, 2))
    return first, torch.optim.Adam([first, second], lr=0.25)


def step(weight, optimizer):
    optimizer.zero_grad()
    (weight**2).sum().backward()
    optimizer.step()


def test_an_optimizer_goes_on_from_its_tensors():
    (weight, optimizer), (other_weight, other) = adam(), adam()
    step(weight, optimizer)
    tensors = optimizer_tensors(optimizer)
    assert set(tensors) == {"optimizer.0.step", "optimizer.0.exp_avg", "optimizer.0.exp_avg_sq"}
    assert tensors["optimizer.0.exp_avg"].item() == pytest.approx(0.1 * 2)  # of the gradient 2 w
    step(weight, optimizer)
    assert tensors["optimizer.0.step"].item() == 1.0  # a copy
    with torch.no_grad():
        other_weight.fill_(0.75)  # where the first step led: 1 - .25
    restore_optimizer(other, {"weight": torch.zeros(2), "optimizers.0.step": torch.zeros(1), **tensors})
    step(other_weight, other)
    assert other_weight.item() == pytest.approx(weight.item(), abs=1e-6)
    assert other.param_groups[0]["lr"] == 0.25


# The command


def checked(monkeypatch, capsys, *words):
    """What `perlhf checkpoint` prints, and its exit code."""
    monkeypatch.setattr(sys, "argv", ["perlhf", "checkpoint", *map(str, words)])
    monkeypatch.setattr(options, "called_as", "")
    code = 0
    try:
        cli.main()
    except SystemExit as left:
        code = left.code
    return code, capsys.readouterr()


def test_a_sound_run_is_told_checkpoint_by_checkpoint(run, monkeypatch, capsys):
    code, said = checked(monkeypatch, capsys, "verify", run)
    assert code == 0
    newest, older, last = said.out.splitlines()
    assert newest.startswith(f"sound    {place_of(run, 2)}: 4 files, ")
    assert newest.endswith(" MiB, 3 tensors, all finite")
    assert older.startswith(f"sound    {place_of(run, 1)}: ")
    assert last == "2 of 2 sound"


@pytest.mark.parametrize("where", ["checkpoints/step-2", "checkpoints", ".", ".."])
def test_a_checkpoint_its_folder_the_run_and_a_folder_of_runs_are_all_taken(run, where, monkeypatch, capsys):
    code, said = checked(monkeypatch, capsys, "verify", run / where, "--newest", "1")
    assert (code, said.out.splitlines()[-1]) == (0, "1 of 1 sound")


def test_a_damaged_one_is_named_and_the_exit_code_is_1(run, monkeypatch, capsys):
    file = place_of(run, 1) / "policy" / "adapter_model.safetensors"
    file.write_bytes(damage_bytes(file.read_bytes(), random.Random(0)))
    code, said = checked(monkeypatch, capsys, "verify", run)
    assert code == 1
    assert f"UNSOUND  {place_of(run, 1)}: {file} is missing or altered; take an earlier checkpoint." in said.out
    assert said.out.splitlines()[-1] == "1 of 2 sound"


def test_a_number_that_is_not_finite_is_named_though_every_hash_is_right(run, monkeypatch, capsys):
    bad = Saved({"weight": torch.tensor([1.0, float("nan"), float("inf")])}, {})
    write_checkpoint(place_of(run, 3), bad)
    code, said = checked(monkeypatch, capsys, "verify", run, "--newest", "1")
    assert code == 1
    assert "state.safetensors: weight holds 2 of 3 numbers that are not finite." in said.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["verfy", "x"], "unknown action 'verfy': perlhf checkpoint verify DIR."),
        (["verify"], "give a checkpoint or a run folder: perlhf checkpoint verify DIR."),
        (["verify", "/no/such/folder"], "/no/such/folder: No such file or directory"),
    ],
)
def test_what_cannot_be_verified_is_one_line(words, message, monkeypatch, capsys):
    code, said = checked(monkeypatch, capsys, *words)
    assert code in (1, 2)
    assert said.err == f"error: {message}\n"


def test_a_folder_without_checkpoints_says_so(tmp_path, monkeypatch, capsys):
    code, said = checked(monkeypatch, capsys, "verify", tmp_path)
    assert code == 2
    assert said.err.startswith(f"error: {tmp_path} holds no checkpoint: expected one")


def test_a_run_whose_summary_is_damaged_says_which_file(tmp_path):

    for text in ("{", "[]", "[" * 100_000, '{"a": 1', "\x00"):
        (tmp_path / "summary.json").write_text(text)
        with pytest.raises(UserError, match=r"summary\.json: .*; remove it to go on without") as error:
            read_summary(tmp_path)
        assert "\n" not in str(error.value)


def test_any_damage_to_the_log_is_one_line_that_names_the_row(tmp_path):

    whole = "".join(json.dumps({"step": step, "loss": 0.5 / step, "said": "é"}) + "\n" for step in (1, 2, 3)).encode()
    for seed in range(300):
        (tmp_path / "metrics.jsonl").write_bytes(damage_bytes(whole, random.Random(seed)))
        try:
            rows = read_metrics(tmp_path)
        except UserError as error:
            rows, said = [], str(error)
        else:
            said = f"{tmp_path / 'metrics.jsonl'}: sound"
        assert said.startswith(f"{tmp_path / 'metrics.jsonl'}:")
        assert "\n" not in said
        assert all(type(row["step"]) is int for row in rows)
