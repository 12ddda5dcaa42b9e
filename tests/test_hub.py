"""Corpora of the hub, with the real `datasets` on local files: only what goes over the network is replaced."""

import copy
import gzip
import json
import logging
import os
import pickle
import random
import sys
import threading
import time
import tracemalloc
from itertools import islice

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_readers import COMPARISON, NEWS, POST, SHP, changed

from agents.train_sft import Options, train
from envs.bolt.task import BOLT
from envs.corpora import disk, hub
from envs.corpora.disk import DiskRecords, RecordWriter, cache_folder
from envs.corpora.hub import read_hub
from envs.corpora.records import Demonstration, LabelledRecord, Record
from envs.corpora.splits import Hub, Source
from envs.hh.reader import first_turn, parse_hh, read_hh
from envs.hh.task import HH
from envs.shp.reader import read_shp
from envs.shp.task import SHP as SHPTask
from envs.taskmaster.task import Taskmaster
from envs.tldr.reader import read_tldr
from envs.tldr.task import TLDR
from perlhf.errors import DataError, UserError

COMMIT = "0123abc"
REAL_COMMIT_OF = hub.commit_of


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """A cache of its own for each test, and no memory of what an earlier one read."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf_home"))
    forget()
    yield
    forget()


def forget():
    """As in a new process."""
    hub.read_hub.cache_clear()
    hub.streamed.cache_clear()


class FakeHub:
    """The two functions that ask the hub, over files of this machine.

    Attributes:
        files: of each split of the one repository that there is.
        asked: (repository, folder, branch or commit) of every question.
        offline: whether nothing answers.
    """

    def __init__(self):
        self.files, self.asked, self.offline, self.commit = {}, [], False, COMMIT

    def commit_of(self, corpus):
        self.asked.append((corpus.repository, corpus.folder, corpus.branch))
        if self.offline:
            raise ConnectionError("[Errno -2] Name or service not known\nand more")
        return self.commit

    def open_streams(self, corpus, commit):
        from datasets import load_dataset

        self.asked.append((corpus.repository, corpus.folder, commit))
        return load_dataset("json", data_files={k: str(v) for k, v in self.files.items()}, streaming=True)


@pytest.fixture
def fake(monkeypatch):
    fake = FakeHub()
    monkeypatch.setattr(hub, "commit_of", fake.commit_of)
    monkeypatch.setattr(hub, "open_streams", fake.open_streams)
    return fake


def write(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def talk(said, chosen="good", rejected="bad"):
    start = f"\n\nHuman: {said}\n\nAssistant:"
    return {"chosen": f"{start} {chosen}", "rejected": f"{start} {rejected}"}


def pair(post, high, split="train", **more):
    return changed(SHP, post_id=post, domain=f"askculinary_{split}", score_A=high, score_B=1, score_ratio=high, **more)


def moved(records, where):
    """Records without where they are from, which is checked beside them."""
    assert [r.meta["where"] for r in records] == where
    return [(type(r), r[:-1], {k: v for k, v in r.meta.items() if k != "where"}) for r in records]


# The same records as of files


def test_comparisons_are_those_of_the_files_and_their_own_split_decides(fake, tmp_path):
    train = [COMPARISON, NEWS, changed(COMPARISON, choice=0, extra={})]
    other = [
        changed(COMPARISON, split="valid1", **{"info.title": "é 🙂\u2028"}),
        changed(COMPARISON, split="valid2", choice=0),
        changed(COMPARISON, split="valid1", choice=0),
    ]
    fake.files = {"train": write(tmp_path / "a.json", *train), "validation": write(tmp_path / "b.json", *other)}
    place, files = "hub:openai/summarize_from_feedback/comparisons", read_tldr(tmp_path / "a.json").records
    more = read_tldr(tmp_path / "b.json").records
    for split, expected, where in (
        ("train", files, ["train:1", "train:3"]),
        ("validation", [more[0], more[2]], ["validation:1", "validation:3"]),
        ("test", [more[1]], ["validation:2"]),
    ):
        records = TLDR("hub", split).records
        assert isinstance(records, DiskRecords)
        assert moved(records, [f"{place}/{w}" for w in where]) == moved(expected, [r.meta["where"] for r in expected])
    assert TLDR("hub", "test").records[0][1:3] == ("car hit me, help", "How do I prove speeding?")
    repository, folder = "openai/summarize_from_feedback", "comparisons"
    assert fake.asked == [(repository, folder, "refs/convert/parquet"), (repository, folder, COMMIT)]


def test_pairs_of_comments_are_those_of_the_files(fake, tmp_path):
    rows = {
        "train": [SHP, pair("b", 3, human_ref_B="In cold water."), pair("a", 7, labels=1)],
        "validation": [pair("c", 2, "validation")],
        "test": [pair("d", 5, "test"), pair("e", 9, "test")],
    }
    fake.files = {split: write(tmp_path / f"{split}.json", *some) for split, some in rows.items()}
    for split, numbers in (("train", (1, 3)), ("validation", (1,)), ("test", (1, 2))):
        expected = read_shp(fake.files[split]).records
        where = [f"hub:stanfordnlp/SHP/{split}:{number}" for number in numbers]
        assert moved(SHPTask("hub", split).records, where) == moved(expected, [r.meta["where"] for r in expected])
    meta = SHPTask("hub").records[0].meta
    assert (meta["score_A"], meta["seconds_difference"], meta["score_ratio"]) == (340, 2.0, 2.0481927711)
    assert [type(meta[k]) for k in ("score_A", "seconds_difference", "split")] == [int, float, str]


def test_transcripts_are_those_of_the_files_and_a_part_of_train_is_validation(fake, tmp_path):
    # By hash "four" is test, "five" and "c" validation, the others train (tests/test_hh_reader.py).
    fake.files = {
        "train": write(tmp_path / "train.jsonl.gz", *map(talk, ("four", "five", "Hi", "ten"))),
        "test": write(tmp_path / "test.jsonl.gz", *map(talk, ("Bonjour", "c"))),
    }
    place, train, test = "hub:Anthropic/hh-rlhf/harmless-base", *(read_hh(fake.files[k]).records for k in fake.files)
    for split, expected, where in (
        ("train", [train[0], *train[2:]], ["train:1", "train:3", "train:4"]),
        ("validation", [train[1]], ["train:2"]),
        ("test", test, ["test:1", "test:2"]),
    ):
        records = HH("hub", split).records
        assert moved(records, [f"{place}/{w}" for w in where]) == moved(expected, [r.meta["where"] for r in expected])


def test_a_lone_split_says_nothing_and_the_records_do(fake, tmp_path):
    fake.files = {"train": write(tmp_path / "x.jsonl", *map(talk, ("four", "five", "Hi", "ten")))}
    said = {split: [first_turn(r.prompt) for r in HH("hub:me/mine", split).records] for split in hub.SPLITS}
    assert said == {"train": ["Hi", "ten"], "validation": ["five"], "test": ["four"]}
    fake.files = {"train": write(tmp_path / "y.jsonl", pair("a", 2), pair("b", 2, "test"), pair("c", 2, "validation"))}
    for split, post in (("train", "a"), ("validation", "c"), ("test", "b")):
        assert [r.meta["post_id"] for r in SHPTask("hub:me/mine", split).records] == [post]


def test_posts_are_demonstrations_of_the_split_that_they_are_in(fake, tmp_path):
    fake.files = {split: write(tmp_path / f"{split}.jsonl", changed(POST, id=split)) for split in hub.SPLITS}
    for split in hub.SPLITS:
        (record,) = TLDR("hub:me/posts", split).records
        meta = {"where": f"hub:me/posts/{split}:1", "id": split, "split": split}
        prompt = "SUBREDDIT: r/AskReddit\n\nTITLE: Why?\n\nPOST: It is\nso.\n\nTL;DR:"
        assert record == Demonstration(prompt, "Because.", meta)


def test_other_repositories_and_folders_are_taken_from_the_main_branch(fake, tmp_path):
    fake.files = {"train": write(tmp_path / "x.jsonl", COMPARISON)}
    for data, asked in (
        ("hub:me/mine", ("me/mine", None, None)),
        ("hub:me/mine/a/b", ("me/mine", "a/b", None)),
        (
            "hub:openai/summarize_from_feedback",
            ("openai/summarize_from_feedback", "comparisons", "refs/convert/parquet"),
        ),
    ):
        fake.asked.clear()
        assert len(TLDR(data).records) == 1
        assert fake.asked[0] == asked


@pytest.mark.parametrize(
    "data", ["hub:", "hub:mine", "hub:/mine", "hub:me/", "hub:me/mine/", "hub:a b/c", "hub:me/x:y"]
)
def test_a_name_of_another_form_is_one_line(fake, data):
    with pytest.raises(UserError) as caught:
        HH(data)
    assert str(caught.value) == f"data {data!r}: expected 'hub', 'hub:ORG/NAME' or 'hub:ORG/NAME/FOLDER'."
    assert fake.asked == []


# Folders that lie as the repositories do on the hub, opened by the function that opens those


@pytest.fixture
def opened(monkeypatch, tmp_path):
    """The real `open_streams`, with the folder "repository" in the place of every repository."""
    real = hub.open_streams
    monkeypatch.setattr(hub, "commit_of", lambda corpus: COMMIT)
    monkeypatch.setattr(
        hub, "open_streams", lambda corpus, commit: real(corpus._replace(repository=str(tmp_path / "repository")), None)
    )
    return tmp_path / "repository"


def test_the_parquet_branch_of_the_comparisons_is_read(opened):
    from datasets import Dataset, Features, Value

    text, number = Value("string"), Value("int32")
    features = Features(  # of the repository's own loading script, for "comparisons"
        {
            "info": dict.fromkeys(("id", "post", "title", "subreddit", "site", "article"), text),
            "summaries": [dict.fromkeys(("text", "policy", "note"), text)],
            "choice": number,
            "worker": text,
            "batch": text,
            "split": text,
            "extra": {"confidence": number},
        }
    )
    rows = {
        "train": [NEWS, COMPARISON, changed(COMPARISON, extra={"confidence": None})],
        "validation": [changed(COMPARISON, split="valid2"), changed(COMPARISON, split="valid1", choice=0)],
    }
    for split, some in rows.items():
        path = opened / "comparisons" / split / "0000.parquet"
        path.parent.mkdir(parents=True)
        Dataset.from_list(some, features=features).to_parquet(path)
    (opened / "axis/test").mkdir(parents=True)
    (opened / "axis/test/0000.parquet").write_bytes(b"not this one")
    place = "hub:openai/summarize_from_feedback/comparisons"
    where = {split: [r.meta["where"] for r in TLDR("hub", split).records] for split in hub.SPLITS}
    assert where == {
        "train": [f"{place}/train:2", f"{place}/train:3"],
        "validation": [f"{place}/validation:2"],
        "test": [f"{place}/validation:1"],
    }
    record = TLDR("hub").records[0]
    assert record[:3] == (
        "SUBREDDIT: r/legaladvice\n\nTITLE: Dutch law?\n\nPOST: A car hit me.\n\nTL;DR:",
        "How do I prove speeding?",
        "car hit me, help",
    )
    assert record.meta["choice"] == 1


def test_the_domains_of_shp_are_merged(opened):
    for domain in ("askculinary", "changemyview"):
        for split in hub.SPLITS:
            rows = [changed(SHP, post_id=f"{domain}{i}", domain=f"{domain}_{split}") for i in range(2)]
            write(opened / domain / f"{split}.json", *rows)
    expected = ["askculinary0", "askculinary1", "changemyview0", "changemyview1"]
    for split in hub.SPLITS:
        assert [r.meta["post_id"] for r in SHPTask("hub", split).records] == expected
    records = SHPTask("hub:stanfordnlp/SHP/changemyview").records
    assert [r.meta["where"] for r in records] == [f"hub:stanfordnlp/SHP/changemyview/train:{n}" for n in (1, 2)]


def test_only_the_harmless_folder_is_read(opened):
    for folder in ("harmless-base", "helpful-base"):
        write(opened / folder / "train.jsonl.gz", talk("Hi", folder))
        write(opened / folder / "test.jsonl.gz", talk("Hi", folder), talk("ten", folder))
    assert [r.chosen for split in ("train", "test") for r in HH("hub", split).records] == ["harmless-base"] * 3
    assert HH("hub:Anthropic/hh-rlhf/helpful-base").records[0].chosen == "helpful-base"


# What is refused, what is left out


def test_a_bad_row_is_named_and_nothing_is_kept(fake, tmp_path):
    fake.files = {"train": write(tmp_path / "x.jsonl", SHP, changed(SHP, labels=0))}
    for _ in range(2):
        with pytest.raises(DataError) as caught:
            SHPTask("hub")
        problem = "labels 0 prefers B, but score_A is 340 and score_B 166."
        assert str(caught.value) == f"hub:stanfordnlp/SHP/train:2: {problem}"
        assert not list((tmp_path / "hf_home").rglob("*.jsonl"))
    fake.files = {"train": write(tmp_path / "y.jsonl", {**talk("Hi"), "rejected": None}, talk("Hi"))}
    with pytest.raises(DataError, match=r"^hub:me/mine/train:1: field 'rejected' must be a string, got NoneType\.$"):
        HH("hub:me/mine")
    fake.files = {"train": write(tmp_path / "z.jsonl", changed(SHP, post_id=None, score_A=None), SHP)}
    with pytest.raises(DataError, match=r"^hub:me/mine/train:1: field 'post_id' must be a string, got NoneType\.$"):
        SHPTask("hub:me/mine")


def test_what_is_not_used_is_reported_in_every_process(fake, tmp_path, caplog):
    same = talk("Hi", "same", "same")
    fake.files = {
        "train": write(tmp_path / "train.jsonl", talk("Hi"), *[same] * 12, talk("ten")),
        "extra": write(tmp_path / "extra.jsonl", talk("Hi")),
    }
    place = "hub:Anthropic/hh-rlhf/harmless-base"
    expected = [f"{place}: split 'extra' not used"]
    expected += [f"{place}/train:{row}: not used: chosen and rejected are the same" for row in range(2, 12)]
    expected += [f"{place}/train: 2 more not used: chosen and rejected are the same"]
    for _ in range(2):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "envs"):
            assert len(HH("hub").records) == 2
            HH("hub")
        assert caplog.messages == expected
        forget()


def test_an_empty_split_and_a_repository_of_other_splits_are_data_errors(fake, tmp_path):
    fake.files = {"train": write(tmp_path / "train.jsonl", talk("Hi"))}
    with pytest.raises(DataError, match=r"^hub:Anthropic/hh-rlhf/harmless-base: no records in split 'test'\.$"):
        HH("hub", "test")
    fake.files = {"prefs": tmp_path / "train.jsonl"}
    with pytest.raises(DataError, match=r"^hub:me/x: has no split named train, validation, test; it has prefs\.$"):
        HH("hub:me/x")


def test_the_options_of_shp_leave_out_the_same_pairs_as_in_files(fake, tmp_path, caplog):
    rows = [pair("a", 2), pair("b", 9), pair("a", 5), pair("a", 3), pair("a", 5), pair("c", 2)]
    fake.files = {"train": write(tmp_path / "x.json", *rows)}

    def numbers(**options):
        records = gym.make("perlhf/SHP-v0", data="hub", **options).unwrapped.task.records
        assert [r[1:3] for r in records] == [r[1:3] for r in read_shp(fake.files["train"], **options).records]
        return [int(r.meta["where"].rpartition(":")[2]) for r in records]

    assert numbers() == [1, 2, 3, 4, 5, 6]
    assert numbers(min_score_ratio=3) == [2, 3, 4, 5]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "envs"):
        assert numbers(max_pairs_per_post=2) == [2, 3, 5, 6]
    reason = "its post has 2 pairs of a score_ratio as high or higher"
    assert caplog.messages == [f"hub:stanfordnlp/SHP/train:{row}: not used: {reason}" for row in (1, 4)]
    assert numbers(min_score_ratio=3, max_pairs_per_post=1) == [2, 3]
    with pytest.raises(UserError, match="max_pairs_per_post must be at least 1, a whole number, got 0"):
        SHPTask("hub", max_pairs_per_post=0)


@pytest.mark.parametrize(
    ("task", "instead"),
    [(BOLT, "a jsonl file of threads or BOLT's XML"), (Taskmaster, "the reward files")],
)
def test_a_task_without_a_corpus_on_the_hub_says_what_to_give(task, instead):
    for data in ("hub", "hub:me/mine"):
        with pytest.raises(UserError) as caught:
            task(data=data)
        missing = f"{task.__name__} has no corpus on the Hugging Face hub"
        assert str(caught.value) == f"{missing}; give a path to {instead} as 'data', or 'miniature'."


# The library and the network


def test_without_the_extra_the_error_names_it(fake, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)  # what makes `import datasets` an ImportError
    with pytest.raises(UserError) as caught:
        HH("hub")
    assert str(caught.value) == "data 'hub' needs the library datasets: pip install 'perlhf[hub]'."
    assert fake.asked == []


def test_a_hub_that_does_not_answer_is_one_line(fake):
    fake.offline = True
    with pytest.raises(UserError) as caught:
        HH("hub")
    assert str(caught.value) == (
        "hub:Anthropic/hh-rlhf/harmless-base: the Hugging Face hub does not answer "
        "(ConnectionError: [Errno -2] Name or service not known); connect, or give a path as 'data'."
    )


def test_the_offline_switch_of_the_library_is_one_line(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        UserError, match=r"^hub:stanfordnlp/SHP: the Hugging Face hub does not answer \(OfflineMode"
    ) as e:
        SHPTask("hub")
    assert str(e.value).isprintable(), "not one line"


def test_the_offline_switch_of_the_library_holds_on_to_what_is_on_disk(fake, monkeypatch, tmp_path):
    import huggingface_hub.constants

    fake.files = {"train": write(tmp_path / "x.jsonl", SHP)}
    SHPTask("hub")
    forget()
    monkeypatch.setattr(hub, "commit_of", REAL_COMMIT_OF)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert len(SHPTask("hub").records) == 1


def refusal(name, status):
    """An error as the hub's client makes it."""
    import httpx2
    from huggingface_hub import errors

    request = httpx2.Request("GET", "https://hub.invalid/x")
    return getattr(errors, name)("No.\nMore.", response=httpx2.Response(status, request=request))


