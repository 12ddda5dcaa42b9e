"""Templates whose goal says where to read what is to be done: in a note, the calendar, the clock."""

from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.across.common import BEGUN, across, nothing_but, one_of_these, shown, texting, with_text
from envs.uinav.phone.across.from_people import CARD_WAS_READ, READ_CARD, is_on_trip, no_card
from envs.uinav.phone.app import Values
from envs.uinav.phone.apps import calendar, clock, contacts, mail, maps, messages, notes, shop, shop_tasks
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.shared_widgets import minutes_of, time_at
from envs.uinav.phone.state import Phone, swapped, with_item

NUMBER_LINES = ("Call {phone}", "The number is {phone}", "New number {phone}")


def no_note(rng: Random, phone: Phone) -> Values:
    """Returns a title that no note has."""
    return {"title": notes.other_title(rng, phone, notes.TITLES), "note": None}


def no_event(rng: Random, phone: Phone) -> Values:
    """Returns an event that is not in the calendar."""
    event = calendar.new_event(rng, phone)
    return {"title": event["title"], "day": event["day"], "event": None}


READ_NOTE, READ_EVENT = {"notes": notes.to_note}, {"day": calendar.to_event}
NOTE_WAS_READ, EVENT_WAS_READ = shown("notes", "note", "note"), shown("calendar", "event", "event")


# A number in a note, a new contact


def number_in_note(rng: Random, phone: Phone) -> Values:
    """Returns a note that holds the number of somebody who is not in the contacts."""
    note, person = notes.one_text(rng, phone), contacts.newcomer(rng, phone)
    text = words.pick(rng, NUMBER_LINES).format(**person)
    written = swapped(phone.of("notes")["notes"], note["index"], text=text)
    who = {"name": person["name"], "phone": person["phone"]}
    return {"title": note["title"], "text": text, "note": note["index"], **who, BEGUN: {"notes": {"notes": written}}}


def fill_contact(hands: Hands) -> Action | None:
    """Fills the form for a new person, and saves."""
    if hands.arg is not None:
        return None
    return hands.fill(name=hands["name"], phone=hands["phone"], email="") or hands.tap("Save")


def is_contact(phone: Phone, values: Values) -> bool:
    """Returns whether the person is among the contacts, with the number."""
    new = contacts.new_person(values["name"], values["phone"], "")
    return nothing_but(phone, values, contacts={"people": with_item(phone.at_first("contacts")["people"], new)})


ADD_CONTACT = across(
    "contact_from_note",
    (notes.APP, contacts.APP),
    (
        "Add {name} to the contacts with the phone number in the note {title}",
        "Read the phone number in the note {title} and make a contact {name} with it",
        "The note {title} has the phone number of {name}: add both to the contacts",
    ),
    number_in_note,
    (READ_NOTE, {"everybody": tapping("Add"), "form": fill_contact}),
    (NOTE_WAS_READ,),
    absent=no_note,
    check=is_contact,
)


# A list, bought


def list_of_products(rng: Random, phone: Phone) -> Values:
    """Returns a list on which two products are open that are not in the cart yet, and a third one is ticked."""
    data, note = phone.of("shop"), notes.one_of(rng, phone, items=True)
    taken = [line["product"] for line in data["cart"]]
    order = words.some(rng, range(len(data["products"])), len(data["products"]))
    first, second = [i for i in order if i not in taken][:2]
    return _listed(phone, note, [data["products"][i]["name"] for i in (first, second, taken[0])], (first, second))


def list_with_unknown(rng: Random, phone: Phone) -> Values:
    """Returns the same where the shop lacks the first of the products."""
    known = list_of_products(rng, phone)
    missing = shop_tasks.no_line(rng, phone)["product"]
    names, second = [missing, *known["names"][1:]], known["lines"][1]["product"]
    return _listed(phone, {"title": known["title"], "index": known["note"]}, names, (None, second))


