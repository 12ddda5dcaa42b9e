"""What an ensemble of reward adapters on one base takes: peak memory and CPU seconds by the number of adapters.

    python benchmarks/reward_ensemble.py --base DIR [--members 1,4] [--turns 16]

The adapters are drawn, of rank 8 on the attention, with a head, as TRL's RewardTrainer saves them. Each number of
members is scored in a process of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from envs.hh.task import HH
from envs.reward_spec import resolve_reward, score_turns
from perlhf.measure import Stopwatch, peak_rss_mb


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures each number of members, or with `--folder` one of them in this process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True)
    parser.add_argument("--members", default="1,4")
    parser.add_argument("--turns", type=int, default=16)
    parser.add_argument("--folder")
    options = parser.parse_args(arguments)
    if options.folder:
        print(json.dumps(measure(Path(options.folder), int(options.members), options.turns)))
        return
    counts = [int(count) for count in options.members.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        save_adapters(Path(folder), options.base, max(counts))
        print(f"{'adapters':>8} {'peak, MB':>10} {'CPU s':>8}")
        for count in counts:
            given = ["--base", options.base, "--members", str(count), "--turns", str(options.turns)]
            done = subprocess.run(  # noqa: S603
                [sys.executable, __file__, *given, "--folder", folder], capture_output=True, text=True, check=True
            )
            found = json.loads(done.stdout.splitlines()[-1])
            print(f"{count:8} {found['peak_mb']:10.0f} {found['cpu_seconds']:8.2f}", flush=True)


def save_adapters(folder: Path, base: str, count: int) -> None:
    """Writes adapters 0 to count - 1 into folders of these names."""
    whole = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
    lora = LoraConfig(task_type="SEQ_CLS", r=8, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
    model, tokenizer = get_peft_model(whole, lora), AutoTokenizer.from_pretrained(base)
    for number in range(count):
        torch.manual_seed(number)
        for parameter in filter(lambda p: p.requires_grad, model.parameters()):
            torch.nn.init.normal_(parameter, std=0.02)
        model.save_pretrained(folder / str(number))
        tokenizer.save_pretrained(folder / str(number))


def measure(folder: Path, members: int, turns: int) -> dict[str, float]:
    """Returns the peak of this process in MB and the CPU seconds of scoring turns by the mean of some adapters."""
    torch.set_num_threads(1)
    names = [str(folder / str(number)) for number in range(members)]
    task = HH(split="test")
    reward = resolve_reward(names[0] if members == 1 else f"mean({', '.join(names)})", task)
    generator = np.random.default_rng(0)
    states = [task.start(generator, {}) for _ in range(turns)]
    played = [task.play(state, task.oracle(state)).turn for state in states]
    score_turns(reward, played[:1])  # so that all is loaded
    clock = Stopwatch()
    score_turns(reward, played)
    return {"peak_mb": peak_rss_mb(), "cpu_seconds": clock.cpu_seconds}


if __name__ == "__main__":
    main()
