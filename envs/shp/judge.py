"""The gold judge of miniature SHP: how good a comment is, worked out from its text alone.

It reads any English by content words (stems of the steps that fit the problem), by the values of the conditions, and
by markers of what is no answer.

| share | for |
|---|---|
| 0.3 | the first step for this problem |
| 0.3 | the second step |
| 0.2 | names the value of the asker's condition and no other |
| 0.1 | names the very thing: half without its trait ("bike" for "old bike") |
| 0.1 | manners: half is lost by each sentence that is no answer |

A sentence that says the opposite of its words (`envs.miniature.negation`) gives no step and no value, and to deny one
of the right ones is a fault.
Steps count half without the thing, half beside another thing of the topic, half beside a step of another problem or
as a list of key words.
Without any step the condition and the thing count half. From the second fault on, each takes away a part of everything,
so repeating, rambling and stuffing do not pay. To insult the asker (`envs.miniature.insults`) halves all.
"""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from envs.miniature.insults import insults
from envs.miniature.negation import affirmed, without_doubt
from envs.shp.topics import CONDITIONS, OFF_TOPIC, TOPICS, TRAITS

if TYPE_CHECKING:  # the questions' module imports this one
    from envs.shp.questions import Question

_READ = 1_200  # characters; a comment that goes on behind them rambles
_WORD = re.compile(r"[a-z0-9']+")
_LETTER = re.compile("[a-z]")
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n+")
_SUFFIX = re.compile(r"(?:ing|ed|es|s|e|y|ies|ied)$")
_STOP = frozenset(
    "a an and the of to in on at it its is are be you your i me my with for from then first can just by them this that "
    "their until before after if so as or but will would should do into up off out "
    "around near between above along below behind without while very".split()
)
_UNFIT = re.compile(  # of the text without its harmless words: "you won't need more than" is a fit
    r"\b(?:not|never|without|more than|longer than|"
    r"too (?:little|few|short|small|late|long|much))\b"
)
_ASKER = re.compile(
    r"\b(?:my|how (?:do|can) i|what should i|where do i|i (?:only|can only|can just|have|had|own|must|need|want|was|"
    r"will|also|once|saw|lost|already|still|am|first))\b"
)
_SCOLD = re.compile(r"\b(?:ashamed|stupid|fool|idiots?|shut up|dumb|moron|pathetic|wasting)\b|wrong with you")
_VAGUE = re.compile(
    r"\b(?:look it up|google|search|expert|professional|it depends|many (?:ways|things)|who knows|another way|"
    r"hard to say|no idea)\b"
)
_COURTESY = re.compile(r"^(?:sure|yes|hello|hi|of course|certainly)\b|\b(?:luck|hope|welcome|glad|happy|let me know)\b")
_OFF_TOPIC = frozenset(s.lower() for s in OFF_TOPIC)
_TRAITS = frozenset(TRAITS)


def _value_pattern(name: str, values: tuple[str, ...]) -> re.Pattern[str]:
    """Returns the pattern of the values of a condition: numbers with their unit, or one of the listed words."""
    patterns = {"time": r"\b(\d+)(?: |-)min(?:ute)?s?\b", "money": r"(?:\$(\d+)|\b(\d+) (?:dollars?|bucks)\b)"}
    return re.compile(patterns.get(name) or rf"\b(?:{'|'.join(v.lower() for v in values)})\b")


_VALUES = tuple(_value_pattern(c.name, c.values) for c in CONDITIONS)


class _Key(NamedTuple):
    """Holds what an answer to one problem with one thing is read against."""

    steps: tuple[frozenset[str], ...]
    other_steps: tuple[frozenset[str], ...]
    known: frozenset[str]
    thing: str
    other_things: frozenset[str]


class _Reading(NamedTuple):
    """Hold the meaning of one sentence."""

    steps: tuple[float, ...] = (0.0, 0.0)
    other_step: bool = False
    words: tuple[str, ...] = ()
    values: frozenset[str] = frozenset()
    unfit: bool = False
    fault: bool = True
    denied: bool = False  # says that a right step or the value is none


@lru_cache(maxsize=4096)  # words of the grammar are few, and hostile text cannot fill the memory
def _stem(word: str) -> str:
    """Returns a word without its ending: "stirring" and "stir" are the same."""
    if len(word) < 4:
        return word
    stem = _SUFFIX.sub("", word, count=1)
    if len(stem) < 3:
        return word
    return stem[:-1] if stem != word and stem[-1] == stem[-2] and len(stem) > 3 else stem


def _content(text: str) -> frozenset[str]:
    return frozenset(_stem(w) for w in _WORD.findall(text.lower()) if w not in _STOP)


@lru_cache(maxsize=1024)
def _key(topic: int, problem: int, thing: int) -> _Key:
    subject = TOPICS[topic]
    steps = [[_content(step.format(x="")) for step in (p.first, p.second)] for p in subject.problems]
    right = steps.pop(problem)
    known = frozenset().union(*right, _content(subject.problems[problem].goal.format(o="", x=subject.things[thing])))
    others = frozenset(map(_stem, subject.things)) - {_stem(subject.things[thing])}
    return _Key(tuple(right), tuple(s for pair in steps for s in pair), known, _stem(subject.things[thing]), others)


