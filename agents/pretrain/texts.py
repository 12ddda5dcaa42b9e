"""Make the texts that the shipped backbones read, and measure how well they then answer."""

import itertools
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from agents.pretrain.curriculum import exercise
from backbones.backbone import Backbone
from backbones.draws import EVALUATION, row_seeds
from backbones.generate import generate
from envs.bolt.task import BOLT
from envs.hh.task import HH
from envs.miniature.corpus import miniature, pretraining_documents
from envs.miniature.grammar import Grammar
from envs.shp.task import SHP
from envs.taskmaster.answers import TaskmasterGrammar
from envs.taskmaster.lessons import look_up_exercise, menu_exercise, says_absent, turn_exercise
from envs.taskmaster.task import GRAMMARS as TASKMASTER
from envs.tldr.task import TLDR
from envs.uinav.feedback.demonstrations import demonstrations
from envs.uinav.feedback.steps import UISteps
from envs.uinav.feedback.weights import demonstrated_weights
from envs.uinav.task import UINav

Document = tuple[str, str]  # a prompt and the response to it
_WORD = re.compile(r"\b[A-Za-z][a-z][\w@.'-]*\w")  # what names are made of
# Share of exercises among the documents, until which share of all documents.
_STAGES = ((0.05, 1.0), (0.42, 0.85), (0.52, 0.3), (0.7, 0.1))
EXERCISES_UNTIL = _STAGES[-1][0]
_EASY, _HARD = 0.05, 0.38  # until which share of the documents exercises are easy, and by when as hard as they get
# Shares of the exercises of `Orders` (names looked up, what is on the menu, right turns), until which share of all, and
# among demonstrations.
_ORDERS = ((0.15, (1.0, 0.0, 0.0)), (0.5, (0.25, 0.4, 0.0)), (1.0, (0.05, 0.25, 0.1)))
_AMONG_DEMONSTRATIONS = (0.0, 0.2, 0.0)
_READ = 400  # steps that the words of exercises are of
TYPICAL = 6000  # documents that the tokenizer is made from
SAMPLING = {"sampled": 1.0, "greedy": 0.0}


class Corpus(ABC):
    """One source of documents.

    Attributes:
        prompt_weight: of a prompt token's loss beside a response token's.
        prompt_share: of the prompt tokens whose loss is counted at all.
        muon: whether hidden matrices are trained with Muon, and not with AdamW.
    """

    prompt_weight, prompt_share, muon = 0.2, 1.0, False

    @abstractmethod
    def documents(self, rng: np.random.Generator, count: int) -> Iterator[Document]:
        """Endless; `count` says how many will be read, for what comes early and what late."""

    def typical(self, documents: Iterator[Document]) -> Iterator[Document]:
        """Returns the texts for the tokenizer: the first of the documents, unless they are unlike the later ones."""
        return islice(documents, TYPICAL)

    @abstractmethod
    def golds(self, backbone: Backbone) -> dict[str, dict[str, float]]:
        """Returns the mean gold of responses to 200 validation prompts, by task, "sampled" and "greedy"."""


class MiniatureTexts(Corpus):
    """The miniature corpora of text tasks, in equal parts: people's demonstrations, or responses that were liked.

    Attributes:
        grammars: of the corpora.
        liked: whether liked responses are read even where there are demonstrations: a better start, with less room.
    """

    def __init__(self, *grammars: Grammar, liked: bool = False) -> None:
        self.grammars, self.liked = grammars, liked

    def documents(self, rng: np.random.Generator, count: int) -> Iterator[Document]:
        sources = [pretraining_documents(grammar, rng, self.liked) for grammar in self.grammars]
        while True:
            yield from map(next, sources)

    def golds(self, backbone: Backbone) -> dict[str, dict[str, float]]:
        return {g.name: {how: _gold_of_texts(backbone, g, t) for how, t in SAMPLING.items()} for g in self.grammars}


def _gold_of_texts(backbone: Backbone, grammar: Grammar, temperature: float) -> float:
    corpus = miniature(grammar, "validation")
    records = corpus[:200]
    texts = _said(backbone, [record.prompt for record in records], temperature)
    golds = [corpus.judge(record.meta, text) for record, text in zip(records, texts, strict=True)]
    return round(float(np.mean(golds)), 3)


