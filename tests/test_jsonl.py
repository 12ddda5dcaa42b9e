"""The strict reader of JSON Lines: every fault is one line that names FILE:LINE."""

import gzip
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.corpora.jsonl import read_jsonl, text_field
from perlhf.errors import DataError

GOOD = b'{"text": "good"}'

# Each as the second line of a file, between two good ones.
FAULTS = {
    "duplicate key": (b'{"text": "a", "text": "b"}', "key 'text' is given twice"),
    "duplicate key, nested": (b'{"a": {"b": 1, "b": 1}}', "key 'b' is given twice"),
    "bad UTF-8": (b'{"text": "\xff"}', "not UTF-8 at byte 10 of the line"),
    "UTF-8 of a surrogate": (b'{"text": "\xed\xa0\x80"}', "not UTF-8 at byte 10"),
    "UTF-16": ('{"text": "a"}'.encode("utf-16"), "not UTF-8 at byte 0"),
    "NaN": (b'{"x": NaN}', "NaN is not a JSON number"),
    "Infinity": (b'{"x": Infinity}', "Infinity is not a JSON number"),
    "-Infinity": (b'{"x": -Infinity}', "-Infinity is not a JSON number"),
    "1e999": (b'{"x": 1e999}', "number 1e999 is too large"),
    "-1e999": (b'{"x": [-1e999]}', "number -1e999 is too large"),
    "10,000 digits": (b'{"x": ' + b"1" * 10_000 + b"}", "digits"),
    "deep nesting": (b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
    "deep nesting of objects": (b'{"x": ' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
    "byte-order mark": (b'\xef\xbb\xbf{"text": "a"}', "byte-order mark"),
    "blank line": (b"", "blank line"),
    "line of spaces": (b"  \t ", "blank line"),
    "array": (b'["text"]', "expected a JSON object, got list"),
    "string": (b'"text"', "expected a JSON object, got str"),
    "number": (b"3", "expected a JSON object, got int"),
    "null": (b"null", "expected a JSON object, got NoneType"),
    "two objects": (b'{"text": "a"}{"text": "b"}', "not JSON at column 14"),
    "single quotes": (b"{'text': 'a'}", "not JSON at column 2"),
    "trailing comma": (b'{"text": "a",}', "not JSON at column"),
    "raw NUL": (b'{"text": "a\x00b"}', "not JSON at column"),
    "raw tab in a string": (b'{"text": "a\tb"}', "not JSON at column"),
    "text after the object": (b'{"text": "a"} # comment', "not JSON at column 15"),
}


def problem_of(path):
    """Reads a file that has a fault; its message after the rows that were read before it."""
    rows = []
    with pytest.raises(DataError) as caught:
        rows.extend(read_jsonl(path))
    message = str(caught.value)
    assert message.isprintable(), "not one line"
    return message, rows


@pytest.mark.parametrize("name", ["data.jsonl", "data.jsonl.gz"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_reported_with_file_and_line(tmp_path, fault, name):
    line, problem = FAULTS[fault]
    content = b"\n".join((GOOD, line, GOOD)) + b"\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    message, rows = problem_of(path)
    assert message.startswith(f"{path}:2: ")
    assert problem in message
    assert len(message) < len(str(path)) + 200
    assert rows == [(1, {"text": "good"})]


def test_a_byte_order_mark_at_the_start_is_a_fault_of_line_1(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD + b"\n")
    message, rows = problem_of(path)
    assert message.startswith(f"{path}:1: starts with a byte-order mark")
    assert rows == []


def test_a_truncated_last_line_is_named(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(GOOD + b"\n" + GOOD + b'\n{"text": "go')
    message, rows = problem_of(path)
    assert message.startswith(f"{path}:3: not JSON at column")
    assert [number for number, _ in rows] == [1, 2]


def test_a_last_line_without_a_newline_is_sound(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(GOOD + b"\n" + GOOD)
    assert [number for number, _ in read_jsonl(path)] == [1, 2]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x7f"])
def test_only_newlines_end_a_line(tmp_path, separator):
    path = tmp_path / "data.jsonl"
    path.write_text(f'{{"text": "a{separator}b"}}\n', encoding="utf-8")
    assert list(read_jsonl(path)) == [(1, {"text": f"a{separator}b"})]


def test_windows_line_ends_are_read(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(GOOD + b"\r\n" + GOOD + b"\r\n")
    assert list(read_jsonl(path)) == [(1, {"text": "good"}), (2, {"text": "good"})]


def test_all_json_values_are_read(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_text('{"a": [1, -2.5e3, true, false, null], "b": {"c": "\\u00e9\\ud83d\\ude42"}}\n')
    assert list(read_jsonl(str(path))) == [(1, {"a": [1, -2500.0, True, False, None], "b": {"c": "é🙂"}})]


def test_an_empty_file_has_no_rows(tmp_path):
    path = tmp_path / "data.jsonl"
    path.write_bytes(b"")
    assert list(read_jsonl(path)) == []


def test_a_gzip_file_of_several_members_is_read_whole(tmp_path):
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(gzip.compress(GOOD + b"\n") + gzip.compress(GOOD + b"\n"))
    assert [number for number, _ in read_jsonl(path)] == [1, 2]


def stored_gzip(rows):
    """A gzip file that holds its rows uncompressed, so that a byte of it belongs to one row."""
    return gzip.compress(b"".join(row + b"\n" for row in rows), compresslevel=0)


def test_a_damaged_gzip_stream_is_named(tmp_path):
    path = tmp_path / "data.jsonl.gz"
    content = bytearray(stored_gzip([GOOD] * 3))
    content[content.index(b"good")] = ord("f")  # the text is sound JSON, the checksum is not
    path.write_bytes(content)
    message, rows = problem_of(path)
    assert re.match(re.escape(str(path)) + r":\d+: the gzip stream is damaged or cut short", message)
    assert len(rows) <= 3


def test_a_truncated_gzip_stream_is_named(tmp_path):
    path = tmp_path / "data.jsonl.gz"
    content = stored_gzip([GOOD] * 3)
    path.write_bytes(content[:-20])
    message, _ = problem_of(path)
    assert re.match(re.escape(str(path)) + r":\d+: the gzip stream is damaged or cut short", message)


def test_a_file_that_is_no_gzip_is_a_fault_of_line_1(tmp_path):
    path = tmp_path / "data.jsonl.gz"
    path.write_bytes(GOOD + b"\n")
    message, rows = problem_of(path)
    assert message.startswith(f"{path}:1: the gzip stream is damaged or cut short")
    assert rows == []


@pytest.mark.parametrize("name", ["none.jsonl", "none.jsonl.gz"])
def test_a_missing_file_is_named(tmp_path, name):
    message, _ = problem_of(tmp_path / name)
    assert message == f"{tmp_path / name}: cannot be read (No such file or directory)."


@pytest.mark.parametrize("name", ["folder.jsonl", "folder.jsonl.gz"])
def test_a_folder_is_named(tmp_path, name):
    (tmp_path / name).mkdir()
    message, _ = problem_of(tmp_path / name)
    assert message == f"{tmp_path / name}: cannot be read (Is a directory)."


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"other": "a"}, "no field 'text'; got 'other'."),
        ({}, "no field 'text'; got an empty object."),
        ({"te\nxt": 1}, r"no field 'text'; got 'te\nxt'."),
        ({"text": None}, "field 'text' must be a string, got NoneType."),
        ({"text": 3}, "field 'text' must be a string, got int."),
        ({"text": ["a"]}, "field 'text' must be a string, got list."),
        ({"text": "a\ud800"}, "field 'text' holds a lone surrogate."),
        ({"text": "a\0b"}, "field 'text' holds a NUL character."),
    ],
)
def test_a_field_that_is_no_sound_text_is_named(row, problem):
    with pytest.raises(DataError) as caught:
        text_field(row, "text", "f.jsonl:7")
    assert str(caught.value) == f"f.jsonl:7: {problem}"


@pytest.mark.parametrize("text", ["", "a\nb", "é🙂\u2028"])
def test_a_field_of_sound_text_is_kept(text):
    assert text_field({"text": text}, "text", "f.jsonl:7") == text


def test_any_bytes_are_rows_or_a_data_error(tmp_path):
    path = tmp_path / "data.jsonl"
    pieces = st.sampled_from([b'{"a": 1}', b"{", b"}", b'"', b"\n", b"\\ud800", b"1e99", b"\xc3", b"NaN", b"[", b":"])

    @given(st.lists(st.one_of(pieces, st.binary(max_size=3)), max_size=12))
    @settings(max_examples=1000)
    def check(parts):
        content = b"".join(parts)
        path.write_bytes(content)
        lines = content.count(b"\n") + (not content.endswith(b"\n") and content != b"")
        rows, problem = [], None
        try:
            rows.extend(read_jsonl(path))
        except DataError as error:
            problem = str(error)
        assert [number for number, _ in rows] == list(range(1, len(rows) + 1))
        if problem is None:
            assert len(rows) == lines
        else:
            assert problem.startswith(f"{path}:{len(rows) + 1}: ")
            assert len(rows) < lines

    check()
