"""PPO on HH-v0 in one process and in several: CPU seconds of the slowest, weights, bytes that are added up.

    python -m benchmarks.processes [--processes 2] [--rollouts 12] [--rounds 3] [--mode half]

One thread a process, on one machine. Runs alternate, and each starts anew. CPU seconds are of learning alone, without
imports and loading, and mean what they say on a busy machine too; seconds by the wall need as many free cores.
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

from agents.ppo import PPO
from agents.setup import Setup
from agents.train_ppo import make_algorithm, read_options
from backbones import group
from backbones.launch import run_command

N_ENVS = 64
MODES = {"all": [], "half": ["--lora-layers", "half"], "shared": ["--value-adapter", "shared", "--lora-layers", "half"]}


def main() -> None:
    """Measures and prints; in a process that it has started itself, trains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rollouts", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--mode", choices=MODES, default="all")
    parser.add_argument("--train", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.train is not None:
        run_command(lambda: train(Path(given.train), given.rollouts, given.mode))  # where one fails, all end
        return
    with tempfile.TemporaryDirectory() as folder:
        runs: dict[int, list[list[dict[str, Any]]]] = {1: [], given.processes: []}
        for _ in range(given.rounds):
            for count, found in runs.items():
                found.append(launch(count, Path(folder) / str(count), given.rollouts, given.mode))
        one, others = (load_file(Path(folder) / str(count) / "weights.safetensors") for count in runs)
    print_table(runs[1], runs[given.processes], given.processes)
    gap = max(float((one[name] - others[name]).abs().max()) for name in one)
    largest = max(float(weight.abs().max()) for weight in one.values())
    print(
        f"largest difference of a weight after {given.rollouts} rollouts: {gap:.1e} (of {largest:.2f}; wanted <= 1e-5)"
    )


def print_table(single: list[list[dict[str, Any]]], shared: list[list[dict[str, Any]]], processes: int) -> None:
    """Prints seconds of each round, the speed-up and the bytes of a step."""
    before = [max(of["cpu_seconds"] for of in run) for run in single]
    after = [max(of["cpu_seconds"] for of in run) for run in shared]
    of_all = [sum(of["cpu_seconds"] for of in run) for run in shared]
    walls = [[max(of["seconds"] for of in run) for run in runs] for runs in (single, shared)]
    for name, values in (
        ("CPU seconds of one process", before),
        (f"CPU seconds of the slowest of {processes}", after),
        (f"CPU seconds of all {processes}", of_all),
        ("seconds by the wall, one", walls[0]),
        (f"seconds by the wall, {processes}", walls[1]),
    ):
        print(f"{name:34} {statistics.median(values):7.2f}  ({', '.join(f'{value:.2f}' for value in values)})")
    ratios = [a / b for a, b in zip(before, after, strict=True)]
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    print(f"speed-up in CPU seconds: {statistics.median(ratios):.2f} ({each}; wanted >= 1.7)")
    first = shared[0][0]
    ratio = first["bytes"] / first["adapters"]
    print(f"added up a step: {first['bytes']:,} bytes, {ratio:.4f} of the adapters (wanted <= 1.1)")


def launch(count: int, folder: Path, rollouts: int, mode: str) -> list[dict[str, Any]]:
    """Trains in `count` processes; returns what each measured."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = str(probe.getsockname()[1])
    folder.mkdir(exist_ok=True)
    of_all = {"WORLD_SIZE": str(count), "MASTER_ADDR": "localhost", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.processes", "--train", str(folder)]
    command += ["--rollouts", str(rollouts), "--mode", mode]
    started = [
        subprocess.Popen(command, env={**os.environ, **of_all, "RANK": str(rank), "LOCAL_RANK": str(rank)})  # noqa: S603
        for rank in range(count)
    ]
    if any([process.wait() for process in started]):  # noqa: C419 - all of them
        raise SystemExit("a process failed")
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)]


def train(folder: Path, rollouts: int, mode: str) -> None:
    """Trains as the command does with the recipe of HH-v0, and writes what it took and the weights."""
    torch.set_num_threads(1)
    options = read_options(
        ["HH-v0", "--n-envs", str(N_ENVS), "--total-timesteps", str(N_ENVS * rollouts), *MODES[mode]]
    )
    algorithm = make_algorithm(options, Setup.of_options(options, options.reward))
    algorithm.verbose = 0
    largest = count_bytes(algorithm)
    group.gather(None)
    wall, cpu = time.perf_counter(), time.process_time()
    algorithm.learn(options.total_timesteps)
    took = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    adapters = sum(parameter.nbytes for parameter in algorithm.policy.parameters())
    figures = {**took, "bytes": max(largest, default=0), "adapters": adapters}
    (folder / f"{group.rank()}.json").write_text(json.dumps(figures))
    if group.is_first():
        weights = {name: parameter.detach().clone() for name, parameter in algorithm.policy.named_parameters()}
        save_file(weights, folder / "weights.safetensors")


def count_bytes(algorithm: PPO) -> list[int]:
    """Returns a list to which the bytes of each message are added in which updates add numbers up, from here on."""
    counted, plain, update = [], dist.all_reduce, algorithm.train

    def all_reduce(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        counted.append(tensor.nbytes)
        return plain(tensor, *args, **kwargs)

    def counting() -> None:
        dist.all_reduce = all_reduce
        update()
        dist.all_reduce = plain

    algorithm.train = counting  # type: ignore[method-assign]
    return counted


if __name__ == "__main__":
    main()
