"""The grammar of actions."""

import pytest
from cost import cost
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.uinav.interface.actions import DIRECTIONS, KINDS, OTHER_NAMES, Action, ActionError, parse_action
from envs.uinav.interface.lenient import find_action

text = st.text(max_size=40)
numbers = st.integers(0, 9999)
actions = st.one_of(
    st.builds(Action, st.sampled_from(["click", "long_press"]), numbers, st.just("")),
    st.builds(Action, st.just("type"), numbers, text),
    st.builds(Action, st.just("scroll"), st.just(0), st.sampled_from(DIRECTIONS)),
    st.builds(Action, st.sampled_from(["open_app", "done", "infeasible"]), st.just(0), text),
    st.builds(Action, st.sampled_from(["back", "home", "wait"]), st.just(0), st.just("")),
)


def read(response):
    """The action, or None and why not."""
    try:
        return parse_action(response), ""
    except ActionError as error:
        return None, str(error)


@given(actions)
@settings(max_examples=3000)
def test_reading_undoes_printing(action):
    assert parse_action(str(action)) == action


@given(st.one_of(st.text(), st.builds("{}({})".format, st.sampled_from(KINDS), st.text())))
@settings(max_examples=10_000)
def test_any_text_is_an_action_or_says_why_not(response):
    action, why = read(response)
    if action is None:
        assert why
        assert "\n" not in why
    else:
        assert action.kind in KINDS
        assert read(str(action)) == (action, "")


@pytest.mark.parametrize(
    ("response", "action"),
    [
        ("click(3)", Action("click", 3)),
        (" click ( 3 ) \n", Action("click", 3)),
        ("long_press(12)", Action("long_press", 12)),
        ("type(4, bob@x.com)", Action("type", 4, "bob@x.com")),
        ('type(4, "bob@x.com")', Action("type", 4, "bob@x.com")),
        ("type(4,see you (both), then)", Action("type", 4, "see you (both), then")),
        ('type(4, " x\\n")', Action("type", 4, " x\n")),
        ('type(4, say "hi")', Action("type", 4, 'say "hi"')),
        ('type(4, "a" and "b")', Action("type", 4, '"a" and "b"')),
        ("type(4, )", Action("type", 4, "")),
        ("scroll(down)", Action("scroll", 0, "down")),
        ('scroll("down")', Action("scroll", 0, "down")),
        ("back()", Action("back")),
        ("home( )", Action("home")),
        ("wait()", Action("wait")),
        ("open_app(Mail)", Action("open_app", 0, "Mail")),
        ("done()", Action("done")),
        ("done(7:30)", Action("done", 0, "7:30")),
        ("infeasible(no such mail)", Action("infeasible", 0, "no such mail")),
    ],
)
def test_what_is_read(response, action):
    assert parse_action(response) == action


@pytest.mark.parametrize(
    ("response", "why"),
    [
        ("", "not an action, expected one of click, long_press, type"),
        ("press(3)", "not an action"),
        ("click 3", "not an action"),
        ("click(3) click(4)", "click takes the number of an element"),
        ("click(x)", "click takes the number of an element"),
        ("click(-1)", "click takes the number of an element"),
        ("click(10000)", "click takes the number of an element"),
        ("click(٣)", "click takes the number of an element"),
        ("type(4)", "type takes the number of an element, a comma and a text"),
        ("type(x, y)", "type takes the number of an element, a comma and a text"),
        ("scroll(sideways)", "scroll takes up, down, left, right"),
        ("back(3)", "back takes nothing"),
    ],
)
def test_what_is_not_read_says_why(response, why):
    with pytest.raises(ActionError, match=why.replace("(", r"\(")):
        parse_action(response)


@pytest.mark.parametrize(
    ("action", "printed"),
    [
        (Action("type", 4, "bob@x.com"), "type(4, bob@x.com)"),
        (Action("type", 4, ""), 'type(4, "")'),
        (Action("type", 4, "a\nb"), 'type(4, "a\\nb")'),
        (Action("type", 4, '"a"'), 'type(4, "\\"a\\"")'),
        (Action("done", 0, "é"), "done(é)"),
        (Action("done"), "done()"),
    ],
)
def test_what_is_printed(action, printed):
    assert str(action) == printed


