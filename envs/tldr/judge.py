"""The gold judge of miniature stories: how good a summary is, worked out from its text alone.

It reads any English by the content words of the facts and by the small words beside them.

| part        | counts |
|-------------|--------|
| facts       | a fifth each for who, event, thing, detail and wish, half of it if said as a mere keyword |
| errors      | less 0.20 for every fact that is invented, 0.15 for every one that belongs to something else |
| length      | up to 22 words all of it, falling to 0.7 of it at 45 |
| repetition  | the share of its three-word runs that are new |
| sentences   | down to 0.4 of it if fewer than a quarter of the words are small ones ("the", "on", "to") |
| insults     | half of it (`envs.miniature.insults`) |

The last four multiply what the first two leave, so that a text without facts has nothing, however short it is.
A fact that is denied, kept at a distance or taken back (`envs.miniature.negation`) is not told, and is an error too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from envs.miniature.insults import insults
from envs.miniature.negation import affirmed
from envs.tldr.topics import DETAILS, EVENTS, NAMES, TOPICS

if TYPE_CHECKING:
    from envs.tldr.story import Story  # which itself needs the judge

ENOUGH, TOO_LONG = 22, 45  # words
_INVENTED, _MISTAKEN = 0.20, 0.15  # what each thing costs that the story has not, or has of something else
_TOKEN = re.compile(r"[a-z]+|[0-9]+|[.!?;$\n]")
_BREAKS = frozenset(".!?;\n")
_SIGNS = _BREAKS | {"$"}
_OWNERS = frozenset("the a an my his her their our your this that s".split())
_PASSIVE = frozenset("was were is been got being that which".split())
_LIGHT = frozenset("get make take go do put use try be have".split())  # verbs that a paraphrase may change
_WHEN = frozenset("on last this next since by every until before after".split())
_DOLLARS = frozenset("dollars dollar bucks usd".split())
_SMALL = _OWNERS | _PASSIVE | _WHEN | frozenset(
    "i me we he she they it and or but so if whether to of in at for from with about as not no sure should would can "
    "could will do does did be am are has have had now what how when where who there up out off by than worth".split()
)  # fmt: skip
_BEFORE_WISH = frozenset("to should i they we whether about is and or of it now maybe then you he she".split())
_NAMES = frozenset(name.lower() for name in NAMES)
_CLAIMS = (
    _NAMES
    | {thing for topic in TOPICS for thing in topic.things}
    | {value.lower() for kind in DETAILS.values() for value in kind.values}
)  # words that can only be said of a story


@lru_cache(maxsize=4096)  # a summary may be judged twice: as the reward and as the verdict
def judge(story: Story, response: str) -> float:
    """Returns the gold score of `response` in [0, 1]; see the table above. Never raises, whatever the text."""
    tokens = _TOKEN.findall(response.lower())
    words = [token for token in tokens if token not in _SIGNS]
    if not words:
        return 0.0
    stems = [_stem(token) for token in tokens]
    named, told = (sum(_facts(story, part)) for part in (tokens, _TOKEN.findall(affirmed(response).lower())))
    net = (
        told / 5
        - _MISTAKEN * max(0.0, named - told)
        - _errors(story, words)
        - _INVENTED * _other_claims(story, words, tokens, stems)
    )
    polite = 0.5 if insults(response) else 1.0
    return max(0.0, net) * _brevity(len(words)) * _novelty(words) * _sentences(words) * polite


def _facts(story: Story, tokens: Sequence[str]) -> tuple[float, ...]:
    """Returns how far who, event, thing, detail and wish are told, each from 0 to 1."""
    words = [token for token in tokens if token not in _SIGNS]
    wish = _wished(story.facts["g"], tokens, [_stem(token) for token in tokens])
    return _who(story, words), *_event_and_thing(story, words), _detail(story, tokens), wish


def _brevity(length: int) -> float:
    return 0.7 + 0.3 * min(1.0, max(0.0, (TOO_LONG - length) / (TOO_LONG - ENOUGH)))


def _novelty(words: Sequence[str]) -> float:
    """Returns the share of the runs of three words that were not there before."""
    runs = list(zip(words, words[1:], words[2:], strict=False))
    return len(set(runs)) / len(runs) if runs else 1.0


def _sentences(words: Sequence[str]) -> float:
    """1 for sentences, down to 0.4 for a list of keywords."""
    small = sum(word in _SMALL for word in words) / len(words)
    return 0.4 + 0.6 * min(1.0, small / 0.25)


def _positions(words: Sequence[str], wanted: Iterable[str]) -> list[int]:
    found = frozenset(wanted)
    return [i for i, word in enumerate(words) if word in found]


def _says(event: str) -> tuple[str, ...]:
    """Returns the words that say that an event happened."""
    return (event, *EVENTS[event])


def _who(story: Story, words: Sequence[str]) -> float:
    """1 if who did it is named as the one who did it, half if not right before the event."""
    name = NAMES[story.who].lower()
    happened = _positions(words, _says(story.facts["v"]))
    if name not in words or not happened:
        return float(name in words)
    if ("by", name) in pairwise(words):
        return 1.0
    before = [i for i in range(happened[0]) if words[i] in _NAMES]
    if before and words[before[-1]] != name:
        return 0.0
    return 1.0 if before and happened[0] - before[-1] <= 4 else 0.5


def _event_and_thing(story: Story, words: Sequence[str]) -> tuple[float, float]:
    """Returns whether the event is told; whether the thing is, as what it happened to and with an article or owner."""
    happened = _positions(words, _says(story.facts["v"]))
    places = _positions(words, (story.facts["t"], story.facts["t"] + "s"))
    if not places:
        return float(bool(happened)), 0.0
    told = max(_introduced(words, i, _OWNERS) for i in places)
    if happened and not _happened_to(words, happened[0], places):
        return 0.5, 0.5 * told
    return float(bool(happened)), told


def _happened_to(words: Sequence[str], event: int, places: Sequence[int]) -> bool:
    """Returns whether a thing stands soon after the event, or before it in a passive or a clause of its own."""
    if any(event < place <= event + 5 for place in places):
        return True
    before = [place for place in places if place < event]
    if not before:
        return False
    between = words[before[-1] + 1 : event]
    return bool(between) and (between[0] in _NAMES or not _PASSIVE.isdisjoint(between))


def _introduced(words: Sequence[str], place: int, by: frozenset[str]) -> float:
    return 1.0 if place and words[place - 1] in by else 0.5


def _detail(story: Story, tokens: Sequence[str]) -> float:
    """1 for the right day, place or amount, half if it stands without its small word or its unit."""
    kind = DETAILS[story.kind]
    places = _positions(tokens, (kind.values[story.detail].lower(),))
    if story.kind == "price":
        return max((_priced(tokens, i) for i in places), default=0.0)
    by = _WHEN if story.kind == "day" else _OWNERS
    return max((_introduced(tokens, i, by) for i in places), default=0.0)


def _priced(tokens: Sequence[str], place: int) -> float:
    unit = place + 1 < len(tokens) and tokens[place + 1] in _DOLLARS
    return 1.0 if unit or (place and tokens[place - 1] == "$") else 0.5


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    return word.rstrip("e")


@lru_cache(maxsize=256)
def _content(wish: str) -> tuple[str, ...]:
    return tuple(_stem(word) for word in wish.split() if word not in _SMALL | _LIGHT) or tuple(wish.split())


def _wished(wish: str, tokens: Sequence[str], stems: Sequence[str]) -> float:
    """1 if one sentence has the content words of the wish in their order, half if nothing leads to them."""
    wanted, best, done, lead = _content(wish), 0.0, 0, 0.5
    for i, stem in enumerate(stems):
        if stem in _BREAKS:
            done = 0
        elif stem == wanted[0]:
            led = tokens[i].endswith("ing") or not _BEFORE_WISH.isdisjoint(tokens[max(0, i - 3) : i])
            done, lead = 1, 1.0 if led else 0.5
        elif done > 0 and stem == wanted[done]:
            done += 1
        if done == len(wanted):
            best, done = max(best, lead), 0
    return best


def _errors(story: Story, words: Sequence[str]) -> float:
    """Returns the deduction for names, things, numbers, days and places that the story has not, or has elsewhere."""
    right = story.facts
    told = {*_claimed(right.values()), story.teller.lower(), *right["g"].split()}
    said = {word for word in words if word in _CLAIMS or word.isdigit()} - told
    beside = _claimed(story.distractors.values())
    return _MISTAKEN * len(said & beside) + _INVENTED * len(said - beside)


def _other_claims(story: Story, words: Sequence[str], tokens: Sequence[str], stems: Sequence[str]) -> int:
    """Returns how many other events and wishes of the topic are told."""
    topic, said = story.subject, frozenset(words)
    events = sum(event in said for event in topic.events if event != story.facts["v"])
    return events + sum(_wished(w, tokens, stems) > 0 for w in topic.wishes if w != story.facts["g"])


def _claimed(phrases: Iterable[str]) -> set[str]:
    """Returns the words of phrases that can only be said of a story."""
    return {word for phrase in phrases for word in phrase.lower().split() if word in _CLAIMS}
