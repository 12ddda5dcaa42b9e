"""From the summaries of runs to the rows of a table in Markdown. Pure functions."""

from collections.abc import Collection
from statistics import mean
from typing import Any

from evaluation.metrics import interval, signed
from perlhf.run_folder import turns_of

Summary = dict[str, Any]
CONTROL = ("SFT at its best T", "beyond sharpening")  # columns of every table of policies, see `control_cells`


def policy_rows(summaries: dict[str, Summary]) -> list[str]:
    """Gold and score, before and after, by decoding and by group, and the control."""
    names = ("gold, sampled", "gold, greedy", *CONTROL, "score, sampled", "KL (nats)", "win rate", "turns", "s")
    rows = table_head("", *names)
    for name, s in summaries.items():
        cells = [
            arrow_interval(s, "gold"),
            arrow_interval(s, "gold_greedy"),
            *control_cells([s]),
            arrow(s["sft"]["score"], s["policy"]["score"]),
        ]
        cells += [f"{s['kl']:.2f}", interval(s["win_rate"]), f"{turns_of(s):,}", f"{s['seconds']:.0f}"]
        rows.append(row(name, *cells))
    groups = common(*(s["sft"]["groups"]["sampled"] for s in summaries.values()))
    rows += ["", *table_head("gold by group", *(f"{g}, {how}" for how in ("sampled", "greedy") for g in groups))]
    for name, s in summaries.items():
        cells = [
            arrow(*(s[side]["groups"][how][g]["mean"] for side in ("sft", "policy")))
            for how in ("sampled", "greedy")
            for g in groups
        ]
        rows.append(row(name, *cells))
    return rows


def kind_rows(summaries: dict[str, Summary]) -> list[str]:
    """Gold by the kinds of prompts that only one task has, the mean of its seeds; runs are called "TASK, seed N"."""
    shared = common(*(s["sft"]["groups"]["sampled"] for s in summaries.values()))
    rows = table_head("gold by kind of prompt, mean of the seeds", "sampled", "greedy")
    for task in dict.fromkeys(name.split(",")[0] for name in summaries):
        runs = [s for name, s in summaries.items() if name.split(",")[0] == task]
        for kind in runs[0]["sft"]["groups"]["sampled"]:
            if kind not in shared:
                rows.append(row(f"{task}: {kind}", *(mean_arrow(runs, how, kind) for how in ("sampled", "greedy"))))
    return rows


def variant_rows(summaries: dict[str, Summary]) -> list[str]:
    """Gold of each variant, its seeds one after the other, and cost; runs are called "VARIANT, seed N"."""
    names = (
        "gold, sampled",
        "policy by seed",
        "gold, greedy",
        "policy by seed",
        *CONTROL,
        "KL (nats)",
        "turns per CPU s",
        "peak MB",
    )
    rows = table_head("mean of the seeds", *names)
    for variant in dict.fromkeys(name.rsplit(",", 1)[0] for name in summaries):
        runs = [s for name, s in summaries.items() if name.rsplit(",", 1)[0] == variant]
        cells = []
        for key in ("gold", "gold_greedy"):
            cells.append(arrow(*(mean(run[side][key] for run in runs) for side in ("sft", "policy"))))
            cells.append(", ".join(f"{run['policy'][key]:.3f}" for run in runs))
        cells += [*control_cells(runs), f"{mean(run['kl'] for run in runs):.2f}"]
        cells.append(f"{mean(run['samples_per_cpu_second'] for run in runs):.1f}")
        rows.append(row(variant, *cells, f"{mean(run['peak_rss_mb'] for run in runs):.0f}"))
    return rows


