"""Tables of a run's figures. Every number in them is one of summary.json, and says which."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from evaluation.reporting.curves import is_number
from evaluation.reporting.run import Run

_SHOWN = 14  # rows of a table of groups from which on it is folded
_SIDES = {"sft": "SFT", "policy": "policy"}

Keys = tuple[str, ...]


class Cell(NamedTuple):
    """Holds a cell.

    Attributes:
        text: what it says.
        path: the keys that lead to its number in summary.json; () where it is no number.
        interval: the interval of that, as text.
        run: whose number it is, where there are several runs.
    """

    text: str
    path: Keys = ()
    interval: str = ""
    run: int = 0


class Table(NamedTuple):
    """Holds a table; its first column says what a row is of."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    is_folded: bool = False  # whether a page shows its title, to be opened


class Figures:
    """Makes cells of the numbers in a summary; what is not there makes an empty one."""

    def __init__(self, summary: Mapping[str, Any], run: int = 0) -> None:
        self.summary, self.run = summary, run

    def get(self, path: Keys) -> Any:
        """Returns what stands at a path; None where nothing does."""
        found: Any = self.summary
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        return found

    def cell(self, *path: str, form: str = ".3f") -> Cell:
        """Returns a number, with its interval where it has one: a mean, or a number with `_low` and `_high` beside."""
        found = self.get(path)
        if isinstance(found, Mapping) and is_number(found.get("mean")):
            return Cell(format(found["mean"], form), path, _interval(found["low"], found["high"], form), self.run)
        if not is_number(found):
            return Cell("")
        low, high = (self.get((*path[:-1], f"{path[-1]}_{end}")) for end in ("low", "high"))
        return Cell(format(found, form), path, "" if low is None else _interval(low, high, form), self.run)

    def count(self, *path: str) -> Cell:
        """Returns a whole number."""
        found = self.get(path)
        return Cell(f"{found:,.0f}", path, "", self.run) if is_number(found) else Cell("")


def _interval(low: float, high: float, form: str) -> str:
    return f"[{low:{form}}, {high:{form}}]"


def tables_of(run: Run) -> list[Table]:
    """Returns all tables of a run; those that there are no figures for are left out."""
    figures = Figures(run.summary)
    tries = (_tries(figures, "pass_at", "pass@k"), _tries(figures, "best_at", "Best of k"))
    rest = (_responses, _calibration, _temperatures, _groups, _looks, _cost)
    found = [_answers(figures), _gains(figures), *tries, *(make(figures) for make in rest)]
    return [table for table in map(_without_empty, found) if table is not None]


def _without_empty(table: Table) -> Table | None:
    """Returns a table without rows and columns that have no number; None where nothing is left."""
    rows = [row for row in table.rows if any(cell.text for cell in row[1:])]
    if not rows:
        return None
    kept = [0, *(i for i in range(1, len(table.columns)) if any(row[i].text for row in rows))]
    return table._replace(columns=[table.columns[i] for i in kept], rows=[[row[i] for i in kept] for row in rows])


def _answers(figures: Figures) -> Table:
    by = figures.get(("sft_temperature", "by"))
    best = figures.cell("sft", "best")
    at = figures.get(("sft_temperature", "temperature")) or 0.0
    at_best = [Cell(f"SFT at its best, T = {at:g}"), *((best, Cell("")) if by == "score" else (Cell(""), best))]
    rows = [
        [Cell("SFT, sampled"), figures.cell("sft", "score"), figures.cell("sft", "gold")],
        [Cell("SFT, greedy"), figures.cell("sft", "score_greedy"), figures.cell("sft", "gold_greedy")],
        at_best,
        [
            Cell(f"SFT, best of {figures.get(('best_of', 'n'))} by score"),
            figures.cell("best_of", "score"),
            figures.cell("best_of", "gold"),
        ],
        [Cell("policy, sampled"), figures.cell("policy", "score"), figures.cell("policy", "gold")],
        [Cell("policy, greedy"), figures.cell("policy", "score_greedy"), figures.cell("policy", "gold_greedy")],
        *(
            [Cell(f"{name}, greedy, shown grey alone"), Cell(""), figures.cell(side, "blind")]
            for side, name in _SIDES.items()
        ),
        *(
            [Cell(f"SFT of {name}, greedy"), Cell(""), figures.cell("others", name, "greedy")]
            for name in figures.get(("others",)) or {}
        ),
        [Cell("oracle"), figures.cell("oracle", "score"), figures.cell("oracle", "gold")],
    ]
    count, split = figures.get(("policy", "n")), figures.get(("split",))
    note = f"Means over {count} held-out episodes{f' of split {split}' if split else ''}, and 95% bootstrap intervals."
    return Table("Held-out episodes", ["", "score", "gold"], rows, f"{note} Sampled is at temperature 1.")


