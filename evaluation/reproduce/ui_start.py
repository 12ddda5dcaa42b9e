"""The table of docs/results.md on where UINav-v0's policy starts: how many demonstrations are worth how much RL.

Each row is a backbone that was pretrained on the same exercises and on fewer demonstrations than the shipped one, or on
more, or of fewer templates; beside it what RL makes of it by the task's recipe.
"""

from typing import Any, NamedTuple, Protocol

import yaml

from agents.setup import RECIPES
from evaluation.reproduce.cached_runs import Table, Where, command, finish
from evaluation.reproduce.tables import Summary, row, signed, table_head
from evaluation.reproduce.ui import KINDS
from perlhf.run_folder import turns_of

NAME = "tiny-uinav"


class Choices(Where, Protocol):
    """The options of evaluation.reproduce that this table needs."""

    seeds: str


class Start(NamedTuple):
    """What a policy was shown before RL."""

    share: float  # of the steps of demonstrations that the shipped backbone has read
    templates: int | None  # of those that people show; all where None


STARTS = (
    Start(1 / 6, None), Start(1 / 3, None), Start(1.0, None), Start(3.0, None),
    Start(1.0, 7), Start(1.0, 14), Start(1.0, 28),
)  # fmt: skip


def start_table(options: Choices) -> Table:
    """Defines the table: SFT by demonstrations, and RL on each of these starts."""
    recipe = yaml.safe_load((RECIPES / "pretrain" / f"{NAME}.yaml").read_text(encoding="utf-8"))
    runs = {}
    for start in STARTS:
        name = f"ui-start-{start.share:.2f}-{start.templates or 'all'}"
        made = command(options, name, "agents.pretrain", NAME, *words_of(start, recipe))
        finish(made)
        for seed in options.seeds.split(","):
            words = ("agents.train_ppo", "--env", "UINav-v0", "--backbone", made.folder, "--seed", seed)
            runs[f"{label_of(start, recipe)}, seed {seed}"] = command(options, f"{name}-rl-{seed}", *words)
    return Table("UINav-v0 by what was demonstrated: SFT, and RL on it", runs, start_rows)


def words_of(start: Start, recipe: dict[str, Any]) -> list[object]:
    """Returns the options of agents.pretrain that read as many exercises as the recipe, and these demonstrations."""
    documents = recipe["steps"] * recipe["batch_size"]
    exercises = documents * recipe["exercises"]
    steps = round((exercises + start.share * (documents - exercises)) / recipe["batch_size"])
    share = exercises / (steps * recipe["batch_size"])
    templates = [] if start.templates is None else ["--templates", start.templates]
    return ["--steps", steps, "--exercises", round(share, 4), *templates]


def label_of(start: Start, recipe: dict[str, Any]) -> str:
    """Returns what a row is called, by steps of demonstrations and templates."""
    shown = start.share * recipe["steps"] * recipe["batch_size"] * (1 - recipe["exercises"])
    return f"{shown:,.0f} steps of {start.templates or 'all'} templates"


def start_rows(summaries: dict[str, Summary]) -> list[str]:
    """Returns rows with SFT's and the policy's success, greedy and in 16 tries, and by how templates are met."""
    names = ("SFT, greedy", "@1", "@4", "@16", "RL, greedy", "@16", "gain", "beyond sharpening", "turns", "CPU s")
    rows = table_head("demonstrations", *names)
    for name, s in summaries.items():
        tries = {side: s["pass_at"][side] for side in ("sft", "policy")}
        cells = [f"{s['sft']['gold_greedy']:.3f}", *(f"{tries['sft'][k]:.3f}" for k in ("1", "4", "16"))]
        cells += [f"{s['policy']['gold_greedy']:.3f}", f"{tries['policy']['16']:.3f}", signed(s["gain"]["greedy"])]
        rows.append(row(name, *cells, signed(s["beyond_sharpening"]), f"{turns_of(s):,}", f"{s['cpu_seconds']:.0f}"))
    kinds = [kind for kind in KINDS if all(kind in s["sft"]["groups"]["greedy"] for s in summaries.values())]
    rows += ["", *table_head("greedy, SFT -> RL", *kinds)]
    for name, s in summaries.items():
        of_kinds = ([s[side]["groups"]["greedy"][kind]["mean"] for side in ("sft", "policy")] for kind in kinds)
        rows.append(row(name, *(f"{before:.3f} -> {after:.3f}" for before, after in of_kinds)))
    return rows
