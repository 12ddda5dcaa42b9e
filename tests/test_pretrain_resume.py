"""Pretraining goes on as if nothing had been: whenever it was ended, in the same bytes."""

import json
import os
import shutil
import signal

import pytest
from children import exit_code, in_child, start_child, wait_until
from command_modules import command_module

from agents.pretrain.pictures import Scenes
from agents.pretrain.screens import Screens
from agents.pretrain.texts import MiniatureTexts
from backbones.checkpoints import CheckpointError, checkpoints_of, is_sound, step_of
from perlhf import stopping
from perlhf.errors import UserError

command = command_module("agents.pretrain.__main__")

SMALL = "--batch-size 4 --vocab-size 300 --hidden-size 16 --layers 2 --steps 6 --checkpoint-every 2"
CASES = {  # AdamW, Muon with a share of the prompt tokens that is drawn, from another backbone, pictures, screens
    "text": f"tiny {SMALL}",
    "muon": f"tiny-taskmaster-liked {SMALL}",
    "start": "tiny-shp --batch-size 2 --steps 6 --checkpoint-every 2",
    "pictures": f"tiny-vqav2-told {SMALL}",
    "screens": f"tiny-uinav-pixels {SMALL}",
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    make_quick(monkeypatch)


def make_quick(monkeypatch):
    monkeypatch.setattr(MiniatureTexts, "golds", lambda self, backbone: {})
    monkeypatch.setattr(Scenes, "measures", lambda self, backbone: ({}, {}))
    monkeypatch.setattr(Screens, "measures", lambda self, backbone: ({}, {}))
    monkeypatch.setattr("agents.pretrain.pictures.TYPICAL", 100)
    monkeypatch.setattr("agents.pretrain.texts.TYPICAL", 300)  # documents that the tokenizer is made from


def begin(case, folder, *more):
    command.pretrain(command.read_options([*CASES[case].split(), "--output-dir", str(folder), *more]))


def go_on(folder, *more):
    command.pretrain(command.read_options(["--resume", str(folder), *more]))


def outcome(folder):
    left = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "pretraining.json"}
    record = json.loads((folder / "pretraining.json").read_text())
    del record["cpu_seconds"]
    return {**left, "record": record}


def stop_at(step, monkeypatch, function, *arguments):
    """Has a signal ask at a step."""
    asked = iter([0] * (2 * step - 2) + [signal.SIGTERM] * 2)  # it is looked at twice a step
    with monkeypatch.context() as patch:
        patch.setattr(stopping, "asked", lambda: next(asked))
        with pytest.raises(stopping.Stopped) as stopped:
            function(*arguments)
    assert stopped.value.status == 143


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A pretraining that a signal ended in its third step."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patch:
        make_quick(patch)
        stop_at(3, patch, begin, "text", folder)
    return folder


@pytest.fixture
def cut(stopped, tmp_path):
    return shutil.copytree(stopped, tmp_path / "cut")


def test_what_a_signal_ends_goes_on_in_the_same_bytes(cut, tmp_path):
    assert [path.name for path in checkpoints_of(cut)] == ["step-3", "step-2"]
    begin("text", tmp_path / "whole")
    go_on(cut)
    assert outcome(cut) == outcome(tmp_path / "whole")
    assert {"config.yaml", "checkpoints"}.isdisjoint(outcome(cut))
    assert message_of(go_on, cut) == f"{cut} is finished; --overwrite makes it anew."


def test_an_unfinished_one_is_neither_begun_anew_unasked_nor_changed(cut):
    message = message_of(begin, "text", cut)
    assert message == f"{cut} holds an unfinished pretraining; go on with --resume {cut}, or --overwrite."
    assert "cannot change on resume: steps is 6, got 7." in message_of(go_on, cut, "--steps", "7")
    assert all(map(is_sound, checkpoints_of(cut)))


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_it_goes_on_at_any_step_in_the_same_bytes(case, tmp_path, monkeypatch, capsys):
    begin(case, tmp_path / "whole")
    wanted = outcome(tmp_path / "whole")
    for step in (1, 4, 6):
        cut = tmp_path / f"cut-{step}"
        stop_at(step, monkeypatch, begin, case, cut)
        assert capsys.readouterr().err.strip().splitlines()[-1] == f"stopped; go on with --resume {cut}"
        assert checkpoints_of(cut)[0].name == f"step-{step}"
        go_on(cut)
        assert outcome(cut) == wanted


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_it_goes_on_after_it_was_killed_in_the_same_bytes(case, tmp_path):
    assert in_child(lambda: begin(case, tmp_path / "whole", "--steps", "30")) == 0
    run = tmp_path / "killed"
    child = start_child(lambda: begin(case, run, "--steps", "30", "--keep-checkpoints", "1"))
    wait_until(lambda: checkpoints_of(run) and step_of(checkpoints_of(run)[0]) >= 4)
    os.kill(child, signal.SIGKILL)
    assert exit_code(child) == -signal.SIGKILL
    assert not (run / "pretraining.json").exists()
    assert in_child(lambda: go_on(run)) == 0
    assert outcome(run) == outcome(tmp_path / "whole")


def message_of(function, *arguments):
    with pytest.raises(UserError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.long
def test_it_is_begun_anew_where_that_is_asked_for(cut, tmp_path):
    begin("text", tmp_path / "whole")
    begin("text", cut, "--overwrite")
    assert outcome(cut) == outcome(tmp_path / "whole")


@pytest.mark.long
@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("seed: 0", "seed: 1", "the documents are not those of the checkpoint"),
        ("hidden_size: 16", "hidden_size: 24", "the checkpoint is of another model: model"),
    ],
)
def test_another_one_is_noticed(before, after, message, cut):
    config = (cut / "config.yaml").read_text()
    assert before in config
    (cut / "config.yaml").write_text(config.replace(before, after))
    with pytest.raises(CheckpointError, match=message):
        go_on(cut)


@pytest.mark.long
def test_a_damaged_checkpoint_is_set_aside(cut, tmp_path, capsys):
    begin("text", tmp_path / "whole")
    (cut / "checkpoints" / "step-3" / "state.json").write_text("{}")
    go_on(cut)
    assert "step-3/state.json is missing or altered" in capsys.readouterr().err
    assert outcome(cut) == outcome(tmp_path / "whole")
