"""What `perlhf lab credit` found, over all starts: figures with intervals, and tables of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.labs.cells import table
from evaluation.labs.credit_judged import SUMS, Judged, correlation_of, judged

GROUP = 8  # episodes
_RESAMPLES = 1000
# Whose estimates are in another unit than success: spreads of their group, or two advantages added up.
_OWN_UNIT = ("GRPO", "GiGPO", "GiGPO, by spreads")


def value_sums(learned: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Returns sums over visited states that say how good learned values are."""
    found = (len(true), learned, true, learned * learned, learned * true, true * true)
    names = ("states", "e", "a", "ee", "ea", "aa")
    return {name: float(np.sum(each)) for name, each in zip(names, found, strict=True)}


def share_of(episodes: int, successes: Sequence[int]) -> dict[str, float]:
    """Returns the share of episodes that succeeded, so many from each start, and its standard error.

    The starts are those that are asked about, so how they differ is no error.
    """
    shares = np.array(successes) / episodes
    variance = (shares * (1 - shares) / (episodes - 1)).sum() / len(shares) ** 2
    return {"success": float(shares.mean()), "error": float(variance**0.5), "episodes": episodes * len(shares)}


def summary(parts: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    """Returns the figures of each estimate over all starts, with 95% bootstrap intervals over the starts.

    A turn counts as often as it is played, so a start counts by the length of its episodes.
    """
    draws = np.random.default_rng(seed).integers(len(parts), size=(_RESAMPLES, len(parts)))
    methods: dict[str, Any] = {}
    for name in parts[0]["sums"]:
        rows = np.array([[part["sums"][name][key] for key in SUMS] for part in parts])
        lengths = rows[:, SUMS.index("turns")]
        costs = np.array([part["cost"].get(name, 1.0) for part in parts])
        samples = [rows.sum(0), *(rows[draw].sum(0) for draw in draws)]
        each = np.array([judged(dict(zip(SUMS, sums, strict=True)), name in _OWN_UNIT) for sums in samples])
        played = [costs @ lengths / lengths.sum(), *((costs[d] @ lengths[d]) / lengths[d].sum() for d in draws)]
        each[:, Judged._fields.index("needed")] *= played
        low, high = np.quantile(each[1:], [0.025, 0.975], axis=0)
        of = {key: [float(of[i]) for of in (each[0], low, high)] for i, key in enumerate(Judged._fields)}
        methods[name] = {"turns": float(played[0]), **of}
    total = {key: sum(part["sums"]["RLOO"][key] for part in parts) for key in SUMS}
    return {
        "starts": len(parts),
        "states": sum(part["states"] for part in parts),
        "kept": float(np.mean([part["kept"] for part in parts])),
        "value": np.mean([part["value"] for part in parts], axis=0).tolist(),
        "between": float(np.mean([part["between"] for part in parts])),
        "length": float(np.mean([part["length"] for part in parts])),
        "spread": (total["aa"] / total["turns"]) ** 0.5,
        "matters": total["signs"] / total["turns"],
        "methods": methods,
        "values": {count: _of_values([part["values"][count] for part in parts], draws) for count in parts[0]["values"]},
    }


def _of_values(parts: Sequence[Mapping[str, float]], draws: np.ndarray) -> dict[str, list[float]]:
    """Returns errors of learned values, their correlation with the true ones, and the spread of those, as intervals."""
    rows = np.array([[part[key] for key in parts[0]] for part in parts])
    found = []
    for sums in (rows.sum(0), *(rows[draw].sum(0) for draw in draws)):
        of = dict(zip(parts[0], sums, strict=True))
        n = of["states"]
        error = max((of["ee"] - 2 * of["ea"] + of["aa"]) / n, 0.0) ** 0.5
        spread = max(of["aa"] / n - (of["a"] / n) ** 2, 0.0) ** 0.5
        found.append((error, correlation_of(n, of), spread))
    bounds = [found[0], *np.quantile(found[1:], [0.025, 0.975], axis=0)]
    return {key: [float(each[i]) for each in bounds] for i, key in enumerate(("error", "correlation", "spread"))}


def rows_of(report: Mapping[str, Any]) -> list[str]:
    """Returns all tables, as lines of Markdown."""
    return [*_about_rows(report), "", *_estimate_rows(report), "", *_value_rows(report)]


def _about_rows(report: Mapping[str, Any]) -> list[str]:
    """Returns what the tables of the policy hold."""
    value, low, high = report["value"]
    check = report["check"]
    rows = [
        [f"starts drawn; of these with both outcomes in {GROUP} episodes", f"{report['drawn']}; {report['mixed']}"],
        ["starts judged, the first of these", str(report["starts"])],
        ["states that the policy speaks in", f"{report['states']:,}"],
        ["probability of the responses kept, in a state", f"{report['kept']:.4f}"],
        ["chance of success from a start, in the tables", f"{value:.3f}"],
        ["the same of the whole policy: at least, at most", f"{low:.3f}, {high:.3f}"],
        ["at most less at least, in the states that are visited", f"{report['between']:.3f}"],
        [
            f"success of the policy itself, {check['episodes']:,} episodes",
            f"{check['success']:.3f} ± {1.96 * check['error']:.3f}",
        ],
        ["turns of an episode", f"{report['length']:.1f}"],
        ["tokens of a response", f"{report['tokens']:.1f}"],
        ["root of the mean square of the true advantage of a turn", f"{report['spread']:.3f}"],
        ["share of the turns with one of 0.05 or more, or -0.05 or less", f"{report['matters']:.2f}"],
    ]
    return table(["the tables", ""], rows)


def _estimate_rows(report: Mapping[str, Any]) -> list[str]:
    """Returns a row for each estimate of an advantage."""
    rows = []
    for name, of in report["methods"].items():
        shown = [_interval(of[key], 2) for key in ("correlation", "sign")]
        squares = [_interval(of[key], 3) for key in ("bias", "offset", "noise")]
        rows.append([name, *shown, f"{of['slope'][0]:.2f}", *squares, f"{of['turns']:.1f}", _interval(of["needed"], 1)])
    head = ["estimate", "correlation", "right sign", "slope", "bias", "offset", "noise", "turns played", "turns needed"]
    return table(head, rows)


def _value_rows(report: Mapping[str, Any]) -> list[str]:
    """Returns how good the learned values are."""
    head = ["values", "error, root of the mean square", "correlation with the true ones"]
    rows = [
        [f"V of {int(count):,} turns", _interval(of["error"], 3), _interval(of["correlation"], 2)]
        for count, of in report["values"].items()
    ]
    constant = next(iter(report["values"].values()))["spread"]
    return table(head, [["the same for all states, their mean", _interval(constant, 3), "0"], *rows])


def _interval(of: Sequence[float], digits: int) -> str:
    """Writes a figure and its interval; without it where rounding leaves nothing of it."""
    mean, low, high = (f"{round(each, digits) + 0.0:.{digits}f}" if each < 1000 else "over 1,000" for each in of)
    return mean if low == high else f"{mean} [{low}, {high}]"
