"""Messages: chats with people, answers in them, new ones to a name or a number, and a menu of each chat."""

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.app import FEW, App, Check, Route, Template, Values, register_app
from envs.uinav.phone.apps import contacts
from envs.uinav.phone.families import DELETE, PIN, READ, REPLY, UNPIN, Draw, wordings
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.state import Phone, ask, go, swapped, with_item, without
from envs.uinav.phone.widgets import Widget, button, field, icon, item, text, title

TEXTS = words.Pool(
    (
        *words.SENTENCES,
        *(
            "Are you home yet|Did you feed the cat|I saved you a seat|Where did you park|The shop closes at six|"
            "We need more milk|I left my umbrella there|Can you bring chairs|The kids are asleep|My phone was off|"
            "What a lovely photo|The bus was full|Tell Mom I said hi|I like the blue one|Try the soup there|"
            "Ring the bell twice|The dog is fine|Is it still raining|Happy birthday to you|I got the job|"
            "Lunch is on me|Wait for me outside|Your jacket is here|The match starts at two|I changed my number|"
            "Ask for table nine"
        ).split("|"),
    ),
    words.SENTENCES.unseen,
)
# Who wrote the messages of a chat, from the first to the last: they or I.
COURSES = ("t", "tt", "it", "tit", "ti", "iti")
SHOWN = 5  # messages of a chat


def make(rng: Random) -> dict[str, Any]:
    """Chats with people, two of whom share a first name and two a last name."""
    people = words.with_double(rng, words.names(rng, 4 + int(rng.random() * 4)))
    pinned = 1 + int(rng.random() * (len(people) - 1))
    lines = iter(words.some(rng, TEXTS, 3 * len(people)))
    chats = tuple(
        {
            "name": name,
            "lines": tuple((who == "i", next(lines)) for who in words.pick(rng, COURSES)),
            "muted": i > 0 and rng.random() < 0.2,
            "pinned": i == pinned,
        }
        for i, name in enumerate(people)
    )
    return {"chats": chats}


# Pages


def chats(phone: Phone) -> Iterator[Widget]:
    """Yields the chats, those that are pinned first, with the last message of each."""
    yield from _LIST
    listed = sorted(enumerate(phone.data["chats"]), key=lambda row: (not row[1]["pinned"], row[0]))
    for i, chat in listed:
        mine, said = chat["lines"][-1]
        label = f"{chat['name']}, {'You: ' if mine else ''}{said}{', muted' if chat['muted'] else ''}"
        yield item(label, go, "chat", i, name="chat", hold=(go, "menu", i))
    if not listed:
        yield text("No messages")


def chat(phone: Phone) -> Iterator[Widget]:
    """Yields the last messages of one chat, and a field to answer in."""
    shown = phone.data["chats"][phone.arg]
    first = shown["name"].split()[0]
    yield title(shown["name"])
    for mine, said in shown["lines"][-SHOWN:]:
        yield text(f"{'You' if mine else first}: {said}", name="line")
    yield _ANSWER
    yield _SEND_ANSWER[bool(phone.typed("message"))]


def menu(phone: Phone) -> Iterator[Widget]:
    """Yields what can be done with one chat."""
    shown = phone.data["chats"][phone.arg]
    yield title(shown["name"])
    question = f"Delete the chat with {shown['name']}?"
    rows = [
        item("Unmute" if shown["muted"] else "Mute", mark, "muted", not shown["muted"]),
        item("Unpin" if shown["pinned"] else "Pin", mark, "pinned", not shown["pinned"]),
        item("Delete", ask, question, ("Delete", delete, phone.arg), ("Cancel",)),
    ]
    yield from phone.shuffled(rows, "chat menu")


def new(phone: Phone) -> Iterator[Widget]:
    """Yields a message to anybody."""
    yield from _FORM
    yield _SEND_NEW[bool(phone.typed("to") and phone.typed("message"))]


# What the buttons do


def reply(phone: Phone) -> Phone:
    """Returns the phone where the message is in the chat, and the field is empty."""
    said = phone.typed("message")
    if not said:
        return phone.say("Write a message first")
    return phone.put(chats=added(phone.data["chats"], phone.arg, said)).fill(message="")._replace(focus="")


