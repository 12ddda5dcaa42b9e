"""Mail: an inbox, mails to read, answer, star, delete, and one to write."""

from collections.abc import Iterator
from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.app import FEW, App, Check, Route, Template, Values, register_app
from envs.uinav.phone.families import DELETE, FORWARD, READ, REPLY, STAR, Asked, questions, wordings
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.shared_widgets import tab_rows
from envs.uinav.phone.state import Phone, ask, go, put_item, swapped, with_item, without
from envs.uinav.phone.widgets import Widget, button, field, icon, item, text, title


def make(rng: Random) -> dict[str, Any]:
    """Mails from different people on different subjects."""
    count = 5 + int(rng.random() * 5)
    people, subjects = words.names(rng, count), words.some(rng, words.SUBJECTS, count)
    mails = tuple(
        {
            "sender": name,
            "address": words.address(rng, name),
            "subject": subject,
            "body": words.pick(rng, words.SENTENCES),
            "starred": i > 0 and rng.random() < 0.2,
        }
        for i, (name, subject) in enumerate(zip(people, subjects, strict=True))
    )
    return {"mails": mails, "sent": ()}


# Pages


def inbox(phone: Phone) -> Iterator[Widget]:
    """Yields the mails, newest first, and the button to write one."""
    yield from _INBOX
    for i, mail in enumerate(phone.data["mails"]):
        yield item(f"{mail['sender']}, {mail['subject']}", go, "mail", i, name="mail")


def sent(phone: Phone) -> Iterator[Widget]:
    """Yields what was sent."""
    yield from _SENT
    for mail in phone.data["sent"]:
        yield text(f"{mail['to']}, {mail['subject']}")


def read(phone: Phone) -> Iterator[Widget]:
    """One mail."""
    mail = phone.data["mails"][phone.arg]
    yield title(mail["subject"])
    yield icon("Unstar" if mail["starred"] else "Star", star, not mail["starred"])
    yield icon("Delete", ask, f"Delete {mail['subject']}?", ("Delete", delete, phone.arg), ("Cancel",))
    yield text(f"Sender {mail['sender']}")
    yield text(f"Address {mail['address']}")
    yield text(mail["body"], name="body")
    for label, target in phone.shuffled(_BUTTONS, "mail buttons"):
        yield button(label, write, target, phone.arg, share=2)


def compose(phone: Phone) -> tuple[Widget, ...]:
    """Returns a mail being written."""
    return _FORM


# What the buttons do


def star(phone: Phone, on: bool) -> Phone:
    """Returns the phone where the mail that is shown is starred, or no more."""
    return put_item(phone, "mails", phone.arg, {"starred": on})


def delete(phone: Phone, index: int) -> Phone:
    """Returns the phone where the mail is gone, and the inbox is shown."""
    return phone.back().put(mails=without(phone.data["mails"], index)).say("Deleted")


def write(phone: Phone, kind: str, index: int) -> Phone:
    """Returns the phone with a mail begun that answers or forwards one."""
    mail = phone.data["mails"][index]
    if kind == "reply":
        return phone.go("compose", to=mail["address"], subject=f"Re: {mail['subject']}")
    return phone.go("compose", subject=f"Fwd: {mail['subject']}", body=mail["body"])


def send(phone: Phone) -> Phone:
    """Returns the phone where the mail is sent, if it has an address and a subject."""
    to, subject = phone.typed("to"), phone.typed("subject")
    if "@" not in to or " " in to:
        return phone.say("Enter a valid address")
    if not subject:
        return phone.say("Enter a subject")
    mail = {"to": to, "subject": subject, "body": phone.typed("body")}
    return phone.back().put(sent=with_item(phone.data["sent"], mail)).say("Sent")


# What pages show on every phone, made once

