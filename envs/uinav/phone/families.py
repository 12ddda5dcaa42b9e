"""Makes families of templates: one question about many fields of many things, one act in many apps.

What a family's goals have in common they say in the same words: "What is the {field} of {of}?" is asked of people,
places and songs, and "Rename {of} to {new}" is said of notes and of phones. So a template may be new though each of its
words is known. Of the forms of a family each template lacks one in training, another one for another template: its
unseen wording, whose words other templates have said.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from envs.uinav.phone.app import Route, Template, Values

if TYPE_CHECKING:
    from envs.uinav.phone.oracle import Hands
    from envs.uinav.phone.state import Phone

Draw = Callable[[Random, "Phone"], Values]

# Forms: "{of}" stands for what a template is about, "{field}" for what is asked of it.
ASK = (
    "What is the {field} of {of}?",
    "Tell me the {field} of {of}",
    "Look up the {field} of {of}",
    "Find the {field} of {of}",
    "Say the {field} of {of}",
)
DELETE = ("Delete {of}", "Remove {of}", "Get rid of {of}", "Take away {of}")
RENAME = ("Rename {of} to {new}", "Change the name of {of} to {new}", "Give {of} the new name {new}")
CHANGE = ("Change the {field} of {of} to {new}", "Set the {field} of {of} to {new}", "Make {new} the {field} of {of}")
FORWARD = ("Forward {of} to {to}", "Send {of} on to {to}", "Write {to} and forward {of}")
STAR = ("Star {of}", "Mark {of} with a star", "Give {of} a star")
REPLY = ("Reply {text} to {of}", "Answer {of} with {text}", "Send the reply {text} to {of}")
READ = ("What does {of} say?", "Read {of} and say what it says", "Tell me what {of} says")
PIN = ("Pin {of}", "Pin {of} to the top", "Keep {of} pinned at the top")
UNPIN = ("Unpin {of}", "Remove the pin of {of}", "Take the pin off {of}")
TURN = ("Turn {state} {of}", "Switch {state} {of}", "Turn {of} {state}")


def wordings(name: str, forms: Sequence[str], of: str, own: Sequence[str] = (), **parts: str) -> dict[str, Any]:
    """Returns the goals of a template, and the one that is kept from training, which its name decides.

    Args:
        name: of the template.
        forms: of its family.
        of: what it is about, with names of values in braces.
        own: more wordings, which are no family's.
        parts: what else stands in the forms, as "field".
    """
    said = []
    for form in forms:
        for part, words in {"of": of, **parts}.items():
            form = form.replace(f"{{{part}}}", words)
        said.append(form)
    kept = zlib.crc32(name.encode("ascii")) % len(said)
    return {"goals": (*own, *said[:kept], *said[kept + 1 :]), "unseen_goals": (said[kept],)}


class Asked(NamedTuple):
    """Describes a template that asks for a field.

    Attributes:
        name: of the template.
        field: what goals call it.
        key: of the values, for the answer.
        demonstrated, held_out: as of a `Template`.
        own: wordings beside those of the family.
    """

    name: str
    field: str
    key: str
    demonstrated: float = 1.0
    own: tuple[str, ...] = ()
    held_out: bool = False


def questions(
    of: str,
    rows: Sequence[Asked],
    draw: Draw,
    ways: Callable[[Route], Mapping[str, Route]],
    absent: Draw | None = None,
) -> tuple[Template, ...]:
    """Makes a template for each field of one kind of thing.

    Args:
        of: what is asked about, with names of values in braces, as "the song {song}".
        rows: the fields.
        draw: the values, answers included.
        ways: given what is said in the end where the field stands, the routes to there.
        absent: as of a `Template`.
    """
    return tuple(
        Template(
            row.name,
            draw=draw,
            route=ways(_saying(row.key)),
            answer=_answer(row.key),
            absent=absent,
            demonstrated=row.demonstrated,
            held_out=row.held_out,
            **wordings(row.name, ASK, of, row.own, field=row.field),
        )
        for row in rows
    )


def _saying(key: str) -> Route:
    def say(hands: "Hands") -> Any:
        return hands.say(hands[key])

    return say


def _answer(key: str) -> Callable[["Phone", Values], str]:
    def answer(phone: "Phone", values: Values) -> str:
        return str(values[key])

    return answer
