"""The tables of docs/results.md on what RL adds to SFT, by group of episodes: on UINav-v0 how training meets templates.

They stand on the runs of another table: SFT plays the held-out episodes once, and the policy of each seed once.
"""

from collections.abc import Mapping, Sequence

from evaluation.metrics import interval, signed
from evaluation.paired import ALL, Verdicts, paired
from evaluation.reproduce.cached_runs import VERDICTS, Run, Table, Where, command, finish
from evaluation.reproduce.tables import Summary, arrow, row, table_head
from evaluation.reproduce.ui import KINDS, Choices, ui_table

EPISODES, SAMPLED = 1200, 240  # of the test split: played greedily, and the first of them 16 times each as well


def groups_table(options: Choices) -> Table:
    """Defines the table: the held-out episodes of SFT, then of each seed's policy, beside each other."""
    runs = verdict_runs(options, "ui", ui_table(options).runs, "--prompts", EPISODES, "--sampled-prompts", SAMPLED)
    title = "RL on UINav-v0 beside SFT at its best temperature, by how training meets the templates"
    return Table(title, runs, group_rows)


def verdict_runs(options: Where, name: str, trained: Mapping[str, Run], *sizes: object) -> dict[str, Run]:
    """Returns the commands that keep the verdicts of SFT and of trained policies, which are trained before.

    Args:
        options: say where.
        name: of the env, in the names of the folders.
        trained: the training of each policy, by name.
        sizes: words of `evaluation.verdicts` that all have.
    """
    for run in trained.values():
        finish(run)
    first = next(iter(trained.values()))
    sft = command(options, f"{name}-verdicts-sft", VERDICTS, "--run", first.folder, "--sft", *sizes)
    return {"SFT": sft} | {
        policy: command(options, f"{name}-verdicts-{run.folder.name}", VERDICTS, "--run", run.folder, *sizes)
        for policy, run in trained.items()
    }


def group_rows(summaries: dict[str, Summary], kinds: Sequence[str] = KINDS) -> list[str]:
    """Returns rows for each group of episodes: the mean of the seeds, each seed, and each of the other groups.

    Args:
        summaries: the verdicts of "SFT" and of the policy of each seed, by name.
        kinds: the groups that come first; the others, templates, are rows of a table of their own.
    """
    (_, sft), *policies = summaries.items()
    found = paired(sft, [verdicts for _, verdicts in policies])
    kinds = [ALL, *(kind for kind in kinds if kind in found)]
    best = f"SFT at its best, T = {sft['sft_temperature']['temperature']:g}"
    figures = ("episodes", "SFT, greedy", best, "policy, greedy", "policy less SFT at its best")
    rows = table_head("mean of the seeds", *figures, "by seed")
    for kind in kinds:
        group = found[kind]
        means = (interval(group[key]) for key in ("greedy", "best", "policy"))
        by_seed = ", ".join(f"{gain:+.3f}" for gain in group["by_policy"])
        rows.append(row(kind, str(group["gain"]["n"]), *means, signed(group["gain"]), by_seed))
    rows += ["", *_seed_rows(sft, policies, kinds), "", *_pass_rows(found, kinds)]
    templates = sorted(set(found) - set(kinds))
    if templates:
        rows += ["", *table_head("template, mean of the seeds", "episodes", "SFT, greedy", best, "policy, greedy", "")]
    for name in templates:
        group, kind = found[name], _kind_of(sft, name)
        means = (f"{group[key]['mean']:.2f}" for key in ("greedy", "best", "policy"))
        rows.append(row(name, str(group["gain"]["n"]), *means, kind))
    return rows


def _seed_rows(sft: Verdicts, policies: Sequence[tuple[str, Verdicts]], kinds: Sequence[str]) -> list[str]:
    rows = table_head("policy less SFT at its best, by seed", *kinds)
    for name, verdicts in policies:
        found = paired(sft, [verdicts])
        rows.append(row(name, *(signed(found[kind]["gain"]) for kind in kinds)))
    return rows


def _pass_rows(found: dict[str, Summary], kinds: Sequence[str]) -> list[str]:
    """Returns pass@k of the episodes that were sampled from, SFT's and the policies', and what the last k gains."""
    sampled = [kind for kind in kinds if "pass_at" in found[kind]]
    if not sampled:
        return []
    ks = list(found[sampled[0]]["pass_at"]["gain"])
    names = (*(f"pass@{k}, SFT -> policy" for k in ks), f"gain of pass@{ks[-1]}")
    rows = table_head("mean of the seeds, T = .7", "episodes", *names)
    for kind in sampled:
        of = found[kind]["pass_at"]
        arrows = (arrow(of["sft"][k]["mean"], of["policy"][k]["mean"]) for k in ks)
        gain = of["gain"][ks[-1]]
        rows.append(row(kind, str(gain["n"]), *arrows, signed(gain)))
    return rows


def _kind_of(sft: Verdicts, template: str) -> str:
    """Returns how training meets a template, the last of the groups that its episodes are in."""
    groups: Sequence[str] = next(groups for groups in sft["groups"] if template in groups)
    return groups[-1]