def send(phone: Phone) -> Phone:
    """Returns the phone where the message is in the chat with whom it is to, and the chat is shown."""
    to = phone.typed("to")
    after = delivered(phone.data["chats"], to, phone.typed("message"))
    at = next(i for i, chat in enumerate(after) if chat["name"].casefold() == to.casefold())
    return phone.back().put(chats=after).go("chat", at).say("Sent")


def mark(phone: Phone, key: str, on: bool) -> Phone:
    """Returns the phone where the chat is muted or pinned, or no more."""
    said = key.capitalize() if on else f"No longer {key}"
    return phone.back().put(chats=swapped(phone.data["chats"], phone.arg, **{key: on})).say(said)


def delete(phone: Phone, index: int) -> Phone:
    """Returns the phone where the chat is gone, and the others are shown."""
    return phone.to_start().put(chats=without(phone.data["chats"], index)).say("Chat deleted")


def added(chats: Sequence[Mapping[str, Any]], index: int, text: str) -> tuple[Any, ...]:
    """Returns the chats with one more message of mine in one of them."""
    return swapped(chats, index, lines=with_item(chats[index]["lines"], (True, text)))


def delivered(chats: Sequence[Mapping[str, Any]], to: str, text: str) -> tuple[Any, ...]:
    """Returns the chats with a message to somebody: in their chat, or in a new one before the others."""
    for i, chat in enumerate(chats):
        if chat["name"].casefold() == to.casefold():
            return added(chats, i, text)
    return ({"name": to, "lines": ((True, text),), "muted": False, "pinned": False}, *chats)


# What pages show on every phone, made once

_LIST = (title("Messages"), icon("New message", go, "new", place="foot"))
_ANSWER = field("message", "Message", enter=(reply,))
_FORM = (title("New message"), field("to", "Name or number"), field("message", "Message"))
_SEND_ANSWER = tuple(button("Send", reply, enabled=enabled) for enabled in (False, True))
_SEND_NEW = tuple(button("Send", send, enabled=enabled) for enabled in (False, True))


# Tasks


def draw_message(rng: Random, phone: Phone) -> Values:
    """Somebody, now and then of a chat, and something to write to them."""
    known = [chat["name"] for chat in phone.of("messages")["chats"]]
    return {
        "name": words.pick(rng, known) if rng.random() < 0.4 else words.full_name(rng),
        "text": words.pick(rng, TEXTS),
    }


def one_of(rng: Random, phone: Phone) -> Values:
    """Returns a chat, what they wrote last, and something to answer."""
    chats = phone.of("messages")["chats"]
    index = int(rng.random() * len(chats))
    last = [said for mine, said in chats[index]["lines"] if not mine][-1]
    written = [said for _, said in chats[index]["lines"]]
    return {"name": chats[index]["name"], "index": index, "last": last, "text": words.other(rng, written, TEXTS)}


def chat_where(**wanted: bool) -> Draw:
    """Draws a chat with these marks."""

    def draw(rng: Random, phone: Phone) -> Values:
        chats = phone.of("messages")["chats"]
        index = words.pick(rng, [i for i, chat in enumerate(chats) if all(chat[k] == v for k, v in wanted.items())])
        return {"name": chats[index]["name"], "index": index}

    return draw


def none_of(rng: Random, phone: Phone) -> Values:
    """Returns a name like those of the chats that is not among them."""
    name = words.mixed_up(rng, [chat["name"] for chat in phone.of("messages")["chats"]])
    return {"name": name, "text": words.pick(rng, TEXTS)}


def draw_number(rng: Random, phone: Phone) -> Values:
    """Returns a person of the contacts, and something to write to their number."""
    return {**contacts.one_of(rng, phone), "text": words.pick(rng, TEXTS)}


def in_chat(hands: Hands) -> bool:
    """Returns whether the chat that is shown is the right one."""
    return bool(hands.data["chats"][hands.arg]["name"] == hands["name"])


def holding(label: str) -> Mapping[str, Route]:
    """Returns a route: long press on the chat, and this in its menu."""
    return {
        "chats": lambda hands: hands.tap(hands["name"], "chat", hold=True),
        "menu": lambda hands: hands.tap(label) if in_chat(hands) else None,
    }


def answer_and_send(hands: Hands) -> Action | None:
    """In the right chat, writes the text and sends it."""
    return hands.fill(message=hands["text"]) or hands.tap("Send") if in_chat(hands) else None


def write_to(name: str) -> Route:
    """Writes the text to whom this value names, and sends it."""
    return lambda hands: hands.fill(to=hands[name], message=hands["text"]) or hands.tap("Send")


