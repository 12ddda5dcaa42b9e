"""Miniature Taskmaster: made-up orders of drinks and film tickets, ended at an agent's turn, as real-schema turns.

A dialog ends at one of six stages, and what is right follows from reading it:

| stage  | the agent should |
|--------|------------------|
| search | call the search for the thing that is wanted, not for the rival that is mentioned |
| ask    | ask for the one choice the user left open, with what there is |
| act    | order: the id of the wanted thing, how many, both choices |
| absent | say that the wanted thing is not in the list, and what is |
| tell   | tell what was added, for how much, and ask whether that is right |
| finish | call the end of the order with its id and the user's name |

So whether to call or to speak, too, has to be read. Everything is drawn from a seed; nothing comes from real files.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.taskmaster.tables import (
    AGREED,
    ANSWERS,
    ASKS,
    CITIES,
    DOMAINS,
    NAMES,
    PHRASES,
    THEATERS,
    UNSEEN_TOPICS,
    VALUES,
    Domain,
)

STAGES = ("search", "ask", "act", "absent", "tell", "finish")
# How often a dialog is cut at each. "absent" comes as often as "ask" and "act", whose prompts look like its own: a
# model that meets it more rarely gains by answering as if the thing were there.
_STAGE_WEIGHTS = (0.16, 0.20, 0.20, 0.20, 0.12, 0.12)
MENUS: Mapping[str, tuple[tuple[int, ...], ...]] = {
    kind: tuple(itertools.combinations(range(len(values)), 3)) for kind, values in VALUES.items()
}  # the three values that are to be had, by the number of the menu


class Dialog(NamedTuple):
    """The meaning of a dialog: positions in the tables, and numbers. What its stage does not show is 0."""

    domain: str
    stage: str
    topic: int
    many: int
    first: int  # the value of the first choice
    second: int
    open: int  # which choice the user left open at first: 0, 1, or 2 for neither
    city: int  # of ticketing
    theater: int  # of ticketing: the one that is wanted
    rival: int  # search: 1 + a topic that is not wanted, 0 for none; later: the other thing in the list
    other: int  # absent: the second thing in the list
    place: int  # whether the wanted thing is listed second
    number: int  # in the ids of the list
    first_menu: int
    second_menu: int
    order: int  # the number of the order
    total: int
    name: int  # of the user

    @property
    def world(self) -> Domain:
        return DOMAINS[self.domain]

    @property
    def x(self) -> str:
        """The drink or the film."""
        return self.world.topics[self.topic]

    @property
    def kinds(self) -> tuple[str, str]:
        return self.world.kinds[self.topic % len(self.world.kinds)]

    @property
    def values(self) -> tuple[str, str]:
        """The values of both choices (meaningless for one that is still open)."""
        return VALUES[self.kinds[0]][self.first], VALUES[self.kinds[1]][self.second]

    @property
    def menus(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Lists what is to be had of both choices."""
        one, two = ((k, MENUS[k][m]) for k, m in zip(self.kinds, (self.first_menu, self.second_menu), strict=True))
        return tuple(VALUES[one[0]][i] for i in one[1]), tuple(VALUES[two[0]][i] for i in two[1])

    @property
    def wanted(self) -> str:
        """Names what is looked for in the list: the drink, or the theater."""
        return self.x if self.domain == "coffee" else THEATERS[self.theater]

    @property
    def listed(self) -> tuple[tuple[str, str], ...]:
        """(name, id) of the two things that the search found; before the search nothing."""
        if self.stage == "search":
            return ()
        names = self.world.topics if self.domain == "coffee" else THEATERS
        found = [names[self.rival], names[self.other] if self.stage == "absent" else self.wanted]
        if self.place:
            found.reverse()
        numbers = (self.number, (self.number * 7 + 361) % 900 + 100)
        return tuple((name, f"{name}-{number}") for name, number in zip(found, numbers, strict=True))

    @property
    def wanted_id(self) -> str:
        return dict(self.listed).get(self.wanted, "")

    @property
    def order_id(self) -> str:
        return f"order-{self.order}"


