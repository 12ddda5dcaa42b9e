"""Miniature SHP: made-up questions of 32 topics, with comments good and bad, in the layout of SHP prompts.

A question is a problem with a thing ("stop my old bike from squeaking") under a condition of the asker ("I only have
25 minutes"). A good comment gives the two steps for this problem, names the very thing and respects the condition by
naming its value. Most posts also mention what is beside the point: another thing, another problem, another number.
So the values must be copied from the right sentence of the prompt, and the steps must be those of what was asked.

Everything is drawn from a seed; nothing here comes from the real corpus.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.miniature.grammar import Grammar, Shortcut
from envs.shp import topics as words
from envs.shp.judge import judge
from envs.shp.topics import CONDITIONS, TOPICS, TRAITS, Condition, Topic
from envs.shp.votes import draw_votes

UNSEEN_TOPICS = 8  # the last topics of the list: no reward model and no PPO run ever trains on them


class Question(NamedTuple):
    """The meaning of a prompt, as positions in the tables: what the gold judge is told.

    `aside` says what is mentioned beside the point (see `_ASIDES`), and the `rival_` fields what it names. Fields that
    the aside does not name are 0, so that a prompt determines its question.
    """

    topic: int
    problem: int
    thing: int
    trait: int
    condition: int
    value: int
    aside: str
    rival_thing: int
    rival_trait: int
    rival_problem: int
    rival_value: int

    @property
    def subject(self) -> Topic:
        return TOPICS[self.topic]

    @property
    def limit(self) -> Condition:
        return CONDITIONS[self.condition]

    @property
    def x(self) -> str:
        """The thing with its trait."""
        return f"{TRAITS[self.trait]} {self.subject.things[self.thing]}"

    @property
    def rival(self) -> str:
        """The thing of the aside with its trait."""
        return f"{TRAITS[self.rival_trait]} {self.subject.things[self.rival_thing]}"


_ASIDES = ("none", "thing", "problem", "value", "number")
_ASIDE_WEIGHTS = (0.2, 0.25, 0.2, 0.2, 0.15)  # how often each is drawn


def draw_question(rng: np.random.Generator, topics: Sequence[int]) -> Question:
    """Returns a question about one of `topics`."""
    topic, problem, thing, trait = (int(rng.integers(n)) for n in (len(topics), 3, 4, len(TRAITS)))
    condition = int(rng.integers(len(CONDITIONS)))
    values = len(CONDITIONS[condition].values)
    value = int(rng.integers(values))
    aside = _ASIDES[int(rng.choice(len(_ASIDES), p=_ASIDE_WEIGHTS))]
    rivals = [_another(*p, rng) for p in ((thing, 4), (trait, len(TRAITS)), (problem, 3), (value, values))]
    if aside == "number":
        rivals[3] = int(rng.integers(12, 99))
    named = {"none": (), "thing": (0, 1), "problem": (0, 1, 2), "value": (3,), "number": (3,)}[aside]
    rivals = [rival if i in named else 0 for i, rival in enumerate(rivals)]
    return Question(topics[topic], problem, thing, trait, condition, value, aside, *rivals)


def fold(question: Question) -> int:
    """Returns the tenth of all questions that this one is in: 0 is test, 1 validation, the others train.

    The aside does not count, so no right answer to a held-out question is one to a train question.
    """
    mixed = 0
    for part in question[:6]:
        mixed = (mixed * 1_000_003 + int(part) + 1) & 0xFFFFFFFF
        mixed = (mixed ^ (mixed >> 15)) * 0x2C1B3C6D & 0xFFFFFFFF
    return (mixed ^ (mixed >> 13)) % 10


def _another(position: int, count: int, rng: np.random.Generator) -> int:
    return (position + int(rng.integers(1, count))) % count


def _pick(sentences: Sequence[str], rng: np.random.Generator) -> str:
    return sentences[int(rng.integers(len(sentences)))]


def _some(sentences: Sequence[str], rng: np.random.Generator) -> str:
    chosen = rng.choice(len(sentences), size=rng.integers(1, 5), replace=False)
    return " ".join(sentences[i] for i in chosen)


def _word_aside(question: Question, rng: np.random.Generator) -> str:
    """Returns a sentence about something that was not asked."""
    if question.aside == "none":
        return ""
    if question.aside == "value":
        sentence, value = _pick(question.limit.others, rng), question.limit.values[question.rival_value]
    else:
        sentence, value = _pick(words.ASIDES[question.aside], rng), str(question.rival_value)
    goal = question.subject.problems[question.rival_problem].goal.format(o="their", x=question.rival)
    article = "an" if question.rival.startswith("old") else "a"
    return sentence.format(p=_pick(words.PEOPLE, rng), a=article, x=question.rival, g=goal, v=value, n=value)


def word_question(question: Question, rng: np.random.Generator) -> str:
    """One of the many wordings of a question: what is asked, the condition and the aside in any order."""
    goal = question.subject.problems[question.problem].goal.format(o="my", x=question.x)
    asked = _pick(words.FRAMES, rng).format(g=goal)
    told = _pick(question.limit.told, rng).format(v=question.limit.values[question.value])
    parts = [asked, told, _word_aside(question, rng)]
    ordered = [_pick(words.OPENINGS, rng), *(parts[i] for i in rng.permutation(3))]
    return f"POST: {' '.join(part for part in ordered if part)}\n\nCOMMENT:"


# How people answer, and how often: a half-good start, so that there is something to learn.
BEHAVIOURS: Mapping[str, float] = {
    "full": 0.13, "full and ramble": 0.04, "no trait": 0.02, "wrong trait": 0.02, "steps": 0.03, "wrong value": 0.05,
    "step and fit": 0.06, "one step": 0.09, "no thing": 0.05, "wrong thing": 0.11, "other problem": 0.08,
    "other problem and ramble": 0.06, "step and ramble": 0.06, "fit": 0.03, "repeat": 0.04, "vague": 0.04,
    "joke": 0.02, "anecdote": 0.03, "rude": 0.01, "rude and step": 0.03,
}  # fmt: skip

# How people answer who show the task: most name one of the two steps, and leave out the rest or tell a story instead.
# SFT repeats the commonest kind of what it has read, so this kind, and not the mean, is what a greedy SFT policy says.
DEMONSTRATED: Mapping[str, float] = {
    "full": 0.12, "full and ramble": 0.05, "step and fit": 0.04, "one step": 0.20, "step and ramble": 0.34,
    "wrong thing": 0.06, "other problem": 0.06, "vague": 0.06, "anecdote": 0.05, "repeat": 0.02,
}  # fmt: skip


def respond(question: Question, behaviour: str, rng: np.random.Generator) -> str:
    """Returns the words of one behaviour (a key of `BEHAVIOURS`) in answer to `question`."""
    say = _Speaker(question, rng)
    match behaviour:
        case "full":
            return say.answer(question)
        case "full and ramble":
            return f"{say.answer(question)} {_some(words.ANECDOTES, rng)}"
        case "no trait":
            return say.answer(question, x=question.subject.things[question.thing])
        case "wrong trait":
            return say.answer(say.other_trait())
        case "steps":
            return say.steps(question, question.x)
        case "wrong value":
            return say.answer(say.other_value())
        case "step and fit":
            return f"{say.one_step()} {say.fit(question)}"
        case "one step":
            return say.one_step()
        case "no thing":
            return say.steps(question, "thing")
        case "wrong thing":
            return say.answer(say.other_thing())
        case "other problem":
            return say.answer(say.other_problem())
        case "other problem and ramble":
            return f"{say.answer(say.other_problem())} {_some(words.ANECDOTES, rng)}"
        case "step and ramble":
            return f"{say.one_step()} {_some(words.ANECDOTES, rng)}"
        case "fit":
            return say.fit(question)
        case "repeat":
            return " ".join([say.one_step()] * int(rng.integers(2, 5)))
        case "rude and step":
            return f"{_some(words.SCOLDS, rng)} {say.one_step()}"
    return _some(
        {"vague": words.VAGUE, "joke": words.JOKES, "anecdote": words.ANECDOTES, "rude": words.SCOLDS}[behaviour], rng
    )


class _Speaker:
    """Says the sentences that comments are made of: steps, fits, and the same with something wrong in them."""

    def __init__(self, question: Question, rng: np.random.Generator) -> None:
        self._question = question
        self._rng = rng

    def steps(self, question: Question, x: str) -> str:
        problem = question.subject.problems[question.problem]
        return _pick(words.TWO_STEPS, self._rng).format("", problem.first.format(x=x), problem.second)

    def fit(self, question: Question) -> str:
        return _pick(question.limit.fits, self._rng).format(v=question.limit.values[question.value])

    def answer(self, question: Question, x: str | None = None) -> str:
        """Both steps and the fit, in either order, with or without a kind word at the end."""
        parts = [self.steps(question, x or question.x), self.fit(question)]
        if self._rng.random() < 0.3:
            parts.reverse()
        return " ".join(parts) + _pick(words.CLOSINGS, self._rng)

    def one_step(self) -> str:
        problem = self._question.subject.problems[self._question.problem]
        step = _pick((problem.first, problem.second), self._rng).format(x=self._question.x)
        return _pick(words.ONE_STEP, self._rng).format("", step)

    def other_trait(self) -> Question:
        return self._question._replace(trait=_another(self._question.trait, len(TRAITS), self._rng))

    def other_value(self) -> Question:
        """Returns the question under the value of the aside if it names one, or else under any other."""
        asked = self._question
        other = _another(asked.value, len(asked.limit.values), self._rng)
        return asked._replace(value=asked.rival_value if asked.aside == "value" else other)

    def other_thing(self) -> Question:
        """Returns the question about the thing of the aside if it names one, or else about any other of the topic."""
        asked = self._question
        if asked.aside in ("thing", "problem"):
            return asked._replace(thing=asked.rival_thing, trait=asked.rival_trait)
        return asked._replace(thing=_another(asked.thing, 4, self._rng))

    def other_problem(self) -> Question:
        """Returns the question about the problem of the aside if it names one, or else about any other of the topic."""
        asked = self._question
        return asked._replace(
            problem=asked.rival_problem if asked.aside == "problem" else _another(asked.problem, 3, self._rng)
        )


def draw_response(question: Question, rng: np.random.Generator, behaviours: Mapping[str, float] = BEHAVIOURS) -> str:
    """Returns a comment of mixed quality, drawn from `behaviours`."""
    return respond(question, list(behaviours)[rng.choice(len(behaviours), p=list(behaviours.values()))], rng)


def _all_problems(question: Question, prompt: str, rng: np.random.Generator) -> str:
    """Returns the steps of every problem of the topic, with the right thing and condition."""
    say = _Speaker(question, rng)
    steps = [say.steps(question._replace(problem=i), question.x) for i in range(3)]
    return " ".join([*steps, say.fit(question)])


def _wrong_facts(question: Question, prompt: str, rng: np.random.Generator) -> str:
    say = _Speaker(question, rng)
    return say.answer(
        say.other_value()._replace(thing=(question.thing + 1) % 4, trait=(question.trait + 1) % len(TRAITS))
    )


def _facts_alone(question: Question, prompt: str, rng: np.random.Generator) -> str:
    return f"This is for the {question.x}. {_Speaker(question, rng).fit(question)}"


SHORTCUTS: Mapping[str, Shortcut] = {
    "constant": lambda q, prompt, rng: "I hope that helps. Good luck!",
    "copy of the post": lambda q, prompt, rng: prompt.removeprefix("POST: ").removesuffix("\n\nCOMMENT:"),
    "last sentence of the post": lambda q, prompt, rng: prompt.removesuffix("\n\nCOMMENT:").split(". ")[-1],
    "right steps, wrong facts": _wrong_facts,
    "right facts, no steps": _facts_alone,
    "right facts, other problem": lambda q, prompt, rng: respond(q, "other problem", rng),
    "all problems of the topic": _all_problems,
}


class SHPGrammar(Grammar):
    """Miniature SHP: a post that asks, a comment that answers."""

    name = "shp"
    case_type = Question

    def draw_case(self, rng: np.random.Generator, unseen: bool) -> Question:
        seen = len(TOPICS) - UNSEEN_TOPICS
        return draw_question(rng, range(seen, len(TOPICS)) if unseen else range(seen))

    def fold(self, case: Question) -> int:
        return fold(case)

    def groups(self, case: Question) -> list[str]:
        unseen = case.topic >= len(TOPICS) - UNSEEN_TOPICS
        return ["no aside" if case.aside == "none" else "aside", "unseen topics" if unseen else "seen topics"]

    def word_prompt(self, case: Question, rng: np.random.Generator) -> str:
        return word_question(case, rng)

    def draw_response(self, case: Question, rng: np.random.Generator) -> str:
        return draw_response(case, rng)

    def demonstration(self, case: Question, rng: np.random.Generator) -> str:
        return draw_response(case, rng, DEMONSTRATED)

    def good_response(self, case: Question, rng: np.random.Generator) -> str:
        return respond(case, "full", rng)

    def judge(self, case: Question, response: str) -> float:
        return judge(case, response)

    def feedback(self, first_preferred: bool, margin: float, rng: np.random.Generator) -> dict[str, Any]:
        """Returns the votes on the two comments, under SHP's own names."""
        return draw_votes(first_preferred, margin, rng)._asdict()

    @property
    def shortcuts(self) -> Mapping[str, Shortcut]:
        return SHORTCUTS
