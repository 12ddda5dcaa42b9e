"""docs/speedrun.md: who reaches which gold in how many CPU seconds, with the machine, the versions and the date."""

import json
import textwrap
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

Written by the first command, which is also the part `quality` of `make bench`; it goes on where it was interrupted. The
second reads CPU seconds off the log of a run of `agents.train_ppo`, samples 512 responses of its policy to training
prompts, which have to be as good as the log says of the last ones, and judges it on held-out prompts.

Everybody has the same backbone of 1.1M parameters, the prompts of training, the bundled reward model, the gold judge,
one thread, fp32, samples at temperature 1 of at most 64 tokens, 1 taken off the score where a response is cut, 64
completions at a time, optimizer steps of 16, and LoRA of rank 8 and alpha 16 on all linear maps, of perlhf's on the top
half of the layers, where a row does not say otherwise. Settings take turns, seed by seed.

- **To .75, .88**: CPU seconds of the process, loading left out and scoring included, until the mean gold of the last
  512 sampled completions is there; a figure for each seed. With 64 completions one crossing would say +- 25 s.
- **Level**: the same mean after 155 CPU s, or at the end of a run that is over before.
- **Held out**: 500 test prompts, the mean of the seeds; the KL to SFT is in nats a response, on their samples.

perlhf runs its recipe: 3,072 completions, a rate that falls to 0, a KL penalty of 0.15; its GRPO and RLOO the same with
8 completions of a prompt. It was chosen on validation prompts of HH-v0, seed 0
([results.md](results.md#ppo-on-hh-v0)). TRL's GRPO and RLOO run {BUDGET:.0f} CPU s, 8 completions of a prompt, at a
constant rate of 3e-3: of 1e-3, 3e-3, 6.25e-3 and 1e-2 the best for GRPO on HH-v0, with adapters on attention; RLOO was
given the same, untuned. All else is TRL's default. TRL's PPO has perlhf's earlier settings, a value model that starts
as the reward model by hand, and {PPO_EPISODES:,} completions, which take it as long. So perlhf is tuned for this task,
and TRL less. One machine, one small model, generated data: it says who is quick here.
"""


def page(folder: Path, envs: Sequence[str], seeds: Sequence[int]) -> str:
    """Returns the whole page; what was not measured is left out."""
    sections = [section(env, results_of(folder, env, seeds)) for env in envs]
    where = "\n".join(wrapped(line) for line in machine().splitlines())
    return "\n".join([_HEAD.format(envs=",".join(envs)), f"{where}\n", *filter(None, sections)])


def wrapped(text: str) -> str:
    """Returns a paragraph in lines of 120 columns."""
    return textwrap.fill(text, 120, break_on_hyphens=False)


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
    sentences = dict.fromkeys(said(results, f"{level:g}") for level in LEVELS)
    return "\n".join([*rows, "", *(f"{wrapped(sentence)}\n" for sentence in sentences)])


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
    """Returns what the default, and the fastest of perlhf, take beside the fastest of TRL, in a sentence."""
    times = {
        name: {seed: of["seconds_to"][level] for seed, of in judged.items() if of["seconds_to"][level] is not None}
        for name, judged in results.items()
    }
    whole = {name: of_seeds for name, of_seeds in times.items() if len(of_seeds) == len(results[name])}
    theirs = [name for name in whole if name.startswith("trl")]
    if not any(name.startswith("trl") for name in results):
        return "TRL was not measured here."
    if OURS not in whole or not theirs:
        who = "perlhf's default" if OURS not in whole else "any setting of TRL"
        return f"Gold {level} was not reached by {who} in every seed."

    def seconds(name: str) -> float:
        return median(whole[name].values())

    best, fastest = min(theirs, key=seconds), min((name for name in whole if name not in theirs), key=seconds)
    who = {OURS: "the default", fastest: SETTINGS[fastest].title} if fastest != OURS else {OURS: "the default"}
    parts = [f"{title} takes {_beside(whole[name], whole[best])}" for name, title in who.items()]
    return (
        f"To gold {level}, beside the fastest setting of TRL that gets there in every seed ({SETTINGS[best].title}), "
        f"{' and '.join(parts)} of the CPU seconds."
    )


def _beside(ours: Mapping[int, float], theirs: Mapping[int, float]) -> str:
    """Returns the ratio of two settings within a seed: the median, and the least and greatest."""
    ratios = [ours[seed] / theirs[seed] for seed in sorted(set(ours) & set(theirs))]
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}, {len(ratios)} seeds)"
