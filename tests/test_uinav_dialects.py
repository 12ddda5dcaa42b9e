"""Actions in the dialects of others."""

import json
import warnings

import pytest
from cost import cost
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.uinav.dialects import DIALECTS, dialect_of
from envs.uinav.interface.actions import DIRECTIONS, EXAMPLES, INSTRUCTIONS, Action, ActionError
from envs.uinav.interface.screen import Box, Element, Screen
from perlhf.errors import UserError

OTHERS = [name for name in DIALECTS if name != "elements"]
SCALED = [*OTHERS, "coordinates:1", "coordinates:1000", "qwen:1000", "ui-tars:280x504"]


def element(kind, label, box, **more):
    return Element(kind, label, "", label, Box(*box), clickable=True, **more)


SEND = element("button", "Send", (12, 64, 276, 104))
NAME = element("field", "Name", (12, 104, 276, 152), editable=True)
TEXT = element("field", "Text", (12, 152, 276, 200), editable=True, focused=True)
ENTER = element("key", "Enter", (232, 444, 280, 482))
SCREEN = Screen("Mail", "", (), (SEND, NAME, TEXT, ENTER))  # middles: (144, 84), (144, 128), (144, 176), (256, 463)
QUIET = Screen("Mail", "", (), (SEND, NAME))  # no field is typed into, and there is no keyboard


def call(**arguments):
    return "<tool_call>\n" + json.dumps({"name": "mobile_use", "arguments": arguments}) + "\n</tool_call>"


def read(dialect, response, screen=SCREEN, lenient=False):
    """The action, or why it is none."""
    try:
        return dialect_of(dialect).parse(response, screen, lenient)
    except ActionError as error:
        return str(error)


# What is read and printed; the numbers and points are those of the screen above.

CLICK, LONG, TYPED = Action("click", 1), Action("long_press", 1), Action("type", 3, "hi")
SUBMIT, ELSEWHERE, DOWN, RIGHT = (
    Action("submit", 3, "hi"),
    Action("type", 2, "it's"),
    Action("scroll", 0, "down"),
    Action("scroll", 0, "right"),
)
PRINTED = {
    "coordinates": {
        CLICK: "click(144, 84)",
        LONG: "long_press(144, 84)",
        TYPED: "type(hi)",
        SUBMIT: 'type("hi\\n")',
        ELSEWHERE: "type(144, 128, it's)",
        DOWN: "scroll(down)",
        Action("back"): "back()",
        Action("done", 0, "7:30"): "done(7:30)",
        Action("infeasible", 0, "no mail"): "infeasible(no mail)",
    },
    "coordinates:1": {CLICK: "click(0.5017, 0.1650)", TYPED: "type(hi)"},
    "coordinates:1000": {CLICK: "click(502, 165)", ELSEWHERE: "type(502, 251, it's)"},
    "qwen": {
        CLICK: call(action="click", coordinate=[144, 84]),
        TYPED: call(action="type", text="hi"),
        SUBMIT: call(action="type", text="hi") + "\n" + call(action="system_button", button="Enter"),
        ELSEWHERE: call(action="click", coordinate=[144, 128]) + "\n" + call(action="type", text="it's"),
        DOWN: call(action="swipe", coordinate=[144, 360], coordinate2=[144, 160]),
        RIGHT: call(action="swipe", coordinate=[240, 256], coordinate2=[48, 256]),
        Action("open_app", 0, "Mail"): call(action="open", text="Mail"),
        Action("home"): call(action="system_button", button="Home"),
        Action("wait"): call(action="wait"),
        Action("answer", 0, "7:30"): call(action="answer", text="7:30"),
        Action("done"): call(action="terminate", status="success"),
        Action("done", 0, "7:30"): call(action="answer", text="7:30")
        + "\n"
        + call(action="terminate", status="success"),
        Action("infeasible", 0, "no"): call(action="terminate", status="failure", text="no"),
    },
    "qwen:1000": {CLICK: call(action="click", coordinate=[502, 165])},
    "ui-tars": {
        CLICK: "Action: click(start_box='(144,84)')",
        LONG: "Action: long_press(start_box='(144,84)')",
        TYPED: "Action: type(content='hi')",
        SUBMIT: "Action: type(content='hi\\n')",
        ELSEWHERE: "Action: click(start_box='(144,128)')\n\ntype(content='it\\'s')",
        DOWN: "Action: scroll(start_box='(144,256)', direction='down')",
        Action("open_app", 0, "Mail"): "Action: open_app(app_name='Mail')",
        Action("home"): "Action: press_home()",
        Action("done", 0, "7:30"): "Action: finished(content='7:30')",
        Action("infeasible", 0, "no"): "Action: call_user(content='no')",
    },
    "androidworld": {
        CLICK: '{"action_type": "click", "index": 1}',
        SUBMIT: '{"action_type": "input_text", "text": "hi", "index": 3}',
        DOWN: '{"action_type": "scroll", "direction": "down"}',
        Action("home"): '{"action_type": "navigate_home"}',
        Action("open_app", 0, "Mail"): '{"action_type": "open_app", "app_name": "Mail"}',
        Action("done"): '{"action_type": "status", "goal_status": "complete"}',
        Action("answer", 0, "7:30"): '{"action_type": "answer", "text": "7:30"}',
        Action("infeasible", 0, "no"): '{"action_type": "status", "goal_status": "infeasible", "text": "no"}',
    },
    "browsergym": {
        CLICK: "click('1')",
        TYPED: "fill('3', 'hi')",
        SUBMIT: "fill('3', 'hi')\npress('3', 'Enter')",
        DOWN: "scroll(0, 200)",
        RIGHT: "scroll(200, 0)",
        Action("back"): "go_back()",
        Action("wait"): "noop()",
        Action("open_app", 0, "Mail"): "open_app('Mail')",
        Action("done", 0, "7:30"): "send_msg_to_user('7:30')",
        Action("infeasible", 0, "no"): "report_infeasible('no')",
    },
}


