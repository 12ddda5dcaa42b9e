"""Turns per second of 16 envs side by side, without worker processes and with 2 and 4 of them.

python benchmarks/env_workers.py

Four tasks: one that computes 5 ms a turn in Python, one that waits 5 ms a turn as for a page of a browser, UINav-v0,
whose turns take well under 0.1 ms, and UINav-v0 with pictures. Turns per second are by the clock, and mean something
where nothing else runs. Beside them stand CPU milliseconds a step of the main process and of the busiest worker: a step
takes their sum, where each has a core.
"""

import multiprocessing
import os
import statistics
import time
from pathlib import Path

from envs.core import TaskVectorEnv
from envs.hh.task import HH
from envs.task import Played

NUM_ENVS, STEPS, REPEATS = 16, 10, 3
TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds, in which the system counts


class Computing(HH):
    """Takes 5 ms of one core of a machine of 2026 for each turn."""

    def play(self, state: int, response: str) -> Played:
        """Plays a turn, slowly."""
        total = 0
        for i in range(75_000):
            total += i * i % 7
        return super().play(state, response)


class Waiting(HH):
    """Waits 5 ms for each turn."""

    def play(self, state: int, response: str) -> Played:
        """Plays a turn when it has waited."""
        time.sleep(0.005)
        return super().play(state, response)


TASKS = {
    "5 ms of Python": ("env_workers:Computing", {}, 1),
    "5 ms of waiting": ("env_workers:Waiting", {}, 1),
    "UINav-v0": ("envs.uinav.task:UINav", {}, 20),
    "UINav-v0, pictures": ("envs.uinav.task:UINav", {"image": True}, 1),
}  # what it is made of, and how many times as many steps


def main() -> None:
    """Prints the median and the range of several repeats for each task and number of workers."""
    print(f"{NUM_ENVS} envs, {os.cpu_count()} cores")
    for name, (task, options, times) in TASKS.items():
        for workers in (0, 2, 4):
            env = TaskVectorEnv(task, NUM_ENVS, reward="gold", workers=workers, **options)
            measured = [measure(env, times * STEPS) for _ in range(REPEATS)]
            env.close()
            rates = sorted(rate for rate, _, _ in measured)
            here, there = (1e3 * statistics.median(column) for column in list(zip(*measured, strict=True))[1:])
            print(f"{name}, {workers} workers: {statistics.median(rates):,.0f} turns/s", end="")
            print(f" ({rates[0]:,.0f} to {rates[-1]:,.0f}); CPU ms a step {here:.1f} here + {there:.1f}", flush=True)


def measure(env: TaskVectorEnv, steps: int) -> tuple[float, float, float]:
    """Returns turns per second, and CPU seconds a step of this process and of the busiest worker."""
    env.reset(seed=0)
    answers = env.oracle()
    env.step(answers)  # by then the workers have made their tasks
    workers = [each.pid for each in multiprocessing.active_children()]
    start, cpu, before = time.perf_counter(), time.process_time(), [cpu_seconds(pid) for pid in workers]
    for _ in range(steps):
        env.step(answers)
    took, cpu = time.perf_counter() - start, time.process_time() - cpu
    there = max((cpu_seconds(pid) - b for pid, b in zip(workers, before, strict=True)), default=0.0)
    return steps * NUM_ENVS / took, cpu / steps, there / steps


def cpu_seconds(pid: int | None) -> float:
    """CPU seconds that a process has taken so far; Linux alone tells."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK


if __name__ == "__main__":
    main()
