"""What Preferences-v0 reads: every form of preference data, in every kind of file, from any place."""

import json
import logging
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from written_files import write_table

from envs.corpora import hub
from envs.corpora.disk import DiskRecords, RecordWriter
from envs.corpora.records import Demonstration, LabelledRecord, Record
from envs.corpora.splits import SPLITS, hashed_split
from envs.preferences import store
from envs.preferences.columns import parse_columns
from envs.preferences.rows import RowParser
from envs.preferences.sources import files_of, read_all
from envs.preferences.splits import BY_HASH, key_of, rows_of_split, side_of_name
from envs.preferences.task import Preferences
from perlhf.conversation import Conversation, Message
from perlhf.errors import DataError, UserError

ROOT = Path(__file__).parents[1]
KINDS = ["a.jsonl", "a.jsonl.gz", "a.json", "a.json.gz", "a.csv", "a.parquet"]


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """A cache of its own for each test."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf_home"))
    return tmp_path / "hf_home" / "perlhf"


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def system(text):
    return {"role": "system", "content": text}


def said(*messages):
    return Conversation([Message(**message) for message in messages])


def parsed(row, columns="", all_text=False):
    return RowParser(parse_columns(columns))(row, "FILE:1", all_text)


def same(record, *fields):
    """Whether a record has these fields, and a prompt of the same kind and messages."""
    prompt = fields[0]
    assert record[: len(fields)] == fields
    assert type(record.prompt) is type(prompt)
    assert getattr(record.prompt, "messages", None) == getattr(prompt, "messages", None)
    return True


# The forms

SKY, BLUE, GREEN = user("What color is the sky?"), assistant("It is blue."), assistant("It is green.")
ASKED = said(SKY)

PAIRS = {
    "text": ({"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}, "The sky is", "blue.", "green."),
    "messages": ({"prompt": [SKY], "chosen": [BLUE], "rejected": [GREEN]}, ASKED, "It is blue.", "It is green."),
    "whole conversations beside the prompt": (
        {"prompt": [SKY], "chosen": [SKY, BLUE], "rejected": [SKY, GREEN]}, ASKED, "It is blue.", "It is green.",
    ),
    "whole conversations beside a prompt of text": (
        {"prompt": SKY["content"], "chosen": [SKY, BLUE], "rejected": [SKY, GREEN]},
        ASKED, "It is blue.", "It is green.",
    ),
    "messages to a prompt of text": (
        {"prompt": SKY["content"], "chosen": [BLUE], "rejected": [GREEN]}, ASKED, "It is blue.", "It is green.",
    ),
    "texts to a prompt of messages": ({"prompt": [SKY], "chosen": "a", "rejected": "b"}, ASKED, "a", "b"),
    "the prompt inside of text": (
        {"chosen": "The sky is blue.", "rejected": "The sky is black."}, "The sky is", "blue.", "black.",
    ),
    "the prompt inside of transcripts": (
        {"chosen": "\n\nHuman: Hi\n\nAssistant: a\n\nHuman: And?\n\nAssistant: b",
         "rejected": "\n\nHuman: Hi\n\nAssistant: a\n\nHuman: And?\n\nAssistant: c"},
        "\n\nHuman: Hi\n\nAssistant: a\n\nHuman: And?\n\nAssistant:", "b", "c",
    ),
    "the prompt inside of messages": (
        {"chosen": [system("Be brief."), SKY, BLUE], "rejected": [system("Be brief."), SKY, GREEN]},
        said(system("Be brief."), SKY), "It is blue.", "It is green.",
    ),
    "content in parts": (
        {"prompt": [{"role": "user", "content": [{"type": "text", "text": "What color "},
                                                 {"type": "text", "text": "is the sky?", "image": None}]}],
         "chosen": [BLUE], "rejected": [GREEN]},
        ASKED, "It is blue.", "It is green.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_of_every_form(name):
    row, prompt, chosen, rejected = PAIRS[name]
    record = parsed(row)
    assert isinstance(record, Record)
    assert same(record, prompt, chosen, rejected, {"where": "FILE:1"})


@pytest.mark.parametrize(
    ("row", "prompt", "answer"),
    [
        ({"prompt": "The sky is", "completion": " blue."}, "The sky is", "blue."),
        ({"prompt": [SKY], "completion": [BLUE]}, ASKED, "It is blue."),
        ({"messages": [SKY, BLUE, user("Why?"), assistant("Ask a physicist.")]}, said(SKY, BLUE, user("Why?")),
         "Ask a physicist."),
        ({"prompt": "The sky is"}, "The sky is", None),
        ({"prompt": [SKY]}, ASKED, None),
    ],
)  # fmt: skip
def test_demonstrations_of_every_form(row, prompt, answer):
    record = parsed(row)
    assert isinstance(record, Demonstration)
    assert same(record, prompt, answer, {"where": "FILE:1"})


@pytest.mark.parametrize(("label", "expected"), [(True, 1.0), (False, 0.0), (1, 1.0), (0, 0.0), (0.25, 0.25)])
def test_labels_may_be_soft(label, expected):
    record = parsed({"prompt": "The sky is", "completion": " blue.", "label": label})
    assert record == LabelledRecord("The sky is", "blue.", expected, {"where": "FILE:1"})
    assert parsed({"messages": [SKY, BLUE], "label": label})[1:3] == ("It is blue.", expected)


def test_a_margin_is_in_meta():
    for margin in (0.5, -1, 3):
        record = parsed({"prompt": "a", "chosen": "b", "rejected": "c", "margin": margin})
        assert record.meta == {"where": "FILE:1", "margin": float(margin)}


def test_null_is_as_if_there_were_no_column_and_others_are_ignored():
    row = {"id": 7, "prompt": None, "chosen": "x a", "rejected": "x b", "completion": None, "label": None, "source": []}
    assert parsed(row)[:3] == ("x", "a", "b")


def test_of_several_forms_in_a_row_pairs_come_first():
    row = {"prompt": "p", "chosen": [user("p"), assistant("a")], "rejected": [user("p"), assistant("b")],
           "messages": [user("p"), assistant("a")]}  # fmt: skip
    assert parsed(row)[:3] == (said(user("p")), "a", "b")


# Renamed columns


def test_columns_are_renamed():
    row = {"question": "p", "good": "a", "bad": "b", "prompt": "an id"}
    assert parsed(row, "prompt=question, chosen=good,rejected=bad")[:3] == ("p", "a", "b")
    assert parsed({"prompt": "p", "chosen": "a", "rejected": "b"}, "chosen=rejected,rejected=chosen")[1:3] == ("b", "a")
    assert parsed({"completion": "p"}, "prompt=completion") == Demonstration("p", None, {"where": "FILE:1"})


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ("question", "columns: 'question': expected NAME=COLUMN, with commas between, as in prompt=question."),
        ("prompt=", "columns: 'prompt=': expected NAME=COLUMN, with commas between, as in prompt=question."),
        ("promt=a", "columns: 'promt=a': unknown name 'promt'. Did you mean 'prompt'?"),
        ("prompt=a,prompt=b", "columns: 'prompt=b': 'prompt' is given twice."),
        ("prompt=a,chosen=a", "columns: 'chosen=a': 'a' is given twice."),
        (7, "columns must be text such as 'prompt=question,chosen=good', got 7."),
    ],
)
def test_wrong_columns_are_one_line(columns, problem):
    with pytest.raises(UserError) as caught:
        parse_columns(columns)
    assert str(caught.value) == problem


# Faults

FORMS = (
    "Known: prompt, chosen, rejected, [margin]; chosen, rejected, [margin]; prompt, completion, [label]; "
    "messages, [label]; prompt. Name columns by --columns prompt=COLUMN,..."
)
PAIR = {"prompt": "p", "chosen": "a", "rejected": "b"}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"question": "p", "answer": "a"}, f"is of no known form: its columns are 'question', 'answer'. {FORMS}"),
        ({}, f"is of no known form: it has no columns. {FORMS}"),
        ({**PAIR, "prompt": 7}, "field 'prompt' must be a string or an array of messages, got 7."),
        ({**PAIR, "prompt": []}, "field 'prompt' has no messages."),
        ({**PAIR, "prompt": ["Hi"]},
         "prompt[0] must be a message, an object with 'role' and 'content', got 'Hi'."),
        ({**PAIR, "prompt": [{"from": "human", "value": "Hi"}]},
         "prompt[0] has no 'role'; expected 'role' and 'content', got 'from', 'value'."),
        ({**PAIR, "prompt": [{"role": "human", "content": "Hi"}]},
         "prompt[0] has the role 'human'; known are system, user, assistant."),
        ({**PAIR, "chosen": [{"role": "tool", "content": "Hi"}]},
         "chosen[0] has the role 'tool'; known are system, user, assistant."),
        ({**PAIR, "chosen": [{"role": "assistant", "content": None}]},
         "the content of chosen[0] must be text, or a list of parts of text, got nothing."),
        ({**PAIR, "chosen": [{"role": "assistant", "content": "", "tool_calls": [{}]}]},
         "chosen[0] calls tools, which are not known here; leave such rows out."),
        ({**PAIR, "prompt": [{"role": "user", "content": [{"type": "image"}]}]},
         "the content of prompt[0] has a part of type 'image'; expected {\"type\": \"text\", \"text\": ...} alone."),
        ({**PAIR, "chosen": "a\0"}, "field 'chosen' holds a NUL character."),
        ({**PAIR, "prompt": [user("\ud800")]}, "prompt[0] holds a lone surrogate."),
        ({**PAIR, "margin": True}, "field 'margin' must be a finite number, got True."),
        ({**PAIR, "margin": 10**400}, "field 'margin' must be a finite number, got an integer of more than 64 bits."),
        ({"prompt": "p", "completion": "c", "label": 2},
         "field 'label' must be true, false or a number from 0 to 1, got 2."),
        ({"prompt": "p", "completion": "c", "label": "good"},
         "field 'label' must be true, false or a number from 0 to 1, got 'good'."),
        ({"messages": "Hi"}, "field 'messages' must be an array of messages, got 'Hi'."),
        ({"chosen": "Yes.", "rejected": "No.", "q": 1},
         "chosen and rejected begin with different words, so there is no prompt in them: name its column, as in "
         "--columns prompt=COLUMN; its columns are 'chosen', 'rejected', 'q'."),
        ({"chosen": "Yes.", "rejected": [BLUE]},
         "of chosen and rejected one is text and the other a list of messages, and there is no prompt; its columns are "
         "'chosen', 'rejected'."),
    ],
)  # fmt: skip
def test_a_row_that_is_of_no_form_is_one_line(row, problem):
    with pytest.raises(DataError) as caught:
        parsed(row)
    assert str(caught.value) == f"FILE:1: {problem}"


@pytest.mark.parametrize(("there", "missing"), [("chosen", "rejected"), ("rejected", "chosen")])
def test_half_of_a_pair_is_no_prompt_alone(there, missing):
    with pytest.raises(DataError) as caught:
        parsed({"prompt": "Hi", there: "Hello"})
    assert str(caught.value) == (
        f"FILE:1: has {there!r} and no {missing!r}, which a pair needs: name its column by --columns {missing}=COLUMN; "
        f"its columns are 'prompt', {there!r}."
    )


def test_a_column_that_is_missing_is_one_line():
    with pytest.raises(DataError) as caught:
        parsed(PAIR, "prompt=question")
    there = "its columns are 'prompt', 'chosen', 'rejected'"
    assert str(caught.value) == f"FILE:1: no column 'question', which columns names for 'prompt'; {there}."


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        ({"prompt": "p", "completion": "c"},
         "has prompt, completion, and the first row, FILE:1, prompt, chosen, rejected; all rows must have the same."),
        ({**PAIR, "margin": 1},
         "has prompt, chosen, rejected, margin, and the first row, FILE:1, prompt, chosen, rejected; all rows must "
         "have the same."),
        ({**PAIR, "prompt": [SKY]}, "field 'prompt' is messages, and in the first row, FILE:1, text."),
        ({**PAIR, "rejected": None},
         "has 'chosen' and no 'rejected', which a pair needs: name its column by --columns rejected=COLUMN; its "
         "columns are 'prompt', 'chosen', 'rejected'."),
    ],
)  # fmt: skip
def test_all_rows_are_of_the_form_of_the_first(second, problem):
    parser = RowParser()
    parser(PAIR, "FILE:1")
    with pytest.raises(DataError) as caught:
        parser(second, "FILE:2")
    assert str(caught.value) == f"FILE:2: {problem}"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**PAIR, "rejected": " a "}, "chosen and rejected are the same"),
        ({**PAIR, "prompt": " \n"}, "the prompt is empty"),
        ({"prompt": [user(" ")]}, "the prompt is empty"),
        ({"prompt": [SKY, BLUE]}, "the prompt ends with a message of the assistant, not of the user"),
        ({"messages": [SKY]}, "the last message is of the user, not of the assistant"),
        ({"messages": [BLUE]}, "no message stands before the answer"),
        ({"messages": [SKY, assistant(" ")]}, "the answer is empty, so there is nothing to imitate"),
        ({"prompt": [SKY], "chosen": [user("x"), BLUE], "rejected": [GREEN]},
         "what stands before the answer in 'chosen' is not the prompt"),
        ({"prompt": [SKY], "chosen": [BLUE], "rejected": [SKY]},
         "'rejected' ends with a message of the user, not of the assistant"),
        ({"chosen": [SKY, BLUE], "rejected": [user("x"), GREEN]}, "chosen and rejected do not share the prompt"),
        ({"chosen": "\n\nHuman: a\n\nAssistant: x", "rejected": "\n\nHuman: b\n\nAssistant: y"},
         "chosen and rejected do not share the prompt"),
        ({**PAIR, "prompt": "p" * 100_001}, "the prompt has more than 100000 characters"),
        ({**PAIR, "chosen": "p" * 20_001}, "an answer has more than 20000 characters"),
    ],
)  # fmt: skip
def test_a_row_that_is_of_no_use_says_why(row, reason):
    assert parsed(row) == ("FILE:1", reason)


def test_empty_answers_of_pairs_are_kept():
    assert parsed({**PAIR, "rejected": ""})[:3] == ("p", "a", "")


# Files

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1).filter(str.strip)
MESSAGE = st.builds(lambda role, text: {"role": role, "content": text}, st.sampled_from(["system", "user"]), TEXT)
ASKING = st.lists(MESSAGE, max_size=2).flatmap(lambda before: TEXT.map(lambda text: [*before, user(text)]))
MARGINS = st.none() | st.floats(-100, 100)
LABELS = st.floats(0, 1) | st.booleans()


@st.composite
def data_sets(draw):
    """Rows of one form, and the records that they are, but for where they stand."""
    messages, form = draw(st.booleans()), draw(st.sampled_from(["pair", "implicit", "label", "completion", "prompt"]))
    with_margin = form in ("pair", "implicit") and draw(st.booleans())
    rows, records = [], []
    for _ in range(draw(st.integers(1, 4))):
        asked = draw(ASKING if messages else TEXT)
        prompt = said(*asked) if messages else asked
        first, second = draw(TEXT), draw(TEXT)
        assume(first.strip() != second.strip())
        a, b = ([assistant(first)], [assistant(second)]) if messages else (first, second)
        if form == "implicit" and not messages:
            asked = prompt = f"\n\nHuman: {asked}\n\nAssistant:"
            assume("Assistant:" not in first + second)
        margin = {"margin": draw(st.floats(-100, 100))} if with_margin else {}
        label = draw(LABELS)
        row, record = {
            "pair": ({"prompt": asked, "chosen": a, "rejected": b, **margin}, (first, second)),
            "implicit": ({"chosen": asked + a, "rejected": asked + b, **margin}, (first, second)),
            "label": ({"prompt": asked, "completion": a, "label": float(label)}, (first, float(label))),
            "completion": ({"prompt": asked, "completion": a}, (first,)),
            "prompt": ({"prompt": asked}, (None,)),
        }[form]
        rows.append(row)
        texts = tuple(field.strip() if isinstance(field, str) else field for field in record)
        kind = {"label": LabelledRecord, "completion": Demonstration, "prompt": Demonstration}.get(form, Record)
        records.append(kind(prompt, *texts, margin))
    return rows, records


def test_any_records_come_back_from_every_kind_of_file_and_from_disk(tmp_path, monkeypatch):
    @given(data_sets(), st.sampled_from(KINDS), st.booleans())
    @settings(max_examples=150)
    def check(data, name, on_disk):
        rows, records = data
        monkeypatch.setattr(store, "IN_MEMORY", 0 if on_disk else 2**24)
        path = write_table(tmp_path / name, rows)
        read = list(read_all(str(path), ()).records)
        assert len(read) == len(records)
        for found, expected in zip(read, records, strict=True):
            assert type(found) is type(expected)
            assert same(found, *expected[:-1])
            assert {k: v for k, v in found.meta.items() if k != "where"} == expected.meta

    check()


@pytest.mark.parametrize("name", KINDS)
def test_a_fault_in_the_second_row_is_named_in_every_kind_of_file(tmp_path, name):
    rows = [{"prompt": "a", "completion": "b", "label": 1.0}, {"prompt": "a", "completion": "b", "label": 2.0}]
    path = write_table(tmp_path / name, rows)
    with pytest.raises(DataError) as caught:
        read_all(str(path), ())
    line = 3 if name == "a.csv" else 2
    problem = "field 'label' must be true, false or a number from 0 to 1, got 2.0."
    assert str(caught.value) == f"{path}:{line}: {problem}"


def test_messages_in_csv_are_json_in_every_row(tmp_path):
    rows = [{"prompt": [SKY], "completion": [BLUE]}, {"prompt": "[1] says so", "completion": [BLUE]}]
    path = write_table(tmp_path / "a.csv", rows)
    with pytest.raises(DataError) as caught:
        read_all(str(path), ())
    assert str(caught.value) == f"{path}:3: field 'prompt': not JSON at character 4: Extra data."
    path = write_table(tmp_path / "b.csv", [{"prompt": "[1] says so"}, {"prompt": json.dumps([SKY])}])
    assert [record.prompt for record in read_all(str(path), ()).records] == ["[1] says so", json.dumps([SKY])]


@pytest.mark.parametrize(("cell", "label"), [("true", 1.0), ("False", 0.0), ("1", 1.0), ("0.25", 0.25)])
def test_labels_in_csv(tmp_path, cell, label):
    path = write_table(tmp_path / "a.csv", [{"prompt": "a", "completion": "b", "label": cell}])
    assert read_all(str(path), ()).records[0].label == label


def test_what_is_not_used_is_reported(tmp_path, caplog):
    path = write_table(tmp_path / "a.jsonl", [PAIR, {**PAIR, "rejected": "a"}])
    with caplog.at_level(logging.WARNING, "envs"):
        assert len(read_all(str(path), ()).records) == 1
    assert caplog.messages == [f"{path}:2: not used: chosen and rejected are the same"]


def test_a_file_of_which_no_row_is_of_use_is_one_line(tmp_path):
    path = write_table(tmp_path / "a.jsonl", [{**PAIR, "rejected": "a"}])
    with pytest.raises(DataError) as caught:
        read_all(str(path), ())
    assert str(caught.value) == f"{path}: no row is of use; {path}:1: chosen and rejected are the same."
    (tmp_path / "b.jsonl").touch()
    with pytest.raises(DataError, match=r"b.jsonl:1: the file has no rows\.$"):
        read_all(str(tmp_path / "b.jsonl"), ())


def test_a_file_that_was_written_anew_is_read_anew(tmp_path):
    path = write_table(tmp_path / "a.jsonl", [PAIR])
    assert len(read_all(str(path), ()).records) == 1
    write_table(path, [PAIR, {**PAIR, "chosen": "c"}])
    assert len(read_all(str(path), ()).records) == 2


# Folders and globs

PLACES = "a file (.jsonl, .json, .csv, .parquet), a folder of them, a glob in quotes, or hub:ORG/NAME"


def test_a_folder_and_a_glob_are_all_their_files(tmp_path):
    (tmp_path / "in" / ".git").mkdir(parents=True)
    for name in ("b.csv", "a.jsonl", "in/c.parquet", "in/.git/d.json"):
        write_table(tmp_path / name, [{"prompt": name, "completion": "x"}])
    for name in ("README.md", "dataset_infos.json"):
        (tmp_path / name).write_text("{}")
    assert [r.prompt for r in read_all(str(tmp_path), ()).records] == ["a.jsonl", "b.csv", "in/c.parquet"]
    assert files_of(f"{tmp_path}/**/*.parquet") == [tmp_path / "in/c.parquet"]
    assert [r.prompt for r in read_all(f"{tmp_path}/*.[cj]s*", ()).records] == ["a.jsonl", "b.csv"]


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nothing.jsonl", f"no such file or folder; expected {PLACES}."),
        ("*.parquet", f"no such file or folder; expected {PLACES}."),
        ("empty", "no file in this folder is one of .jsonl, .json, .csv, .parquet."),
        ("a.txt", "is of no known kind; known are .jsonl, .json, .csv, .parquet, and all but the last with .gz."),
    ],
)  # fmt: skip
def test_a_place_without_data_is_one_line(tmp_path, name, problem):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").touch()
    with pytest.raises(DataError) as caught:
        read_all(str(tmp_path / name), ())
    assert str(caught.value) == f"{tmp_path / name}: {problem}"


def test_a_file_that_is_there_in_two_kinds_is_one_line(tmp_path):
    for name in ("a.csv", "a.parquet"):
        write_table(tmp_path / name, [PAIR])
    with pytest.raises(DataError, match=rf"a.parquet: is there twice, see {tmp_path}/a.csv; leave one of the two"):
        read_all(str(tmp_path), ())


def test_all_files_are_of_one_form(tmp_path):
    write_table(tmp_path / "a.jsonl", [PAIR])
    write_table(tmp_path / "b.jsonl", [{"prompt": "p"}])
    with pytest.raises(
        DataError, match=rf"b.jsonl:1: has prompt, and the first row, {tmp_path}/a.jsonl:1, prompt, cho"
    ):
        read_all(str(tmp_path), ())


# Splits


def prompts_of(path, split, **options):
    return [record.prompt for record in Preferences(data=str(path), split=split, **options).records]


def write_prompts(path, prompts):
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_table(path, [{"prompt": prompt, "completion": "x"} for prompt in prompts])


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("train.jsonl", "train"), ("test-00000-of-00001.parquet", "test"), ("validation.csv", "validation"),
        ("valid_prefs.json", "validation"), ("VAL.jsonl", "validation"), ("dev.jsonl", "validation"),
        ("train_prefs-00000.parquet", "train"), ("trainer.json", None), ("testing.csv", None), ("data.jsonl", None),
        ("valence.csv", None), ("my_train.csv", "train"), ("train_and_test.csv", None),
    ],
)  # fmt: skip
def test_files_are_called_after_splits(name, side):
    assert side_of_name(name) == side


# The first byte of the hash, as in tests/test_hh_reader.py: "four" and "Hello" are test, "five" and "c" validation.
def test_one_file_is_split_by_a_hash_of_the_first_thing_that_the_user_says(tmp_path):
    path = write_prompts(tmp_path / "a.jsonl", ["four", "Hello", "five", "c", "Hi", "ten"])
    assert prompts_of(path, "train") == ["Hi", "ten"]
    assert prompts_of(path, "validation") == ["five", "c"]
    assert prompts_of(path, "test") == ["four", "Hello"]
    talks = [[system("x"), user("four"), assistant("y"), user("ten")], [user("Hi")], [user(" five ")]]
    path = write_table(tmp_path / "b.jsonl", [{"prompt": talk} for talk in talks])
    assert [prompts_of(path, split) for split in ("test", "train", "validation")] == [[said(*t)] for t in talks]
    assert key_of("\n\nHuman: four\n\nAssistant: y\n\nHuman: ten\n\nAssistant:") == key_of("four")


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=60))
@settings(max_examples=300)
def test_splits_share_no_prompt_lose_nothing_and_are_not_empty(numbers):
    keys, sides = np.array(numbers, np.uint64), np.full(len(numbers), BY_HASH, np.int8)
    rows = {split: rows_of_split(keys, sides, split).tolist() for split in SPLITS}
    assert sorted(row for found in rows.values() for row in found) == list(range(len(numbers)))
    distinct = [{numbers[row] for row in found} for found in rows.values()]
    assert sum(map(len, distinct)) == len(set(numbers))
    filled = [split for split in ("train", "test", "validation") if rows[split]]
    assert filled == ["train", "test", "validation"][: len(set(numbers))]


@given(st.lists(st.text(max_size=8), min_size=50, max_size=200, unique_by=str.strip), st.integers(1, 40))
@settings(max_examples=50)
def test_more_rows_move_no_prompt_where_all_splits_have_some(prompts, more):
    keys = np.array([key_of(prompt) for prompt in prompts], np.uint64)
    for count in (len(keys), len(keys) - more):
        of_hash = [hashed_split(prompt.strip()) for prompt in prompts[:count]]
        if set(of_hash) == set(SPLITS):
            sides = np.full(count, BY_HASH, np.int8)
            for split in SPLITS:
                expected = [i for i, side in enumerate(of_hash) if side == split]
                assert rows_of_split(keys[:count], sides, split).tolist() == expected


def test_eight_prompts_in_four_hundred_rows_have_three_splits(tmp_path):
    # First bytes of the hashes: a ca, b 3e, c 2e, e 3f, g cd, h aa, i de, k 82. So "c" is validation, test would be
    # empty, and of the others, in train, "b" has the lowest.
    path = write_table(tmp_path / "a.jsonl", [{"prompt": "abceghik"[i % 8], "completion": f"{i}"} for i in range(400)])
    sides = {split: prompts_of(path, split) for split in SPLITS}
    assert {split: len(found) for split, found in sides.items()} == {"train": 300, "validation": 50, "test": 50}
    assert (set(sides["validation"]), set(sides["test"])) == ({"c"}, {"b"})


@pytest.mark.parametrize(
    ("count", "empty", "why"),
    [
        (1, ["validation", "test"], "1 distinct prompt are too few for 3 splits"),
        (2, ["validation"], "2 distinct prompts are too few for 3 splits"),
        (3, [], ""),
    ],
)
def test_too_few_prompts_for_three_splits_say_what_to_do(tmp_path, count, empty, why):
    path = write_prompts(tmp_path / "a.jsonl", [f"Prompt {i}" for i in range(count)] * 2)
    for split in SPLITS:
        assert len(prompts_of(path, split, splits="all")) == 2 * count
        if split not in empty:
            assert prompts_of(path, split)
            continue
        with pytest.raises(DataError) as caught:
            prompts_of(path, split)
        assert str(caught.value) == (
            f"{path}: no records in split {split!r}: {why}; give more, a folder with files named train and test, or "
            "--env-options splits=all, which holds nothing out."
        )


@pytest.mark.parametrize("names", [("train.jsonl", "test.csv"), ("train/0.jsonl", "test/0.csv")])
def test_files_named_after_splits_are_those_splits(tmp_path, names):
    folder = tmp_path / "train"  # the name of the folder that is given says nothing
    write_prompts(folder / names[0], ["four", "five", "Hi", "ten"])
    write_prompts(folder / names[1], ["Bonjour", "c"])
    assert prompts_of(folder, "train") == ["four", "Hi", "ten"]
    assert prompts_of(folder, "validation") == ["five"]
    assert prompts_of(folder, "test") == ["Bonjour", "c"]
    assert prompts_of(f"{folder}/**/*.csv", "train")  # alone its name says nothing


def test_a_test_split_is_taken_from_train_where_no_file_is_called_so(tmp_path):
    write_prompts(tmp_path / "train.jsonl", ["Hi", "ten", "five"])
    write_prompts(tmp_path / "val.jsonl", ["four"])
    assert prompts_of(tmp_path, "validation") == ["four"]
    assert len(prompts_of(tmp_path, "test")) == 1
    assert len(prompts_of(tmp_path, "train")) == 2


def test_a_file_beside_those_named_after_splits_is_one_line(tmp_path):
    for name in ("train.jsonl", "test.jsonl", "more.jsonl"):
        write_prompts(tmp_path / name, ["a"])
    with pytest.raises(DataError) as caught:
        prompts_of(tmp_path, "train")
    problem = f"is neither train, validation, test, as other files of {tmp_path} are; move it elsewhere."
    assert str(caught.value) == f"{tmp_path}/more.jsonl: {problem}"


# Larger than memory


def test_conversations_survive_the_disk(tmp_path):
    records = [
        Record(said(system("Be \"brief\".\n\nHuman: x"), SKY), "a", "b", {"where": "x"}),
        LabelledRecord(Conversation([Message(**SKY)], "a text of its own"), "a", 0.5, {}),
        Demonstration("\n\nHuman: Hi\n\nAssistant:", None, {}),
    ]  # fmt: skip
    with RecordWriter(tmp_path / "records") as writer:
        for record in records:
            writer.add(record)
    for found, expected in zip(DiskRecords(tmp_path / "records"), records, strict=True):
        assert type(found) is type(expected)
        assert same(found, *expected)


def test_large_sets_lie_on_disk_and_are_read_once(tmp_path, monkeypatch, caplog, cache):
    monkeypatch.setattr(store, "IN_MEMORY", 1000)
    rows = [{"prompt": [user(f"Question {i}")], "chosen": f"yes {i}", "rejected": "no"} for i in range(500)]
    path = write_table(tmp_path / "a.jsonl", [*rows, {**rows[0], "chosen": "no"}])
    with caplog.at_level(logging.WARNING, "envs"):
        sides = {split: Preferences(data=str(path), split=split).records for split in SPLITS}
    (folder,) = (cache / "files").iterdir()
    assert caplog.messages == [
        f"{path}: 500 records, kept on disk in {folder}",
        f"{path}:501: not used: chosen and rejected are the same",
    ]
    assert all(isinstance(records, DiskRecords) for records in sides.values())
    assert sum(map(len, sides.values())) == 500
    for split, records in sides.items():
        for record in records:
            (message,) = record.prompt.messages
            assert hashed_split(message.content) == split
    write_table(tmp_path / "b.jsonl", rows)
    code = (
        "import sys; from envs.preferences import store; store.IN_MEMORY = 1000\n"
        "from envs.preferences.task import Preferences\n"
        "store.RowParser.__call__ = None  # nothing is parsed again\n"
        "print(len(Preferences(data=sys.argv[1], split='test').records))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert run.stdout.strip() == str(len(sides["test"])), run.stderr
    assert "kept on disk" not in run.stderr
    assert f"{path}:501: not used" in run.stderr


def test_nothing_is_left_of_a_large_set_with_a_fault(tmp_path, monkeypatch, cache):
    monkeypatch.setattr(store, "IN_MEMORY", 10)
    path = write_table(tmp_path / "a.jsonl", [{"prompt": "x" * 100}] * 3 + [{"prompt": 1}])
    with pytest.raises(DataError, match=r"a.jsonl:4: field 'prompt' must be a string"):
        read_all(str(path), ())
    assert list((cache / "files").iterdir()) == []


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_file_larger_than_the_limit_is_read_in_little_memory(tmp_path, monkeypatch, name):
    monkeypatch.setattr(store, "IN_MEMORY", 2**18)
    path = tmp_path / name
    rows = [{"prompt": [user(f"{i} " + "word " * 300)], "completion": "answer " * 200} for i in range(3000)]
    size = sum(len(json.dumps(row)) for row in rows)
    write_table(path, rows)
    del rows
    tracemalloc.start()
    try:
        records = Preferences(data=str(path)).records
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert isinstance(records, DiskRecords)
    assert size > 8e6
    assert peak < 2e6
    assert len(records[0].prompt.messages[0].content) > 1500


# The hub


@pytest.fixture
def on_hub(monkeypatch, tmp_path):
    """Gives the data set whose splits are these rows; only what goes over the network is replaced."""
    from datasets import load_dataset

    hub.streamed.cache_clear()
    files = {}

    def streams(corpus, commit):
        assert (corpus.repository, corpus.folder, commit) == ("org/prefs", None, "0123abc")
        return load_dataset("json", data_files=files, streaming=True)

    monkeypatch.setattr(hub, "commit_of", lambda corpus: "0123abc")
    monkeypatch.setattr(hub, "open_streams", streams)

    def give(**splits):
        files.clear()
        for split, rows in splits.items():
            files[split] = str(write_table(tmp_path / f"hub_{split}.jsonl", rows))

    return give


def test_a_data_set_of_the_hub_is_read_and_kept(on_hub, cache):
    rows = [{"chosen": [user(q), assistant("a")], "rejected": [user(q), assistant("b")]} for q in ("five", "Hi", "ten")]
    on_hub(train_prefs=rows, test_prefs=rows[1:], extra=[{"x": 1}])
    sides = {split: Preferences(data="hub:org/prefs", split=split).records for split in SPLITS}
    assert {split: [r.prompt.messages[0].content for r in records] for split, records in sides.items()} == {
        "train": ["Hi", "ten"], "validation": ["five"], "test": ["Hi", "ten"],
    }  # fmt: skip
    assert isinstance(sides["train"], DiskRecords)
    assert sides["train"][0].meta["where"] == "hub:org/prefs/train_prefs:2"
    assert len(list((cache / "org--prefs" / "0123abc").iterdir())) == 1


def test_splits_of_the_hub_that_say_too_little_are_one_line(on_hub):
    rows = [{"prompt": "x"}]
    for splits in ({"train_sft": rows, "train_gen": rows, "test": rows}, {"one": rows, "two": rows}):
        on_hub(**splits)
        with pytest.raises(DataError) as caught:
            Preferences(data="hub:org/prefs", columns=f"prompt={'prompt'}", splits="all")
        assert str(caught.value) == (
            f"hub:org/prefs: has the splits {', '.join(splits)}, of which it is not clear which are train, validation, "
            "test; `hf download org/prefs --repo-type dataset --local-dir DIR`, and give those that are meant, as in "
            "--data 'DIR/data/*_prefs-*.parquet'."
        )


def test_a_wrong_name_on_the_hub_is_one_line():
    with pytest.raises(UserError) as caught:
        Preferences(data="hub:mine")
    assert str(caught.value) == "data 'hub:mine': expected 'hub:ORG/NAME' or 'hub:ORG/NAME/FOLDER'."


# Real data

HH = ROOT / "../shared/data/hh_rlhf_harmless/harmless-base.jsonl.gz"


@pytest.mark.skipif(not HH.exists(), reason="the HH-RLHF sample is not beside the repository")
def test_transcripts_of_hh_are_those_of_its_own_reader():
    from envs.hh.reader import read_hh

    found, expected = read_all(str(HH), ()).records, read_hh(HH).records
    assert [record[:3] for record in found] == [record[:3] for record in expected]


# The page

PAGE = (ROOT / "docs" / "tasks" / "preferences.md").read_text(encoding="utf-8")
FORM_ROWS, BAD_ROWS = (
    [line.strip() for line in PAGE.split(head)[1].split("\n## ")[0].splitlines() if line.startswith("    ")]
    for head in ("## The forms\n", "## Bad input\n")
)


@pytest.mark.parametrize("line", FORM_ROWS)
def test_the_rows_of_the_page_are_records(line):
    assert isinstance(parsed(json.loads(line)), (Record, LabelledRecord, Demonstration))


@pytest.mark.parametrize(("line", "problem"), list(zip(BAD_ROWS[::2], BAD_ROWS[1::2], strict=True)))
def test_the_faults_of_the_page_are_said_so(line, problem):
    if " not used: " in problem:
        where, reason = RowParser()(json.loads(line), "pairs.jsonl:1")
        assert f"{where}: not used: {reason}" == problem
    else:
        with pytest.raises(DataError) as caught:
            RowParser()(json.loads(line), "pairs.jsonl:1")
        assert str(caught.value) == problem