def where_next(hands: Hands) -> str:
    """Returns which app to be in: the contacts until the number was seen, then the messages."""
    index = hands.values.get("index")
    return "messages" if index is not None and hands.phone.has_seen("card", index, "contacts") else "contacts"


def was_sent(to: str) -> Check:
    """Returns a check that the text was sent to whom this value names, and nothing else was done."""

    def check(phone: Phone, values: Values) -> bool:
        chats = phone.at_first("messages")["chats"]
        return phone.changed_only("messages", chats=delivered(chats, values[to], values["text"]))

    return check


def was_deleted(phone: Phone, values: Values) -> bool:
    """Returns whether the chat is gone, and nothing else was done."""
    return phone.changed_only("messages", chats=without(phone.at_first("messages")["chats"], values["index"]))


def is_marked(**changes: bool) -> Check:
    """Returns a check that the chat has these marks, and nothing else was done."""

    def check(phone: Phone, values: Values) -> bool:
        chats = phone.at_first("messages")["chats"]
        return phone.changed_only("messages", chats=swapped(chats, values["index"], **changes))

    return check


SEND = Template(
    "send_message",
    ("Send a message to {name} saying {text}", "Write {name} a message that says {text}", "Text {name} this: {text}"),
    draw_message,
    {"chats": tapping("New message"), "new": write_to("name")},
    check=was_sent("name"),
    unseen_goals=("Write a message to {name} saying {text}",),
)
CHAT, MESSAGE = "the chat with {name}", "the last message from {name}"
ANSWER = Template(
    "reply_message",
    draw=one_of,
    route={"chats": tapping("{name}", "chat"), "chat": answer_and_send},
    check=was_sent("name"),
    absent=none_of,
    demonstrated=0,
    **wordings("reply_message", REPLY, "the message from {name}"),
)
DELETE_IT = Template(
    "delete_thread",
    draw=one_of,
    route=holding("Delete"),
    check=was_deleted,
    absent=none_of,
    demonstrated=FEW,
    **wordings("delete_thread", DELETE, CHAT),
)
MUTE = Template(
    "mute_thread",
    ("Mute the chat with {name}", "Mute the messages from {name}", "Make the chat with {name} mute"),
    chat_where(muted=False),
    holding("Mute"),
    check=is_marked(muted=True),
    absent=none_of,
    unseen_goals=("Mute {name} in Messages",),
)
PIN_IT = Template(
    "pin_thread",
    draw=chat_where(pinned=False),
    route=holding("Pin"),
    check=is_marked(pinned=True),
    absent=none_of,
    demonstrated=0,
    **wordings("pin_thread", PIN, CHAT),
)
UNPIN_IT = Template(
    "unpin_thread",
    draw=chat_where(pinned=True),
    route=holding("Unpin"),
    check=is_marked(pinned=False),
    absent=none_of,
    held_out=True,
    **wordings("unpin_thread", UNPIN, CHAT),
)
READ_IT = Template(
    "read_message",
    draw=one_of,
    route={
        "chats": tapping("{name}", "chat"),
        "chat": lambda hands: hands.say(hands["last"]) if in_chat(hands) else None,
    },
    answer=lambda phone, values: str(values["last"]),
    absent=none_of,
    **wordings("read_message", READ, MESSAGE, ("What did {name} write last?",)),
)
TEXT_NUMBER = Template(
    "text_number",
    (
        "Look up the number of {name} in Contacts and send it this in Messages: {text}",
        "Find the phone number of {name} in Contacts, then send {text} to this number in Messages",
    ),
    draw_number,
    {
        "contacts.everybody": contacts.to_card,
        "messages.chats": tapping("New message"),
        "messages.new": write_to("phone"),
    },
    check=lambda phone, values: phone.changed_only("contacts") and was_sent("phone")(phone, values),
    absent=lambda rng, phone: {**contacts.none_of(rng, phone), "text": words.pick(rng, TEXTS)},
    app=where_next,
    held_out=True,
    needs=("contacts",),
)

APP = register_app(
    App(
        "messages",
        "Messages",
        make,
        {"chats": chats, "chat": chat, "menu": menu, "new": new},
        templates=(SEND, ANSWER, DELETE_IT, MUTE, PIN_IT, UNPIN_IT, READ_IT, TEXT_NUMBER),
        permission="read your contacts",
    )
)
