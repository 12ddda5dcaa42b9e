"""Measures CPU seconds to a given quality, perlhf beside TRL, and writes docs/speedrun.md.

    python -m benchmarks.quality [--envs HH-v0,TLDR-v0] [--settings ppo,trl-grpo] [--seeds 0,1,2] [--page-only]

Each run is a folder under .bench/quality, with the log of its samples and what `benchmarks.quality.judge` says of it;
what is judged there is not run again. Settings take turns, seed by seed, one thread each.
"""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.quality.cells import SETTINGS
from benchmarks.quality.side_by_side import ENVS, PAGE, SEEDS, chosen, make_all, write
from perlhf.errors import run_command
from perlhf.options import option, parse_options


@dataclass
class Options:
    """Measures CPU seconds until sampled gold reaches a level, of perlhf beside TRL."""

    envs: str = option(",".join(ENVS), "text tasks with a gold judge, with commas between")
    settings: str = option(",".join(SETTINGS), "which rows, with commas between")
    seeds: str = option(",".join(map(str, SEEDS)), "seeds, with commas between")
    folder: str = option(".bench", "where environments, runs and verdicts are kept")
    output: str = option(str(PAGE), "the page to write")
    page_only: bool = option(False, "run nothing, and write the page from what there is")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m benchmarks.quality")
    folder, envs, seeds = Path(options.folder), options.envs.split(","), [int(s) for s in options.seeds.split(",")]
    failed = [] if options.page_only else make_all(folder, envs, chosen(options.settings), seeds)
    write(folder, envs, seeds, Path(options.output))
    for reason in failed:
        print(f"not measured: {reason}")


if __name__ == "__main__":
    run_command(main)
