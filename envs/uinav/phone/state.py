"""The state of the phone, a value that never changes: what apps read, and the moves that make a new one.

A handler of an app is a function `(phone, ...) -> phone`. It reads `phone.data`, `phone.arg` and `phone.typed(...)`,
and returns what a chain of the moves below gives: `phone.put(mails=...).back().say("Sent")`. What a phone holds is
never changed in place; `swapped`, `with_item` and `without` make changed copies of what apps hold.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from random import Random
from typing import Any, NamedTuple, TypeVar

from envs.uinav.phone.app import HOME, initial_data
from envs.uinav.phone.canvas import CANVAS, Canvas
from envs.uinav.phone.words import NEW_VALUES, PLAIN, UnseenRandom, seeded

Item = TypeVar("Item")
new_tuple = tuple.__new__  # makes a tuple with names in half the time, for those of which each step makes some


class Place(NamedTuple):
    """A page of an app that is open.

    Attributes:
        app, page: their names.
        arg: what the page is about, such as the number of a mail.
        fields: what was typed, by the name of the field.
        scroll: pixels that the body is scrolled down by.
    """

    app: str
    page: str
    arg: Any = None
    fields: Mapping[str, str] = {}
    scroll: int = 0


class Dialog(NamedTuple):
    """A window over the page that has to be answered first.

    Attributes:
        text: what it says.
        buttons: (label, function, arguments...), the first of which agrees.
        dismiss: what going back from it does, besides closing it: a function and its arguments.
        right: the position of the button that leads on.
    """

    text: str
    buttons: tuple[tuple[Any, ...], ...]
    dismiss: tuple[Any, ...] = ()
    right: int = 0


class Phone(NamedTuple):
    """The phone.

    Attributes:
        seed: what its data and layouts were drawn from.
        installed: names of the apps on the home screen.
        held: the data of apps that differ from their first.
        stack: the places that back leads through; the last is shown.
        dark: whether its theme is dark.
        focus: the name of the field that is typed into; "" for none, and no keyboard.
        dialog: what is in front of the page.
        notice: a message that is gone after the next action.
        flags: what happened once, such as "allowed maps".
        trail: the app, page and arg of each place that was shown.
        canvas: how large its screen is.
    """

    seed: int
    installed: tuple[str, ...]
    held: Mapping[str, Mapping[str, Any]] = {}
    stack: tuple[Place, ...] = (Place(HOME, HOME),)
    dark: bool = False
    focus: str = ""
    dialog: Dialog | None = None
    notice: str = ""
    flags: tuple[str, ...] = ()
    trail: tuple[tuple[str, str, Any], ...] = ()
    canvas: Canvas = CANVAS

    # What apps read.

    @property
    def place(self) -> Place:
        """The page that is shown."""
        return self.stack[-1]

    @property
    def app(self) -> str:
        """The name of the app that is shown."""
        return self.stack[-1].app

    @property
    def page(self) -> str:
        """The name of the page that is shown."""
        return self.stack[-1].page

    @property
    def arg(self) -> Any:
        """What the page that is shown is about."""
        return self.stack[-1].arg

    @property
    def data(self) -> Mapping[str, Any]:
        """The data of the app that is shown."""
        app = self.stack[-1].app
        held = self.held.get(app)
        return initial_data(app, self.seed) if held is None else held

    def of(self, app: str) -> Mapping[str, Any]:
        """Returns the data of an app."""
        held = self.held.get(app)
        return initial_data(app, self.seed) if held is None else held

    def at_first(self, app: str) -> Mapping[str, Any]:
        """Returns the data of an app as the phone was made, before tasks prepared anything and before any action."""
        return initial_data(app, self.seed)

    def changed_only(self, app: str, **changes: Any) -> bool:
        """Returns whether of the data of an app only these changed: what a task asked for was done, and no more."""
        return self.of(app) == {**initial_data(app, self.seed), **changes}

    def typed(self, name: str, default: str = "") -> str:
        """Returns the text of a field of the page, without outer space; `default` where nothing was typed."""
        return self.stack[-1].fields.get(name, default).strip()

    def rng(self, of: str) -> Random:
        """Returns a generator for what stays the same on this phone: the order of a menu, whether a dialog comes."""
        return (UnseenRandom if self.seed & NEW_VALUES else Random)(f"{self.seed & PLAIN} {of}")

    def shuffled(self, items: Sequence[Item], of: str) -> list[Item]:
        """Returns the items in an order of this phone's own."""
        return [items[i] for i in _order(self.seed, of, len(items))]

    def has_seen(self, page: str, arg: Any = None, app: str | None = None) -> bool:
        """Returns whether a page was shown in this episode."""
        return ((app or self.app), page, arg) in self.trail

    # The moves.

    def put(self, **changes: Any) -> "Phone":
        """With some of the data of the app that is shown replaced."""
        return self.put_in(self.app, **changes)

    def put_in(self, app: str, **changes: Any) -> "Phone":
        """With some of the data of an app replaced."""
        held = {**self.held, app: {**self.of(app), **changes}}
        return self._with(held, self.stack, self.focus, self.notice)

    def go(self, page: str, arg: Any = None, **fields: str) -> "Phone":
        """On another page of the same app, from which back leads here."""
        return go(self, page, arg, fields)

    def swap(self, page: str, arg: Any = None) -> "Phone":
        """On another page in place of this one, as tabs do."""
        return self.at((*self.stack[:-1], Place(self.app, page, arg)))

    def back(self, steps: int = 1) -> "Phone":
        """Some pages back; on the home screen it stays."""
        return self.at(self.stack[: max(1, len(self.stack) - steps)])

    def to_start(self) -> "Phone":
        """On the first page of the app that is shown."""
        return self.at(self.stack[:2])

    def say(self, notice: str) -> "Phone":
        """With a message that is gone after the next action."""
        return self._with(self.held, self.stack, self.focus, notice)

    def ask(self, question: str, *buttons: tuple[Any, ...]) -> "Phone":
        """With a dialog: each button is a label, a function and arguments; ("Cancel",) only closes."""
        return self._replace(dialog=Dialog(question, buttons), focus="")

    def fill(self, **fields: str) -> "Phone":
        """With texts in fields of the page."""
        return self._with(self.held, self._filled(fields), self.focus, self.notice)

    def type(self, name: str, typed: str) -> "Phone":
        """With a text in a field, which is focused."""
        return self._with(self.held, self._filled({name: typed}), name, self.notice)

    def _filled(self, fields: Mapping[str, str]) -> tuple[Place, ...]:
        *below, (app, page, arg, before, scroll) = self.stack
        return (*below, new_tuple(Place, (app, page, arg, {**before, **fields}, scroll)))

    def _with(self, held: Mapping[str, Any], stack: tuple[Place, ...], focus: str, notice: str) -> "Phone":
        seed, installed, _, _, dark, _, dialog, _, flags, trail, canvas = self
        return new_tuple(Phone, (seed, installed, held, stack, dark, focus, dialog, notice, flags, trail, canvas))

    def flag(self, name: str) -> "Phone":
        """With a note that something happened."""
        return self if name in self.flags else self._replace(flags=(*self.flags, name))

    def at(self, stack: tuple[Place, ...]) -> "Phone":
        """With these places open, the last of which is shown."""
        seed, installed, held, _, dark, _, dialog, notice, flags, trail, canvas = self
        trail = (*trail, stack[-1][:3])
        return new_tuple(Phone, (seed, installed, held, stack, dark, "", dialog, notice, flags, trail, canvas))

    def quiet(self) -> "Phone":
        """With no message."""
        return self.say("") if self.notice else self


