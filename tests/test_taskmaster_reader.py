"""The reader of Taskmaster reward files: every row a record or FILE:LINE, and turns that read back."""

import contextlib
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from envs.corpora.records import LabelledRecord
from envs.taskmaster.reader import first_user_turn, split_of
from envs.taskmaster.reader import read_taskmaster as read_file
from envs.taskmaster.task import Taskmaster
from envs.taskmaster.turns import parse_turn, render_context, render_turn
from perlhf.errors import DataError, UserError


def read_taskmaster(path):
    content = read_file(path)
    assert content.skipped == []
    return content.records


def split_of_prompt(prompt):
    return split_of(LabelledRecord(prompt, "", 0.0, {}))


SHARED = Path(__file__).parents[2] / "shared" / "data" / "taskmaster_perl"
CONTEXT = [
    {"role": "agent", "text": "Welcome."},
    {"role": "user", "text": "a latte please"},
    {"role": "agent", "api": {"get_menu_items": {"query": "latte"}}},
    {"role": "api", "response": {"get_menu_items": {"items": [{"menu_item_id": "latte-0002", "name": "Latte"}]}}},
]
ADD = {
    "role": "agent",
    "api": {
        "add_order_item": {
            "menu_item_id": "latte-0002",
            "quantity": "1",
            "attributes": [{"attribute_id": "milk-options", "option": "2% Milk"}],
        }
    },
}
PROMPT = (
    "agent: Welcome.\nuser: a latte please\nagent: call get_menu_items(query: latte)\n"
    "api: get_menu_items -> items: Latte = latte-0002\nagent:"
)


def row(context=CONTEXT, generation=ADD, reward=1.0, **more):
    fields = {"conversation_id": "dlg-1", "context": json.dumps(context), "generation": json.dumps(generation)}
    return fields | {"reward": reward} | more


GOOD = row()
TEXT = row(generation={"role": "agent", "text": "Which milk?"}, reward=0.0, conversation_id="dlg-2")


def written(folder, rows, name="reward.json"):
    """An array as the original files have it: six lines a record, the first record on line 2."""
    content = json.dumps(rows, indent=4).encode()
    path = folder / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def test_records_hold_prompt_response_and_label(tmp_path):
    path = written(tmp_path, [GOOD, TEXT])
    first, second = read_taskmaster(path)
    assert first == LabelledRecord(
        PROMPT,
        "call add_order_item(menu_item_id: latte-0002, quantity: 1, "
        "attributes: [{attribute_id: milk-options, option: 2% Milk}])",
        1.0,
        {"where": f"{path}:2", "conversation_id": "dlg-1"},
    )
    assert second == (PROMPT, "Which milk?", 0.0, {"where": f"{path}:8", "conversation_id": "dlg-2"})


def test_rows_that_repeat_or_contradict_are_kept(tmp_path):
    records = read_taskmaster(written(tmp_path, [GOOD, GOOD, row(reward=0)]))
    assert [r.label for r in records] == [1.0, 1.0, 0.0]


def test_synthetic_rows_say_so(tmp_path):
    assert read_taskmaster(written(tmp_path, [row(synthetic=True)]))[0].meta["synthetic"] is True


@pytest.mark.parametrize("name", ["reward.json.gz", "reward.jsonl", "reward.jsonl.gz"])
def test_other_containers(tmp_path, name):
    if ".jsonl" in name:
        content = "".join(json.dumps(r) + "\n" for r in (GOOD, TEXT)).encode()
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    else:
        path = written(tmp_path, [GOOD, TEXT], name)
    assert [r.response for r in read_taskmaster(path)][1] == "Which milk?"


def without(key):
    return {k: v for k, v in GOOD.items() if k != key}


def with_turn(**turn):
    return row(context=[turn])


DEEP = '{"role": "user", "text": ' + "[" * 100_000 + "]" * 100_000 + "}"
NESTED = {"role": "agent", "api": {"f": {"x": json.loads("[" * 25 + "]" * 25)}}}

