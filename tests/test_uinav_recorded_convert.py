"""Converters to trajectories, on files made by hand in the original schemas, and on real ones."""

import copy
import gzip
import io
import json
import random
import struct
import tarfile
from functools import partial

import numpy as np
import pytest
from damage import damage_bytes, json_damage, number_of, outcomes
from test_vqa_reader import REAL, real

from envs.corpora.records import Skipped
from envs.uinav.interface.device import Ending
from envs.uinav.interface.screen import Box, Element
from envs.uinav.recordings.convert.android_control import read_android_control
from envs.uinav.recordings.convert.android_screens import read_ref_exp, read_screen_qa, read_screens
from envs.uinav.recordings.convert.miniwob import conversion_rates, parse_demonstration, read_miniwob
from envs.uinav.recordings.convert.tfrecord import masked_crc, parse_example, read_records
from envs.uinav.recordings.device import RecordedDevice, playable
from envs.uinav.recordings.files import read_trajectories, write_trajectories
from envs.uinav.recordings.trajectory import Move
from perlhf.errors import DataError


def play(trajectories, max_elements=40):
    """How many recordings the oracle plays to their end."""
    kept = [trajectory for trajectory in trajectories if playable(trajectory, max_elements)]
    device, reached = RecordedDevice(kept, max_elements), 0
    for index in range(len(kept)):
        state, goal = device.reset(random.Random(0), {"index": index})
        ending = None
        while ending is None:
            action = device.oracle(state, goal)
            if action.kind in ("done", "infeasible"):
                ending = Ending(action.kind, action.text)
            else:
                state, _, problem = device.perform(state, action)
                assert problem == ""
                ending = Ending("over") if device.over(state) else None
        reached += device.success(state, goal, ending)
    assert reached == len(kept)
    return reached


# MiniWoB++


def dom(tag, box, *children, text=None, ref=0, **other):
    left, top, width, height = box
    node = {"tag": tag, "left": left, "top": top, "width": width, "height": height, "children": list(children)}
    return {**node, "ref": ref, **({} if text is None else {"text": text}), **other}


def form(name="", checked=False, extra=(), shift=0, mark="", **field):
    """A page with a field, a check box in its label, an icon, and a button."""
    marked = {"recordingTarget": True}
    return dom(
        "BODY",
        (0, 0, 900, 210),
        dom(
            "DIV",
            (0, 50, 160, 150),
            dom("LABEL", (2, 52 - shift, 50.5, 11), text="Name", ref=3),
            dom("INPUT_text", (2, 70 - shift, 100, 20), ref=4, id="nm", value=name, text="", **field),
            dom(
                "LABEL",
                (2, 95 - shift, 60, 11),
                dom("INPUT_checkbox", (4, 93 - shift, 20, 13), ref=6, value=checked, text=""),
                dom("t", (30, 95 - shift, 30, 11), text="Agree", ref=-1),
                ref=5,
            ),
            dom(
                "DIV",
                (2, 110 - shift, 100, 30),
                dom("SPAN", (80, 115 - shift, 10, 10), ref=8, id="", classes="trash"),
                ref=7,
                classes="thread",
            ),
            dom("BUTTON", (2, 150 - shift, 60, 30), text="Go", ref=9, **(marked if mark == "Go" else {})),
            *extra,
            ref=2,
            id="area",
        ),
        ref=1,
    )


def event(page, kind, x=None, y=None, **other):
    where = {} if x is None else {"x": x, "y": y}
    return {"time": 0, "dom": page, "action": {"type": kind, "timing": 1, **where, **other}}


def click(page, x, y, after=None):
    """A click as the listener wrote it down: each event before and after its effect."""
    events = [event(page, kind, x, y) for kind in ("mousedown", "mouseup", "click")]
    late = [{**e, "action": {**e["action"], "timing": 3}, "dom": after or page} for e in events]
    return [e for pair in zip(events, late, strict=True) for e in pair]


def typed(pages, text):
    """Key events; pages[i] is shown before key i."""
    return [event(p, "keypress", keyCode=ord(c), charCode=ord(c)) for p, c in zip(pages, text, strict=True)]


