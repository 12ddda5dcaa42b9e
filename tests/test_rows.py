"""Rows of json lines, json arrays, csv and parquet: all that was written, or a line that says where the fault is."""

import gzip
import json
import sys
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_files import write_table

from envs.corpora.json_stream import read_objects
from envs.corpora.rows import iter_rows, kind_of
from perlhf.errors import DataError, UserError

KINDS = ["a.jsonl", "a.jsonl.gz", "a.json", "a.json.gz", "a.csv", "a.csv.gz", "a.parquet"]
TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
ROWS = [
    {"prompt": "Hé", "answer": 'a, "b"\r\nc\n\nd'},
    {"prompt": "", "answer": "漢字 🙂\u2028"},
    {"prompt": " x ", "answer": "\t"},
]


def rows_of(path):
    return [row for _, row in iter_rows(path)]


def places_of(path):
    return [where.removeprefix(f"{path}:") for where, _ in iter_rows(path)]


def problem_of(path):
    with pytest.raises(DataError) as caught:
        list(iter_rows(path))
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(str(path))


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_gives_the_rows_that_were_written(tmp_path, name):
    path = write_table(tmp_path / name, ROWS)
    assert rows_of(path) == ROWS
    lines = ["2", "6", "7"] if "csv" in name else ["1", "2", "3"]  # the first row of csv is four lines
    assert places_of(path) == lines


def test_any_text_comes_back_from_every_kind(tmp_path):
    @given(st.lists(st.fixed_dictionaries({"a": TEXT, "b": TEXT}), min_size=1, max_size=4))
    @settings(max_examples=200)
    def check(rows):
        for name in ("a.jsonl", "a.json", "a.csv", "a.parquet"):
            assert rows_of(write_table(tmp_path / name, rows)) == rows

    check()


def test_numbers_lists_and_nothing_come_back_from_all_but_csv(tmp_path):
    rows = [{"a": [{"role": "user", "content": "é"}], "b": 1.5, "c": True, "d": None}]
    for name in ("a.jsonl", "a.json", "a.parquet"):
        assert rows_of(write_table(tmp_path / name, rows)) == rows


def test_the_kind_of_a_file_is_its_ending():
    names = ("a.JSONL", "b.json.gz", "c.csv", "d.parquet", "e.txt", "jsonl", "f.parquet.gz")
    known = [".jsonl", ".json", ".csv", ".parquet", None, None, None]
    assert [kind_of(name) for name in names] == known


def test_another_ending_is_one_line(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError) as caught:
        iter_rows(tmp_path / "a.txt")
    known = ".jsonl, .json, .csv, .parquet, and all but the last with .gz"
    assert str(caught.value) == f"{tmp_path}/a.txt: is of no known kind; known are {known}."


@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_not_there_is_one_line(tmp_path, name):
    assert problem_of(tmp_path / name).startswith(": cannot be read (")


# csv


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"a,b\n1,2\n3\n", ":3: has 1 fields, and the header 2: 'a', 'b'."),
        (b"a,b\n\"x\ny\",2\n1,2,3\n", ":4: has 3 fields, and the header 2: 'a', 'b'."),
        (b"a,b\n1,2\n\n3,4\n", ":3: blank line; every line holds one row."),
        (b"a,a\n", ":1: the header has 'a' twice."),
        (b"a,\n", ":1: a column has no name in the header."),
        (b"a;b\n1;2\n", ":1: the header is one field, 'a;b'; expected commas between fields."),
        (b"a,b\n1,\"2\n3,4\n", ":2: not csv: unexpected end of data."),
        (b"a,b\n1,\"2\"x\n", ":2: not csv: ',' expected after '\"'."),
        (b"a,b\n1,2\n\xff,3\n", ":3: not UTF-8 at byte 0 of the line."),
        (b"a,b\n1,x\0y\n", ":2: holds a NUL character."),
    ],
)  # fmt: skip
def test_faults_of_csv_name_the_line(tmp_path, text, problem):
    (tmp_path / "a.csv").write_bytes(text)
    assert problem_of(tmp_path / "a.csv") == problem


