"""Runs commands, or goes wrong on purpose, in each of the processes that were started with it.

    torchrun --nproc-per-node 2 tests/in_fit_processes.py commands FOLDER
    torchrun --nproc-per-node 2 tests/in_fit_processes.py KIND RANK

KIND is what goes wrong on the process RANK, or on all of them where it is -1. `tests/test_processes_fit.py` starts it.
"""

import os
import signal
import sys
import time
import warnings
from pathlib import Path

import torch

from backbones import group
from backbones.launch import run_command
from perlhf.errors import UserError

SIGNALS = {"kill": signal.SIGKILL, "terminate": signal.SIGTERM, "interrupt": signal.SIGINT}


def commands(folder: Path) -> None:
    """Runs SFT, a reward model from a drawn head and one from a probe, a probe and two evaluations."""
    from agents import train_sft
    from evaluation import zero_shot
    from rewards import probe, train_reward_model

    gemma, few = str(folder.parent / "gemma"), {"threads": 1, "device": "cpu"}
    train_sft.train(train_sft.Options(
        records=45, batch_size=16, epochs=2, eval_records=15, micro_batch_size=3, output_dir=str(folder / "sft"), **few
    ))  # fmt: skip
    settings = {"pairs": 17, "batch_size": 8, "eval_pairs": 21, "micro_batch_size": 3, **few}
    train_reward_model.train(train_reward_model.Options(
        policy_pairs=8, log_prob_weight=0.1, output_dir=str(folder / "drawn"), **settings
    ))  # fmt: skip
    train_reward_model.train(train_reward_model.Options(
        policy_pairs=0, epochs=2, backbone=gemma, output_dir=str(folder / "from_probe"), **settings
    ))  # fmt: skip
    probe.fit(probe.Options(pairs=33, folds=2, output_dir=str(folder / "probe"), **few))
    for env in ("VQAv2-v0", "UINav-v0"):
        zero_shot.measure(zero_shot.Options(
            env=env, prompts=7, temperature=1.0, output_dir=str(folder / env), max_new_tokens=16, **few
        ))  # fmt: skip


def go_wrong(kind: str, rank: int) -> None:
    """Meets the others, and goes wrong as `kind` says where this is the process `rank`; then meets them again."""
    print("begun", flush=True)
    warnings.warn("said once", stacklevel=1)
    group.gather(None)
    if kind == "wait":
        print("waiting for", *group.gather(os.getpid()), flush=True)
        time.sleep(100)
    if rank in (group.rank(), -1):
        if kind == "mistake":
            raise UserError("no such thing; give another.")
        if kind == "bug":
            raise KeyError("a bug")
        if kind == "file":
            Path("/nowhere/at all").read_text(encoding="utf-8")
        if kind == "memory":
            torch.empty(1 << 60)
        if kind in SIGNALS:
            os.kill(os.getpid(), SIGNALS[kind])
    group.gather(None)
    print("done")


def main() -> None:
    """Does as it is told on the command line."""
    kind, what = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which is off in what a shell runs in the background
    if kind == "commands":
        commands(Path(what))
    else:
        go_wrong(kind, int(what))


if __name__ == "__main__":
    run_command(main)
