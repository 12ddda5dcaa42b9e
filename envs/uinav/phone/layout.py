"""Lays out what a phone shows: widgets get their boxes, and those that are scrolled away or covered are left out."""

from collections.abc import Iterable, Sequence
from math import ceil
from typing import Any, Final, NamedTuple

from envs.uinav.interface.screen import WIDTH, Box, Element, Screen, framed
from envs.uinav.phone.app import app_of
from envs.uinav.phone.shared_widgets import time_at
from envs.uinav.phone.state import Dialog, Phone, back, new_tuple
from envs.uinav.phone.widgets import KIND, LABEL, PLACE, READ, SHARE, Named, Widget, button, icon, key, text
from envs.uinav.phone.words import NEW_LAYOUT


def hide_keyboard(phone: Phone) -> Phone:
    """Returns the phone with no field that is typed into."""
    return phone._replace(focus="")


MARGIN = 12  # pixels, like all that follow: the screen is 288 x 512
BAR = Box(0, 20, WIDTH, 60)
BODY_TOP, BOTTOM = 60, 488  # of the body and foot; the status bar is above the bar, the navigation bar below
KEYBOARD = Box(0, 332, WIDTH, BOTTOM)
KEY = Box(232, 444, 280, 482)
FOOT, ICON = Box(0, 432, WIDTH, BOTTOM), 32
HEIGHTS = {
    "item": 44,
    "field": 48,
    "button": 40,
    "toggle": 40,
    "check": 36,
    "option": 36,
    "tab": 36,
    "app": 84,
    "image": 96,
}
LETTERS, LINE = 38, 16  # of a line of text, and pixels from one to the next
Row = tuple[Widget, int, int, int, int]  # with left, top, right and bottom
_TOP: Final = 2  # positions in a row
_BOTTOM: Final = 4
_HIDE = key("Enter", hide_keyboard, name="enter")
_UP = icon("Back", back, name="up")
_WORDLESS = frozenset({"icon", "image"})  # kinds whose label is not written on them


def close(phone: Phone) -> Phone:
    """Returns the phone with no dialog."""
    return phone if phone.dialog is None else phone._replace(dialog=None)


class Part(NamedTuple):
    """A container and the widgets in it that can be seen, with their boxes moved down by `down` pixels."""

    kind: str
    box: Box
    rows: Sequence[Row]
    down: int = 0
    scrollable: bool = False


class Arranged(NamedTuple):
    """Holds what can be seen of a page.

    Attributes:
        heading: its title.
        bar, body, foot: the widgets that can be seen of each; no foot behind the keyboard.
        front: those that can be pointed at, in reading order; number 1 is `front[0]`.
        offset: pixels that the body is scrolled down by.
        above, below: whether scrolling up or down would show more.
    """

    heading: str
    bar: list[Widget]
    body: list[Widget]
    foot: list[Widget]
    front: list[Widget]
    offset: int
    above: bool
    below: bool


def arrange(phone: Phone) -> Arranged:
    """Finds what can be seen of the page that is shown. Boxes are left to `screen_of`: most steps need none."""
    heading, bar, body, foot = sorted_out(_page(phone))
    top, bottom = window(phone, bool(foot))
    seen, height, offset = bottom - top, height_of(body), 0
    if height > seen:
        offset = min(phone.stack[-1].scroll, height - seen)
        rows, _ = stacked(body)
        body = [widget for widget, _, upper, _, lower in rows if upper >= offset and lower - offset <= seen]
    if phone.focus:
        foot = []
    if phone.dialog is not None:
        return Arranged(heading, bar, body, foot, _dialog(phone.dialog), offset, False, False)
    front = bar + body + foot
    if phone.focus:
        front.append(_key(phone, body))
    return new_tuple(Arranged, (heading, bar, body, foot, front, offset, offset > 0, offset < height - seen))


def describe(phone: Phone, page: Arranged) -> str:
    """Returns the screen as text; the same as `screen_of(phone, page).describe()`, without making its elements."""
    place = phone.stack[-1]
    read = [widget[READ] for widget in page.front]
    if place.fields or phone.focus:
        read = [_line(phone, widget) if widget[KIND] == "field" else widget[READ] for widget in page.front]
    lines = [f"{number} {line}" for number, line in enumerate(read, 1)]
    return framed(app_of(place.app).title, page.heading, phone.notice, page.above, page.below, lines)


