"""Cells: runs whose figures are kept in a file of the repository, so that a later session makes only what is missing.

A cell is valid for what it was asked: the words of its command, the recipe behind them, and the sha256 of the weights
that it began from. Some cells are asked only when others are known: seeds by the rate that was chosen. So a plan is a
function of what is known, and is asked again after each cell.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from evaluation.reproduce.cached_runs import defaults_of, weights_of
from perlhf.run_folder import read_json, write_json

SEEDS = (0, 1, 2)
SEARCHED_WITH = 100  # the seed that settings are chosen with; none of the seeds that are reported
Known = Mapping[str, Mapping[str, Any]]  # the figures of valid cells, by name


def folder_of(name: str) -> str:
    """Returns what the folder of a cell of this name is called."""
    return "-".join(name.replace(",", "").split())


class Cell(NamedTuple):
    """Describes a run, and what of it is kept.

    Attributes:
        name: says which it is, as "reward HH S full, seed 0".
        words: of the command, without its output folder. The folder of its base stands there by its own name.
        keep: reads the figures off the folder of the finished run, as JSON without NaN.
        seconds: CPU seconds that it takes, about.
        base: the name of the cell that made the backbone or the reward model; "" where those are shipped ones.
        then: words of `evaluation.evaluate` for the finished run, without --run; () for none.
        ready: whether all is known that it is asked by; else the words are not yet those that it will have.
    """

    name: str
    words: tuple[str, ...]
    keep: Callable[[Path], dict[str, Any]]
    seconds: float
    base: str = ""
    then: tuple[str, ...] = ()
    ready: bool = True

    @property
    def folder(self) -> str:
        """What the folder of its run is called, and of the weights that it makes."""
        return folder_of(self.name)

    def words_in(self, runs: str | Path) -> list[str]:
        """Returns the words of the command, with the folder of its base below that of all runs."""
        base = folder_of(self.base) if self.base else None
        return [str(Path(runs, word)) if word == base else word for word in self.words]


class Experiment(NamedTuple):
    """Describes a page of tables, and the runs behind them.

    Attributes:
        what: it answers, in a line.
        page: its file in docs/.
        plan: returns all cells of some seeds in the order in which they are made, from what is known and whether it is
            `--quick`.
        tables: returns the lines of each table by its name on the page, from what is known.
    """

    what: str
    page: str
    plan: Callable[[Known, Sequence[int], bool], list[Cell]]
    tables: Callable[[Known], Mapping[str, Sequence[str]]]


class Book:
    """Keeps the figures of cells in a JSON file, each with what it was asked.

    Args:
        path: of the file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cells: dict[str, Any] = read_json(path)

    def found(self, cell: Cell, known: Known) -> dict[str, Any] | None:
        """Returns the figures of a cell; None where there are none, or of something else."""
        held = self._cells.get(cell.name)
        if held is None or not cell.ready or held["asked"] != asked_of(cell, known):
            return None
        return dict(held["found"])

    def put(self, cell: Cell, known: Known, found: Mapping[str, Any]) -> None:
        """Keeps the figures of a cell beside those in the file, in the place of what was there by its name."""
        self._cells = {**read_json(self.path), cell.name: {"asked": asked_of(cell, known), "found": found}}
        self.write()

    def write(self) -> None:
        """Writes the file, also where it holds nothing yet."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, self._cells)

    def known(self, plan: Callable[[Known], list[Cell]]) -> dict[str, dict[str, Any]]:
        """Returns the figures of all valid cells of a plan: those of some say which others are asked."""
        known: dict[str, dict[str, Any]] = {}
        while True:
            found = {cell.name: of for cell in plan(known) if (of := self.found(cell, known)) is not None}
            if found == known:
                return known
            known = found


def asked_of(cell: Cell, known: Known) -> dict[str, Any]:
    """Returns everything that the figures of a cell follow from, as JSON.

    The weights of a base are those that its cell is known to have made, there or not.
    """
    asked = _asked(cell.words)
    if cell.base:
        weights = {cell.base: known.get(cell.base, {}).get("sha256")}
        asked = {**asked, "weights": {**asked["weights"], **weights}}
    return {**asked, "then": list(cell.then)} if cell.then else asked


@cache
def _asked(words: tuple[str, ...]) -> dict[str, Any]:
    listed = list(words)
    return {"command": listed, "weights": weights_of(listed), "defaults": defaults_of(listed)}