def demonstration(*states, last=None, reward=1, **other):
    states = [*states, {"time": 9, "dom": last or form(), "action": None}]
    return {"utterance": "Enter bob and press Go", "rawReward": reward, "reward": 0.3, "states": states, **other}


LOGIN = demonstration(
    {"time": 0, "dom": form(), "action": None},
    *click(form(), 50, 80),
    *typed([form(), form("b"), form("bo")], "bob"),
    *click(form("bob", mark="Go"), 30, 160),
    taskName="login",
)


def moves(value):
    found = parse_demonstration(value, "first/login/login_3ABC_d1.json.gz")
    return found.reason if isinstance(found, Skipped) else [step.move for step in found.steps]


def test_a_demonstration_becomes_macros():
    found = parse_demonstration(LOGIN, "x.tar: first/login/login_3ABC_d12.json.gz")
    assert found.goal == "Enter bob and press Go"
    assert (found.source, found.group, found.episode_id, found.success) == ("miniwob/login", "3ABC", "3ABC_12", True)
    assert [step.move for step in found.steps] == [Move("type", (52, 80), "bob"), Move("click", (30, 160))]
    first, second = (step.shot for step in found.steps)
    assert (first.width, first.height) == (160, 210)
    assert first.elements == (
        Element("text", "Name", "", "", Box(2, 52, 53, 63), True),
        Element("field", "", "Name", "nm", Box(2, 70, 102, 90), True, True),
        Element("check", "Agree", "", "", Box(2, 93, 62, 106), True, checked=False),
        Element("icon", "", "trash", "", Box(80, 115, 90, 125), True),
        Element("button", "Go", "", "", Box(2, 150, 62, 180), True),
    )
    assert second.elements[1].text == "bob"
    assert play([found]) == 1


def test_the_mark_of_the_answer_is_not_shown():
    def elements(mark):
        page = form("bob", mark=mark)
        return parse_demonstration(demonstration(*click(page, 30, 160)), "a_B_d1.json").steps[0].shot

    assert elements("Go") == elements("")
    assert "recordingTarget" not in repr(elements("Go"))


def test_a_failed_demonstration_is_kept_as_one():
    for reward in (-1, 0, 0.5):
        assert not parse_demonstration({**LOGIN, "rawReward": reward}, "a_B_d1.json").success


def test_clicks_beside_all_elements():
    assert moves(demonstration(*click(form(), 10, 120), *click(form(), 30, 160))) == [Move("click", (30, 160))]
    opened = demonstration(*click(form(), 10, 120), *click(form("x"), 30, 160))
    assert moves(opened) == [Move("click", (85, 120)), Move("click", (30, 160))]  # the icon is nearest in the thread
    nothing = demonstration(*click(form(), 150, 190), *click(form("x"), 30, 160))
    assert moves(nothing) == "a click on no element changes the page"


def test_what_was_typed_is_what_the_fields_hold_in_the_end():
    other = [dom("INPUT_text", (2, 182, 100, 20), ref=11, id="zip", value="", text="")]
    both = [dom("INPUT_text", (2, 182, 100, 20), ref=11, id="zip", value="9", text="")]
    pages = [form(extra=other), form("a", extra=other), form("a", extra=other), form("a", extra=both)]
    assert moves(demonstration(*typed(pages, "a\t9x"), *click(form("a", extra=both), 30, 160)))[:2] == [
        Move("type", (52, 80), "a"),
        Move("type", (52, 192), "9"),
    ]
    found = parse_demonstration(demonstration(*typed(pages, "a\t9x"), *click(form("a", extra=both), 30, 160)), "a")
    assert [e.text for e in found.steps[1].shot.elements if e.editable] == ["a", ""]
    # corrected after a click into the same field: one step
    again = [*typed([form()], "a"), *click(form("a"), 50, 80), *typed([form("a")], "b")]
    assert moves(demonstration(*again, *click(form("ab"), 30, 160)))[0] == Move("type", (52, 80), "ab")
    # the arrows in a number field
    arrows = [*click(form("1"), 100, 80), *click(form("2"), 30, 160)]
    assert moves(demonstration(*arrows))[0] == Move("type", (52, 80), "2")


