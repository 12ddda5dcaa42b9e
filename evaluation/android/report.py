"""Writes scores as tables for the terminal."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from perlhf.terminal import printable

SHORT = {
    "long_press": "long",
    "open_app": "app",
    "input_text": "type",
    "navigate_home": "home",
    "navigate_back": "back",
    "keyboard_enter": "enter",
}
_WIDTH = 7


def describe_steps(figures: Mapping[str, Any]) -> list[str]:
    """Returns a table of step accuracies in percent: a row for each convention, a column for each kind of action."""
    conventions = figures["conventions"]
    kinds = list(next(iter(conventions.values()))["actions"])
    left_out = " ".join(SHORT.get(kind, kind) for kind in figures["left_out"])
    heads = ["all", *([f"no {left_out}"] if left_out else []), *(SHORT.get(kind, kind) for kind in kinds)]
    rows = {}
    for name, found in conventions.items():
        cells = [found["all"], *([found["without"]] if left_out else []), *(found["actions"][kind] for kind in kinds)]
        rows[name] = ([_percent(cell["share"]) for cell in cells], found["says"])
    whole = [str(cell["n"]) for cell in _cells(conventions["kind"], kinds, bool(left_out))]
    lines = [f"step accuracy in percent, {figures['rows']} steps", *_table(heads, {"n": (whole, ""), **rows})]
    for name, found in conventions.items():
        if found["all"]["n"] != figures["rows"]:
            lines.append(f"{name}: of {found['all']['n']} steps{_without(found['not_judged'])}")
    return lines


def _cells(found: Mapping[str, Any], kinds: Sequence[str], without: bool) -> list[Mapping[str, Any]]:
    return [found["all"], *([found["without"]] if without else []), *(found["actions"][kind] for kind in kinds)]


def describe_points(figures: Mapping[str, Any]) -> list[str]:
    """Returns a table of point accuracies in percent: a row for each convention, a column for each group."""
    conventions = {name: c for name, c in figures["conventions"].items() if c["by_target"]["n"]}
    groups = list(next(iter(conventions.values()))["groups"])
    rows = {
        name: (
            [
                _percent(found["by_target"]["share"]),
                *([_percent(found["by_group"])] if groups else []),
                *(_percent(found["groups"][group]["share"]) for group in groups),
            ],
            found["says"],
        )
        for name, found in conventions.items()
    }
    heads = ["targets", *(["groups"] if groups else []), *groups]
    whole = next(iter(conventions.values()))["groups"]
    counts = [str(figures["rows"]), *([str(len(groups))] if groups else []), *(str(whole[g]["n"]) for g in groups)]
    lines = [f"point accuracy in percent, {figures['rows']} targets", *_table(heads, {"n": (counts, ""), **rows})]
    for name, found in conventions.items():
        if found["not_judged"]:
            lines.append(f"{name}: of {found['by_target']['n']} targets{_without(found['not_judged'])}")
    return lines


def _without(count: int) -> str:
    return f"; {count} have not what it needs" if count else ""


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"


def _table(heads: Sequence[str], rows: Mapping[str, tuple[Sequence[str], str]]) -> list[str]:
    """Returns lines with the columns below their heads, and a few words behind each row."""
    heads = [printable(head).replace("\n", " ") for head in heads]
    widths = [max(len(head), *(len(cells[i]) for cells, _ in rows.values()), _WIDTH) for i, head in enumerate(heads)]
    first = max(len(name) for name in rows)
    lines = [f"{'':{first}}" + "".join(f" {head:>{width}}" for head, width in zip(heads, widths, strict=True))]
    for name, (cells, says) in rows.items():
        line = f"{name:{first}}" + "".join(f" {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        lines.append(f"{line}  {says}".rstrip())
    return lines


def describe_differences(found: Sequence[Mapping[str, Any]], show: int) -> Iterable[str]:
    """Yields how many rows conventions differ on, and the first of them, a line each."""
    yield f"conventions differ on {len(found)} rows"
    for row in found[:show]:
        wanted = row["gold"] if "gold" in row else row["box"]
        verdicts = f"right: {' '.join(row['right'])}; wrong: {' '.join(row['wrong'])}"
        yield printable(f"  {row['where']} {_short(wanted)} said {_short(row['said'])}: {verdicts}").replace("\n", " ")


def _short(said: Any) -> str:
    """Returns an action or a place in a few characters."""
    if not isinstance(said, Mapping):
        return "nothing readable" if said is None else f"({', '.join(f'{number:.0f}' for number in said)})"
    parts = [f"({', '.join(f'{number:.0f}' for number in said['point'])})"] if "point" in said else []
    return " ".join([said["kind"], *parts, *([repr(said["text"][:40])] if "text" in said else [])])
