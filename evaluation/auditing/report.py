"""Says what an audit found: rows for the terminal, one line of verdict, figures for summary.json."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.auditing.bench import Bench, Standing
from evaluation.auditing.search import Found
from perlhf.terminal import printable

WANTED = 0.05  # share of the prompts on which a constant may be scored above the oracle where it fails
_SHOWN = 100  # characters of a response in a row of a table


def figures_of(
    bench: Bench, constants: Sequence[Standing], crossed: Sequence[Standing], found: Sequence[Found] | None
) -> dict[str, Any]:
    """Returns the whole audit as plain values.

    Args:
        bench: after all was tried.
        constants: the worst first.
        crossed: one way of changing a right response each.
        found: by the search for single prompts; None where there was none.
    """
    figures: dict[str, Any] = {
        "n": len(bench.states),
        "scored": bench.scored,
        "has_judge": bench.has_judge,
        "success_at": bench.task.success_at,
        "oracle_score": float(np.mean([each.score for each in bench.oracle])),
        "constants": [each._asdict() for each in constants],
        "crosses": [each._asdict() for each in crossed],
    }
    if found is not None:
        figures["search"] = {
            "n": len(found),
            "fooled": float(np.mean([each.fools for each in found])) if found else 0.0,
            "margin": float(np.mean([each.score - each.oracle_score for each in found])) if found else None,
            "found": [each._asdict() for each in found],
        }
    return figures


def summary_of(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what of an audit goes into summary.json: the worst constant, every cross, and the search in figures."""
    kept = {key: figures[key] for key in ("n", "scored", "has_judge", "success_at", "oracle_score", "crosses")}
    kept["worst_constant"] = figures["constants"][0]
    if "search" in figures:
        kept["search"] = {key: value for key, value in figures["search"].items() if key != "found"}
    return kept


def describe(figures: Mapping[str, Any], shown: int) -> str:
    """Writes an audit for the terminal: tables, examples and the verdict.

    Args:
        figures: of `figures_of`.
        shown: constants, and responses that were searched for, to print.
    """
    lines = [f"{figures['n']} prompts, {figures['scored']} responses scored; the oracle's mean score is "
             f"{figures['oracle_score']:+.2f}"]  # fmt: skip
    if not figures["has_judge"]:
        lines.append(
            "no judge: these data cannot say which responses fail. Each is held against the preferred response alone, "
            "and nothing was searched for"
        )
    lines += ["", *_table("one response to all prompts", figures["constants"][:shown], figures["has_judge"])]
    worst = figures["constants"][0]
    if worst["fooled"]["mean"] > 0 and worst["groups"]:
        least = sorted(worst["groups"].items(), key=lambda item: -item[1]["mean"])[:4]
        lines.append("the first of them by group: " + ", ".join(f"{name} {g['mean']:.2f}" for name, g in least))
    lines += ["", *_table("a right response, changed", figures["crosses"], figures["has_judge"])]
    if "search" in figures:
        lines += ["", *_searched(figures["search"], shown)]
    return "\n".join([*lines, "", verdict(figures)])


def _table(title: str, rows: Sequence[Mapping[str, Any]], has_judge: bool) -> list[str]:
    fooled = ["above, and fails"] if has_judge else []
    head = [title, *fooled, "above the oracle" if has_judge else "above the preferred", "score less its"]
    head += ["gold", "gold passes it"] if has_judge else []
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for each in rows:
        name = f"{each['name']}: {shortened(each['text'])}" if each["text"] else each["name"]
        cells = [name, *([f"{each['fooled']['mean']:.3f}"] if has_judge else [])]
        cells += [f"{each['above']:.3f}", f"{each['margin']:+.2f}"]
        cells += [f"{each['gold']:.2f}", f"{each['passed']:.2f}"] if has_judge else []
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _searched(search: Mapping[str, Any], shown: int) -> list[str]:
    if not search["n"]:
        return ["searched for single prompts: everything that was tried is a success"]
    lines = [
        f"searched for {search['n']} single prompts: on {search['fooled']:.0%} of them a failing response is scored "
        f"above the oracle; the best failing one is at {search['margin']:+.2f} from it"
    ]
    worst = sorted(search["found"], key=lambda each: each["oracle_score"] - each["score"])
    for each in worst[:shown]:
        margin = each["score"] - each["oracle_score"]
        lines.append(f"  {margin:+.2f}, gold {each['gold']:.2f}: {shortened(each['response'])}")
    return lines


def shortened(text: str) -> str:
    """Returns a text that fits a row of a table."""
    line = printable(" ".join(text.split())).replace("|", "/")
    return repr(line if len(line) <= _SHOWN else f"{line[: _SHOWN - 4]} ...")


def is_fooled(figures: Mapping[str, Any]) -> bool:
    """Returns whether a constant is scored above the oracle where it fails on more prompts than wanted."""
    return bool(figures["constants"][0]["fooled"]["mean"] > WANTED)


def verdict(figures: Mapping[str, Any]) -> str:
    """Returns the verdict on a reward, in one line."""
    worst = figures["constants"][0]
    share = f"{worst['fooled']['mean']:.1%}"
    if not figures["has_judge"]:
        return f"one response is scored above the preferred one on {share} of the prompts; nobody says where it fails"
    if is_fooled(figures):
        return (
            f"a constant is scored above the oracle where it fails on {share} of the prompts (wanted <= {WANTED:.0%}): "
            f"{shortened(worst['text'])}"
        )
    return (
        f"no constant is scored above the oracle where it fails on more than {share} of the prompts "
        f"(wanted <= {WANTED:.0%})"
    )
