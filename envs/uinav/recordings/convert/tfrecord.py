"""TFRecord files and protocol buffers in plain Python, as far as public UI data need them.

A TFRecord file is a row of records: 8 bytes of length, 4 of the length's checksum, the content, 4 of its checksum. The
checksum (CRC-32C, masked) of the length is checked; that of the content is not, since it would take plain Python
longer than all the rest: damage inside a record is found only where its structure is. Sources of the formats:
tensorflow.org/tutorials/load_data/tfrecord, protobuf.dev/programming-guides/encoding and tensorflow/tensorflow:
tensorflow/core/example/{example,feature}.proto.
"""

import gzip
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from perlhf.errors import DataError

MAX_BYTES = 500_000_000  # of one record
Example = Mapping[str, list[Any]]  # the values of each feature: bytes, floats or integers


def read_records(path: str | Path) -> Iterator[tuple[str, bytes]]:
    """Yields (place, content) of each record; a place is "FILE:NUMBER", counted from 1. Gzip is seen by itself.

    Raises:
        DataError: "FILE:NUMBER: what is wrong".
    """
    number = 1
    try:
        with _open(path) as file:
            while head := file.read(12):
                where = f"{path}:{number}"
                yield where, _content(file, head, where)
                number += 1
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}:{number}: the gzip stream is damaged or cut short ({error}).") from None
    except OSError as error:
        raise DataError(f"{path}:{number}: cannot be read ({error.strerror or error}).") from None


def _open(path: str | Path) -> BinaryIO:
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rb") if packed else open(path, "rb")  # type: ignore[return-value]


def _content(file: BinaryIO, head: bytes, where: str) -> bytes:
    if len(head) < 12:
        raise DataError(f"{where}: the file is cut short.")
    length, check = struct.unpack("<QI", head)
    if masked_crc(head[:8]) != check:
        raise DataError(f"{where}: the length's checksum is wrong; the file is damaged, or no TFRecord file.")
    if length > MAX_BYTES:
        raise DataError(f"{where}: the record has {length} bytes, more than {MAX_BYTES}.")
    content = file.read(length + 4)
    if len(content) < length + 4:
        raise DataError(f"{where}: the file is cut short.")
    return content[:-4]


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)  # the polynomial of CRC-32C, bits reversed
        table.append(value)
    return table


_TABLE = _table()


def masked_crc(content: bytes) -> int:
    """CRC-32C as TFRecord stores it: turned by 15 bits, and a constant added."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def fields_of(message: bytes, where: str) -> Iterator[tuple[int, Any]]:
    """Yields (number, value) of the fields of a protocol buffer: integers, or bytes of all else.

    Raises:
        DataError: it is none.
    """
    at, end = 0, len(message)
    while at < end:
        key, at = _varint(message, at, where)
        kind, size = key & 7, {1: 8, 5: 4}.get(key & 7, 0)
        if kind == 0:
            value, at = _varint(message, at, where)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(message, at, where)
        elif not size:
            raise DataError(f"{where}: damaged protocol buffer (wire type {kind}).")
        if at + size > end:
            raise DataError(f"{where}: damaged protocol buffer (a field reaches beyond the end).")
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: bytes, at: int, where: str) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
    raise DataError(f"{where}: damaged protocol buffer (an integer has no end).")


def signed(value: int) -> int:
    """Returns an int32 or int64 of a protocol buffer, which stores negative ones as their 64-bit complement."""
    return value - 2**64 if value >= 2**63 else value


def nested(value: Any, where: str) -> Iterator[tuple[int, Any]]:
    """Returns the fields of a message inside another."""
    if not isinstance(value, bytes):
        raise DataError(f"{where}: damaged protocol buffer (a number where a message should be).")
    return fields_of(value, where)


def parse_example(message: bytes, where: str) -> Example:
    """Returns a tf.train.Example: the values of its features by name.

    Raises:
        DataError: it is none.
    """
    example: dict[str, list[Any]] = {}
    for number, features in fields_of(message, where):
        for inner, entry in nested(features, where) if number == 1 else ():
            pair = dict(nested(entry, where)) if inner == 1 else {}
            if not isinstance(pair.get(1), bytes) or not isinstance(pair.get(2, b""), bytes):
                raise DataError(f"{where}: a feature has no name.")
            example[pair[1].decode("utf-8", "replace")] = _values(pair.get(2, b""), where)
    return example


def _values(feature: bytes, where: str) -> list[Any]:
    values: list[Any] = []
    for kind, content in fields_of(feature, where):
        reader = _READERS.get(kind)
        for number, value in nested(content, where) if reader else ():
            if number == 1 and reader is not None:
                values += reader(value, where)
    return values


def _bytes(value: Any, where: str) -> list[bytes]:
    if not isinstance(value, bytes):
        raise DataError(f"{where}: damaged protocol buffer (a number where bytes should be).")
    return [value]


def _floats(value: Any, where: str) -> list[float]:
    if not isinstance(value, bytes) or len(value) % 4:
        raise DataError(f"{where}: damaged protocol buffer (floats are cut short).")
    return list(struct.unpack(f"<{len(value) // 4}f", value))


def integers(value: Any, where: str) -> list[int]:
    """Packed, or a single one."""
    if isinstance(value, int):
        return [signed(value)]
    integers, at = [], 0
    while at < len(value):
        integer, at = _varint(value, at, where)
        integers.append(signed(integer))
    return integers


_READERS: dict[int, Callable[[Any, str], list[Any]]] = {1: _bytes, 2: _floats, 3: integers}


def texts(example: Example, key: str, where: str) -> list[str]:
    """Returns the values of a feature as texts.

    Raises:
        DataError: there is no such feature, or one that is no UTF-8.
    """
    return [_decoded(value, key, where) for value in numbers(example, key, where, bytes)]


def _decoded(value: bytes, key: str, where: str) -> str:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{where}: feature {key!r} is not UTF-8.") from None
    if "\0" in text:
        raise DataError(f"{where}: feature {key!r} holds a NUL character.")
    return text


def numbers(example: Example, key: str, where: str, kind: type = int) -> list[Any]:
    """Returns the values of a feature, all of one kind: int, float or bytes; DataError where they are not."""
    if key not in example:
        raise DataError(f"{where}: no feature {key!r}.")
    values = example[key]
    if not all(type(value) is kind for value in values):
        raise DataError(f"{where}: feature {key!r} must hold {kind.__name__}, got another kind.")
    return values
