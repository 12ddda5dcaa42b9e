"""Arrays of large JSON files, read strictly and entry by entry.

`jsonl.STRICT` says what is refused. Only the text is held whole: an entry is there until the next one is
asked for, so that the millions of answers of VQA are not all Python objects at once.
"""

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from envs.corpora.fields import shown
from envs.corpora.jsonl import STRICT, json_faults
from perlhf.errors import DataError

_SPACE = re.compile(r"[ \t\n\r]*")


def read_array(path: str | Path, key: str | None = None) -> Iterator[tuple[str, Any]]:
    """Yields (place, entry) of the array under `key` of a file's one object, or of a file that is one array.

    Other keys are checked to be JSON and not kept. A place is "FILE:LINE: KEY[INDEX]".

    Args:
        path: a `.json` or `.json.gz` file.
        key: of the object; None for a file that is an array.

    Raises:
        DataError: "FILE:LINE: what is wrong", also after some entries were given; a file that cannot be opened or
            unpacked is named with the reason.
    """
    scanner = _Scanner(read_text(path), path)
    yield from scanner.array("entry") if key is None else scanner.object(key)
    scanner.end()


def read_text(path: str | Path) -> str:
    """Returns the text of a file, unpacked where its name ends in `.gz`.

    Raises:
        DataError: it cannot be read or unpacked, is not UTF-8, or begins with a byte-order mark.
    """
    content = read_bytes(path)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: not UTF-8 at byte {error.start} of the file.") from None
    if text.startswith("\ufeff"):
        raise DataError(f"{path}:1: starts with a byte-order mark; save the file as plain UTF-8.")
    return text


def read_bytes(path: str | Path, most: int = -1) -> bytes:
    """Returns the first `most` bytes of a file, or all, unpacked where its name ends in `.gz`; DataError as above."""
    try:
        with gzip.open(path, "rb") if Path(path).suffix == ".gz" else open(path, "rb") as file:
            return file.read(most)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}:1: the gzip stream is damaged or cut short ({error}).") from None
    except OSError as error:
        raise DataError(f"{path}:1: cannot be read ({error.strerror or error}).") from None


class _Scanner:
    """Reads the outer structure from left to right; what is inside goes through the strict decoder."""

    def __init__(self, text: str, path: str | Path) -> None:
        self._text, self._path = text, path
        self._at = 0
        self._counted, self._line = 0, 1  # the line of a place that was passed

    def object(self, key: str) -> Iterator[tuple[str, Any]]:
        """Yields the entries of the array under `key`."""
        names: list[str] = []
        self._expect("{")
        while self._more("}", first=not names):
            names.append(self._key(names))
            if names[-1] == key:
                yield from self.array(key)
            else:
                self._value()
        if key not in names:
            got = ", ".join(map(shown, names)) or "an empty object"
            raise DataError(f"{self._where()}: no field {key!r}; got {got}.")

    def array(self, name: str) -> Iterator[tuple[str, Any]]:
        self._space()
        if not self._text.startswith("[", self._at):
            where = self._where()
            raise DataError(f"{where}: {name} must be an array, got {shown(self._value())}.")
        self._expect("[")
        index = 0
        while self._more("]", first=index == 0):
            self._space()
            where = f"{self._where()}: {name}[{index}]"
            yield where, self._value()
            index += 1

    def end(self) -> None:
        self._space()
        if self._at < len(self._text):
            self._fail("more text after the end")

    def _key(self, names: list[str]) -> str:
        name = self._value()
        if not isinstance(name, str):
            self._fail(f"expected a key before this, got {shown(name)}")
        if name in names:
            raise DataError(f"{self._where()}: key {shown(name)} is given twice.")
        self._expect(":")
        return name

    def _value(self) -> Any:
        self._space()
        with json_faults(self._where(), " at line {0.lineno}, column {0.colno}"):
            value, self._at = STRICT.raw_decode(self._text, self._at)
        return value

    def _more(self, end: str, first: bool) -> bool:
        """Steps over the end, or over the comma before the next part."""
        self._space()
        if self._text.startswith(end, self._at):
            self._at += len(end)
            return False
        if not first:
            self._expect(",")
        return True

    def _expect(self, sign: str) -> None:
        self._space()
        if not self._text.startswith(sign, self._at):
            self._fail(f"expected {sign!r}")
        self._at += len(sign)

    def _space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        assert match is not None
        self._at = match.end()

    def _where(self) -> str:
        self._line += self._text.count("\n", self._counted, self._at)
        self._counted = self._at
        return f"{self._path}:{self._line}"

    def _fail(self, problem: str) -> NoReturn:
        column = self._at - self._text.rfind("\n", 0, self._at)
        raise DataError(f"{self._where()}: not JSON at column {column}: {problem}.")