@pytest.mark.parametrize("end", ["", "x"])
@pytest.mark.parametrize("part", [" ", ")", ") ", '"', "click(", "1,", "\\"])
def test_long_text_takes_no_long_time(part, end):
    response = "type(1," + part * (20_000 // len(part)) + end
    assert cost(lambda: read(response), enough=0.02) < 0.02


def test_every_kind_has_its_names_elsewhere():
    control = {"click", "long_press", "scroll", "open_app", "input_text", "navigate_home", "navigate_back", "wait"}
    world = control | {"answer", "status"}
    assert {name for name, _ in OTHER_NAMES.values() if name} == control
    assert {name for _, name in OTHER_NAMES.values()} == world
    assert len({name for _, name in OTHER_NAMES.values()}) == len(KINDS) == 10


# What language models write around an action.


@given(actions)
@settings(max_examples=1000)
def test_an_action_alone_is_read_as_it_stands_but_for_its_quotes(action):
    text = action.text
    quoted = len(text) > 1 and text[0] + text[-1] in ("''", "``", "‘’", "“”", "„“", "«»")
    assert find_action(str(action)) == (action._replace(text=text[1:-1]) if quoted else action)


plain = st.from_regex(r"[a-z0-9][a-z0-9 .:'@]{0,20}[a-z0-9]", fullmatch=True).filter(lambda text: "action" not in text)


@given(actions, plain, st.sampled_from(["{}.", "`{}`", "ACTION: {}", "**{}**", "I see it.\n\n{}\n", "```\n{}\n```"]))
@settings(max_examples=1000)
def test_an_action_is_found_in_what_stands_around_it(action, said, around):
    action = action._replace(text=said) if action.kind in ("type", "open_app", "done", "infeasible") else action
    assert find_action(around.format(action)) == action


@given(st.one_of(st.text(), st.builds("{}({}) {}".format, st.sampled_from(KINDS), st.text(), st.text())))
@settings(max_examples=3000)
def test_any_text_leniently_read_is_an_action_or_says_why_not(response):
    try:
        found = find_action(response)
    except ActionError:
        return
    assert found.kind in KINDS
    assert parse_action(str(found)).kind == found.kind


@pytest.mark.parametrize(
    ("response", "action"),
    [
        ("click(3).", Action("click", 3)),
        ("Click(3)", Action("click", 3)),
        ("CLICK (3)!", Action("click", 3)),
        ("`click(3)`", Action("click", 3)),
        ("```\nclick(3)\n```", Action("click", 3)),
        ("```python\nclick(3)\n```", Action("click", 3)),
        ("ACTION: click(3)", Action("click", 3)),
        ("type(1, Hello)\nACTION:", Action("type", 1, "Hello")),
        ("ACTION: click(2)\nI am done. ACTION: ```", Action("click", 2)),
        ("The mail is at 5, so I tap it.\n\nAction: click(5)", Action("click", 5)),
        ("I will click(4) to open it.", Action("click", 4)),
        ("- open_app(Mail)\n- click(3)", Action("open_app", 0, "Mail")),
        ("click('3')", Action("click", 3)),
        ('click("3")', Action("click", 3)),
        ("click([3])", Action("click", 3)),
        ("type(4, 'see you')", Action("type", 4, "see you")),
        ("type(4, \u201csee you\u201d)", Action("type", 4, "see you")),
        ("type([4], don\u2019t)", Action("type", 4, "don\u2019t")),
        ("open_app('Mail').", Action("open_app", 0, "Mail")),
        ("Scroll(Down)", None),
        ("back", Action("back")),
        ("Done.", Action("done")),
        ("I am done with it", None),
        ("press(3)", None),
        ("", None),
    ],
)
def test_what_is_read_leniently(response, action):
    if action is None:
        with pytest.raises(ActionError):
            find_action(response)
    else:
        assert find_action(response) == action
