"""The tables of docs/results.md on VQAv2-v0: PPO by answer type, reward models by feedback, NLVR's statements."""

from collections.abc import Callable
from statistics import mean
from typing import Protocol

from envs.registry import env_id, task_of
from evaluation.baselines.shortcuts import shortcut_means
from evaluation.metrics import interval, signed
from evaluation.reproduce.cached_runs import EVALUATE, Run, Table, Where, command, finish
from evaluation.reproduce.tables import (
    CONTROL,
    Summary,
    arrow,
    arrow_interval,
    control_cells,
    control_rows,
    loss_row,
    mean_arrow,
    row,
    table_head,
)
from evaluation.reproduce.ui_groups import group_rows, verdict_runs
from perlhf.errors import UserError
from perlhf.run_folder import turns_of

ENV = ("--env", "VQAv2-v0")
KINDS = (
    "yes/no", "number", "other", "level 1", "level 2", "level 3", "level 4", "seen combinations", "unseen combinations"
)  # of questions  # fmt: skip
_AMOUNTS = (
    "--pairs", 6000, "--policy-pairs", 3000, "--log-prob-weight", 1, "--learning-rate", 2e-3, "--score-limit", "none"
)  # fmt: skip


class Choices(Where, Protocol):
    """The options of evaluation.reproduce that these tables need."""

    seeds: str
    nlvr: str


def vqa_runs(options: Choices) -> dict[str, Run]:
    """Returns RL by the recipe, with several seeds."""
    return {
        f"seed {seed}": command(options, f"vqa-{seed}", "agents.train_ppo", *ENV, "--seed", seed)
        for seed in options.seeds.split(",")
    }


def vqa_table(options: Choices) -> Table:
    """Defines the table of RL by the recipe, on all held-out questions, beside what needs no picture."""

    def rows(found: dict[str, Summary]) -> list[str]:
        return [*accuracy_rows(found), "", *room_rows(found), "", *question_rows(next(iter(found.values())))]

    return _evaluated(options, "RL on VQAv2-v0: policy beside SFT on held-out questions", vqa_runs(options), rows)


def vqa_ppo_table(options: Choices) -> Table:
    """Defines the table of PPO with the bundled reward model, and of what that model chooses of SFT's answers."""
    words = ("agents.train_ppo", *ENV, "--config", "recipes/ppo/VQAv2-v0-ppo.yaml")
    trained = {
        f"seed {seed}": command(options, f"vqa-ppo-{seed}", *words, "--seed", seed) for seed in options.seeds.split(",")
    }

    def rows(found: dict[str, Summary]) -> list[str]:
        return [*accuracy_rows(found), "", *chosen_rows(list(found.values()))]

    return _evaluated(options, "PPO on VQAv2-v0 with the bundled reward model", trained, rows)


def _evaluated(
    options: Choices, title: str, trained: dict[str, Run], rows: Callable[[dict[str, Summary]], list[str]]
) -> Table:
    """Returns a table of runs that are trained before; SFT's temperature is chosen on all of validation."""
    summaries = {name: finish(run) for name, run in trained.items()}
    sizes = ("--prompts", 2000, "--validation-prompts", 1000, "--samples", 16, "--show", 0)
    runs = {
        name: command(options, f"{run.folder.name}-evaluated", EVALUATE, "--run", run.folder, *sizes)
        for name, run in trained.items()
    }
    return Table(title, runs, lambda found: rows({name: {**summaries[name], **s} for name, s in found.items()}))


def vqa_groups_table(options: Choices) -> Table:
    """Defines the table of the same questions, the mean of the seeds, by kind of question."""
    sizes = ("--prompts", 2000, "--validation-prompts", 1000, "--sampled-prompts", 0)
    runs = verdict_runs(options, "vqa", vqa_runs(options), *sizes)
    title = "RL on VQAv2-v0 beside SFT at its best temperature, by kind of question"
    return Table(title, runs, lambda found: group_rows(found, KINDS))


def accuracy_rows(summaries: dict[str, Summary]) -> list[str]:
    """VQA's accuracy, before and after, and by kind of question."""
    names = (
        "accuracy, sampled", "accuracy, greedy", *CONTROL, "gain greedy, question by question",
        "greedy, grey pictures", "greedy, official script",
        "KL (nats)", "turns", "s",
    )  # fmt: skip
    rows = table_head("", *names)
    for name, s in summaries.items():
        blind = arrow(*(s[side]["blind"]["mean"] for side in ("sft", "policy")))
        gain = signed(s["gain"]["greedy"])
        cells = [arrow_interval(s, "gold"), arrow_interval(s, "gold_greedy"), *control_cells([s]), gain, blind]
        cells.append(_official(s))
        rows.append(row(name, *cells, f"{s['kl']:.2f}", f"{turns_of(s):,}", f"{s['seconds']:.0f}"))
    runs = list(summaries.values())
    groups = runs[0]["sft"]["groups"]["sampled"]
    rows += ["", *table_head("accuracy by kind of question, mean of the seeds", "questions", "sampled", "greedy")]
    for group, of_group in groups.items():
        figures = (mean_arrow(runs, how, group) for how in ("sampled", "greedy"))
        rows.append(row(group, str(of_group["n"]), *figures))
    return rows


