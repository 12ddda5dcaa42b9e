"""Soaks: episodes and training over and over; memory, open files and processes stay as they are, and so does the text.

Each family has a process of its own. In every second round a seed comes again, and its text must be what it was.

    PERLHF_SOAK_SECONDS=7200 python -m pytest -m long -s tests/test_soak.py            # two hours for each family
    python tests/test_soak.py uinav 7200                                             # one family, a line each minute
"""

import gc
import hashlib
import os
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from multiprocessing import resource_tracker
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from children import exit_code, start_child
from tiny_models import save_gemma, save_seeing_gemma
from written_files import write_table

import envs  # noqa: F401 - registers perlhf/*
from agents import PPO, make_vec_env
from envs.uinav.dialects import DIALECTS
from perlhf.measure import rss_mb

SECONDS = float(os.environ.get("PERLHF_SOAK_SECONDS", "60"))
WARM_UP, WINDOWS = 0.5, 20  # share of the time, in which caches fill; parts of the rest
SEEDS = 20  # come again and again
# A round's memory comes and goes. What may be added to the resident memory in all of the time behind the warm-up, by
# the line through its windows: this share of it, or so many MB. In less than half an hour caches are still filling.
GROWTH, GROWTH_MB, SHORT, SHORT_MB = 0.03, 8.0, 1800, 64.0
TEXT = ("TLDR-v0", "BOLT-v0", "HH-v0", "SHP-v0", "Taskmaster-v0")


class Said:
    """Hashes whatever episodes show: texts, pictures, numbers."""

    def __init__(self):
        self.hash, self.steps = hashlib.sha256(), 0

    def add(self, *values):
        for value in values:
            if isinstance(value, dict):
                self.add(*(each for item in value.items() for each in item))
            elif isinstance(value, np.ndarray) and value.dtype != object:
                self.hash.update(np.ascontiguousarray(value).tobytes())
            else:
                self.hash.update(repr(value).encode("utf-8", "surrogatepass"))


def play(env, seed, episodes, said):
    """Plays episodes of one env: what an oracle says, what is plausible, and what is neither."""
    rng = np.random.default_rng(seed)
    for episode in range(episodes):
        shown, info = env.reset(seed=seed if episode == 0 else None)
        said.add(shown, info)
        ended = False
        while not ended:
            kind = rng.random()
            if kind < 0.1:
                action = bytes(rng.integers(32, 255, 9, dtype=np.uint8)).decode("latin-1")
            elif kind < 0.5 or not env.unwrapped.task.has_oracle:
                action = env.unwrapped.plausible_action(rng)
            else:
                action = env.unwrapped.oracle()
            shown, reward, terminated, truncated, info = env.step(action)
            ended = terminated or truncated
            said.add(action, shown, reward, terminated, truncated, info)
            said.steps += 1


def play_vector(env, seed, turns, said):
    """The same of many side by side."""
    rng = np.random.default_rng(seed)
    said.add(*env.reset(seed=seed))
    for _ in range(turns):
        actions = env.plausible_action(rng) if rng.random() < 0.5 else env.oracle()
        shown, rewards, terminated, truncated, _ = env.step(actions)
        said.add(actions, shown, rewards, terminated, truncated)
        said.steps += env.num_envs


def text_family(folder, stack):
    """Every text task, one episode at a time and side by side, with one env kept and one made anew each time.

    Miniature records are kept once they are made, so all of a split are made before.
    """
    rows = [{"prompt": f"{i} + {i} =", "chosen": str(2 * i), "rejected": str(i)} for i in range(1, 60)]
    write_table(folder / "sums.jsonl", rows)
    given = {"reward": "gold", "split": "test"}
    kinds = [(f"perlhf/{name}", given) for name in TEXT]
    kinds.append(("perlhf/Taskmaster-v0", {**given, "domain": "ticketing"}))
    length = {"reward": "rewards.functions:length_penalty", "target": 30}
    kinds.append(("perlhf/Preferences-v0", {"data": str(folder / "sums.jsonl"), "reward": length}))
    kept = [stack.enter_context(gym.make(name, **options)) for name, options in kinds]
    for env in kept:
        _ = list(env.unwrapped.task.records)

    def round_of(seed, said):
        at = seed % len(kinds)
        name, options = kinds[at]
        play(kept[at], seed, 20, said)
        with gym.make(name, **options) as env:
            play(env, seed, 20, said)
        env = gym.make_vec(name, 8, **options)
        play_vector(env, seed, 5, said) if env.task.has_oracle else env.reset(seed=seed)
        env.close()

    return round_of