def _line(phone: Phone, field: Widget) -> str:
    """Returns a field with what is typed into it."""
    _, label, name, _, _, _, value, *_ = field
    typed = phone.stack[-1].fields.get(name, value)
    line = f"field {label}: {typed}" if typed else f"field {label}"
    return f"{line} *" if name == phone.focus else line


def screen_of(phone: Phone, page: Arranged) -> Screen:
    """Returns the screen as a tree of elements."""
    parts = tuple(
        Element(part.kind, "", "", "", part.box, scrollable=part.scrollable, children=_elements(phone, part))
        for part in _parts(phone, page)
    )
    leaves = parts[-1].children if phone.dialog is not None else tuple(e for part in parts for e in part.children)
    return Screen(
        app_of(phone.app).title, page.heading, parts, leaves, page.above, page.below, phone.notice,
        "dark" if phone.dark else "light", _time(phone),
    )  # fmt: skip


def _time(phone: Phone) -> str:
    """Returns what the status bar says: a time that follows from the phone, and goes on by a minute with each page."""
    return time_at(phone.seed % 1440 + len(phone.trail))


def _parts(phone: Phone, page: Arranged) -> list[Part]:
    """Returns the containers from back to front."""
    _, _, body, foot = sorted_out(_page(phone))
    top, bottom = window(phone, bool(foot))
    rows, height = stacked(body)
    rows = [row for row in rows if row[_TOP] >= page.offset and row[_BOTTOM] - page.offset <= bottom - top]
    parts = [
        Part("bar", BAR, _bar(page.bar)),
        Part("list", Box(0, top, WIDTH, bottom), rows, top - page.offset, height > bottom - top),
    ]
    if page.foot:
        parts.append(Part("foot", FOOT, _foot(page.foot)))
    if phone.focus:
        parts.append(Part("keyboard", KEYBOARD, [(_key(phone, body), *KEY)]))
    if phone.dialog is not None:
        rows, height = stacked(page.front)
        top = (BODY_TOP + BOTTOM - height) // 2
        parts.append(Part("dialog", Box(MARGIN, top, WIDTH - MARGIN, top + height + 4), rows, top))
    return parts


def widgets(phone: Phone) -> list[Named]:
    """All widgets of the page that is shown, scrolled away or not."""
    return [Named(*widget) for widget in _page(phone)]


def _page(phone: Phone) -> list[Widget]:
    """Returns the same without names: enough to show it."""
    place = phone.stack[-1]
    found = list(app_of(place.app).pages[place.page](phone))
    if phone.seed & NEW_LAYOUT:
        found = _moved(found)
    if len(phone.stack) > 2:
        found.insert(0, _UP)
    return found


def _moved(page: list[Widget]) -> list[Widget]:
    """Returns a page laid out as none is in training: what stands in bar and foot is a row of buttons on top."""
    outside = [widget for widget in page if widget[PLACE] != "body" and widget[KIND] != "title"]
    rows = [
        button(label, *tap, name=name, enabled=enabled, share=min(len(outside), 3))
        for _, label, name, _, tap, _, _, _, enabled, _, _ in outside
    ]
    rest = [widget for widget in page if widget[PLACE] == "body" or widget[KIND] == "title"]
    return [*rows, *rest]


def sorted_out(page: Iterable[Widget]) -> tuple[str, list[Widget], list[Widget], list[Widget]]:
    """Returns the title of a page, and the widgets of its bar, its body and its foot."""
    heading = ""
    bar, body, foot = [], [], []  # type: tuple[list[Widget], list[Widget], list[Widget]]
    for widget in page:
        place = widget[PLACE]
        if widget[KIND] == "title":
            heading = widget[LABEL]
        elif place == "body":
            body.append(widget)
        elif place == "bar":
            bar.append(widget)
        else:
            foot.append(widget)
    return heading, bar, body, foot


def window(phone: Phone, foot: bool) -> tuple[int, int]:
    """Top and bottom of the part of the body that can be seen."""
    if phone.focus:
        return BODY_TOP, KEYBOARD.top
    return BODY_TOP, FOOT.top if foot else BOTTOM