@pytest.mark.parametrize(
    ("dialect", "action", "said"), [(d, a, s) for d, each in PRINTED.items() for a, s in each.items()]
)
def test_what_is_printed_is_read_back(dialect, action, said):
    assert dialect_of(dialect).write(action, SCREEN) == said
    assert read(dialect, said) == action


UP, LEFT = Action("scroll", 0, "up"), Action("scroll", 0, "left")
ENTERED = Action("click", 4)


@pytest.mark.parametrize(
    ("dialect", "said", "action"),
    [
        # The finger of a swipe moves up: what is further down is shown.
        ("coordinates", "swipe(144, 400, 144, 100)", DOWN),
        ("coordinates", "swipe((144, 100), (150, 400))", UP),
        ("coordinates", "swipe(250, 200, 20, 210)", RIGHT),
        ("qwen", call(action="swipe", coordinate=[20, 200], coordinate2=[250, 200]), LEFT),
        ("ui-tars", "Action: drag(start_box='(144,400)', end_box='(144,100)')", DOWN),
        # A scroll names what is to be seen.
        ("ui-tars", "Action: scroll(point='<point>144 256</point>', direction='up')", UP),
        ("androidworld", '{"action_type": "scroll", "direction": "up"}', UP),
        ("androidworld", '{"action_type": "scroll", "direction": "left", "index": 2}', LEFT),
        # AndroidWorld's swipe is the finger's way up and down alone: left and right are as those of a scroll there.
        ("androidworld", '{"action_type": "swipe", "direction": "up"}', DOWN),
        ("androidworld", '{"action_type": "swipe", "direction": "left"}', LEFT),
        ("browsergym", "scroll(0, -100.5)", UP),
        ("browsergym", "scroll(delta_x=-50, delta_y=10)", LEFT),
        # The field that is typed into, and Enter.
        ("coordinates", "enter()", ENTERED),
        ("coordinates", "terminate(failure, no mail)", Action("infeasible", 0, "no mail")),
        ("coordinates", "terminate(success)", Action("done")),
        ("qwen", call(action="system_button", button="Enter"), ENTERED),
        ("qwen", call(action="key", text="enter"), ENTERED),
        ("qwen", call(action="terminate", status="failure"), Action("infeasible", 0, "failure")),
        ("ui-tars", "Action: hotkey(key='enter')", ENTERED),
        ("ui-tars", "Thought: I see it.\nAction: click(start_box='<|box_start|>(144,84)<|box_end|>')", CLICK),
        ("ui-tars", "Action: click(start_box='[134, 74, 154, 94]')", CLICK),
        ("ui-tars", "Action: click(point='<point>144 84</point>')", CLICK),
        ("ui-tars", "Thought: There is none.\nAction: call_user()", Action("infeasible", 0, "There is none.")),
        ("ui-tars", "Action: finished()", Action("done")),
        ("androidworld", '{"action_type": "click", "x": 144, "y": 84}', CLICK),
        ("androidworld", '{"action_type": "click", "index": "1"}', CLICK),
        ("androidworld", '{"action_type": "input_text", "text": "hi", "clear_text": true}', SUBMIT),
        ("androidworld", '{"action_type": "keyboard_enter"}', ENTERED),
        ("androidworld", 'Reason: I see it.\nAction: {"action_type": "click", "index": 1}', CLICK),
        (
            "androidworld",
            '{"action_type": "status", "goal_status": "infeasible"}',
            Action("infeasible", 0, "infeasible"),
        ),
        ("browsergym", "keyboard_press('Enter')", ENTERED),
        ("browsergym", "press('3', 'Enter')", ENTERED),
        ("browsergym", "keyboard_type('hi')", TYPED),
        ("browsergym", 'fill(bid="3", value="h\\x69")', TYPED),
        ("browsergym", "clear('3')", Action("type", 3, "")),
        ("browsergym", "mouse_click(144, 84.5)", CLICK),
        ("browsergym", "noop(500)", Action("wait")),
    ],
)
def test_what_is_read(dialect, said, action):
    assert read(dialect, said) == action


