"""`--reproducible`: the same numbers whatever kernels the CPU would have, and however many threads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_modules import command_module
from tiny_models import gemma

from agents.train_ppo import Options, read_options, train
from perlhf import reproducible
from perlhf.errors import UserError

TESTS = Path(__file__).parent
MACHINES = [("default", "1"), ("avx2", "2"), ("avx512", "1")]  # torch's kernels, threads


def on_machine(kernels, threads, *words):
    """Starts Python as if it were on a CPU of such kernels."""
    settings = {"ATEN_CPU_CAPABILITY": kernels, "OMP_NUM_THREADS": threads}
    paths = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    inherited = {name: value for name, value in os.environ.items() if name not in reproducible.SETTINGS}
    environment = {**inherited, **settings, "PYTHONPATH": paths}
    return subprocess.run([sys.executable, *map(str, words)], env=environment, capture_output=True, text=True)


def outcome(run):
    """The log of a run but for its times, and its weights."""
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    log = [{key: value for key, value in row.items() if not key.startswith("time/")} for row in rows]
    files = sorted(path for path in run.rglob("*.safetensors") if "checkpoints" not in path.parts)
    return log, {str(path.relative_to(run)): path.read_bytes() for path in files}


@pytest.mark.parametrize("machines", [MACHINES[:2], pytest.param(MACHINES, marks=pytest.mark.long)], ids=len)
def test_other_kernels_and_threads_give_the_same_log_and_weights(machines, tmp_path):
    gemma(tmp_path / "backbone")
    found = []
    for kernels, threads in machines:
        run = tmp_path / kernels
        ended = on_machine(kernels, threads, TESTS / "on_any_cpu.py", tmp_path / "backbone", run, threads)
        assert ended.returncode == 0, ended.stderr
        found.append(outcome(run))
    log, weights = found[0]
    assert len(log) == 4
    assert set(weights) == {"policy/adapter_model.safetensors", "value/adapter_model.safetensors"}
    assert found[1:] == found[:1] * (len(machines) - 1)


COMMANDS = {
    "ppo": ("agents.train_ppo", "HH-v0 --eval-prompts 50"),
    "ppo, all weights": ("agents.train_ppo", "HH-v0 --full --total-timesteps 256 --eval-prompts 0"),
    "ppo on pictures": (
        "agents.train_ppo",
        "VQAv2-v0 --total-timesteps 256 --eval-prompts 0 --eval-every 0 --keep-best none",
    ),
    "sft": ("agents.train_sft", "HH-v0 --records 400 --eval-records 50"),
    "reward model": ("rewards.train_reward_model", "HH-v0 --pairs 400 --lora-dropout 0.1 --eval-pairs 50"),
    "reward model from a probe": ("rewards.train_reward_model", "HH-v0 --pairs 400 --start probe --eval-pairs 50"),
}


@pytest.mark.long
@pytest.mark.parametrize("case", COMMANDS)
def test_commands_give_the_same_under_other_kernels_and_threads(case, tmp_path):
    module, words = COMMANDS[case]
    found = []
    for kernels, threads in MACHINES:
        run = tmp_path / kernels
        given = [*words.split(), "--reproducible", "--threads", threads, "--output-dir", run]
        ended = on_machine(kernels, threads, "-m", module, *given)
        assert ended.returncode == 0, ended.stderr
        found.append(outcome(run))
    assert found[1:] == found[:1] * 2


@pytest.mark.long
def test_without_it_other_kernels_give_another_log(tmp_path):
    """So the others can fail."""
    logs = []
    for kernels in ("default", "avx2"):
        words = f"HH-v0 --total-timesteps 128 --eval-prompts 0 --output-dir {tmp_path / kernels}"
        assert on_machine(kernels, "1", "-m", "agents.train_ppo", *words.split()).returncode == 0
        logs.append(outcome(tmp_path / kernels)[0])
    assert logs[0] != logs[1]


def message_of(function, *arguments):
    with pytest.raises(UserError) as error:
        function(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("module", ["agents.train_ppo", "agents.train_sft", "rewards.train_reward_model"])
def test_called_with_libraries_loaded_it_says_what_to_start_python_with(module):
    command = command_module(module)
    message = message_of(command.train, command.Options(reproducible=True))
    assert message.startswith("reproducible: libraries are loaded with other settings; start with: env ATEN_CPU_CAPAB")
    assert message.endswith(" OPENBLAS_NUM_THREADS=1 python ...")
    assert "'NPY_DISABLE_CPU_FEATURES=X86_V4" in message


def test_what_is_set_after_the_start_does_not_count(monkeypatch):
    for name, value in reproducible.SETTINGS.items():
        monkeypatch.setenv(name, value)
    assert not reproducible.is_set()


def test_several_processes_are_not_started_anew(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    reproducible.start_again_where_unset()  # else pytest itself would begin again
    assert message_of(reproducible.require).endswith(" torchrun ...")


def test_a_gpu_is_refused():
    message = message_of(train, Options(reproducible=True, device="cuda"))
    assert message == "--reproducible is of CPUs, and --device is cuda; leave one of them out."


def test_a_run_that_goes_on_keeps_it(tmp_path):
    (tmp_path / "config.yaml").write_text("total_timesteps: 8\nreproducible: true\n")
    assert read_options(["--resume", str(tmp_path)]).reproducible
    message = message_of(read_options, ["--resume", str(tmp_path), "--no-reproducible"])
    assert "cannot change on resume: reproducible is True, got False." in message
