"""Tells one state of a phone from another: by what was done on it, and not by what it shows."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from envs.uinav.phone.app import HOME, app_of
from envs.uinav.phone.state import Phone, Place

_SHOWN = 60  # characters of a value in a text
_LONGEST = 20  # actions that something on a phone takes to be over
_MISSING = object()
_Path = tuple[tuple[str, str], ...]  # names of an app, of its data, and of what is inside: as said, and exactly


class Change(NamedTuple):
    """One thing that is different.

    Attributes:
        text: in words, such as "Mail: removed from mails: Vera Turner".
        exactly: the same so that no two changes are taken for one: where, before and after.
    """

    text: str
    exactly: str


def changes(before: Phone, after: Phone) -> tuple[Change, ...]:
    """Returns what differs between two states of one phone, app by app.

    The data of apps count, the theme, and which permissions were given. Open pages, what was typed and not sent, and
    that a history grew (`App.history`) do not. What takes time is looked at as it will be when it is over.
    """
    return tuple(_changes(_settled(before), _settled(after)))


def beyond(found: Iterable[Change], expected: Iterable[Change]) -> tuple[str, ...]:
    """Returns the texts of the changes that are not among the expected ones."""
    allowed, texts = Counter(expected), []
    for change in found:
        if allowed[change] > 0:
            allowed[change] -= 1
        else:
            texts.append(change.text)
    return tuple(texts)


def _settled(phone: Phone) -> Phone:
    """Returns the phone where all that takes time is over, such as the download of an app."""
    for name in phone.held:
        app = app_of(name)
        for _ in range(_LONGEST if app.tick is not None else 0):
            assert app.tick is not None
            later = app.tick(phone.at((Place(HOME, HOME), Place(name, app.start))))
            if later.of(name) == phone.of(name):
                break
            phone = later
    return phone


def _changes(before: Phone, after: Phone) -> Iterator[Change]:
    if before.dark != after.dark:
        themes = ("light", "dark")
        yield _changed((("Phone", "phone"), ("theme", "theme")), themes[before.dark], themes[after.dark])
    for flag in after.flags:
        if flag.startswith("allowed ") and flag not in before.flags:
            app = app_of(flag.removeprefix("allowed "))
            yield Change(f"{app.title}: allowed to {app.permission}", flag)
    for name in dict.fromkeys((*before.held, *after.held)):
        app, old, new = app_of(name), before.of(name), after.of(name)
        for key in dict.fromkeys((*old, *new)):
            path = ((app.title, name), (key, key))
            if key in app.history:
                for record in _lacking([_ageless(each) for each in old[key]], [_ageless(each) for each in new[key]]):
                    yield _change(path, f"removed from {key}: {_said(record)}", record)
            else:
                yield from _between(path, old.get(key, _MISSING), new.get(key, _MISSING))


def _between(path: _Path, old: Any, new: Any) -> Iterator[Change]:
    """Yields what differs in one value, down to the entries of records."""
    if old == new:
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from _between((*path, (str(key), repr(key))), old.get(key, _MISSING), new.get(key, _MISSING))
    elif isinstance(old, (tuple, list)) and isinstance(new, (tuple, list)):
        yield from _between_lists(path, old, new)
    else:
        yield _changed(path, old, new)


def _between_lists(path: _Path, old: Sequence[Any], new: Sequence[Any]) -> Iterator[Change]:
    """Yields which entries went, came or are others; a record that is mostly as it was is the same one, changed."""
    gone, come = _lacking(old, new), _lacking(new, old)
    if not gone and not come:
        yield _change(path, f"{_of(path)} in another order", (old, new))
    for record in gone:
        twin = max(come, key=lambda other: _likeness(record, other), default=None)
        if twin is not None and _likeness(record, twin) > 0.5:
            come.remove(twin)
            named = (_name_of(record), f"{path[-1][1]} {record!r}")
            yield from _between((*path[:-1], named), record, twin)
        else:
            yield _change(path, f"removed from {_of(path)}: {_said(record)}", record)
    for record in come:
        yield _change(path, f"added to {_of(path)}: {_said(record)}", record)


def _lacking(these: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """Returns those of the first that the second lack, each as often as it is missing."""
    left, lacking = list(others), []
    for each in these:
        if each in left:
            left.remove(each)
        else:
            lacking.append(each)
    return lacking


def _ageless(record: Any) -> Any:
    """Returns an entry of a history without its numbers, such as how old it is."""
    if not isinstance(record, Mapping):
        return record
    return {key: value for key, value in record.items() if not isinstance(value, (int, float))}


def _likeness(one: Any, other: Any) -> float:
    """Returns the share of their entries that two records have alike, and 1 where their names are; else 0."""
    if not isinstance(one, Mapping) or not isinstance(other, Mapping) or not one or one.keys() != other.keys():
        return 0.0
    name = next(iter(one.values()))
    if isinstance(name, str) and name == next(iter(other.values())):
        return 1.0
    return sum(one[key] == other[key] for key in one) / len(one)


def _changed(path: _Path, old: Any, new: Any) -> Change:
    return _change(path, f"{_of(path)} changed from {_said(old)} to {_said(new)}", (old, new))


def _change(path: _Path, text: str, what: Any) -> Change:
    where = " / ".join(exactly for _, exactly in path)
    return Change(f"{path[0][0]}: {text}", f"{where}: {text.partition(' ')[0]} {what!r}")


def _of(path: _Path) -> str:
    """Returns where something is inside an app, such as "starred of Ana King"."""
    return " of ".join(said for said, _ in reversed(path[1:]))


def _name_of(record: Mapping[str, Any]) -> str:
    """Returns what a person would call a record: its first text."""
    return next((value for value in record.values() if isinstance(value, str) and value), "") or _said(record)


def _said(value: Any) -> str:
    """Returns a value in words, cut after `_SHOWN` characters."""
    if isinstance(value, bool):
        said = "on" if value else "off"
    elif isinstance(value, Mapping):
        entries = {key: each for key, each in value.items() if each not in ("", (), None)}
        said = ", ".join(each if isinstance(each, str) else f"{key} {_said(each)}" for key, each in entries.items())
    elif isinstance(value, (tuple, list)):
        said = ", ".join(_said(each) for each in value) or "none"
    else:
        said = "none" if value is _MISSING or value in ("", None) else str(value)
    return said if len(said) <= _SHOWN else said[: _SHOWN - 1].rstrip(" ,") + "…"