def _listed(phone: Phone, note: Values, names: list[str], indices: tuple[int | None, int]) -> dict[str, Any]:
    """Returns the values of a list with these products, of which the last is ticked."""
    items = tuple({"name": name, "done": i == len(names) - 1} for i, name in enumerate(names))
    written = swapped(phone.of("notes")["notes"], note["index"], items=items)
    products = phone.of("shop")["products"]
    lines = tuple({"product": i} if i is None else shop.line_of(products, i) for i in indices)
    begun = {"notes": {"notes": written}}
    return {"title": note["title"], "note": note["index"], "names": names, "lines": lines, BEGUN: begun}


def missing_product(hands: Hands) -> tuple[str, Values]:
    """Returns the name and the line of the first product that is not in the cart yet, or of the second one."""
    cart = hands.phone.of("shop")["cart"]
    first, second = zip(hands["names"], hands["lines"], strict=False)
    return second if first[1] in cart else first


def search_missing(hands: Hands) -> Action:
    """Searches for the next product."""
    return hands.enter("query", missing_product(hands)[0])


def open_missing(hands: Hands) -> Action:
    """Opens the next product, if it is the one that was searched for."""
    name, _ = missing_product(hands)
    return hands.tap(name, "product") if hands.arg == name else Action("open_app", 0, shop_tasks.APP.title)


def add_missing(hands: Hands) -> Action:
    """Puts the next product into the cart; from another one it goes back to where it can search."""
    _, line = missing_product(hands)
    if hands.arg != line["product"]:
        return Action("open_app", 0, shop_tasks.APP.title)
    options = [hands.set(line[key], True, key) for key in ("colour", "size") if line[key]]
    unset = next((action for action in options if action is not None), None)
    return unset or hands.fill(quantity="1") or hands.tap("Add to cart")


def is_all_in_cart(phone: Phone, values: Values) -> bool:
    """Returns whether both products are in the cart, in any order."""
    first = phone.at_first("shop")["cart"]
    one, other = values["lines"]
    orders = ((one, other), (other, one))
    return any(nothing_but(phone, values, shop={"cart": (*first, *lines)}) for lines in orders)


FILL_CART = across(
    "list_to_cart",
    (notes.APP, shop_tasks.APP),
    (
        "Put what is not ticked on the {title} into the shopping cart",
        "Add everything that is still open on the {title} to the cart in Shop",
        "Read the {title} in Notes, and put one of each thing that is not ticked into the cart",
    ),
    list_of_products,
    (READ_NOTE, {"home": search_missing, "results": open_missing, "product": add_missing}),
    (NOTE_WAS_READ,),
    absent=one_of_these(no_note, list_with_unknown),
    check=is_all_in_cart,
)


# A note, mailed to a contact


def note_for_contact(rng: Random, phone: Phone) -> Values:
    """Returns a note, and a contact with an address."""
    note, person = notes.one_text(rng, phone), contacts.one_of(rng, phone)
    who = {"name": person["name"], "email": person["email"], "card": person["index"]}
    return {"title": note["title"], "text": note["text"], "note": note["index"], **who}


def note_was_sent(phone: Phone, values: Values) -> bool:
    """Returns whether the note was mailed."""
    sent = {"to": values["email"], "subject": values["title"], "body": values["text"]}
    return nothing_but(phone, values, mail={"sent": (sent,)})


MAIL_NOTE = across(
    "email_note_to_contact",
    (notes.APP, contacts.APP, mail.APP),
    (
        "Email what the note {title} says to the contact {name}, with subject {title}",
        "Write {name} an email with subject {title} and the text of the note {title}; the address is in Contacts",
        "Send the text of the note {title} to the email address of the contact {name}, with subject {title}",
    ),
    note_for_contact,
    (
        READ_NOTE,
        READ_CARD,
        {
            "inbox": tapping("Compose"),
            "compose": mail.write_and_send(to="{email}", subject="{title}", body="{text}"),
        },
    ),
    (NOTE_WAS_READ, CARD_WAS_READ),
    absent=one_of_these(no_note, no_card),
    check=note_was_sent,
)


# An alarm before an event, and which of two is earlier


