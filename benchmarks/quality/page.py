"""docs/speedrun.md: who reaches which gold in how many CPU seconds, with the machine, the versions and the date."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

from benchmarks.performance.page import machine
from benchmarks.quality.cells import BUDGET, PPO_EPISODES, SETTINGS, Setting, place_of
from benchmarks.quality.verdict import LEVELS, RESULT
from evaluation.reproduce.tables import row, table_head

Results = Mapping[int, Mapping[str, Any]]  # by seed
OURS = "ppo"

_HEAD = f"""\
# Speedrun: CPU seconds to a given quality

    python -m benchmarks.quality --envs {{envs}}
    python -m benchmarks.quality.judge FOLDER      # checks anybody's run in a minute or two

Written by the first command, which is also the part `quality` of `make bench`. Everybody has the same backbone of 1.1M
parameters, the prompts of training, the bundled reward model, the gold judge, one thread, fp32, samples at temperature
1 of at most 64 tokens, 1 taken off the score where a response is cut, 64 completions at a time, optimizer steps of 16,
and LoRA of rank 8 and alpha 16, on all linear maps where a row does not say otherwise. Settings take turns, seed by
seed.

- **To .75, .88**: CPU seconds of the process, loading left out and scoring included, until the mean gold of the last
  512 sampled completions is there; a figure for each seed. With 64 completions one crossing would say +- 25 s.
- **Level**: the same mean after 155 CPU s, or at the end of a run that is over before.
- **Held out**: 500 test prompts, the mean of the seeds; the KL to SFT is in nats a response, on their samples.

perlhf runs its recipe: 3,072 completions, a rate that falls to 0, a KL penalty of 0.1. TRL's GRPO and RLOO run
{BUDGET:.0f} CPU s, 8 completions of a prompt, at a constant rate of 3e-3 (of 1e-3, 3e-3, 6.25e-3 and 1e-2 the best for
GRPO on HH-v0; RLOO was given the same, untuned); all else is TRL's default. TRL's PPO has perlhf's settings, a value
model that starts as the reward model by hand, and {PPO_EPISODES:,} completions, which take it as long.
"""


def page(folder: Path, envs: Sequence[str], seeds: Sequence[int]) -> str:
    """Returns the whole page; what was not measured is left out."""
    sections = [section(env, results_of(folder, env, seeds)) for env in envs]
    return "\n".join([_HEAD.format(envs=",".join(envs)), machine(), *filter(None, sections)])


def results_of(folder: Path, env: str, seeds: Sequence[int]) -> dict[str, Results]:
    """Returns what was judged, by setting and seed."""
    found: dict[str, Results] = {}
    for name in SETTINGS:
        files = {seed: place_of(folder, env, name, seed) / RESULT for seed in seeds}
        judged = {seed: json.loads(f.read_text(encoding="utf-8")) for seed, f in files.items() if f.is_file()}
        if judged:
            found[name] = judged
    return found


def section(env: str, results: Mapping[str, Results]) -> str:
    """Returns the table of an env and what it says; "" where nothing was measured."""
    if not results:
        return ""
    to_level = [f"CPU s to {level:g}" for level in LEVELS]
    names = (*to_level, "level", "held out, sampled", "greedy", "KL (nats)", "completions per CPU s", "seeds")
    rows = [f"## {env}\n", *table_head("", *names)]
    rows += [row(*cells(SETTINGS[name], judged)) for name, judged in results.items()]
    return "\n".join([*rows, "", *(said(results, f"{level:g}") for level in LEVELS)])


def cells(setting: Setting, judged: Results) -> list[str]:
    """Returns a row of the table."""
    each = list(judged.values())
    times = [", ".join(shown(of["seconds_to"][f"{level:g}"]) for of in each) for level in LEVELS]
    levels = ", ".join("-" if of["level"] is None else f"{of['level']:.2f}" for of in each)
    held_out = [f"{mean(of[key]['mean'] for of in each):.3f}" for key in ("sampled", "greedy")]
    kls = ", ".join(f"{of['kl']:.1f}" for of in each)
    rate = f"{mean(of['rate'] for of in each):.1f}"
    return [setting.title, *times, levels, *held_out, kls, rate, ", ".join(map(str, judged))]


def shown(seconds: float | None) -> str:
    """Returns seconds, or that it never was."""
    return "never" if seconds is None else f"{seconds:.0f}"


def said(results: Mapping[str, Results], level: str) -> str:
    """Returns what the default takes beside the fastest setting of TRL, seed by seed, in a sentence."""
    times = {
        name: {seed: of["seconds_to"][level] for seed, of in judged.items() if of["seconds_to"][level] is not None}
        for name, judged in results.items()
    }
    whole = {name: of_seeds for name, of_seeds in times.items() if len(of_seeds) == len(results[name])}
    theirs = {name: of_seeds for name, of_seeds in whole.items() if name.startswith("trl")}
    ours = whole.get(OURS)
    if ours is None or not theirs:
        who = "perlhf's default" if ours is None else "any setting of TRL"
        return f"Gold {level} was not reached by {who} in every seed.\n"
    best = min(theirs, key=lambda name: median(theirs[name].values()))
    shared = sorted(set(ours) & set(theirs[best]))
    ratios = [ours[seed] / theirs[best][seed] for seed in shared]
    return (
        f"To gold {level} the default takes {median(ratios):.2f} of the CPU seconds of the fastest of TRL that gets "
        f"there in every seed, {SETTINGS[best].title} ({min(ratios):.2f} to {max(ratios):.2f}, {len(shared)} seeds).\n"
    )