@pytest.mark.parametrize(
    ("name", "status", "problem"),
    [
        ("RepositoryNotFoundError", 404, "no such data set on the Hugging Face hub; mind the name, or log in with `hf"),
        ("GatedRepoError", 403, "is gated; accept its terms on its page, then log in with `hf auth login`."),
        ("RevisionNotFoundError", 404, "this data set has no branch 'refs/convert/parquet' on the Hugging Face hub."),
        ("HfHubHTTPError", 500, "the Hugging Face hub does not answer (HfHubHTTPError: No.); connect, or give a path"),
    ],
)
def test_a_refusal_is_one_line(monkeypatch, name, status, problem):
    def refuse(*_, **__):
        raise refusal(name, status)

    monkeypatch.setattr("huggingface_hub.dataset_info", refuse)
    with pytest.raises(UserError) as caught:
        TLDR("hub")
    assert str(caught.value).startswith(f"hub:openai/summarize_from_feedback/comparisons: {problem}")
    assert str(caught.value).isprintable(), "not one line"


def test_the_client_is_asked_for_the_branch_and_the_library_for_the_commit(monkeypatch, tmp_path):
    asked = []

    def dataset_info(repository, *, revision, timeout):
        asked.append((repository, revision, timeout))
        return type("Info", (), {"sha": COMMIT})

    def load_dataset(repository, **settings):
        asked.append((repository, settings))
        raise FileNotFoundError("no files\nhere")

    monkeypatch.setattr("huggingface_hub.dataset_info", dataset_info)
    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    with pytest.raises(UserError) as caught:
        HH("hub")
    place = "hub:Anthropic/hh-rlhf/harmless-base"
    assert str(caught.value) == f"{place}: the hub does not give its rows (FileNotFoundError: no files)."
    settings = {"data_dir": "harmless-base", "revision": COMMIT, "streaming": True}
    assert asked == [("Anthropic/hh-rlhf", None, 10), ("Anthropic/hh-rlhf", settings)]
    assert list((tmp_path / "hf_home/perlhf/Anthropic--hh-rlhf" / COMMIT).iterdir()) == []