def test_clicks_into_a_field_alone_are_clicks():
    assert moves(demonstration(*click(form(), 50, 80))) == [Move("click", (50, 80))]


def test_scrolls_go_where_the_page_went():
    down = [event(form(shift=5), "scroll"), event(form(shift=20), "scroll")]
    assert moves(demonstration(*down, *click(form(shift=20), 30, 140))) == [
        Move("scroll", None, "down"),
        Move("click", (30, 140)),
    ]
    dragged = [event(form(shift=20), "mousedown", 155, 60), event(form(shift=20), "scroll")]
    dragged += [event(form(), "mouseup", 155, 90)]
    assert moves(demonstration(*dragged, *click(form(), 30, 160)))[0] == Move("scroll", None, "up")
    still = [event(form(), "scroll"), *click(form(), 30, 160)]
    assert moves(demonstration(*still)) == [Move("click", (30, 160))]


def test_a_menu_that_lies_over_smaller_elements():
    menu = dom("LI", (60, 110, 60, 20), text="Mute", ref=12, recordingTarget=True)
    found = parse_demonstration(demonstration(*click(form(extra=[menu]), 84, 120)), "a")
    (step,) = found.steps
    point = step.move.point
    assert not Box(80, 115, 90, 125).holds(*point)
    device = RecordedDevice([found])
    assert "LI" not in device.describe(device.reset(random.Random(0), {})[0])
    assert str(device.oracle(*device.reset(random.Random(0), {}))) == "click(6)"
    assert "6 item Mute" in device.describe(device.reset(random.Random(0), {})[0])


def test_labels_of_what_has_no_text():
    swatch = dom("SPAN", (2, 182, 10, 10), ref=11, id="", classes="", bgColor="rgb(250, 3, 9)")
    clear = dom("SPAN", (22, 182, 10, 10), ref=12, id="", classes="", bgColor="rgba(0, 0, 0, 0)")
    jquery = dom("A", (42, 182, 10, 10), ref=13, id="", classes="ui-button ui-spinner-up ui-corner-tr")
    shape = dom("circle", (62, 182, 10, 10), ref=14, id={}, classes={})
    found = parse_demonstration(demonstration(*click(form(extra=[swatch, clear, jquery, shape]), 5, 185)), "a")
    assert [element.label for element in found.steps[0].shot.elements[5:]] == ["red", "ui-spinner-up", "circle"]


def closed(*options):
    return dom("SELECT", (2, 182, 50, 20), *options, ref=20)


def option(text, top):
    return dom("OPTION", (3, top, 40, 10), text=text, ref=21)


def test_lists():
    page = form(extra=[closed()])
    assert moves(demonstration(*click(page, 30, 160))) == "a choice in a closed list is not recorded"
    page = form(extra=[closed(option("One", 183), option("Two", 193), option("Three", 203))])
    found = parse_demonstration(demonstration(*click(page, 10, 195)), "a")
    assert [(e.text, e.box.bottom) for e in found.steps[0].shot.elements[5:]] == [("One", 193), ("Two", 202)]


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        ([], "it has no states"),
        ([{"time": 0, "dom": form(), "action": None}], "nothing is done in it"),
        ([*typed([form()], " "), *click(form(checked=True), 30, 160)], "keys do something else than typing"),
        ([*typed([form()], " "), *click(form("x", checked=True), 30, 160)], "keys change more than fields"),
        (
            [
                event(form(), "mousedown", 40, 160),
                event(form(), "mouseup", 90, 160),
                *click(form("x"), 30, 160),
            ],
            "a drag changes the page",
        ),
    ],
)
def test_what_cannot_be_converted_says_why(states, reason):
    assert moves({**LOGIN, "states": states}) == reason


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([], "expected a JSON object, got list."),
        ({**LOGIN, "utterance": None}, "field 'utterance' must be a string, got NoneType."),
        ({**LOGIN, "rawReward": True}, "field 'rawReward' must be a number, got True."),
        ({**LOGIN, "states": {}}, "field 'states' must be an array, got dict."),
        ({**LOGIN, "states": [3]}, "states[0] must be an object, got 3."),
        (
            {**LOGIN, "states": [{"dom": {"tag": "X"}}]},
            "states[0]: dom: field 'left' of a node must be a number of pix",
        ),
        (
            {**LOGIN, "states": [event(form(), "swipe")]},
            "states[0]: field 'type' of an action must be one of mousedown",
        ),
        ({**LOGIN, "states": [event(form(), "click")]}, "states[0]: field 'x' of an action must be a number, got noth"),
    ],
)
def test_what_is_no_demonstration_is_named(value, problem):
    with pytest.raises(DataError) as error:
        parse_demonstration(value, "a.json")
    assert str(error.value).startswith("a.json:1: ")
    assert problem in str(error.value)


