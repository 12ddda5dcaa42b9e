"""Turns per second of an environment without a learned reward, one process, one core.

python benchmarks/env_speed.py [ID]
"""

import itertools
import statistics
import sys
import time
from collections.abc import Callable

import gymnasium as gym

import envs  # noqa: F401 - registers perlhf/*

TURNS, REPEATS, NUM_ENVS = 4_000, 5, 64
REWARDS = {
    "a function": {"reward": "rewards.functions:length_penalty", "target": 30},
    "gold": "gold",
}


def main() -> None:
    """Prints the median and the range of several repeats for each kind of env and reward."""
    env_id = sys.argv[1] if len(sys.argv) > 1 else "perlhf/HH-v0"
    for name, reward in REWARDS.items():
        for kind, play in (("one env", play_one), (f"vector of {NUM_ENVS}", play_many)):
            step = play(env_id, reward)
            step()  # the records of the split are made when they are first asked for
            rates = sorted(TURNS / seconds(step) for _ in range(REPEATS))
            print(f"{env_id}, {kind}, reward {name}: {statistics.median(rates):,.0f} turns/s", end="")
            print(f" ({rates[0]:,.0f} to {rates[-1]:,.0f})")


def seconds(function: Callable[[], None]) -> float:
    """CPU seconds, since the machine may be doing other things."""
    start = time.process_time()
    function()
    return time.process_time() - start


def play_one(env_id: str, reward: object) -> Callable[[], None]:
    """Plays episodes of one env from the same seed, each with a response that was never given before."""
    env, number = gym.make(env_id, reward=reward), itertools.count()
    env.reset(seed=0)
    answer = env.unwrapped.oracle()

    def play() -> None:
        env.reset(seed=0)
        for _ in range(TURNS):
            env.step(f"{answer} {next(number)}")
            env.reset()

    return play


def play_many(env_id: str, reward: object) -> Callable[[], None]:
    """Plays episodes of a vector env in the same way."""
    env, number = gym.make_vec(env_id, num_envs=NUM_ENVS, reward=reward), itertools.count()
    env.reset(seed=0)
    answers = env.oracle()

    def play() -> None:
        env.reset(seed=0)
        for _ in range(TURNS // NUM_ENVS):
            env.step([f"{answer} {next(number)}" for answer in answers])

    return play


if __name__ == "__main__":
    main()
