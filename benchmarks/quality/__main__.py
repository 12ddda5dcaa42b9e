"""Measures CPU seconds to a given quality, perlhf beside TRL, and writes docs/speedrun.md.

    python -m benchmarks.quality [--envs HH-v0,TLDR-v0] [--settings ppo,trl-grpo] [--seeds 0,1,2] [--page-only]

Each run is a folder under .bench/quality, with the log of its samples and what `benchmarks.quality.judge` says of it;
what is judged there is not run again. Settings take turns, seed by seed, one thread each. `make bench` runs this too.
"""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.performance.runner import MeasurementError
from benchmarks.quality.cells import SETTINGS, Setting, make
from benchmarks.quality.page import page
from perlhf.errors import UserError, did_you_mean, run_command
from perlhf.options import option, parse_options
from perlhf.run_folder import write_text


@dataclass
class Options:
    """Measures CPU seconds until sampled gold reaches a level, of perlhf beside TRL."""

    envs: str = option("HH-v0", "text tasks with a gold judge, with commas between")
    settings: str = option(",".join(SETTINGS), "which rows, with commas between")
    seeds: str = option("0,1,2", "seeds, with commas between")
    folder: str = option(".bench", "where environments, runs and verdicts are kept")
    output: str = option("docs/speedrun.md", "the page to write")
    page_only: bool = option(False, "run nothing, and write the page from what there is")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m benchmarks.quality")
    envs, seeds = options.envs.split(","), [int(seed) for seed in options.seeds.split(",")]
    failed = (
        [] if options.page_only else make_all(Path(options.folder).resolve(), envs, chosen(options.settings), seeds)
    )
    text = page(Path(options.folder), envs, seeds)
    print(text)
    write_text(Path(options.output), text)
    for reason in failed:
        print(f"not measured: {reason}")
    print(f"-> {options.output}")


def chosen(text: str) -> list[Setting]:
    """Returns the settings of these names; UserError for an unknown one."""
    for name in text.split(","):
        if name not in SETTINGS:
            raise UserError(f"unknown setting {name!r}.{did_you_mean(name, SETTINGS)}")
    return [SETTINGS[name] for name in text.split(",")]


def make_all(folder: Path, envs: list[str], settings: list[Setting], seeds: list[int]) -> list[str]:
    """Runs and judges what is not there yet, in turns; returns why what could not be made was not."""
    failed = []
    for env, seed, setting in ((e, s, each) for e in envs for s in seeds for each in settings):
        try:
            make(folder, env, setting, seed)
        except MeasurementError as error:
            failed.append(f"{env} {setting.name} seed {seed}: {error}")
            print(failed[-1], flush=True)
    return failed


if __name__ == "__main__":
    run_command(main)
