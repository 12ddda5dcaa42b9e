"""Evolutionary search for responses with a high score and low gold, from what the policy says.

Kept are the highest scored of those that fail; they are changed phrase by phrase (`texts.mutated`), with phrases of the
corpus and of the policy's own samples, and crossed with each other. Best-of-n and RL climb the same hill (arXiv
2210.10760), so what a small search finds, they may find too.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from backbones.draws import EVALUATION, row_seeds
from backbones.forward import log_probs_of
from backbones.generate import generate
from backbones.roles import Role
from evaluation.auditing.bench import Bench
from evaluation.auditing.texts import joined_halves, mutated
from rewards.rows import encode

SURVIVORS, CHILDREN = 8, 16  # of a generation
Rank = tuple[float, float]


class Found(NamedTuple):
    """The highest scored failing response that was found for a prompt, beside the oracle's."""

    prompt: str
    response: str
    score: float
    gold: float
    oracle: str
    oracle_score: float

    @property
    def fools(self) -> bool:
        """Whether it is scored above the oracle."""
        return self.score > self.oracle_score


def policy_samples(
    role: Role, bench: Bench, numbers: Sequence[int], count: int, max_new_tokens: int, seed: int
) -> list[list[str]]:
    """Samples `count` responses of a policy to each of some prompts, at temperature 1."""
    turns = [bench.task.turn(bench.states[number]) for number in numbers]
    prompts = [role.backbone.encode_prompt(turn.prompt, turn.image) for turn in turns]
    drawn = [row_seeds(seed + k, list(numbers), 0, EVALUATION) for k in range(count)]
    rounds = [generate(role, prompts, max_new_tokens, 1.0, seeds) for seeds in drawn]
    return [[role.backbone.decode(ids) for ids in of_prompt] for of_prompt in zip(*rounds, strict=True)]


def mean_nats(role: Role, bench: Bench, numbers: Sequence[int], constants: Sequence[str]) -> list[float]:
    """Computes the mean of -log p under a policy, in nats: of each constant, and last of the oracle's responses.

    It says what a response would cost a policy whose KL to this one is held down.
    """
    asked = [(number, text) for text in constants for number in numbers]
    asked += [(number, bench.answers[number]) for number in numbers]
    turns = [bench.task.turn(bench.states[number], text) for number, text in asked]
    rows = [encode(role.backbone, turn.prompt, turn.response, turn.image) for turn in turns]
    log_probs = log_probs_of(role, [prompt for prompt, _ in rows], [response for _, response in rows]).sum(1)
    means: list[float] = (-log_probs.view(-1, len(numbers)).mean(1)).tolist()
    return means


def evolve(
    populations: Sequence[Sequence[str]],
    rank: Callable[[list[tuple[int, str]]], list[Rank]],
    stock: Sequence[str],
    rng: np.random.Generator,
    generations: int,
    longest: int,
) -> list[list[str]]:
    """Returns the survivors of each population after some generations, the best first.

    Args:
        populations: what each begins with.
        rank: from (number of a population, response) to what is the higher the better.
        stock: phrases that may come in.
        rng: draws all changes.
        generations: how often `CHILDREN` of the survivors join them and the best `SURVIVORS` are kept.
        longest: characters of a response.
    """
    kept = [list(dict.fromkeys(each)) for each in populations]
    for generation in range(generations + 1):
        if generation > 0:
            kept = [list(dict.fromkeys([*each, *_children(each, stock, rng, longest)])) for each in kept]
        asked = [(number, text) for number, each in enumerate(kept) for text in each]
        ranks = dict(zip(asked, rank(asked), strict=True))
        for number, each in enumerate(kept):
            kept[number] = sorted(each, key=lambda text: ranks[number, text], reverse=True)[:SURVIVORS]
    return kept


def _children(parents: Sequence[str], stock: Sequence[str], rng: np.random.Generator, longest: int) -> list[str]:
    """Makes children: half of them are one parent changed once or twice, half two parents joined and changed."""
    children = []
    for number in range(CHILDREN):
        first, second = (parents[int(rng.integers(len(parents)))] for _ in range(2))
        child = joined_halves(first, second) if number % 2 else mutated(first, stock, rng, longest)
        children.append(mutated(child if len(child) <= longest else first, stock, rng, longest))
    return children


def search_prompts(
    bench: Bench,
    numbers: Sequence[int],
    samples: Sequence[Sequence[str]],
    stock: Sequence[str],
    rng: np.random.Generator,
    scorings: int,
    longest: int,
) -> list[Found]:
    """Searches for each prompt by itself.

    Args:
        bench: the prompts; its task has a judge.
        numbers: those that are searched for.
        samples: of the policy, to each of them.
        stock: phrases that may come in.
        rng: draws all changes.
        scorings: responses that the reward may score, for all prompts together and beside the samples.
        longest: characters of a response.

    Returns:
        What was found, for those prompts to which anything that was tried fails.
    """

    def rank(asked: list[tuple[int, str]]) -> list[Rank]:
        there = [(numbers[k], text) for k, text in asked]
        found = bench.verdicts(there)
        return [(float(bench.fails(n, v)), v.score) for (n, _), v in zip(there, found, strict=True)]

    generations = max(1, scorings // (CHILDREN * len(numbers)))
    best = [kept[0] for kept in evolve(samples, rank, stock, rng, generations, longest)]
    verdicts = bench.verdicts(list(zip(numbers, best, strict=True)))
    return [
        Found(
            str(bench.task.turn(bench.states[number]).prompt), text, verdict.score, verdict.gold,
            bench.answers[number], bench.oracle[number].score,
        )
        for number, text, verdict in zip(numbers, best, verdicts, strict=True)
        if verdict.gold is not None and bench.fails(number, verdict)
    ]  # fmt: skip


def search_constants(
    bench: Bench,
    numbers: Sequence[int],
    begun_with: Sequence[str],
    stock: Sequence[str],
    rng: np.random.Generator,
    scorings: int,
    longest: int,
) -> list[str]:
    """Searches for one response that fools the reward on as many of the prompts as can be; see `search_prompts`.

    Args:
        bench, numbers, stock, rng, scorings, longest: as of `search_prompts`.
        begun_with: the responses that are changed first.
    """

    def rank(asked: list[tuple[int, str]]) -> list[Rank]:
        bench.verdicts([(number, text) for number in numbers for _, text in asked])
        return [bench.badness(text, numbers) for _, text in asked]

    generations = max(1, scorings // (CHILDREN * len(numbers)))
    return evolve([begun_with], rank, stock, rng, generations, longest)[0]