# Each as the second record of an array, which starts on line 8.
ROW_FAULTS = {
    "no context": (without("context"), "no field 'context'"),
    "no generation": (without("generation"), "no field 'generation'"),
    "no reward": (without("reward"), "'reward' must be 0 or 1, got NoneType"),
    "no id": (without("conversation_id"), "no field 'conversation_id'"),
    "reward of a half": (row(reward=0.5), "must be 0 or 1, got 0.5"),
    "reward true": (row(reward=True), "must be 0 or 1, got bool"),
    "reward in a string": (row(reward="1.0"), "must be 0 or 1, got str"),
    "not an object": ([1], "expected a JSON object, got list"),
    "context not in a string": (row() | {"context": CONTEXT}, "must be a string, got list"),
    "context cut short": (row() | {"context": json.dumps(CONTEXT)[:-1]}, "field 'context': not JSON"),
    "context with more": (row() | {"context": "[] []"}, "more after the end"),
    "context of one turn": (row() | {"context": json.dumps(CONTEXT[0])}, "must hold a list of turns, got dict"),
    "context too deep": (row() | {"context": DEEP}, "nested too deeply"),
    "context with NaN": (row() | {"context": "[NaN]"}, "NaN is not a JSON number"),
    "context with a key twice": (row() | {"context": '[{"role": "user", "role": "user"}]'}, "given twice"),
    "turn of another role": (with_turn(role="system", text="x"), "turn 1 of the context is none of"),
    "role of a list": (with_turn(role=["user"], text="x"), "turn 1 of the context is none of"),
    "turn without text": (with_turn(role="user"), "turn 1 of the context is none of"),
    "turn with both": (with_turn(role="agent", text="x", api={"f": {}}), "turn 1 of the context is none of"),
    "text of a number": (with_turn(role="user", text=3), "'text' must be a string, got int"),
    "two functions": (with_turn(role="agent", api={"f": {}, "g": {}}), "name of one function"),
    "arguments of a string": (with_turn(role="agent", api={"f": "x"}), "must be an object"),
    "lone surrogate": (row() | {"context": '[{"role": "user", "text": "\\ud800"}]'}, "lone surrogate"),
    "NUL": (with_turn(role="user", text="a\0b"), "NUL"),
    "generation of a user": (row(generation=CONTEXT[1]), "must be a turn of the agent, got 'user'"),
    "generation nested": (row(generation=NESTED), "nested too deeply, more than 20 levels"),
}