def room_rows(summaries: dict[str, Summary]) -> list[str]:
    """Returns rows with how sure greedy answers are and how many are right, and with pass@k beside blind guessing."""
    tries = next(iter(summaries.values()))["pass_at"]["gain"]
    last = list(tries)[-1]
    names = (*(f"pass@{k}" for k in tries), f"gain of pass@{last}", f"guessing, grey pictures @{last}")
    rows = table_head("SFT -> policy", "sure, greedy", "right, greedy", "ECE", *names)
    for name, s in summaries.items():
        sides = [s["calibration"][side] for side in ("sft", "policy")]
        cells = [arrow(*(side[key] for side in sides)) for key in ("probability", "right", "ece")]
        of = s["pass_at"]
        cells += [arrow(of["sft"][k]["mean"], of["policy"][k]["mean"]) for k in tries]
        blind = ", ".join(f"{of[side][last]['mean']:.3f}" for side in ("guess", "blind"))
        rows.append(row(name, *cells, signed(of["gain"][last]), blind))
    return rows


def chosen_rows(runs: list[Summary]) -> list[str]:
    """Returns rows with SFT's answer of the highest score of several, by kind of question, the mean of the seeds."""
    of = runs[0]["best_of"]
    head = f"{of['n']} of SFT's answers at T = {of['temperature']:g}, mean of the seeds"
    rows = table_head(head, "questions", "SFT, greedy", "the one with the highest score")
    greedy, best = (mean(run["sft"]["gold_greedy"] for run in runs), mean(run["best_of"]["gold"] for run in runs))
    rows.append(row("all", str(runs[0]["sft"]["n"]), f"{greedy:.3f}", f"{best:.3f}"))
    for group, of_group in of["groups"].items():
        greedy = mean(run["sft"]["groups"]["greedy"][group]["mean"] for run in runs)
        best = mean(run["best_of"]["groups"][group]["mean"] for run in runs)
        rows.append(row(group, str(of_group["n"]), f"{greedy:.3f}", f"{best:.3f}"))
    return rows


def question_rows(summary: Summary) -> list[str]:
    """Returns rows with what guesses without the picture score on the questions of a run, over all and by kind."""
    columns = ["all", *summary["sft"]["groups"]["sampled"]]
    rows = table_head("without the picture", *columns)
    train, test = (task_of(env_id("VQAv2-v0"), split=split) for split in ("train", "test"))
    scores = test.shortcut_scores(train, summary["sft"]["n"], seed=0)
    assert scores is not None
    for name, means in shortcut_means(scores):
        if name.startswith("the commonest"):
            rows.append(row(name, *(f"{means[column]['mean']:.3f}" for column in columns)))
    return rows


def vqa_reward_table(options: Choices) -> Table:
    """Reward models from people's agreement with answers, and from pairs of answers."""
    base = ("rewards.train_reward_model", *ENV, *_AMOUNTS)
    runs = {
        "labels": command(options, "vqa-reward-labels", *base),
        "pairs": command(options, "vqa-reward-pairs", *base, "--env-options", "feedback=pairs"),
    }
    return Table("Reward models on VQAv2-v0: 6,000 records and 3,000 of the policy's samples", runs, feedback_rows)


def feedback_rows(summaries: dict[str, Summary]) -> list[str]:
    """AUC or accuracy beside what needs no picture, and cost."""
    baselines = next(iter(summaries.values()))["baselines"]
    rows = table_head("", "figure", "held out", *baselines, "CPU s", "peak MB")
    for name, s in summaries.items():
        kind = "auc" if "auc" in s else "accuracy"
        without = (f"{s['baselines'][b]:.3f}" if b in s["baselines"] else "" for b in baselines)
        cost = (f"{s['cpu_seconds']:.0f}", f"{s['peak_rss_mb']:.0f}")
        rows.append(row(name, kind.replace("auc", "AUC"), interval(s[kind]), *without, *cost))
    return rows


def _official(summary: Summary) -> str:
    """Returns the greedy accuracies by the official script; "" of data, and of evaluations, that have none."""
    found = [summary[side].get("official_greedy") for side in ("sft", "policy")]
    return "" if None in found else arrow(*found)


def nlvr_table(options: Choices) -> Table:
    """Defines the table of the whole chain on people's statements about drawings."""
    if not options.nlvr:
        raise UserError("the table 'nlvr' needs --nlvr PATH, the folder of NLVR's files.")
    data = (*ENV, "--data", options.nlvr)
    sft = command(options, "nlvr-sft", "agents.train_sft", *data, "--config", "recipes/sft/VQAv2-v0-nlvr.yaml")
    finish(sft)
    backbone = ("--backbone", sft.folder / "backbone")
    words = ("--reward", "gold", "--config", "recipes/ppo/VQAv2-v0-nlvr.yaml")
    ppo = command(options, "nlvr-ppo", "agents.train_ppo", *data, *backbone, *words)
    return Table("NLVR: people's statements, true or false", {"sft": sft, "ppo": ppo}, statement_rows)


def statement_rows(summaries: dict[str, Summary]) -> list[str]:
    """Returns rows that say what SFT and PPO make of NLVR."""
    ppo = summaries["ppo"]
    rows = table_head("stage", "figure", "value")
    rows.append(loss_row(summaries["sft"]))
    rows.append(row("PPO", f"right, sampled (n = {ppo['sft']['n']})", arrow_interval(ppo, "gold")))
    rows.append(row("", "right, greedy", arrow_interval(ppo, "gold_greedy")))
    rows += control_rows(ppo)
    blind = (interval(ppo[side]["blind"]) for side in ("sft", "policy"))
    return [*rows, row("", "right, greedy, grey pictures", " -> ".join(blind))]