def _gains(figures: Figures) -> Table:
    win = figures.get(("win_rate_by",))
    rows = [
        [Cell("sampled, less SFT sampled"), figures.cell("gain", "sampled", form="+.3f")],
        [Cell("greedy, less SFT greedy"), figures.cell("gain", "greedy", form="+.3f")],
        [Cell("beyond sharpening: greedy, less SFT at its best"), figures.cell("beyond_sharpening", form="+.3f")],
        [Cell(f"win rate against SFT by {win}, sampled"), figures.cell("win_rate")],
        [Cell("KL to SFT, nats an episode"), figures.cell("kl")],
    ]
    return Table("The policy less SFT, episode by episode", ["", "mean"], rows)


def _tries(figures: Figures, key: str, title: str) -> Table:
    sides = {**_SIDES, "gain": "gain", "guess": "guessing", "blind": "SFT, shown grey alone"}
    rows = []
    for k in figures.get((key, "sft")) or {}:
        forms = {side: "+.3f" if side == "gain" else ".3f" for side in sides}
        rows.append([Cell(f"k = {k}"), *(figures.cell(key, side, k, form=form) for side, form in forms.items())])
    at = f"{figures.get((key, 'samples'))} samples of each episode at T = {figures.get((key, 'temperature'))}."
    what = "Chance that one of k answers is a success" if key == "pass_at" else "Highest gold of k answers"
    return Table(title, ["", *sides.values()], rows, f"{what}; {at}")


def _responses(figures: Figures) -> Table:
    kinds = {
        "length": ("tokens of an episode", ".1f"), "turns": ("turns", ".2f"), "ended": ("share that ended", ".3f"),
        "distinct_2": ("distinct pairs of words", ".3f"),
        "length_score_correlation": ("correlation of length and score", "+.3f"),
        "step_accuracy": ("right single steps, greedy", ".3f"),
    }  # fmt: skip
    rows = [
        [Cell(what), *(figures.cell(side, key, form=form) for side in _SIDES)] for key, (what, form) in kinds.items()
    ]
    return Table("Responses", ["", *_SIDES.values()], rows, "Of the sampled answers, where nothing else is said.")


def _calibration(figures: Figures) -> Table:
    kinds = {"probability": "mean probability of an answer", "right": "share that is right", "ece": "calibration error"}
    rows = [[Cell(what), *(figures.cell("calibration", side, key) for side in _SIDES)] for key, what in kinds.items()]
    return Table("Calibration of greedy answers", ["", *_SIDES.values()], rows)


def _temperatures(figures: Figures) -> Table:
    choice = figures.get(("sft_temperature",)) or {}
    rows = [
        [Cell(f"T = {t}"), figures.cell("sft_temperature", "by_temperature", t)]
        for t in choice.get("by_temperature", {})
    ]
    note = f"On {choice.get('n')} episodes of {choice.get('split')}, on which the best one is chosen."
    return Table("SFT by temperature", ["", str(choice.get("by"))], rows, note)


def _groups(figures: Figures) -> Table:
    columns = {
        "SFT, sampled": ("sft", "groups", "sampled"), "policy, sampled": ("policy", "groups", "sampled"),
        "SFT, greedy": ("sft", "groups", "greedy"), "policy, greedy": ("policy", "groups", "greedy"),
        "beyond sharpening": ("beyond_sharpening", "groups"),
    }  # fmt: skip
    names = figures.get(("policy", "groups", "sampled")) or {}
    rows = [
        [
            Cell(name),
            figures.count("policy", "groups", "sampled", name, "n"),
            *(figures.cell(*path, name, form="+.3f" if path[0] == "beyond_sharpening" else ".3f")
              for path in columns.values()),
        ]
        for name in names
    ]  # fmt: skip
    return Table("By group of episodes", ["", "episodes", *columns], rows, is_folded=len(rows) > _SHOWN)