def control_cells(runs: list[Summary]) -> list[str]:
    """Returns the cells under `CONTROL`: of one run with intervals, of several the means; empty where not measured."""
    if any("beyond_sharpening" not in run for run in runs):
        return ["", ""]  # runs of earlier versions
    temperatures = ", ".join(dict.fromkeys(f"{run['sft_temperature']['temperature']:g}" for run in runs))
    best, beyond = [run["sft"]["best"] for run in runs], [run["beyond_sharpening"] for run in runs]
    if len(runs) == 1:
        return [f"{interval(best[0])}, T = {temperatures}", signed(beyond[0])]
    by_seed = ", ".join(f"{each['mean']:+.3f}" for each in beyond)
    return [
        f"{mean(each['mean'] for each in best):.3f}, T = {temperatures}",
        f"{mean(each['mean'] for each in beyond):+.3f} ({by_seed})",
    ]


def control_rows(run: Summary) -> list[str]:
    """Returns the same as two rows of a table of stages and figures."""
    return [row("", name, cell) for name, cell in zip(CONTROL, control_cells([run]), strict=True)]


def mean_arrow(runs: list[Summary], how: str, group: str) -> str:
    """Before and after, of a group, the mean of several runs."""
    means = [[run[side]["groups"][how][group]["mean"] for run in runs] for side in ("sft", "policy")]
    return arrow(*(sum(of_side) / len(of_side) for of_side in means))


def common(*names: Collection[str]) -> list[str]:
    """Returns the names that all have, in the order of the first."""
    return [name for name in names[0] if all(name in others for others in names)]


def bundled_rows(summaries: dict[str, Summary]) -> list[str]:
    """Reward models beside their baselines and their ceilings."""
    names = ("seen topics or templates", "unseen ones")
    rows = table_head("", "figure", "held out", *names, "length", "keyword", "ceiling", "w")
    for name, s in summaries.items():
        kind = "auc" if "auc" in s else "accuracy"
        groups = [group_mean(s, start) for start in ("seen ", "unseen ")]
        baselines = [f"{s['baselines'][b]:.3f}" for b in ("length", "keyword")]
        weight = f"{s.get('log_prob_weight', 0.0):g}"
        rows.append(
            row(name, kind.replace("auc", "AUC"), interval(s[kind]), *groups, *baselines,
                f"{s['ceiling']:.3f}", weight)
        )  # fmt: skip
    return rows


def group_mean(summary: Summary, start: str) -> str:
    """Returns the mean of the group whose name starts so."""
    return next(f"{group['mean']:.3f}" for name, group in summary["groups"].items() if name.startswith(start))


def label_rows(summaries: dict[str, Summary]) -> list[str]:
    """AUC of pointwise reward models beside what needs no model."""
    rows = table_head("", "AUC", "n", "accuracy", "majority class", "AUC of length", "learnt from")
    for name, s in summaries.items():
        auc, base = s["auc"], s["baselines"]
        cells = [interval(auc), str(auc["n"]), interval(s["accuracy"]), f"{base['majority_accuracy']:.3f}"]
        rows.append(row(name, *cells, f"{base['length']:.3f}", f"{s['pairs']:,}"))
    return rows


def reward_rows(summaries: dict[str, Summary]) -> list[str]:
    """Accuracy beside cost and the ceiling of the labels."""
    names = ("accuracy", "ceiling", "seen topics", "unseen topics", "agrees with gold", "CPU s", "pairs/CPU-s")
    rows = table_head("", *names, "peak MB")
    for name, s in summaries.items():
        cells = [interval(s["accuracy"]), f"{s['ceiling']:.3f}"]
        cells += [f"{s['groups'][g]['mean']:.3f}" for g in ("seen topics", "unseen topics")]
        cells += [f"{s['gold_agreement']['mean']:.3f}", f"{s['cpu_seconds']:.0f}", f"{s['pairs_per_cpu_second']:.1f}"]
        rows.append(row(name, *cells, f"{s['peak_rss_mb']:.0f}"))
    return rows


def ranked_rows(summaries: dict[str, Summary]) -> list[str]:
    """Reward models of one task, and its baselines once."""
    baselines = next(iter(summaries.values()))["baselines"]
    return [*reward_rows(summaries), *(row(name, f"{value:.3f}", *[""] * 7) for name, value in baselines.items())]


