"""`perlhf lab overoptimise`: gold and proxy by the root of the KL, best-of-n and PPO. See docs/labs/overoptimise.md.

After arXiv 2210.10760 and 2310.02743: reward models of few pairs and of many, with right and with wrong labels, alone
and as ensembles. SFT's samples are drawn once, and each reward model scores all of them.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backbones.backbone import Backbone
from backbones.model.loading import SHIPPED
from envs.ensembles import Ensemble
from envs.turn import Turn
from evaluation.labs.best_of_n import expected_best, fit_best_of_n, fit_learned, kl_of
from evaluation.labs.cells import Cell, cost_of, finish, table, weights_hash
from evaluation.labs.curves import curve, held_out
from evaluation.labs.hack import RECIPE
from evaluation.labs.lab import Lab
from evaluation.labs.overoptimise_figure import draw
from evaluation.labs.peaks import over_seeds
from evaluation.labs.proxies import Proxy, finish_proxy
from evaluation.metrics import interval
from perlhf.run_folder import write_json, write_text
from rewards.reward_model import RewardModel

ENV = "HH-v0"
KINDS = ("single", "mean", "min", "uncertainty")


class Sizes(NamedTuple):
    """Says how much of everything.

    Attributes:
        prompts, samples: that best-of-n is about, and SFT's responses to each.
        pairs: that reward models learn from.
        wrong: shares of them with a wrong label.
        members: of an ensemble, which learn from the same pairs.
        seeds: of the pairs.
        judged: held-out pairs that a reward model is measured on.
        learned: the pairs of the reward models that PPO learns from.
        turns: of a rollout of PPO.
        updates, every, looked_at: of PPO, updates between two looks, and prompts of a look.
    """

    prompts: int
    samples: int
    pairs: tuple[int, ...]
    wrong: tuple[float, ...]
    members: int
    seeds: int
    judged: int
    learned: int
    turns: int
    updates: int
    every: int
    looked_at: int


FULL = Sizes(
    prompts=48, samples=64, pairs=(300, 1500), wrong=(0.0, 0.25), members=3, seeds=3, judged=400, learned=1500,
    turns=64, updates=12, every=2, looked_at=96,
)  # fmt: skip
QUICK = Sizes(
    prompts=4, samples=8, pairs=(16, 32), wrong=(0.0, 0.25), members=2, seeds=2, judged=20, learned=32, turns=16,
    updates=2, every=1, looked_at=4,
)  # fmt: skip


def run(folder: Path, seed: int, quick: bool) -> list[str]:
    """Runs the lab; see `evaluation.labs.lab.Lab`."""
    sizes = QUICK if quick else FULL
    base = weights_hash([SHIPPED["tiny"]])
    asked = {"base": base, "seed": seed, "prompts": sizes.prompts, "samples": sizes.samples}
    sampled = finish(folder, Cell("samples", asked, partial(_sample, sizes, seed)))
    report: dict[str, Any] = {"best_of_n": [], "ppo": [], "samples": sizes.samples}
    for pairs, wrong in product(sizes.pairs, sizes.wrong):
        of_seeds = []
        for number in range(seed, seed + sizes.seeds):
            folders, worth = models(folder, sizes, pairs, wrong, number)
            scores = [_scored(folder, asked, kept, sampled) for kept in folders]
            of_seeds.append({**worth, **best_of_n(scores, sampled["golds"])})
        report["best_of_n"].append({"pairs": pairs, "wrong": wrong, **over_all(of_seeds)})
    report["ppo"] = [learned(folder, sizes, kind, wrong, seed) for kind, wrong in product(KINDS, sizes.wrong)]
    write_json(folder / "overoptimise.json", report)
    draw(report, folder / "overoptimise.png")
    lines = rows_of(report)
    write_text(folder / "overoptimise.md", "\n".join(lines) + "\n")
    return [*lines, "", f"{cost_of(folder):.0f} CPU seconds in all -> {folder}"]


# SFT's samples and the reward models.


def _sample(sizes: Sizes, seed: int) -> dict[str, Any]:
    """Samples responses of SFT to held-out prompts, and asks the judge."""
    evaluator = held_out(ENV, None, sizes.prompts, seed).without_scores()
    samples = evaluator.samples(Backbone.load("tiny", "cpu").reference, 1.0, sizes.samples)
    assert samples.golds is not None
    prompts = [evaluator.task.observe(state)["prompt"] for state in evaluator.states]
    return {"prompts": prompts, "texts": samples.texts, "golds": samples.golds.tolist()}


def models(folder: Path, sizes: Sizes, pairs: int, wrong: float, seed: int) -> tuple[list[Path], dict[str, float]]:
    """Trains reward models that learn from the same pairs; returns their folders, and what one is worth on average."""
    proxies = [Proxy(pairs, wrong=wrong, seed=seed, member=member) for member in range(sizes.members)]
    folders, worth = zip(*(finish_proxy(folder, ENV, proxy, sizes.judged) for proxy in proxies), strict=True)
    return list(folders), {key: sum(of[key] for of in worth) / len(worth) for key in worth[0]}


def _scored(folder: Path, of_samples: Mapping[str, Any], model: Path, sampled: Mapping[str, Any]) -> np.ndarray:
    """Returns the scores of all samples by a reward model, (prompts, samples)."""
    asked = {"samples": of_samples, "proxy": weights_hash([model])}
    found = finish(folder, Cell(f"scores-{model.name}", asked, partial(_score, model, sampled)))
    return np.array(found["scores"])


def _score(folder: Path, sampled: Mapping[str, Any]) -> dict[str, Any]:
    """Scores all samples; equal responses to a prompt once, so that they have equal scores to the last bit."""
    model = RewardModel.load(folder)
    scores = []
    for prompt, texts in zip(sampled["prompts"], sampled["texts"], strict=True):
        distinct = list(dict.fromkeys(texts))
        of_text = dict(zip(distinct, model([Turn(prompt, text) for text in distinct]), strict=True))
        scores.append([round(of_text[text], 4) for text in texts])
    model.role.backbone.release()  # else all reward models stay in memory
    return {"scores": scores}


# Best-of-n.


def best_of_n(scores: Sequence[np.ndarray], golds: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Returns curves over n by each of `KINDS`: gold, and the proxy in standard deviations of its scores of samples.

    Args:
        scores: of the members of an ensemble, (prompts, samples) each.
        golds: of the same samples.
    """
    stacked = np.stack(scores)
    ns = doublings(stacked.shape[2])
    found: dict[str, Any] = {"n": ns}
    for kind in KINDS:
        proxies = list(stacked) if kind == "single" else [combined(kind, stacked)]
        found[kind] = {
            "gold": [float(np.mean([expected_best(proxy, golds, n).mean() for proxy in proxies])) for n in ns],
            "proxy": [float(np.mean([expected_best(p, standard(p), n).mean() for p in proxies])) for n in ns],
        }
    return found


