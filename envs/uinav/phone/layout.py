"""Lays out what a phone shows: widgets get their boxes, and those that are scrolled away or covered are left out."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from envs.uinav.interface.screen import Box, Element, Screen, framed
from envs.uinav.phone.app import app_of
from envs.uinav.phone.attack import with_attack
from envs.uinav.phone.canvas import CANVAS, Canvas
from envs.uinav.phone.shared_widgets import time_at
from envs.uinav.phone.state import Dialog, Phone, back, new_tuple
from envs.uinav.phone.widgets import KIND, LABEL, PLACE, READ, SHARE, Named, Widget, button, icon, key, text
from envs.uinav.phone.words import ATTACKED, NEW_LAYOUT, PLAIN


def hide_keyboard(phone: Phone) -> Phone:
    """Returns the phone with no field that is typed into."""
    return phone._replace(focus="")


MARGIN = 12  # pixels, like all that follow: the screen is 288 x 512
BAR_TOP, BODY_TOP = 20, 60  # the status bar is above the bar, the body below it
BOTTOM, KEYBOARD = CANVAS.bottom, CANVAS.keyboard  # of 288 x 512 pixels
FIRST = 4  # from the top of a body to its first row
ICON = 32
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
LINE = 16  # pixels from a line of text to the next
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
        first: where the first row of the body begins, pixels below the top of the window.
        rows: the body with its boxes, from 0 downwards, where all of it is higher than the window; else None.
    """

    heading: str
    bar: list[Widget]
    body: list[Widget]
    foot: list[Widget]
    front: list[Widget]
    offset: int
    above: bool
    below: bool
    first: int = FIRST
    rows: list[Row] | None = None


def arrange(phone: Phone) -> Arranged:
    """Finds what can be seen of the page that is shown. Boxes are left to `screen_of`: most steps need none."""
    heading, bar, body, foot = sorted_out(_page(phone))
    top, bottom = window(phone, bool(foot))
    seen, height, offset, first = bottom - top, height_of(body, phone.canvas), 0, FIRST
    rows: list[Row] | None = None
    if height > seen:
        offset = min(phone.stack[-1].scroll, height - seen)
        rows, _ = stacked(body, phone.canvas)
        rows = [row for row in rows if row[_TOP] >= offset and row[_BOTTOM] - offset <= seen]
        body = [row[0] for row in rows]
        first = rows[0][_TOP] - offset if rows else first
    if phone.focus:
        foot = []
    if phone.dialog is not None:
        return Arranged(heading, bar, body, foot, _dialog(phone.dialog), offset, False, False, first, rows)
    front = bar + body + foot
    if phone.focus:
        front.append(_key(phone, body))
    above, below = offset > 0, offset < height - seen
    return new_tuple(Arranged, (heading, bar, body, foot, front, offset, above, below, first, rows))


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
        [
            Element(part.kind, "", "", "", part.box, scrollable=part.scrollable, children=_elements(phone, part))
            for part in _parts(phone, page)
        ]
    )
    leaves = parts[-1].children if phone.dialog is not None else tuple([e for part in parts for e in part.children])
    return Screen(
        app_of(phone.app).title, page.heading, parts, leaves, page.above, page.below, phone.notice,
        "dark" if phone.dark else "light", _time(phone), phone.canvas.width, phone.canvas.height,
    )  # fmt: skip


def _time(phone: Phone) -> str:
    """Returns what the status bar says: a time that follows from the phone, and goes on by a minute with each page."""
    return time_at((phone.seed & PLAIN) % 1440 + len(phone.trail))


def _parts(phone: Phone, page: Arranged) -> list[Part]:
    """Returns the containers from back to front."""
    canvas = phone.canvas
    top, bottom = window(phone, bool(page.foot))
    rows = stacked(page.body, canvas)[0] if page.rows is None else page.rows
    parts = [
        Part("bar", Box(0, BAR_TOP, canvas.width, BODY_TOP), bar_rows(page.bar, canvas)),
        Part("list", Box(0, top, canvas.width, bottom), rows, top - page.offset, page.rows is not None),
    ]
    if page.foot:
        parts.append(Part("foot", canvas.foot, foot_rows(page.foot, canvas)))
    if phone.focus:
        parts.append(Part("keyboard", canvas.keyboard, [(_key(phone, page.body), *canvas.key)]))
    if phone.dialog is not None:
        rows, height = stacked(page.front, canvas)
        top = dialog_top(page.front, canvas)
        parts.append(Part("dialog", Box(MARGIN, top, canvas.width - MARGIN, top + height + 4), rows, top))
    return parts


def widgets(phone: Phone) -> list[Named]:
    """All widgets of the page that is shown, scrolled away or not."""
    return [Named(*widget) for widget in _page(phone)]


def _page(phone: Phone) -> list[Widget]:
    """Returns the same without names: enough to show it."""
    place = phone.stack[-1]
    found = list(app_of(place.app).pages[place.page](phone))
    if phone.seed >= NEW_LAYOUT:
        found = _altered(phone, found)
    if len(phone.stack) > 2:
        found.insert(0, _UP)
    return found


