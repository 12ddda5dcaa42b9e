"""Calendar: the events of a week, a tab for each day."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.app import FEW, App, Check, Route, Template, Values, register_app
from envs.uinav.phone.apps import mail
from envs.uinav.phone.families import CHANGE, DELETE, RENAME, Asked, Draw, questions, wordings
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.shared_widgets import minutes_of, save_button, time_at
from envs.uinav.phone.state import Phone, ask, go, swap, swapped, with_item, without
from envs.uinav.phone.widgets import Widget, button, field, icon, item, option, tab, text, title

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri")
EVENTS = words.Pool(
    (
        "Team meeting|Team lunch|Yoga class|Dance class|Dentist|Doctor visit|Car wash|Book club|Chess club|"
        "Parent evening|"
        "Piano lesson|Guitar lesson|Movie night|Game night|Budget review|Design review|Job interview|Haircut|Choir|"
        "Swimming|Tennis|Board meeting|Town meeting"
    ).split("|"),
    "Chess match|Boat tour|Fire drill|Wine tasting|Bike repair|Harvest day|Rugby|Puppet show|Sales review|Opera|"
    "Eye test|Knitting".split("|"),
)
PLACES = words.Pool(
    (
        "Room 2|Room 12|Main hall|City library|Blue cafe|Green cafe|North gym|South gym|Park gate|Town hall|"
        "Office lobby|"
        "Lake house|Station square|Old harbor|Red studio|School hall"
    ).split("|"),
    "Room 7|Mill yard|East tower|Corner bar|River bank|Glass house|Port gate|Sky deck".split("|"),
)

QUARTERS = tuple(time_at(minutes) for minutes in range(0, 1440, 15))


def make(rng: Random) -> dict[str, Any]:
    """One to three events a day, the titles of a day different."""
    events = []
    for day in DAYS:
        count, quarter = 1 + int(rng.random() * 2.4), 31 + int(rng.random() * 8)
        for name, place in zip(words.some(rng, EVENTS, count), words.some(rng, PLACES, count), strict=True):
            events.append({"day": day, "time": QUARTERS[quarter], "title": name, "place": place})
            quarter += 2 + int(rng.random() * 12)
    return {"events": tuple(events), "today": words.pick(rng, DAYS)}


def in_order(events: Iterable[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    """Returns the events by day and time."""
    return tuple(sorted(events, key=lambda event: (DAYS.index(event["day"]), minutes_of(event["time"]) or 0)))


def shown_day(phone: Phone) -> str:
    """Returns the day whose events are shown; today's at first."""
    return str(phone.arg or phone.data["today"])


# Pages


def day(phone: Phone) -> Iterator[Widget]:
    """Yields the events of a day."""
    shown = shown_day(phone)
    yield title(words.DAYS[DAYS.index(shown)])
    yield from _TOPS[shown]
    events = [(i, event) for i, event in enumerate(phone.data["events"]) if event["day"] == shown]
    for i, event in events:
        yield item(f"{event['title']}, {event['time']}", go, "event", i, name="event")
    if not events:
        yield text("No events")


def event(phone: Phone) -> Iterator[Widget]:
    """One event."""
    i = phone.arg
    event = phone.data["events"][i]
    yield title(event["title"])
    yield text(f"Day {event['day']}")
    yield text(f"Time {event['time']}", name="time")
    yield text(f"Place {event['place']}" if event["place"] else "No place", name="place")
    delete_it = ("Delete", ask, f"Delete {event['title']}?", ("Delete", delete, i), ("Cancel",))
    icons, buttons = (icon("Edit", edit, i), icon(*delete_it)), (button("Edit", edit, i), button(*delete_it))
    yield from phone.shuffled(phone.shuffled((icons, buttons), "event buttons")[0], "event order")


def form(phone: Phone) -> Iterator[Widget]:
    """Yields an event being made or changed."""
    yield title("New event" if phone.arg is None else "Edit event")
    yield save_button(phone, save, phone.arg)
    yield from phone.shuffled(_FIELDS, "event fields")
    yield from _CHOICES[phone.typed("day")]


# What the buttons do


def add(phone: Phone, shown: str) -> Phone:
    """Returns the phone with an empty form, for the day that is shown."""
    return phone.go("form", None, day=shown)


def edit(phone: Phone, index: int) -> Phone:
    """Returns the phone with an event in the form."""
    return phone.go("form", index, **phone.data["events"][index])


