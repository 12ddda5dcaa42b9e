"""Scripted agents for MiniWoB++'s tasks: each reads goal and elements, and yields responses; a new screen each time."""

import re


def number(screen, *labels, kind=""):
    """The number of the first element that is called one of these."""
    return next(
        i for i, e in enumerate(screen().elements, 1) if {e.label, e.text} & set(labels) and e.kind.startswith(kind)
    )


def quoted(goal):
    return re.findall(r'"([^"]+)"', goal)


def click_test(goal, screen):
    yield f"click({number(screen, 'Click Me!')})"


def click_test_2(goal, screen):
    yield f"click({number(screen, 'ONE')})"


def click_named(goal, screen):
    yield f"click({number(screen, *quoted(goal))})"


def click_button(goal, screen):
    yield f"click({number(screen, *quoted(goal), kind='button')})"


def click_dialog(goal, screen):
    yield f"click({number(screen, 'Close')})"


def chosen_and_sent(goal, screen):
    """Select A, B and C from ..., then Submit."""
    names = re.search(r"Select (.*?) (?:from the list )?and click Submit", goal)[1]
    for name in [] if names == "nothing" else names.split(", "):
        yield f"click({number(screen, name)})"
    yield f"click({number(screen, 'Submit')})"


def choose_list(goal, screen):
    name = re.search("Select (.*) from the list", goal)[1]
    yield f"type({number(screen, 'options')}, {name})"
    yield f"click({number(screen, 'Submit')})"


def enter_text(goal, screen):
    yield f"type({number(screen, 'tt')}, {quoted(goal)[0]})"
    yield f"click({number(screen, 'Submit')})"


def enter_date(goal, screen):
    month, day, year = re.search(r"(\d+)/(\d+)/(\d+)", goal).groups()
    yield f"type({number(screen, 'tt')}, {year}-{int(month):02}-{int(day):02})"
    yield f"click({number(screen, 'Submit')})"


def login_user(goal, screen):
    name, password = quoted(goal)
    yield f"type({number(screen, 'Username', 'username', kind='field')}, {name})"
    yield f"type({number(screen, 'Password', 'password', kind='field')}, {password})"
    yield f"click({number(screen, 'Login')})"


def enter_password(goal, screen):
    for field in ("Password", "Verify password"):
        yield f"type({number(screen, field, kind='field')}, {quoted(goal)[0]})"
    yield f"click({number(screen, 'Submit')})"


def click_collapsible(goal, screen):
    yield f"click({next(i for i, e in enumerate(screen().elements, 1) if e.text.startswith('Section'))})"
    yield f"click({number(screen, 'Submit')})"


SCRIPTS = {
    "click-test": click_test,
    "click-test-2": click_test_2,
    "click-link": click_named,
    "click-button": click_button,
    "click-dialog": click_dialog,
    "click-option": chosen_and_sent,
    "click-checkboxes": chosen_and_sent,
    "choose-list": choose_list,
    "enter-text": enter_text,
    "enter-date": enter_date,
    "login-user": login_user,
    "enter-password": enter_password,
    "click-collapsible": click_collapsible,
}