# What is kept on disk


def streams(rows, **others):
    return lambda corpus, commit: {"train": rows(), **others}


def test_what_was_streamed_is_read_from_disk_the_next_time(fake, tmp_path):
    fake.files = {"train": write(tmp_path / "x.jsonl", *map(talk, ("Hi", "ten")))}
    first = list(HH("hub").records)
    forget()
    fake.files = {}
    assert list(HH("hub").records) == first
    assert [asked[2] for asked in fake.asked] == [None, COMMIT, None], "opened once"
    fake.offline = True
    forget()
    assert list(HH("hub").records) == first
    fake.offline, fake.commit, fake.files = False, "4567def", {"train": write(tmp_path / "y.jsonl", talk("Hello2"))}
    forget()
    assert [first_turn(r.prompt) for r in HH("hub").records] == ["Hello2"], "a newer commit is streamed"


def test_offline_the_newest_commit_on_disk_is_taken_and_said(fake, tmp_path, caplog):
    for age, commit in ((100, "aaa"), (300, "bbb"), (200, "ccc")):
        fake.commit, fake.files = commit, {"train": write(tmp_path / f"{commit}.jsonl", talk("Hi", commit))}
        forget()
        HH("hub")
        (folder,) = (tmp_path / "hf_home/perlhf/Anthropic--hh-rlhf" / commit).iterdir()
        os.utime(folder, (10**9 - age, 10**9 - age))
    forget()
    caplog.clear()
    fake.offline = True
    with caplog.at_level(logging.WARNING, "envs"):
        assert HH("hub").records[0].chosen == "aaa"
    place = "hub:Anthropic/hh-rlhf/harmless-base"
    assert caplog.messages == [f"{place}: the hub does not answer; using commit aaa from disk."]
    with pytest.raises(UserError, match="does not answer"):
        HH("hub:Anthropic/hh-rlhf/helpful-base")  # another folder is another corpus


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ConnectionError("gone\naway")])
def test_what_was_interrupted_is_streamed_again(fake, tmp_path, monkeypatch, error):
    def broken():
        yield talk("Hi")
        yield talk("ten")
        raise error

    monkeypatch.setattr(hub, "open_streams", streams(broken))
    with pytest.raises((KeyboardInterrupt, DataError)) as caught:
        HH("hub")
    if caught.type is DataError:
        place = "hub:Anthropic/hh-rlhf/harmless-base/train:3"
        assert str(caught.value) == f"{place}: the hub does not give this row (ConnectionError: gone)."
    assert not [path for path in (tmp_path / "hf_home").rglob("*") if path.is_file() and ".locks" not in path.parts]
    monkeypatch.setattr(hub, "open_streams", streams(lambda: map(talk, ("Hi", "ten", "Hi"))))
    assert len(HH("hub").records) == 3