_TABS = tab_rows({"Inbox": "inbox", "Sent": "sent"})
_INBOX = (title("Inbox"), icon("Compose", go, "compose", place="foot"), *_TABS["Inbox"])
_SENT = (title("Sent"), *_TABS["Sent"])
_BUTTONS = (("Reply", "reply"), ("Forward", "forward"))
_FORM = (
    title("Compose"), icon("Send", send), field("to", "To"), field("subject", "Subject"), field("body", "Message"),
)  # fmt: skip


# Tasks


def draw_mail(rng: Random, phone: Phone) -> Values:
    """Returns a new mail to somebody."""
    to = words.address(rng, words.full_name(rng))
    return {"to": to, "subject": words.pick(rng, words.SUBJECTS), "body": words.pick(rng, words.SENTENCES)}


def one_of(rng: Random, phone: Phone) -> Values:
    """Returns a mail of the inbox, and something to write."""
    mails = phone.of("mail")["mails"]
    index = int(rng.random() * len(mails))
    mail = mails[index]
    return {**mail, "index": index, "text": words.other(rng, (mail["body"],), words.SENTENCES)}


def none_of(rng: Random, phone: Phone) -> Values:
    """Returns a mail that is not in the inbox."""
    mails = phone.of("mail")["mails"]
    sender = f"{words.other(rng, [m['sender'].split()[0] for m in mails], words.FIRST)} {words.pick(rng, words.LAST)}"
    subject = words.other(rng, [m["subject"] for m in mails], words.SUBJECTS)
    return {"sender": sender, "subject": subject, "text": words.pick(rng, words.SENTENCES)}


def plain_one_of(rng: Random, phone: Phone) -> Values:
    """Returns a mail that has no star yet."""
    mails = phone.of("mail")["mails"]
    index = words.pick(rng, [i for i, mail in enumerate(mails) if not mail["starred"]])
    return {**mails[index], "index": index}


def addressed(values: Values, rng: Random) -> Values:
    """Returns the values with somebody's address."""
    return {**values, "to": words.address(rng, words.full_name(rng))}


def to_mail(hands: Hands) -> Action:
    """Opens the mail from the sender."""
    return hands.tap(hands["sender"], "mail")


def to_subject(hands: Hands) -> Action:
    """Opens the mail about the subject."""
    is_there = any(mail["subject"] == hands["subject"] for mail in hands.data["mails"])
    return hands.tap(f"{hands['sender']}, {hands['subject']}" if is_there else hands["subject"], "mail")


def on_mail(then: Route, to: Route = to_mail) -> dict[str, Route]:
    """Routes that open the mail of the goal and do this there."""

    def route(hands: Hands) -> Action | None:
        mail = hands.data["mails"][hands.arg]
        is_right = (mail["sender"], mail["subject"]) == (hands["sender"], hands["subject"])
        return then(hands) if is_right else None

    return {"inbox": to, "mail": route}


def write_and_send(**fields: str) -> Route:
    """Fills the fields with these values of the goal, each a format, and sends."""

    def route(hands: Hands) -> Action:
        texts = {name: pattern.format(**hands.values) for name, pattern in fields.items()}
        return hands.fill(**texts) or hands.tap("Send")

    return route


def was_sent(to: str, subject: str, body: str) -> Check:
    """Returns a check that one mail was sent, each part a format of the goal's values, and nothing else was done."""

    def check(phone: Phone, values: Values) -> bool:
        mail = {"to": to.format(**values), "subject": subject.format(**values), "body": body.format(**values)}
        return phone.changed_only("mail", sent=(mail,))

    return check


def was_deleted(phone: Phone, values: Values) -> bool:
    """Returns whether the mail is gone, and nothing else."""
    return phone.changed_only("mail", mails=without(phone.at_first("mail")["mails"], values["index"]))


def has_star(phone: Phone, values: Values) -> bool:
    """Returns whether the mail has a star, and nothing else was done."""
    return phone.changed_only("mail", mails=swapped(phone.at_first("mail")["mails"], values["index"], starred=True))


