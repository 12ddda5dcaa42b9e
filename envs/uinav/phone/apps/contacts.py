"""Contacts: people to search, call, mark, change and delete, and a form for new ones."""

import re
from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.app import FEW, App, Check, Route, Template, Values, register_app
from envs.uinav.phone.families import CHANGE, DELETE, RENAME, Asked, Draw, questions, wordings
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.state import Phone, ask, back, go, put_item, swapped, with_item, without
from envs.uinav.phone.widgets import Widget, button, field, icon, item, text, title

FIELDS = (("name", "Name"), ("phone", "Phone"), ("email", "Email"))
_NUMBER = re.compile(r"\+?[0-9][0-9 ()/-]{2,24}")


def make(rng: Random) -> dict[str, Any]:
    """People, two of whom share a first name and two a last name."""
    count = 5 + int(rng.random() * 4)
    people = words.with_double(rng, words.names(rng, count))
    companies = words.some(rng, words.COMPANIES, count + 1)
    return {
        "people": tuple(
            {
                "name": name,
                "phone": words.phone_number(rng),
                "email": words.address(rng, name),
                "company": company,
                "address": words.street(rng),
                "favorite": i > 0 and rng.random() < 0.2,
            }
            for i, (name, company) in enumerate(zip(people, companies, strict=True))
        ),
        "calls": (),
    }


# Pages


def everybody(phone: Phone) -> Iterator[Widget]:
    """Yields the people whose names hold what is searched for, in the order of their names."""
    yield from _LIST
    wanted = phone.typed("search").casefold()
    found = [(p["name"], i, p) for i, p in enumerate(phone.data["people"]) if wanted in p["name"].casefold()]
    for name, i, person in sorted(found, key=lambda row: row[:2]):
        yield item(f"{name}, favorite" if person["favorite"] else name, go, "card", i, name="contact")
    if not found:
        yield text("No contacts found")


def card(phone: Phone) -> Iterator[Widget]:
    """One person."""
    person = phone.data["people"][phone.arg]
    yield title(person["name"])
    liked = person["favorite"]
    icons = [
        icon("Unfavorite" if liked else "Favorite", put_item, "people", phone.arg, {"favorite": not liked}),
        icon("Edit", go, "form", phone.arg),
        icon("Delete", ask, f"Delete {person['name']}?", ("Delete", delete, phone.arg), ("Cancel",)),
    ]
    yield from phone.shuffled(icons, "card icons")
    for key in phone.shuffled(_ROWS, "card rows"):
        if person[key]:
            yield text(f"{key.capitalize()} {person[key]}", name=key)
    yield button("Call", call, person["name"])


def form(phone: Phone) -> Iterator[Widget]:
    """Yields a person being added, or changed."""
    person = edited(phone)
    yield title("Edit contact" if person else "New contact")
    yield _SAVE
    for key, label in phone.shuffled(FIELDS, "form fields"):
        yield field(key, label, str(person.get(key, "")))


def calling(phone: Phone) -> Iterator[Widget]:
    """Yields a call that goes on."""
    yield title("Calling")
    yield text(phone.arg)
    yield _HANG_UP


# What the buttons do


def edited(phone: Phone) -> Mapping[str, Any]:
    """Returns the person that the form is about; empty for a new one."""
    return {} if phone.arg is None else phone.data["people"][phone.arg]


def delete(phone: Phone, index: int) -> Phone:
    """Returns the phone where the person is gone, and the list is shown."""
    return phone.to_start().put(people=without(phone.data["people"], index)).say("Contact deleted")


def call(phone: Phone, name: str) -> Phone:
    """Returns the phone where a call begins."""
    return phone.put(calls=with_item(phone.data["calls"], name)).go("calling", name)


def save(phone: Phone) -> Phone:
    """Returns the phone where the person is as the form says, if it may be so, and the card is shown."""
    person, people, index = edited(phone), phone.data["people"], phone.arg
    entries = {key: phone.typed(key, person.get(key, "")) for key, _ in FIELDS}
    taken = [p["name"].casefold() for i, p in enumerate(people) if i != index]
    problem = wrong(entries, taken)
    if problem:
        return phone.say(problem)
    if index is not None:
        return phone.back().put(people=swapped(people, index, **entries)).say("Contact saved")
    people = with_item(people, new_person(**entries))
    return phone.back().put(people=people).go("card", len(people) - 1).say("Contact saved")


