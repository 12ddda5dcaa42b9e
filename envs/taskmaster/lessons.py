"""Exercises in comparing a name with a list, for a small model that is to know what is on the menu.

Whether the wanted drink or theater is among those that the search found decides between three stages of a dialog, and
a model that reads dialogs alone does not learn to tell: one answer is one bit of it, and most answers are too poor to
have that. So it begins with lists in which many names are looked up, one after the other; then come dialogs under
another last line, with the right turn. What there is to know is learned from them, and not that people would say it.
"""

from collections.abc import Sequence

import numpy as np

from envs.taskmaster.dialogs import Dialog, absent, dialog_turns, draw_dialog, right_turn
from envs.taskmaster.tables import DOMAINS, THEATERS
from envs.taskmaster.turns import Turn, render_context, render_turn

ASKED = "right:"  # the last line of the prompt, where a dialog of the task has "agent:"
LOOK_UP = "look up:"  # the last line of a list in which names are looked up
NOT_THERE = "none"
_LONGER = 2  # how many things more than two a list has at the most, in the end
_IN_A_DIALOG = 0.5  # share of the harder lists in which names are looked up


def look_up_exercise(domain: str, rng: np.random.Generator, hardness: float) -> tuple[str, str]:
    """Returns a list of things with ids, and names with the id of each; every second name is not in the list.

    Half of the harder lists stand in a dialog. There the first name is the one that is wanted in it.

    Args:
        domain: "coffee", whose lists are of drinks, or "ticketing", whose lists are of theaters.
        rng: of the draws.
        hardness: 0 for two things, up to 1 for lists of up to four.
    """
    if rng.random() < _IN_A_DIALOG * hardness:
        case, listed = _draw(domain, rng, hardness)
        prompt, first = _ending_in(LOOK_UP, dialog_turns(case, rng, listed)), [case.wanted]
    else:
        listed = _things(_names(domain), 2 + int(rng.integers(1 + round(_LONGER * hardness))), rng)
        things = ", ".join(f"{name} = {id_}" for name, id_ in listed)
        prompt, first = f"{DOMAINS[domain].listed}: {things}\n{LOOK_UP}", []
    ids = dict(listed)
    others = [name for name in _names(domain) if name not in ids]
    asked = [*ids, *(others[int(i)] for i in rng.permutation(len(others))[: len(ids)])]
    asked = first + [asked[int(i)] for i in rng.permutation(len(asked)) if asked[int(i)] not in first]
    return prompt, "; ".join(f"{name}: {ids.get(name, NOT_THERE)}" for name in asked)


def menu_exercise(domain: str, rng: np.random.Generator, hardness: float) -> tuple[str, str]:
    """Returns a prompt that ends in `ASKED`, and the right turn; every second wanted thing is not in the list.

    Args:
        domain: "coffee", where a drink is looked for in a list, or "ticketing", where a theater is.
        rng: of the draws.
        hardness: 0 for the task's lists of two names, up to 1 for lists of up to four.
    """
    case, listed = _draw(domain, rng, hardness)
    prompt = _ending_in(ASKED, dialog_turns(case, rng, listed))
    if case.stage == "absent":
        return prompt, absent(case, rng, [name for name, _ in listed[:2]])
    return prompt, render_turn(right_turn(case, rng))


def turn_exercise(domain: str, rng: np.random.Generator) -> tuple[str, str]:
    """Returns a dialog of any stage that ends in `ASKED`, and the right turn."""
    case = draw_dialog(domain, rng, unseen=bool(rng.integers(2)))
    return _ending_in(ASKED, dialog_turns(case, rng)), render_turn(right_turn(case, rng))


def says_absent(response: str) -> bool:
    """Returns whether a response begins as one that says that a thing is not there."""
    return response.startswith(("Sorry", "I ", "We don't"))


def _names(domain: str) -> Sequence[str]:
    """What the lists of a domain are of."""
    return DOMAINS[domain].topics if domain == "coffee" else THEATERS


def _ending_in(line: str, turns: Sequence[Turn]) -> str:
    return render_context(turns).removesuffix("agent:") + line


def _draw(domain: str, rng: np.random.Generator, hardness: float) -> tuple[Dialog, Sequence[tuple[str, str]]]:
    """Returns a dialog that ends with a list, every second time without the wanted thing, and the list in any order."""
    is_absent = bool(rng.integers(2))
    case = draw_dialog(domain, rng, unseen=bool(rng.integers(2)))
    while (case.stage == "absent") != is_absent or not _ends_with_list(case):
        case = draw_dialog(domain, rng, unseen=bool(rng.integers(2)))
    taken = {case.wanted, *(name for name, _ in case.listed)}
    more = _things([n for n in _names(domain) if n not in taken], int(rng.integers(1 + round(_LONGER * hardness))), rng)
    return case, [(*case.listed, *more)[int(i)] for i in rng.permutation(2 + len(more))]


def _ends_with_list(case: Dialog) -> bool:
    """Returns whether the list is the last that a prompt says; what is asked after it tells that the thing is there."""
    return case.stage in ("ask", "absent") or (case.stage == "act" and case.open == 2)


def _things(names: Sequence[str], count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """`count` things (name, id) of different names."""
    drawn = [names[int(i)] for i in rng.permutation(len(names))[:count]]
    return [(name, f"{name}-{rng.integers(100, 1000)}") for name in drawn]