def write_demos(path, **demos):
    with tarfile.open(path, "w") as tar:
        for name, value in demos.items():
            content = gzip.compress(json.dumps(value).encode(), mtime=0)
            member = tarfile.TarInfo(f"first/{name.split('_')[0]}/{name}.json.gz")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_archives_and_folders_are_read_alike(tmp_path):
    tar = write_demos(tmp_path / "d.tar", login_3ABC_d1=LOGIN, login_3ABC_d2={**LOGIN, "states": []}, other_9_d1=LOGIN)
    content = read_miniwob(tar)
    assert [t.source for t in content.records] == ["miniwob/login", "miniwob/other"]
    assert content.skipped == [(f"{tar}: first/login/login_3ABC_d2.json.gz", "it has no states")]
    assert conversion_rates(content) == {"login": (1, 2), "other": (1, 1)}
    with tarfile.open(tar) as file:
        file.extractall(tmp_path / "out", filter="data")
    assert read_miniwob(tmp_path / "out").records == content.records
    write_trajectories(tmp_path / "a.jsonl", content.records)
    assert read_trajectories(tmp_path / "a.jsonl").records == content.records


def test_200_damaged_demonstrations(tmp_path):
    path = tmp_path / "login_3ABC_d1.json"
    small = {**copy.deepcopy(LOGIN), "states": LOGIN["states"][1:5]}
    read, refused = outcomes(path, json_damage(small), partial(read_miniwob, path), lambda _: 1, [path])
    assert min(read, refused) > 20


def test_200_damaged_archives_of_demonstrations(tmp_path):
    path = write_demos(tmp_path / "d.tar", login_3ABC_d1=LOGIN)
    content = path.read_bytes()

    def damaged(rng):
        return damage_bytes(content[:2000], rng) + content[2000:]

    def rows(_):
        with tarfile.open(path) as tar:
            return sum(m.isfile() and m.name.endswith((".json", ".json.gz")) for m in tar)

    read, refused = outcomes(path, damaged, partial(read_miniwob, path), rows, [path])
    assert refused > 20
    assert read + refused == 200


# TFRecord