def _looks(figures: Figures) -> Table:
    kinds = ("gold", "gold_standard_error", "score", "score_standard_error")
    rows = [
        [
            Cell(f"{name} look"),
            *(figures.count("held_out", name, key) for key in ("turns", "n")),
            *(figures.cell("held_out", name, key) for key in kinds),
        ]
        for name in ("last", "best")
    ]
    columns = ["", "after turns", "episodes", *(kind.replace("_", " ") for kind in kinds)]
    note = "Greedy, on validation episodes; of several looks the best is a little too good."
    return Table("Looks at the policy while it learned", columns, rows, note)


def _cost(figures: Figures) -> Table:
    counts = {
        "turns": "turns trained on", "episodes": "episodes", "iterations": "iterations",
        "cut_prompts": "prompts that were cut", "cut_responses": "responses that were cut",
    }  # fmt: skip
    numbers = {
        "seconds": "seconds", "cpu_seconds": "CPU seconds", "samples_per_cpu_second": "turns a CPU second",
        "peak_rss_mb": "MiB of memory at most",
    }  # fmt: skip
    rows = [[Cell(what), figures.count(key)] for key, what in counts.items()]
    rows += [[Cell(what), figures.cell(key, form=",.1f")] for key, what in numbers.items()]
    return Table("What it took", ["", ""], rows)


def beside(runs: Sequence[Run]) -> list[Table]:
    """Returns the tables of several runs, a column each."""
    sides = [Figures(run.summary, i) for i, run in enumerate(runs)]
    kinds: dict[str, tuple[Keys, str]] = {
        "SFT, sampled: gold": (("sft", "gold"), ".3f"),
        "SFT, greedy: gold": (("sft", "gold_greedy"), ".3f"),
        "SFT at its best": (("sft", "best"), ".3f"),
        "policy, sampled: gold": (("policy", "gold"), ".3f"),
        "policy, greedy: gold": (("policy", "gold_greedy"), ".3f"),
        "policy, sampled: score": (("policy", "score"), ".3f"),
        "policy, greedy: score": (("policy", "score_greedy"), ".3f"),
        "gain, sampled": (("gain", "sampled"), "+.3f"),
        "gain, greedy": (("gain", "greedy"), "+.3f"),
        "beyond sharpening": (("beyond_sharpening",), "+.3f"),
        "win rate": (("win_rate",), ".3f"),
        "pass@1": (("pass_at", "policy", "1"), ".3f"),
        "pass@16": (("pass_at", "policy", "16"), ".3f"),
        "right single steps, greedy": (("policy", "step_accuracy"), ".3f"),
        "KL to SFT, nats an episode": (("kl",), ".3f"),
        "tokens of an episode": (("policy", "length"), ".1f"),
        "held-out episodes": (("policy", "n"), ",.0f"),
        "turns trained on": (("turns",), ",.0f"),
        "seconds": (("seconds",), ",.0f"),
        "CPU seconds": (("cpu_seconds",), ",.0f"),
        "MiB of memory at most": (("peak_rss_mb",), ",.0f"),
    }
    rows = [[Cell(what), *(side.cell(*path, form=form) for side in sides)] for what, (path, form) in kinds.items()]
    names = dict.fromkeys(name for side in sides for name in side.get(("policy", "groups", "greedy")) or {})
    by_group = [[Cell(name), *(side.cell("policy", "groups", "greedy", name) for side in sides)] for name in names]
    columns = ["", *(run.name for run in runs)]
    note = "Intervals are of each run alone: runs whose intervals overlap may differ, episode by episode."
    groups = Table("By group, policy greedy", columns, by_group, is_folded=len(by_group) > _SHOWN)
    found = [Table("Held out, and what it took", columns, rows, note), groups]
    return [table for table in map(_without_empty, found) if table is not None]


def settings_of(run: Run) -> Table:
    """Returns the options of a run."""
    rows = [[Cell(name), Cell(_shown(value))] for name, value in run.config.items()]
    return Table("Options", ["", ""], rows, is_folded=True)


def different_settings(runs: Sequence[Run]) -> Table:
    """Returns the options in which runs differ, but for where they were written."""
    names = dict.fromkeys(name for run in runs for name in run.config if name not in ("output_dir", "resume"))
    rows = []
    for name in names:
        values = [_shown(run.config[name]) if name in run.config else "(no such option)" for run in runs]
        if len(set(values)) > 1:
            rows.append([Cell(name), *map(Cell, values)])
    return Table("Options that differ", ["", *(run.name for run in runs)], rows)


def _shown(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
