"""Miniature stories: what a TL;DR post and a message thread tell, and the summaries people write of them.

A story has five facts, each from a table of its own: who did what to which thing, one detail (when, where or worth
how much), and what the writer thinks of doing. Beside them stand facts that are true of something else: another
person, another thing, another detail. The post and the thread (`tldr.py`, `bolt.py`) only word a story; its
summaries and its judge are the same, so a reward model that was trained on posts means the same in threads.

Everything is drawn from a seed; nothing here comes from the real corpora.
"""

import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np

from envs.miniature.grammar import Grammar, Shortcut
from envs.tldr.judge import judge
from envs.tldr.topics import DETAILS, NAMES, TOPICS, UNSEEN_TOPICS, Topic

KINDS = tuple(DETAILS)
_KIND_WEIGHTS = (0.4, 0.35, 0.25)  # how often a detail is of each kind


class Story(NamedTuple):
    """The meaning of a prompt, as positions in the tables: what the gold judge is told."""

    topic: int
    who: int
    event: int
    thing: int
    kind: str
    detail: int
    wish: int
    rival: int  # the other person, who has done nothing
    other: int  # the other thing, which is all right
    other_detail: int  # what is true of the other thing

    @property
    def subject(self) -> Topic:
        return TOPICS[self.topic]

    @property
    def facts(self) -> dict[str, str]:
        """The words of the five facts: w(ho), v(erb), t(hing), d(etail), g(oal)."""
        kind = DETAILS[self.kind]
        return {
            "w": NAMES[self.who],
            "v": self.subject.events[self.event],
            "t": self.subject.things[self.thing],
            "d": kind.phrase.format(kind.values[self.detail]),
            "g": self.subject.wishes[self.wish],
        }

    @property
    def distractors(self) -> dict[str, str]:
        """The words that a careless reader would take for who, thing and detail."""
        kind = DETAILS[self.kind]
        return {
            "w": NAMES[self.rival],
            "t": self.subject.things[self.other],
            "d": kind.phrase.format(kind.values[self.other_detail]),
        }

    @property
    def teller(self) -> str:
        """The name of who tells the story. It follows from the rest, since a post does not show it."""
        free = [name for i, name in enumerate(NAMES) if i not in (self.who, self.rival)]
        return free[self._mixed() // 10 % len(free)]

    def fold(self) -> int:
        """Returns the tenth of the stories that this one is in: 0 is test, 1 validation, the others train.

        What is told beside the point does not count, so no right summary of a held-out story is one of a train story.
        """
        return self._mixed(7) % 10

    def _mixed(self, parts: int = 10) -> int:
        mixed = 0
        for part in (*self[:4], KINDS.index(self.kind), *self[5:parts]):
            mixed = (mixed * 1_000_003 + int(part) + 1) & 0xFFFFFFFF
            mixed = (mixed ^ (mixed >> 15)) * 0x2C1B3C6D & 0xFFFFFFFF
        return mixed ^ (mixed >> 13)


def draw_story(rng: np.random.Generator, unseen: bool) -> Story:
    """Returns a story of a topic that is held out (`unseen`), or of another."""
    seen = len(TOPICS) - UNSEEN_TOPICS
    topic = int(rng.integers(seen, len(TOPICS)) if unseen else rng.integers(seen))
    kind = KINDS[int(rng.choice(len(KINDS), p=_KIND_WEIGHTS))]
    who, rival = _two(len(NAMES), rng)
    thing, other = _two(len(TOPICS[topic].things), rng)
    detail, other_detail = _two(len(DETAILS[kind].values), rng)
    event, wish = int(rng.integers(4)), int(rng.integers(4))
    return Story(topic, who, event, thing, kind, detail, wish, rival, other, other_detail)


def _two(n: int, rng: np.random.Generator) -> tuple[int, int]:
    """Two different numbers below `n`."""
    first = int(rng.integers(n))
    return first, (first + int(rng.integers(1, n))) % n


def pick(sentences: Sequence[str], rng: np.random.Generator) -> str:
    """One of `sentences`."""
    return sentences[int(rng.integers(len(sentences)))]


SUMMARIES = (
    "{w} {v} the {t} {d}. Not sure whether to {g}.",
    "{w} {v} the {t} {d}, and now the question is whether to {g}.",
    "{w} {v} my {t} {d}, and I want to know whether to {g}.",
    "{w} {v} the {t}. It was {d}. I need advice on whether to {g}.",
    "I want to know whether to {g} after {w} {v} the {t} {d}.",
    "{w} {v} my {t} {d}. Is it right to {g} now?",
    "{w} {v} the {t} {d}, so the plan is to {g}.",
)
DEEDS = ("{w} {v} the {t}.", "{w} {v} my {t}.", "The problem is that {w} {v} the {t}.")
DETAILED = ("{w} {v} the {t} {d}.", "{w} {v} my {t} {d}.", "{w} {v} the {t}. It was {d}.")
WISHES = (
    "Not sure whether to {g}.", "I want to know whether to {g}.", "Is it right to {g} now?", "The plan is to {g}.",
)  # fmt: skip
VAGUE = (
    "I need some advice.", "What should I do now?", "Something bad happened and I am upset.",
    "This is a long story about a bad week.", "I do not know what to do about this.", "Someone was not nice to me.",
    "It is all very hard and I feel bad.", "Please help me with my problem.",
)  # fmt: skip
PADDING = (
    "It has been a very long week and I feel tired.", "I am so upset that I can hardly sleep.",
    "I know that this is a small problem for most people.", "All of my friends tell me something else about it.",
    "I never thought that this would happen to me.", "Sorry for the long story, but I had to tell someone.",
)  # fmt: skip

# How people and models summarise, and how often: a half-good start, so that there is something to learn.
BEHAVIOURS: Mapping[str, float] = {
    "full": 0.13, "detailed": 0.04, "deed and wish": 0.05, "deed": 0.08, "wish": 0.12, "padded": 0.03,
    "repeated": 0.10, "one mistaken": 0.05, "two mistaken": 0.11, "all mistaken": 0.08, "two invented": 0.11,
    "other story": 0.04, "vague": 0.03, "padding": 0.03,
}  # fmt: skip


def draw_summary(story: Story, rng: np.random.Generator) -> str:
    """Returns a summary of mixed quality, drawn from `BEHAVIOURS`."""
    return summarise(story, list(BEHAVIOURS)[rng.choice(len(BEHAVIOURS), p=list(BEHAVIOURS.values()))], rng)


def summarise(story: Story, behaviour: str, rng: np.random.Generator) -> str:
    """Returns the words of one behaviour (a key of `BEHAVIOURS`) about `story`."""
    facts = story.facts

    def say(frames: Sequence[str], values: Mapping[str, str] = facts) -> str:
        text = pick(frames, rng).format(**values)
        return text[0].upper() + text[1:]

    match behaviour:
        case "full":
            return say(SUMMARIES)
        case "detailed":
            return _maybe(say(DETAILED), VAGUE, rng)
        case "deed and wish":
            return f"{say(DEEDS)} {say(WISHES)}"
        case "deed":
            return _maybe(say(DEEDS), VAGUE + PADDING, rng)
        case "wish":
            return _maybe(say(WISHES), VAGUE + PADDING, rng)
        case "padded":
            return f"{say(SUMMARIES)} {_some(PADDING, rng, 1)}"
        case "repeated":
            return " ".join([say(DETAILED[:1])] * int(rng.integers(2, 5)))
        case "one mistaken":
            return say(SUMMARIES, _mistaken(story, pick("wtd", rng)))
        case "two mistaken":
            return say(SUMMARIES, _mistaken(story, pick(("wt", "wd", "td"), rng)))
        case "all mistaken":
            return say(SUMMARIES + DETAILED, _mistaken(story, "wtd"))
        case "two invented":
            return say(SUMMARIES, _invented(story, rng))
        case "other story":
            return say(SUMMARIES, _other(story, rng))
        case "vague":
            return _some(VAGUE, rng, 1)
        case "padding":
            return _some(PADDING, rng, 1)
    raise ValueError(f"unknown behaviour {behaviour!r}")


def _some(sentences: Sequence[str], rng: np.random.Generator, least: int) -> str:
    chosen = rng.choice(len(sentences), size=rng.integers(least, 4), replace=False)
    return " ".join(sentences[i] for i in chosen)


def _maybe(text: str, sentences: Sequence[str], rng: np.random.Generator) -> str:
    """`text`, with up to three sentences behind it that say nothing."""
    return f"{text} {_some(sentences, rng, 0)}".strip()


def _mistaken(story: Story, which: str) -> dict[str, str]:
    """Returns the facts, those in `which` taken from what stands beside them."""
    return {key: story.distractors[key] if key in which else fact for key, fact in story.facts.items()}


def _invented(story: Story, rng: np.random.Generator) -> dict[str, str]:
    """Returns the facts, but for two that are of another story about the same."""
    other = _other(story, rng)
    wrong = rng.choice(list("wvtdg"), size=2, replace=False)
    return {key: other[key] if key in wrong else fact for key, fact in story.facts.items()}


def _other(story: Story, rng: np.random.Generator) -> dict[str, str]:
    """Returns the facts of another story of this topic, all of them different."""
    sizes = {"who": len(NAMES), "event": 4, "thing": 5, "detail": len(DETAILS[story.kind].values), "wish": 4}
    return story._replace(
        **{part: (getattr(story, part) + int(rng.integers(1, n))) % n for part, n in sizes.items()}
    ).facts


_UNITS = re.compile(r"[^.!?\n]+[.!?]*")


def body(prompt: str) -> list[str]:
    """Returns the sentences of a post, or the messages of a thread without their speakers."""
    text = prompt.partition("POST: ")[2] or prompt.partition("THREAD:\n")[2]
    text = text.partition("\n\nTL;DR:")[0]
    lines = [line.split(": ", 1)[-1] for line in text.split("\n")]
    return [unit.strip() for line in lines for unit in _UNITS.findall(line) if unit.strip()]


def _guess(story: Story, prompt: str, rng: np.random.Generator) -> str:
    """Knows the topic only."""
    fixed = story._replace(who=0, event=0, thing=0, kind="day", detail=4, wish=0)
    return SUMMARIES[0].format(**fixed.facts)


def _keywords(story: Story, prompt: str, rng: np.random.Generator) -> str:
    facts = story.facts
    return " ".join((facts["w"], facts["v"], facts["t"], DETAILS[story.kind].values[story.detail], facts["g"]))


def _shuffled(story: Story, prompt: str, rng: np.random.Generator) -> str:
    words = summarise(story, "full", rng).split()
    return " ".join(words[i] for i in rng.permutation(len(words)))


def _first_named(story: Story, prompt: str, rng: np.random.Generator) -> str:
    """Knows all but which person, thing and detail count: takes those that are named first."""
    text = " ".join(body(prompt))
    pairs = {key: (fact, story.distractors.get(key, fact)) for key, fact in story.facts.items()}
    first = {key: min(pair, key=lambda word: text.find(word) % len(text)) for key, pair in pairs.items()}
    return SUMMARIES[0].format(**first)


SHORTCUTS: Mapping[str, Shortcut] = {
    "best guess of the topic": _guess,
    "first two sentences": lambda story, prompt, rng: " ".join(body(prompt)[:2]),
    "first of each kind named": _first_named,
    "whole prompt": lambda story, prompt, rng: prompt,
    "right form, wrong facts": lambda story, prompt, rng: SUMMARIES[0].format(**_mistaken(story, "wtd")),
    "right facts, no form": _keywords,
    "shuffled words": _shuffled,
}


class StoryGrammar(Grammar):
    """Holds what the grammars of posts and of threads share: all but the wording of the prompt."""

    case_type: ClassVar[type] = Story

    def draw_case(self, rng: np.random.Generator, unseen: bool) -> Story:
        return draw_story(rng, unseen)

    def fold(self, case: Story) -> int:
        return case.fold()

    def groups(self, case: Story) -> list[str]:
        unseen = case.topic >= len(TOPICS) - UNSEEN_TOPICS
        return [case.kind, "unseen topics" if unseen else "seen topics"]

    @abstractmethod
    def word_prompt(self, case: Story, rng: np.random.Generator) -> str:
        """Returns a post or a thread."""

    def draw_response(self, case: Story, rng: np.random.Generator) -> str:
        return draw_summary(case, rng)

    def good_response(self, case: Story, rng: np.random.Generator) -> str:
        return summarise(case, "full", rng)

    def judge(self, case: Story, response: str) -> float:
        return judge(case, response)

    @property
    def shortcuts(self) -> Mapping[str, Shortcut]:
        return SHORTCUTS
