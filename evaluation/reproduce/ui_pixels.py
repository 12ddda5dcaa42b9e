"""The tables of docs/tasks/uinav_pixels.md: the shipped backbone that sees screens, with grey ones, and one that reads.

All play the same held-out episodes of the easiest templates, greedy.
"""

from collections.abc import Mapping
from typing import Any

from envs.uinav.lessons import DENSITY, FORMS, SIZE
from evaluation.metrics import interval
from evaluation.reproduce.cached_runs import Run, Table, Where, command
from evaluation.reproduce.tables import Summary, common, row, table_head

EPISODES = 512
_PLAYED = {"templates": "easiest", "max_steps": 8}  # the oracle takes 6 actions at most
_BACKBONE = "tiny-uinav-pixels"
_ALL = ("seen templates", "demonstrated", "few demonstrations", "never demonstrated")  # groups that are no templates


def pixels_table(options: Where) -> Table:
    """Defines the table: from pixels by points and by marks, the same with grey screens, and from text."""
    runs = {}
    for form, of_env in FORMS.items():
        words = ("--env-options", options_of({**_PLAYED, **of_env}), "--backbone", _BACKBONE)
        runs[f"pixels, {form}"] = played(options, form, *words)
        runs[f"grey, {form}"] = played(options, f"{form}-grey", *words, "--blind")
    text = options_of({**_PLAYED, "screen_size": f"{SIZE[0]}x{SIZE[1]}", "density": DENSITY})
    runs["text, the same pages"] = played(options, "text", "--env-options", text)
    return Table("The easiest templates from pixels and from text, greedy", runs, pixel_rows)


def played(options: Where, name: str, *words: str) -> Run:
    """Returns the command that plays the episodes."""
    env = ("--env", "UINav-v0", "--prompts", EPISODES, "--max-new-tokens", 32, "--show", 0)
    return command(options, f"ui-pixels-{name}", "evaluation.zero_shot", *env, *words)


def options_of(of_env: Mapping[str, Any]) -> str:
    """Returns options of the env as they stand on a command line."""
    return ",".join(f"{name}={str(value).lower()}" for name, value in of_env.items())


def pixel_rows(summaries: dict[str, Summary]) -> list[str]:
    """Returns the success of each policy, over all episodes and by template."""
    rows = table_head("goals reached", *summaries)
    count = next(iter(summaries.values()))["n"]
    rows.append(row(f"all ({count})", *(interval(summary["gold"]) for summary in summaries.values())))
    groups = [summary["groups"] for summary in summaries.values()]
    for name in sorted(common(*groups), key=lambda name: (name not in _ALL, name)):
        rows.append(row(f"{name} ({groups[0][name]['n']})", *(f"{each[name]['mean']:.2f}" for each in groups)))
    return rows
