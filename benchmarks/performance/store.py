"""Finished measurements in one file, so that an interrupted benchmark goes on where it was."""

import json
from pathlib import Path
from typing import Any

from benchmarks.performance.cases import Case
from perlhf.errors import UserError
from perlhf.run_folder import write_json

Result = dict[str, Any]  # what a program printed: "count", "iterations", "peak_mb"


class Store:
    """Results by case and round."""

    def __init__(self, path: Path, fresh: bool = False) -> None:
        self._path = path
        self._rounds: dict[str, dict[str, Result]] = {} if fresh or not path.is_file() else _read(path)

    def get(self, case: Case, number: int) -> Result | None:
        """Returns the result of one round; None where it has not been measured."""
        return self._rounds.get(case.key, {}).get(str(number))

    def put(self, case: Case, number: int, result: Result) -> None:
        """Keeps a result, on disk too."""
        self._rounds.setdefault(case.key, {})[str(number)] = result
        write_json(self._path, self._rounds)

    def of(self, case: Case) -> dict[int, Result]:
        """All rounds of a case."""
        return {int(number): result for number, result in self._rounds.get(case.key, {}).items()}


def _read(path: Path) -> dict[str, dict[str, Result]]:
    try:
        rounds: dict[str, dict[str, Result]] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); measure anew with --fresh.") from None
    return rounds
