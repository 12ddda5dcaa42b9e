"""Runs a lab: an experiment that answers a question about training itself, with a figure and tables.

    python -m evaluation.lab kl
    python -m evaluation.lab credit --quick

Says what it will take before it starts. Its parts are kept in OUTPUT_DIR/NAME one by one, so that a lab that was
interrupted goes on; made again, all figures are the same.
"""

from dataclasses import dataclass
from pathlib import Path

from backbones.model.loading import use_threads
from evaluation.labs import LABS
from evaluation.labs.figures import require_figures
from perlhf import run_lock
from perlhf.errors import UserError, did_you_mean, run_command
from perlhf.options import option, parse_options


@dataclass
class Options:
    """Runs a lab and prints its tables."""

    name: str = option("", f"which: {', '.join(LABS)}", positional=True)
    output_dir: str = option("runs/lab", "where labs go, each in a folder of its name")
    seed: int = option(0, "decides all that is drawn", low=0)
    quick: bool = option(False, "a little of everything, to see that it runs; in OUTPUT_DIR/quick")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.lab")
    if options.name not in LABS:
        listed = "; ".join(f"{name} ({lab.what})" for name, lab in LABS.items())
        hint = did_you_mean(options.name, LABS) if options.name else ""
        raise UserError(f"there is no lab {options.name!r}.{hint} Labs: {listed}.")
    lab = LABS[options.name]
    require_figures()
    use_threads(1, 0)  # in more of them sums are added up in another order, and figures differ in their last digits
    folder = Path(options.output_dir, "quick" if options.quick else "", options.name)
    folder.mkdir(parents=True, exist_ok=True)
    run_lock.take(folder)
    print(f"{options.name}: {lab.what}")
    print(f"about {lab.minutes[options.quick]:g} minutes of one core; what is done in {folder} is kept", flush=True)
    print("\n".join(lab.run(folder, options.seed, options.quick)))


if __name__ == "__main__":
    run_command(main)