def test_csv_as_excel_writes_it_is_read(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbfa,b\r\n1,"2 ""3"""\r\n')
    assert rows_of(tmp_path / "a.csv") == [{"a": "1", "b": '2 "3"'}]


def test_a_field_of_csv_may_be_long(tmp_path):
    rows = [{"a": "x" * 500_000}]
    assert rows_of(write_table(tmp_path / "a.csv", rows)) == rows


# json


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", ":1: expected an array of objects, got the end of the file."),
        (b"7", ":1: expected an array of objects, got '7'."),
        (b'[{"a": 1}, 2]', ":2: expected a JSON object, got '2'."),
        (b'[{"a": 1} {"a": 2}]', ":2: expected ',' or ']' after an entry, got '{'."),
        (b'[{"a": 1},]', ":2: expected a JSON object, got ']'."),
        (b'[{"a": 1}', ":2: expected ',' or ']' after an entry, got the end of the file."),
        (b'[{"a": 1}] x', ":2: more text after the end of the array."),
        (b'[{"a": 1}, {"a": 1, "a": 2}]', ":2: key 'a' is given twice."),
        (b'[{"a": NaN}]', ":1: NaN is not a JSON number."),
        (b'[\n  {"a": 1},\n  {"a": tru}]', ":2: not JSON at character 7 of the entry: Expecting value."),
        (b'[{"a": "\xff"}]', ":1: not UTF-8 in or after this row."),
        (b'[{"a": ' + b"[" * 100_000, ":1: nested too deeply."),
    ],
    ids=range(12),
)
def test_faults_of_a_json_array_name_the_row(tmp_path, text, problem):
    (tmp_path / "a.json").write_bytes(text)
    assert problem_of(tmp_path / "a.json") == problem


def test_a_json_file_may_be_json_lines(tmp_path):
    (tmp_path / "a.json").write_text('{"a": 1}\n{"a": 2}\n')
    assert rows_of(tmp_path / "a.json") == [{"a": 1}, {"a": 2}]


def test_entries_longer_than_what_is_read_at_once_come_back(tmp_path):
    rows = [{"a": "é" * n} for n in (10, 200_000, 3, 70_000)]
    assert rows_of(write_table(tmp_path / "a.json", rows)) == rows


def test_a_large_array_is_not_held_in_memory(tmp_path):
    rows = [{"a": f"{i} " * 200} for i in range(20_000)]
    path = write_table(tmp_path / "a.json", rows)
    assert path.stat().st_size > 20e6
    del rows
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_objects(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 20_000
    assert peak < 3e6


def test_any_cut_or_change_of_an_array_is_one_line_or_all_its_rows(tmp_path):
    whole = json.dumps([{"a": "é", "b": [1, {"c": None}]}, {"a": "x"}], ensure_ascii=False).encode()
    path = tmp_path / "a.json"

    @given(st.integers(0, len(whole)), st.binary(max_size=3), st.integers(0, 3))
    @settings(max_examples=300)
    def check(at, noise, dropped):
        path.write_bytes(whole[:at] + noise + whole[at + dropped :])
        rows, problem = [], None
        try:
            rows = [row for _, row in read_objects(path)]
        except DataError as error:
            problem = str(error)
        if problem is None:
            assert rows == json.loads(path.read_bytes())
        else:
            assert problem.startswith(f"{path}:")
            assert len(problem.splitlines()) == 1

    check()


# Packed, parquet


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz", "a.csv.gz"])
def test_a_damaged_gzip_stream_is_one_line(tmp_path, name):
    path = write_table(tmp_path / name, ROWS)
    path.write_bytes(path.read_bytes()[:-12])
    assert "the gzip stream is damaged or cut short" in problem_of(path)


def test_a_file_that_is_no_parquet_is_one_line(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    assert problem_of(tmp_path / "a.parquet").startswith(":1: not parquet that can be read: ")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    path = write_table(tmp_path / "a.parquet", ROWS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError) as caught:
        list(iter_rows(path))
    assert str(caught.value) == f"{path}: parquet needs the library pyarrow: pip install 'perlhf[parquet]'."


def test_a_column_that_is_there_twice_is_one_line(tmp_path):
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_arrays([pyarrow.array(["x"])] * 2, ["a", "a"]), tmp_path / "a.parquet")
    assert problem_of(tmp_path / "a.parquet") == ":1: has the column 'a' twice."


def test_gzip_under_another_name_is_no_json(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(gzip.compress(b'{"a": 1}\n'))
    assert problem_of(tmp_path / "a.jsonl").startswith(":1: not UTF-8")