def varint(value):
    value &= 2**64 - 1
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def field(number, value):
    """A field of a protocol buffer: an integer, or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def feature(values):
    values = values if isinstance(values, list) else [values]
    if values and isinstance(values[0], float):
        return field(2, field(1, struct.pack(f"<{len(values)}f", *values)))
    if values and isinstance(values[0], int):
        return field(3, field(1, b"".join(varint(value) for value in values)))
    return field(1, b"".join(field(1, value) for value in values))


def example(**features):
    entries = [field(1, field(1, name) + field(2, feature(values))) for name, values in features.items()]
    return field(1, b"".join(entries))


def record(content):
    length = struct.pack("<Q", len(content))
    return length + struct.pack("<I", masked_crc(length)) + content + struct.pack("<I", masked_crc(content))


def test_the_checksum_is_crc32c():
    crc = 0xE3069283  # of "123456789", RFC 3720
    assert masked_crc(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_records_are_read(tmp_path):
    path = tmp_path / "a.tfrecord"
    made = example(a=["x", "é"], b=[1, -2, 2**40], c=[0.5, -1.0], d=[])
    for content in (record(made) + record(b""), gzip.compress(record(made) + record(b""))):
        path.write_bytes(content)
        assert list(read_records(path)) == [(f"{path}:1", made), (f"{path}:2", b"")]
    assert parse_example(made, "f:1") == {"a": [b"x", "é".encode()], "b": [1, -2, 2**40], "c": [0.5, -1.0], "d": []}
    single = field(1, field(1, field(1, "n") + field(2, field(3, field(1, 7) + field(1, 8)))))  # not packed
    assert parse_example(single, "f:1") == {"n": [7, 8]}


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (record(b"abc")[:-1], ":1: the file is cut short."),
        (record(b"abc") + b"\0" * 5, ":2: the file is cut short."),
        (b"\1" + record(b"abc"), ":1: the length's checksum is wrong; the file is damaged, or no TFRecord file."),
        (gzip.compress(record(b"abc"), mtime=0)[:-9], ":2: the gzip stream is damaged or cut short"),
    ],
)
def test_damaged_record_files_are_named(tmp_path, content, problem):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        list(read_records(path))
    assert f"{path}{problem}" in str(error.value)


# AndroidControl


def node(number, name, box, children=(), **other):
    numbers = {"text": 7, "description": 4, "resource": 10, "clickable": 14, "editable": 15, "checkable": 12}
    rect = b"".join(field(i, side) for i, side in enumerate(box, 1))
    parts = [field(1, number), field(2, rect), field(3, f"android.widget.{name}"), field(16, 1), field(23, 1)]
    if children:
        parts.append(field(25, b"".join(varint(child) for child in children)))
    return field(1, b"".join([*parts, *(field(numbers[key], value) for key, value in other.items())]))


def forest(title="Mail"):
    tree = [
        node(0, "FrameLayout", (0, 0, 1080, 2400), (1, 2, 5)),
        node(1, "EditText", (40, 200, 1040, 330), description="To", clickable=1, editable=1),
        node(2, "LinearLayout", (0, 400, 1080, 600), (3, 4), clickable=1),
        node(3, "TextView", (10, 410, 900, 500), text="Ann"),
        node(4, "TextView", (10, 510, 900, 590), text="Hello"),
        node(5, "Switch", (40, -90, 1040, -10), text="Wi-Fi", checkable=1, clickable=1),
    ]
    window = field(4, 1) + field(5, title) + field(6, 1) + field(11, b"".join(tree))
    status_bar = field(4, 5) + field(6, 3) + field(11, node(0, "TextView", (0, 0, 90, 40), text="9:41"))
    return field(1, window) + field(1, status_bar)


def episode(**other):
    actions = [
        {"action_type": "click", "x": 100, "y": 250},
        {"action_type": "input_text", "text": "ann"},
        {"action_type": "click", "x": 100, "y": 450},
    ]
    features = {
        "episode_id": [7],
        "goal": "Write to Ann",
        "screenshots": [b"png0", b"png1", b"png2", b"png3"],
        "screenshot_widths": [1080] * 4,
        "screenshot_heights": [2400] * 4,
        "accessibility_trees": [forest()] * 4,
        "actions": [json.dumps(action) for action in actions],
        "step_instructions": ["Tap To", "Type ann", "Choose Ann"],
    }
    return example(**{**features, **other})


def test_an_episode_of_android_control(tmp_path):
    path = tmp_path / "android_control-00000-of-00020"
    path.write_bytes(gzip.compress(record(episode()) + record(episode(goal="Other"))))
    first, second = read_android_control(path).records
    assert (first.goal, first.episode_id, first.source, first.group) == (
        "Write to Ann",
        7,
        "android_control",
        "Write to Ann",
    )
    assert second.goal == "Other"
    assert [step.move for step in first.steps] == [Move("type", (100, 250), "ann"), Move("click", (100, 450))]
    assert [step.instruction for step in first.steps] == ["Tap To; Type ann", "Choose Ann"]
    shot = first.steps[0].shot
    assert (shot.title, shot.width, shot.height) == ("Mail", 1080, 2400)
    assert shot.elements == (
        Element("text", "9:41", "", "", Box(0, 0, 90, 40)),
        Element("field", "", "To", "", Box(40, 200, 1040, 330), clickable=True, editable=True),
        Element("item", "Ann, Hello", "", "", Box(0, 400, 1080, 600), clickable=True),
        Element("toggle", "Wi-Fi", "", "", Box(40, -90, 1040, -10), clickable=True, checked=False),
    )
    assert play([first, second]) == 2
    assert first.last is not None
    folder = tmp_path / "out"
    folder.mkdir()
    with_files = read_android_control(path, folder).records[0]
    assert [step.shot.screenshot for step in with_files.steps] == ["7_0.png", "7_2.png"]
    assert (folder / "7_2.png").read_bytes() == b"png2"


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        ({"episode_id": []}, "feature 'episode_id' has 0 values, expected 1."),
        ({"goal": [1]}, "feature 'goal' must hold bytes, got another kind."),
        ({"goal": b"\xff"}, "feature 'goal' is not UTF-8."),
        ({"actions": ["{", "{}", "{}"]}, "action '{': not JSON at column"),
        ({"actions": ["[]"] * 3}, "actions[0]: field 'action' must be an object, got list."),
        ({"accessibility_trees": [b"\x0a\xff"] * 4}, "damaged protocol buffer (an integer has no end)."),
        ({"accessibility_trees": [forest()] * 2}, "field 'screenshot_widths' has 4 for 2 screens."),
        (
            {
                "accessibility_trees": [
                    field(1, field(11, node(1, "A", (0, 0, 1, 1), (2,)) + node(2, "A", (0,), (1,))))
                ]
                * 4
            },
            "",
        ),
    ],
)
def test_what_is_no_episode_of_android_control_is_named(tmp_path, other, problem):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(record(episode()) + record(episode(**other)))
    if problem:
        with pytest.raises(DataError) as error:
            read_android_control(path)
        assert str(error.value).startswith(f"{path}:2: ")
        assert problem in str(error.value)
    else:  # nodes in a circle hang from no root
        assert len(read_android_control(path).skipped) == 1


def test_trees_that_go_in_a_circle_below_a_root_are_refused(tmp_path):
    circle = node(0, "A", (0, 0, 1, 1), (1,)) + node(1, "A", (0, 0, 1, 1), (2,)) + node(2, "A", (0, 0, 1, 1), (1,))
    path = tmp_path / "a.tfrecord"
    path.write_bytes(record(episode(accessibility_trees=[field(1, field(11, circle))] * 4)))
    with pytest.raises(DataError, match="deeper than 200 nodes, or goes in a circle"):
        read_android_control(path)


def count_records(path):
    content, at, count = path.read_bytes(), 0, 0
    while at < len(content):
        at += struct.unpack_from("<Q", content, at)[0] + 16
        count += 1
    return count


def test_200_damaged_files_of_android_control(tmp_path):
    path = tmp_path / "a.tfrecord"
    content = record(episode()) + record(episode(goal="Other"))
    damaged = partial(damage_bytes, content)
    read, refused = outcomes(path, damaged, partial(read_android_control, path), lambda _: count_records(path), [path])
    assert min(read, refused) > 10


# Android screens

SCREENS = [
    "screen_id,screen_annotation",
    '7,"PICTOGRAM three bars 0 132 30 109, TOOLBAR 0 999 31 109 (TEXT Account 171 352 54 84), '
    "LIST_ITEM 27 968 244 326 (LABEL Name 29 137 248 272 (LABEL Name 30 134 248 272), "
    "TEXT_INPUT 41 957 276 318 (LABEL Grace (TEXT Grace 60 331 278 309))), CHECKBOX 861 963 806 867, "
    'TEXT tel (ABN 42 061 438 006) now 1 2 3 4, BUTTON 5 6 7 8"',
    '8,"TEXT Hi 1 2 3 4"',
]
SCREENS[1] = SCREENS[1].replace("LABEL Grace (", "LABEL Grace 61 333 277 309 (")
QUESTIONS = [
    {"image_id": 7, "question": "Whose account?", "ground_truth": ["Grace", "Grace's", "Grace"]},
    {"image_id": 8, "question": "What is the price?", "ground_truth": ["<no answer>"]},
    {"image_id": 8, "question": "What is said?", "ground_truth": ["<no answer>", "Hi"]},
    {"image_id": 9, "question": "What else?", "ground_truth": ["x"]},
]


def write_screens(folder, questions=QUESTIONS):
    (folder / "s.csv").write_text("\n".join(SCREENS) + "\n")
    (folder / "q.json").write_text(json.dumps(questions))
    return folder / "s.csv", folder / "q.json"


def test_annotations_are_elements(tmp_path):
    shot = read_screens(write_screens(tmp_path)[0])[7]
    assert (shot.width, shot.height) == (1000, 1000)
    assert shot.elements == (
        Element("icon", "", "three bars", "", Box(0, 30, 132, 109), clickable=True),
        Element("text", "Account", "", "", Box(171, 54, 352, 84)),
        Element("text", "Name", "", "", Box(29, 248, 137, 272)),
        Element("field", "Grace", "", "", Box(41, 276, 957, 318), clickable=True, editable=True),
        Element("check", "", "", "", Box(861, 806, 963, 867), clickable=True, checked=False),
        Element("text", "tel (ABN 42 061 438 006) now", "", "", Box(1, 3, 2, 4)),
        Element("button", "", "", "", Box(5, 7, 6, 8), clickable=True),
    )


def test_questions_are_tasks_of_one_step(tmp_path):
    screens, questions = write_screens(tmp_path)
    content = read_screen_qa(screens, questions)
    assert [t.steps[0].move for t in content.records] == [
        Move("done", None, "Grace", ("Grace's", "Grace")),
        Move("infeasible", None, "no answer"),
        Move("done", None, "Hi"),
    ]
    assert [(t.episode_id, t.group) for t in content.records] == [("7_0", "7"), ("8_1", "8"), ("8_2", "8")]
    assert content.skipped == [(f"{questions}:1: entry[3]", "its screen is not annotated")]
    assert play(content.records) == 3


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["a,b"], "s.csv:1: the columns must be screen_id, screen_annotation; got"),
        ([SCREENS[0]], "s.csv:1: the file has no screens."),
        ([SCREENS[0], "x,TEXT a 1 2 3 4"], "s.csv:2: expected a screen's number and its annotation"),
        ([SCREENS[0], "1,TEXT a 1 2 3"], "s.csv:2: no annotation from character 1 on: 'TEXT a 1 2 3'."),
        ([SCREENS[0], "1,TEXT a 1 2 3 4 (TEXT b 1 2 3 4"], "s.csv:2: expected ')' at character 31."),
        ([SCREENS[0], "1,TEXT a 1 2 3 4", "1,TEXT a 1 2 3 4"], "s.csv:3: screen 1 is there twice."),
        ([SCREENS[0], '1,"TEXT'], "s.csv:2: not CSV (unexpected end of data)."),
    ],
)
def test_what_is_no_annotation_is_named(tmp_path, lines, problem):
    (tmp_path / "s.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError) as error:
        read_screens(tmp_path / "s.csv")
    assert problem in str(error.value)


def test_200_damaged_files_of_screens_and_of_questions(tmp_path):
    screens, questions = write_screens(tmp_path)
    read = partial(read_screen_qa, screens, questions)
    damaged, count = partial(damage_bytes, screens.read_bytes()), partial(number_of, questions)
    good, refused = outcomes(screens, damaged, read, lambda _: count(), [screens])
    assert min(good, refused) > 20
    write_screens(tmp_path)
    good, refused = outcomes(questions, json_damage(QUESTIONS), read, lambda _: count(), [questions])
    assert min(good, refused) > 20


def expression(label=1, **other):
    boxes = {"xmin": [0.0, 0.5, 0.1], "ymin": [0.0, 0.5, 0.8], "xmax": [0.1, 1.0, 0.2], "ymax": [0.1, 0.6, 0.9]}
    leaves = {"xmin": [0.5, 0.0], "ymin": [0.5, 0.2], "xmax": [1.0, 0.5], "ymax": [0.59, 0.3]}
    features = {
        "image/id": "42",
        "image/ref_exp/text": "press the save button",
        "image/ref_exp/label": [label],
        **{f"image/object/bbox/{side}": values for side, values in boxes.items()},
        **{f"image/view_hierarchy/bbox/{side}": values for side, values in leaves.items()},
        "image/view_hierarchy/text": ["save", "title"],
        "image/view_hierarchy/description": ["", ""],
        "image/view_hierarchy/id/name": ["", "top"],
        "image/view_hierarchy/class/name": ["BUTTON", "TEXT_VIEW"],
    }
    return example(**{**features, **other})


def test_expressions_are_clicks(tmp_path):
    path = tmp_path / "a.tfrecord"
    path.write_bytes(record(expression()))
    (found,) = read_ref_exp(path).records
    assert (found.goal, found.group, found.source) == ("press the save button", "42", "uibert")
    assert found.steps[0].shot.elements == (
        Element("icon", "", "", "", Box(0, 0, 144, 256), clickable=True),
        Element("text", "title", "", "top", Box(0, 512, 720, 768)),
        Element("button", "save", "", "", Box(720, 1280, 1440, 1536), clickable=True),
        Element("icon", "", "", "", Box(144, 2048, 288, 2304), clickable=True),
    )
    assert found.steps[0].move == Move("click", (1080, 1408))
    assert play([found]) == 1
    path.write_bytes(record(expression(label=3)))
    with pytest.raises(DataError, match=r"a.tfrecord:1: the right box is number 3 of 3\."):
        read_ref_exp(path)


def test_200_damaged_files_of_expressions(tmp_path):
    path = tmp_path / "a.tfrecord"
    damaged = partial(damage_bytes, record(expression()) + record(expression(2)))
    read, refused = outcomes(path, damaged, partial(read_ref_exp, path), lambda _: count_records(path), [path])
    assert read + refused == 200  # nearly all damage is found: the lists must be as long as each other
    assert refused > 100


# Real files


@real("android_screens")
def test_the_real_expressions():
    content = read_ref_exp(REAL / "android_screens/uibert.ref_exp.dev.tfrecord.gz")
    assert (len(content.records), content.skipped) == (509, [])
    assert play(content.records, 100) == 509
    assert play(content.records) == 471


@real("android_screens")
@pytest.mark.parametrize(("name", "number"), [("short_answers.validation", 349), ("complex_qa.data", 501)])
def test_the_real_questions_and_their_screens(name, number, tmp_path):
    folder = REAL / "android_screens"
    content = read_screen_qa(folder / "screen_annotation.valid.csv.gz", folder / f"screen_qa.{name}.json.gz")
    assert len(content.records) == number
    assert {skipped.reason for skipped in content.skipped} == {"its screen is not annotated"}
    assert play(content.records) == number
    write_trajectories(tmp_path / "a.jsonl", content.records)
    assert read_trajectories(tmp_path / "a.jsonl").records == content.records


def part_of(path, every):
    """An archive of some of the real demonstrations."""
    with tarfile.open(REAL / "miniwob_demos/demos.tar.gz") as tar, tarfile.open(path, "w") as part:
        for i, member in enumerate(m for m in tar if m.isfile()):
            if i % every == 0:
                part.addfile(member, tar.extractfile(member))
    return path


@real("miniwob_demos")
@pytest.mark.parametrize("every", [25, pytest.param(1, marks=pytest.mark.long)])
def test_the_real_demonstrations(tmp_path, every):
    content = read_miniwob(part_of(tmp_path / "part.tar", every))
    rates = np.array(list(conversion_rates(content).values()))
    converted, all_of_them = rates.sum(axis=0)
    assert all_of_them == -(-3236 // every)
    assert converted / all_of_them > 0.9
    succeeded = [trajectory for trajectory in content.records if trajectory.success]
    assert play(succeeded) > 0.98 * len(succeeded)
    assert "recordingTarget" not in repr(content.records)
    write_trajectories(tmp_path / "a.jsonl", content.records)
    assert read_trajectories(tmp_path / "a.jsonl").records == content.records
