"""`EpisodeLog`: the episodes of an evaluation in a file, a line each, so that one that was interrupted goes on."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from evaluation.agents.episodes import Lost, NoAnswerError, Record
from perlhf.errors import UserError
from perlhf.run_folder import write_text

_FIELDS = {
    "episode": int, "goal": str, "template": str, "groups": list, "outcome": str, "verdict": dict, "steps": list,
}  # fmt: skip


class EpisodeLog:
    """Keeps the episodes that are finished, and counts those that were lost.

    Args:
        path: of the file; what is finished there already is read.
        patience: episodes lost one after another after which there is no point in going on.

    Attributes:
        finished: the records, by number.
        lost: why episodes were not finished, by number.

    Raises:
        UserError: the file holds what is no record.
    """

    def __init__(self, path: Path, patience: int) -> None:
        self.path, self.patience = path, patience
        self.finished: dict[int, Record] = {each["episode"]: each for each in _read(path)}
        self.lost: dict[int, str] = {}
        self._in_a_row, self._lock = 0, Lock()

    def keep(self, found: Record | Lost) -> None:
        """Writes an episode's record durably; or remembers why there is none.

        Raises:
            NoAnswerError: too many were lost one after another.
        """
        with self._lock:
            if isinstance(found, Lost):
                self.lost[found.number], self._in_a_row = found.why, self._in_a_row + 1
                if self._in_a_row >= self.patience:
                    raise NoAnswerError(f"{self._in_a_row} episodes in a row got no answer. The last: {found.why}")
                return
            self._in_a_row = 0
            self.lost.pop(found["episode"], None)
            self.finished[found["episode"]] = found
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(_line(found))
                file.flush()
                os.fsync(file.fileno())

    def in_order(self) -> list[Record]:
        """Returns the records by their numbers, and puts the file in that order."""
        with self._lock:
            records = [self.finished[number] for number in sorted(self.finished)]
            write_text(self.path, "".join(map(_line, records)))
        return records


def _line(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"


def _read(path: Path) -> Sequence[Record]:
    """Returns the records of a file. A last line that breaks off is dropped, from the file too: a kill left it."""
    if not path.exists():
        return []
    data = path.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        with open(path, "r+b") as file:
            file.truncate(len(whole))
    found = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict) or any(type(record.get(name)) is not kind for name, kind in _FIELDS.items()):
            raise UserError(f"{path}:{number}: no episode of eval-agent; remove the file to play all anew.")
        found.append(record)
    return found
