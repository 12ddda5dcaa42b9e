"""Finds what a finger meets on the phone, without the screen's elements: those take longer to make than a step.

The same as `layout.screen_of(phone, page)` answers; a test compares them.
"""

from collections.abc import Sequence

from envs.uinav.interface.screen import WIDTH
from envs.uinav.phone.layout import (
    BAR,
    BODY_TOP,
    FOOT,
    HEIGHTS,
    KEY,
    MARGIN,
    Arranged,
    Row,
    bar_rows,
    foot_rows,
    screen_of,
    text_height,
)
from envs.uinav.phone.state import Phone
from envs.uinav.phone.widgets import KIND, LABEL, NAME, SHARE, Widget


class PhoneSurface:
    """What points and keys meet on the phone, see `envs.uinav.interface.screen.Surface`."""

    __slots__ = ("_page", "_phone")

    def __init__(self, phone: Phone, page: Arranged) -> None:
        self._phone, self._page = phone, page

    def at(self, x: int, y: int) -> int:
        """Returns the number of the element at a point."""
        phone, page = self._phone, self._page
        if phone.dialog is not None:
            return screen_of(phone, page).at(x, y)
        if y < BODY_TOP:
            return _among(bar_rows(page.bar), x, y) if y >= BAR.top else 0
        number = _in_body(page.body, page.first, x, y - BODY_TOP)
        if number:
            return len(page.bar) + number
        if phone.focus:
            return len(page.front) if KEY.holds(x, y) else 0
        number = _among(foot_rows(page.foot), x, y) if page.foot and y >= FOOT.top else 0
        return number and len(page.bar) + len(page.body) + number

    def focused(self) -> int:
        """Returns the number of the field that is typed into."""
        name = self._phone.focus
        if not name or self._phone.dialog is not None:
            return 0
        for number, widget in enumerate(self._page.front, 1):
            if widget[KIND] == "field" and widget[NAME] == name:
                return number
        return 0

    def enter(self) -> int:
        """Returns the number of the Enter key."""
        return len(self._page.front) if self._phone.focus and self._phone.dialog is None else 0


def _among(rows: Sequence[Row], x: int, y: int) -> int:
    for number, (_, left, top, right, bottom) in enumerate(rows, 1):
        if left <= x < right and top <= y < bottom:
            return number
    return 0


def _in_body(body: Sequence[Widget], first: int, x: int, y: int) -> int:
    """Returns the number of the widget at a point; rows are stacked as `layout.stacked` does it, up to the point."""
    top, column, row_height = first, 0, 0
    for number, widget in enumerate(body, 1):
        share = widget[SHARE]
        height = HEIGHTS.get(widget[KIND]) or text_height(widget[LABEL])
        if column and (share == 1 or column >= share):
            top, column, row_height = top + row_height, 0, 0
        if y < top:
            return 0
        if share == 1:
            if y < top + height:
                return number if MARGIN <= x < WIDTH - MARGIN else 0
            top += height
            continue
        width = (WIDTH - 2 * MARGIN) // share
        left = MARGIN + column * width
        if y < top + height and left <= x < left + width:
            return number
        row_height = max(row_height, height)
        column += 1
    return 0
