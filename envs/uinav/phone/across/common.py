"""Holds what templates over several apps share: which app comes next, what was read, and that nothing else changed."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.app import App, Known, Route, Template, Values
from envs.uinav.phone.apps import messages
from envs.uinav.phone.families import Draw
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.state import Phone

IsOver = Callable[[Hands], bool]
BEGUN = "begun"  # among the values of a goal: the data that the task itself put on the phone, by app


def across(
    name: str,
    apps: tuple[App, ...],
    goals: tuple[str, ...],
    draw: Draw,
    routes: tuple[Mapping[str, Route], ...],
    read: tuple[IsOver, ...],
    absent: Draw | None = None,
    **judged: Any,
) -> Known:
    """Makes a template that is done in several apps, one after the other.

    Args:
        name, goals, draw, absent: as of a `Template`.
        apps: in the order in which they are needed.
        routes: what to do on the pages of each app.
        read: of each app but the last, whether what is to be done there is over.
        judged: `check` or `answer`, as of a `Template`.
    """
    names = [app.name for app in apps]

    def where(hands: Hands) -> str:
        over = zip(names, read, strict=False)
        return next((app for app, is_over in over if not is_over(hands)), names[-1])

    pages = {f"{app}.{page}": then for app, route in zip(names, routes, strict=True) for page, then in route.items()}
    template = Template(
        name,
        goals,
        draw,
        pages,
        absent=absent,
        prepare=_begin,
        app=where,
        needs=tuple(names[1:]),
        held_out=True,
        **judged,
    )
    return Known(names[0], template)


def _begin(phone: Phone, values: Values) -> Phone:
    """Returns the phone with what the task puts on it."""
    for app, changes in values.get(BEGUN, {}).items():
        phone = phone.put_in(app, **changes)
    return phone


def shown(app: str, page: str, key: str = "index") -> IsOver:
    """Returns whether the page about this value of the goal was shown; never where the value is None."""

    def was_shown(hands: Hands) -> bool:
        about = hands.values.get(key)
        return about is not None and hands.phone.has_seen(page, about, app)

    return was_shown


def nothing_but(phone: Phone, values: Values, **wanted: Mapping[str, Any]) -> bool:
    """Returns whether the phone is as the task began, but for these data of these apps.

    What was searched for and read on the web is no harm; bookmarks are, and a history that is cleared.
    """
    begun = values.get(BEGUN, {})
    for app in {*phone.held, *wanted} - {"search"}:
        if not phone.changed_only(app, **{**begun.get(app, {}), **wanted.get(app, {})}):
            return False
    web, first = phone.of("search"), phone.at_first("search")
    return web["bookmarks"] == first["bookmarks"] and len(web["history"]) >= len(first["history"])


def texting(key: str) -> Mapping[str, Route]:
    """Returns what to do in Messages to write this value of the goal to the person of the goal, "name"."""

    def write(hands: Hands) -> Action:
        return hands.fill(to=hands["name"], message=hands[key]) or hands.tap("Send")

    return {"chats": tapping("New message"), "new": write}


def with_text(phone: Phone, values: Values, key: str) -> Mapping[str, Any]:
    """Returns the data of Messages as they are once the person has this value of the goal."""
    return {"chats": messages.delivered(phone.at_first("messages")["chats"], values["name"], values[key])}


def one_of_these(*draws: Draw) -> Draw:
    """Returns a draw that is one of these each time: what is not there may be so in more than one app."""

    def draw(rng: Random, phone: Phone) -> Values:
        return words.pick(rng, draws)(rng, phone)

    return draw