def uinav_family(folder, stack):
    """The phone in every dialect, as text and as pixels, with marks, attacks, masks, levels and other screens."""
    kinds = [{"actions": name} for name in DIALECTS]
    kinds += [{"image": True, "marks": True}, {"attack": "all"}, {"templates": "across", "text": "androidworld"}]
    kinds += [{"image": True, "attack": "all", "actions": "qwen:1000"}, {"mask_goal": True, "augment": 0.3}]
    kinds += [{"image": True, "text": "none", "screen_size": "360x640", "density": 1.5}, {"text": "browsergym"}]
    kinds += [{"split": "test", "lenient": True}, {"level": 3, "actions": "ui-tars", "image": True}]
    kept = [stack.enter_context(gym.make("perlhf/UINav-v0", reward="gold", **options)) for options in kinds]

    def round_of(seed, said):
        at = seed % len(kinds)
        play(kept[at], seed, 6, said)
        with gym.make("perlhf/UINav-v0", reward="gold", **kinds[at]) as env:
            play(env, seed, 3, said)
        env = gym.make_vec("perlhf/UINav-v0", 4, reward="gold", **kinds[at])
        play_vector(env, seed, 5, said)
        env.close()

    return round_of


def vqa_family(folder, stack):
    """Questions on pictures of several sizes. Of what is kept each picture is shown once before: they are cached."""
    small = [{"split": "validation"}, {"image_size": 32, "split": "validation"}, {"levels": "1+2", "split": "test"}]
    kinds = [*small, {"image_size": 224}, {}]
    kept = [
        stack.enter_context(gym.make("perlhf/VQAv2-v0", render_mode="rgb_array", **options)) for options in kinds[:4]
    ]
    for env in kept:
        for index in range(min(2000, 64 * 2**20 // env.observation_space["image"].shape[0] ** 2 // 3)):
            env.reset(options={"index": index % len(env.unwrapped.task.records)})

    def round_of(seed, said):
        at = seed % len(kinds)
        if at < len(kept):
            play(kept[at], seed, 20, said)
            said.add(kept[at].render())
        with gym.make("perlhf/VQAv2-v0", **kinds[at]) as env:
            play(env, seed, 20, said)
        env = gym.make_vec("perlhf/VQAv2-v0", 8, **kinds[at])
        play_vector(env, seed, 5, said)
        env.close()

    return round_of


def training_family(folder, stack):
    """PPO on a text task, over many steps and on pictures, made anew each time; saved and loaded; with workers."""
    sees, reads = str(save_seeing_gemma(folder / "sees")), str(save_gemma(folder / "reads"))
    letter = "toy_tasks:starts_with_i"
    resource_tracker.ensure_running()  # Python's own, which begins with the first workers and stays
    kinds = [
        ("HH-v0", reads, {"reward": letter}, {}),
        ("UINav-v0", reads, {"reward": "gold", "templates": "set_alarm"}, {"n_steps": 3}),
        ("VQAv2-v0", sees, {}, {}),
        ("HH-v0", reads, {"reward": "gold", "workers": 2}, {"n_steps": 2}),
        ("TLDR-v0", reads, {"reward": "gold"}, {"group_size": 2, "algorithm": "rloo"}),
    ]

    def round_of(seed, said):
        env_id, backbone, options, settings = kinds[seed % len(kinds)]
        env = make_vec_env(env_id, 4, seed=seed, **options)
        made = {"policy_kwargs": {"backbone": backbone, "max_new_tokens": 6}, "batch_size": 2, "device": "cpu"}
        model = PPO("LoRAPolicy", env, seed=seed, **made, **settings)
        model.learn(2 * 4 * settings.get("n_steps", 1))
        model.save(folder / "saved")
        model = PPO.load(folder / "saved", env, device="cpu")
        model.learn(4, reset_num_timesteps=False)
        said.add(*(p.detach().numpy() for p in model.policy.parameters()), *model.last_observation["prompt"])
        said.steps += model.num_timesteps
        env.close()

    return round_of


FAMILIES = {"text": text_family, "uinav": uinav_family, "vqa": vqa_family, "training": training_family}


def held_now():
    """What this process holds: resident MB, open files, child processes."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return rss_mb(), len(os.listdir("/proc/self/fd")), len(children)


def slope_of(times, values):
    """Theil and Sen's slope: the median of the slopes of all pairs, which a few odd values do not move."""
    times, values = np.asarray(times), np.asarray(values)
    first, second = np.triu_indices(len(times), 1)
    return float(np.median((values[second] - values[first]) / (times[second] - times[first])))


@dataclass
class Soak:
    """What was measured at the end of each round."""

    family: str
    rounds: int = 0
    steps: int = 0
    samples: list = field(default_factory=list)  # (seconds, MB, open files, children)

    def windows(self):
        """After the warm-up, parts of equal time: their middle and the median of their MB."""
        end = self.samples[-1][0]
        edges = np.linspace(WARM_UP * end, end, WINDOWS + 1)
        parts = [[s for s in self.samples if a <= s[0] <= b] for a, b in pairwise(edges)]
        return [(np.median([s[0] for s in part]), np.median([s[1] for s in part])) for part in parts if part]

    def growth(self):
        """MB by which the line through the windows rises from the first to the last."""
        times, values = zip(*self.windows(), strict=True)
        return slope_of(times, values) * (times[-1] - times[0])

    def handles(self):
        """The most open files and children in the first and in the last quarter behind the warm-up."""
        behind = [s for s in self.samples if s[0] >= WARM_UP * self.samples[-1][0]]
        quarter = max(1, len(behind) // 4)
        return [tuple(max(s[i] for s in part) for i in (2, 3)) for part in (behind[:quarter], behind[-quarter:])]

    def __str__(self):
        windows, growth = self.windows(), self.growth()
        hours = (windows[-1][0] - windows[0][0]) / 3600
        (files, children), (files_at_end, children_at_end) = self.handles()
        return (
            f"{self.family}: {self.samples[-1][0]:,.0f} s, {self.rounds:,} rounds, {self.steps:,} steps; "
            f"{windows[0][1]:.1f} MB behind the warm-up, {windows[-1][1]:.1f} MB at the end, "
            f"line {growth:+.2f} MB ({growth / hours:+.2f} MB/h); open files {files} and {files_at_end}, "
            f"children {children} and {children_at_end}"
        )

    def check(self):
        """Raises AssertionError where something grew."""
        windows, handles = self.windows(), self.handles()
        most = SHORT_MB if self.samples[-1][0] < SHORT else max(GROWTH_MB, GROWTH * windows[0][1])
        assert self.growth() <= most, str(self)
        assert all(last <= first for first, last in zip(*handles, strict=True)), str(self)


def soak(family, seconds, say):
    """Plays rounds for so long; returns what was measured.

    Raises:
        AssertionError: a seed that came again did not give what it gave before.
    """
    torch.set_num_threads(1)
    result, known, said_at = Soak(family), {}, 0.0
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        round_of = FAMILIES[family](Path(folder), stack)
        start = time.monotonic()
        while (passed := time.monotonic() - start) < seconds:
            number, again = divmod(result.rounds, 2)
            seed = number % SEEDS if again else 1000 + number
            said = Said()
            round_of(seed, said)
            if again:
                digest = said.hash.hexdigest()
                assert known.setdefault(seed, digest) == digest, f"seed {seed}, round {result.rounds}"
            result.rounds += 1
            result.steps += said.steps
            gc.collect()
            result.samples.append((time.monotonic() - start, *held_now()))
            if passed - said_at >= 60:
                said_at = passed
                say(f"{passed:,.0f} s, {result.steps:,} steps, {result.samples[-1][1]:.1f} MB")
    return result


def run(family, seconds, say):
    """Soaks a family, says what was measured, and raises AssertionError where something grew."""
    result = soak(family, seconds, say)
    say(str(result))
    result.check()


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_memory_stays_flat_and_the_same_seed_gives_the_same_text(family, tmp_path):
    said = tmp_path / "said"
    child = start_child(lambda: run(family, SECONDS, lambda line: print(line, file=sys.stderr)), said=said)
    code = exit_code(child, SECONDS + 300)
    print(f"\n{said.read_text()}", end="")
    assert code == 0, said.read_text()


if __name__ == "__main__":
    run(sys.argv[1], float(sys.argv[2]), lambda line: print(line, flush=True))
