"""Says in at most five minutes whether perlhf runs on the GPU of this machine, and how fast: a table to send in.

    make gpu-check

It runs tests/test_pretend_device.py on the GPU, then times sampling, an update of PPO and steps of a reward model
beside the CPU, on the backbone of HH-v0 and on a random one of 27 million parameters. Without a GPU all runs on a
device that only pretends (tests/pretend_device.py): that shows that the check itself works, and nothing else.
"""

import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import peft
import torch
import torch.nn.functional as F
import transformers
from transformers.utils import logging

from agents import PPO, make_vec_env
from agents.pretrain.build import build_model
from backbones.backbone import Backbone
from backbones.draws import row_seeds
from backbones.model.devices import computes_bf16
from backbones.model.loading import load_tokenizer, resolve_path
from backbones.roles import LoRASettings
from rewards.reward_model import RewardModel

ROOT = Path(__file__).parents[1]
TESTS = "tests/test_pretend_device.py"
TEST_SECONDS = 150  # after which the tests are given up
ROWS, PAIRS = 32, 16
LAST_START = 210  # seconds after which no further case is begun
HEAD = f"{'backbone':10} {'device':7} {'numbers':7} {'what':22} {'seconds':>8} {'tokens/s':>9} {'peak, MB':>9}"


class Case(NamedTuple):
    """What is measured on what."""

    backbone: str  # what it is called in the table
    path: str
    device: str
    precision: str
    new_tokens: int
    repeats: int = 1  # of which the fastest counts: on a GPU the first one warms up


def main() -> None:
    """Runs the tests and the measurements, and prints the table."""
    logging.disable_progress_bar()
    real, clock = torch.cuda.is_available(), time.monotonic()
    print("\n".join(of_machine(real)), flush=True)
    passed = run_tests("cuda" if real else "pretend")
    print(f"\n{HEAD}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(Path(folder), real):
            if time.monotonic() - clock > LAST_START:
                print(f"{case.backbone:10} {case.device:7} {case.precision:7} left out, for time", flush=True)
                continue
            with nullcontext() if real or case.device == "cpu" else pretended():
                for line in measured(case):
                    print(line, flush=True)
    print(f"\n{time.monotonic() - clock:.0f} s in all. Please send what stands above.")
    sys.exit(0 if passed else 1)


def of_machine(real: bool) -> list[str]:
    """Returns lines that say what this ran on."""
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}"
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, {versions}"
    if not real:
        return [
            "NO GPU HERE: what is called cuda below is a device that only pretends. Its seconds are the CPU's with the",
            "cost of pretending and say nothing of a GPU; the tests say that no tensor is in a wrong place.",
            machine,
        ]
    gpu = torch.cuda.get_device_properties(0)
    kind = f"{gpu.name}, {gpu.total_memory >> 20} MB, compute {gpu.major}.{gpu.minor}, CUDA {torch.version.cuda}"
    return [f"GPU: {kind}", machine]


def run_tests(device: str) -> bool:
    """Runs the tests on a device, and prints how they ended."""
    command = [sys.executable, "-m", "pytest", TESTS, "--device", device, "-p", "no:cacheprovider", "--tb=line"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TEST_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        print(f"tests on {device}: not done after {TEST_SECONDS} s", flush=True)
        return False
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ["nothing was said"]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR", "E  "))]
    print("\n".join([f"tests on {device}: {lines[-1]}", *failed]), flush=True)
    return done.returncode == 0


def cases(folder: Path, real: bool) -> list[Case]:
    """Returns what to measure: a GPU on the larger model in half precision too, a pretended one on the small alone."""
    if not real:
        return [Case("tiny", "tiny", device, "fp32", 8) for device in ("cpu", "cuda")]
    tokenizer = load_tokenizer(resolve_path("tiny"))
    build_model(tokenizer, hidden_size=512, layers=8, heads=8).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    halves = ["bf16"] if computes_bf16(torch.device("cuda")) else []
    return [
        *(Case("tiny", "tiny", device, "fp32", 32, 3) for device in ("cuda", "cpu")),
        *(Case("27M", str(folder), "cuda", precision, 32, 3) for precision in ["fp32", *halves]),
        Case("27M", str(folder), "cpu", "fp32", 32),
    ]


def pretended() -> AbstractContextManager[Any]:
    """Returns the block in which there is a device that only pretends."""
    sys.path.insert(0, str(ROOT / "tests"))
    from pretend_device import pretend_device

    return pretend_device()


def measured(case: Case) -> list[str]:
    """Returns a line of the table for each thing that is done."""
    Backbone.release_all()
    settings = {"backbone": case.path, "precision": case.precision, "max_new_tokens": case.new_tokens}
    envs = make_vec_env("HH-v0", ROWS, reward="gold")
    algorithm = PPO("LoRAPolicy", envs, policy_kwargs=settings, batch_size=ROWS // 2, seed=0, device=case.device)
    algorithm.learn(ROWS)  # one rollout and its update, which `train` repeats
    policy, rollout = algorithm.policy, algorithm.rollout
    said = sum(map(len, rollout.responses))
    read = said + sum(map(len, rollout.prompts))

    def sample() -> None:
        policy.sample(rollout.prompts, row_seeds(0, range(ROWS), 0))

    rewarded = RewardModel(policy.backbone.add_role("reward", LoRASettings(16), head=True))
    rows = [(p, r) for p, r in zip(rollout.prompts, rollout.responses, strict=True)]
    optimizer = torch.optim.AdamW(rewarded.role.parameters().values(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad()
        with rewarded.role.active():
            good, bad = rewarded.score_rows(rows).view(PAIRS, 2).unbind(1)
            (-F.logsigmoid(good - bad).mean()).backward()
        optimizer.step()

    done = (
        (f"sample {ROWS} responses", sample, said),
        (f"update on {ROWS} turns", algorithm.train, read),
        (f"reward step, {PAIRS} pairs", step, read),
    )
    return [_line(case, what, function, tokens) for what, function, tokens in done]


def _line(case: Case, what: str, function: Callable[[], None], tokens: int) -> str:
    on_gpu = case.device == "cuda" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds = min(_seconds(function, on_gpu) for _ in range(case.repeats))
    peak = f"{torch.cuda.max_memory_allocated() / 1e6:.0f}" if on_gpu else "-"
    return (
        f"{case.backbone:10} {case.device:7} {case.precision:7} {what:22} {seconds:8.3f} {tokens / seconds:9.0f} "
        f"{peak:>9}"
    )


def _seconds(function: Callable[[], None], on_gpu: bool) -> float:
    start = time.perf_counter()
    function()
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
