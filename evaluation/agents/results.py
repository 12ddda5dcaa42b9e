"""What an agent reached: each verdict with its interval, over all episodes and by template, level and group.

Pure functions of the records that `evaluation.agents.episodes` makes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evaluation.metrics import Interval, bootstrap_mean, interval, share

Figures = dict[str, Interval]


def figures_of(verdicts: Sequence[Mapping[str, Any]]) -> Figures:
    """Returns the mean of each verdict with its 95% interval, over those episodes that have it.

    Of what holds or does not, and of lists, which hold where they are not empty, it is the share by Wilson's interval;
    of numbers the mean by bootstrap. A level is no verdict.
    """
    found: Figures = {}
    for name in dict.fromkeys(name for verdict in verdicts for name in verdict if name != "level"):
        values = [verdict[name] for verdict in verdicts if verdict.get(name) is not None]
        if not values:
            continue
        if isinstance(values[0], bool | list | tuple):
            found[name] = share([bool(value) for value in values])
        else:
            found[name] = bootstrap_mean(values)
    return found


def results_of(records: Sequence[Mapping[str, Any]], prices: tuple[float, float]) -> dict[str, Any]:
    """Returns all figures of the finished episodes, for results.json.

    Args:
        records: of the episodes, at least one.
        prices: of a million tokens that are read, and that are said.

    Returns:
        `episodes`, how many; `all`, the figures of `figures_of`; `outcomes`, episodes by what they ended in;
        `by_template`, `by_level` and `by_group`, figures by name; `spent`, see `spent_on`.
    """
    return {
        "episodes": len(records),
        "all": figures_of([record["verdict"] for record in records]),
        "outcomes": dict(Counter(record["outcome"] for record in records).most_common()),
        "by_template": _by((record["template"], record) for record in records if record["template"]),
        "by_level": _by((str(record["verdict"]["level"]), record) for record in records if _level(record) is not None),
        "by_group": _by((group, record) for record in records for group in record["groups"]),
        "spent": spent_on(records, prices),
    }


def _level(record: Mapping[str, Any]) -> int | None:
    return record["verdict"].get("level")


def _by(named: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Figures]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for name, record in named:
        found.setdefault(name, []).append(record["verdict"])
    return {name: figures_of(found[name]) for name in sorted(found)}


def spent_on(records: Sequence[Mapping[str, Any]], prices: tuple[float, float]) -> dict[str, Any]:
    """Returns what finished episodes took.

    Returns:
        `answers`, how many; `prompt_tokens` and `completion_tokens`, of those `counted`, where somebody counted;
        `cost`, of these at the prices, where any is given; `seconds_per_answer`.
    """
    steps = [step for record in records for step in record["steps"]]
    spent: dict[str, Any] = {"answers": len(steps)}
    counted = [step for step in steps if step["prompt_tokens"] is not None and step["completion_tokens"] is not None]
    if counted:
        tokens = [sum(step[name] for step in counted) for name in ("prompt_tokens", "completion_tokens")]
        spent |= {"counted": len(counted), "prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
        if any(prices):
            spent["cost"] = round(sum(count * price for count, price in zip(tokens, prices, strict=True)) / 1e6, 6)
    spent["seconds_per_answer"] = round(sum(step["seconds"] for step in steps) / len(steps), 3)
    return spent


def tables(results: Mapping[str, Any]) -> str:
    """Writes results as tables for the terminal: verdicts, levels, groups and templates, and what was spent."""
    parts = [_table("verdict", {_words(name): {"": value} for name, value in results["all"].items()})]
    for key, what in (("by_level", "level"), ("by_group", "group"), ("by_template", "template")):
        if results[key]:
            parts.append(_table(what, results[key]))
    outcomes = ", ".join(f"{name} {count}" for name, count in results["outcomes"].items())
    parts.append(f"ended in: {outcomes}\nspent: {_in_words(results['spent'])}")
    return "\n\n".join(parts)


def _table(what: str, rows: Mapping[str, Mapping[str, Interval]]) -> str:
    columns = list(dict.fromkeys(name for figures in rows.values() for name in figures))
    lines = [f"| {what} | {' | '.join(_words(name) or 'mean' for name in columns)} | episodes |"]
    lines.append("|---" * (len(columns) + 2) + "|")
    for name, figures in rows.items():
        cells = [interval(figures[column]) if column in figures else "" for column in columns]
        lines.append(f"| {name} | {' | '.join(cells)} | {max(value['n'] for value in figures.values())} |")
    return "\n".join(lines)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _in_words(spent: Mapping[str, Any]) -> str:
    words = [f"{spent['answers']:,} answers, {spent['seconds_per_answer']:g} s each"]
    if "counted" in spent:
        of = "" if spent["counted"] == spent["answers"] else f" of {spent['counted']:,} answers that were counted"
        words.append(f"{spent['prompt_tokens']:,} tokens read and {spent['completion_tokens']:,} said{of}")
    if "cost" in spent:
        words.append(f"cost {spent['cost']:g}")
    return "; ".join(words)
