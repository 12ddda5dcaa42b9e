"""Steps per second of UINav-v0 on one core, as text and as pixels, alone and side by side; miniwob beside it.

python benchmarks/uinav_speed.py [--no-browser]
python benchmarks/uinav_speed.py --actions coordinates   # the time of a text step in another dialect, beside "elements"
python benchmarks/uinav_speed.py --processes 2   # 64 envs as text, shared out over processes, as torchrun does

CPU time of this process for perlhf, which does all of its work in it; elapsed time for miniwob (`pip install miniwob
selenium`, Debian's chromium and chromium-driver), whose work is done by others: a browser and its driver. The oracle's
actions are looked up beforehand, without pictures, and the data that were made for that are forgotten. Episodes are of
all templates and none is played twice; resets are counted too.
"""

import itertools
import multiprocessing
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import gymnasium as gym

import envs  # noqa: F401 - registers perlhf/*
from envs.uinav.phone.app import initial_data

EPISODES, REPEATS, NUM_ENVS = 400, 7, 64
gate: Barrier  # of a process among several, which begin each repeat together
UINAV, MINIWOB = "perlhf/UINav-v0", "miniwob/click-test-2-v1"


def main() -> None:
    """Prints the median and the range of several repeats for each kind."""
    if "--actions" in sys.argv:
        compare(sys.argv[sys.argv.index("--actions") + 1])
        return
    if "--processes" in sys.argv:
        share_out(int(sys.argv[sys.argv.index("--processes") + 1]))
        return
    rates = {}
    for name, options, episodes in (("text", {}, EPISODES), ("pixels", {"image": True}, EPISODES // 10)):
        alone, together = one(options, episodes), many(options, 6 * max(1, episodes // NUM_ENVS))
        rates[name], ratio = report_both(name, alone, together)
        print(f"  {NUM_ENVS} side by side / one env: {ratio:.2f}")
    if "--no-browser" not in sys.argv:
        browser(rates)


def compare(actions: str) -> None:
    """Prints the rates of text in two dialects, one env each, and how much longer a step of the second takes.

    By the fastest repeats, in turns: what else runs on the machine can only make one slower.
    """
    ours, theirs = one({}, EPISODES), one({"actions": actions}, EPISODES, seed=1)  # others, so that no cache has them
    rate(ours), rate(theirs)  # warms up
    pairs = [(rate(ours), rate(theirs)) for _ in range(REPEATS)]
    report("text, elements", [first for first, _ in pairs])
    report(f"text, {actions}", [second for _, second in pairs])
    longer = max(first for first, _ in pairs) / max(second for _, second in pairs) - 1
    print(f"  a step in {actions} takes {longer:+.1%} more time than one in elements, by the fastest of {REPEATS}")


Play = Callable[[], tuple[int, float]]


def rate(play: Play) -> float:
    """Steps a second of one repeat."""
    steps, seconds = play()
    return steps / seconds


def report(name: str, rates: list[float]) -> float:
    """Prints and returns the median."""
    median = statistics.median(rates)
    print(f"{name}: {median:,.0f} steps/s ({min(rates):,.0f} to {max(rates):,.0f})", flush=True)
    return median


def report_both(name: str, alone: Play, together: Play) -> tuple[float, float]:
    """Returns the median rate of one env, and the median ratio of many to one, measured in turns."""
    rate(alone), rate(together)  # warms up
    pairs = [(rate(alone), rate(together)) for _ in range(REPEATS)]
    median = report(f"{name}, one env", [single for single, _ in pairs])
    report(f"{name}, {NUM_ENVS} side by side", [many for _, many in pairs])
    return median, statistics.median([many / single for single, many in pairs])


def one(options: dict, episodes: int, seed: int = 0) -> Play:
    """Returns a function that plays the next episodes of one env; no repeat plays an episode that another played."""
    planned = gym.make(UINAV, disable_env_checker=True, **without_pictures(options))
    planned.reset(seed=seed)
    rounds = [[plan_of(planned) for _ in range(episodes)] for _ in range(1 + REPEATS)]
    env = gym.make(UINAV, disable_env_checker=True, **options)
    env.reset(seed=seed)
    initial_data.cache_clear()
    following = iter(rounds)

    def play() -> tuple[int, float]:
        plans = next(following)
        start = time.process_time()
        for plan in plans:
            for action in plan:
                env.step(action)
            env.reset()
        return sum(map(len, plans)), time.process_time() - start

    return play


def without_pictures(options: dict) -> dict:
    """Returns the options of the same episodes as text."""
    return {name: value for name, value in options.items() if name != "image"}


def plan_of(env: gym.Env) -> list[str]:
    """Returns the oracle's actions of the episode that has begun; another one is begun."""
    plan, over = [], False
    while not over:
        plan.append(env.unwrapped.oracle())
        over = env.step(plan[-1])[2]
    env.reset()
    return plan


def many(options: dict, steps: int, count: int = NUM_ENVS, seed: int = 0) -> Play:
    """Returns a function that plays the next steps of a vector env of `count` envs."""
    planned = gym.make_vec(UINAV, num_envs=count, **without_pictures(options))
    planned.reset(seed=seed)
    plans = []
    for _ in range((1 + REPEATS) * steps):
        plans.append(planned.oracle())
        planned.step(plans[-1])
    env = gym.make_vec(UINAV, num_envs=count, **options)
    env.reset(seed=seed)
    initial_data.cache_clear()
    following = iter(plans)

    def play() -> tuple[int, float]:
        start = time.process_time()
        for actions in itertools.islice(following, steps):
            env.step(actions)
        return steps * count, time.process_time() - start

    return play


def share_out(processes: int) -> None:
    """Prints the rate of all processes together, each with its part of the envs, by the clock of the slowest."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, spawn, initializer=_wait_at, initargs=(spawn.Barrier(processes),)) as pool:
        of_each = list(pool.map(_part, [NUM_ENVS // processes] * processes, range(processes)))
    rates = [sum(steps for steps, _ in parts) / max(took for _, took in parts) for parts in zip(*of_each, strict=True)]
    report(f"text, {NUM_ENVS} in {processes} processes, by the clock", rates[1:])


def _wait_at(barrier: Barrier) -> None:
    global gate
    gate = barrier


def _part(count: int, seed: int) -> list[tuple[int, float]]:
    """Returns the steps and the seconds of each repeat of one process."""
    play, found = many({}, 6 * EPISODES // NUM_ENVS, count, seed), []
    for _ in range(1 + REPEATS):  # the first warms up
        gate.wait()
        start = time.perf_counter()
        steps, _ = play()
        found.append((steps, time.perf_counter() - start))
    return found


def browser(rates: dict) -> None:
    """Miniwob in Chromium, where it is installed."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    try:
        import miniwob
        from miniwob.action import ActionTypes
    except ImportError:
        miniwob = None
    if miniwob is None or chromium is None or driver is None:
        print("miniwob in Chromium: not installed")
        return
    wrapper = Path("runs") / "chromium-for-miniwob.sh"
    wrapper.parent.mkdir(exist_ok=True)
    flags = "--no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking --no-first-run"
    wrapper.write_text(f'#!/bin/sh\nexec {chromium} {flags} "$@"\n')
    wrapper.chmod(0o755)
    settings = {"MINIWOB_CHROME_BINARY": str(wrapper.resolve()), "MINIWOB_CHROMEDRIVER": driver, "SE_OFFLINE": "true"}
    os.environ.update(settings)
    gym.register_envs(miniwob)
    env = gym.make(MINIWOB, disable_env_checker=True)
    env.reset()
    action = env.unwrapped.create_action(ActionTypes.NONE)

    def play(steps: int = 20) -> tuple[int, float]:
        start = time.perf_counter()
        env.reset()
        for _ in range(steps):
            env.step(action)
        return steps, time.perf_counter() - start

    play()
    measured = report("miniwob in Chromium, with screenshots", [rate(play) for _ in range(REPEATS)])
    env.close()
    print(f"  UINav-v0 as text / miniwob: {rates['text'] / measured:,.0f}")
    print(f"  UINav-v0 as pixels / miniwob: {rates['pixels'] / measured:,.0f}")


if __name__ == "__main__":
    main()
