"""SFT and reward models go on as if nothing had been: whenever they were ended, in the same bytes."""

import json
import os
import random
import shutil
import signal
import time

import pytest
import torch
from children import exit_code, in_child, lines_in, start_child, wait_until
from command_modules import command_module
from test_probe import counting, sayings, write_pairs  # noqa: F401 - a fixture
from test_run_lock import Holder

from agents import train_sft
from backbones.checkpoints import CheckpointError, checkpoints_of, is_sound, read_checkpoint
from perlhf.errors import UserError

train_reward_model = command_module("rewards.train_reward_model")

CASES = {
    "sft": (train_sft, {"records": 24}),
    # What the frozen layers give is kept from the first pass on.
    "sft, upper half": (train_sft, {"records": 24, "lora_layers": "half"}),
    "sft, all weights": (train_sft, {"records": 24, "full": True}),
    # Dropout draws from torch's random state.
    "reward model": (train_reward_model, {"pairs": 24, "start": "random", "lora_dropout": 0.3}),
    "reward model from a probe": (train_reward_model, {"start": "probe", "batch_size": 24}),
}


@pytest.fixture(scope="module")
def given(counting, tmp_path_factory):  # noqa: F811
    file = write_pairs(tmp_path_factory.mktemp("data") / "pairs.jsonl", sayings(120))
    return {"data": file, "backbone": counting.path, "threads": 1}


def options_for(case, given, folder, **others):
    command, settings = CASES[case]
    small = {"epochs": 2, "batch_size": 8, "checkpoint_every": 1, "keep_checkpoints": 100, **settings, **others}
    return command.Options(**given, **small, output_dir=str(folder))


def outcome(folder):
    """Everything that a run leaves but its checkpoints, what it cost and what it is called."""
    left = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_file() and not name.startswith("checkpoints/") and path.suffix in (".safetensors", ".jsonl"):
            left[name] = path.read_bytes()
    summary = json.loads((folder / "summary.json").read_text())
    for name in ("seconds", "cpu_seconds", "peak_rss_mb", "pairs_per_cpu_second"):
        summary.pop(name, None)
    return left, summary


def test_dropout_follows_from_the_seed(given, tmp_path):
    for state in (1, 2):
        torch.manual_seed(state)
        train_reward_model.train(options_for("reward model", given, tmp_path / str(state)))
        assert torch.initial_seed() == state
    assert outcome(tmp_path / "1") == outcome(tmp_path / "2")


