"""Says what an audit found: rows for the terminal, one line of verdict, figures for summary.json."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from evaluation.auditing.bench import Bench, Standing
from evaluation.auditing.search import Found
from perlhf.terminal import printable

WANTED = 0.05  # share of the prompts on which a constant may be scored above the oracle where it fails
_SHOWN = 100  # characters of a response in a row of a table


def figures_of(
    bench: Bench,
    constants: Sequence[Standing],
    crossed: Sequence[Standing],
    found: Sequence[Found] | None,
    nats: Sequence[float],
) -> dict[str, Any]:
    """Returns the whole audit as plain values.

    Args:
        bench: after all was tried.
        constants: the worst first.
        crossed: one way of changing a right response each.
        found: by the search for single prompts; None where there was none.
        nats: -log p under SFT of each constant, and last of the oracle's responses.
    """
    figures: dict[str, Any] = {
        "n": len(bench.states),
        "scored": bench.scored,
        "has_judge": bench.has_judge,
        "success_at": bench.task.success_at,
        "oracle_score": float(np.mean([each.score for each in bench.oracle])),
        "oracle_nats": nats[-1],
        "constants": [{**each._asdict(), "nats": cost} for each, cost in zip(constants, nats, strict=False)],
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


def worst_of(figures: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the worst constant from each source (corpus, degenerate, searched), of those tried on all prompts."""
    worst: dict[str, dict[str, Any]] = {}
    for each in figures["constants"]:
        worst.setdefault(each["name"], each)
    return worst


def summary_of(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what of an audit goes into summary.json: the worst constants, every cross, and the search in figures."""
    kept = {key: value for key, value in figures.items() if key not in ("constants", "search")}
    kept["worst"] = worst_of(figures)
    if "search" in figures:
        kept["search"] = {key: value for key, value in figures["search"].items() if key != "found"}
    return kept


def describe(figures: Mapping[str, Any], shown: int) -> str:
    """Writes an audit for the terminal: tables, examples and the verdict.

    Args:
        figures: of `figures_of`.
        shown: constants of each source, and responses that were searched for, to print.
    """
    lines = [f"{figures['n']} prompts, {figures['scored']} responses scored; the oracle's responses: score "
             f"{figures['oracle_score']:+.2f}, {figures['oracle_nats']:.0f} nats under SFT"]  # fmt: skip
    if not figures["has_judge"]:
        lines.append(
            "no judge: these data cannot say which responses fail. Each is held against the preferred response alone, "
            "and nothing was searched for"
        )
    rows = [
        each
        for source in worst_of(figures)
        for each in [one for one in figures["constants"] if one["name"] == source][:shown]
    ]
    lines += ["", *_table("one response to all prompts", rows, figures["has_judge"])]
    for source, worst in worst_of(figures).items():
        if worst["fooled"]["mean"] > 0 and worst["groups"]:
            groups = sorted(worst["groups"].items(), key=lambda item: -item[1]["mean"])[:4]
            shares = ", ".join(f"{name} {share['mean']:.2f}" for name, share in groups)
            lines.append(f"the first that is {source}, by group: {shares}")
    lines += ["", *_table("a right response, changed", figures["crosses"], figures["has_judge"])]
    if "search" in figures:
        lines += ["", *_searched(figures["search"], shown)]
    return "\n".join([*lines, "", verdict(figures)])


def _table(title: str, rows: Sequence[Mapping[str, Any]], has_judge: bool) -> list[str]:
    """Returns the lines of a table of standings; what needs a judge is left out where there is none."""
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {}
    if has_judge:
        columns["above, and fails"] = lambda each: f"{each['fooled']['mean']:.3f}"
    columns["above" if has_judge else "above the preferred"] = lambda each: f"{each['above']:.3f}"
    columns["score less its"] = lambda each: f"{each['margin']:+.2f}"
    if has_judge:
        columns |= {"gold": lambda each: f"{each['gold']:.2f}", "gold passes it": lambda each: f"{each['passed']:.2f}"}
    if any("nats" in each for each in rows):
        columns["nats"] = lambda each: f"{each['nats']:.0f}"
    lines = [f"| {title} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for each in rows:
        name = f"{each['name']}: {shortened(each['text'])}" if "nats" in each else each["name"]
        lines.append(f"| {name} | {' | '.join(cell(each) for cell in columns.values())} |")
    return lines


def _searched(search: Mapping[str, Any], shown: int) -> list[str]:
    """Returns lines on the search for single prompts, with the responses furthest above the oracle."""
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
    """Returns whether a constant is scored above the oracle where it fails, as a judge says, on too many prompts."""
    return bool(figures["has_judge"] and figures["constants"][0]["fooled"]["mean"] > WANTED)


def verdict(figures: Mapping[str, Any]) -> str:
    """Returns the verdict on a reward, in one line: of the worst constant, and of the worst from each source."""
    worst = figures["constants"][0]
    share = f"{worst['fooled']['mean']:.1%}"
    if not figures["has_judge"]:
        return f"one response is scored above the preferred one on {share} of the prompts; nobody says where it fails"
    sources = ", ".join(f"{source} {each['fooled']['mean']:.1%}" for source, each in worst_of(figures).items())
    limit = f"(wanted <= {WANTED:.0%}; {sources})"
    if is_fooled(figures):
        said = shortened(worst["text"])
        return f"a constant is scored above the oracle where it fails on {share} of the prompts {limit}: {said}"
    return f"no constant is scored above the oracle where it fails on more than {share} of the prompts {limit}"