@lru_cache(maxsize=4096)  # a comment may be judged twice: as the reward and as the verdict
def judge(question: "Question", response: str) -> float:
    """Returns the gold score of `response` in [0, 1]; see the table above. Never raises, whatever the text."""
    key = _key(question.topic, question.problem, question.thing)
    text = response[:_READ].lower().replace("\u2019", "'").strip()
    sentences = _sentences(text)
    if not sentences:
        return 0.0
    meant = frozenset(_sentences(affirmed(text)))
    readings = [_read(s, key, question.condition, s in meant) for s in dict.fromkeys(sentences)]
    faults = sum(r.fault or r.denied for r in readings) + len(sentences) - len(readings) + max(0, len(sentences) - 6)
    soup = _is_soup(text)
    faults += 3 * soup + 10 * (len(response) > _READ)
    stuffed = soup or any(r.other_step for r in readings)
    body = _helpful([r for r in readings if not r.fault], stuffed, key, question)
    score = body * max(0.2, 1.0 - 0.15 * max(0, faults - 1)) + 0.1 * max(0.0, 1.0 - 0.5 * faults)
    return score * (0.5 if insults(text) else 1.0)


def _sentences(text: str) -> list[str]:
    return [s for s in _SENTENCE_END.split(text) if _LETTER.search(s)]


def _is_soup(text: str) -> bool:
    """Returns whether it is a list of key words: English has more small words between them."""
    words = _WORD.findall(text)
    return len(words) >= 6 and sum(w in _STOP for w in words) < 0.16 * len(words)


def _read(sentence: str, key: _Key, condition: int, meant: bool) -> _Reading:
    """Reads a sentence; one that is no part of an answer is a fault, and what is not `meant` gives no step."""
    words = tuple(_WORD.findall(sentence))
    stems = frozenset(map(_stem, words))
    steps: tuple[float, ...] = (0.0, 0.0)
    other = False
    if len(words) <= 60:
        steps = tuple(_covered(step, stems) for step in key.steps)
        other = any(_covered(step, stems) == 1.0 for step in key.other_steps if not step <= key.known)
    values = frozenset("".join(v) if isinstance(v, tuple) else v for v in _VALUES[condition].findall(sentence))
    denied = not meant and (max(steps) > 0 or bool(values))
    if not meant:
        steps, other = (0.0, 0.0), False
    helps = max(steps) > 0
    fault = bool(_SCOLD.search(sentence)) or insults(sentence) or (other and not helps)
    if not helps:
        fault = fault or _no_answer(sentence) or not (values or key.known & stems or _COURTESY.search(sentence))
    return _Reading(
        steps, other, words, values, not meant or bool(_UNFIT.search(without_doubt(sentence))), fault, denied
    )


def _no_answer(sentence: str) -> bool:
    """Returns whether it speaks of the writer, asks back, or puts the asker off."""
    return sentence in _OFF_TOPIC or bool(_ASKER.search(sentence) or _VAGUE.search(sentence))


def _covered(step: frozenset[str], stems: frozenset[str]) -> float:
    """1 for three quarters of a step's words, 0.5 for most of them, else 0."""
    share = len(step & stems) / len(step)
    if share >= 0.75:
        return 1.0
    return 0.5 if share >= 0.6 else 0.0


def _helpful(readings: list[_Reading], stuffed: bool, key: _Key, question: "Question") -> float:
    """Returns the part of the score that is not manners, of the sentences without fault; `stuffed` halves the steps."""
    if not readings:
        return 0.0
    words = [w for r in readings for w in r.words]
    stems = set(map(_stem, words))
    steps = 0.3 * sum(max(r.steps[i] for r in readings) for i in range(2))
    for spoils in (key.thing not in stems, bool(key.other_things & stems), stuffed):
        steps *= 0.5 if spoils else 1.0
    facts = 0.2 * _fits(readings, question) + 0.1 * _names_thing(words, key, TRAITS[question.trait])
    return steps + facts * (1.0 if steps else 0.5)


def _fits(readings: list[_Reading], question: "Question") -> float:
    """1 if the asker's value is named, no other of its kind is, and no sentence says that it is not enough."""
    limit = CONDITIONS[question.condition]
    value = limit.values[question.value].lower()
    wanted = value.split()[0] if limit.name in ("time", "money") else value
    saying = [r for r in readings if r.values]
    found = frozenset().union(*(r.values for r in saying))
    return float(found == {wanted} and not any(r.unfit and not max(r.steps) for r in saying))


def _names_thing(words: list[str], key: _Key, trait: str) -> float:
    """1 for "old bike", 0.5 for "bike", 0 for "new bike", none, or beside another thing of the topic."""
    before = {words[i - 1] if i else "" for i, w in enumerate(words) if _stem(w) == key.thing}
    if not before or key.other_things & set(map(_stem, words)):
        return 0.0
    named = before & _TRAITS
    if not named:
        return 0.5
    return float(named == {trait})
