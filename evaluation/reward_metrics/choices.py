"""Choices that a reward model is asked to make: some responses to one prompt, of which the first ones are right."""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from envs.corpora.fields import shown
from envs.corpora.records import Record
from envs.corpora.rows import iter_rows
from envs.feedback import Feedback
from envs.preferences.answers import Unfit, prompt_of, with_answer
from envs.preferences.said import Said, said
from envs.task import Task
from envs.turn import Turn
from perlhf.conversation import Message
from perlhf.errors import DataError

OF_A_DRAW = 4  # responses of a choice that is drawn, as RewardBench 2 has them
_TRIES = 8 * OF_A_DRAW  # responses drawn until there are so many different ones


class Choice(NamedTuple):
    """Holds responses to one prompt.

    Attributes:
        turns: the responses, those that are right first.
        right: how many of them are right, at least one and not all.
        groups: what it is counted under, such as a subset.
        margin: by how much the first right one is better than the first wrong one; below 0 where noise made the label,
            None where nobody knows.
        golds: of each response, by the task's judge; empty where there is none.
    """

    turns: tuple[Turn, ...]
    right: int
    groups: tuple[str, ...] = ()
    margin: float | None = None
    golds: tuple[float, ...] = ()

    @property
    def pair(self) -> tuple[Turn, Turn]:
        """The first right response and the first wrong one."""
        return self.turns[0], self.turns[self.right]


def of_records(task: Feedback, count: int) -> list[Choice]:
    """Returns the first `count` preference pairs of a task; none where it has no pairs."""
    found = []
    for index, record in enumerate(task.records[:count]):
        if isinstance(record, Record):
            turns = task.turn(index, record.chosen), task.turn(index, record.rejected)
            margin = task.gold_margin(record) if task.can_rate else record.meta.get("margin")
            found.append(Choice(turns, 1, tuple(task.groups(index)), margin))
    return found


def drawn(task: Task, count: int, seed: int) -> list[Choice]:
    """Returns choices of `OF_A_DRAW` plausible responses to each of some prompts, of which gold is highest for one.

    Args:
        task: of one turn; its judge says which is right.
        count: prompts; those with too few different responses, or several that are best, make no choice.
        seed: of what is drawn, together with the position of the prompt.

    Returns:
        None at all where nobody judges.
    """
    found = []
    for state in task.first_states(count):
        rng = np.random.default_rng([seed, state])
        texts = list(dict.fromkeys(task.plausible_action(state, rng) for _ in range(_TRIES)))[:OF_A_DRAW]
        turns = [task.turn(state, text) for text in texts]
        golds = [task.judge(turn) for turn in turns]
        known = [gold for gold in golds if gold is not None]
        if len(known) < OF_A_DRAW or known.count(max(known)) > 1:
            continue
        order = sorted(range(OF_A_DRAW), key=lambda i: i != int(np.argmax(known)))  # the best first, others as drawn
        of_one = tuple(known[i] for i in order)
        in_order = tuple(turns[i] for i in order)
        found.append(Choice(in_order, 1, tuple(task.groups(state)), of_one[0] - of_one[1], of_one))
    return found


def read_choices(path: str | Path) -> list[Choice]:
    """Reads choices from a file of rows in RewardBench's form, or in RewardBench 2's.

    A row has `prompt`, `chosen`, `rejected`, and may have `subset` and `margin`; other columns are ignored. `chosen`
    and `rejected` are a text each (github.com/allenai/reward-bench, hub: allenai/reward-bench), or lists of texts
    (allenai/reward-bench-2: one right and three wrong ones, in its subset Ties many of both), or messages. A prompt of
    text is one message of the user.

    Raises:
        DataError: no rows, or one that is not of the form, with FILE:LINE.
    """
    found = [_choice(row, where) for where, row in iter_rows(path)]
    if not found:
        raise DataError(f"{path}: the file has no rows.")
    return found


def _choice(row: Mapping[str, Any], where: str) -> Choice:
    missing = [name for name in ("prompt", "chosen", "rejected") if row.get(name) is None]
    if missing:
        raise DataError(
            f"{where}: has no {missing[0]!r}; a row needs prompt, chosen and rejected, and has "
            f"{', '.join(map(str, row)) or 'nothing'}."
        )
    prompt = said(row["prompt"], "prompt", where)
    messages = (Message("user", prompt),) if isinstance(prompt, str) else prompt
    try:
        asked = prompt_of(messages)
        right, wrong = (_responses(row[name], name, messages, where) for name in ("chosen", "rejected"))
    except Unfit as problem:
        raise DataError(f"{where}: {problem}.") from None
    turns = tuple(Turn(asked, text) for text in (*right, *wrong))
    subset = row.get("subset")
    return Choice(turns, len(right), () if subset is None else (str(subset),), _margin(row, where))


def _responses(value: Any, name: str, prompt: Said, where: str) -> list[str]:
    """Returns the responses of a field: a text, a list of texts, or messages that end with one."""
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        texts = [said(each, f"{name}[{i}]", where) for i, each in enumerate(value)]
        return [text for text in texts if isinstance(text, str)]
    return [with_answer(prompt, said(value, name, where), name).answer]


def _margin(row: Mapping[str, Any], where: str) -> float | None:
    value = row.get("margin")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise DataError(f"{where}: field 'margin' must be a finite number, got {shown(value)}.")
    return float(value)


def with_pairs(choices: Sequence[Choice]) -> list[Choice]:
    """Returns the same choices cut to pairs: the first right response and the first wrong one of each."""
    return [
        choice._replace(turns=choice.pair, right=1, golds=choice.golds[:1] + choice.golds[choice.right :][:1])
        for choice in choices
    ]
