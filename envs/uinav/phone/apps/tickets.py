"""Tickets: an app that is kept from training whole, though what is asked for there is asked for in others too."""

from collections.abc import Iterator
from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.app import App, Route, Template, Values, register_app
from envs.uinav.phone.apps import calendar, music
from envs.uinav.phone.families import DELETE, PIN, Asked, questions, wordings
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.shared_widgets import time_at
from envs.uinav.phone.state import Phone, ask, go, put_item, swapped, without
from envs.uinav.phone.widgets import Widget, icon, item, text, title

FACTS = ("time", "place", "price", "number", "status")


def make(rng: Random) -> dict[str, Any]:
    """Four to seven tickets for concerts of different artists; the first is not pinned."""
    count = 4 + int(rng.random() * 4)
    shows, places = words.some(rng, music.ARTISTS, count), words.some(rng, calendar.PLACES, count)
    tickets = tuple(
        {
            "show": show,
            "place": place,
            "time": time_at(1020 + 15 * int(rng.random() * 20)),
            "price": f"${8 + int(rng.random() * 60)}.50",
            "number": str(1000 + int(rng.random() * 9000)),
            "status": words.pick(rng, ("Ordered", "Packed", "Shipped", "Delivered", "Returned", "On hold")),
            "pinned": i > 0 and rng.random() < 0.3,
        }
        for i, (show, place) in enumerate(zip(shows, places, strict=True))
    )
    return {"tickets": tickets}


# Pages


def tickets(phone: Phone) -> Iterator[Widget]:
    """Yields the tickets, those that are pinned first."""
    yield title("Tickets")
    for i, ticket in sorted(enumerate(phone.data["tickets"]), key=lambda row: not row[1]["pinned"]):
        label = f"{ticket['show']}, pinned" if ticket["pinned"] else ticket["show"]
        yield item(label, go, "ticket", i, name="ticket")


def ticket(phone: Phone) -> Iterator[Widget]:
    """One ticket."""
    shown, i = phone.data["tickets"][phone.arg], phone.arg
    yield title(shown["show"])
    pin_it = icon("Unpin" if shown["pinned"] else "Pin", put_item, "tickets", i, {"pinned": not shown["pinned"]})
    delete_it = icon("Delete", ask, f"Delete {shown['show']}?", ("Delete", delete, i), ("Cancel",))
    yield from phone.shuffled((pin_it, delete_it), "ticket icons")
    for key in phone.shuffled(FACTS, "ticket lines"):
        yield text(f"{key.capitalize()} {shown[key]}", name=key)


def delete(phone: Phone, index: int) -> Phone:
    """Returns the phone where the ticket is gone, and the others are shown."""
    return phone.to_start().put(tickets=without(phone.data["tickets"], index)).say("Ticket deleted")


# Tasks


def one_of(rng: Random, phone: Phone) -> Values:
    """Returns a ticket."""
    held = phone.of("tickets")["tickets"]
    index = int(rng.random() * len(held))
    return {**held[index], "index": index}


def loose_one(rng: Random, phone: Phone) -> Values:
    """Returns a ticket that is not pinned."""
    held = phone.of("tickets")["tickets"]
    index = words.pick(rng, [i for i, ticket in enumerate(held) if not ticket["pinned"]])
    return {**held[index], "index": index}


def none_of(rng: Random, phone: Phone) -> Values:
    """Returns a show that there is no ticket for."""
    return {"show": words.other(rng, [ticket["show"] for ticket in phone.of("tickets")["tickets"]], music.ARTISTS)}


def on_ticket(then: Route) -> dict[str, Route]:
    """Routes that open the ticket of the goal and do this there."""

    def route(hands: Hands) -> Action | None:
        return then(hands) if hands.data["tickets"][hands.arg]["show"] == hands["show"] else None

    return {"tickets": tapping("{show}", "ticket"), "ticket": route}


def was_pinned(phone: Phone, values: Values) -> bool:
    """Returns whether the ticket is pinned, and nothing else was done."""
    held = phone.at_first("tickets")["tickets"]
    return phone.changed_only("tickets", tickets=swapped(held, values["index"], pinned=True))


def was_deleted(phone: Phone, values: Values) -> bool:
    """Returns whether the ticket is gone, and nothing else was done."""
    return phone.changed_only("tickets", tickets=without(phone.at_first("tickets")["tickets"], values["index"]))


TICKET = "{show} in Tickets"
PIN_IT = Template(
    "pin_ticket",
    draw=loose_one,
    route=on_ticket(tapping("Pin")),
    check=was_pinned,
    absent=none_of,
    held_out=True,
    **wordings("pin_ticket", PIN, TICKET),
)
DELETE_IT = Template(
    "delete_ticket",
    draw=one_of,
    route=on_ticket(tapping("Delete")),
    check=was_deleted,
    absent=none_of,
    held_out=True,
    **wordings("delete_ticket", DELETE, TICKET),
)
ASKED = questions(
    TICKET, [Asked(f"ticket_{field}", field, field, held_out=True) for field in FACTS], one_of, on_ticket, none_of
)

APP = register_app(
    App("tickets", "Tickets", make, {"tickets": tickets, "ticket": ticket}, templates=(PIN_IT, DELETE_IT, *ASKED))
)
