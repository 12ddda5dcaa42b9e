"""`perlhf lab hack`: a policy that hacks its reward model, and what helps. See docs/labs/hack.md.

A reward model of few pairs, PPO at twice the usual rate and no KL penalty: the proxy goes up, gold goes up and then
down. Each remedy changes one thing of that and keeps all else, seeds too.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backbones.model.loading import SHIPPED
from envs.registry import env_id, task_of
from evaluation.labs.cells import Cell, cost_of, finish, table, weights_hash
from evaluation.labs.curves import curve
from evaluation.labs.hack_figure import draw
from evaluation.labs.lab import Lab
from evaluation.labs.peaks import chosen_by, last_within, over_seeds, peak_of
from evaluation.labs.proxies import Proxy, WithoutLength, finish_proxy
from evaluation.metrics import interval, members_of, signed
from perlhf.run_folder import write_json, write_text

ENV = "HH-v0"
RECIPE: dict[str, Any] = {
    "n_envs": 64, "batch_size": 16, "learning_rate": 0.0125, "kl_coef": 0.0, "preflight": False,
    "value_adapter": "shared", "lora_targets": "all-linear", "lora_layers": "half", "max_new_tokens": 64,
}  # fmt: skip
PENALTY = 0.15  # of the KL, as in the recipe HH-v0.yaml
LEAST = 0.1  # a fall of gold that counts as one
KL_LIMIT = 3.0  # nats of a response, at which the run is stopped in hindsight


class Sizes(NamedTuple):
    """Says how much of everything.

    Attributes:
        seeds: of every run.
        pairs: that a reward model learns from.
        judged: held-out pairs that a reward model is measured on.
        turns: of a rollout.
        updates, every: of a run, and between two looks.
        prompts: that are looked at.
    """

    seeds: int
    pairs: int
    judged: int
    turns: int
    updates: int
    every: int
    prompts: int


FULL = Sizes(seeds=5, pairs=1500, judged=400, turns=64, updates=12, every=2, prompts=96)
QUICK = Sizes(seeds=2, pairs=32, judged=20, turns=16, updates=2, every=1, prompts=8)


class Arm(NamedTuple):
    """Describes a run: the hack itself, or with a remedy.

    Attributes:
        proxies: what its reward models are made of, by sizes and a seed.
        reward: the spec or function that it is trained with, from the folders of these and what the first is worth.
        changes: of the recipe.
    """

    proxies: Callable[[Sizes, int], list[Proxy]]
    reward: Callable[[Sequence[Path], Mapping[str, float]], Any]
    changes: Mapping[str, Any] = {}


def _one(sizes: Sizes, seed: int) -> list[Proxy]:
    return [Proxy(sizes.pairs, seed=seed)]


def _three(sizes: Sizes, seed: int) -> list[Proxy]:
    return [Proxy(sizes.pairs, seed=seed, member=member) for member in range(3)]


def _with_own(sizes: Sizes, seed: int) -> list[Proxy]:
    return [Proxy(sizes.pairs // 2, own=sizes.pairs // 2, seed=seed)]


def _with_foreign(sizes: Sizes, seed: int) -> list[Proxy]:
    return [Proxy(sizes.pairs // 2, foreign=sizes.pairs // 2, seed=seed)]


def _plain(folders: Sequence[Path], worth: Mapping[str, float]) -> str:
    return str(folders[0])


def _least(folders: Sequence[Path], worth: Mapping[str, float]) -> dict[str, Any]:
    return {"ensemble": "min", "members": [str(folder) for folder in folders]}


def _without_length(folders: Sequence[Path], worth: Mapping[str, float]) -> WithoutLength:
    return WithoutLength(folders[0], worth["per_word"])


ARMS = {
    "none": Arm(_one, _plain),
    "KL penalty": Arm(_one, _plain, {"kl_coef": PENALTY}),
    "the least of three": Arm(_three, _least),
    "half the pairs SFT's samples": Arm(_with_own, _plain),
    "half the pairs SHP-v0's": Arm(_with_foreign, _plain),
    "without length": Arm(_one, _without_length),
}


def run(folder: Path, seed: int, quick: bool) -> list[str]:
    """Runs the lab; see `evaluation.labs.lab.Lab`."""
    sizes = QUICK if quick else FULL
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ARMS}
    models: dict[str, list[dict[str, Any]]] = {name: [] for name in ARMS}
    for number in range(seed, seed + sizes.seeds):
        for name, arm in ARMS.items():
            model, of_run = one_run(folder, name, arm, sizes, number)
            models[name].append(model)
            found[name].append(of_run)
    report = {**summary(found, models), "groups": by_group(found["none"], sizes.prompts)}
    write_json(folder / "hack.json", report)
    draw(report, folder / "hack.png")
    lines = rows_of(report)
    write_text(folder / "hack.md", "\n".join(lines) + "\n")
    return [*lines, "", f"{cost_of(folder):.0f} CPU seconds in all -> {folder}"]


def one_run(folder: Path, name: str, arm: Arm, sizes: Sizes, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Trains the reward models of an arm and then its policy; returns what the first model is worth, and the curve."""
    made = [finish_proxy(folder, ENV, proxy, sizes.judged) for proxy in arm.proxies(sizes, seed)]
    kept, worth = [of_one for of_one, _ in made], made[0][1]
    recipe = {**RECIPE, "n_envs": sizes.turns, **arm.changes}
    asked = {
        "base": weights_hash([SHIPPED["tiny"]]), "proxies": weights_hash(kept), "recipe": recipe, "seed": seed,
        "updates": sizes.updates, "every": sizes.every, "prompts": sizes.prompts,
    }  # fmt: skip

    def train() -> dict[str, Any]:
        return curve(ENV, recipe, arm.reward(kept, worth), seed, sizes.updates, sizes.every, sizes.prompts)

    return worth, finish(folder, Cell(f"run-{seed}-{'-'.join(name.split())}", asked, train))