def wrong(entries: Mapping[str, str], taken: list[str]) -> str:
    """Returns the complaint about a form; "" if there is none."""
    if not entries["name"]:
        return "Enter a name"
    if entries["name"].casefold() in taken:
        return "There is a contact with this name"
    if not _NUMBER.fullmatch(entries["phone"]):
        return "Enter a phone number like 555 0100"
    if entries["email"] and not re.fullmatch(r"[^\s@]+@[^\s@]+", entries["email"]):
        return "Enter a valid email"
    return ""


def new_person(name: str, phone: str, email: str) -> dict[str, Any]:
    """Returns a person as the form adds one."""
    return {"name": name, "phone": phone, "email": email, "company": "", "address": "", "favorite": False}


# What pages show on every phone, made once

_LIST = (title("Contacts"), icon("Add", go, "form", place="foot"), field("search", "Search"))
_ROWS = ("phone", "email", "company", "address")
_SAVE, _HANG_UP = icon("Save", save), button("Hang up", back)


# Tasks


def one_of(rng: Random, phone: Phone) -> Values:
    """Returns a person of the list."""
    people = phone.of("contacts")["people"]
    index = int(rng.random() * len(people))
    return {**people[index], "index": index}


def to_change(draw: Draw, key: str) -> Draw:
    """Draws a person, and what an entry of theirs is to be: "new"."""

    def drawn(rng: Random, phone: Phone) -> Values:
        values = draw(rng, phone)
        return {**values, "new": something_new(rng, phone, key, values.get(key, ""))}

    return drawn


def something_new(rng: Random, phone: Phone, key: str, old: str) -> str:
    """Returns an entry of a contact that is not the old one; a name is nobody's."""
    new = old
    while new == old:
        someone = newcomer(rng, phone)
        new = someone[key]
    return str(new)


def plain_one_of(rng: Random, phone: Phone) -> Values:
    """Returns a person who is no favorite yet."""
    people = phone.of("contacts")["people"]
    index = words.pick(rng, [i for i, person in enumerate(people) if not person["favorite"]])
    return {**people[index], "index": index}


def none_of(rng: Random, phone: Phone) -> Values:
    """Returns a name like those in the list that is not among them."""
    name = words.mixed_up(rng, [person["name"] for person in phone.of("contacts")["people"]])
    return {"name": name}


def newcomer(rng: Random, phone: Phone) -> Values:
    """Somebody who is not in the list yet."""
    people = phone.of("contacts")["people"]
    first = words.other(rng, [person["name"].split()[0] for person in people], words.FIRST)
    name = f"{first} {words.pick(rng, words.LAST)}"
    return {"name": name, "phone": words.phone_number(rng), "email": words.address(rng, name)}


def to_card(hands: Hands) -> Action:
    """Opens the card of the person, whom it searches for where the list does not show them at once."""
    row = hands.tap(hands["name"], "contact")
    return row if row.kind == "click" else hands.type("search", hands["name"]) or row


def is_card(hands: Hands) -> bool:
    """Returns whether the card or form that is shown is the right one."""
    return hands.arg is not None and bool(hands.data["people"][hands.arg]["name"] == hands["name"])


def on_card(then: Route, form: Route = lambda hands: None) -> dict[str, Route]:
    """Routes that open the card of the person and do this there, and that in their form."""
    return {
        "everybody": to_card,
        "card": lambda hands: then(hands) if is_card(hands) else None,
        "form": lambda hands: form(hands) if is_card(hands) else None,
    }


def fill_new(hands: Hands) -> Action | None:
    """Fills the form for a new person, and saves."""
    return None if hands.arg is not None else hands.fill(**asked_for(hands.values)) or hands.tap("Save")


def changing(key: str) -> Route:
    """Changes an entry of the person and saves; of all others what was typed before is taken back."""

    def route(hands: Hands) -> Action:
        entries = {other: hands[other] for other, _ in FIELDS if other != key}
        return hands.fill(**entries, **{key: hands["new"]}) or hands.tap("Save")

    return route


