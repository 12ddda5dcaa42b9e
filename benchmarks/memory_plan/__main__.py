"""Prints what `--memory-report` plans beside what runs take at their peak, for eight settings.

    python -m benchmarks.memory_plan [--only images] [--heap]

One run of PPO a setting, two iterations on random models of 8M to 25M parameters, in a process of its own: the most
memory that was resident, less what was before it began. Freed tensors are given back to the system at once there. With
`--heap` a second run says what the C library's heap makes of it where that is left as it is.
"""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.memory_plan.runs import run
from benchmarks.memory_plan.settings import SETTINGS
from evaluation.reproduce.tables import row
from perlhf.errors import UserError, did_you_mean, run_command
from perlhf.options import option, parse_options


@dataclass
class Options:
    """Holds the memory plan against what runs take."""

    only: str = option("", "one of the settings; by default all")
    heap: bool = option(False, "measure again with the C library's heap as it is")
    folder: str = option(".bench/memory_plan", "where models are kept")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m benchmarks.memory_plan")
    names = [options.only] if options.only else list(SETTINGS)
    for name in names:
        if name not in SETTINGS:
            raise UserError(f"unknown setting {name!r}.{did_you_mean(name, SETTINGS)}")
    folder = Path(options.folder).resolve()
    heap = ["with the heap as it is, MB"] if options.heap else []
    print(row("PPO", "planned, MB", "measured, MB", "ratio", *heap))
    print(row("---", *["---:"] * (3 + len(heap))))
    for name in names:
        found = run(folder, name)
        kept = [f"{run(folder, name, given_back=False).measured:.0f}"] if options.heap else []
        print(row(name, f"{found.planned:.0f}", f"{found.measured:.0f}", f"{found.ratio:.2f}", *kept), flush=True)


if __name__ == "__main__":
    run_command(main)
