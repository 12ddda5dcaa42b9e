"""The reader of HH-RLHF's own files, and how its records are split."""

import gzip
import json
import logging
import re
from pathlib import Path

import gymnasium as gym
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.corpora.records import Record
from envs.hh.reader import first_turn, read_hh, split_of
from envs.hh.task import HH
from perlhf.errors import DataError

REAL = Path(__file__).parents[1] / "../shared/data/hh_rlhf_harmless/harmless-base.jsonl.gz"

HI = "\n\nHuman: Hi\n\nAssistant:"


def row(chosen, rejected, **more):
    return json.dumps({"chosen": chosen, "rejected": rejected, **more})


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(f"{r}\n" for r in rows).encode("utf-8")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


# One row


@pytest.mark.parametrize("name", ["hh.jsonl", "hh.jsonl.gz"])
def test_the_prompt_is_what_comes_before_the_answers(tmp_path, name):
    path = write(tmp_path / name, row(f"{HI} Hello!", f"{HI} Go away."))
    content = read_hh(path)
    assert content.skipped == []
    (record,) = content.records
    assert record[:3] == (HI, "Hello!", "Go away.")
    assert record.meta == {"where": f"{path}:1"}


def test_the_prompt_of_several_turns_ends_at_the_last_answer(tmp_path):
    talk = f"{HI} Hello!\n\nHuman: How do I cook rice?\n\nAssistant:"
    path = write(tmp_path / "hh.jsonl", row(f"{talk} Boil it.", f"{talk} No.\nNever."))
    assert read_hh(path).records[0][:3] == (talk, "Boil it.", "No.\nNever.")


@pytest.mark.parametrize(("chosen", "rejected"), [("", "Hello!"), ("Hello!", ""), ("Hello!", " \n ")])
def test_empty_responses_are_kept(tmp_path, chosen, rejected):
    path = write(tmp_path / "hh.jsonl", row(f"{HI} {chosen}", f"{HI} {rejected}"))
    assert read_hh(path).records[0][:3] == (HI, chosen, rejected.strip())


def test_further_fields_are_ignored(tmp_path):
    path = write(tmp_path / "hh.jsonl", row(f"{HI} a", f"{HI} b", synthetic=True))
    assert len(read_hh(path).records) == 1


def test_equal_responses_are_reported_and_not_used(tmp_path):
    path = write(tmp_path / "hh.jsonl", row(f"{HI} a", f"{HI} b"), row(f"{HI} same", f"{HI} same "))
    content = read_hh(path)
    assert [r.chosen for r in content.records] == ["a"]
    assert content.skipped == [(f"{path}:2", "chosen and rejected are the same")]


def test_different_prompts_are_reported_and_not_used(tmp_path):
    other = "\n\nHuman: Ho\n\nAssistant:"
    longer = f"{HI} a\n\nHuman: And?\n\nAssistant:"
    path = write(
        tmp_path / "hh.jsonl",
        row(f"{HI} a", f"{other} b"),
        row(f"{HI} a", f"{HI} b"),
        row(f"{HI} a", f"{longer} b"),
    )
    content = read_hh(path)
    reason = "chosen and rejected do not share the prompt up to the last Assistant turn"
    assert content.skipped == [(f"{path}:1", reason), (f"{path}:3", reason)]
    assert len(content.records) + len(content.skipped) == 3


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (row("\n\nHuman: Hi", f"{HI} b"), r"field 'chosen' has no '\n\nAssistant:' turn."),
        (row(f"{HI} a", "Hello!"), r"field 'rejected' has no '\n\nAssistant:' turn."),
        (json.dumps({"chosen": f"{HI} a"}), "no field 'rejected'; got 'chosen'."),
        (json.dumps({"chosen": f"{HI} a", "rejected": None}), "field 'rejected' must be a string, got NoneType."),
        (row(f"{HI} \ud800", f"{HI} b"), "field 'chosen' holds a lone surrogate."),
        (row(f"{HI} \0", f"{HI} b"), "field 'chosen' holds a NUL character."),
        ('{"chosen": "a", "chosen": "b"}', "key 'chosen' is given twice."),
        ("[]", "expected a JSON object, got list."),
        ("", "blank line; every line holds one JSON object."),
    ],
)
def test_a_row_of_another_form_stops_with_file_and_line(tmp_path, bad, problem):
    path = write(tmp_path / "hh.jsonl", row(f"{HI} a", f"{HI} b"), bad)
    with pytest.raises(DataError) as caught:
        read_hh(path)
    assert str(caught.value) == f"{path}:2: {problem}"


