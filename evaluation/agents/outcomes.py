"""Says what came of a turn and of an episode, as plain values that JSON can hold."""

from collections.abc import Mapping
from typing import Any

from envs.task import Played, Task
from envs.uinav.task import UINav
from envs.uinav.verdicts import verdict_of

# What an episode of a UI task ended in; the first that holds is its name.
SUCCESS, FALSE_COMPLETION, GAVE_UP, OUT_OF_STEPS, FAILURE = (
    "success",
    "false completion",
    "said infeasible",
    "out of steps",
    "failure",
)


def said_about(task: Task, played: Played) -> dict[str, Any]:
    """Returns what a device says to a response: "problem", why it had no effect, and "note", its message."""
    if not isinstance(task, UINav):
        return {}
    return {"problem": played.state.problem, "note": task.device.screen(played.state.state).notice}


def outcome_of(task: Task, start: Any, played: Played) -> dict[str, Any]:
    """Returns what an episode was about and what came of it.

    Args:
        task: of the episode.
        start: its first state.
        played: its last turn.

    Returns:
        "goal", "template" and "groups", as far as there are any; "verdict", a mapping; "outcome", its name in a word or
        two; "gold". Of tasks without a screen the verdict is "success" and "gold".
    """
    groups, gold = list(task.groups(start)), float(task.judge(played.turn) or 0.0)
    if isinstance(task, UINav):
        found = verdict_of(task, played.state)
        effects = None if found.level is None else list(found.side_effects)  # only the phone can tell
        verdict = {**found._asdict(), "side_effects": effects}
        goal = start.goal
        named = {"goal": goal.text, "template": goal.template, "groups": [g for g in groups if g != goal.template]}
        ending = "" if played.state.ending is None else played.state.ending.kind
        return {**named, "outcome": _name(verdict, ending), "gold": gold, "verdict": verdict}
    success = gold >= task.success_at
    named = {"goal": "", "template": "", "groups": groups}
    outcome = SUCCESS if success else FAILURE
    return {**named, "outcome": outcome, "gold": gold, "verdict": {"success": success, "gold": gold}}


def numbers_of(outcome: Mapping[str, Any]) -> dict[str, float]:
    """Returns those parts of an outcome that every episode of its task has, as numbers.

    `is_success` and `gold`; of UI tasks also `progress`, and 1 or 0 for `false_completion` and `side_effects`.
    """
    verdict = outcome["verdict"]
    found = {"gold": outcome["gold"], "is_success": float(verdict["success"])}
    names = ("progress", "false_completion", "side_effects")
    whole = {name: verdict[name] for name in names if verdict.get(name) is not None}
    return found | {n: float(value if isinstance(value, float) else bool(value)) for n, value in whole.items()}


def _name(verdict: dict[str, Any], ending: str) -> str:
    if verdict["success"]:
        return SUCCESS
    if verdict["false_completion"]:
        return FALSE_COMPLETION
    return {"infeasible": GAVE_UP, "": OUT_OF_STEPS}.get(ending, FAILURE)
