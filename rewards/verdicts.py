"""`Verdicts`: what judges said, kept on disk, so that a question is paid for once and a run resumes as it was.

A SQLite file: several processes may read and write it, and what was written is whole. It holds hashes of questions,
names of models and numbers; no text of a prompt or a response, and no key.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from perlhf.errors import RewardError

_TABLE = "CREATE TABLE IF NOT EXISTS verdicts (key TEXT PRIMARY KEY, model TEXT NOT NULL, score REAL NOT NULL)"
_PATIENCE = 60.0  # seconds to wait for others that write
_AT_ONCE = 500  # keys in one query


class Verdicts:
    """Holds numbers by the hashes of questions, in a file.

    It keeps no connection: one must not be taken across a fork, and `gym.make_vec(..., "async")` forks.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def at(cls, place: Any) -> "Verdicts | None":
        """Returns the verdicts of a file; of one in the user's cache folder for True, and None for False or None."""
        if place is None or place is False:
            return None
        if place is True:
            folder = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
            return cls(Path(folder) / "perlhf" / "judge.sqlite")
        if not isinstance(place, str) or not place:
            raise RewardError(f"judge: cache is a file, true or false, got {place!r}.")
        return cls(place)

    def read(self, keys: Sequence[str]) -> dict[str, float]:
        """Returns the numbers of those keys that have one."""
        found: dict[str, float] = {}
        with self._connected() as connection:
            for start in range(0, len(keys), _AT_ONCE):
                part = keys[start : start + _AT_ONCE]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, score FROM verdicts WHERE key IN ({marks})"  # noqa: S608 - question marks alone
                found |= dict(connection.execute(query, part))
        return found

    def add(self, key: str, model: str, score: float) -> float:
        """Keeps a number, and returns the one that is kept: the first of a key stays, whoever comes later."""
        with self._connected() as connection:
            connection.execute("INSERT OR IGNORE INTO verdicts VALUES (?, ?, ?)", (key, model, score))
            (kept,) = connection.execute("SELECT score FROM verdicts WHERE key = ?", (key,)).fetchone()
        return float(kept)

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)) as connection:
                connection.execute(_TABLE)
                yield connection
        except (OSError, sqlite3.Error) as error:
            raise RewardError(
                f"judge: cache {str(self.path)!r} cannot be used ({error}); give cache another file, or false."
            ) from None
