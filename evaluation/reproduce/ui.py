"""The tables of docs/results.md on UINav-v0: RL by template, step reward models by rank, real demonstrations."""

from typing import Protocol

from evaluation.metrics import interval, signed
from evaluation.reproduce.cached_runs import Table, Where, command, finish
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
from perlhf.errors import UserError
from perlhf.run_folder import turns_of

# Of episodes on the phone: how training meets their templates.
KINDS = ("seen templates", "demonstrated", "few demonstrations", "never demonstrated", "unseen templates")
ENV = ("--env", "UINav-v0")


class Choices(Where, Protocol):
    """The options of evaluation.reproduce that these tables need."""

    seeds: str
    miniwob: str


def ui_table(options: Choices) -> Table:
    """Defines the table of RL by the recipe, with several seeds."""
    runs = {
        f"seed {seed}": command(options, f"ui-{seed}", "agents.train_ppo", *ENV, "--seed", seed)
        for seed in options.seeds.split(",")
    }
    title = "RL on UINav-v0: policy beside SFT in held-out episodes"
    return Table(
        title, runs, lambda summaries: [*success_rows(summaries), "", *template_rows(list(summaries.values()))]
    )


def success_rows(summaries: dict[str, Summary]) -> list[str]:
    """Returns rows with the share of goals that were reached, before and after, and of single steps that are right."""
    names = (
        "success, sampled", "success, greedy", *CONTROL, "gain greedy, episode by episode", "right steps, greedy",
        *(f"{kind}, sampled" for kind in KINDS),
    )  # fmt: skip
    rows = table_head("", *names, "KL (nats)", "turns", "s")
    for name, s in summaries.items():
        steps = (s[side]["step_accuracy"]["mean"] for side in ("sft", "policy"))
        gain = signed(s["gain"]["greedy"])
        cells = [arrow_interval(s, "gold"), arrow_interval(s, "gold_greedy"), *control_cells([s]), gain, arrow(*steps)]
        played = s["sft"]["groups"]["sampled"]
        cells += [mean_arrow([s], "sampled", kind) if kind in played else "" for kind in KINDS]
        rows.append(row(name, *cells, f"{s['kl']:.2f}", f"{turns_of(s):,}", f"{s['seconds']:.0f}"))
    return rows


def template_rows(runs: list[Summary]) -> list[str]:
    """Success by template, the mean of the seeds."""
    groups = runs[0]["sft"]["groups"]["sampled"]
    rows = table_head("template, mean of the seeds", "episodes", "sampled", "greedy")
    for name in sorted(set(groups) - set(KINDS)):
        figures = (mean_arrow(runs, how, name) for how in ("sampled", "greedy"))
        rows.append(row(name, str(groups[name]["n"]), *figures))
    return rows


def ui_reward_table(options: Choices) -> Table:
    """Step reward models by rank, and full tuning."""
    base = ("rewards.train_reward_model", *ENV, *AMOUNTS)
    variants = {**{f"LoRA {r}": ("--lora-rank", r) for r in (1, 4, 16)}, "full": ("--full", "--learning-rate", 3e-4)}
    runs = {name: command(options, f"ui-reward-{name.replace(' ', '-')}", *base, *v) for name, v in variants.items()}
    return Table("Step reward models on UINav-v0: LoRA beside full", runs, step_rows)


AMOUNTS = (
    "--pairs", 6000, "--policy-pairs", 2000, "--log-prob-weight", 1, "--learning-rate", 3e-3, "--score-limit", 5
)  # fmt: skip


def step_rows(summaries: dict[str, Summary]) -> list[str]:
    """Accuracy on single steps beside the majority class, and cost."""
    kinds = ("accuracy", "majority class", "AUC")
    rows = table_head("", *kinds, *(f"{kind}, SFT's own episodes" for kind in kinds), "CPU s", "peak MB")
    for name, s in summaries.items():
        own = s["sft_episodes"]
        majorities = s["baselines"]["majority_accuracy"], own["majority_accuracy"]
        cells = [
            cell
            for figures, majority in zip((s, own), majorities, strict=True)
            for cell in (interval(figures["accuracy"]), f"{majority:.3f}", interval(figures["auc"]))
        ]
        rows.append(row(name, *cells, f"{s['cpu_seconds']:.0f}", f"{s['peak_rss_mb']:.0f}"))
    return rows


def miniwob_table(options: Choices) -> Table:
    """Defines the table of the whole chain on people's demonstrations in web pages."""
    if not options.miniwob:
        raise UserError("the table 'miniwob' needs --miniwob FILE; docs/tasks/uinav.md says how it is made.")
    data = (*ENV, "--data", options.miniwob)
    sft = command(options, "miniwob-sft", "agents.train_sft", *data, "--config", "recipes/sft/UINav-v0-miniwob.yaml")
    finish(sft)
    backbone = ("--backbone", sft.folder / "backbone")
    reward = command(options, "miniwob-reward", "rewards.train_reward_model", *data, *backbone, *AMOUNTS)
    finish(reward)
    settings = ("--config", "recipes/ppo/UINav-v0-miniwob.yaml")
    ppo = command(options, "miniwob-ppo", "agents.train_ppo", *data, *backbone, "--reward", reward.folder, *settings)
    return Table("People's demonstrations of MiniWoB++", {"sft": sft, "reward": reward, "ppo": ppo}, recorded_rows)


def recorded_rows(summaries: dict[str, Summary]) -> list[str]:
    """Returns rows that say what SFT, reward model and PPO make of recordings."""
    ppo = summaries["ppo"]
    steps = (interval(ppo[side]["step_accuracy"]) for side in ("sft", "policy"))
    rows = table_head("stage", "figure", "value")
    rows.append(loss_row(summaries["sft"]))
    rows += [row(*cells) for cells in _reward_cells(summaries["reward"])]
    rows.append(row("PPO", "right steps, greedy", " -> ".join(steps)))
    rows.append(row("", "share of the recording done, sampled", arrow_interval(ppo, "gold")))
    rows.append(row("", "the same, greedy", arrow_interval(ppo, "gold_greedy")))
    rows += control_rows(ppo)
    return [*rows, row("", "score, sampled", arrow(ppo["sft"]["score"], ppo["policy"]["score"]))]


def _reward_cells(summary: Summary) -> list[tuple[str, str, str]]:
    majority = f"{summary['baselines']['majority_accuracy']:.3f}"
    return [
        ("reward model", "held-out accuracy", f"{interval(summary['accuracy'])} (n = {summary['accuracy']['n']})"),
        ("", "majority class", majority),
        ("", "AUC", interval(summary["auc"])),
    ]