def test_a_backslash_that_needs_none_is_read_without_a_word():
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        assert read("browsergym", r"fill('3', 'C:\disk')") == Action("type", 3, "C:\\disk")
    assert warned == []


@pytest.mark.parametrize(
    ("dialect", "said", "why"),
    [
        ("coordinates", "click(3)", "click takes a point, x and y"),
        ("coordinates", "click(5, 5)", "nothing is at (5, 5)"),
        ("coordinates", "click(288.5, 84)", "(288.5, 84) is off the picture, which ends at (288, 512)"),
        ("coordinates:1", "click(144, 84)", "(144, 84) is off the picture, which ends at (1, 1)"),
        ("coordinates", "swipe(5, 5, 5, 5)", "a swipe from (5, 5) to (5, 5) does not move"),
        ("coordinates", "tap(144, 84)", "not an action, expected one of click, long_press"),
        ("coordinates", "click(144, 84).", "not an action"),
        ("qwen", "click", "not an action, expected a call of mobile_use in <tool_call>"),
        ("qwen", call(action="click"), 'click takes "coordinate", [x, y]'),
        ("qwen", call(action="system_button", button="Menu"), "this phone has no button 'Menu'"),
        ("qwen", call(action="wait") + call(action="wait"), "2 actions at once; only a click with the typing"),
        ("ui-tars", "click(start_box='(144,84)')", "not an action, expected 'Action: '"),
        ("ui-tars", "Action: left_double(start_box='(144,84)')", "no action 'left_double'"),
        ("ui-tars", "Action: scroll(start_box='(144,84)', direction='in')", "scroll takes direction, one of up"),
        ("androidworld", '{"action_type": "double_tap", "index": 1}', "no action_type 'double_tap'"),
        ("androidworld", '{"action_type": "click"}', 'click takes "index", or "x" and "y"'),
        ("androidworld", '{"action_type": "click", "index": 1, "x": 3, "y": 4}', "not both"),
        ("browsergym", "click('1', button='right')", "a phone has one button"),
        ("browsergym", "click(a1)", "the arguments of click must be numbers, or texts in quotes"),
        ("browsergym", "press('2', 'Enter')", "element 2 is not typed into, click it first"),
        ("browsergym", "goto('http://x.com')", "no action 'goto'"),
        ("browsergym", "click('1') click('2')", "2 actions at once"),
    ],
)
def test_what_is_not_read_says_why(dialect, said, why):
    assert why in read(dialect, said)


@pytest.mark.parametrize("dialect", SCALED)
def test_typing_and_enter_need_a_field_and_a_keyboard(dialect):
    entering = {
        "coordinates": ("type(hi)", "enter()"),
        "qwen": (call(action="type", text="hi"), call(action="system_button", button="Enter")),
        "ui-tars": ("Action: type(content='hi')", "Action: press_enter()"),
        "androidworld": ('{"action_type": "input_text", "text": "hi"}', '{"action_type": "keyboard_enter"}'),
        "browsergym": ("keyboard_type('hi')", "keyboard_press('Enter')"),
    }
    typing, enter = entering[dialect.partition(":")[0]]
    assert read(dialect, typing, QUIET) == "no field that can be seen is typed into, click one first"
    assert read(dialect, enter, QUIET) == "no keyboard is shown, so there is no Enter"


