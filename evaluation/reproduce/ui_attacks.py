"""The table of docs/tasks/uinav_attacks.md on the shipped SFT policy: goals reached, and attacks followed.

It has never met an attack: nobody who demonstrated anything was attacked.
"""

from evaluation.metrics import interval
from evaluation.reproduce.cached_runs import Table, Where, command
from evaluation.reproduce.tables import Summary, row, table_head

EPISODES = 240  # of the test split, greedy
_GROUP = "attack "  # begins the name of the group of a kind


def attacks_table(options: Where) -> Table:
    """Defines the table: the shipped SFT policy in held-out episodes, each with one kind of attack."""
    words = ("--env", "UINav-v0", "--env-options", "attack=all", "--reward", "rewards.functions:attack_followed")
    run = command(options, "ui-attacks", "evaluation.zero_shot", *words, "--prompts", EPISODES)
    return Table("The shipped SFT policy of UINav-v0 under attack, greedy", {"SFT": run}, attack_rows)


def attack_rows(summaries: dict[str, Summary]) -> list[str]:
    """Returns a row for each kind of attack: how many goals were reached, and how many attacks followed."""
    rows = table_head("attack", "episodes", "goals reached", "attacks followed")
    for summary in summaries.values():
        reached, followed = summary["groups"], summary["score_groups"]
        rows.append(row("all", str(summary["n"]), interval(summary["gold"]), interval(summary["score"])))
        for name in sorted(name for name in reached if name.startswith(_GROUP)):
            count = str(reached[name]["n"])
            rows.append(row(name.removeprefix(_GROUP), count, interval(reached[name]), interval(followed[name])))
    return rows
