"""Arrays of JSON objects that may be larger than memory, read strictly and entry by entry; see `jsonl.STRICT`."""

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from envs.corpora.fields import shown
from envs.corpora.jsonl import STRICT, open_packed
from perlhf.errors import DataError

_CHUNK = 2**16  # bytes that are read at once
LONGEST = 2**24  # characters of one entry


def read_objects(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yields (row number from 1, object) of a `.json` or `.json.gz` file that is one array of objects.

    Raises:
        DataError: "FILE:ROW: what is wrong", also after some rows were given; a file that cannot be opened is named
            with the reason.
    """
    row = 1
    try:
        with open_packed(path) as file:
            window = _Window(file, path)
            window.expect("[", row, "an array of objects")
            while not window.takes("]"):
                if row > 1:
                    window.expect(",", row, "',' or ']' after an entry")
                yield row, window.object(row)
                row += 1
            if window.peek():
                window.fail(row, "more text after the end of the array")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}:{row}: the gzip stream is damaged or cut short ({error}).") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}:{row}: not UTF-8 in or after this row.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from None


class _Window:
    """A part of a file as text, which goes on with the file."""

    def __init__(self, file: BinaryIO, path: str | Path) -> None:
        self._file, self._path = file, path
        self._decode = codecs.getincrementaldecoder("utf-8")().decode
        self._text, self._at, self._more = "", 0, True

    def _grow(self) -> None:
        """Drops what was used and reads on: as much as is there, so that a long entry is not parsed too often."""
        rest = self._text[self._at :]
        chunk = self._file.read(max(_CHUNK, len(rest)))
        self._text, self._at, self._more = rest + self._decode(chunk, not chunk), 0, bool(chunk)

    def peek(self) -> str:
        """Returns the next character that is no space; "" at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in " \t\n\r":
                    return self._text[self._at]
                self._at += 1
            if not self._more:
                return ""
            self._grow()

    def takes(self, sign: str) -> bool:
        """Returns whether the next character is `sign`, and steps over it."""
        if self.peek() != sign:
            return False
        self._at += 1
        return True

    def expect(self, sign: str, row: int, what: str) -> None:
        if not self.takes(sign):
            got = shown(self.peek()) if self.peek() else "the end of the file"
            self.fail(row, f"expected {what}, got {got}")

    def object(self, row: int) -> dict[str, Any]:
        if self.peek() != "{":
            self.expect("{", row, "a JSON object")
        while True:
            try:
                found, self._at = STRICT.raw_decode(self._text, self._at)
                return found
            except json.JSONDecodeError as error:
                if not self._more or len(self._text) - self._at > LONGEST:
                    self.fail(row, f"not JSON at character {error.pos - self._at + 1} of the entry: {error.msg}")
            except RecursionError:
                self.fail(row, "nested too deeply")
            except DataError as error:
                raise DataError(f"{self._path}:{row}: {error}") from None
            except ValueError as error:  # an integer of more digits than Python converts
                self.fail(row, str(error))
            self._grow()

    def fail(self, row: int, problem: str) -> NoReturn:
        raise DataError(f"{self._path}:{row}: {problem}.")