def hour_before(time: str) -> str:
    """Returns the time one hour earlier."""
    return time_at((minutes_of(time) or 0) - 60)


def event_to_wake_for(rng: Random, phone: Phone) -> Values:
    """Returns an event, and the time one hour before it, at which there is no alarm."""
    events = phone.of("calendar")["events"]
    taken = [alarm["time"] for alarm in phone.of("clock")["alarms"]]
    free = [i for i, event in enumerate(events) if hour_before(event["time"]) not in taken]
    index = words.pick(rng, free)
    event = events[index]
    return {"title": event["title"], "day": event["day"], "event": index, "before": hour_before(event["time"])}


def set_before(hands: Hands) -> Action | None:
    """Fills the form of a new alarm, and saves."""
    if hands.arg is not None:
        return None
    filled = hands.fill(time=hands["before"], label=hands["title"])
    return filled or hands.set("Repeat daily", False) or hands.tap("Save")


def is_set_before(phone: Phone, values: Values) -> bool:
    """Returns whether there is an alarm one hour before the event."""
    new = {"time": values["before"], "label": values["title"], "repeat": False, "on": True}
    alarms = clock.in_order(with_item(phone.at_first("clock")["alarms"], new))
    return nothing_but(phone, values, clock={"alarms": alarms})


ALARM_BEFORE = across(
    "alarm_before_event",
    (calendar.APP, clock.APP),
    (
        "Set an alarm with the label {title} one hour before the event {title} on {day}",
        "Look up when {title} on {day} begins, and set an alarm labelled {title} for one hour earlier",
        "One hour before {title} on {day} an alarm with the label {title} is to ring: set it",
    ),
    event_to_wake_for,
    (READ_EVENT, {**clock.to_tab("Alarms"), "alarms": tapping("Add"), "form": set_before}),
    (EVENT_WAS_READ,),
    absent=no_event,
    check=is_set_before,
)


def alarm_and_event(rng: Random, phone: Phone) -> Values:
    """Returns an alarm and an event at different times, and the earlier time; as often of the one as of the other."""
    alarms, events = phone.of("clock")["alarms"], phone.of("calendar")["events"]
    wanted, pairs = rng.random() < 0.5, [(i, j) for i in range(len(alarms)) for j in range(len(events))]
    minutes = [(minutes_of(alarms[i]["time"]) or 0) - (minutes_of(events[j]["time"]) or 0) for i, j in pairs]
    differ = [pair for pair, gap in zip(pairs, minutes, strict=True) if gap]
    right = [pair for pair, gap in zip(pairs, minutes, strict=True) if gap and (gap < 0) == wanted]
    i, j = words.pick(rng, right or differ)
    earlier = min(alarms[i]["time"], events[j]["time"], key=lambda time: minutes_of(time) or 0)
    return {
        "label": alarms[i]["label"],
        "alarm": i,
        "at": alarms[i]["time"],
        "title": events[j]["title"],
        "day": events[j]["day"],
        "event": j,
        "earlier": earlier,
    }


def no_alarm(rng: Random, phone: Phone) -> Values:
    """Returns a label that no alarm has."""
    return {"label": clock.new_label(rng, phone), "alarm": None}


def to_alarm(hands: Hands) -> Action:
    """Opens the alarm of the goal."""
    there = hands["alarm"] is not None
    return hands.tap(f"{hands['at']}, {hands['label']}" if there else hands["label"], "alarm")


def say_earlier(hands: Hands) -> Action | None:
    """Says the earlier time, on the page of the event."""
    return hands.say(hands["earlier"]) if calendar.is_right(hands) else None


EARLIER = across(
    "alarm_or_event",
    (clock.APP, calendar.APP),
    (
        "Which is earlier in the day, the alarm {label} or the event {title} on {day}? Say its time",
        "Say the earlier one of two times: of the alarm {label}, and of the event {title} on {day}",
        "Compare the time of the alarm {label} with that of the event {title} on {day}, and say which time is earlier",
    ),
    alarm_and_event,
    ({**clock.to_tab("Alarms"), "alarms": to_alarm}, {**READ_EVENT, "event": say_earlier}),
    (shown("clock", "alarm", "alarm"),),
    absent=one_of_these(no_alarm, no_event),
    answer=lambda phone, values: str(values["earlier"]),
)


