"""Writes a page that sets runs beside each other: figures, curves, answers and what differs. One file, no network.

python -m evaluation.compare_runs runs/HH-v0-ppo-seed0 runs/HH-v0-grpo-seed0
"""

from dataclasses import dataclass
from pathlib import Path

from evaluation.finished_run import setup_of_run
from evaluation.reporting.comparison_page import write_comparison
from evaluation.reporting.run import read_runs
from perlhf.errors import UserError, run_command
from perlhf.options import option, parse_options


@dataclass
class Options:
    """Writes a page of two runs or more: one file that loads nothing."""

    runs: tuple[str, ...] = option((), "the run folders of agents.train_ppo", positional=True)
    output: str = option("comparison.html", "the file to write")
    samples: int = option(4, "held-out answers, drawn by lot among those that all have kept; 0 for none", low=0)


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.compare_runs")
    runs = read_runs(options.runs)
    path = Path(options.output)
    if path.is_dir():
        raise UserError(f"--output {path} is a folder; give the name of a file.")
    for notice in write_comparison(runs, path, setup_of_run(runs[0].config), options.samples):
        print(notice)
    print(f"-> {path}")


if __name__ == "__main__":
    run_command(main)
