"""Miniature Taskmaster: the grammar of its dialogs, how agents answer them, and files in the original schema."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from envs.miniature.grammar import Grammar, Shortcut
from envs.taskmaster.dialogs import (
    Dialog,
    absent,
    ask,
    call,
    dialog_turns,
    draw_dialog,
    fold_dialog,
    options,
    right_call,
    right_turn,
    tell,
)
from envs.taskmaster.judge import judge
from envs.taskmaster.tables import (
    BARE_ASKS,
    CITIES,
    DOMAINS,
    NAMES,
    RAMBLES,
    RUDE,
    STALLS,
    THEATERS,
    UNSEEN_TOPICS,
    VALUES,
)
from envs.taskmaster.turns import render_context, render_turn

CALLS = ("search", "act", "finish")

# How agents answer where a call is right (True) and where words are, and how often.
BEHAVIOURS: Mapping[bool, Mapping[str, float]] = {
    True: {
        "right": 0.16, "wrong value": 0.20, "two wrong": 0.15, "missing": 0.13, "extra": 0.08, "wrong and extra": 0.08,
        "wrong function": 0.08, "ask again": 0.07, "stall": 0.05,
    },
    False: {
        "right": 0.15, "half": 0.22, "wrong facts": 0.19, "other question": 0.10, "ramble": 0.07, "rude": 0.09,
        "call": 0.11, "stall": 0.07,
    },
}  # fmt: skip

# How agents answer who show the task. One kind is by far the commonest: they leave out the last argument of a call, and
# say a half of what is to be said. SFT repeats the commonest kind, so that is what a greedy SFT policy does.
DEMONSTRATED: Mapping[bool, Mapping[str, float]] = {
    True: {
        "right": 0.17, "last left out": 0.46, "wrong value": 0.12, "two wrong": 0.04, "missing": 0.04, "extra": 0.05,
        "wrong function": 0.04, "ask again": 0.05, "stall": 0.03,
    },
    False: {
        "right": 0.17, "half": 0.50, "wrong facts": 0.10, "other question": 0.05, "ramble": 0.05, "rude": 0.03,
        "call": 0.07, "stall": 0.03,
    },
}  # fmt: skip


def _pick(rng: np.random.Generator, items: Sequence[str], *but: str) -> str:
    """One of `items` that is none of `but`."""
    left = [item for item in items if item not in but]
    return left[int(rng.integers(len(left)))]


def draw_response(
    case: Dialog, rng: np.random.Generator, behaviours: Mapping[bool, Mapping[str, float]] = BEHAVIOURS
) -> str:
    """Returns a turn of mixed quality, drawn from `behaviours`."""
    weights = behaviours[case.stage in CALLS]
    return respond(case, list(weights)[rng.choice(len(weights), p=list(weights.values()))], rng)


def respond(case: Dialog, behaviour: str, rng: np.random.Generator) -> str:
    """Returns the turn of one behaviour (a key of `BEHAVIOURS` or `DEMONSTRATED`), in words."""
    if behaviour == "stall":
        return _pick(rng, STALLS)
    if case.stage in CALLS:
        return _answer_with_call(case, behaviour, rng)
    return _answer_with_words(case, behaviour, rng)


def _answer_with_call(case: Dialog, behaviour: str, rng: np.random.Generator) -> str:
    ((name, arguments),) = right_call(case, case.stage)["api"].items()
    flat = _flatten(arguments)
    keys = [key for key in flat if key != "attributes"]
    chosen = [keys[int(i)] for i in rng.permutation(len(keys))]
    match behaviour:
        case "wrong value" | "wrong and extra":
            flat[chosen[0]] = _wrong(case, chosen[0], flat[chosen[0]], rng)
        case "two wrong":
            flat |= {key: _wrong(case, key, flat[key], rng) for key in chosen[:2]}
        case "missing":
            del flat[chosen[0]]
        case "last left out":
            flat.popitem()
        case "wrong function":
            name = _pick(rng, case.world.functions, name)
        case "ask again":
            return ask(case, rng, int(rng.integers(2)))
    if behaviour in ("extra", "wrong and extra"):
        flat |= _surplus(case, flat, rng)
    return render_turn(call(name, _unflatten(case, flat)))


def _flatten(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Arguments with the attributes, if any, beside the others."""
    flat = {k: v for k, v in arguments.items() if k != "attributes"}
    return flat | {a["attribute_id"]: a["option"] for a in arguments.get("attributes", ())}