def draw_dialog(domain: str, rng: np.random.Generator, unseen: bool) -> Dialog:
    """Returns a dialog of `domain` about a topic that is held out (`unseen`), or another."""

    def below(n: int) -> int:
        return int(rng.integers(n))

    world, stage = DOMAINS[domain], STAGES[int(rng.choice(len(STAGES), p=_STAGE_WEIGHTS))]
    seen = len(world.topics) - UNSEEN_TOPICS
    pool = range(seen, len(world.topics)) if unseen else range(seen)
    topic, rival, other = (pool[int(i)] for i in rng.choice(len(pool), 3, replace=False))
    theater, near, far = (int(i) for i in rng.choice(len(THEATERS), 3, replace=False))
    kinds = world.kinds[topic % len(world.kinds)]
    menus = [below(len(MENUS[kind])) for kind in kinds]
    chosen = [MENUS[kind][menu][below(3)] for kind, menu in zip(kinds, menus, strict=True)]
    case = Dialog(
        domain, stage, topic, 2 + below(8), chosen[0], chosen[1], below(3), below(len(CITIES)), theater, rival, other,
        below(2), 100 + below(900), menus[0], menus[1], 100 + below(900), 10 + below(90), below(len(NAMES)),
    )  # fmt: skip
    if domain == "ticketing" and stage != "search":
        case = case._replace(rival=near, other=far)
    return _only_what_is_shown(case, mentioned=below(3) > 0)


def _only_what_is_shown(case: Dialog, mentioned: bool) -> Dialog:
    """Sets to 0 what a reader of the prompt cannot know, so that a prompt determines its case."""
    hidden: dict[str, int] = {}
    if case.stage == "search":
        hidden = dict.fromkeys(("place", "number", "first_menu", "second_menu"), 0)
        hidden["rival"] = case.rival + 1 if mentioned else 0
    if case.stage == "absent":
        hidden["place"] = 0  # neither is wanted
    if case.stage == "ask" and case.open == 2:
        hidden["open"] = case.number % 2
    if case.stage in ("tell", "finish"):
        hidden["open"] = 2  # keeps the longest dialogs short
    if case.stage != "absent":
        hidden["other"] = 0
    if case.domain == "coffee":
        hidden |= {"city": 0, "theater": 0}
    if case.stage not in ("tell", "finish"):
        hidden |= {"order": 0, "total": 0}
    if case.stage != "finish":
        hidden["name"] = 0
    case = Dialog(**(case._asdict() | hidden))
    if case.stage in ("search", "ask", "absent") and case.open < 2:
        case = case._replace(first=0) if case.open == 0 else case._replace(second=0)
    return case


def fold_dialog(case: Dialog) -> int:
    """Returns the tenth of the cases that this one is in; everything but the wording counts."""
    mixed = 0
    for part in (list(DOMAINS).index(case.domain), STAGES.index(case.stage), *case[2:]):
        mixed = (mixed * 1_000_003 + part + 1) & 0xFFFFFFFF
        mixed = (mixed ^ (mixed >> 15)) * 0x2C1B3C6D & 0xFFFFFFFF
    return (mixed ^ (mixed >> 13)) % 10


# Dialogs


def options(case: Dialog, without: int = 2) -> str:
    """Both choices in words, or all but one."""
    kinds = [PHRASES[k].format(v=v) for k, v in zip(case.kinds, case.values, strict=True)]
    return " ".join(words for i, words in enumerate(kinds) if i != without)


