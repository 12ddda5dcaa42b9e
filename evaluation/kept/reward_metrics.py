"""Which figure of a reward model says what a policy becomes that is trained against it. See docs/reward_models.md.

Reward models of few and of many pairs, with and without the SFT policy's own samples among them: the report of each is
set beside the gold of the policy that PPO makes with it, over all of them and among those of one amount of data.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evaluation.kept.cells import SEEDS, Cell, Experiment, Known, folder_of
from evaluation.kept.paper_cells import kept_of_policy
from evaluation.kept.rows import MISSING, command_lines, over
from evaluation.labs.cells import table, weights_hash
from evaluation.metrics import rank_correlation, ranks, signed
from evaluation.reward_metrics.figures import bootstrap_of
from perlhf.run_folder import read_summary

_ENV = "HH-v0"
_MEASURED = "500"  # records of a report, and prompts of a policy
_AT_LEAST = 8  # reward models that a correlation is taken over


class Data(NamedTuple):
    """Says what a reward model learns from.

    Attributes:
        pairs: of the data.
        own: pairs of the SFT policy's samples beside them.
    """

    pairs: int
    own: int

    def name(self, part: str, seed: int) -> str:
        """Returns the name of a cell: of the "model", its "report", or the "policy" that is trained against it."""
        return f"{part} {self.pairs} and {self.own}, seed {seed}"


DATA = tuple(Data(pairs, own) for pairs in (100, 300, 1000, 3000) for own in (0, pairs // 2))


def plan(known: Known, seeds: Sequence[int], quick: bool) -> list[Cell]:
    """Returns all cells; see `evaluation.kept.cells.Experiment`. Quick is one reward model a seed."""
    return [cell for seed in seeds for data in (DATA[:1] if quick else DATA) for cell in cells_of(data, seed)]


def cells_of(data: Data, seed: int) -> list[Cell]:
    """Returns the cells of a reward model: its training, its report, and PPO against it."""
    model, task = data.name("model", seed), ("--env", _ENV)
    at = ("--reward", folder_of(model))
    amounts = ("--pairs", str(data.pairs), "--policy-pairs", str(data.own))
    train = ("rewards.train_reward_model", *task, *amounts, "--eval-pairs", "200", "--seed", str(seed))
    report = ("evaluation.report_reward_model", *task, *at, "--prompts", _MEASURED)
    ppo = ("agents.train_ppo", *task, *at, "--total-timesteps", "1536", "--eval-prompts", _MEASURED)
    return [
        Cell(model, train, kept_of_model, 15 + data.pairs / 60),
        Cell(data.name("report", seed), report, kept_of_report, 35, base=model),
        Cell(data.name("policy", seed), (*ppo, "--seed", str(seed)), kept_of_policy, 80, base=model),
    ]


def kept_of_model(folder: Path) -> dict[str, Any]:
    """Returns the hash of the weights of a reward model, which the other two cells begin from."""
    return {"accuracy": read_summary(folder)["accuracy"], "sha256": weights_hash([folder])}


def kept_of_report(folder: Path) -> dict[str, Any]:
    """Returns the figures of a reward model's report that a correlation is taken of."""
    report = read_summary(folder)
    changes = [of for of in report["changes"].values() if of is not None]

    def of_changes(figure: str) -> float:
        return float(np.mean([of[figure]["mean"] for of in changes if of[figure] is not None]))

    return {
        "accuracy on pairs": report["accuracy"]["mean"],
        "agreement with gold": report["agreement"]["mean"],
        "best of 4": report["best_of"]["best_of_4"]["mean"],
        "correlation with gold among responses to a prompt": report["gold_correlation"]["mean"],
        "mean confidence": report["calibration"]["confidence"]["mean"],
        "ECE": report["calibration"]["ece"]["mean"],
        "Brier score": report["calibration"]["brier"]["mean"],
        "accuracy where the rule of length is wrong": report["length"]["against"]["mean"],
        "correlation of score and words": report["length"]["correlation"]["mean"],
        "preferences that changes turn": of_changes("both"),
        "lower ones that changes lift above": of_changes("lower_alone"),
    }


def tables(known: Known) -> dict[str, list[str]]:
    """Returns the tables of the page by their names on it."""
    return {
        "correlations": correlation_rows(known),
        "reward models": model_rows(known),
        "commands": command_lines(cells_of(DATA[-1], SEEDS[0])),
    }


def whole(known: Known) -> list[tuple[Data, Mapping[str, float], float]]:
    """Returns what is known whole: what a model learned from, the figures of its report, and gold of its policy."""
    found: list[tuple[Data, Mapping[str, float], float]] = []
    for data in DATA:
        for seed in SEEDS:
            report, policy = (known.get(data.name(part, seed), {}) for part in ("report", "policy"))
            if report and "policy" in policy:
                figures = {name: value for name, value in report.items() if name != "process_cpu_seconds"}
                found.append((data, figures, policy["policy"]["gold"]))
    return found


def correlation_rows(known: Known) -> list[str]:
    """Returns the rank correlation of each figure with the gold of policies, the strongest first."""
    runs = whole(known)
    head = ["figure of the reward model", "rank correlation with gold", "among those of as much data", "n"]
    if len(runs) < _AT_LEAST:
        return table(head, [["all", MISSING, MISSING, str(len(runs))]])
    gold = np.array([of_policy for _, _, of_policy in runs])
    kinds = np.array([DATA.index(data) for data, _, _ in runs])
    figures = {name: np.array([report[name] for _, report, _ in runs]) for name in runs[0][1]}
    figures["pairs that it learned from"] = np.array([float(data.pairs + data.own) for data, _, _ in runs])
    rows = []
    for name, values in figures.items():
        of_all = bootstrap_of(lambda at, v=values: rank_correlation(v[at], gold[at]), len(runs))  # type: ignore[misc]
        alike = "" if name.startswith("pairs that") else f"{within(values, gold, kinds):+.2f}"
        rows.append((abs(of_all["mean"]), [name, signed(of_all), alike, str(len(runs))]))
    return table(head, [row for _, row in sorted(rows, key=lambda each: -each[0])])


def within(values: np.ndarray, gold: np.ndarray, kinds: np.ndarray) -> float:
    """Returns the correlation of ranks among reward models of one kind, over all kinds with two or more.

    Args:
        values, gold, kinds: (n,) of reward models.
    """
    first, second = np.zeros(len(values)), np.zeros(len(values))
    for kind in np.unique(kinds):
        at = kinds == kind
        for side, given in ((first, values), (second, gold)):
            of_kind = ranks(given[at])
            side[at] = of_kind - of_kind.mean()
    spread = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / spread if spread > 0 else 0.0


def model_rows(known: Known) -> list[str]:
    """Returns what reward models of some data are worth, and their policies, over seeds."""
    shown = ("accuracy on pairs", "agreement with gold", "best of 4")
    rows = []
    for data in DATA:
        runs = [(report, gold) for of, report, gold in whole(known) if of == data]
        cells = [over([report[name] for report, _ in runs]) for name in shown]
        rows.append([f"{data.pairs} + {data.own}", *cells, over([gold for _, gold in runs]), str(len(runs))])
    return table(["pairs + pairs of SFT's samples", *shown, "gold of the policy, sampled", "seeds"], rows)


METRICS = Experiment("which figure of a reward model says what its policy becomes", "reward_models.md", plan, tables)
