"""Checks a run: reads its CPU seconds to a gold off its log, and judges its policy anew on held-out prompts.

    python -m benchmarks.quality.judge runs/HH-v0-ppo-seed0

The folder is one of `agents.train_ppo`, or of `benchmarks.quality`, with a plain model and the log of its samples. What
the log says of the last completions is held against as many responses of the final policy to training prompts.
"""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.quality.verdict import RESULT, in_words, judged
from perlhf.errors import UserError, run_command
from perlhf.options import option, parse_options
from perlhf.run_folder import write_json


@dataclass
class Options:
    """Checks a run of train_ppo, or of benchmarks.quality, from its folder."""

    run: str = option("", "the run folder", positional=True)
    env: str = option("HH-v0", "the env of a run that is not of train_ppo")
    prompts: int = option(500, "held-out prompts", low=1)
    at: float = option(155.0, "CPU seconds at which the level is read", above=0)


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m benchmarks.quality.judge")
    folder = Path(options.run)
    if not options.run or not folder.is_dir():
        raise UserError("give the folder of a run: python -m benchmarks.quality.judge DIR.")
    result = judged(folder, options.env, options.prompts, options.at)
    write_json(folder / RESULT, result)
    print(in_words(result))


if __name__ == "__main__":
    run_command(main)