def choose_day(phone: Phone, name: str) -> Phone:
    """Returns the phone where the event in the form is on this day."""
    return phone.fill(day=name)


def save(phone: Phone, index: int | None) -> Phone:
    """Returns the phone where the event is in the calendar, if it has a title and a time."""
    name, minutes, events = phone.typed("title"), minutes_of(phone.typed("time")), phone.data["events"]
    if not name:
        return phone.say("Enter a title")
    if minutes is None:
        return phone.say("Enter a time like 9:30")
    new = {"day": phone.typed("day"), "time": time_at(minutes), "title": name, "place": phone.typed("place")}
    events = with_item(events, new) if index is None else swapped(events, index, **new)
    return phone.to_start().swap("day", new["day"]).put(events=in_order(events)).say("Event saved")


def delete(phone: Phone, index: int) -> Phone:
    """Returns the phone where the event is gone, and its day is shown."""
    return phone.back().put(events=without(phone.data["events"], index)).say("Event deleted")


# What pages show on every phone, made once

_TOPS = {
    shown: (
        icon("Add", add, shown, place="foot"),
        *(tab(name, name == shown, swap, "day", name, share=5) for name in DAYS),
    )
    for shown in DAYS
}
_FIELDS = (field("title", "Title"), field("time", "Time"), field("place", "Place"))
_CHOICES = {chosen: tuple(option(name, name == chosen, choose_day, name, share=5) for name in DAYS) for chosen in DAYS}


# Tasks


def some_event(rng: Random) -> dict[str, str]:
    """Draws the fields of an event."""
    return {
        "title": words.pick(rng, EVENTS),
        "day": words.pick(rng, DAYS),
        "time": words.clock_time(rng, 8, 20),
        "place": words.pick(rng, PLACES),
    }


def new_event(rng: Random, phone: Phone) -> Values:
    """Returns an event that is not in the calendar."""
    while True:
        event = some_event(rng)
        if not titled(phone, event):
            return event


def titled(phone: Phone, event: Mapping[str, str]) -> bool:
    """Returns whether there is an event of this title on this day."""
    return any(e["title"] == event["title"] and e["day"] == event["day"] for e in phone.of("calendar")["events"])


def one_of(rng: Random, phone: Phone) -> Values:
    """Returns an event of the calendar."""
    events = phone.of("calendar")["events"]
    index = int(rng.random() * len(events))
    return {**events[index], "index": index}


def to_change(draw: Draw, key: str) -> Draw:
    """Draws an event, and what its title, time or place is to be: "new"; its title is that of no event."""
    pools: dict[str, Sequence[str]] = {"title": EVENTS, "time": QUARTERS[32:80], "place": PLACES}

    def drawn(rng: Random, phone: Phone) -> Values:
        values = draw(rng, phone)
        taken = [event[key] for event in phone.of("calendar")["events"]] if key == "title" else [values[key]]
        return {**values, "new": words.other(rng, taken, pools[key])}

    return drawn


def from_mail(rng: Random, phone: Phone) -> Values:
    """Returns a mail, and the day and time of the event it is about."""
    event = some_event(rng)
    return {**mail.one_of(rng, phone), "day": event["day"], "time": event["time"]}


def from_no_mail(rng: Random, phone: Phone) -> Values:
    """Returns a sender who wrote no mail, and a day and a time."""
    return {**from_mail(rng, phone), **mail.none_of(rng, phone), "index": -1}


def to_event(hands: Hands) -> Action:
    """Opens the event of the goal, on its day."""
    if shown_day(hands.phone) != hands["day"]:
        return hands.tap(hands["day"], "tab")
    return hands.tap(hands["title"], "event")


def is_right(hands: Hands) -> bool:
    """Returns whether the page is about the event of the goal."""
    event = hands.data["events"][hands.arg] if hands.arg is not None else {}
    return bool(event) and (event["title"], event["day"]) == (hands["title"], hands["day"])


def on_event(then: Route, form: Route = lambda hands: None) -> dict[str, Route]:
    """Routes that open the event of the goal and do this there, and that in its form."""
    return {
        "day": to_event,
        "event": lambda hands: then(hands) if is_right(hands) else None,
        "form": lambda hands: form(hands) if is_right(hands) else None,
    }