def height_of(body: Iterable[Widget]) -> int:
    """Returns the height of a body, the same that `stacked` gives, without its boxes."""
    top, column, row_height = 4, 0, 0
    for widget in body:
        share = widget[SHARE]
        height = HEIGHTS.get(widget[KIND]) or _text_height(widget[LABEL])
        if column and (share == 1 or column >= share):
            top, column, row_height = top + row_height, 0, 0
        if share == 1:
            top += height
        else:
            row_height = max(row_height, height)
            column += 1
    return top + row_height


def _text_height(label: str) -> int:
    return 8 + LINE * (ceil(len(label) / LETTERS) or 1)


def stacked(body: Iterable[Widget]) -> tuple[list[Row], int]:
    """Boxes of the widgets of a body from 0 downwards, those with a share side by side; and the height of all."""
    rows: list[Row] = []
    top, column, row_height = 4, 0, 0
    for widget in body:
        share = widget[SHARE]
        height = HEIGHTS.get(widget[KIND]) or _text_height(widget[LABEL])
        if column and (share == 1 or column >= share):
            top, column, row_height = top + row_height, 0, 0
        if share == 1:
            rows.append((widget, MARGIN, top, WIDTH - MARGIN, top + height))
            top += height
            continue
        width = (WIDTH - 2 * MARGIN) // share
        left = MARGIN + column * width
        rows.append((widget, left, top, left + width, top + height))
        row_height = max(row_height, height)
        column += 1
    return rows, top + row_height


def _bar(icons: list[Widget]) -> list[Row]:
    """Returns the icons of the bar: back at the left, the others from the right."""
    rows: list[Row] = []
    right, top = WIDTH - 6, BAR.top + 4
    for widget in reversed(icons):
        if widget is _UP:
            rows.append((widget, 6, top, 6 + ICON, top + ICON))
        else:
            rows.append((widget, right - ICON, top, right, top + ICON))
            right -= ICON + 4
    return rows[::-1]


def _foot(foot: list[Widget]) -> list[Row]:
    """Buttons side by side, or one round icon at the right."""
    round_one = foot[0]
    if round_one[KIND] == "icon":
        return [(round_one, WIDTH - 60, FOOT.top + 4, WIDTH - 12, FOOT.top + 52)]
    width = (WIDTH - 2 * MARGIN) // len(foot)
    return [
        (widget, MARGIN + i * width, FOOT.top + 8, MARGIN + (i + 1) * width - 4, FOOT.top + 48)
        for i, widget in enumerate(foot)
    ]


def _key(phone: Phone, body: list[Widget]) -> Widget:
    """Returns the one key of the keyboard that is a widget: it does what the field says, or hides the keyboard."""
    for kind, _, name, _, tap, *_ in body:
        if name == phone.focus and kind == "field" and tap:
            return key("Enter", *tap, name="enter")
    return _HIDE


def _dialog(dialog: Dialog) -> list[Widget]:
    """Returns the widgets of a dialog: its text, and its buttons side by side."""
    share = len(dialog.buttons)
    return [text(dialog.text), *(button(label, answer, *tap, share=share) for label, *tap in dialog.buttons)]


def _elements(phone: Phone, part: Part) -> tuple[Element, ...]:
    return tuple(
        _element(phone, widget, Box(left, top + part.down, right, bottom + part.down))
        for widget, left, top, right, bottom in part.rows
    )


def _element(phone: Phone, widget: Widget, box: Box) -> Element:
    kind, label, name, _, tap, hold, value, checked, enabled, _, _ = widget
    if kind == "field":
        typed = phone.stack[-1].fields.get(name, value)
        return Element(kind, typed, label, name, box, True, True, focused=name == phone.focus)
    said, description = ("", label) if kind in _WORDLESS else (label, "")
    clickable = bool(tap) and enabled
    return Element(
        kind, said, description, name or kind, box, clickable, checked=checked, enabled=enabled,
        long_clickable=bool(hold),
    )  # fmt: skip


def answer(phone: Phone, *tap: Any) -> Phone:
    """Closes the dialog, and does what its button does."""
    phone = close(phone)
    return tap[0](phone, *tap[1:]) if tap else phone