def test_a_part_that_a_killed_process_left_does_not_pass_for_whole(fake, tmp_path):
    fake.files = {"train": write(tmp_path / "x.jsonl", talk("Hi"))}
    left = tmp_path / "hf_home/perlhf/Anthropic--hh-rlhf" / COMMIT / ".part-left"
    left.mkdir(parents=True)
    (left / "train.jsonl").write_text("[")
    assert len(HH("hub").records) == 1
    fake.offline = True
    forget()
    assert len(HH("hub").records) == 1


def test_what_two_want_at_once_is_streamed_once(fake, tmp_path, monkeypatch):
    found, streamed, both_are_there = [], [], threading.Barrier(2)

    def slow():
        streamed.append(1)
        time.sleep(0.2)
        yield from map(talk, ("Hi", "ten"))

    def read():
        both_are_there.wait(60)
        # Past the cache of this process, as two processes are.
        found.append(list(DiskRecords(hub.streamed.__wrapped__(HH.source, "hub") / "train.jsonl")))

    monkeypatch.setattr(hub, "open_streams", streams(slow))
    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 2
    assert found[0] == found[1]
    assert len(streamed) == 1  # the other one waited
    assert len(found[0]) == 2
    assert len(list((tmp_path / "hf_home/perlhf/Anthropic--hh-rlhf" / COMMIT).iterdir())) == 1


