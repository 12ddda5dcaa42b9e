"""A data file much larger than the memory that a command may take for it.

PERLHF_LARGE_MB=5000 python -m pytest -m long -s tests/test_large_files.py    # twice as much room on the disk
"""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import gemma

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[1]
LARGE = int(os.environ.get("PERLHF_LARGE_MB", "300"))
MORE = 100 + 0.06 * LARGE  # MB beside the small file: a set keeps some in memory, and of a row of 1,500 bytes 80
COMMANDS = {
    "agents.train_ppo": "--reward rewards.functions:length_penalty --n-envs 4 --batch-size 4 --total-timesteps 8",
    "agents.train_sft": "--records 32 --eval-records 8",
    "rewards.train_reward_model": "--pairs 32 --eval-pairs 8 --start random",
}


def write_pairs(path, megabytes):
    """A file of pairs, each with a prompt of its own."""
    rng = random.Random(0)
    said = [" ".join(rng.choices("one small word after another is said here".split(), k=60)) for _ in range(500)]
    with open(path, "w", encoding="utf-8") as file:
        number = 0
        while file.tell() < megabytes * 1e6:
            prompt = f"Question {number}: {said[number % 499]} {said[number * 3 % 497]}"
            row = {"prompt": prompt, "chosen": f"yes {said[number % 491]}", "rejected": f"no {said[number % 487]}"}
            file.write(json.dumps(row) + "\n")
            number += 1
    return path


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    root = tmp_path_factory.mktemp("large")
    gemma(root / "backbone")
    return root, {size: write_pairs(root / f"{size}.jsonl", size) for size in (1, LARGE)}


def peak_mb(*words, home):
    """Runs a command; returns the most memory that it had."""
    environment = {**os.environ, "HF_HOME": str(home), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-m", *map(str, words)], env=environment, stdout=subprocess.DEVNULL) as run:
        _, status, used = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    assert run.returncode == 0
    return used.ru_maxrss / 1024


@pytest.mark.parametrize("command", COMMANDS)
def test_a_large_file_takes_little_more_memory_than_a_small_one(command, given, tmp_path):
    root, files = given
    words = f"Preferences-v0 --threads 1 --backbone {root / 'backbone'} {COMMANDS[command]}".split()
    if command == "agents.train_ppo":
        words += "--eval-prompts 0 --max-new-tokens 4".split()
    peaks = {
        size: peak_mb(command, *words, "--data", file, "--output-dir", tmp_path / str(size), home=root / "home")
        for size, file in files.items()
    }
    print(f"{command}: {peaks[1]:.0f} MB with a file of 1 MB, {peaks[LARGE]:.0f} MB with one of {LARGE:,}")
    assert peaks[LARGE] < peaks[1] + MORE