@pytest.mark.parametrize(
    "other",
    [
        {"prompt": "Hi", "chosen": "Hello!", "rejected": "Go away."},
        {"chosen": "Hi there", "rejected": "Hi you"},
        {"chosen": [{"role": "assistant", "content": "Hello!"}], "rejected": f"{HI} b"},
        {"prompt": "Hi", "completion": "Hello!"},
        {"messages": [{"role": "user", "content": "Hi"}]},
    ],
    ids=" ".join,
)
def test_preference_data_of_other_forms_are_said_to_be_for_another_env(tmp_path, other):
    path = write(tmp_path / "hh.jsonl", row(f"{HI} a", f"{HI} b"), json.dumps(other))
    with pytest.raises(DataError) as caught:
        read_hh(path)
    assert str(caught.value) == (
        f"{path}:2: no transcripts of HH-RLHF, with a '\\n\\nAssistant:' turn in 'chosen' and 'rejected'; "
        f"preference data of other forms are read by --env Preferences-v0. Got {', '.join(map(repr, other))}."
    )


@pytest.mark.parametrize("name", ["pairs.parquet", "pairs.csv"])
def test_files_of_another_kind_are_said_to_be_for_another_env(tmp_path, name):
    (tmp_path / name).write_bytes(b"PAR1")
    with pytest.raises(DataError) as caught:
        HH(data=str(tmp_path / name))
    hint = "--env Preferences-v0 reads such files of preference data."
    assert str(caught.value) == f"{tmp_path / name}: is not HH-RLHF's jsonl(.gz) file; {hint}"


def test_a_file_without_a_single_pair_is_refused(tmp_path):
    with pytest.raises(DataError, match="no preference pairs in 0 rows"):
        read_hh(write(tmp_path / "empty.jsonl"))
    with pytest.raises(DataError, match="no preference pairs in 1 rows"):
        read_hh(write(tmp_path / "same.jsonl", row(f"{HI} a", f"{HI} a")))


def test_a_damaged_file_is_a_data_error_or_fully_accounted_for(tmp_path):
    talk = f"{HI} Hé 🙂!\n\nHuman: More?\n\nAssistant:"
    rows = [row(f"{HI} a{i}", f"{HI} b{i}") for i in range(4)]
    rows += [json.dumps({"chosen": f"{talk} Yes", "rejected": f"{talk} 漢字"}, ensure_ascii=False), rows[0]]
    rows += [row(f"{HI} same", f"{HI} same")]
    sound = {name: write(tmp_path / f"sound{name}", *rows).read_bytes() for name in (".jsonl", ".jsonl.gz")}

    @given(
        st.sampled_from(sorted(sound)),
        st.floats(0, 1),
        st.sampled_from(["change", "delete", "insert"]),
        st.binary(min_size=1, max_size=6),
    )
    @settings(max_examples=1000)
    def check(name, place, damage, noise):
        path, content = tmp_path / f"damaged{name}", sound[name]
        at = int(place * (len(content) - 1))
        dropped = {"change": 1, "delete": len(noise), "insert": 0}[damage]
        added = {"change": noise[:1], "delete": b"", "insert": noise}[damage]
        content = content[:at] + added + content[at + dropped :]
        path.write_bytes(content)
        try:
            read = read_hh(path)
        except DataError as error:
            problem, read = str(error), None
        if read is None:
            assert re.match(re.escape(str(path)) + r":[1-9]\d*: ", problem)
            assert "\n" not in problem
        else:
            text = gzip.decompress(content) if name == ".jsonl.gz" else content
            lines = text.count(b"\n") + (not text.endswith(b"\n"))
            assert len(read.records) + len(read.skipped) == lines

    check()


# Splits


def test_the_first_turn_is_the_first_thing_the_human_says():
    assert first_turn("\n\nHuman:  Hi there \n\nAssistant: Yes?\n\nHuman: Bye\n\nAssistant:") == "Hi there"
    assert first_turn("\n\nHuman: Hi\n\nHuman: Ho\n\nAssistant:") == "Hi\n\nHuman: Ho"
    assert first_turn("no transcript") == "no transcript"


# The first byte of `printf %s WORD | sha256sum`: below 26 (1a) of 256 is test, below 52 (34) validation.
@pytest.mark.parametrize(
    ("said", "split"),
    [
        ("four", "test"),  # 04
        ("Hello", "test"),  # 18
        ("five", "validation"),  # 22
        ("c", "validation"),  # 2e
        ("Hi", "train"),  # 36
        ("ten", "train"),  # e4
    ],
)
def test_the_split_of_a_prompt_never_changes(said, split):
    for more in ("", " ok\n\nHuman: and then?\n\nAssistant:"):
        assert split_of(Record(f"\n\nHuman: {said}\n\nAssistant:{more}", "yes", "no", {})) == split


def records_of(path, split):
    return HH(data=str(path), split=split).records


