"""The readers of TL;DR, SHP and message threads, on files made by hand in the original schemas."""

import copy
import json
import random
import re

import pytest
from damage import OTHER, damage_bytes, damage_fields
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.bolt.reader import parse_thread, read_bolt_xml, read_threads
from envs.corpora.records import Demonstration, Record, Skipped
from envs.corpora.splits import NotUsed, hashed_split
from envs.hh.reader import parse_hh
from envs.shp.reader import limit_pairs, parse_shp, read_shp
from envs.shp.task import SHP as SHPTask
from envs.tldr.reader import parse_comparison, parse_post, read_tldr
from perlhf.errors import DataError, UserError

COMPARISON = {
    "info": {"id": "t3_2vwp1w", "post": "A car hit me.", "title": "Dutch law?", "subreddit": "legaladvice"},
    "summaries": [
        {"text": " car hit me, help", "policy": "sup4_ppo_rm3_kl10", "note": "Unclear."},
        {"text": " How do I prove speeding? ", "policy": "ref", "note": None},
    ],
    "choice": 1,
    "worker": "ikNm",
    "batch": "batch9",
    "split": "train",
    "extra": {"confidence": 8},
}
NEWS = {**COMPARISON, "info": {"id": "167f", "site": "dailymail", "title": "Sent off", "article": "Newcastle .."}}
POST = {"id": "t3_1hxu8s", "subreddit": "r/AskReddit", "title": "Why?", "post": "It is\nso.", "summary": " Because. "}
SHP = {
    "post_id": "qt3nxl",
    "domain": "askculinary_train",
    "upvote_ratio": 0.98,
    "history": "How do I peel an egg?",
    "c_root_id_A": "hkh25sc",
    "c_root_id_B": "hkh25lp",
    "created_at_utc_A": 1636822112,
    "created_at_utc_B": 1636822110,
    "score_A": 340,
    "score_B": 166,
    "human_ref_A": "In cold water. ",
    "human_ref_B": "With care.",
    "labels": 1,
    "seconds_difference": 2.0,
    "score_ratio": 2.0481927711,
}
PAIR = {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello!", "rejected": "\n\nHuman: Hi\n\nAssistant: Go away."}
THREAD = {
    "id": "t1",
    "messages": [
        {"sender": "Ann", "text": "Lunch?\nToday", "time": "2012-03-04T12:00:00"},
        {"sender": "Bo", "text": "At one", "time": None},
    ],
    "summary": " Lunch at one. ",
}
XML = """<?xml version="1.0" encoding="UTF-8"?>
<conversation id="SMS_ENG_20120304.0001" medium="SMS">
  <messages>
    <message id="m0" date="2012-03-04 12:00" participant="101">
      <body>Lunch &amp; talk?</body>
    </message>
    <message id="m1" date="2012-03-04 12:01" participant="102"><body>At
one <emoticon/>é</body></message>
  </messages>
</conversation>
"""


def changed(row, **fields):
    """A copy of a row; "info.post" names a field of a field, "summaries.0" an item, and ... drops it."""
    row = copy.deepcopy(row)
    for path, value in fields.items():
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        place = row
        for part in parents:
            place = place[part]
        if value is ...:
            del place[last]
        else:
            place[last] = value
    return row


def write(path, *rows):
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


# What a sound row becomes


def test_a_comparison_is_a_prompt_with_the_chosen_summary_first(tmp_path):
    path = write(tmp_path / "batch3.json", COMPARISON)
    content = read_tldr(path)
    prompt = "SUBREDDIT: r/legaladvice\n\nTITLE: Dutch law?\n\nPOST: A car hit me.\n\nTL;DR:"
    meta = {"where": f"{path}:1", "id": "t3_2vwp1w", "split": "train", "policies": ["sup4_ppo_rm3_kl10", "ref"]}
    assert content.skipped == []
    assert content.records == [
        Record(prompt, "How do I prove speeding?", "car hit me, help", {**meta, "choice": 1}),
    ]


def test_choice_0_prefers_the_first_summary():
    record = parse_comparison(changed(COMPARISON, choice=0), "x:1")
    assert record[1:3] == ("car hit me, help", "How do I prove speeding?")


@pytest.mark.parametrize("subreddit", ["AskReddit", "r/AskReddit", "/r/AskReddit"])
def test_the_subreddit_may_come_with_its_prefix(subreddit):
    prompt = "SUBREDDIT: r/AskReddit\n\nTITLE: Why?\n\nPOST: It is\nso.\n\nTL;DR:"
    assert parse_post(changed(POST, subreddit=subreddit), "x:1").prompt == prompt


# `printf %s ID | sha256sum` starts with 04 (test), 22 (validation), e4 (train); below 1a is test, below 34 validation.
HASHED = [("four", "test"), ("five", "validation"), ("ten", "train")]


@pytest.mark.parametrize(("given", "split"), [("train", "train"), ("valid1", "validation"), ("valid2", "test")])
def test_the_splits_of_the_comparisons_have_our_names(given, split):
    assert parse_comparison(changed(COMPARISON, split=given), "x:1").meta["split"] == split


@pytest.mark.parametrize(("key", "split"), HASHED)
def test_without_a_given_split_the_id_decides(key, split):
    assert hashed_split(key) == split
    assert parse_comparison(changed(COMPARISON, split=..., **{"info.id": key}), "x:1").meta["split"] == split
    assert parse_comparison(changed(COMPARISON, split=None, **{"info.id": key}), "x:9").meta["split"] == split
    assert parse_post(changed(POST, id=key), "x:1").meta["split"] == split
    assert parse_shp(changed(SHP, domain="askculinary", post_id=key), "x:1").meta["split"] == split
    assert parse_thread(changed(THREAD, id=key), "x:1").meta["split"] == split


def test_a_split_that_the_caller_knows_is_taken(tmp_path):
    path = write(tmp_path / "valid.jsonl", POST)
    assert read_tldr(path).records[0].meta["split"] == "validation"  # OpenAI's name of the file
    for read, row in ((read_shp, SHP), (read_threads, THREAD)):
        path = write(tmp_path / "rows.jsonl", row)
        assert read(path, split="validation").records[0].meta["split"] == "validation"
    assert parse_post(changed(POST, split="valid"), "x:1").meta["split"] == "validation"


def test_news_and_equal_summaries_are_skipped_and_accounted_for(tmp_path):
    same = changed(COMPARISON, **{"summaries.0.text": "How do I prove speeding?"})
    # As the hub gives them: absent fields are null.
    filled = changed(NEWS, **{"info.post": None, "info.subreddit": None})
    post = changed(COMPARISON, **{"info.article": None, "info.site": None})
    path = write(tmp_path / "batch.json", NEWS, same, filled, post)
    content = read_tldr(path)
    news = "the summaries are of a CNN/DM article, not of a post"
    assert content.skipped == [
        (f"{path}:1", news),
        (f"{path}:2", "the two summaries are the same"),
        (f"{path}:3", news),
    ]
    assert [r.meta["where"] for r in content.records] == [f"{path}:4"]


def test_a_post_is_a_demonstration(tmp_path):
    path = write(tmp_path / "train.jsonl", POST, changed(POST, summary=" \n"))
    content = read_tldr(path)
    (item,) = content.records
    assert isinstance(item, Demonstration)
    assert item.response == "Because."
    assert item.meta == {"where": f"{path}:1", "id": "t3_1hxu8s", "split": "train"}
    assert content.skipped == [(f"{path}:2", "the summary is empty")]


def test_a_text_that_no_space_admits_is_skipped(tmp_path):
    rows = changed(SHP, history="x" * 100_000), changed(SHP, human_ref_B=LONG), changed(SHP, history=LONG)
    content = read_shp(write(tmp_path / "train.json", *rows))
    assert [r.meta["where"][-2:] for r in content.records] == [":3"]
    reason = "a post of over 100000 or a comment of over 20000 characters"
    assert [s.reason for s in content.skipped] == [reason] * 2


def test_a_pair_of_comments_is_a_record(tmp_path):
    path = write(tmp_path / "train.json", SHP, changed(SHP, labels=0, score_A=1, score_B=3, score_ratio=3))
    first, second = read_shp(path).records
    assert first[:3] == ("POST: How do I peel an egg?\n\nCOMMENT:", "In cold water.", "With care.")
    assert first.meta == {
        "where": f"{path}:1",
        "post_id": "qt3nxl",
        "domain": "askculinary_train",
        "split": "train",
        "score_A": 340,
        "score_B": 166,
        "score_ratio": 2.0481927711,
        "seconds_difference": 2.0,
    }
    assert second[1:3] == ("With care.", "In cold water.")


@pytest.mark.parametrize(("score_a", "score_b", "ratio"), [(340, 166, 2.05), (2, 0, 2.0), (5, -3, -1.7), (1, 0, 1.0)])
def test_ratios_may_be_rounded_and_those_of_low_scores_are_taken_as_given(score_a, score_b, ratio):
    row = changed(SHP, score_A=score_a, score_B=score_b, score_ratio=ratio)
    assert parse_shp(row, "x:1", min_score_ratio=-9).meta["score_ratio"] == ratio


def test_the_minimum_ratio_and_equal_comments_are_accounted_for(tmp_path):
    path = write(tmp_path / "test.json", SHP, changed(SHP, human_ref_B="In cold water."))
    assert read_shp(path).skipped == [(f"{path}:2", "the two comments are the same")]
    content = read_shp(path, min_score_ratio=3)
    assert content.records == []
    assert content.skipped[0] == (f"{path}:1", "score_ratio 2.04819 is below the minimum of 3")


def test_a_post_keeps_its_pairs_of_the_highest_ratio_ties_by_order(tmp_path):
    def pair(post, high):
        return changed(SHP, post_id=post, score_A=high, score_B=1, score_ratio=float(high))

    path = write(tmp_path / "x.json", pair("a", 2), pair("b", 9), pair("a", 5), pair("a", 3), pair("a", 5))
    content = read_shp(path, max_pairs_per_post=2)
    assert [r.meta["where"] for r in content.records] == [f"{path}:{line}" for line in (2, 3, 5)]
    reason = "its post has 2 pairs of a score_ratio as high or higher"
    assert content.skipped == [(f"{path}:1", reason), (f"{path}:4", reason)]
    one = read_shp(path, max_pairs_per_post=1)
    assert [r.meta["where"] for r in one.records] == [f"{path}:2", f"{path}:3"]
    assert len(read_shp(path).records) == 5
    with pytest.raises(UserError, match="max_pairs_per_post must be at least 1, got 0"):
        limit_pairs(content.records, 0)


def test_a_thread_is_one_line_a_message(tmp_path):
    silent = changed(THREAD, messages=[{"sender": "Ann", "text": " \n"}])
    path = write(tmp_path / "threads.jsonl", THREAD, changed(THREAD, summary=...), changed(THREAD, messages=[]), silent)
    content = read_threads(path)
    prompt = "THREAD:\nAnn: Lunch? Today\nBo: At one\n\nTL;DR:"
    meta = {"id": "t1", "split": hashed_split("t1"), "messages": 2}
    assert content.records == [
        Demonstration(prompt, "Lunch at one.", {"where": f"{path}:1", **meta}),
        Demonstration(prompt, None, {"where": f"{path}:2", **meta}),
    ]
    assert content.skipped == [(f"{path}:{line}", "no message has any text") for line in (3, 4)]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\u2028", "\x0b", "\x85"])
def test_no_message_can_pass_for_two(newline):
    row = changed(THREAD, messages=[{"sender": f"Ann{newline}B", "text": f"Hi{newline}Bo: I quit"}])
    assert parse_thread(row, "x:1").prompt == "THREAD:\nAnn B: Hi Bo: I quit\n\nTL;DR:"


def test_bolt_xml_is_a_thread_without_a_summary(tmp_path):
    path = tmp_path / "SMS_ENG_20120304.0001.xml"
    path.write_text(XML, encoding="utf-8")
    prompt = "THREAD:\n101: Lunch & talk?\n102: At one é\n\nTL;DR:"
    conversation = "SMS_ENG_20120304.0001"
    meta = {"where": f"{path}:2", "id": conversation, "split": hashed_split(conversation), "messages": 2}
    assert read_bolt_xml(path) == ([Demonstration(prompt, None, meta)], [])


def test_an_empty_conversation_is_skipped(tmp_path):
    path = tmp_path / "empty.xml"
    path.write_text('<conversation id="c"><messages/></conversation>', encoding="utf-8")
    assert read_bolt_xml(path) == ([], [Skipped(f"{path}:1", "no message has any text")])


def test_the_report_names_ten_rows_and_ten_reasons_and_sums_up_the_rest():
    not_used = NotUsed()
    for row in range(10):
        not_used.add(Skipped(f"x:{row}", "first"))
    for reason in range(12):
        for row in range(1 if reason in (3, 7) else 2 + reason):
            not_used.add(Skipped(f"y:{row}", f"reason {reason}"))
    by_count = [f"x: {2 + reason} more not used: reason {reason}" for reason in (11, 10, 9, 8, 6, 5, 4, 2, 1, 0)]
    assert not_used.lines("x") == [
        *[f"x:{row}: not used: first" for row in range(10)],
        *by_count,
        "x: 2 more not used for other reasons",
    ]
    assert NotUsed().lines("x") == []


# What is not of the format

LONG = "a" * 20_001
FAULTS = [
    (read_tldr, COMPARISON, {"info": ...}, "field 'info' must be an object, got nothing."),
    (read_tldr, COMPARISON, {"info": "x"}, "field 'info' must be an object, got 'x'."),
    (read_tldr, COMPARISON, {"info.post": ...}, "info: no field 'post'; got 'id', 'title', 'subreddit'."),
    (read_tldr, COMPARISON, {"info.id": 3}, "info: field 'id' must be a string, got int."),
    (read_tldr, COMPARISON, {"info.post": LONG}, "info: field 'post' has 20001 characters, more than 20000."),
    (read_tldr, NEWS, {"info.article": 1}, "info: field 'article' must be a string, got int."),
    (read_tldr, COMPARISON, {"summaries": {}}, "field 'summaries' must be an array, got dict."),
    (read_tldr, COMPARISON, {"summaries.1": ...}, "field 'summaries' must hold two summaries, got 1."),
    (read_tldr, COMPARISON, {"summaries.1": "x"}, "summaries[1] must be an object, got 'x'."),
    (read_tldr, COMPARISON, {"summaries.0.text": 1}, "summaries[0]: field 'text' must be a string, got int."),
    (read_tldr, COMPARISON, {"summaries.0.policy": "\0"}, "summaries[0]: field 'policy' holds a NUL character."),
    (read_tldr, COMPARISON, {"choice": 2}, "field 'choice' must be 0 or 1, got 2."),
    (read_tldr, COMPARISON, {"choice": True}, "field 'choice' must be a whole number, got True."),
    (
        read_tldr,
        COMPARISON,
        {"choice": 10**30},
        "field 'choice' must be a whole number, got an integer of more than 64 bits.",
    ),
    (
        read_tldr,
        COMPARISON,
        {"split": "dev"},
        "field 'split' must be one of train, valid1, valid2, got 'dev'.",
    ),
    (read_tldr, POST, {"summary": ...}, "no field 'summary'; got 'id', 'subreddit', 'title', 'post'."),
    (read_tldr, POST, {"title": None}, "field 'title' must be a string, got NoneType."),
    (read_tldr, POST, {"post": "\ud800"}, "field 'post' holds a lone surrogate."),
    (read_shp, SHP, {"human_ref_A": 1}, "field 'human_ref_A' must be a string, got int."),
    (read_shp, SHP, {"labels": 2}, "field 'labels' must be 1 (A preferred) or 0 (B preferred), got 2."),
    (read_shp, SHP, {"labels": 0}, "labels 0 prefers B, but score_A is 340 and score_B 166."),
    (read_shp, SHP, {"score_B": 340}, "score_A and score_B are both 340, so neither comment is preferred."),
    (read_shp, SHP, {"score_A": 34.5}, "field 'score_A' must be a whole number, got 34.5."),
    (read_shp, SHP, {"score_ratio": 3}, "score_ratio is 3, but the scores 340 and 166 give 2.04819."),
    (read_shp, SHP, {"score_ratio": "2"}, "field 'score_ratio' must be a finite number, got '2'."),
    (
        read_shp,
        SHP,
        {"seconds_difference": 10**400},
        "field 'seconds_difference' must be a finite number, got an integer of more than 64 bits.",
    ),
    (read_threads, THREAD, {"id": 1}, "field 'id' must be a string, got int."),
    (read_threads, THREAD, {"messages": "x" * 99}, f"field 'messages' must be an array, got '{'x' * 56}...."),
    (read_threads, THREAD, {"messages.1": []}, "messages[1] must be an object, got list."),
    (read_threads, THREAD, {"messages.1.sender": " "}, "messages[1]: field 'sender' is empty."),
    (read_threads, THREAD, {"messages.0.text": ...}, "messages[0]: no field 'text'; got 'sender', 'time'."),
    (
        read_threads,
        THREAD,
        {"messages.0.time": "noon"},
        "messages[0]: field 'time' must be ISO 8601 such as 2012-03-04T12:00:00, got 'noon'.",
    ),
    (read_threads, THREAD, {"summary": 3}, "field 'summary' must be a string, got int."),
    (
        read_threads,
        THREAD,
        {"messages": [{"sender": "A", "text": "a" * 19_996}] * 5},
        "the thread has 100015 characters, more than 100000.",
    ),
]


@pytest.mark.parametrize(("read", "sound", "fault", "problem"), FAULTS)
def test_a_row_of_another_form_stops_with_file_and_line(tmp_path, read, sound, fault, problem):
    path = write(tmp_path / "data.jsonl", sound, changed(sound, **fault))
    with pytest.raises(DataError) as caught:
        read(path)
    assert str(caught.value) == f"{path}:2: {problem}"


@pytest.mark.parametrize("read", [read_tldr, read_shp, read_threads])
def test_an_empty_file_and_a_missing_one_are_data_errors(tmp_path, read):
    with pytest.raises(DataError, match=r"empty\.jsonl:1: the file has no rows\."):
        read(write(tmp_path / "empty.jsonl"))
    with pytest.raises(DataError, match=r"missing\.jsonl: cannot be read \(No such file"):
        read(tmp_path / "missing.jsonl")


BOMB = '<!DOCTYPE b [<!ENTITY a "aa"><!ENTITY c "&a;&a;">]>\n'
XML_FAULTS = {
    "doctype": (XML.replace("<conv", '<!DOCTYPE conversation SYSTEM "file:///etc/passwd">\n<conv'), 2, "has a DOCTYPE"),
    "entities": (XML.replace("<conv", f"{BOMB}<conv").replace("&amp;", "&c;"), 2, "has a DOCTYPE, which is refused"),
    "unknown entity": (XML.replace("&amp;", "&c;"), 5, "not XML at column 19: undefined entity"),
    "cut short": (XML[:-20], 9, "not XML at column 3: unclosed token."),
    "wrong tag": (XML.replace("</body>", "</bod>"), 5, "not XML at column 32: mismatched tag."),
    "empty file": ("", 1, "not XML at column 1: no element found"),
    "other root": (XML.replace("conversation", "talk"), 2, "expected <conversation>, got <talk>."),
    "no id": (
        XML.replace('id="SMS_ENG_20120304.0001"', ""),
        2,
        "<conversation> has no attribute 'id'; got ['medium'].",
    ),
    "no messages": (XML.replace("messages>", "turns>"), 2, "<conversation> must hold one <messages>, got 0."),
    "other child": (XML.replace("</messages>", "<x/></messages>"), 9, "expected <message>, got <x>."),
    "no body": (XML.replace("body>", "text>"), 4, "<message> must hold one <body>, got 0."),
    "no participant": (
        XML.replace('participant="102"', ""),
        7,
        "<message> has no attribute 'participant'; got ['id', ",
    ),
    "empty participant": (XML.replace('"102"', '" "'), 7, "field 'sender' is empty."),
    "long body": (XML.replace("At\n", f"{LONG}\n"), 7, "field 'text' has 20007 characters, more than 20000."),
    "NUL": (XML.replace("At\n", "&#0;\n"), 7, "not XML at column 70: reference to invalid character number"),
}


@pytest.mark.parametrize("fault", XML_FAULTS)
def test_xml_of_another_form_stops_with_file_and_line(tmp_path, fault):
    text, line, problem = XML_FAULTS[fault]
    path = tmp_path / "bolt.xml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_bolt_xml(path)
    assert str(caught.value).startswith(f"{path}:{line}: {problem}")
    assert str(caught.value).isprintable(), "not one line"


def test_xml_that_is_not_utf8_or_not_there_is_a_data_error(tmp_path):
    path = tmp_path / "bolt.xml"
    path.write_bytes(XML.encode("latin-1"))
    with pytest.raises(DataError, match=r"bolt\.xml:8: not UTF-8 at byte 310 of the file\."):
        read_bolt_xml(path)
    path.write_bytes(XML.encode("utf-16"))
    with pytest.raises(DataError, match=r"bolt\.xml:1: not UTF-8 at byte 0"):
        read_bolt_xml(path)
    with pytest.raises(DataError, match=r"no\.xml:1: cannot be read \(No such file"):
        read_bolt_xml(tmp_path / "no.xml")


# Damaged files


def outcome(read, path):
    """The content of a file, or None for one that is refused properly."""
    problem = ""
    try:
        return read(path)
    except DataError as error:
        problem = str(error)
    assert re.match(re.escape(str(path)) + r":[1-9]\d*: \S", problem)
    assert problem.isprintable(), "not one line"
    return None


@pytest.mark.parametrize(
    ("read", "rows"),
    [
        (read_tldr, [COMPARISON, NEWS, changed(COMPARISON, choice=0, split=...)]),
        (read_tldr, [POST, changed(POST, summary=""), changed(POST, title="é 🙂")]),
        (
            read_shp,
            [SHP, changed(SHP, labels=0, score_A=1, score_ratio=166), changed(SHP, human_ref_B="In cold water.")],
        ),
        (read_threads, [THREAD, changed(THREAD, summary=...), changed(THREAD, messages=[])]),
    ],
)
def test_a_damaged_file_is_a_data_error_or_fully_accounted_for(tmp_path, read, rows):
    sound = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()
    path, refused = tmp_path / "damaged.jsonl", 0
    for seed in range(200):
        rng = random.Random(seed)
        if seed % 2:
            content = damage_bytes(sound, rng)
        else:
            row = rng.randrange(len(rows))
            damaged = [damage_fields(r, rng) if i == row else r for i, r in enumerate(rows)]
            content = "".join(f"{json.dumps(r)}\n" for r in damaged).encode()
        path.write_bytes(content)
        read_back = outcome(read, path)
        refused += read_back is None
        if read_back is not None:
            lines = content.count(b"\n") + (not content.endswith(b"\n"))
            assert len(read_back.records) + len(read_back.skipped) == lines, seed
    assert 20 < refused < 190  # both ends were met


def test_damaged_xml_is_a_data_error_or_one_conversation(tmp_path):
    path, refused = tmp_path / "damaged.xml", 0
    names = ["conversation", "messages", "message", "body", "id=", "participant=", "date=", "&amp;", '"101"', "Lunch"]
    for seed in range(200):
        rng = random.Random(seed)
        content = XML.encode()
        if seed % 2:
            content = damage_bytes(content, rng)
        else:
            name, new = rng.choice(names), rng.choice(["", "other", "x=", "<a>", "<a/>", "&b;", "&#0;", "<!DOCTYPE a>"])
            content = XML.replace(name, new, rng.choice([1, -1])).encode()
        path.write_bytes(content)
        read_back = outcome(read_bolt_xml, path)
        refused += read_back is None
        assert read_back is None or len(read_back.records) + len(read_back.skipped) == 1
    assert 20 < refused < 190


# The options of the env


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"min_score_ratio": 0.5, "data": "x"}, "min_score_ratio must be a number of at least 1, got 0.5"),
        ({"min_score_ratio": "two", "data": "x"}, "min_score_ratio must be a number of at least 1, got 'two'"),
        ({"min_score_ratio": [2], "data": "x"}, "min_score_ratio must be a number"),
        ({"min_score_ratio": True, "data": "x"}, "min_score_ratio must be a number"),
        ({"min_score_ratio": float("inf"), "data": "x"}, "min_score_ratio must be a number"),
        ({"max_pairs_per_post": 0, "data": "x"}, "max_pairs_per_post must be at least 1, a whole number, got 0"),
        ({"max_pairs_per_post": 2.5, "data": "x"}, "max_pairs_per_post must be at least 1, a whole number, got 2.5"),
        ({"max_pairs_per_post": [1], "data": "x"}, "max_pairs_per_post must be at least 1, a whole number"),
        ({"data": 3}, "data must be 'miniature', 'hub' or a path, got 3"),
        ({"min_score_ratio": 2}, "choose among real pairs"),
        ({"max_pairs_per_post": 3}, "choose among real pairs"),
    ],
)
def test_options_of_shp_are_checked_before_anything_is_read(given, message):
    with pytest.raises(UserError, match=message):
        SHPTask(**given)


