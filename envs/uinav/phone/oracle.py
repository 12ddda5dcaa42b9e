"""The oracle: what a person who knows the phone would do next; it has no memory, and undoes no mistakes.

A template says for each page what to do there (`Template.route`), with the hands below; from any other page the oracle
goes back, and from any other app it opens the right one. Dialogs are agreed to. What is not there after a look at the
whole page makes the task infeasible, and the oracle says so only then.
"""

from collections.abc import Mapping
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.interface.answers import same_answer
from envs.uinav.interface.device import Ending, Goal
from envs.uinav.phone.app import Route, Template, app_of
from envs.uinav.phone.layout import Arranged, sorted_out, stacked, widgets, window
from envs.uinav.phone.state import Phone
from envs.uinav.phone.widgets import Named


class Hands:
    """Sees and acts for the oracle on the page that is shown.

    Attributes:
        phone: as it is.
        values: what the goal is about.
    """

    def __init__(self, phone: Phone, values: Mapping[str, Any], page: Arranged) -> None:
        self.phone, self.values, self._page = phone, values, page
        self._front = [Named(*widget) for widget in page.front]

    def __getitem__(self, name: str) -> Any:
        """Returns a value of the goal."""
        return self.values[name]

    @property
    def data(self) -> Mapping[str, Any]:
        """The data of the app that is shown."""
        return self.phone.data

    @property
    def arg(self) -> Any:
        """What the page that is shown is about."""
        return self.phone.arg

    def tap(self, label: str, name: str = "", hold: bool = False) -> Action:
        """Returns a click on the widget with this label or name; scrolls to it first.

        Args:
            label: all that it says, or its beginning up to a comma or colon; "" for any label.
            name: of the widget; "" for any name.
            hold: press long instead.
        """
        number = self._shown(label, name)
        if number is not None:
            return Action("long_press" if hold else "click", number)
        return self._towards(label, name)

    def type(self, name: str, text: str) -> Action | None:
        """Types into a field; None where the text is there already."""
        value = next((w.value for w in widgets(self.phone) if w.kind == "field" and w.name == name), "")
        if self.phone.place.fields.get(name, value) == text:
            return None
        for number, widget in enumerate(self._front, 1):
            if widget.kind == "field" and widget.name == name:
                return Action("type", number, text)
        return self._towards("", name)

    def enter(self, name: str, text: str) -> Action:
        """Types into a field, and then presses the keyboard's key."""
        return self.type(name, text) or (self.tap("Enter") if self.phone.focus == name else self.tap("", name))

    def fill(self, **fields: str) -> Action | None:
        """Types into the first of the fields that does not hold its text yet; None where all do."""
        for name, text in fields.items():
            action = self.type(name, text)
            if action is not None:
                return action
        return None

    def set(self, label: str, on: bool, name: str = "") -> Action | None:
        """Clicks what can be checked, if it is not on or off as wanted."""
        for widget in widgets(self.phone):
            if widget.checked is not None and _is(widget, label, name):
                return None if widget.checked == on else self.tap(label, name)
        return self.tap(label, name)

    def say(self, answer: str) -> Action:
        """Ends the episode with an answer."""
        return Action("done", 0, answer)

    def swipe(self, direction: str) -> Action:
        """Scrolls."""
        return Action("scroll", 0, direction)

    def _shown(self, label: str, name: str) -> int | None:
        for number, widget in enumerate(self._front, 1):
            if widget.enabled and _reacts(widget) and _is(widget, label, name):
                return number
        return None

    def _towards(self, label: str, name: str) -> Action:
        """Returns the action that brings a widget into view; infeasible where the whole page has it not."""
        page = widgets(self.phone)
        _, _, body, foot = sorted_out(page)
        top, bottom = window(self.phone, bool(foot))
        for row, _, upper, _, lower in stacked(body, self.phone.canvas)[0]:
            widget = Named(*row)
            if _reacts(widget) and _is(widget, label, name):
                if self.phone.focus and lower - self._offset() > bottom - top:
                    return Action("back")  # the keyboard covers it
                return Action("scroll", 0, "up" if upper < self._offset() else "down")
        if self.phone.focus:
            return Action("back")
        if any(_is(w, label, name) for w in page):
            return Action("wait")  # it is there, and will take clicks later
        return Action("scroll", 0, "down") if self._page.below else Action("infeasible", 0, f"no {label or name}")

    def _offset(self) -> int:
        return self.phone.place.scroll


def tapping(label: str, name: str = "") -> Route:
    """Returns a route: clicks this; both are formats of the goal's values."""
    return lambda hands: hands.tap(label.format(**hands.values), name)


def _reacts(widget: Named) -> bool:
    return bool(widget.tap or widget.hold) or widget.kind == "field"


def _is(widget: Named, label: str, name: str) -> bool:
    said = widget.label
    if name and name != (widget.name or widget.kind):
        return False
    return not label or said == label or (said.startswith(label) and said[len(label)] in ",:")


def next_action(
    phone: Phone, page: Arranged, app: str, template: Template, goal: Goal, values: Mapping[str, Any]
) -> Action:
    """Returns the oracle's next action.

    Args:
        phone, page: as they are.
        app: where the template belongs.
        template, goal, values: what is to be done.
    """
    if template.check is not None and goal.feasible and template.check(phone, values):
        return Action("done")
    hands = Hands(phone, values, page)
    if phone.dialog is not None:
        return hands.tap(phone.dialog.buttons[phone.dialog.right][0])
    where = template.app or app
    there = where if isinstance(where, str) else where(hands)
    if phone.app != there:
        return Action("open_app", 0, app_of(there).title)
    route = template.route.get(f"{there}.{phone.page}") or template.route.get(phone.page)
    action = route(hands) if route is not None else None
    if action is not None and action.kind == "infeasible" and goal.feasible:
        return Action("home")  # something done before stands in the way; it cannot be said that there was no way
    return action or Action("back")


def reaches(phone: Phone, template: Template, goal: Goal, values: Mapping[str, Any], ending: Ending) -> bool:
    """Returns whether a task was done, given how the episode ended."""
    if not goal.feasible:
        return ending.kind == "infeasible" and bool(ending.answer.strip())
    if ending.kind != "done":
        return False
    if template.answer is not None:
        return same_answer(ending.answer, template.answer(phone, values), goal.text)
    return template.check is not None and template.check(phone, values)