def _unflatten(case: Dialog, flat: Mapping[str, str]) -> dict[str, Any]:
    if case.domain == "ticketing":
        return dict(flat)
    chosen = [{"attribute_id": k, "option": v} for k, v in flat.items() if k in VALUES]
    return {k: v for k, v in flat.items() if k not in VALUES} | ({"attributes": chosen} if chosen else {})


def _wrong(case: Dialog, key: str, right: str, rng: np.random.Generator) -> str:
    """Another value for an argument, such as an inattentive agent would give."""
    if key in case.kinds or key in ("time.showing", "seating"):
        which = 1 if key in (case.kinds[1], "seating") else 0
        return _pick(rng, case.menus[which] if rng.random() < 0.6 else VALUES[case.kinds[which]], right)
    if key == case.world.thing_id:
        other = next((id_ for _, id_ in case.listed if id_ != right), right)
        return other if rng.random() < 0.5 else f"{case.wanted}-{rng.integers(100, 1000)}"
    if key == "order_id":
        return f"order-{(case.order + int(rng.integers(1, 800))) % 900 + 100}"
    if key == case.world.many:
        return str((case.many - 1 + int(rng.integers(7))) % 8 + 2)
    if case.stage == "search" and case.rival and key in ("query", "name.movie") and rng.random() < 0.7:
        return case.world.topics[case.rival - 1]
    return _pick(rng, {"location": CITIES, "name": NAMES}.get(key, _topics(case)), right)


def _topics(case: Dialog) -> tuple[str, ...]:
    """Returns the topics that may be named beside this one: none that is held out, unless this one is."""
    seen = len(case.world.topics) - UNSEEN_TOPICS
    return case.world.topics[:seen] if case.topic < seen else case.world.topics


def _surplus(case: Dialog, flat: Mapping[str, str], rng: np.random.Generator) -> dict[str, str]:
    """Returns an argument that the call does not have."""
    surplus = {"notes": "no sugar", "fields": "all", "date": "today", case.world.many: str(case.many)}
    key = _pick(rng, list(surplus), *flat)
    return {key: surplus[key]}


def _answer_with_words(case: Dialog, behaviour: str, rng: np.random.Generator) -> str:
    right = str(right_turn(case, rng)["text"])
    match behaviour:
        case "half":
            return _half(case, rng)
        case "wrong facts":
            return _wrong_facts(case, rng)
        case "other question":
            return ask(case, rng, 1 - case.open % 2)
        case "ramble":
            return f"{right} {' '.join(rng.permutation(RAMBLES)[: rng.integers(1, 4)])}"
        case "rude":
            return f"{_pick(rng, RUDE)} {_half(case, rng) if rng.random() < 0.5 else right}"
        case "call":
            return render_turn(right_call(case, "search" if rng.random() < 0.4 else "act"))
    return right


def _half(case: Dialog, rng: np.random.Generator) -> str:
    """Returns a part of the right words."""
    found = [name for name, _ in case.listed]
    match case.stage:
        case "ask":
            one, two, _ = rng.permutation(case.menus[case.open])
            kind = case.kinds[case.open]
            return _pick(rng, (*BARE_ASKS, f"Which {kind}, {one} or {two}?", f"We have {one} and {two}.")).format(
                k=kind
            )
        case "absent":
            return _pick(
                rng, (f"Sorry, there is no {case.x}.", f"Would you like {found[0]}?", f"We have {' and '.join(found)}.")
            )
    whole = f"{case.many} {case.x} {options(case)}."
    return _pick(
        rng, (f"I have {whole}", f"Your total is {case.total} dollars.", f"Okay. That is {case.x}, right?", whole)
    )