def test_splits_of_one_file_share_no_first_turn_and_lose_nothing(tmp_path):
    rows = [
        row(f"\n\nHuman: q{i % 300}\n\nAssistant: a{i}", f"\n\nHuman: q{i % 300}\n\nAssistant: b") for i in range(600)
    ]
    path = write(tmp_path / "harmless.jsonl", *rows)
    sides = {split: records_of(path, split) for split in ("train", "validation", "test")}
    turns = {split: {first_turn(r.prompt) for r in records} for split, records in sides.items()}
    assert not turns["train"] & turns["validation"]
    assert not turns["train"] & turns["test"]
    assert not turns["validation"] & turns["test"]
    assert sorted(r.chosen for records in sides.values() for r in records) == sorted(f"a{i}" for i in range(600))
    assert 420 <= len(sides["train"]) <= 540  # 480 expected, sd 14 for pairs of rows


def test_the_corpus_own_test_file_is_the_test_split(tmp_path):
    def talk(said):
        return row(f"\n\nHuman: {said}\n\nAssistant: good", f"\n\nHuman: {said}\n\nAssistant: bad")

    folder = tmp_path / "hh-rlhf" / "harmless-base"
    write(folder / "train.jsonl.gz", *map(talk, ("four", "five", "Hi", "ten")))
    write(folder / "test.jsonl.gz", *map(talk, ("Bonjour", "c")))

    def said_in(split):
        return sorted(first_turn(r.prompt) for r in records_of(tmp_path / "hh-rlhf", split))

    assert said_in("test") == ["Bonjour", "c"]
    assert said_in("validation") == ["five"]
    assert said_in("train") == ["Hi", "four", "ten"]


def test_what_is_not_used_is_logged(tmp_path, caplog):
    path = write(tmp_path / "hh.jsonl", row(f"{HI} a", f"{HI} b"), row(f"{HI} same", f"{HI} same"))
    with caplog.at_level(logging.WARNING):
        records_of(path, "train")
    assert caplog.messages == [f"{path}:2: not used: chosen and rejected are the same"]


def test_an_empty_folder_and_an_empty_split_are_data_errors(tmp_path):
    with pytest.raises(DataError, match=r"no file named \*\.jsonl or \*\.jsonl\.gz in this folder"):
        records_of(tmp_path, "train")
    path = write(tmp_path / "hh.jsonl", row(f"{HI} a", f"{HI} b"))
    with pytest.raises(DataError, match="no records in split 'test'; give more prompts, or a folder with files named"):
        records_of(path, "test")


def test_an_env_over_a_file_plays_its_records(tmp_path):
    path = write(tmp_path / "hh.jsonl", row(f"{HI} Hello!", f"{HI} Go away."))
    env = gym.make("perlhf/HH-v0", data=str(path), reward="rewards.functions:length_penalty")
    observation, info = env.reset(seed=0)
    assert observation == {"prompt": HI}
    assert env.unwrapped.oracle() == "Hello!"
    _, reward, terminated, _, info = env.step("any")
    assert (reward, terminated, info) == (0.0, True, {})  # these data have no judge, so no gold


def test_gold_over_a_file_is_refused(tmp_path):
    path = write(tmp_path / "hh.jsonl", row(f"{HI} Hello!", f"{HI} Go away."))
    env = gym.make("perlhf/HH-v0", data=str(path), reward="gold")
    env.reset(seed=0)
    with pytest.raises(ValueError, match="reward 'gold': HH has no judge of its own for these data"):
        env.step("any")


# The real corpus


@pytest.mark.skipif(not REAL.exists(), reason="the HH-RLHF sample is not beside the repository")
def test_the_real_sample_is_fully_accounted_for():
    content = read_hh(REAL)
    assert len(content.records) + len(content.skipped) == 1800
    reason = "chosen and rejected do not share the prompt up to the last Assistant turn"
    assert content.skipped == [(f"{REAL}:{line}", reason) for line in (1255, 1689)]
    empty = [r for r in content.records if not (r.chosen and r.rejected)]
    assert [r.meta["where"] for r in empty] == [f"{REAL}:{line}" for line in (87, 517, 926, 1104)]
    assert all(r.rejected and not r.chosen for r in empty)
    for r in content.records:
        assert r.prompt.startswith("\n\nHuman:")
        assert r.prompt.endswith("\n\nAssistant:")


@pytest.mark.skipif(not REAL.exists(), reason="the HH-RLHF sample is not beside the repository")
def test_no_first_turn_of_the_real_sample_is_in_two_splits():
    sides = [{first_turn(r.prompt) for r in records_of(REAL, split)} for split in ("train", "validation", "test")]
    assert all(len(side) > 100 for side in sides)
    assert len(set.union(*sides)) == sum(map(len, sides))


def test_a_transcript_longer_than_the_spaces_admit_is_an_error(tmp_path):
    path = tmp_path / "long.jsonl"
    row = {"chosen": "\n\nHuman: Hi\n\nAssistant: " + "a" * 20_000, "rejected": "\n\nHuman: Hi\n\nAssistant: b"}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"long.jsonl:1: field 'chosen' has 200\d\d characters, more than 20000"):
        read_hh(path)
