"""metrics.jsonl: a row for each step of a run, there to be read at once."""

import errno
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from perlhf.errors import UserError
from perlhf.run_folder import naming_the_file, write_text

NAME = "metrics.jsonl"


class MetricsLog:
    """Writes rows behind those that are there, each when it is given.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - closed in close()

    def write(self, row: Mapping[str, Any]) -> None:
        """Writes a row.

        Raises:
            OSError: the disk is full, or somebody has deleted the file or its folder.
        """
        with naming_the_file(self._path):
            self._file.write(json.dumps(row, allow_nan=False) + "\n")
        if os.fstat(self._file.fileno()).st_nlink == 0:
            raise OSError(errno.ENOENT, "deleted while the run wrote to it", str(self._path))

    def close(self) -> None:
        """Closes the file; what a full disk did not take is given up."""
        with suppress(OSError):
            self._file.close()


def read_metrics(run: Path) -> list[dict[str, Any]]:
    """Returns the rows of metrics.jsonl; none where there is no such file.

    A last line that is only half there is none: the run was killed as it wrote it.

    Raises:
        UserError: another line is no row.
    """
    path = run / NAME
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    rows = []
    for number, line in enumerate(text.split("\n")[:-1], start=1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict) or type(row.get("step")) is not int:
            raise UserError(f"{path}:{number}: no row of a log, with a step; take this line out to go on.")
        rows.append(row)
    return rows


def drop_metrics_after(run: Path, step: int) -> None:
    """Cuts from metrics.jsonl what came after the checkpoint that a run resumes from.

    Without a checkpoint, at step 0, all of it goes: the run begins anew, with its first look.
    """
    rows = [row for row in read_metrics(run) if row["step"] <= step] if step else []
    if (run / NAME).exists():
        write_text(run / NAME, "".join(f"{json.dumps(row)}\n" for row in rows))
