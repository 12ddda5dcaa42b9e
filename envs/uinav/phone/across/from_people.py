"""Templates whose goal says where to read what is to be done: in an email, a chat, on somebody's card."""

from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.across.common import BEGUN, across, nothing_but, one_of_these, shown
from envs.uinav.phone.app import Values
from envs.uinav.phone.apps import calendar, contacts, mail, maps, messages, music, notes
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.state import Phone, swapped, with_item, without

PLACE_LINES = ("Let us meet at {place}", "I will wait for you at {place}", "Lunch is at {place} this time")
CANCELLED = ("{title} on {day} is cancelled", "There is no {title} on {day}", "We call off {title} on {day}")
EVENT_LINES = (
    "Come to {title} on {day} at {time}, place {place}",
    "{title} is on {day} at {time}, place {place}",
    "I booked {title} on {day} at {time}, place {place}",
)
SONG_LINES = ("You have to hear {song}", "Please play {song} for me", "{song} would be great tonight")


def with_mail(rng: Random, phone: Phone, body: str) -> dict[str, Any]:
    """Returns the values of a mail of the inbox that says this."""
    drawn, mails = mail.one_of(rng, phone), phone.of("mail")["mails"]
    said = {BEGUN: {"mail": {"mails": swapped(mails, drawn["index"], body=body)}}}
    return {"sender": drawn["sender"], "subject": drawn["subject"], "mail": drawn["index"], "body": body, **said}


def with_message(rng: Random, phone: Phone, line: str) -> dict[str, Any]:
    """Returns the values of a chat whose last message says this."""
    chats = phone.of("messages")["chats"]
    index = int(rng.random() * len(chats))
    longer = swapped(chats, index, lines=with_item(chats[index]["lines"], (False, line)))
    return {"who": chats[index]["name"], "chat": index, "line": line, BEGUN: {"messages": {"chats": longer}}}


def no_mail(rng: Random, phone: Phone) -> Values:
    """Returns somebody who wrote no mail."""
    return {"sender": mail.none_of(rng, phone)["sender"], "mail": None}


def no_message(rng: Random, phone: Phone) -> Values:
    """Returns somebody there is no chat with."""
    return {"who": messages.none_of(rng, phone)["name"], "chat": None}


def no_card(rng: Random, phone: Phone) -> Values:
    """Returns a name that is not among the contacts."""
    return {"name": contacts.none_of(rng, phone)["name"], "card": None}


READ_MAIL, READ_CHAT = {"inbox": mail.to_mail}, {"chats": tapping("{who}", "chat")}
READ_CARD = {"everybody": contacts.to_card}
MAIL_WAS_READ, CHAT_WAS_READ = shown("mail", "mail", "mail"), shown("messages", "chat", "chat")
CARD_WAS_READ = shown("contacts", "card", "card")


# A place in a mail, saved


def place_of_mail(rng: Random, phone: Phone) -> Values:
    """Returns a mail that names a place that is not saved yet."""
    place = maps.of_saved(False)(rng, phone)
    return {**place, **with_mail(rng, phone, words.pick(rng, PLACE_LINES).format(**place))}


def unknown_place_of_mail(rng: Random, phone: Phone) -> Values:
    """Returns a mail that names a place that Maps does not have."""
    place = maps.no_place(rng, phone)
    return {**place, **with_mail(rng, phone, words.pick(rng, PLACE_LINES).format(**place))}


def is_saved(phone: Phone, values: Values) -> bool:
    """Returns whether the place is saved too."""
    return nothing_but(phone, values, maps={"saved": with_item(phone.at_first("maps")["saved"], values["index"])})


SAVE_PLACE = across(
    "save_place_from_email",
    (mail.APP, maps.APP),
    (
        "Save the place that the email from {sender} names in Maps",
        "Read in Mail which place {sender} names, and save it in Maps",
        "The email from {sender} names a place: add it to the saved places",
    ),
    place_of_mail,
    (READ_MAIL, {**maps.LOOKING, "place": maps.on_place("Save")}),
    (MAIL_WAS_READ,),
    absent=one_of_these(no_mail, unknown_place_of_mail),
    check=is_saved,
)


# An event that a mail calls off, deleted


def event_of_mail(rng: Random, phone: Phone) -> Values:
    """Returns a mail that calls off an event of the calendar."""
    event = calendar.one_of(rng, phone)
    return {**event, **with_mail(rng, phone, words.pick(rng, CANCELLED).format(**event))}


def unknown_event_of_mail(rng: Random, phone: Phone) -> Values:
    """Returns a mail that calls off an event that is not in the calendar."""
    event = calendar.new_event(rng, phone)
    return {**event, "index": None, **with_mail(rng, phone, words.pick(rng, CANCELLED).format(**event))}


