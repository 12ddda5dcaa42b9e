"""Writes a page of a run: curves, figures, answers side by side, and what there is to say of it. One file, no network.

    python -m evaluation.report runs/HH-v0-ppo-seed0

Writes report.html into the run folder. docs/report.md says how to read it.
"""

from dataclasses import dataclass
from pathlib import Path

from evaluation.finished_run import setup_of_run
from evaluation.reporting.run import read_run
from evaluation.reporting.run_page import write_run_page
from perlhf.errors import UserError, run_command
from perlhf.options import option, parse_options


@dataclass
class Options:
    """Writes a page of a run that is finished, or still on: one file that loads nothing."""

    run: str = option("", "the run folder of agents.train_ppo", positional=True)
    output: str | None = option(None, "the file to write; report.html in the run folder by default")
    samples: int = option(6, "held-out answers drawn by lot, beside those that stand out; 0 for no answers", low=0)
    tokens: int = option(6, "answers whose tokens are coloured by KL and value; 0 loads no model", low=0)
    backbone: str | None = option(None, "the backbone, where the run's own path no longer leads to it")
    device: str = option("auto", "where to run: cpu, cuda, xpu, mps; auto takes a GPU where there is one")
    threads: int = option(0, "CPU threads of torch; 0 takes 1 for a small backbone, else torch's default", low=0)


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.report")
    if not options.run:
        raise UserError("give the run folder: report DIR, or --run DIR.")
    run = read_run(options.run)
    path = Path(options.output) if options.output else run.folder / "report.html"
    if path.is_dir():
        raise UserError(f"--output {path} is a folder; give the name of a file.")
    setup = setup_of_run(run.config, None, options.backbone, options.device)
    for notice in write_run_page(run, path, setup, options.samples, options.tokens, options.threads):
        print(notice)
    print(f"-> {path}")


if __name__ == "__main__":
    run_command(main)
