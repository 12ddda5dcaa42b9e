"""Runs settings in turns, judges them, and writes the page."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.performance.runner import MeasurementError
from benchmarks.quality.cells import SETTINGS, Setting, make
from benchmarks.quality.page import page
from perlhf.errors import UserError, did_you_mean
from perlhf.run_folder import write_text

PAGE = Path("docs/speedrun.md")
ENVS, SEEDS = ("HH-v0",), (0, 1, 2)


def chosen(text: str) -> list[Setting]:
    """Returns the settings of these names, with commas between; UserError for an unknown one."""
    for name in text.split(","):
        if name not in SETTINGS:
            raise UserError(f"unknown setting {name!r}.{did_you_mean(name, SETTINGS)}")
    return [SETTINGS[name] for name in text.split(",")]


def make_all(folder: Path, envs: Sequence[str], settings: Sequence[Setting], seeds: Sequence[int]) -> list[str]:
    """Runs and judges what is not there yet, seed by seed; returns why what could not be made was not."""
    failed = []
    for env, seed, setting in ((e, s, each) for e in envs for s in seeds for each in settings):
        try:
            make(folder.resolve(), env, setting, seed)
        except MeasurementError as error:
            failed.append(f"{env} {setting.name} seed {seed}: {error}")
            print(failed[-1], flush=True)
    return failed


def write(folder: Path, envs: Sequence[str] = ENVS, seeds: Sequence[int] = SEEDS, output: Path = PAGE) -> None:
    """Writes the page from what there is, and prints it."""
    text = page(folder, envs, seeds)
    print(text)
    write_text(output, text)
    print(f"-> {output}")
