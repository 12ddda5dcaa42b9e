"""docs/performance.md: the tables with the machine, the versions and the date."""

import os
import platform
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from benchmarks.performance import tables
from benchmarks.performance.cases import PERLHF_PPO, PERLHF_REWARD, Case, MatmulWork, PPOWork, RewardWork
from benchmarks.performance.environments import INSTALLS
from benchmarks.performance.plan import OTHERS_REWARD, Plan, others_ppo
from benchmarks.performance.store import Store

_HEAD = """\
# Performance

`make bench` measures all of this again, from nothing, and writes this page (`python -m benchmarks.performance --help`).
Random Llama models and random words: what is measured is cost, not learning. Prompts have 64 tokens, responses 48.
LoRA has rank 8 and is on q, k, v and o, on every side. Each figure is of a process of its own with one thread: CPU
seconds after a warm-up, and the peak of its memory less that of a process which only imports the same libraries. What
is compared takes turns, and ratios are taken within a round: the median, and the least and greatest of the rounds.
"""
_PPO = """\
## PPO beside others

An iteration samples responses, scores them and trains on them. Everybody has the same model, prompts, epochs and
optimizer steps, and a reward model: perlhf's is an adapter on the same backbone, the others' a model of its own. TRL's
`peft_config` puts adapters on the policy alone; its value model is fully trained. AgileRL samples with vLLM where there
is a GPU, and prompt by prompt where there is none, so it is left out on the largest model; its Liger kernels are
switched off, since they need a GPU too.
"""
_REWARD = """\
## Reward models beside TRL's RewardTrainer

Several epochs over the same preference pairs.
"""
_FULL = """\
## Adapters beside full tuning

perlhf against itself. In PPO with all weights trained the reward model is a fully trained one too.
"""
_CURVES = """\
## What the cost depends on

PPO of perlhf ({setting}), one epoch.
"""
_PEAK = """\
## The limit

How fast this machine multiplies matrices; what an iteration would take if it did nothing else, at the speed of square
ones; and which operators an iteration spends its time in (torch's profiler, which makes Python look slower than it is).
Where a bar is missed, the last column beside the one of matrix products and attention says how little of all else it
would leave: norms, rotations and activations element by element, copies, and Python.
"""


def page(store: Store, plan: Plan) -> str:
    """Returns the whole page; what was not measured is left out."""
    sections = (ppo(store, plan), reward(store, plan), full(store, plan), curves(store, plan), peak(store, plan))
    return "\n".join([_HEAD, machine(), *filter(None, sections)])


def machine() -> str:
    """Returns where and when, in a line each."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    extras = [flag for flag in ("avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    packages = ("perlhf", "torch", "transformers", "peft", "stable_baselines3")
    versions = [*(f"{name} {version(name)}" for name in packages), *sorted({name for name, _ in INSTALLS.values()})]
    cpu = names[0] if names else platform.processor() or platform.machine()
    where = (cpu, f"{os.cpu_count()} cores", *extras, f"Python {platform.python_version()}")
    return f"Machine: {', '.join(where)}.\nVersions: {', '.join(versions)}.\nDate: {time.strftime('%Y-%m-%d')}.\n"


def _section(text: str, parts: Iterable[str]) -> str:
    """Returns a section with its tables; "" where all of them are empty."""
    found = [part for part in parts if part]
    return "\n".join([text, *found]) if found else ""


def _title(work: PPOWork | RewardWork) -> str:
    rows, what = (work.pairs, "pairs") if isinstance(work, RewardWork) else (work.n_envs, "rollouts")
    epochs = work.epochs if isinstance(work, RewardWork) else work.n_epochs
    steps = epochs * -(-rows // work.batch_size)
    return f"### {work.model} parameters\n\n{rows} {what}, each trained on {epochs} x, in {steps} optimizer steps.\n"


def _titled(work: PPOWork | RewardWork, *parts: str) -> str:
    return "\n".join([_title(work), *filter(None, parts)]) if any(parts) else ""


def ppo(store: Store, plan: Plan) -> str:
    """perlhf's PPO beside the others'."""
    parts = []
    for work in plan.ppo:
        ours = [Case(PERLHF_PPO, setting, work) for setting in plan.settings]
        cases = [*(Case(program, setting, work) for program, setting in others_ppo(work)), *ours]
        parts.append(_titled(work, tables.comparison(store, "ppo", cases), tables.profile(store, cases)))
    return _section(_PPO, parts)


def reward(store: Store, plan: Plan) -> str:
    """perlhf's reward-model training beside TRL's."""
    parts = []
    for work in plan.reward:
        ours = [Case(PERLHF_REWARD, setting, work) for setting in plan.reward_settings]
        cases = [*(Case(program, setting, work) for program, setting in OTHERS_REWARD), *ours]
        parts.append(_titled(work, tables.comparison(store, "reward", cases)))
    return _section(_REWARD, parts)


def full(store: Store, plan: Plan) -> str:
    """Adapters beside full tuning, reward models first."""
    parts = []
    for reward_work in plan.full_reward:
        cases = [Case(PERLHF_REWARD, setting, reward_work) for setting in ("full", *plan.reward_settings)]
        parts.append(_titled(reward_work, tables.comparison(store, "full reward", cases)))
    for work in plan.full_ppo:
        cases = [Case(PERLHF_PPO, setting, work) for setting in ("full", *plan.settings)]
        parts.append(_titled(work, tables.comparison(store, "full ppo", cases)))
    return _section(_FULL, parts)


def curves(store: Store, plan: Plan) -> str:
    """Returns the cost curves."""
    name = tables.NAMES[PERLHF_PPO, plan.curve_setting].removeprefix("perlhf, ")
    return _section(_CURVES.format(setting=name), [*tables.curves(store, plan), tables.growth(store, plan)])


def peak(store: Store, plan: Plan) -> str:
    """Returns the matmul peak, and how far it is used."""
    parts = []
    for work in plan.ppo:
        limits = tables.limits(store, work, plan.settings)
        operators = tables.operators(store, work, plan.settings)
        parts.append(_titled(work, tables.peaks(store, MatmulWork(work.model)), limits, operators))
    return _section(_PEAK, parts)