def asked_for(values: Values) -> dict[str, str]:
    """Returns the goal's facts about a new person."""
    return {key: values[key] if key in values["in_goal"] else "" for key, _ in FIELDS}


def was_added(phone: Phone, values: Values) -> bool:
    """Returns whether the person is there as the goal says, and nothing else was done."""
    people = phone.at_first("contacts")["people"]
    return phone.changed_only("contacts", people=with_item(people, new_person(**asked_for(values))))


def has(**changes: str) -> Check:
    """Returns a check that the person has these entries, each the name of a value, and nothing else was done."""

    def check(phone: Phone, values: Values) -> bool:
        people, new = phone.at_first("contacts")["people"], {key: values[of] for key, of in changes.items()}
        return phone.changed_only("contacts", people=swapped(people, values["index"], **new))

    return check


def is_favorite(phone: Phone, values: Values) -> bool:
    """Returns whether the person is a favorite, and nothing else was done."""
    people = phone.at_first("contacts")["people"]
    return phone.changed_only("contacts", people=swapped(people, values["index"], favorite=True))


def was_deleted(phone: Phone, values: Values) -> bool:
    """Returns whether the person is gone, and nothing else was done."""
    return phone.changed_only("contacts", people=without(phone.at_first("contacts")["people"], values["index"]))


ADD = Template(
    "add_contact",
    (
        "Add {name} to the contacts with the phone number {phone}",
        "Create a contact for {name} with the number {phone}",
        "Add a contact named {name} with phone {phone} and email {email}",
    ),
    newcomer,
    {"everybody": tapping("Add"), "form": fill_new},
    check=was_added,
    unseen_goals=("Make a new contact {name} with phone {phone}",),
)
CONTACT = "the contact {name}"


def edited_in(name: str, key: str, demonstrated: float, goals: Mapping[str, Any]) -> Template:
    """Makes the template of a change of one entry of a contact."""
    return Template(
        name,
        draw=to_change(one_of, key),
        route=on_card(tapping("Edit"), changing(key)),
        check=has(**{key: "new"}),
        absent=to_change(none_of, key),
        demonstrated=demonstrated,
        **goals,
    )


EDITS = (
    edited_in(
        "edit_phone",
        "phone",
        1,
        wordings("edit_phone", CHANGE, CONTACT, ("{name} has a new phone number, {new}",), field="phone number"),
    ),
    edited_in("edit_email", "email", 0, wordings("edit_email", CHANGE, CONTACT, field="email")),
    edited_in("rename_contact", "name", FEW, wordings("rename_contact", RENAME, CONTACT)),
)
DELETE_IT = Template(
    "delete_contact",
    draw=one_of,
    route=on_card(tapping("Delete")),
    check=was_deleted,
    absent=none_of,
    demonstrated=0,
    **wordings("delete_contact", DELETE, CONTACT),
)
FAVORITE = Template(
    "favorite_contact",
    ("Make {name} a favorite contact", "Add {name} to the favorite contacts", "Mark the contact {name} as a favorite"),
    plain_one_of,
    on_card(tapping("Favorite")),
    check=is_favorite,
    absent=none_of,
    unseen_goals=("Make the contact {name} a favorite",),
)
CALL = Template(
    "call_contact",
    ("Call {name}", "Call the contact {name}", "Give {name} a call"),
    one_of,
    on_card(tapping("Call")),
    check=lambda phone, values: phone.changed_only("contacts", calls=(values["name"],)),
    absent=none_of,
    demonstrated=FEW,
    unseen_goals=("Find {name} in the contacts and call",),
)
ASKED = questions(
    CONTACT,
    [
        Asked("find_phone", "phone number", "phone"),
        Asked("find_email", "email", "email", 0),
        Asked("find_company", "company", "company", held_out=True),
        Asked("find_address", "address", "address", 0),
    ],
    one_of,
    on_card,
    none_of,
)

APP = register_app(
    App(
        "contacts",
        "Contacts",
        make,
        {"everybody": everybody, "card": card, "form": form, "calling": calling},
        templates=(ADD, *EDITS, DELETE_IT, FAVORITE, CALL, *ASKED),
        permission="see your accounts",
    )
)