def was_cancelled(phone: Phone, values: Values) -> bool:
    """Returns whether the event is gone."""
    events = without(phone.at_first("calendar")["events"], values["index"])
    return nothing_but(phone, values, calendar={"events": events})


CANCEL_EVENT = across(
    "cancel_event_from_email",
    (mail.APP, calendar.APP),
    (
        "Delete the event that the email from {sender} calls off from the calendar",
        "Read in Mail which event {sender} calls off, and remove it from the calendar",
        "{sender} wrote an email that an event is cancelled: delete it from the calendar",
    ),
    event_of_mail,
    (READ_MAIL, calendar.on_event(tapping("Delete"))),
    (MAIL_WAS_READ,),
    absent=one_of_these(no_mail, unknown_event_of_mail),
    check=was_cancelled,
)


# An event that a message names, added


def event_of_message(rng: Random, phone: Phone) -> Values:
    """Returns a chat in which an event is named that is not in the calendar."""
    event = calendar.new_event(rng, phone)
    return {**event, **with_message(rng, phone, words.pick(rng, EVENT_LINES).format(**event))}


def is_in_calendar(phone: Phone, values: Values) -> bool:
    """Returns whether the event is in the calendar."""
    new = {key: values[key] for key in ("day", "time", "title", "place")}
    events = calendar.in_order(with_item(phone.at_first("calendar")["events"], new))
    return nothing_but(phone, values, calendar={"events": events})


ADD_EVENT = across(
    "event_from_message",
    (messages.APP, calendar.APP),
    (
        "Put the event that {who} names in Messages into the calendar",
        "Add what the last message from {who} is about to the calendar",
        "Read the last message from {who} and make an event of it, with its place",
    ),
    event_of_message,
    (READ_CHAT, {"day": tapping("Add"), "form": calendar.set_up("{title}", "{place}")}),
    (CHAT_WAS_READ,),
    absent=no_message,
    check=is_in_calendar,
)


# A song that a message names, put on a playlist


def song_of_message(rng: Random, phone: Phone) -> Values:
    """Returns a chat in which a song is named, and a playlist that it is not on."""
    song = music.song_and_list(rng, phone)
    return {**song, **with_message(rng, phone, words.pick(rng, SONG_LINES).format(**song))}


def unknown_song_of_message(rng: Random, phone: Phone) -> Values:
    """Returns a chat in which a song is named that Music does not have."""
    song = music.none_of(rng, phone)
    return {**song, "index": None, **with_message(rng, phone, words.pick(rng, SONG_LINES).format(**song))}


def is_on_playlist(phone: Phone, values: Values) -> bool:
    """Returns whether the song is the last of the playlist."""
    lists, at = phone.at_first("music")["playlists"], values["at"]
    longer = swapped(lists, at, songs=with_item(lists[at]["songs"], values["index"]))
    return nothing_but(phone, values, music={"playlists": longer})


ADD_SONG = across(
    "song_from_message",
    (messages.APP, music.APP),
    (
        "Put the song that {who} names in Messages on the playlist {name}",
        "Read which song {who} writes about in Messages, and add it to the playlist {name}",
        "Add the song in the last message from {who} to the playlist {name}",
    ),
    song_of_message,
    (READ_CHAT, music.through_song(tapping("More"), menu=music.to_choice, choose=music.into_list)),
    (CHAT_WAS_READ,),
    absent=one_of_these(no_message, unknown_song_of_message),
    check=is_on_playlist,
)


# The address of a place that a message names, noted


def place_of_message(rng: Random, phone: Phone) -> Values:
    """Returns a chat in which a place is named, its address, and a title for a note."""
    place = maps.one_place(rng, phone)
    kept = {key: place[key] for key in ("place", "address", "index")}
    said = with_message(rng, phone, words.pick(rng, PLACE_LINES).format(**kept))
    return {**kept, **said, "title": notes.other_title(rng, phone, notes.TITLES)}


def unknown_place_of_message(rng: Random, phone: Phone) -> Values:
    """Returns a chat in which a place is named that Maps does not have."""
    place = maps.no_place(rng, phone)
    return {**place, **with_message(rng, phone, words.pick(rng, PLACE_LINES).format(**place))}


def address_is_noted(phone: Phone, values: Values) -> bool:
    """Returns whether there is a note with the address."""
    new = {"title": values["title"], "text": values["address"], "items": (), "pinned": False}
    return nothing_but(phone, values, notes={"notes": (new, *phone.at_first("notes")["notes"])})