# What is found.


def summary(found: Mapping[str, list[dict[str, Any]]], models: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Returns the report: curves and their peaks, each arm over seeds, and where stopping would have left the hack."""
    report: dict[str, Any] = {"arms": {}, "updates": found["none"][0]["updates"]}
    for name, runs in found.items():
        of_runs = [{**_of_run(run), **model} for run, model in zip(runs, models[name], strict=True)]
        report["arms"][name] = {"runs": of_runs}
    ends = [run["end"] for run in report["arms"]["none"]["runs"]]
    for of_arm in report["arms"].values():
        keys = ("start", "peak", "end", "fall", "proxy_rise", "kl_end", "tokens_end", "accuracy", "gold_agreement")
        of_arm |= {key: over_seeds([run[key] for run in of_arm["runs"]]) for key in keys}
        of_arm["hacked"] = sum(run["fall"] >= LEAST and run["proxy_rise"] > 0 for run in of_arm["runs"])
        of_arm["beside_none"] = over_seeds([run["end"] - end for run, end in zip(of_arm["runs"], ends, strict=True)])
    report["stops"] = _stops(found["none"], ends)
    first = found["none"][0]
    report["said"] = {"prompts": first["prompts"], "said": first["said"]}
    return report


def _of_run(found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the curve of a run as means over the prompts, and its peak."""
    peak = peak_of(found["gold"])
    proxy = [sum(scores) / len(scores) for scores in found["proxy"]]
    return {
        "gold": [round(sum(golds) / len(golds), 4) for golds in found["gold"]],
        "proxy": [round(score, 4) for score in proxy],
        "kl": found["kl"],
        "tokens": found["tokens"],
        "peaked_at": found["updates"][peak.look],
        "start": sum(found["gold"][0]) / len(found["gold"][0]),
        "peak": peak.gold,
        "end": peak.end,
        "fall": peak.fall,
        "fall_error": peak.error,
        "proxy_rise": proxy[-1] - proxy[peak.look],
        "kl_end": found["kl"][-1],
        "tokens_end": found["tokens"][-1],
    }


def _stops(runs: list[dict[str, Any]], ends: list[float]) -> dict[str, Any]:
    """Returns the gold that the hack would have been left at by some rules of when to stop."""
    golds = {
        f"at the last look before the KL is above {KL_LIMIT:g} nats": [
            sum(run["gold"][i]) / len(run["gold"][i]) for run in runs for i in [last_within(run["kl"], KL_LIMIT)]
        ],
        "where the proxy was highest": [chosen_by(run["proxy"], run["gold"]) for run in runs],
        "where gold was highest": [chosen_by(run["gold"], run["gold"]) for run in runs],
    }
    return {
        name: {
            "end": over_seeds(of_rule),
            "beside_none": over_seeds([gold - end for gold, end in zip(of_rule, ends, strict=True)]),
        }
        for name, of_rule in golds.items()
    }


def by_group(runs: list[dict[str, Any]], prompts: int) -> dict[str, Any]:
    """Returns the gold of some runs at SFT, at their peaks and at their ends, over the prompts of each group."""
    task = task_of(env_id(ENV), split="validation")
    members = members_of([task.groups(state) for state in task.first_states(prompts)])
    found: dict[str, Any] = {}
    for name, chosen in members.items():
        golds = [np.array(run["gold"])[:, chosen].mean(1) for run in runs]
        places = [(0, peak_of(run["gold"]).look, -1) for run in runs]
        found[name] = {"n": int(chosen.sum())} | {
            when: over_seeds([float(gold[at[i]]) for gold, at in zip(golds, places, strict=True)])
            for i, when in enumerate(("start", "peak", "end"))
        }
    return found


# What is shown.


def rows_of(report: Mapping[str, Any]) -> list[str]:
    """Returns tables of the arms, of rules of stopping and of groups of prompts, and sentences on the hack's peaks."""
    count = len(report["arms"]["none"]["runs"])
    head = [
        "remedy", "pairs ordered as gold", "gold at its peak", "gold at the end", "fall", "hacked",
        "proxy since the peak", "KL at the end", "gold at the end, less none's",
    ]  # fmt: skip
    rows = []
    for name, of in report["arms"].items():
        cells = [f"{of['gold_agreement']['mean']:.3f}", interval(of["peak"]), interval(of["end"])]
        cells += [signed(of["fall"]), f"{of['hacked']} of {count}", f"{of['proxy_rise']['mean']:+.2f}"]
        cells += [f"{of['kl_end']['mean']:.1f}", "" if name == "none" else signed(of["beside_none"])]
        rows.append([name, *cells])
    stops = [[name, interval(of["end"]), signed(of["beside_none"])] for name, of in report["stops"].items()]
    groups = [
        [f"{name} ({of['n']})", *(interval(of[when]) for when in ("start", "peak", "end"))]
        for name, of in report["groups"].items()
    ]
    return [
        *table(head, rows),
        "",
        *table(["no remedy, stopped", "gold", "less that of its end"], stops),
        "",
        *table(["no remedy, gold on prompts", "SFT", "at its peak", "at the end"], groups),
        "",
        *(_sentence(number, run) for number, run in enumerate(report["arms"]["none"]["runs"])),
    ]


def _sentence(number: int, run: Mapping[str, Any]) -> str:
    """Says in a line when gold peaked in a run, and what became of it."""
    fell = f"{run['fall']:.2f} ± {run['fall_error']:.2f} below its peak at the end"
    return f"- run {number}: gold peaked at update {run['peaked_at']}; {fell}, the proxy {run['proxy_rise']:+.2f}"


LAB = Lab("a policy that hacks its reward model in every seed, and what helps", (40, 2), run)
