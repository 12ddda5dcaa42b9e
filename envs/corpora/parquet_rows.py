"""Rows of parquet files, a few at a time, through pyarrow."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from perlhf.errors import DataError, UserError, one_line

_AT_ONCE = 64  # rows that are Python objects at a time
_BUFFER = 2**20  # bytes of each column that are read at a time


def read_parquet(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (row number from 1, its values by the names of the columns).

    Raises:
        UserError: pyarrow is not installed.
        DataError: "FILE:ROW: what is wrong"; a file that cannot be opened is named with the reason.
    """
    if find_spec("pyarrow") is None:
        raise UserError(f"{path}: parquet needs the library pyarrow: pip install 'perlhf[parquet]'.")
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    number = 0
    try:
        # By default the columns of a row group are read whole, and most files have one row group.
        with ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            names = file.schema_arrow.names
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise DataError(f"{path}:1: has the column {twice!r} twice.")
            for batch in file.iter_batches(batch_size=_AT_ONCE):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or one_line(error)}).") from None
    except (ArrowException, ValueError) as error:  # of the format, or text that is not UTF-8
        if isinstance(error, UserError):
            raise
        raise DataError(f"{path}:{number + 1}: not parquet that can be read: {one_line(error)}") from None
