"""What the others need to be installed: each in a folder of its own, beside this project's own environment."""

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.performance.cases import AGILERL_PPO, TRL_PPO, TRL_REWARD
from perlhf.errors import UserError, one_line
from perlhf.run_folder import write_text

ROOT = Path(__file__).parents[2]
_CONSTRAINTS = ("--constraint", str(ROOT / "constraints.txt"))
_TRL = {TRL_PPO: "1.12.0", TRL_REWARD: "1.16.0"}  # PPO left TRL after 1.12

# AgileRL looks for these three before it lets a language model in, and needs none of them here.
_LOOKED_FOR = ("bitsandbytes==0.49.2", "liger-kernel==0.8.2", "openenv==0.4.1")

Install = Callable[[Path], None]


def pip(python: str, arguments: Sequence[str]) -> None:
    """Runs `pip install`; UserError where it fails."""
    command = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise UserError(f"pip install {arguments[-1]}: {one_line(RuntimeError(done.stderr))}")


def install_trl(version: str) -> Install:
    """TRL alone, beside this environment's torch, transformers, peft, accelerate and datasets."""

    def install(folder: Path) -> None:
        pip(sys.executable, ["--no-deps", "--upgrade", "--target", str(folder), f"trl=={version}"])

    return install


def install_agilerl(folder: Path) -> None:
    """AgileRL in an environment of its own, since it needs fifty more packages; torch first, in its CPU build."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)  # noqa: S603
    python = str(folder / "bin/python")
    pip(python, [*_CONSTRAINTS, "torch==2.13.0"])
    pip(python, [*_CONSTRAINTS, "accelerate", "datasets", "peft", "transformers", "agilerl==2.58.0"])
    pip(python, ["--no-deps", *_LOOKED_FOR])


INSTALLS: Mapping[str, tuple[str, Install]] = {
    **{program: (f"trl-{version}", install_trl(version)) for program, version in _TRL.items()},
    AGILERL_PPO: ("agilerl-2.58.0", install_agilerl),
}


def prepare(program: str, folder: Path) -> tuple[str, dict[str, str]]:
    """Installs what a program needs, if that was not done before.

    Args:
        program: the module that measures.
        folder: of the benchmark.

    Returns:
        The Python to run it with, and environment variables.

    Raises:
        UserError: it cannot be installed here.
    """
    if program not in INSTALLS:
        return sys.executable, {}
    name, install = INSTALLS[program]
    target = folder / name
    if not (target / "installed").is_file():
        print(f"installing {name}", flush=True)
        install(target)
        write_text(target / "installed", "")
    own = target / "bin/python"  # of an environment; of a folder of packages there is none
    return (str(own), {}) if own.is_file() else (sys.executable, {"PYTHONPATH": str(target)})