def cost_rows(summaries: dict[str, Summary]) -> list[str]:
    """Quality beside cost of PPO."""
    rows = table_head(
        "", "gold, sampled", "gold, greedy", *CONTROL, "KL (nats)", "s", "CPU s", "turns/CPU-s", "peak MB"
    )
    for name, s in summaries.items():
        cells = [arrow_interval(s, "gold"), arrow_interval(s, "gold_greedy"), *control_cells([s])]
        cells += [f"{s['kl']:.2f}", f"{s['seconds']:.0f}"]
        cells += [f"{s['cpu_seconds']:.0f}", f"{s['samples_per_cpu_second']:.1f}", f"{s['peak_rss_mb']:.0f}"]
        rows.append(row(name, *cells))
    return rows


def pass_rows(summaries: dict[str, Summary]) -> list[str]:
    """Returns pass@k, before and after, beside guessing where answers are few, then its last k by group."""
    tries = next(iter(summaries.values()))["pass_at"]["gain"]
    last = list(tries)[-1]
    names = (*(f"pass@{k}" for k in tries), f"gain of pass@{last}", f"guessing, grey pictures @{last}")
    rows = table_head("", *names, f"best gold of {last}")
    for name, s in summaries.items():
        of, best = s["pass_at"], s["best_at"]
        cells = [arrow(of["sft"][k]["mean"], of["policy"][k]["mean"]) for k in tries]
        blind = ", ".join(f"{of[side][last]['mean']:.3f}" for side in ("guess", "blind") if side in of)
        cells += [signed(of["gain"][last]), blind, arrow(best["sft"][last]["mean"], best["policy"][last]["mean"])]
        rows.append(row(name, *cells))
    rows += ["", *table_head(f"pass@{last} by group", "episodes", "SFT -> policy")]
    for name, s in summaries.items():
        groups = {side: s["pass_at"]["groups"][side][last] for side in ("sft", "policy")}
        for group, of_group in groups["sft"].items():
            means = arrow(of_group["mean"], groups["policy"][group]["mean"])
            rows.append(row(f"{name}: {group}", str(of_group["n"]), means))
    return rows


def real_rows(summaries: dict[str, Summary]) -> list[str]:
    """Returns rows that say what the small backbone makes of real text."""
    reward, ppo = summaries["reward"], summaries["ppo"]
    rows = table_head("stage", "figure", "value")
    rows.append(loss_row(summaries["sft"]))
    rows.append(
        row("reward model", "held-out accuracy", f"{interval(reward['accuracy'])} (n = {reward['accuracy']['n']})")
    )
    rows += [row("", name, f"{value:.3f}") for name, value in reward["baselines"].items()]
    rows.append(row("PPO", "score, sampled", arrow(ppo["sft"]["score"], ppo["policy"]["score"])))
    rows += control_rows(ppo)
    rows.append(row("", "win rate by score", interval(ppo["win_rate"])))
    return [*rows, row("", "KL, nats a response", f"{ppo['kl']:.2f}")]


def loss_row(sft: Summary) -> str:
    """Returns a row that says what SFT did to the loss on held-out records."""
    loss = sft["held_out_loss"]
    return row("SFT", "held-out loss, nats a token", f"{interval(loss['before'])} -> {interval(loss['after'])}")


def table_head(*names: str) -> list[str]:
    """Returns the first two lines of a Markdown table."""
    return [row(*names), "|" + "---|" * len(names)]


def row(*cells: str) -> str:
    """One line of it."""
    return "| " + " | ".join(cells) + " |"


def arrow(before: float, after: float) -> str:
    """Before and after."""
    return f"{before:.3f} -> {after:.3f}"


def arrow_interval(summary: Summary, key: str) -> str:
    """Before and after with their intervals."""
    sides = (summary[side] for side in ("sft", "policy"))
    return " -> ".join(f"{s[key]:.3f} [{s[f'{key}_low']:.3f}, {s[f'{key}_high']:.3f}]" for s in sides)
