"""Writes docs/architectures.md: what becomes of a random model of every kind.

Run it with `make architectures`, in about three minutes of one core. The models and what is done with them stand in
tests/architectures.py, of which tests/test_architectures.py runs a part.
"""

import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
import transformers

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architectures.md"
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from architectures import Kind, Row, page, row_of  # noqa: E402


def rows_of(kinds: Sequence[Kind], commands: bool) -> list[Row]:
    """Makes the rows of some kinds, and says how far it is."""
    rows = []
    for kind in kinds:
        print(kind.name, file=sys.stderr)
        with tempfile.TemporaryDirectory() as folder:
            rows.append(row_of(kind, Path(folder), commands))
    return rows


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    PAGE.write_text(page(rows_of), encoding="utf-8")