# Any row at all

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
JSON = st.recursive(
    SCALARS | st.sampled_from(OTHER),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def rows_like(sound):
    """Rows that are nearly sound, so that every check is reached, or anything at all."""
    near = st.builds(
        lambda new, seed, times: damage_times({**sound, **new}, seed, times),
        st.dictionaries(st.sampled_from(sorted(sound)), JSON, max_size=2),
        st.integers(0, 10**6),
        st.integers(0, 3),
    )
    return near | st.dictionaries(st.sampled_from(sorted(sound)) | st.text(max_size=5), JSON, max_size=6)


def damage_times(row, seed, times):
    rng = random.Random(seed)
    for _ in range(times if row else 0):
        row = damage_fields(row, rng) or dict(row)
    return row


@pytest.mark.parametrize(
    ("parse", "sound"),
    [(parse_comparison, COMPARISON), (parse_post, POST), (parse_shp, SHP), (parse_thread, THREAD), (parse_hh, PAIR)],
)
def test_any_row_is_read_skipped_or_refused(parse, sound):
    @given(rows_like(sound))
    @settings(max_examples=1000)
    def check(row):
        item, problem = None, ""
        try:
            item = parse(row, "hub:7")
        except DataError as error:
            problem = str(error)
        if item is None:
            assert problem.startswith("hub:7: ")
            assert problem.isprintable(), "not one line"
        else:
            assert isinstance(item, (Record, Demonstration, Skipped))
            assert not isinstance(item, (Record, Demonstration)) or item.meta["where"] == "hub:7"

    check()