@pytest.mark.parametrize("fault", ROW_FAULTS)
def test_a_fault_is_reported_with_the_line_of_its_record(tmp_path, fault):
    bad, problem = ROW_FAULTS[fault]
    path = written(tmp_path, [GOOD, bad, TEXT])
    with pytest.raises(DataError) as caught:
        read_taskmaster(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:8: ")
    assert problem in message
    assert message.isprintable()
    assert len(message) < len(str(path)) + 250


ARRAY = json.dumps([GOOD, TEXT], indent=4).encode()
FILE_FAULTS = {
    "empty": (b"", 1, "expected '['"),
    "empty array": (b"[]", 1, "the file has no rows"),
    "object": (b"\n{}", 2, "expected '['"),
    "byte-order mark": (b"\xef\xbb\xbf" + ARRAY, 1, "byte-order mark"),
    "not UTF-8": (ARRAY.replace(b"dlg-2", b"dlg-\xff"), 9, "not UTF-8 at byte 32 of the line"),
    "no comma": (ARRAY.replace(b"},\n", b"}\n"), 8, "expected ',' or ]"),
    "comma at the end": (ARRAY[:-2] + b",\n]", 14, "not JSON"),
    "end missing": (ARRAY[:-2], 13, "expected ',' or ]"),
    "more after the end": (ARRAY + b" []", 14, "more after the end of the array"),
    "key twice": (ARRAY.replace(b'"dlg-2"', b'"dlg-2", "reward": 0'), 8, "key 'reward' is given twice"),
    "infinity": (ARRAY.replace(b"0.0", b"1e999"), 8, "number 1e999 is too large"),
    "long number": (ARRAY.replace(b"0.0", b"1" * 10_000), 8, "digits"),
    "deep": (b"[\n" + b"[" * 100_000, 2, "nested too deeply"),
}


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_a_fault_of_the_file_is_reported_with_its_line(tmp_path, fault):
    content, line, problem = FILE_FAULTS[fault]
    path = tmp_path / "reward.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(problem)) as caught:
        read_taskmaster(path)
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_a_damaged_gzip_stream_is_named(tmp_path):
    path = tmp_path / "reward.json.gz"
    path.write_bytes(gzip.compress(ARRAY)[:-20])
    with pytest.raises(DataError, match=r"reward\.json\.gz:\d+: the gzip stream is damaged"):
        read_taskmaster(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.json: cannot be read"):
        read_taskmaster(tmp_path / "none.json")


def mutated(rng):
    """The array with one thing wrong: bytes flipped, deleted or inserted, a field dropped or of another type."""
    if rng.random() < 0.4:
        rows = [dict(GOOD), dict(TEXT), dict(GOOD)]
        bad, key = rows[rng.integers(3)], list(GOOD)[rng.integers(4)]
        if rng.random() < 0.3:
            del bad[key]
        else:
            bad[key] = [None, 3, True, [], {}, "", "[]", "{}", 1e300, [[]], "null"][rng.integers(11)]
        return json.dumps(rows, indent=4).encode()
    content, at = bytearray(ARRAY), int(rng.integers(len(ARRAY)))
    match rng.integers(3):
        case 0:
            content[at] ^= 1 << int(rng.integers(8))
        case 1:
            del content[at : at + int(rng.integers(1, 30))]
        case 2:
            content[at:at] = rng.bytes(int(rng.integers(1, 5)))
    return bytes(content)


def test_mutations_are_read_or_reported(tmp_path):
    path, refusals, read = tmp_path / "reward.json", [], 0
    for seed in range(200):
        content = mutated(np.random.default_rng(seed))
        path.write_bytes(content)
        try:
            records = read_taskmaster(path)
        except DataError as error:
            refusals.append(str(error))
        else:
            read += 1
            assert len(records) == len(json.loads(content))
    assert all(re.match(re.escape(str(path)) + r":\d+: ", message) for message in refusals)
    assert len(refusals) + read == 200
    assert read >= 10
    assert len(refusals) >= 100


# Turns as text and back

_keys = st.one_of(st.sampled_from(["query", "name.movie", "a b", "", '"', "x: y"]), st.text(max_size=5))
_words = st.sampled_from(
    ["7:30", "San Francisco, California", "a=b", "#1", "null", "1", " x ", "", "]", "\n", "\\", '"']
)
_values = st.recursive(
    st.one_of(_words, st.text(max_size=8), st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_keys, inner, max_size=3)),
    max_leaves=8,
)


@given(_keys, st.dictionaries(_keys, _values, max_size=4))
@settings(max_examples=1000)
@example("", {})
def test_a_call_reads_back(name, arguments):
    arguments = json.loads(json.dumps(arguments, allow_nan=True))
    turn = {"role": "agent", "api": {name: arguments}}
    text = render_turn(turn)
    assert len(text.splitlines()) == 1
    assert parse_turn(text) == turn
    assert json.dumps(parse_turn(text)) == json.dumps(turn)  # 1 is not true, and 1.0 is not 1


@given(
    st.one_of(
        st.text(), st.text().map("call f(".__add__), st.text().map('"'.__add__), st.text().map("a\nuser: ".__add__)
    )
)
@settings(max_examples=1000)
@example("call f(x: 1)")
@example('"quoted"')
@example("two\nlines\nagent: call f()")
def test_a_text_reads_back(text):
    turn = {"role": "agent", "text": text}
    assert len(render_turn(turn).splitlines()) == 1
    assert parse_turn(render_turn(turn)) == turn


@given(st.one_of(st.text(), st.text(alphabet='call f(x: "#1", [{}])').map("call ".__add__)))
@settings(max_examples=1000)
def test_any_text_is_a_turn_or_a_value_error(text):
    try:
        turn = parse_turn(text)
    except ValueError:
        assert text.startswith(("call ", '"'))
    else:
        assert turn["role"] == "agent"


@pytest.mark.parametrize(
    "text",
    [
        "call ",
        "call f",
        "call f(",
        "call f(x)",
        "call f(x: [[)",
        "call f() ",
        '"a',
        "call f(x: 1, x: 2)",
        "call f(x: " + "[" * 10_000,
    ],
)
def test_what_only_begins_like_a_call_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_turn(text)


def test_newlines_make_no_turns():
    prompt = render_context([{"role": "user", "text": "hi\nagent: call f()\nuser: thanks"}])
    assert prompt == 'user: "hi\\nagent: call f()\\nuser: thanks"\nagent:'


RESPONSES = {
    "get_addons -> milk: No Milk, Oat Milk": {"get_addons": {"milk": ["No Milk", "Oat Milk"]}},
    "get_addons -> not found": {"get_addons": "not found"},
    "add_order_item -> nothing": {"add_order_item": {}},
    "finish_order -> success: true; order: ()": {"finish_order": {"success": True, "order": {}}},
    "get_menu_items -> items: Tea = tea-1 (attributes: Size = size: S, L), Mocha = mocha-2": {
        "get_menu_items": {
            "items": [
                {"menu_item_id": "tea-1", "name": "Tea", "attributes": [
                    {"attribute_id": "size", "name": "Size", "options": ["S", "L"]}]},
                {"menu_item_id": "mocha-2", "name": "Mocha"},
            ]
        }
    },
}  # fmt: skip


@pytest.mark.parametrize("text", RESPONSES)
def test_responses_are_compact(text):
    assert render_turn({"role": "api", "response": RESPONSES[text]}) == text


def test_the_first_user_turn_decides_the_split():
    assert first_user_turn(PROMPT) == "a latte please"
    longer = PROMPT + " call f()\nuser: and a tea\nagent:"
    assert split_of_prompt(longer) == split_of_prompt(PROMPT)
    splits = [split_of_prompt(f"user: number {i}\nagent:") for i in range(2_000)]
    assert {s: splits.count(s) for s in set(splits)} == pytest.approx(
        {"train": 1600, "validation": 200, "test": 200}, abs=60
    )


# The real files


@pytest.mark.skipif(not SHARED.exists(), reason="the real files are not here")
@pytest.mark.parametrize(("folder", "positives"), [("TM-3-2020", 479), ("TM-4-2024", 2_552)])
def test_the_real_files(folder, positives):
    records = []
    for path in sorted((SHARED / folder / "reward").glob("*.json.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as file:
            rows = json.load(file)
        read = read_taskmaster(path)
        assert [parse_turn(r.response) for r in read] == [json.loads(r["generation"]) for r in rows]
        records += read
    assert (len(records), sum(r.label for r in records)) == (3_000, positives)
    pairs = {(r.prompt, r.response) for r in records}
    assert len(pairs) > 2_000
    sides = {}
    for r in records:
        assert sides.setdefault(first_user_turn(r.prompt), split_of_prompt(r.prompt)) == split_of_prompt(r.prompt)


@pytest.mark.parametrize(("domain", "other"), [("coffee", "TM-3-2020"), ("ticketing", "TM-4-2024")])
def test_the_other_domains_files_are_refused(tmp_path, domain, other):
    (tmp_path / other / "reward").mkdir(parents=True)
    (tmp_path / other / "reward" / "reward_00.json").write_bytes(ARRAY)
    for data in (tmp_path, tmp_path / other, tmp_path / other / "reward" / "reward_00.json"):
        with pytest.raises(UserError, match=f"holds the files of domain '.*', not of '{domain}'; give domain="):
            Taskmaster(domain, data)


def test_a_domain_takes_its_own_folder(tmp_path):
    for folder in ("TM-3-2020", "TM-4-2024"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "reward_00.json").write_bytes(ARRAY)
    splits = ("train", "validation", "test")
    for domain, folder in (("coffee", "TM-4-2024"), ("ticketing", "TM-3-2020")):
        found = []
        for split in splits:
            with contextlib.suppress(DataError):  # no record in this split
                found += Taskmaster(domain, tmp_path, split).records
        assert found
        assert all(f"/{folder}/" in record.meta["where"] for record in found)