def call(function: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns an agent's turn that calls one function."""
    return {"role": "agent", "api": {function: dict(arguments)}}


def right_call(case: Dialog, stage: str) -> dict[str, Any]:
    """Returns the call that is right at one of the stages search, act and finish."""
    search, act, finish = case.world.functions
    if stage == "search" and case.domain == "coffee":
        return call(search, {"query": case.x})
    if stage == "search":
        return call(search, {"name.movie": case.x, "location": CITIES[case.city]})
    if stage == "finish":
        return call(finish, {"order_id": case.order_id, "name": NAMES[case.name]})
    chosen = dict(zip(case.kinds, case.values, strict=True))
    many = {case.world.thing_id: case.wanted_id, case.world.many: str(case.many)}
    if case.domain == "coffee":
        return call(act, many | {"attributes": [{"attribute_id": k, "option": v} for k, v in chosen.items()]})
    return call(act, {"name.movie": case.x} | many | {"time.showing": chosen["time"], "seating": chosen["seats"]})


def dialog_turns(
    case: Dialog, rng: np.random.Generator, listed: Sequence[tuple[str, str]] = ()
) -> list[dict[str, Any]]:
    """One wording of a dialog, up to the agent's turn that is to be given; `listed` stands for what is found."""

    def pick(sentences: Sequence[str]) -> str:
        return sentences[int(rng.integers(len(sentences)))]

    def said(role: str, sentence: str, **words: str) -> dict[str, Any]:
        return {"role": role, "text": sentence.format(**words)}

    turns = [said("agent", pick(case.world.greetings))] if rng.random() < 0.25 else []
    wish = pick(case.world.openings).format(
        n=case.many, x=case.x, o=options(case, case.open), w=THEATERS[case.theater], c=CITIES[case.city]
    )
    if case.stage == "search" and case.rival:
        wish = f"{pick(case.world.doubts).format(r=case.world.topics[case.rival - 1])} {wish}"
    turns.append(said("user", "{wish}", wish=wish))
    if case.stage == "search":
        return turns
    turns += [right_call(case, "search"), _found(case, listed or case.listed)]
    if case.stage in ("ask", "absent"):
        return turns
    if case.open < 2:
        turns.append(said("agent", ask(case, rng)))
        turns.append(said("user", pick(ANSWERS), v=case.values[case.open]))
    if case.stage == "act":
        return turns
    act = case.world.functions[1]
    turns.append(right_call(case, "act"))
    turns.append({"role": "api", "response": {act: {"order_id": case.order_id, "total": str(case.total)}}})
    if case.stage == "finish":
        turns.append(said("agent", tell(case, rng)))
        turns.append(said("user", pick(AGREED), p=NAMES[case.name]))
    return turns


def _found(case: Dialog, listed: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Returns the answer of a search: `listed` things as (name, id), and the choices there are."""
    things = [{case.world.thing_id: id_, "name": name} for name, id_ in listed]
    response = {case.world.listed: things} | {k: list(m) for k, m in zip(case.kinds, case.menus, strict=True)}
    return {"role": "api", "response": {case.world.functions[0]: response}}


def ask(case: Dialog, rng: np.random.Generator, which: int | None = None, menu: Sequence[str] = ()) -> str:
    """Asks for a choice (the open one unless said) with what there is (or with `menu`)."""
    which = case.open if which is None else which
    a, b, c = menu or case.menus[which]
    return ASKS[rng.integers(len(ASKS))].format(k=case.kinds[which], a=a, b=b, c=c)


def tell(case: Dialog, rng: np.random.Generator) -> str:
    """Tells what was added."""
    sentence = case.world.tells[rng.integers(len(case.world.tells))]
    return sentence.format(n=case.many, x=case.x, o=options(case), t=case.total)


def absent(case: Dialog, rng: np.random.Generator, names: Sequence[str] = ()) -> str:
    """Says that the wanted thing is not there, and what is (or `names`)."""
    a, b = names or [name for name, _ in case.listed]
    sentence = case.world.absents[rng.integers(len(case.world.absents))]
    return sentence.format(x=case.x, w=THEATERS[case.theater], a=a, b=b)


def right_turn(case: Dialog, rng: np.random.Generator) -> dict[str, Any]:
    """One wording of the agent's turn that is right."""
    if case.stage in ("search", "act", "finish"):
        return right_call(case, case.stage)
    if case.stage == "ask":
        return {"role": "agent", "text": ask(case, rng)}
    return {"role": "agent", "text": absent(case, rng) if case.stage == "absent" else tell(case, rng)}