class Orders(MiniatureTexts):
    """The corpora of Taskmaster-v0, and exercises in what is on a menu (`envs.taskmaster.lessons`).

    Liked turns come after lists in which names are looked up, and exercises go on to the end: what is learned once and
    not asked for again fades. People's demonstrations are read by a model that has learned all that; a few exercises
    among them keep it.
    """

    prompt_weight, prompt_share = 0.1, 0.3

    def __init__(self, *grammars: TaskmasterGrammar, liked: bool = False) -> None:
        super().__init__(*grammars, liked=liked)
        self.muon = liked  # from random weights; what goes on from another model is to keep what it knows
        self.domains = [grammar.domain for grammar in grammars]

    def documents(self, rng: np.random.Generator, count: int) -> Iterator[Document]:
        dialogs = super().documents(rng, count)
        for number in itertools.count():
            done, shares, domain = 1.0, _AMONG_DEMONSTRATIONS, self.domains[number % len(self.domains)]
            if self.liked:
                done = number / count
                shares = next((shares for until, shares in _ORDERS if done < until), _ORDERS[-1][1])
            hardness, (look_up, menu, turn) = min(1.0, done / _ORDERS[0][0]), shares
            drawn = rng.random()
            if drawn < look_up:
                yield look_up_exercise(domain, rng, hardness)
            elif drawn < look_up + menu:
                yield menu_exercise(domain, rng, hardness)
            elif drawn < look_up + menu + turn:
                yield turn_exercise(domain, rng)
            else:
                yield next(dialogs)

    def typical(self, documents: Iterator[Document]) -> Iterator[Document]:
        return islice(self.documents(np.random.default_rng(0), TYPICAL), TYPICAL)

    def golds(self, backbone: Backbone) -> dict[str, dict[str, float]]:
        rng = np.random.default_rng(0)
        asked = [menu_exercise(domain, rng, 1.0) for domain in self.domains for _ in range(200)]
        texts = _said(backbone, [prompt for prompt, _ in asked], 0.0)
        right = np.mean([says_absent(t) == says_absent(said) for t, (_, said) in zip(texts, asked, strict=True)])
        return {**super().golds(backbone), "on the menu or not": {"greedy": round(float(right), 3)}}


class UIDemonstrations(Corpus):
    """States of UINav-v0 and what to do there, after exercises.

    All documents are exercises at first (`curriculum`), then most, on lists that grow, and few later. Demonstrations
    are a careless person's: some responses are wrong, as RL finds them in real demonstrations. No step is read twice.

    Args:
        until: share of the documents after which none is an exercise, which stretches all that comes before. Twice as
            many documents and half of it are the same exercises, with demonstrations alone behind them. Above 1 the
            documents end before the exercises do.
        templates: how many of those that people show are shown here; all by default.
    """

    prompt_weight, prompt_share, muon = 0.02, 0.3, True
    streams = 64  # episodes side by side, so that a batch is not of one episode
    mistakes = 0.1  # share of the demonstrated responses that are wrong

    def __init__(self, until: float = EXERCISES_UNTIL, templates: int | None = None) -> None:
        self.stretch, self.templates = until / EXERCISES_UNTIL, templates

    def documents(self, rng: np.random.Generator, count: int) -> Iterator[Document]:
        task = self.shown()
        steps = [demonstrations(task, rng, mistakes=self.mistakes) for _ in range(self.streams)]
        read = Counter(_WORD.findall(" ".join(next(steps[i % self.streams])[0] for i in range(_READ))))
        words = [word for word, _ in read.most_common()]
        for number in itertools.count(1):
            done = number / count / self.stretch
            if rng.random() < _share_of_exercises(done):
                yield exercise(words, rng, min(1.0, max(0.0, (done - _EASY) / (_HARD - _EASY))))
            else:
                yield next(steps[number % self.streams])

    def shown(self) -> UINav:
        """Returns the task whose templates are demonstrated; where not all are, which is drawn once and for all."""
        names = [name for name, share in demonstrated_weights(UINav()).items() if share]
        order = np.random.default_rng(0).permutation(len(names))[: self.templates]
        return UINav(templates=[names[i] for i in sorted(order)])

    def typical(self, documents: Iterator[Document]) -> Iterator[Document]:
        return islice(self.documents(np.random.default_rng(0), TYPICAL), TYPICAL)

    def golds(self, backbone: Backbone) -> dict[str, dict[str, float]]:
        task = UISteps(UINav(split="validation"), 200)
        found = {}
        for how, temperature in SAMPLING.items():
            texts = _said(backbone, [state.prompt for state in task.states], temperature)
            right = [task.right(state, text) for state, text in zip(task.states, texts, strict=True)]
            found[how] = round(float(np.mean(right)), 3)
        return {"UINav": found}


def _share_of_exercises(done: float) -> float:
    """Of exercises among the documents, where `done` of them are read."""
    return next((share for until, share in _STAGES if done < until), 0.0)


def demonstrated_share(length: float = 1.0) -> float:
    """Returns how many documents are demonstrations, as a share of the recipe's documents.

    Args:
        length: of the documents that are read, as a share of the same; the exercises are where the recipe has them.
    """
    ends = [min(until, length) for until, _ in _STAGES]
    begins = [0.0, *ends[:-1]]
    exercises = sum((end - begin) * share for begin, end, (_, share) in zip(begins, ends, _STAGES, strict=True))
    return length - exercises


def _said(backbone: Backbone, prompts: Sequence[str], temperature: float) -> list[str]:
    encoded = [backbone.encode_prompt(prompt) for prompt in prompts]
    ids = generate(backbone.reference, encoded, 64, temperature, row_seeds(0, range(len(prompts)), 0, EVALUATION))
    return [backbone.decode(row) for row in ids]


CORPORA: dict[str, Corpus] = {  # what each shipped backbone has read
    "tiny": MiniatureTexts(HH.grammar),
    "tiny-tldr": MiniatureTexts(TLDR.grammar, BOLT.grammar),
    "tiny-shp": MiniatureTexts(SHP.grammar),
    "tiny-shp-liked": MiniatureTexts(SHP.grammar, liked=True),
    "tiny-taskmaster": Orders(*TASKMASTER.values()),
    "tiny-taskmaster-liked": Orders(*TASKMASTER.values(), liked=True),
    "tiny-uinav": UIDemonstrations(),
}