def set_up(title: str, place: str) -> Route:
    """Fills the form of a new event and saves it; texts are formats of the goal's values."""

    def route(hands: Hands) -> Action | None:
        if hands.arg is not None:
            return None
        name, where = title.format(**hands.values), place.format(**hands.values)
        filled = hands.fill(title=name, time=hands["time"], place=where)
        return filled or hands.set(hands["day"], True) or hands.tap("Save")

    return route


def has_new(phone: Phone, values: Values, title: str, place: str) -> bool:
    """Returns whether the event is in the calendar, and nothing else was done."""
    new = {"day": values["day"], "time": values["time"], "title": title, "place": place}
    return phone.changed_only("calendar", events=in_order(with_item(phone.at_first("calendar")["events"], new)))


def was_added(phone: Phone, values: Values) -> bool:
    """Returns whether the event of the goal is in the calendar."""
    return has_new(phone, values, values["title"], values["place"])


def was_taken_over(phone: Phone, values: Values) -> bool:
    """Returns whether the event has the mail's subject, and the mails are as they were."""
    return has_new(phone, values, values["subject"], "") and phone.changed_only("mail")


def was_deleted(phone: Phone, values: Values) -> bool:
    """Returns whether the event is gone, and nothing else."""
    return phone.changed_only("calendar", events=without(phone.at_first("calendar")["events"], values["index"]))


def became(key: str) -> Check:
    """Returns a check that this of the event is as wanted, and nothing else was done."""

    def check(phone: Phone, values: Values) -> bool:
        events = swapped(phone.at_first("calendar")["events"], values["index"], **{key: values["new"]})
        return phone.changed_only("calendar", events=in_order(events))

    return check


def app_of_next_step(hands: Hands) -> str:
    """Mail until the mail was read, then the calendar."""
    return "calendar" if hands.phone.has_seen("mail", hands["index"], "mail") else "mail"


ADD = Template(
    "add_event",
    (
        "Add {title} on {day} at {time} at {place}",
        "Put {title} in the calendar on {day} at {time}, place {place}",
        "Make an event {title} at {place} on {day} at {time}",
    ),
    new_event,
    {"day": tapping("Add"), "form": set_up("{title}", "{place}")},
    check=was_added,
    unseen_goals=("Add an event {title} on {day} at {time} at {place}",),
)
EVENT = "the event {title} on {day}"
DELETE_IT = Template(
    "delete_event",
    draw=one_of,
    route=on_event(tapping("Delete")),
    check=was_deleted,
    absent=new_event,
    demonstrated=0,
    **wordings("delete_event", DELETE, EVENT),
)


def edited_in(name: str, key: str, demonstrated: float, goals: Mapping[str, Any]) -> Template:
    """Makes the template of a change of one entry of an event."""
    return Template(
        name,
        draw=to_change(one_of, key),
        route=on_event(tapping("Edit"), lambda hands: hands.fill(**{key: hands["new"]}) or hands.tap("Save")),
        check=became(key),
        absent=to_change(new_event, key),
        demonstrated=demonstrated,
        **goals,
    )


EDITS = (
    edited_in(
        "move_event",
        "time",
        1,
        wordings("move_event", CHANGE, EVENT, ("Move {title} on {day} to {new}",), field="time"),
    ),
    edited_in("rename_event", "title", 0, wordings("rename_event", RENAME, EVENT)),
    edited_in("move_event_to_place", "place", 1, wordings("move_event_to_place", CHANGE, EVENT, field="place")),
)
ASKED = questions(
    EVENT,
    [
        Asked("event_time", "time", "time", own=("When is {title} on {day}?",)),
        Asked("event_place", "place", "place", held_out=True),
    ],
    one_of,
    on_event,
    new_event,
)
FROM_MAIL = Template(
    "email_to_event",
    (
        "Add an event on {day} at {time} titled with the subject of the email from {sender}",
        "Put the subject of the email from {sender} in the calendar on {day} at {time}",
    ),
    from_mail,
    {"mail.inbox": mail.to_mail, "day": tapping("Add"), "form": set_up("{subject}", "")},
    check=was_taken_over,
    absent=from_no_mail,
    app=app_of_next_step,
    needs=("mail",),
    demonstrated=FEW,
    unseen_goals=("Add an event titled with the subject of the email from {sender} on {day} at {time}",),
)

APP = register_app(
    App(
        "calendar",
        "Calendar",
        make,
        {"day": day, "event": event, "form": form},
        templates=(ADD, DELETE_IT, *EDITS, *ASKED, FROM_MAIL),
        permission="show notifications",
    )
)
