"""Seconds from an empty folder to the first PPO update: install, then `train_ppo` on HH-v0 with one rollout.

    python -m benchmarks.first_update

Copies what git knows of this checkout to a temporary folder and runs there what a stranger would: `make install`, which
makes an environment with the tested versions, then one update of the default. Packages come from pip's cache, once
everything has been installed on the machine before; else the time is that of the network.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.performance.environments import ROOT
from perlhf.errors import UserError, run_command
from perlhf.options import option, parse_options
from perlhf.run_folder import read_summary

UPDATE = ("-m", "agents.train_ppo", "HH-v0", "--total-timesteps", "64", "--eval-prompts", "0", "--output-dir", "run")


@dataclass
class Options:
    """Times the install and the first update of PPO on HH-v0, from nothing but a checkout and pip's cache."""

    rounds: int = option(1, "times that all of it is done", low=1)


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m benchmarks.first_update")
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            checkout = Path(folder) / "perlhf"
            copy_checkout(checkout)
            install = seconds_of(["make", "--silent", "install"], checkout)
            update = seconds_of([str(checkout / ".venv/bin/python"), *UPDATE], checkout)
            assert read_summary(checkout / "run")["turns"] == 64
        print(f"install {install:.0f} s, first update {update:.0f} s, together {install + update:.0f} s", flush=True)


def copy_checkout(target: Path) -> None:
    """Copies the files that git tracks."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():  # a file that was deleted and not committed is listed too
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


def seconds_of(command: Sequence[str], folder: Path) -> float:
    """Returns the seconds by the clock that a command takes in a folder; UserError where it fails."""
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=folder, env=own, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise UserError(f"{' '.join(command[:3])}: {(done.stderr.strip() or done.stdout.strip()).splitlines()[-1]}")
    return time.perf_counter() - start


if __name__ == "__main__":
    run_command(main)