# Where an event is, driven to and asked about


def event_at_place(rng: Random, phone: Phone) -> Values:
    """Returns an event that is at a place of Maps, and a way to go there."""
    place = maps.one_place(rng, phone)
    return {**_held_at(rng, phone, place["place"]), **{key: place[key] for key in ("closes", "index", "mode")}}


def event_at_unknown(rng: Random, phone: Phone) -> Values:
    """Returns an event that is at a place that Maps does not have."""
    return {**_held_at(rng, phone, maps.no_place(rng, phone)["place"]), "index": None}


def _held_at(rng: Random, phone: Phone, place: str) -> dict[str, Any]:
    """Returns an event that is moved to a place."""
    events = phone.of("calendar")["events"]
    index = int(rng.random() * len(events))
    moved = {"calendar": {"events": swapped(events, index, place=place)}}
    return {
        "title": events[index]["title"],
        "day": events[index]["day"],
        "event": index,
        "place": place,
        BEGUN: moved,
    }


DRIVE_TO_EVENT = across(
    "directions_to_event",
    (calendar.APP, maps.APP),
    (
        "Start directions by {mode} to where the event {title} on {day} is",
        "Look up the place of {title} on {day} in the calendar, and navigate there by {mode}",
        "Take me by {mode} to {title} on {day}",
    ),
    event_at_place,
    (READ_EVENT, {**maps.LOOKING, "place": maps.on_place("Directions"), "directions": maps.choose_and_start}),
    (EVENT_WAS_READ,),
    absent=one_of_these(no_event, event_at_unknown),
    check=is_on_trip,
)
CLOSING_TIME = across(
    "closing_time_of_event",
    (calendar.APP, maps.APP),
    (
        "When does the place close where the event {title} on {day} is?",
        "Say the closing time of the place of {title} on {day}",
        "Look up in the calendar where {title} on {day} is, and in Maps when that place closes",
    ),
    event_at_place,
    (READ_EVENT, {**maps.LOOKING, "place": maps.on_this(lambda hands: hands.say(hands["closes"]))}),
    (EVENT_WAS_READ,),
    absent=one_of_these(no_event, event_at_unknown),
    answer=lambda phone, values: str(values["closes"]),
)


# The time in a city, told to somebody


def time_for_somebody(rng: Random, phone: Phone) -> Values:
    """Returns a city of the world clock, and somebody to write to."""
    return {**clock.shown_city(rng, phone), "name": messages.draw_message(rng, phone)["name"]}


def no_city(rng: Random, phone: Phone) -> Values:
    """Returns a city that the world clock does not show."""
    return {**clock.hidden_city(rng, phone), "at": None}


def world_was_read(hands: Hands) -> bool:
    """Returns whether the city was shown with its time."""
    return hands["at"] is not None and hands.phone.has_seen("world", None, "clock")


def time_was_sent(phone: Phone, values: Values) -> bool:
    """Returns whether the person has the time."""
    return nothing_but(phone, values, messages=with_text(phone, values, "there"))


TELL_TIME = across(
    "text_city_time",
    (clock.APP, messages.APP),
    (
        "Text {name} the time that it is in {city}",
        "Look up the time in {city} on the world clock, and send it to {name} in Messages",
        "Write {name} a message with nothing but the time in {city}",
    ),
    time_for_somebody,
    (
        clock.to_city(lambda hands: hands.tap(hands["city"], "city", hold=True)),
        texting("there"),
    ),
    (world_was_read,),
    absent=no_city,
    check=time_was_sent,
)

KNOWN = (ADD_CONTACT, FILL_CART, MAIL_NOTE, ALARM_BEFORE, EARLIER, DRIVE_TO_EVENT, CLOSING_TIME, TELL_TIME)