def write_address(hands: Hands) -> Action | None:
    """Writes the address into a new note."""
    if hands.arg is not None:
        return None
    return hands.fill(title=hands["title"], text=hands["address"]) or hands.tap("Save")


NOTE_ADDRESS = across(
    "address_to_note",
    (messages.APP, maps.APP, notes.APP),
    (
        "Note the address of the place that {who} names in Messages, in a note titled {title}",
        "Look up in Maps where the place is that {who} writes about, and write its address in a new note {title}",
        "Write the address of the place in the last message from {who} into a new note titled {title}",
    ),
    place_of_message,
    (READ_CHAT, maps.LOOKING, {"notes": tapping("Add"), "form": write_address}),
    (CHAT_WAS_READ, shown("maps", "place")),
    absent=one_of_these(no_message, unknown_place_of_message),
    check=address_is_noted,
)


# Where a contact lives, driven to


def card_of_place(rng: Random, phone: Phone) -> Values:
    """Returns somebody who lives at a saved place, and a way to go there."""
    data, people = phone.of("maps"), phone.of("contacts")["people"]
    addresses = [data["places"][i]["address"] for i in data["saved"]]
    alone = [i for i, address in zip(data["saved"], addresses, strict=True) if addresses.count(address) == 1]
    index, card = words.pick(rng, alone or data["saved"]), int(rng.random() * len(people))
    place = data["places"][index]
    return {
        "name": people[card]["name"],
        "card": card,
        "place": place["name"],
        "address": place["address"],
        "index": index,
        "mode": words.pick(rng, tuple(maps.MODES)),
        BEGUN: {"contacts": {"people": swapped(people, card, address=place["address"])}},
    }


def card_of_no_place(rng: Random, phone: Phone) -> Values:
    """Returns somebody whose address is that of no saved place."""
    people, data = phone.of("contacts")["people"], phone.of("maps")
    taken = [data["places"][i]["address"] for i in data["saved"]]
    card = int(rng.random() * len(people))
    address = words.street(rng)
    while address in taken:
        address = words.street(rng)
    moved = {"contacts": {"people": swapped(people, card, address=address)}}
    return {"name": people[card]["name"], "card": card, "place": address, "index": None, BEGUN: moved}


def is_on_trip(phone: Phone, values: Values) -> bool:
    """Returns whether it leads to the place as wanted."""
    return nothing_but(phone, values, maps={"trip": {"to": values["index"], "mode": values["mode"]}})


DRIVE_TO_CONTACT = across(
    "directions_to_contact",
    (contacts.APP, maps.APP),
    (
        "Start directions by {mode} to the saved place at the address of {name}",
        "Look up the address of {name} in Contacts, and navigate by {mode} to the saved place with this address",
        "Take me by {mode} to {name}: the address is in Contacts, and the place is saved in Maps",
    ),
    card_of_place,
    (
        READ_CARD,
        {
            "explore": tapping("Saved"),
            "saved": tapping("{place}", "place"),
            "place": maps.on_place("Directions"),
            "directions": maps.choose_and_start,
        },
    ),
    (CARD_WAS_READ,),
    absent=one_of_these(no_card, card_of_no_place),
    check=is_on_trip,
)


# The number of a contact, written to somebody


def number_for_mail(rng: Random, phone: Phone) -> Values:
    """Returns a contact, and a mail to answer."""
    person, letter = contacts.one_of(rng, phone), mail.one_of(rng, phone)
    who = {"name": person["name"], "number": person["phone"], "card": person["index"]}
    return {**who, **{key: letter[key] for key in ("sender", "address", "subject", "index")}}


def number_was_sent(phone: Phone, values: Values) -> bool:
    """Returns whether the mail is answered with the number."""
    answer = {"to": values["address"], "subject": f"Re: {values['subject']}", "body": values["number"]}
    return nothing_but(phone, values, mail={"sent": (answer,)})


REPLY_NUMBER = across(
    "reply_with_number",
    (contacts.APP, mail.APP),
    (
        "Answer the email from {sender} with the phone number of {name}",
        "Look up the number of {name} in Contacts and reply it to the email from {sender}",
        "{sender} asks by email for the phone number of {name}: reply with nothing but the number",
    ),
    number_for_mail,
    (
        READ_CARD,
        {
            **mail.on_mail(tapping("Reply")),
            "compose": mail.write_and_send(to="{address}", subject="Re: {subject}", body="{number}"),
        },
    ),
    (CARD_WAS_READ,),
    absent=one_of_these(no_card, no_mail),
    check=number_was_sent,
)

KNOWN = (SAVE_PLACE, CANCEL_EVENT, ADD_EVENT, ADD_SONG, NOTE_ADDRESS, DRIVE_TO_CONTACT, REPLY_NUMBER)