def _wrong_facts(case: Dialog, rng: np.random.Generator) -> str:
    """Returns the right form, with facts of which some are not in the prompt."""
    if case.stage == "ask":
        values = rng.permutation(VALUES[case.kinds[case.open]])[:3]
        kept = case.menus[case.open][0]
        return ask(case, rng, menu=[str(v) for v in (*values[:2], kept)] if kept not in values else list(values))
    if case.stage == "absent":
        names = _topics(case) if case.domain == "coffee" else THEATERS
        known = [name for name, _ in case.listed]
        return absent(case, rng, [_pick(rng, names, *known), known[int(rng.integers(2))]])
    topic = _pick(rng, _topics(case)) if rng.random() < 0.5 else case.x
    wrong = case._replace(total=10 + int(rng.integers(90)), many=2 + int(rng.integers(8)))
    sentence = tell(wrong, rng)
    return sentence.replace(case.x, topic)


# Policies that know a shortcut and not the task


def _constant(case: Dialog, prompt: str, rng: np.random.Generator) -> str:
    return "Sure. Which one would you like, and is that right?"


def _always_call(case: Dialog, prompt: str, rng: np.random.Generator) -> str:
    """Returns the call that fits what is known so far, never a word."""
    return render_turn(right_call(case, "search" if case.stage == "search" else "act"))


def _right_form_wrong_facts(case: Dialog, prompt: str, rng: np.random.Generator) -> str:
    other = draw_dialog(case.domain, rng, unseen=False)
    while other.stage != case.stage:
        other = draw_dialog(case.domain, rng, unseen=False)
    return render_turn(right_turn(other, rng))


def _facts_without_form(case: Dialog, prompt: str, rng: np.random.Generator) -> str:
    return f"{case.x}, {options(case)}, {case.many}, {', '.join(case.menus[case.open % 2])}, {case.wanted_id}"


def _copy_last_line(case: Dialog, prompt: str, rng: np.random.Generator) -> str:
    return prompt.split("\n")[-2].split(": ", 1)[1]


def _list_everything(case: Dialog, prompt: str, rng: np.random.Generator) -> str:
    asks = " ".join(ask(case, rng, i) for i in range(2))
    found = " and ".join(name for name, _ in case.listed)
    return f"Sorry, no {case.wanted}. We have {found}. {asks} {tell(case, rng)}"


SHORTCUTS: Mapping[str, Callable[[Any, str, np.random.Generator], str]] = {
    "one fixed question": _constant,
    "always call": _always_call,
    "right form, wrong facts": _right_form_wrong_facts,
    "right facts without form": _facts_without_form,
    "copy of the last turn": _copy_last_line,
    "copy of the prompt": lambda case, prompt, rng: prompt,
    "everything at once": _list_everything,
}


class TaskmasterGrammar(Grammar):
    """Dialogs of one domain, "coffee" or "ticketing"."""

    case_type = Dialog
    pointwise = True

    def __init__(self, domain: str) -> None:
        if domain not in DOMAINS:
            raise ValueError(f"domain must be one of {', '.join(DOMAINS)}, got {domain!r}")
        self.domain = domain
        self.name = f"taskmaster-{domain}"

    def draw_case(self, rng: np.random.Generator, unseen: bool) -> Dialog:
        return draw_dialog(self.domain, rng, unseen)

    def fold(self, case: Dialog) -> int:
        return fold_dialog(case)

    def groups(self, case: Dialog) -> list[str]:
        seen = case.topic < len(case.world.topics) - UNSEEN_TOPICS
        return [case.stage, "seen topics" if seen else "unseen topics"]

    def word_prompt(self, case: Dialog, rng: np.random.Generator) -> str:
        return render_context(dialog_turns(case, rng))

    def draw_response(self, case: Dialog, rng: np.random.Generator) -> str:
        return draw_response(case, rng)

    def demonstration(self, case: Dialog, rng: np.random.Generator) -> str:
        return draw_response(case, rng, DEMONSTRATED)

    def good_response(self, case: Dialog, rng: np.random.Generator) -> str:
        return render_turn(right_turn(case, rng))

    def judge(self, case: Dialog, response: str) -> float:
        return judge(case, response)

    @property
    def shortcuts(self) -> Mapping[str, Shortcut]:
        return SHORTCUTS