def test_what_is_kept_depends_on_the_code_of_the_readers(fake, tmp_path, monkeypatch):
    fake.files = {"train": write(tmp_path / "x.jsonl", talk("Hi"))}
    HH("hub")
    readers = tmp_path / "readers"
    readers.mkdir()
    (readers / "hh.py").write_text("# another")
    monkeypatch.setattr(disk, "__file__", str(readers / "disk.py"))
    forget()
    HH("hub")
    assert len(list((tmp_path / "hf_home/perlhf/Anthropic--hh-rlhf" / COMMIT).iterdir())) == 2


def test_without_hf_home_the_cache_is_in_the_home_folder(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "hf_home/perlhf"
    monkeypatch.delenv("HF_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache/perlhf"


# The sequence


ROWS = 20_000


def test_neither_the_stream_nor_the_sequence_holds_the_records(fake, tmp_path, monkeypatch):
    alive = {"made": 0}

    def rows():
        for number in range(ROWS):
            alive["made"] += 1
            # One row more than the records parsed so far: nothing is fetched ahead.
            assert alive["made"] == alive["parsed"] + 1
            yield talk(f"{number}", "x" * 500, "y" * 500)

    def parse(row, where):
        alive["parsed"] += 1
        return parse_hh(row, where)

    alive["parsed"] = 0
    monkeypatch.setattr(hub, "open_streams", streams(rows))
    source = Source(read_hh, lambda record: "train", (), "", named=True, hub=Hub(parse, "me/mine"))
    tracemalloc.start()
    records = read_hub(source, "hub", "train")
    assert (len(records), alive["parsed"]) == (ROWS, ROWS)
    assert sum(len(record.chosen) for record in records) == 500 * ROWS
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The texts are 20 MB. The spans are 16 bytes a record, 0.3 MB, and a second time while they are made.
    assert records.spans.nbytes == 16 * ROWS
    assert now < 2e6
    assert peak < 4e6


@given(
    st.lists(
        st.builds(Record, *[st.text()] * 3, st.fixed_dictionaries({"where": st.text(), "n": st.integers()}))
        | st.builds(
            LabelledRecord, st.text(), st.text(), st.sampled_from([0.0, 1.0]), st.just({"where": "x", "a": [1]})
        )
        | st.builds(Demonstration, st.text(), st.none() | st.text(), st.just({"where": "x", "ratio": 2.0481927711})),
        max_size=8,
    )
)
@settings(max_examples=200)
def test_any_records_come_back_as_they_were(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("disk") / "records.jsonl"
    with RecordWriter(path) as writer:
        for record in records:
            writer.add(record)
    on_disk = DiskRecords(path)
    assert list(on_disk) == records
    assert [type(r) for r in on_disk] == [type(r) for r in records]
    assert [on_disk[i] for i in range(-len(records), 0)] == records
    for part in (slice(None), slice(1, 3), slice(None, None, -2), slice(5, 100)):
        assert on_disk[part] == records[part]
    for index in (len(records), -len(records) - 1):
        with pytest.raises(IndexError):
            on_disk[index]


@pytest.fixture
def hundred(fake, tmp_path):
    fake.files = {"train": write(tmp_path / "x.jsonl", *[pair("p", 2, history=f"q{i}") for i in range(100)])}
    return SHPTask("hub").records


def test_copies_and_pickles_are_the_same_records(hundred):
    task = SHPTask("hub", max_pairs_per_post=50)
    for twin in (copy.deepcopy(task), pickle.loads(pickle.dumps(task))):
        assert list(twin.records) == list(task.records) == hundred[:50]
        assert twin.start(np.random.default_rng(0), {"index": np.int64(3)}) == 3
    assert len(pickle.dumps(hundred)) < 16 * 100 + 1000


def test_threads_read_the_same_records(hundred):
    expected, wrong = list(hundred), []

    def read(seed):
        rng = random.Random(seed)
        for index in (rng.randrange(100) for _ in range(300)):
            if hundred[index] != expected[index]:
                wrong.append(index)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_order_is_that_of_the_hub(hundred):
    assert [r.prompt for r in hundred] == [f"POST: q{i}\n\nCOMMENT:" for i in range(100)]


# In use


def test_an_env_over_the_hub_plays_its_records(fake, tmp_path):
    fake.files = {"train": write(tmp_path / "x.jsonl", SHP)}
    env = gym.make("perlhf/SHP-v0", data="hub", reward="rewards.functions:length_penalty")
    observation, _ = env.reset(seed=0)
    assert observation == {"prompt": "POST: How do I peel an egg?\n\nCOMMENT:"}
    assert env.unwrapped.oracle() == "In cold water."
    _, reward, terminated, _, info = env.step("any")
    assert (reward, terminated, info) == (0.0, True, {})  # these data have no judge, so no gold
    twin = pickle.loads(pickle.dumps(env.unwrapped))
    assert twin.reset(seed=0)[0] == observation
    vector = gym.make_vec("perlhf/SHP-v0", num_envs=3, data="hub", reward="rewards.functions:length_penalty")
    assert vector.reset(seed=0)[0]["prompt"] == (observation["prompt"],) * 3
    assert [asked[2] for asked in fake.asked].count(COMMIT) == 1, "streamed once for all"


@pytest.mark.parametrize(
    ("env", "rows"),
    [
        ("TLDR-v0", {"train": [COMPARISON] * 9, "validation": [changed(COMPARISON, split="valid2")] * 2}),
        ("HH-v0", {"train": [talk(w) for w in ("Hi", "ten", "Hi")], "test": [talk("Hello")]}),
        ("SHP-v0", {"train": [SHP] * 9, "test": [changed(SHP, domain="askculinary_test")] * 2}),
    ],
)
def test_fine_tuning_takes_the_hub(fake, tmp_path, env, rows):
    fake.files = {split: write(tmp_path / f"{split}.jsonl", *some) for split, some in rows.items()}
    folder = tmp_path / "run"
    train(Options(env=env, data="hub", output_dir=str(folder), batch_size=4, threads=1))
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["data"], summary["records"]) == ("hub", len(rows["train"]))
    assert "data: hub\n" in (folder / "config.yaml").read_text()


def test_the_lazy_stream_of_the_library_is_what_is_iterated(fake, tmp_path):
    fake.files = {"train": write(tmp_path / "x.jsonl", *[talk(str(i)) for i in range(5)])}
    rows = fake.open_streams(HH.source.hub, COMMIT)["train"]
    assert not hasattr(rows, "__len__")
    assert [row for row, _ in islice(hub.numbered_rows(rows, "p"), 2)] == [talk("0"), talk("1")]
