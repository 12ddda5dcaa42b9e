"""What a row of a rollout costs each process that has it from the others: time of one core, and memory.

    OMP_NUM_THREADS=1 torchrun --nproc-per-node 2 -m benchmarks.gathered_rows

`perlhf plan` reckons with these figures. Rows are gathered as PPO gathers them, then rewards and advantages are
computed for all of them.
"""

from dataclasses import dataclass

import numpy as np
import torch

from agents.algorithms import functional as F
from backbones import group
from backbones.model.tokens import length_mask
from perlhf.errors import UserError, run_command
from perlhf.measure import Stopwatch, peak_rss_mb
from perlhf.options import option, parse_options


@dataclass
class Options:
    """Measures gathered rows."""

    rows: int = option(8000, "rows that each process gives", low=1)
    prompt_tokens: int = option(512, "tokens of a prompt", low=1)
    response_tokens: int = option(256, "tokens of a response", low=1)
    words: int = option(128_000, "size of the vocabulary", low=1)


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="torchrun --nproc-per-node 2 -m benchmarks.gathered_rows")
    if group.launched() == 1:
        raise UserError("start it with torchrun: one process alone has nothing to gather.")
    torch.set_num_threads(1)
    group.start()
    length, count = options.prompt_tokens + options.response_tokens, options.rows * group.size()
    own = np.random.default_rng(group.rank()).integers(0, options.words, (options.rows, length)).tolist()
    group.gather(None)
    before, clock = peak_rss_mb(), Stopwatch()
    rows = [row for of_process in group.gather(own) for row in of_process]
    responses = [row[options.prompt_tokens :] for row in rows]
    mask = length_mask(responses)
    old, reference, values = torch.randn(3, count, options.response_tokens)
    rewards = F.token_rewards(torch.randn(count), F.kl_k1(old, reference), mask, 0.1)
    nothing = F.Carry(torch.zeros(count), torch.zeros(count))
    advantages, _ = F.gae(rewards, values, mask, nothing, 1.0, 0.95)
    F.normalize(advantages, mask)
    if group.is_first():
        print(f"rows: {count} of {options.prompt_tokens} + {options.response_tokens} tokens")
        print(f"CPU time of a row: {1e6 * clock.cpu_seconds / count:.0f} us")
        print(f"memory of a row: {1e3 * (peak_rss_mb() - before) / count:.0f} KB")


if __name__ == "__main__":
    run_command(main)