def _altered(phone: Phone, page: list[Widget]) -> list[Widget]:
    """Returns a page of a phone such as there is none by default: attacked, or laid out anew."""
    if phone.seed >> ATTACKED:
        page = with_attack(phone, page)
    return _moved(page) if phone.seed & NEW_LAYOUT else page


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
        if place == "body":
            if widget[KIND] == "title":
                heading = widget[LABEL]
            else:
                body.append(widget)
        elif place == "bar":
            bar.append(widget)
        else:
            foot.append(widget)
    return heading, bar, body, foot


def window(phone: Phone, foot: bool) -> tuple[int, int]:
    """Top and bottom of the part of the body that can be seen."""
    if phone.focus:
        return BODY_TOP, phone.canvas.keyboard.top
    return BODY_TOP, phone.canvas.foot.top if foot else phone.canvas.bottom


def height_of(body: Iterable[Widget], canvas: Canvas = CANVAS) -> int:
    """Returns the height of a body, the same that `stacked` gives, without its boxes."""
    top, column, row_height, known = FIRST, 0, 0, HEIGHTS.get
    for widget in body:
        share = widget[SHARE]
        height = known(widget[KIND]) or text_height(widget[LABEL], canvas.letters)
        if column and (share == 1 or column >= share):
            top, column, row_height = top + row_height, 0, 0
        if share == 1:
            top += height
        else:
            row_height = max(row_height, height)
            column += 1
    return top + row_height


def text_height(label: str, letters: int) -> int:
    """Returns the height of words to read, pixels, with so many letters to a line."""
    return 8 + LINE * (-(-len(label) // letters) or 1)  # rounded up


def stacked(body: Iterable[Widget], canvas: Canvas = CANVAS) -> tuple[list[Row], int]:
    """Boxes of the widgets of a body from 0 downwards, those with a share side by side; and the height of all."""
    rows: list[Row] = []
    top, column, row_height = FIRST, 0, 0
    for widget in body:
        share = widget[SHARE]
        height = HEIGHTS.get(widget[KIND]) or text_height(widget[LABEL], canvas.letters)
        if column and (share == 1 or column >= share):
            top, column, row_height = top + row_height, 0, 0
        if share == 1:
            rows.append((widget, MARGIN, top, canvas.width - MARGIN, top + height))
            top += height
            continue
        width = (canvas.width - 2 * MARGIN) // share
        left = MARGIN + column * width
        rows.append((widget, left, top, left + width, top + height))
        row_height = max(row_height, height)
        column += 1
    return rows, top + row_height


def bar_rows(icons: list[Widget], canvas: Canvas) -> list[Row]:
    """Returns the icons of the bar: back at the left, the others from the right."""
    rows: list[Row] = []
    right, top = canvas.width - 6, BAR_TOP + 4
    for widget in reversed(icons):
        if widget is _UP:
            rows.append((widget, 6, top, 6 + ICON, top + ICON))
        else:
            rows.append((widget, right - ICON, top, right, top + ICON))
            right -= ICON + 4
    return rows[::-1]


def foot_rows(foot: list[Widget], canvas: Canvas) -> list[Row]:
    """Buttons side by side, or one round icon at the right."""
    round_one, across, top = foot[0], canvas.width, canvas.foot.top
    if round_one[KIND] == "icon":
        return [(round_one, across - 60, top + 4, across - 12, top + 52)]
    width = (across - 2 * MARGIN) // len(foot)
    return [
        (widget, MARGIN + i * width, top + 8, MARGIN + (i + 1) * width - 4, top + 48) for i, widget in enumerate(foot)
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


def dialog_top(front: Sequence[Widget], canvas: Canvas) -> int:
    """Returns where a dialog begins, which is in the middle of the screen."""
    return (BODY_TOP + canvas.bottom - height_of(front, canvas)) // 2


def _elements(phone: Phone, part: Part) -> tuple[Element, ...]:
    down = part.down
    return tuple(
        [
            _element(phone, widget, new_tuple(Box, (left, top + down, right, bottom + down)))
            for widget, left, top, right, bottom in part.rows
        ]
    )


def _element(phone: Phone, widget: Widget, box: Box) -> Element:
    kind, label, name, _, tap, hold, value, checked, enabled, _, _ = widget
    if kind == "field":
        typed = phone.stack[-1].fields.get(name, value)
        return Element(kind, typed, label, name, box, True, True, focused=name == phone.focus)
    said, description = ("", label) if kind in _WORDLESS else (label, "")
    does = bool(tap) and enabled, False, False, False, checked, enabled, (), bool(hold)  # from `clickable` on
    return new_tuple(Element, (kind, said, description, name or kind, box, *does))


def answer(phone: Phone, *tap: Any) -> Phone:
    """Closes the dialog, and does what its button does."""
    phone = close(phone)
    return tap[0](phone, *tap[1:]) if tap else phone
