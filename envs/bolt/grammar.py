"""Miniature BOLT: made-up message threads between people, which ask for a summary of a `Story`.

Either the one who did it writes ("sry i broke ur guitar"), or it is told to a third person. Chatter is misspelled; the
words of the facts are spelled right at least once.
"""

import re
from collections.abc import Mapping

import numpy as np

from envs.tldr.story import Story, StoryGrammar, pick

Message = tuple[str, str]  # speaker, text

GREETINGS = ("heyy", "u there?", "hi :)", "yo", "omg", "hey whats up", "r u busy?")
ANSWERS = ("sup", "yeah im here", "hey :)", "what now lol", "hi hi", "just woke up", "yes what is it")
REACTIONS = ("omg no", "wait what", "lol really??", "no way :(", "thats so bad", "ugh", "wtf", "oh no :/")
DIGRESSIONS = (
    "btw did u eat yet", "im so tired today", "the weather is so bad lol", "my bus is late again", "gotta go soon",
    "did u see the game", "i need coffee first", "haha my mom is calling",
)  # fmt: skip
BYES = ("ttyl", "ok bye :)", "k thx", "gn", "lets talk later", "good luck lol")
# What is told to a third person, by one or two messages.
TOLD = (
    ("{w} {v} my {t} {d}",), ("so {w} {v} my {t}", "it was {d}"), ("u know {w} right", "{w} {v} my {t} {d}"),
    ("u remember my {t}", "well {w} {v} it {d}"), ("i cant believe it", "{w} {v} my {t}", "it was {d} btw"),
)  # fmt: skip
# What the one who did it writes.
CONFESSED = (
    ("sry but i {v} ur {t} {d}",), ("so i {v} ur {t}", "it was {d}"), ("dont be mad", "i {v} ur {t} {d} :("),
    ("um about ur {t}", "i {v} it {d}, sry"), ("i feel so bad", "i {v} ur {t}", "it was {d}"),
)  # fmt: skip
# What the other person says of the other thing, and what is said of both.
OWN_ASIDES: Mapping[str, tuple[str, ...]] = {
    "day": ("i used ur {t} {d} and it was fine", "i cleaned ur {t} {d} tho", "at least i gave u my {t} {d}"),
    "place": ("i used ur {t} {d} and it was fine", "i saw ur {t} {d} tho", "at least i put ur {t} {d}"),
    "price": ("u can have my {t} {d} if u like", "i got u a {t} {d} once", "i still have my {t} {d} lol"),
}
ASIDES: Mapping[str, tuple[str, ...]] = {
    "day": ("{w} used my {t} {d} and it was fine", "{w} cleaned my {t} {d} tho"),
    "place": ("{w} used my {t} {d} and it was fine", "{w} put my {t} {d} tho"),
    "price": ("{w} once gave me a {t} {d}", "i got a {t} {d} from {w} tho"),
}
ECHOES = ("thx {w} for the {t}", "at least the {t} is ok, right {w}?", "glad the {t} is ok, {w} is so nice")
WISHES = (
    "idk whether to {g}", "should i {g}?", "maybe i should {g}", "is it ok to {g} now?", "im gonna {g} i think",
    "my plan is to {g}", "everyone tells me to {g}",
)  # fmt: skip
TYPOS: Mapping[str, str] = {
    "the": "teh", "what": "wat", "really": "rly", "good": "gud", "today": "2day", "later": "l8r", "again": "agian",
    "so": "soo", "yeah": "yea", "please": "pls", "tired": "tierd", "weather": "wether", "believe": "beleive",
}  # fmt: skip
_WORD = re.compile(r"[a-z]+")


class BOLTGrammar(StoryGrammar):
    """Threads: two or three speakers, the story's persons among them, with the story among chatter."""

    name = "bolt"

    def word_prompt(self, case: Story, rng: np.random.Generator) -> str:
        """ "THREAD:", a line for each message, "TL;DR:", as the real threads are rendered."""
        messages = _confession(case, rng) if rng.random() < 0.5 else _report(case, rng)
        return "THREAD:\n" + "\n".join(f"{who}: {text}" for who, text in messages) + "\n\nTL;DR:"


def _report(case: Story, rng: np.random.Generator) -> list[Message]:
    """Returns the messages in which the teller complains to the other person about who did it."""
    teller, friend = case.teller, case.distractors["w"]
    told = [(teller, text.format(**case.facts)) for text in TOLD[rng.integers(len(TOLD))]]
    aside = [(friend, pick(OWN_ASIDES[case.kind], rng).format(**case.distractors))]
    return [*_hello(teller, friend, rng), *_around(case, told, aside, friend, rng), *_end(case, friend, rng)]


def _confession(case: Story, rng: np.random.Generator) -> list[Message]:
    """Returns the messages in which who did it tells the teller; the other is a third speaker, or spoken of."""
    teller, guilty, other = case.teller, case.facts["w"], case.distractors["w"]
    told = [(guilty, text.format(**case.facts)) for text in CONFESSED[rng.integers(len(CONFESSED))]]
    if rng.random() < 0.5:
        aside = [(other, pick(OWN_ASIDES[case.kind], rng).format(**case.distractors))]
    else:
        aside = [(teller, pick(ASIDES[case.kind], rng).format(**case.distractors))]
    return [*_hello(guilty, teller, rng), *_around(case, told, aside, teller, rng), *_end(case, guilty, rng)]


def _around(
    case: Story, told: list[Message], aside: list[Message], listener: str, rng: np.random.Generator
) -> list[Message]:
    """Returns the story and what is beside it, in either order, with a reaction to the story.

    What is beside it sometimes comes up again, so that neither the first nor the last thing named always counts.
    """
    story = [*told, (listener, _typed(REACTIONS, rng))] if rng.random() < 0.7 else told
    if rng.random() < 0.42:
        return [*story, *aside]
    again = [(case.teller, pick(ECHOES, rng).format(**case.distractors))] if rng.random() < 0.45 else []
    return [*aside, *story, *again]


def _hello(first: str, second: str, rng: np.random.Generator) -> list[Message]:
    """Returns how a thread begins: with a greeting, mostly an answer, sometimes something else."""
    messages = [(first, _typed(GREETINGS, rng))]
    if rng.random() < 0.6:
        messages.append((second, _typed(ANSWERS, rng)))
    if rng.random() < 0.4:
        messages.append((first if rng.random() < 0.5 else second, _typed(DIGRESSIONS, rng)))
    return messages


def _end(case: Story, listener: str, rng: np.random.Generator) -> list[Message]:
    """Returns the teller's wish, and mostly how the other one leaves."""
    messages = [(case.teller, pick(WISHES, rng).format(**case.facts))]
    if rng.random() < 0.6:
        messages.append((listener, _typed(DIGRESSIONS + BYES, rng)))
    return messages


def _typed(texts: tuple[str, ...], rng: np.random.Generator) -> str:
    """One of the texts, as thumbs type it."""
    sloppy = rng.random() < 0.5
    return _WORD.sub(lambda m: TYPOS.get(m[0], m[0]) if sloppy else m[0], pick(texts, rng))