FROM, ABOUT = "the email from {sender}", "the email about {subject}"

SEND = Template(
    "send_email",
    (
        "Send an email to {to} with subject {subject} and text {body}",
        "Write {to} an email with subject {subject} saying {body}",
        "Email {to} with subject {subject} and the text {body}",
    ),
    draw_mail,
    {"inbox": tapping("Compose"), "compose": write_and_send(to="{to}", subject="{subject}", body="{body}")},
    check=was_sent("{to}", "{subject}", "{body}"),
    unseen_goals=("Write an email to {to} with the subject {subject} and text {body}",),
)


def replying(name: str, of: str, to: Route, demonstrated: float) -> Template:
    """Makes the template of an answer to a mail."""
    return Template(
        name,
        draw=one_of,
        route={
            **on_mail(tapping("Reply"), to),
            "compose": write_and_send(to="{address}", subject="Re: {subject}", body="{text}"),
        },
        check=was_sent("{address}", "Re: {subject}", "{text}"),
        absent=none_of,
        demonstrated=demonstrated,
        **wordings(name, REPLY, of),
    )


def forwarding(name: str, of: str, to: Route, held_out: bool) -> Template:
    """Makes the template of a mail that is sent on."""
    return Template(
        name,
        draw=lambda rng, phone: addressed(one_of(rng, phone), rng),
        route={
            **on_mail(tapping("Forward"), to),
            "compose": write_and_send(to="{to}", subject="Fwd: {subject}", body="{body}"),
        },
        check=was_sent("{to}", "Fwd: {subject}", "{body}"),
        absent=lambda rng, phone: addressed(none_of(rng, phone), rng),
        held_out=held_out,
        **wordings(name, FORWARD, of),
    )


def deleting(name: str, of: str, to: Route, demonstrated: float) -> Template:
    """Makes the template of a mail that is deleted."""
    goals = wordings(name, DELETE, of)
    way = on_mail(tapping("Delete"), to)
    return Template(name, draw=one_of, route=way, check=was_deleted, absent=none_of, demonstrated=demonstrated, **goals)


def starring(name: str, of: str, to: Route, demonstrated: float) -> Template:
    """Makes the template of a mail that gets a star."""
    goals = wordings(name, STAR, of)
    way = on_mail(tapping("Star"), to)
    return Template(
        name, draw=plain_one_of, route=way, check=has_star, absent=none_of, demonstrated=demonstrated, **goals
    )


READ_IT = Template(
    "read_email",
    draw=one_of,
    route=on_mail(lambda hands: hands.say(hands["body"])),
    answer=lambda phone, values: str(values["body"]),
    absent=none_of,
    **wordings("read_email", READ, FROM),
)
ASKED_FROM = questions(FROM, [Asked("email_subject", "subject", "subject", 0)], one_of, on_mail, none_of)
ASKED_ABOUT = questions(
    ABOUT,
    [
        Asked("email_sender", "sender", "sender", FEW, ("Who sent the email about {subject}?",)),
        Asked("email_address", "address of the sender", "address", FEW),
    ],
    one_of,
    lambda then: on_mail(then, to_subject),
    none_of,
)

APP = register_app(
    App(
        "mail",
        "Mail",
        make,
        {"inbox": inbox, "mail": read, "compose": compose, "sent": sent},
        templates=(
            SEND,
            replying("reply_email", FROM, to_mail, 1),
            replying("reply_about", ABOUT, to_subject, 0),
            forwarding("forward_email", FROM, to_mail, held_out=True),
            forwarding("forward_about", ABOUT, to_subject, held_out=False),
            deleting("delete_email", FROM, to_mail, 1),
            deleting("delete_about", ABOUT, to_subject, FEW),
            starring("star_email", FROM, to_mail, 0),
            starring("star_about", ABOUT, to_subject, 1),
            READ_IT,
            *ASKED_FROM,
            *ASKED_ABOUT,
        ),
    )
)