def doublings(most: int) -> list[int]:
    """Returns 1, 2, 4 and so on up to `most`, and that."""
    return sorted({*(2**i for i in range(most.bit_length()) if 2**i <= most), most})


def combined(kind: str, scores: np.ndarray) -> np.ndarray:
    """Returns the score of an ensemble, (prompts, samples), from those of its members, (members, prompts, samples)."""
    flat = Ensemble(kind, ()).combine(scores.reshape(len(scores), -1))
    return flat.reshape(scores.shape[1:])


def standard(scores: np.ndarray) -> np.ndarray:
    """Returns scores less their mean, by their standard deviation."""
    return (scores - scores.mean()) / (scores.std() or 1.0)


def over_all(of_seeds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns curves over seeds, with what their form is and how far gold falls below the best n."""
    ns = of_seeds[0]["n"]
    report: dict[str, Any] = {"n": ns, "kl": [round(kl_of(n), 4) for n in ns]}
    report["gold_agreement"] = over_seeds([of["gold_agreement"] for of in of_seeds])
    for kind in KINDS:
        gold = [over_seeds([of[kind]["gold"][i] for of in of_seeds]) for i in range(len(ns))]
        proxy = [float(np.mean([of[kind]["proxy"][i] for of in of_seeds])) for i in range(len(ns))]
        means = [value["mean"] for value in gold]
        fit = fit_best_of_n(report["kl"], [mean - means[0] for mean in means])
        best = int(np.argmax(means))
        fall = over_seeds([of[kind]["gold"][best] - of[kind]["gold"][-1] for of in of_seeds])
        report[kind] = {"gold": gold, "proxy": proxy, "fit": fit._asdict(), "best_n": ns[best], "fall": fall}
    return report


# PPO.


def learned(folder: Path, sizes: Sizes, kind: str, wrong: float, seed: int) -> dict[str, Any]:
    """Trains a policy against a reward model or an ensemble; returns its curve as means over the prompts."""
    folders, _ = models(folder, sizes, sizes.learned, wrong, seed)
    used = folders[:1] if kind == "single" else folders
    reward = str(used[0]) if kind == "single" else {"ensemble": kind, "members": [str(kept) for kept in used]}
    recipe = {**RECIPE, "n_envs": sizes.turns}
    asked = {
        "proxies": weights_hash(used), "kind": kind, "recipe": recipe, "seed": seed, "updates": sizes.updates,
        "every": sizes.every, "prompts": sizes.looked_at,
    }  # fmt: skip
    make = partial(curve, ENV, recipe, reward, seed, sizes.updates, sizes.every, sizes.looked_at)
    found = finish(folder, Cell(f"ppo-{kind}-wrong{wrong:g}", asked, make))
    gold = [float(np.mean(golds)) for golds in found["gold"]]
    proxy, spread = [float(np.mean(scores)) for scores in found["proxy"]], float(np.std(found["proxy"][0])) or 1.0
    kl = [max(0.0, value) for value in found["kl"]]
    away = [i for i in range(1, len(kl)) if kl[i] > 0]
    fit = fit_learned([kl[i] for i in away], [gold[i] - gold[0] for i in away]) if len(away) > 1 else None
    return {
        "kind": kind, "wrong": wrong, "pairs": sizes.learned, "updates": found["updates"], "kl": kl, "gold": gold,
        "proxy": [(score - proxy[0]) / spread for score in proxy], "fit": None if fit is None else fit._asdict(),
    }  # fmt: skip


# What is shown.


def rows_of(report: Mapping[str, Any]) -> list[str]:
    """Returns a table of best-of-n, and one of PPO."""
    rows = []
    for of in report["best_of_n"]:
        for kind in KINDS:
            gold, fit = of[kind]["gold"], of[kind]["fit"]
            best = gold[of["n"].index(of[kind]["best_n"])]
            cells = [f"{of['wrong']:.0%}", kind, f"{of['gold_agreement']['mean']:.3f}", f"{gold[0]['mean']:.3f}"]
            cells += [str(of[kind]["best_n"]), interval(best), interval(gold[-1])]
            cells += [f"{of[kind]['proxy'][-1]:+.2f}", f"{fit['alpha']:.3f}", f"{fit['beta']:.3f}"]
            rows.append([str(of["pairs"]), *cells])
    head = ["pairs", "wrong labels", "kind", "ordered as gold", "gold, n = 1", "best n", "gold there"]
    head += [f"gold, n = {report['samples']}", "proxy there, sd", "alpha", "beta"]
    of_ppo = []
    for of in report["ppo"]:
        best = int(np.argmax(of["gold"]))
        cells = [f"{of['wrong']:.0%}", f"{of['gold'][0]:.3f}", f"{of['gold'][best]:.3f}", str(of["updates"][best])]
        cells += [f"{of['kl'][best]:.1f}", f"{of['gold'][-1]:.3f}", f"{of['proxy'][-1]:+.2f}", f"{of['kl'][-1]:.1f}"]
        of_ppo.append([of["kind"], *cells])
    head_of_ppo = ["PPO", "wrong labels", "gold of SFT", "highest gold", "update", "KL there", "gold at the end"]
    return [*table(head, rows), "", *table([*head_of_ppo, "proxy there, sd", "KL there"], of_ppo)]


LAB = Lab("gold and proxy by the root of the KL: reward models of few pairs and many, best-of-n and PPO", (20, 1), run)
