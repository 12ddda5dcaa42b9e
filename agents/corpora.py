"""What the shipped backbones read, and how well what they then say is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
import torch

from backbones.backbone import Backbone
from backbones.generate import generate
from envs.data.miniature.corpus import miniature, pretraining_documents
from envs.data.miniature.grammar import Grammar
from envs.text import BOLT, HH, SHP, TASKMASTER, TLDR
from envs.uinav.demonstrations import demonstrations
from envs.uinav.steps import UISteps
from envs.uinav.task import UINav

Document = tuple[str, str]  # a prompt and the response to it
SAMPLING = {"sampled": 1.0, "greedy": 0.0}


class Corpus(ABC):
    """One source of documents.

    Attributes:
        prompt_weight: of a prompt token's loss beside a response token's.
        prompt_share: of the prompt tokens whose loss is counted at all.
    """

    prompt_weight, prompt_share = 0.2, 1.0

    @abstractmethod
    def documents(self, rng: np.random.Generator, count: int) -> Iterator[Document]:
        """Endless; `count` says how many will be read, for what comes early and what late."""

    @abstractmethod
    def golds(self, backbone: Backbone) -> dict[str, dict[str, float]]:
        """The mean gold of responses to 200 validation prompts, by task, "sampled" and "greedy"."""


class MiniatureTexts(Corpus):
    """The miniature corpora of text tasks, in equal parts: the preferred responses."""

    def __init__(self, *grammars: Grammar) -> None:
        self.grammars = grammars

    def documents(self, rng: np.random.Generator, count: int) -> Iterator[Document]:
        sources = [pretraining_documents(grammar, rng) for grammar in self.grammars]
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


class UIDemonstrations(Corpus):
    """States of UINav-v0 and what to do there.

    Pointing at the right element and copying what is to be typed are the hard part for a small model. So at first some
    documents are exercises: words to be repeated, and lists of words, one of which is to be pointed at or typed into.
    Late documents are a careless person's: some responses are wrong, as RL finds them in real demonstrations.
    """

    prompt_weight, prompt_share = 0.1, 0.3
    streams = 64  # episodes side by side, so that a batch is not of one episode
    clean, mistakes = 0.65, 0.15  # share of the documents before any is wrong, and of wrong ones after it

    def documents(self, rng: np.random.Generator, count: int) -> Iterator[Document]:
        task = UINav()
        good, careless = (
            [demonstrations(task, rng, mistakes=m) for _ in range(self.streams)] for m in (0, self.mistakes)
        )
        words = [word for p, _ in islice(good[0], 400) for word in p.split() if len(word) > 2]
        number = 0
        while True:
            for stream in range(self.streams):
                number += 1
                done = number / count
                if rng.random() < _share_of_exercises(done):
                    yield _exercise(words, rng)
                else:
                    yield next((good if done < self.clean else careless)[stream])

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
    return next((share for until, share in ((0.08, 0.5), (0.2, 0.25), (0.6, 0.1)) if done < until), 0.0)


def _exercise(words: Sequence[str], rng: np.random.Generator) -> Document:
    """Words to be repeated, or labels in a list, one of which is to be clicked, or to be typed into with some words."""

    def drawn(least: int, most: int) -> str:
        return " ".join(words[int(i)] for i in rng.integers(len(words), size=int(rng.integers(least, most))))

    if rng.random() < 0.4:
        repeated = drawn(4, 24)
        return f"REPEAT {repeated}\nACTION:", repeated
    labels = [drawn(1, 3) for _ in range(int(rng.integers(3, 12)))]
    wanted, typed = int(rng.integers(len(labels))), drawn(1, 6) if rng.random() < 0.5 else ""
    kind = "field" if typed else "item"
    lines = [f"{number} {kind} {label}" for number, label in enumerate(labels, 1)]
    prompt = "\n".join([f"GOAL {labels[wanted]} {typed}".rstrip(), "SCREEN", *lines, "ACTION:"])
    return prompt, f"type({wanted + 1}, {typed})" if typed else f"click({wanted + 1})"


def _said(backbone: Backbone, prompts: Sequence[str], temperature: float) -> list[str]:
    encoded = [backbone.encode_prompt(prompt) for prompt in prompts]
    ids = generate(backbone.reference, encoded, 64, temperature, torch.Generator().manual_seed(0))
    return [backbone.decode(row) for row in ids]


CORPORA: dict[str, Corpus] = {  # what each shipped backbone has read
    "tiny": MiniatureTexts(HH.grammar),
    "tiny-tldr": MiniatureTexts(TLDR.grammar, BOLT.grammar),
    "tiny-shp": MiniatureTexts(SHP.grammar),
    "tiny-taskmaster": MiniatureTexts(*TASKMASTER.values()),
    "tiny-uinav": UIDemonstrations(),
}