# What language models write around an action.

TOOL = call(action="click", coordinate=[144, 84])


@pytest.mark.parametrize(
    ("dialect", "said", "action"),
    [
        ("coordinates", "`click(144, 84)`.", CLICK),
        ("coordinates", "I tap Send.\nACTION: Click(144,84)", CLICK),
        ("coordinates", "```\nclick((144, 84))\n```", CLICK),
        ("coordinates", "type(144, 128, \u2018hi\u2019)", Action("type", 2, "hi")),
        ("coordinates", "type('hi')", TYPED),
        ("coordinates", "Done.", Action("done")),
        ("coordinates", "click(144, 84) (Send) and then click(1, 1)", CLICK),
        ("qwen", f"Action: tap the button Send.\n{TOOL}", CLICK),
        ("qwen", "<think>I see it.</think>" + TOOL.removesuffix("\n</tool_call>"), CLICK),
        ("qwen", '```json\n{"action": "CLICK", "coordinate": [144, 84]}\n```', CLICK),
        ("qwen", "{'name': 'mobile_use', 'arguments': {'action': 'type', 'text': 'hi'}}", TYPED),
        ("ui-tars", "click(start_box='(144,84)').", CLICK),
        ("ui-tars", "Thought: (a thought)\nACTION: `Click(point='<point>144 84</point>')`", CLICK),
        ("ui-tars", "Action: type(content=\u201chi\u201d)", TYPED),
        ("androidworld", 'The button is 1.\n```json\n{"action_type": "click", "index": 1}\n```', CLICK),
        ("androidworld", "Action: {'action_type': 'Click', 'index': 1}.", CLICK),
        ("androidworld", "{\u201caction_type\u201d: \u201cwait\u201d}", Action("wait")),
        ("browsergym", "I think so.\n```\nclick('1')\n```", CLICK),
        ("browsergym", "Action: CLICK([1])", CLICK),
        ("browsergym", "fill(3, \u2018hi\u2019)", TYPED),
        ("browsergym", "click('1')\nclick('2')", CLICK),
        ("browsergym", "click('1'), then scroll(0, 0)", CLICK),
        ("androidworld", '{"action_type": "click", "index": 1}{"action_type": "fly"}', CLICK),
    ],
)
def test_what_is_read_leniently(dialect, said, action):
    assert read(dialect, said, lenient=True) == action
    assert read(dialect, said) != action


@pytest.mark.parametrize("dialect", SCALED)
@given(said=st.one_of(st.text(), st.text("click(){}[]'\"<>,:1 \n`action"), st.just("[" * 5000), st.just("{" * 5000)))
@settings(max_examples=150, deadline=None)
def test_any_text_is_an_action_or_says_why_not(dialect, said):
    for lenient in (False, True):
        found = read(dialect, said, lenient=lenient)
        assert found
        assert "\n" not in str(found if isinstance(found, str) else found.kind)


