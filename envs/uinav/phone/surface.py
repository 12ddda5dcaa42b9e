"""Finds what a finger meets on the phone, without the screen's elements: those take longer to make than a step.

The same as `layout.screen_of(phone, page)` answers; a test compares them.
"""

from collections.abc import Sequence

from envs.uinav.phone.canvas import Canvas
from envs.uinav.phone.layout import (
    BAR_TOP,
    BODY_TOP,
    FIRST,
    HEIGHTS,
    MARGIN,
    Arranged,
    Row,
    bar_rows,
    dialog_top,
    foot_rows,
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
        phone, page, canvas = self._phone, self._page, self._phone.canvas
        if phone.dialog is not None:
            return _in_body(page.front, FIRST, x, y - dialog_top(page.front, canvas), canvas)
        if y < BODY_TOP:
            return _among(bar_rows(page.bar, canvas), x, y) if y >= BAR_TOP else 0
        number = _in_body(page.body, page.first, x, y - BODY_TOP, canvas)
        if number:
            return len(page.bar) + number
        if phone.focus:
            return len(page.front) if canvas.key.holds(x, y) else 0
        number = _among(foot_rows(page.foot, canvas), x, y) if page.foot and y >= canvas.foot.top else 0
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


def _in_body(body: Sequence[Widget], first: int, x: int, y: int, canvas: Canvas) -> int:
    """Returns the number of the widget at a point; rows are stacked as `layout.stacked` does it, up to the point."""
    if y < first:
        return 0
    top, column, row_height, number, known = first, 0, 0, 0, HEIGHTS.get
    for widget in body:
        number += 1
        share = widget[SHARE]
        height = known(widget[KIND]) or text_height(widget[LABEL], canvas.letters)
        if column and (share == 1 or column >= share):
            top, column, row_height = top + row_height, 0, 0
            if y < top:
                return 0  # beside what stands in the row above
        if share == 1:
            top += height
            if y < top:
                return number if MARGIN <= x < canvas.width - MARGIN else 0
            continue
        if y < top + height:
            width = (canvas.width - 2 * MARGIN) // share
            left = MARGIN + column * width
            if left <= x < left + width:
                return number
        row_height = max(row_height, height)
        column += 1
    return 0