def cut_after(folder, step):
    """Makes a finished run what it was when it was killed somewhere behind the checkpoint of a step."""
    for checkpoint in checkpoints_of(folder):
        if int(checkpoint.name.removeprefix("step-")) > step:
            shutil.rmtree(checkpoint)
    for name in ("backbone", "summary.json"):
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    with open(folder / "metrics.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 3, "lo')


@pytest.mark.parametrize("case", CASES)
def test_every_kind_goes_on_at_any_step_in_the_same_bytes(case, given, tmp_path):
    command, whole = CASES[case][0], tmp_path / "whole"
    command.train(options_for(case, given, whole))
    wanted, steps = outcome(whole), lines_in(whole / "metrics.jsonl")
    assert [path.name for path in checkpoints_of(whole)] == [f"step-{step}" for step in range(steps, 0, -1)]
    assert steps in (6, 8)
    for step in (2, steps - 1, steps):  # in the first pass, in the second, and behind all
        cut = tmp_path / f"cut-{step}"
        shutil.copytree(whole, cut)
        cut_after(cut, step)
        command.train(command.read_options(["--resume", str(cut)]))
        assert outcome(cut) == wanted
        summary = json.loads((cut / "summary.json").read_text())
        assert summary["cpu_seconds"] >= read_checkpoint(checkpoints_of(cut)[-1]).state["cost"]["cpu_seconds"]


@pytest.mark.parametrize("case", ["sft", pytest.param("reward model from a probe", marks=pytest.mark.long)])
def test_a_run_that_is_killed_goes_on_in_the_same_bytes(case, given, tmp_path):
    command = CASES[case][0]
    for name in ("whole", "killed"):
        run, kills = tmp_path / name, name == "killed"
        child = start_child(lambda: command.train(options_for(case, given, run)))  # noqa: B023
        if kills:
            wait_until(lambda: lines_in(run / "metrics.jsonl") >= 4)  # noqa: B023
            os.kill(child, signal.SIGKILL)
        assert exit_code(child) == (-signal.SIGKILL if kills else 0)
    assert not (run / "summary.json").exists()
    assert in_child(lambda: command.train(command.read_options(["--resume", str(run)]))) == 0
    assert outcome(run) == outcome(tmp_path / "whole")


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_a_run_that_is_killed_again_and_again_ends_in_the_same_bytes(case, given, tmp_path, record_property):
    """At random moments, also in the middle of a save, until it is done: the first in the first half of the run."""
    command, rng, kills, start = CASES[case][0], random.Random(case), 0, time.monotonic()
    assert in_child(lambda: command.train(options_for(case, given, tmp_path / "whole"))) == 0
    took, wanted = time.monotonic() - start, outcome(tmp_path / "whole")
    for trial in range(4):
        run, longest = tmp_path / f"run-{trial}", took / 2
        while not (run / "summary.json").exists():

            def go_on(run=run):
                if (run / "config.yaml").exists():
                    command.train(command.read_options(["--resume", str(run)]))
                else:
                    shutil.rmtree(run, ignore_errors=True)
                    command.train(options_for(case, given, run))

            child = start_child(go_on)
            time.sleep(rng.uniform(0, longest))
            longest *= 1.3
            os.kill(child, signal.SIGKILL)
            kills += exit_code(child) != 0
        assert outcome(run) == wanted
    record_property("trials", 4)
    record_property("kills", kills)
    assert kills >= 4


@pytest.mark.parametrize(("case", "number"), [("sft", signal.SIGTERM), ("reward model", signal.SIGINT)])
def test_a_run_that_is_asked_to_stop_saves_and_goes_on_in_the_same_bytes(case, number, given, tmp_path):
    command, said = CASES[case][0], tmp_path / "said"
    assert in_child(lambda: command.train(options_for(case, given, tmp_path / "whole"))) == 0
    run = tmp_path / "run"
    child = start_child(lambda: command.train(options_for(case, given, run, checkpoint_every=100)), said=said)
    wait_until(lambda: lines_in(run / "metrics.jsonl") >= 2)
    os.kill(child, number)
    assert exit_code(child, 30) == 128 + number
    assert said.read_text().strip().splitlines()[-1].endswith(f"go on with --resume {run}")
    (checkpoint,) = checkpoints_of(run)
    assert is_sound(checkpoint)
    assert read_checkpoint(checkpoint).state["step"] == lines_in(run / "metrics.jsonl")
    assert in_child(lambda: command.train(command.read_options(["--resume", str(run)])), said=said) == 0
    assert outcome(run) == outcome(tmp_path / "whole")


@pytest.fixture
def run(given, tmp_path):
    """A run of SFT that was ended after its first step."""
    folder = tmp_path / "run"
    train_sft.train(options_for("sft", given, folder))
    cut_after(folder, 1)
    return folder


def resume(folder, *words, command=train_sft):
    return command.train(command.read_options(["--resume", str(folder), *words]))


def test_the_newest_checkpoints_stay_and_how_many_may_change(run):
    resume(run, "--keep-checkpoints", "2", "--checkpoint-every", "2")
    assert [path.name for path in checkpoints_of(run)] == ["step-6", "step-4"]


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_taken(given, tmp_path, capsys):
    folder = tmp_path / "run"
    train_sft.train(options_for("sft", given, folder))
    wanted = outcome(folder)
    cut_after(folder, 3)
    (folder / "checkpoints" / "step-3" / "state.json").write_text("{}")
    resume(folder)
    assert "step-3/state.json is missing or altered" in capsys.readouterr().err
    assert (folder / "checkpoints" / "bad-step-3").is_dir()
    assert outcome(folder) == wanted


def message_of(function, *arguments, **others):
    with pytest.raises(UserError) as error:
        function(*arguments, **others)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_a_run_is_cannot_change_and_what_it_is_not_is_named(run, tmp_path):
    message = message_of(resume, run, "--epochs", "3", "--learning-rate", "1e-3")
    assert message.startswith(f"{run} cannot change on resume: epochs is 2, got 3; learning_rate is None, got 0.001.")
    message = message_of(resume, run, command=train_reward_model)
    assert message == (
        f"{run} is a run of agents.train_sft; --resume takes the folder of a rewards.train_reward_model run."
    )
    message = message_of(command_module("agents.train_ppo").read_options, ["--resume", str(run)])
    assert message == f"{run} is a run of agents.train_sft; --resume takes the folder of an agents.train_ppo run."
    assert message_of(resume, tmp_path / "none").startswith(f"{tmp_path / 'none'} holds no run")


def test_a_run_that_another_process_goes_on_with_is_left_alone(run):
    other = Holder(run)
    assert message_of(resume, run).startswith(f"{run} is being written to by process {other.process.pid} on ")
    other.end()


def test_a_finished_run_says_so(run):
    resume(run)
    assert message_of(resume, run) == f"{run} is finished; start a new run."


def test_other_records_are_no_run_to_go_on_with(run, given, tmp_path):
    config = (run / "config.yaml").read_text()
    other = write_pairs(tmp_path / "other.jsonl", sayings(120, seed=1))
    (run / "config.yaml").write_text(config.replace(given["data"], other))
    with pytest.raises(CheckpointError, match="the records are not those of the checkpoint: the data have changed"):
        resume(run)
    assert [path.name for path in checkpoints_of(run)] == ["step-1"]