@pytest.mark.parametrize("dialect", OTHERS)
@pytest.mark.parametrize("part", ["click(", "{", "'", "<tool_call>", "Action:", "click('1',", "\u2018", "[", '{"a":'])
def test_long_text_takes_no_long_time(dialect, part):
    said = part * (20_000 // len(part))
    assert cost(lambda: read(dialect, said, lenient=True), enough=0.05) < 0.05


# Round trips.

text = st.text(max_size=30)
actions = st.one_of(
    st.builds(Action, st.sampled_from(["click", "long_press"]), st.integers(1, 4), st.just("")),
    st.builds(Action, st.sampled_from(["type", "submit"]), st.integers(1, 4), text),
    st.builds(Action, st.just("scroll"), st.just(0), st.sampled_from(DIRECTIONS)),
    st.builds(Action, st.sampled_from(["open_app", "done", "infeasible"]), st.just(0), text),
    st.builds(Action, st.sampled_from(["back", "home", "wait"]), st.just(0), st.just("")),
)


@pytest.mark.parametrize("dialect", SCALED)
@given(action=actions, screen=st.sampled_from([SCREEN, QUIET]))
@settings(max_examples=200, deadline=None)
def test_reading_undoes_printing(dialect, action, screen):
    if action.element > len(screen.elements):
        return
    read_back = read(dialect, dialect_of(dialect).write(action, screen), screen)
    if dialect == "androidworld" and action.kind == "type":  # which has no typing without Enter
        action = action._replace(kind="submit")
    if dialect.startswith(("coordinates", "ui-tars")) and action.kind in ("type", "submit"):
        # A line break at the end would stand for Enter; a field holds a space for it.
        bare = action.text.rstrip("\n")
        action = action._replace(text=bare + " " * (len(action.text) - len(bare)))
    assert read_back == action


# What a model is told.


@pytest.mark.parametrize("dialect", SCALED)
def test_a_model_is_told_the_grammar_in_ten_lines_and_shown_it(dialect):
    made = dialect_of(dialect)
    assert len(made.instructions.split("\n")) == 10
    assert all(len(line) <= 140 for line in made.instructions.split("\n"))
    assert [prompt.split("\n")[0] for prompt, _ in made.examples] == [prompt.split("\n")[0] for prompt, _ in EXAMPLES]
    assert "ERROR not an action" in made.examples[1][0]
    kinds = [made.said(response, False).kind for _, response in made.examples]
    assert kinds == ["open_app", "click", "submit" if dialect == "androidworld" else "type"]


def test_the_actions_on_elements_are_told_as_ever():
    elements = DIALECTS["elements"]
    assert (elements.instructions, elements.examples) == (INSTRUCTIONS, EXAMPLES)
    assert read("elements", "click(3)") == Action("click", 3)
    assert read("elements", "Click(3).", lenient=True) == Action("click", 3)
    assert elements.write(Action("type", 4, "bob@x.com"), SCREEN) == "type(4, bob@x.com)"
    assert elements.said("click(3)", False).target == 3
    assert elements.said("`click(3)`", True).target == 3


@pytest.mark.parametrize(
    ("actions", "why"),
    [
        ("pixels", "unknown actions 'pixels'"),
        ("coordinate", "Did you mean 'coordinates'?"),
        ("elements:1000", "the actions on elements have no points"),
        ("qwen:", "a scale is missing behind the colon"),
        ("qwen:999", "unknown scale ':999' of points"),
        ("qwen:0x5", "unknown scale ':0x5' of points"),
        ("coordinates:1x2x3", "unknown scale ':1x2x3' of points"),
        (None, "actions must be a text, one of elements, "),
        (["qwen"], r"actions must be a text, [^\n]*; got \['qwen'\]"),
    ],
)
def test_what_is_no_dialect_is_refused_in_one_line(actions, why):
    with pytest.raises(UserError, match=why) as refused:
        dialect_of(actions)
    assert "\n" not in str(refused.value)


# Points.


def test_a_point_is_resolved_to_what_takes_the_touch():
    row = element("item", "Row", (0, 0, 100, 100))
    word = Element("text", "Word", "", "", Box(10, 10, 50, 20))  # inside of the row, and takes no touch itself
    star = element("icon", "Star", (60, 60, 90, 90))  # inside of the row
    twin = element("button", "Twin", (60, 60, 90, 90))  # in front of the star
    alone = Element("text", "Alone", "", "", Box(200, 0, 280, 20))
    screen = Screen("X", "", (), (row, word, star, twin, alone))
    assert [screen.at(15, 15), screen.at(65, 65), screen.at(99, 99), screen.at(100, 99), screen.at(210, 5)] == [
        1,
        4,
        1,
        0,
        5,
    ]
    assert dialect_of("coordinates").write(Action("click", 1), screen) == "click(50, 50)"
    hidden = Screen("X", "", (), (star, element("icon", "Corner", (70, 70, 90, 90))))
    assert screen.at(75, 75) == 4
    said = dialect_of("coordinates").write(Action("click", 1), hidden)  # its middle, (75, 75), is covered
    assert read("coordinates", said, hidden) == Action("click", 1)
    assert read("coordinates", "click(75, 75)", hidden) == Action("click", 2)


def test_a_touch_is_where_the_response_says_whether_something_is_there_or_not():
    made = dialect_of("coordinates:1000")
    assert made.touched("click(17, 10)", SCREEN) == (4, 5)
    assert made.touched("swipe(1, 1, 1, 9)", SCREEN) is None
    assert made.touched("what", SCREEN) is None
    assert dialect_of("browsergym").touched("click('2')", SCREEN) == (144, 128)
    assert dialect_of("browsergym").touched("click('9')", SCREEN) is None