@lru_cache(maxsize=4096)
def _order(seed: int, of: str, count: int) -> list[int]:
    order = list(range(count))
    seeded(f"{seed & PLAIN} {of}").shuffle(order)
    return order


# As functions, for widgets: `item("Ana", go, "card", 3)`.


def go(phone: Phone, page: str, arg: Any = None, fields: Mapping[str, str] | None = None) -> Phone:
    """See `Phone.go`; `fields` are not changed later."""
    stack = phone.stack
    return phone.at((*stack, new_tuple(Place, (stack[-1].app, page, arg, fields or {}, 0))))


def swap(phone: Phone, page: str, arg: Any = None) -> Phone:
    """See `Phone.swap`."""
    return phone.swap(page, arg)


def back(phone: Phone, steps: int = 1) -> Phone:
    """See `Phone.back`."""
    return phone.back(steps)


def put(phone: Phone, key: str, value: Any) -> Phone:
    """With one of the data of the app that is shown replaced."""
    return phone.put(**{key: value})


def put_item(phone: Phone, key: str, index: int, changes: Mapping[str, Any]) -> Phone:
    """With entries of one record of a list replaced."""
    return phone.put(**{key: swapped(phone.data[key], index, **changes)})


def choose(phone: Phone, name: str, value: str) -> Phone:
    """With a choice on the page noted like a text in a field: `phone.typed(name)` tells it."""
    return phone.fill(**{name: value})


def ask(phone: Phone, question: str, *buttons: tuple[Any, ...]) -> Phone:
    """See `Phone.ask`."""
    return phone.ask(question, *buttons)


def swapped(records: Sequence[Any], index: int, **changes: Any) -> tuple[Any, ...]:
    """Returns the records with entries of one of them, a mapping, replaced."""
    return (*records[:index], {**records[index], **changes}, *records[index + 1 :])


def with_item(records: Sequence[Any], *new: Any) -> tuple[Any, ...]:
    """Returns the records and new ones behind them."""
    return (*records, *new)


def without(records: Sequence[Any], index: int) -> tuple[Any, ...]:
    """Returns the records but one."""
    return (*records[:index], *records[index + 1 :])


def find(records: Sequence[Mapping[str, Any]], **wanted: Any) -> int | None:
    """Returns the position of the first record with these entries; None where there is none."""
    for i, record in enumerate(records):
        if all(record[key] == value for key, value in wanted.items()):
            return i
    return None


def matching(names: Sequence[str], query: str) -> list[int]:
    """Returns the positions of names that share a word with the search, those with all its words first."""
    wanted = query.casefold().split()
    said = [name.casefold().split() for name in names]
    counts = [sum(word in own for word in wanted) for own in said]
    return sorted((i for i, count in enumerate(counts) if count), key=lambda i: -counts[i])
