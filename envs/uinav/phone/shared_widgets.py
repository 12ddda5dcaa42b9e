"""Makes widgets that the pages of several apps share: tabs, a button that saves, times of the day.

What looks the same on every phone is best made once, when its module is imported: pages are made at every step.
"""

import re
from collections.abc import Mapping
from typing import Any

from envs.uinav.phone.state import Phone, swap
from envs.uinav.phone.widgets import Widget, foot_button, icon, tab

_TIME = re.compile("([0-9]{1,2}):([0-9]{2})")


def tab_rows(pages: Mapping[str, str]) -> dict[str, tuple[Widget, ...]]:
    """Makes the tabs of an app; `pages` has the page that each label leads to."""
    return {
        chosen: tuple(tab(label, label == chosen, swap, page, share=len(pages)) for label, page in pages.items())
        for chosen in pages
    }


def save_button(phone: Phone, *tap: Any) -> Widget:
    """Save, where forms of this phone have it: in the bar, or at the bottom."""
    in_bar = phone.shuffled((True, False), "save")[0]
    return icon("Save", *tap) if in_bar else foot_button("Save", *tap)


def minutes_of(time: str) -> int | None:
    """Returns the minutes from midnight to a time like 7:30; None where it is no time."""
    found = _TIME.fullmatch(time)
    if found is None or int(found[1]) > 23 or int(found[2]) > 59:
        return None
    return 60 * int(found[1]) + int(found[2])


def time_at(minutes: int) -> str:
    """Returns the time so many minutes after midnight."""
    return f"{minutes // 60 % 24}:{minutes % 60:02d}"
