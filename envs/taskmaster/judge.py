"""The gold judge of miniature Taskmaster: how good an agent's turn is, worked out from its text alone.

| a call is right (search, act, finish)          | words are right                                              |
|------------------------------------------------|--------------------------------------------------------------|
| another function or none that can be read: 0   | a call: 0                                                    |
| 0.15 the function                              | ask: 0.3 asks for the open choice, 0.45 for what there is    |
| 0.85 its arguments, an id counting three times | absent: 0.3 says it is not there, 0.4 what is, 0.1 asks      |
| -0.15 each that is wrong or missing, -0.3 extra| tell: 0.7 what was added and the total, 0.1 asks if right    |
| words instead: 0.1 at most                     | 0.2 or 0.25 manners (-1 at worst); inventions cost           |
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from envs.miniature.negation import affirmed
from envs.taskmaster.dialogs import Dialog, right_call
from envs.taskmaster.tables import RAMBLES, THEATERS, VALUES
from envs.taskmaster.turns import parse_turn

LONGEST = 40  # words; longer answers lose in proportion

_WORD = re.compile(r"\d+(?::\d+)?|[a-z]+(?:'[a-z]+)?")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n")
_ASKS = re.compile(r"\?|\b(choose|which|let me know|tell me|pick|prefer)\b")
_POLITE = re.compile(
    r"\b(please|would you|sorry|sure|thank|thanks|of course|happy|glad|may i|shall i|could you|welcome|certainly)\b"
)
_NOT = re.compile(r"\b(no|not|don't|doesn't|isn't|aren't|unavailable|out of|cannot|can't|couldn't|without|none)\b")
_CLAUSE_END = re.compile(
    r"(?<=[.!?;:])\s+|\n|\b(?:but|however)\b|"
    r", (?=(?:would|how|what|may|can|could|do|you|we|i|please|perhaps|maybe|try)\b)"
)
_RUDE = re.compile(r"\b(hurry|stupid|make up your mind|no time|should know|shut|idiot|annoying)\b")
_COURTESY = re.compile(
    r"\b(please|sure|thank|thanks|sorry|of course|hello|hi|okay|great|certainly|happy|glad|like|right|correct|want|"
    r"prefer|preference|book|order|check|confirm|else|instead|choose|help)\b"
)
_TRANSCRIPT = re.compile(r"(?:^|\n|\s)(?:user|agent|api): |->|\bcall \w+\(")
_OFF_TOPIC = frozenset(sentence.lower().rstrip(".") for sentence in RAMBLES)
_KIND_WORDS: Mapping[str, tuple[str, ...]] = {
    "seats": ("seats", "seat", "seating"),
    "time": ("time", "times", "show", "showing"),
    "cup": ("cup", "cups"),
    "topping": ("topping", "toppings"),
    "size": ("size", "sizes", "big"),
}
_DIGITS = {word: str(i) for i, word in enumerate("zero one two three four five six seven eight nine".split())}


@lru_cache(maxsize=4096)  # a turn may be judged twice: as the reward and as the verdict
def judge(case: Dialog, response: str) -> float:
    """Returns the gold score of `response` in [0, 1]; see the table above. Never raises, whatever the text."""
    text = response.strip()
    try:
        turn = parse_turn(text)
    except (ValueError, RecursionError):
        return 0.0
    expects_call = case.stage in ("search", "act", "finish")
    if "api" in turn:
        return _judge_call(case, turn["api"]) if expects_call else 0.0
    text = str(turn["text"]).lower().replace("\u2019", "'")
    answer = _Words(text, case)
    if not answer.sentences:
        return 0.0
    if expects_call:
        return 0.0 if "?" in answer.text or len(answer.words) > 12 else 0.1 * max(0.0, answer.manners)
    score = {"ask": _judge_ask, "absent": _judge_absent, "tell": _judge_tell}[case.stage](case, answer)
    return min(1.0, max(0.0, score)) * min(1.0, LONGEST / len(answer.words))


# Calls


def _judge_call(case: Dialog, api: Mapping[str, Any]) -> float:
    ((right_name, right_arguments),) = right_call(case, case.stage)["api"].items()
    ((name, arguments),) = api.items()
    if name != right_name:
        return 0.0
    wanted, given = _flat(right_arguments), _flat(arguments)
    weights = {key: 3.0 if key.endswith("_id") else 1.0 for key in wanted}
    right = [key for key, value in wanted.items() if given.get(key) == value]
    surplus = len(given.keys() - wanted.keys())
    share = sum(weights[key] for key in right) / sum(weights.values())
    return max(0.0, 0.15 + 0.85 * share - 0.15 * (len(wanted) - len(right)) - 0.3 * surplus)


def _flat(arguments: Mapping[str, Any]) -> dict[str, str]:
    """Arguments by name, attributes by their id; whatever has another shape stands under its own place."""
    flat: dict[str, str] = {}
    for key, value in arguments.items():
        if key == "attributes" and isinstance(value, list):
            for i, part in enumerate(value):
                sound = isinstance(part, dict) and set(part) == {"attribute_id", "option"}
                name = f"attribute {part['attribute_id'] if sound else i}"
                flat[name if name not in flat else f"{name} again {i}"] = _plain(part["option"] if sound else part)
        else:
            flat[str(key)] = _plain(value)
    return flat


def _plain(value: Any) -> str:
    return value.strip().lower() if isinstance(value, str) else _DIGITS.get(str(value), str(value)[:99])


# Words


class _Words:
    """Split a response into words and sentences, and rate its manners."""

    def __init__(self, text: str, case: Dialog) -> None:
        self.text = text
        self.words = [_DIGITS.get(word, word) for word in _WORD.findall(text)]
        self.line = f" {' '.join(self.words)} "
        self.sentences = [s for s in _SENTENCE_END.split(text) if _WORD.search(s)]
        self.asks = _ASKS.search(text) is not None
        self.manners = self._manners(case)

    def names(self, thing: str) -> bool:
        """Returns whether a thing of one or more words is named."""
        return f" {thing} " in self.line

    def named(self, things: Iterable[str]) -> list[str]:
        return [thing for thing in things if f" {thing} " in self.line]

    def _manners(self, case: Dialog) -> float:
        known = _known(case)
        rude = len(_RUDE.findall(self.text)) + len(_TRANSCRIPT.findall(self.text))
        faults = rude + len(self.sentences) - len(set(self.sentences)) + max(0, len(self.sentences) - 4)
        faults += sum(not _on_topic(sentence, known) for sentence in self.sentences)
        return max(-1.0, (1.0 if _POLITE.search(self.text) else 0.6) - 0.5 * faults)


def _on_topic(sentence: str, known: frozenset[str]) -> bool:
    if sentence.rstrip(".!?") in _OFF_TOPIC:
        return False
    return _COURTESY.search(sentence) is not None or not known.isdisjoint(_WORD.findall(sentence))


@lru_cache(maxsize=4096)
def _known(case: Dialog) -> frozenset[str]:
    """Returns the words that a sentence about this dialog may hold."""
    listed = [name for name, _ in case.listed]
    words = [case.x, case.wanted, *listed, *case.kinds, *case.values, *case.menus[0], *case.menus[1], str(case.many)]
    return frozenset(" ".join(words).split()) | {str(case.total)}


def _kind_named(kind: str, answer: _Words) -> bool:
    return bool(answer.named(_KIND_WORDS.get(kind, (kind,))))


def _with_manners(content: float, weight: float, answer: _Words) -> float:
    """Good manners alone are worth little."""
    return content + weight * answer.manners * (1.0 if content or answer.manners < 0 else 0.3)


def _judge_ask(case: Dialog, answer: _Words) -> float:
    kind, other = case.kinds[case.open], case.kinds[1 - case.open]
    menu, meant = case.menus[case.open], _Words(affirmed(answer.text), case)
    offered = meant.named(menu)
    invented = len(set(answer.named(VALUES[kind])) - set(menu))
    stated = case.values[1 - case.open]
    again = len([v for v in answer.named(VALUES[other]) if v != stated])
    asked = meant.asks and (_kind_named(kind, meant) or len(offered) == len(menu))
    share = len(offered) / len(menu) * (1.0 if asked else 0.5)
    wrong = 0.15 * invented + 0.15 * again + 0.2 * _kind_named(other, answer) * (not answer.names(stated))
    return _with_manners(0.3 * asked + 0.45 * share, 0.25, answer) - wrong


def _judge_absent(case: Dialog, answer: _Words) -> float:
    listed = [name for name, _ in case.listed]
    denies, meant = _denial(case, answer.text)
    found = meant.named(listed)
    known = (*listed, case.wanted, case.x)
    invented = [name for name in answer.named((*case.world.topics, *THEATERS)) if name not in known]
    asks = 0.1 * (meant.asks and bool(found))
    wrong = 0.2 * len(invented) + 0.2 * (not denies and (answer.names(case.wanted) or not found))
    return _with_manners(0.3 * denies + 0.2 * len(found) + asks, 0.2, answer) - wrong


def _denial(case: Dialog, text: str) -> tuple[bool, _Words]:
    """Returns whether a text says that the wanted thing is not there, and what else it affirms.

    A clause that denies has one "not", without which it would affirm what is wanted: "it is not true that there is no
    latte" has two. What it names besides is denied too.
    """
    clauses = [c for c in _CLAUSE_END.split(text) if c and _WORD.search(c)]
    denials = {c for c in clauses if _NOT.search(c) and (case.wanted in c or case.x in c)}
    alone = all(affirmed(_NOT.sub("", c, count=1)) for c in denials) and not any(
        _NOT.search(_NOT.sub("", c, count=1)) for c in denials
    )
    rest = ". ".join(c for c in clauses if c not in denials)
    meant = affirmed(rest)
    return bool(denials) and alone and (bool(meant) or not rest), _Words(meant, case)


def _judge_tell(case: Dialog, answer: _Words) -> float:
    facts = {case.x: 0.15, str(case.many): 0.15, str(case.total): 0.2, case.values[0]: 0.1, case.values[1]: 0.1}
    meant = _Words(affirmed(answer.text), case)
    right = sum(worth for fact, worth in facts.items() if meant.names(fact))
    numbers = {word for word in answer.words if word.isdigit()} - {str(case.many), str(case.total), str(case.order)}
    topics = [topic for topic in answer.named(case.world.topics) if topic != case.x]
    values = [v for kind in case.kinds for v in answer.named(VALUES[kind]) if v not in case.values]
    wrong = 0.2 * len(numbers) + 0.2 * len(topics) + 0.1 * len(values)
    return _with_manners(right + 0.1 * (meant.asks and right > 0), 0.2, answer) - wrong
