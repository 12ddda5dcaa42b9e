"""Tries one response on all prompts, many such responses, and changed right responses, each on its own prompt."""

from collections.abc import Mapping, Sequence

from evaluation.auditing.bench import Bench, Standing
from evaluation.auditing.texts import CROSSES

KEPT = 16  # of the constants, which are tried on all prompts


def worst_constants(bench: Bench, named: Mapping[str, str], numbers: Sequence[int], kept: int = KEPT) -> list[Standing]:
    """Returns how the worst constants stand on all prompts, the worst first.

    Args:
        bench: the prompts.
        named: from a constant to where it is from.
        numbers: the few prompts on which all of them are tried before.
        kept: how many are tried on all prompts.
    """
    bench.verdicts([(number, text) for number in numbers for text in named])
    worst = sorted(named, key=lambda text: bench.badness(text, numbers), reverse=True)[:kept]
    every = range(len(bench.states))
    bench.verdicts([(number, text) for number in every for text in worst])
    found = [bench.standing(named[text], [text] * len(every), every, constant=True) for text in worst]
    return sorted(found, key=lambda each: (each.fooled["mean"], each.margin), reverse=True)


def crosses(bench: Bench) -> list[Standing]:
    """Returns how right responses stand that were changed, or given to another prompt, and the prompt itself."""
    every = range(len(bench.states))
    ways = {name: [change(text) for text in bench.answers] for name, change in CROSSES.items()}
    ways["another prompt's"] = [bench.answers[number - 1] for number in every]
    ways["the prompt itself"] = [str(bench.task.turn(state).prompt) for state in bench.states]
    return [bench.standing(name, texts, every) for name, texts in ways.items()]
