"""Makes the cells of an experiment that are missing, keeps their figures, and writes its tables into its page."""

import re
import resource
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from evaluation.kept.cells import SEEDS, Book, Cell, Experiment, Known
from evaluation.labs.cells import weights_hash
from evaluation.reproduce.cached_runs import EVALUATE, ROOT, Run, Where, command, execute, finish
from perlhf.errors import UserError
from perlhf.run_folder import write_text

DOCS = ROOT / "docs"
FAILED = {"failed": True, "chosen_by": -1.0}  # of what did not stay finite; below all that is, where rates are chosen
_DIVERGED = re.compile(r"\b(nan|NaN|inf|infinite|finite)\b")


class Choices(Where, Protocol):
    """The options of evaluation.reproduce that these tables need."""

    seeds: str


def make(name: str, experiment: Experiment, options: Choices, until: float) -> None:
    """Makes what is missing, seed by seed, says what that takes before it starts, and writes the page.

    Args:
        name: of the experiment, and of its file of figures.
        experiment: what is made.
        options: of the command. With `quick` figures and page are in the output folder, not in docs/.
        until: when no further cell is begun any more, by `time.monotonic`.
    """
    seeds = [int(seed) for seed in options.seeds.split(",")]
    book = Book(place_of(name, options))

    def plan(known: Known) -> list[Cell]:
        return experiment.plan(known, seeds, options.quick)

    known = book.known(plan)
    print(describe(name, experiment, plan(known), known), flush=True)
    try:
        while time.monotonic() < until and (cell := next_cell(plan(known), known, options)):
            book.put(cell, known, made(cell, options))
            known = book.known(plan)
    finally:
        write_page(name, experiment, book, options)


def place_of(name: str, options: Where) -> Path:
    """Returns the file of an experiment's figures."""
    return (runs_of(options) if options.quick else DOCS / "reproduction") / f"{name}.json"


def runs_of(options: Where) -> Path:
    """Returns where the folders of runs are, and stay where others begin from their weights."""
    return Path(options.output_dir, "quick" if options.quick else "")


def next_cell(cells: Sequence[Cell], known: Known, options: Where) -> Cell | None:
    """Returns the first cell that is missing, or the one that makes its base, where that is not in its folder."""
    missing = next((cell for cell in cells if cell.ready and cell.name not in known), None)
    if missing is None or not missing.base:
        return missing
    base = next(cell for cell in cells if cell.name == missing.base)
    there = weights_hash([runs_of(options) / base.folder])
    return missing if known.get(base.name, {}).get("sha256") == there else base


def describe(name: str, experiment: Experiment, cells: Sequence[Cell], known: Known) -> str:
    """Returns what there is to do and what it takes, in a line."""
    missing = [cell for cell in cells if cell.name not in known]
    minutes = sum(cell.seconds for cell in missing) / 60
    done = f"{len(cells) - len(missing)} of {len(cells)} runs are there"
    return f"{name}: {experiment.what}; {done}, the others take about {minutes:.0f} minutes of one core"


def made(cell: Cell, options: Where) -> dict[str, Any]:
    """Runs the command of a cell and returns its figures, with what its processes took; bases stay in the folder.

    Raises:
        UserError: the command failed, for another reason than numbers that are no longer finite.
    """
    before = _children_seconds()
    run = run_of(cell, options)
    print(f"  {cell.name} ...", flush=True)
    try:
        finish(run)
        if cell.then:
            as_quick_runs = ["--prompts", "20", "--validation-prompts", "2"] if options.quick else []
            execute(Run(run.folder, [EVALUATE, "--run", str(run.folder), *cell.then, *as_quick_runs]))
        found = cell.keep(run.folder)
    except UserError:
        if not _diverged(run.folder.with_name(f"{run.folder.name}.log")):
            raise
        found = dict(FAILED)
    found["process_cpu_seconds"] = round(_children_seconds() - before, 1)
    print(f"  {cell.name}: {found['process_cpu_seconds']:.0f} CPU seconds", flush=True)
    if "sha256" not in found:
        shutil.rmtree(run.folder, ignore_errors=True)
    return found


def run_of(cell: Cell, options: Where) -> Run:
    """Returns the command of a cell, with the folder of its base where it has one."""
    return command(options, cell.folder, *cell.words_in(runs_of(options)))


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _diverged(log: Path) -> bool:
    """Returns whether the last line of a log says that numbers are no longer finite."""
    lines = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    return bool(lines) and bool(_DIVERGED.search(lines[-1]))


# The page.


def write_page(name: str, experiment: Experiment, book: Book, options: Where) -> None:
    """Writes the tables into the page, between the comments that name them; with `quick` into a page of their own.

    The page is of all `SEEDS`, whichever were made now. The file of figures, which it names, is there too.
    """
    if not book.path.exists():
        book.write()
    known = book.known(lambda known: experiment.plan(known, SEEDS, options.quick))
    tables = experiment.tables(known)
    if options.quick:
        page = book.path.with_suffix(".md")
        write_text(page, "\n\n".join("\n".join(lines) for lines in tables.values()) + "\n")
    else:
        page = DOCS / experiment.page
        write_text(page, filled(page.read_text(encoding="utf-8"), name, tables))
    print(f"-> {page}", flush=True)


def filled(text: str, name: str, tables: Mapping[str, Sequence[str]]) -> str:
    """Returns a page with its tables made anew; each stands between two comments with its name.

    Raises:
        UserError: the page has not the place of a table exactly once.
    """
    for table, lines in tables.items():
        begin = f"<!-- {table}: made by python -m evaluation.reproduce --tables {name} -->"
        end = f"<!-- end of {table} -->"
        pattern = re.compile(f"({re.escape(begin)}\n).*?({re.escape(end)})", flags=re.S)
        if len(pattern.findall(text)) != 1:
            raise UserError(f"the page has no place, or several, for the table {table!r}: {begin} ... {end}")
        body = "\n".join(lines)
        text = pattern.sub(lambda found, body=body: f"{found[1]}\n{body}\n\n{found[2]}", text)  # type: ignore[misc]
    return text
