"""Cells: parts of an experiment that are made one after the other and kept, so that what was interrupted goes on."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from perlhf.measure import Stopwatch
from perlhf.run_folder import read_json, write_json

COSTS = "costs.json"  # what each cell took, in CPU seconds; apart, since it is another number each time


class Cell(NamedTuple):
    """Holds a part of an experiment.

    Attributes:
        name: of its file.
        asked: everything that its figures follow from, as JSON: a cell that was made of something else is made anew.
        make: computes the figures, as JSON without NaN.
        keeps: folders that `make` leaves beside its figures, without which they do not count.
    """

    name: str
    asked: Mapping[str, Any]
    make: Callable[[], dict[str, Any]]
    keeps: Sequence[Path] = ()


def finish(folder: Path, cell: Cell) -> dict[str, Any]:
    """Returns the figures of a cell: those in FOLDER/NAME.json where they are of what is asked, else made now."""
    path = folder / f"{cell.name}.json"
    held = read_json(path)
    if held.get("asked") == cell.asked and all(kept.is_dir() for kept in cell.keeps):
        return dict(held["found"])
    clock = Stopwatch()
    found = cell.make()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, {"asked": cell.asked, "found": found})
    costs = folder / COSTS
    write_json(costs, {**read_json(costs), cell.name: round(clock.cpu_seconds, 1)})
    print(f"  {cell.name}: {clock.cpu_seconds:.0f} CPU seconds", flush=True)
    return found


def cost_of(folder: Path) -> float:
    """Returns the CPU seconds that all cells in a folder took together."""
    return float(sum(read_json(folder / COSTS).values()))


def weights_hash(folders: Iterable[Path]) -> str:
    """Returns the sha256 of the weights in some folders, which figures are said to be of."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.glob("*.safetensors")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Returns a table as lines of Markdown; all columns but the first hold numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]
