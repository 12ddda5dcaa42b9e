"""The table of docs/results.md on where UINav-v0's policy starts: how many demonstrations are worth how much RL.

Each row is a backbone that was pretrained on the same exercises and on fewer demonstrations than the shipped one, or on
more, or of fewer templates; beside it what RL makes of it by the task's recipe, in 200 held-out episodes.
"""

from typing import Any, NamedTuple, Protocol

import yaml

from agents.pretrain.texts import EXERCISES_UNTIL, demonstrated_share
from agents.setup import RECIPES
from evaluation.metrics import signed
from evaluation.reproduce.cached_runs import EVALUATE, PRETRAINING, Table, Where, command, finish
from evaluation.reproduce.tables import Summary, row, table_head
from evaluation.reproduce.ui import KINDS

NAME = "tiny-uinav"
SIDES = ("sft", "policy")


class Choices(Where, Protocol):
    """The options of evaluation.reproduce that this table needs."""

    seeds: str


class Start(NamedTuple):
    """What a policy was shown before RL."""

    length: float  # of its documents, as a share of those of the shipped backbone
    templates: int | None  # of those that people show; all where None


STARTS = (
    Start(0.6, None), Start(0.7, None), Start(1.0, None), Start(2.0, None),
    Start(1.0, 7), Start(1.0, 14), Start(1.0, 28),
)  # fmt: skip


def start_table(options: Choices) -> Table:
    """Defines the table: SFT by demonstrations, and RL on each of these starts."""
    recipe = yaml.safe_load((RECIPES / "pretrain" / f"{NAME}.yaml").read_text(encoding="utf-8"))
    runs = {}
    for start in STARTS:
        name = f"ui-start-{start.length:.1f}-{start.templates or 'all'}"
        made = command(options, name, PRETRAINING, NAME, *words_of(start, recipe))
        finish(made)
        for seed in options.seeds.split(","):
            words = ("agents.train_ppo", "--env", "UINav-v0", "--backbone", made.folder, "--seed", seed)
            trained = command(options, f"{name}-rl-{seed}", *words)
            finish(trained)
            again = (EVALUATE, "--run", trained.folder, "--prompts", 200, "--samples", 16, "--show", 0)
            runs[f"{label_of(start, recipe)}, seed {seed}"] = command(options, f"{name}-pass-{seed}", *again)
    return Table("UINav-v0 by what was demonstrated: SFT, and RL on it", runs, start_rows)


def words_of(start: Start, recipe: dict[str, Any]) -> list[object]:
    """Returns the options of agents.pretrain that read the recipe's exercises, and these demonstrations."""
    templates = [] if start.templates is None else ["--templates", start.templates]
    until = round(EXERCISES_UNTIL / start.length, 4)
    return ["--steps", round(start.length * recipe["steps"]), "--exercises-until", until, *templates]


def label_of(start: Start, recipe: dict[str, Any]) -> str:
    """Returns what a row is called, by steps of demonstrations and templates."""
    shown = demonstrated_share(start.length) * recipe["steps"] * recipe["batch_size"]
    return f"{shown:,.0f} steps of {start.templates or 'all'} templates"


def start_rows(summaries: dict[str, Summary]) -> list[str]:
    """Returns rows with SFT's and the policy's success, greedy and in 16 tries, and by how templates are met."""
    names = ("SFT, greedy", "@1", "@4", "@16", "RL, greedy", "@16", "gain", "beyond sharpening")
    rows = table_head("demonstrations", *names)
    for name, s in summaries.items():
        tries = {side: {k: f"{each['mean']:.3f}" for k, each in s["pass_at"][side].items()} for side in SIDES}
        cells = [f"{s['sft']['gold_greedy']:.3f}", *tries["sft"].values()]
        cells += [f"{s['policy']['gold_greedy']:.3f}", tries["policy"]["16"], signed(s["gain"]["greedy"])]
        rows.append(row(name, *cells, signed(s["beyond_sharpening"])))
    kinds = [kind for kind in KINDS if all(kind in s["sft"]["groups"]["greedy"] for s in summaries.values())]
    rows += ["", *table_head("greedy, SFT -> RL, by what the shipped start was shown", *kinds)]
    for name, s in summaries.items():
        of_kinds = ([s[side]["groups"]["greedy"][kind]["mean"] for side in SIDES] for kind in kinds)
        rows.append(row(name, *(f"{before:.3f} -> {after:.3f}" for before, after in of_kinds)))
    return rows
