"""SFT, reward models, probes and evaluation in several processes; and how a run of several ends."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from in_fit_processes import commands
from safetensors.numpy import load_file
from tiny_models import save_gemma

from perlhf.errors import out_of_memory

TESTS = Path(__file__).parent
SCRIPT = str(TESTS / "in_fit_processes.py")
LOST = "error: another process of this run ended without a word; its launcher says which, and what killed it."
MEASURED = re.compile("seconds|peak_rss_mb|per_cpu_second")  # of the machine, and not of the run


def environment(**more):
    path = os.pathsep.join([str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return str(probe.getsockname()[1])


def torchrun(*arguments):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*launcher, SCRIPT, *arguments], env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def without_launcher(*arguments):
    """Two processes that know of each other from the environment alone, as SLURM starts them; their status, text."""
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": free_port()}
    started = [
        subprocess.Popen(
            [sys.executable, SCRIPT, *arguments], env=environment(**shared, RANK=str(rank)), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]  # fmt: skip
    begun = started[0].stdout.readline()  # loading torch is not what is timed
    said = [process.communicate(timeout=60) for process in started]
    output, errors = ("".join(texts) for texts in zip(*said, strict=True))
    return [process.returncode for process in started], begun + output, errors


def errors_of(text):
    """The lines that the command itself says of what went wrong, tracebacks of its own included."""
    return [line for line in text.splitlines() if line.startswith(("error:", "KeyError", "RuntimeError"))]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with what one process and what two leave of every command."""
    root = tmp_path_factory.mktemp("fit")
    save_gemma(root / "gemma")
    two = torchrun("commands", str(root / "two"))
    commands(root / "one")
    said, errors = two.communicate(timeout=300)
    assert two.returncode == 0, errors
    (root / "said").write_text(said)
    return root


def summary(folder):
    return json.loads((folder / "summary.json").read_text())


def assert_close(one, two, where=""):
    """Fails unless two summaries say the same to 1e-5, but for what was measured of the machine."""
    if isinstance(one, dict):
        assert one.keys() == two.keys(), where
        for key in one:
            if not MEASURED.search(key):
                assert_close(one[key], two[key], f"{where}/{key}")
    elif isinstance(one, list):
        for k, (mine, other) in enumerate(zip(one, two, strict=True)):
            assert_close(mine, other, f"{where}/{k}")
    elif isinstance(one, float):
        assert two == pytest.approx(one, abs=1e-5), where
    else:
        assert one == two, where


@pytest.mark.parametrize("name", ["sft", "drawn", "from_probe", "probe", "VQAv2-v0", "UINav-v0"])
def test_two_processes_say_of_a_run_what_one_says(runs, name):
    assert_close(summary(runs / "one" / name), summary(runs / "two" / name))


@pytest.mark.parametrize("name", ["sft/backbone/model", "drawn/adapter_model", "probe/head", "from_probe"])
def test_two_processes_train_the_weights_of_one(runs, name):
    found = list((runs / "one").glob(f"{name}.safetensors")) or list((runs / "one" / name).glob("*.safetensors"))
    assert len(found) == 1
    one, two = load_file(found[0]), load_file(runs / "two" / found[0].relative_to(runs / "one"))
    assert one.keys() == two.keys()
    assert max(np.abs(one[key] - two[key]).max() for key in one) < 1e-5


@pytest.mark.parametrize("name", ["sft", "drawn", "from_probe"])
def test_the_log_has_a_line_a_step_whoever_had_rows(runs, name):
    # 45 records in batches of 16, and 17 or 16 in batches of 8: the last batch may leave a process without a row.
    one, two = ((runs / side / name / "metrics.jsonl").read_text().splitlines() for side in ("one", "two"))
    assert len(one) == len(two)
    for mine, other in zip(one, two, strict=True):
        assert json.loads(other) == pytest.approx(json.loads(mine), abs=1e-5)


def test_one_process_alone_prints_and_writes(runs):
    said = (runs / "said").read_text()
    for name in ("sft/backbone", "drawn", "from_probe", "probe", "VQAv2-v0", "UINav-v0"):
        assert said.count(f"-> {runs / 'two' / name}\n") == 1
    files = ({str(p.relative_to(runs / side)) for p in (runs / side).rglob("*")} for side in ("one", "two"))
    assert next(files) == next(files)


def test_a_mistake_of_one_process_ends_both_with_its_line():
    status, said, errors = without_launcher("mistake", "1")
    assert 0 not in status
    assert errors_of(errors) == [f"error: process 1 on {socket.gethostname()}: no such thing; give another."]
    assert said == "begun\n"  # by one of them
    assert errors.count("UserWarning: said once") == 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("kind", "rank", "line"),
    [
        ("mistake", -1, "error: no such thing; give another."),
        ("file", 0, "error: /nowhere/at all: No such file or directory"),
        ("bug", 1, "KeyError: 'a bug'"),
        ("memory", 1, f"error: {out_of_memory(MemoryError('tried to allocate 4611686018427387904 bytes'))}"),
        ("terminate", 1, None),
        ("kill", 0, LOST),
        ("interrupt", 0, None),
    ],
)
def test_all_end_with_the_first_that_fails(kind, rank, line):
    status, _, errors = without_launcher(kind, str(rank))
    assert 0 not in status
    assert errors_of(errors) == ([] if line is None else [line])


@pytest.mark.long
def test_under_torchrun_a_killed_process_takes_all_with_it():
    launcher = torchrun("kill", "1")
    assert launcher.stdout.readline() == "begun\n"
    said, errors = launcher.communicate(timeout=60)
    assert launcher.returncode != 0
    assert "done" not in said
    # The other one has the time to say so, or is ended by the launcher at once, which says it anyway.
    assert errors_of(errors) in ([], [LOST])
    assert errors.count("Signal 9 (SIGKILL) received by PID") == 1


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.long),
        pytest.param(signal.SIGKILL, marks=pytest.mark.long),
    ],
)
def test_a_signal_to_the_launcher_leaves_no_process(number):
    launcher = torchrun("wait", "0")
    while not (line := launcher.stdout.readline()).startswith("waiting for"):
        assert line, launcher.communicate()[1]
    workers = [int(word) for word in line.split()[2:]]
    launcher.send_signal(number)
    assert launcher.wait(60) != 0
    until = time.monotonic() + 60
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < until
        time.sleep(0.1)
    launcher.communicate()


def test_processes_that_do_not_meet_say_so_in_one_line():
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        taken.listen()
        where = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(taken.getsockname()[1])}
        found = subprocess.run(
            [sys.executable, SCRIPT, "mistake", "1"], env=environment(**where), capture_output=True, text=True
        )
    assert found.returncode == 2
    (line,) = found.stderr.splitlines()
    assert line.startswith("error: the 2 processes of this run (WORLD_SIZE) do not meet at localhost:")
    assert "address already in use" in line


@pytest.mark.long
def test_help_is_shown_once():
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    found = subprocess.run(
        [*launcher, "-m", "evaluation.zero_shot", "--help"], env=environment(), capture_output=True, text=True
    )
    assert found.returncode == 0
    assert found.stdout.count("usage:") == 1
