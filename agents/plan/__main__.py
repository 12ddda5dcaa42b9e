"""Says what a run on many GPUs would hold, send and take, beside four full models. An estimate: nothing is run.

python -m agents.plan 70B --gpus 64 --shard-base --rollout server --formulas
"""

from dataclasses import dataclass
from typing import ClassVar

from agents.plan.estimate import estimate
from agents.plan.table import describe
from agents.plan.workload import Workload
from perlhf.errors import run_command
from perlhf.options import option, parse_options


@dataclass
class Options(Workload):
    """Plans PPO on many GPUs: bytes held, bytes sent, seconds by phase, and what breaks first. Nothing is run."""

    group: ClassVar[str] = "what is printed"
    formulas: bool = option(False, "under each figure how it is reckoned, and where published figures come from")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m agents.plan")
    print(describe(estimate(options), options.formulas))


if __name__ == "__main__":
    run_command(main)
