"""Makes the tables of docs/results.md: runs the commands they stand on, then prints them as Markdown.

    python -m evaluation.reproduce --tables ppo,long,tasks,bundled,head,reward,full
    python -m evaluation.reproduce --tables cheaper
    python -m evaluation.reproduce --tables pass
    python -m evaluation.reproduce --tables audit
    python -m evaluation.reproduce --tables real --real PATH
    python -m evaluation.reproduce --tables taskmaster --taskmaster PATH
    python -m evaluation.reproduce --tables ui,ui-groups,ui-reward,ui-start
    python -m evaluation.reproduce --tables ui-attacks
    python -m evaluation.reproduce --tables ui-pixels
    python -m evaluation.reproduce --tables miniwob --miniwob FILE
    python -m evaluation.reproduce --tables vqa,vqa-groups,vqa-ppo,vqa-reward
    python -m evaluation.reproduce --tables nlvr --nlvr PATH
    python -m evaluation.reproduce --tables smollm --smollm PATH --real PATH --taskmaster PATH
    python -m evaluation.reproduce --tables paper,lora,algorithms,reward-metrics --minutes 60

Each run's folder says in reproduce.json which command and which weights it is of. What is finished there is taken
where both are the same, so an interrupted reproduction goes on; an unfinished run starts over, since its cost is to be
that of one process.

The last four are of many runs, whose figures are kept in docs/reproduction/. What is missing there is made, seed by
seed, and the tables are written into docs/reproduction.md, lora_factors.md, algorithms_compared.md and
reward_models.md.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from agents.setup import Setup
from evaluation.kept.algorithms import COMPARED
from evaluation.kept.lora_factors import LORA
from evaluation.kept.make import make
from evaluation.kept.paper_tables import PAPER
from evaluation.kept.reward_metrics import METRICS
from evaluation.reproduce.audit import audit_table
from evaluation.reproduce.cached_runs import EVALUATE, ROOT, Table, command, finish, show
from evaluation.reproduce.smollm import smollm_table
from evaluation.reproduce.tables import (
    Summary,
    bundled_rows,
    cost_rows,
    kind_rows,
    label_rows,
    pass_rows,
    policy_rows,
    ranked_rows,
    real_rows,
    variant_rows,
)
from evaluation.reproduce.ui import miniwob_table, ui_reward_table, ui_table
from evaluation.reproduce.ui_attacks import attacks_table
from evaluation.reproduce.ui_groups import groups_table
from evaluation.reproduce.ui_pixels import pixels_table
from evaluation.reproduce.ui_start import start_table
from evaluation.reproduce.vqa import (
    nlvr_table,
    vqa_groups_table,
    vqa_ppo_table,
    vqa_reward_table,
    vqa_runs,
    vqa_table,
)
from evaluation.reward_models import evaluate_reward_model
from perlhf.errors import UserError, did_you_mean, run_command
from perlhf.options import option, parse_options
from perlhf.run_folder import read_summary
from rewards.preferences import Pairs
from rewards.reward_model import RewardModel


@dataclass
class Options:
    """Runs what the tables of docs/results.md stand on and prints them."""

    tables: str = option(
        "ppo,long,tasks,bundled,head,reward,full",
        "which: ppo, long, tasks, bundled, head, reward, full, cheaper, audit, pass, real, taskmaster, ui, ui-reward, "
        "ui-groups, ui-start, ui-attacks, ui-pixels, miniwob, vqa, vqa-groups, vqa-ppo, vqa-reward, nlvr, smollm, "
        "paper, lora, algorithms, reward-metrics, with commas between",
    )
    output_dir: str = option("runs/reproduce", "where the runs go")
    seeds: str = option("0,1,2", "seeds of the PPO runs, with commas between")
    parallel: int = option(1, "commands at a time, one thread each; with 1 the seconds are comparable", low=1)
    real: str = option("", "HH-RLHF's own file or folder, for the table 'real'")
    taskmaster: str = option("", "the folder of the Taskmaster reward files, for the table 'taskmaster'")
    miniwob: str = option("", "recordings that were converted from MiniWoB++'s, for the table 'miniwob'")
    nlvr: str = option("", "NLVR's own folder, for the table 'nlvr'")
    smollm: str = option("", "the folder of SmolLM2-135M-Instruct, for the table 'smollm'")
    minutes: float | None = option(
        None, "with the last four tables: begin no further run after so many minutes; 0 writes the pages alone", low=0
    )
    quick: bool = option(False, "a few steps of everything, to see that it runs; in OUTPUT_DIR/quick")


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.reproduce")
    names = options.tables.split(",")
    for name in names:
        if name not in {*TABLES, *KEPT}:
            raise UserError(f"unknown table {name!r}.{did_you_mean(name, {*TABLES, *KEPT})}")
    until = math.inf if options.minutes is None else time.monotonic() + 60 * options.minutes
    for name in names:
        if name in KEPT:
            make(name, KEPT[name], options, until)
        else:
            show(TABLES[name](options), options.parallel)


# The tables.


def ppo_table(options: Options) -> Table:
    """Defines the table of the demo, with several seeds."""
    runs = {
        f"seed {seed}": command(options, f"ppo-{seed}", "agents.train_ppo", "--env", "HH-v0", "--seed", seed)
        for seed in options.seeds.split(",")
    }
    return Table("PPO on HH-v0: policy beside SFT on held-out prompts", runs, policy_rows)


def long_table(options: Options) -> Table:
    """Defines the table of the demo with three times its updates: does the reward model hold?"""
    words = ("agents.train_ppo", "--env", "HH-v0", *BEFORE, "--total-timesteps", 3 * 3072)
    runs = {
        f"seed {seed}": command(options, f"long-{seed}", *words, "--seed", seed) for seed in options.seeds.split(",")
    }
    return Table("Three times the updates against the same reward model", runs, policy_rows)


# What tables of before today's recipes stand on: adapters on attention in all layers, as in the paper.
_LEARNED_BY = ("--lora-targets", "attention", "--gae-lambda", 0.95, "--kl-coef", 0.1)
BEFORE = (*_LEARNED_BY, "--lora-layers", "all")
TEXT_TASKS: dict[str, tuple[str, ...]] = {
    "TLDR": ("--env", "TLDR-v0"),
    "BOLT": ("--env", "BOLT-v0"),
    "SHP": ("--env", "SHP-v0"),
    "Taskmaster coffee": ("--env", "Taskmaster-v0", "--env-options", "domain=coffee"),
    "Taskmaster ticketing": ("--env", "Taskmaster-v0", "--env-options", "domain=ticketing"),
}
EVAL_PROMPTS = {task: 1000 for task in TEXT_TASKS if task != "SHP"}


def tasks_table(options: Options) -> Table:
    """Defines the table of the other text tasks, each with several seeds."""
    runs = {}
    for task, words in TEXT_TASKS.items():
        prompts = ("--eval-prompts", EVAL_PROMPTS[task]) if task in EVAL_PROMPTS else ()
        for seed in options.seeds.split(","):
            name = f"{task.lower().replace(' ', '-')}-{seed}"
            run = command(options, name, "agents.train_ppo", *words, *prompts, "--seed", seed)
            runs[f"{task}, seed {seed}"] = run
    title = "PPO on the other text tasks: policy beside SFT on held-out prompts"
    return Table(title, runs, lambda summaries: [*policy_rows(summaries), "", *kind_rows(summaries)])


def bundled_table(options: Options) -> Table:
    """Defines the table of the bundled reward models, from the summaries of their training; TL;DR's on BOLT too."""
    title = "The bundled reward models on held-out records"
    return Table(title, {}, lambda _: bundled_rows({**bundled_summaries(), "tldr, on BOLT-v0": summary_on_bolt()}))


def bundled_summaries() -> dict[str, Summary]:
    """Returns summary.json of every bundled reward model, by name."""
    files = sorted((ROOT / "rewards" / "bundled").glob("*/summary.json"))
    return {file.parent.name: read_summary(file.parent) for file in files}


def summary_on_bolt() -> Summary:
    """TL;DR's reward model on pairs of BOLT, of which it has seen none."""
    train, test = Setup.of("BOLT-v0").feedback("train", "test")
    model = RewardModel.load(ROOT / "rewards" / "bundled" / "tldr")
    report = evaluate_reward_model(model, Pairs(), test, train.records[:4000], test.records[:2000])
    return {**report, "log_prob_weight": model.log_prob_weight}


def reward_table(options: Options) -> Table:
    """Reward models by rank, and full tuning; the head alone, as in the paper."""
    module, amounts = "rewards.train_reward_model", ("--pairs", 4000, "--policy-pairs", 2000)
    base = (module, "--env", "HH-v0", "--log-prob-weight", 0, *amounts)
    variants = {**{f"LoRA {r}": ("--lora-rank", r) for r in (1, 4, 16)}, "full": ("--full",)}
    runs = {name: command(options, f"reward-{name.replace(' ', '-')}", *base, *v) for name, v in variants.items()}
    return Table("Reward models: LoRA beside full, 4,000 pairs and 2,000 of the policy's samples", runs, ranked_rows)


def head_table(options: Options) -> Table:
    """Defines the table of what the response's log-probability adds to the head."""
    module, amounts = "rewards.train_reward_model", ("--pairs", 4000, "--policy-pairs", 2000)
    runs = {
        f"w = {weight}": command(
            options, f"head-tldr-{weight}", module, *TEXT_TASKS["TLDR"], *amounts, "--log-prob-weight", weight
        )
        for weight in (0, 0.1)
    }
    return Table("TLDR-v0's reward model: head + w * log p(response), 4,000 pairs and 2,000 samples", runs, ranked_rows)


def full_table(options: Options) -> Table:
    """Defines the table of the demo with LoRA and with full tuning."""
    runs = {
        name: command(options, f"cost-{name}", "agents.train_ppo", "--env", "HH-v0", *words)
        for name, words in {"LoRA 8": BEFORE, "full": (*BEFORE, "--full")}.items()
    }
    return Table("PPO: LoRA beside full, the same turns and the same reward model", runs, cost_rows)


CHEAPER: dict[str, tuple[str, ...]] = {
    "plain": (),
    "--value-adapter shared": ("--value-adapter", "shared"),
    "--lora-layers half": ("--lora-layers", "half"),
    "--precision mixed": ("--precision", "mixed"),
    "all three": ("--value-adapter", "shared", "--lora-layers", "half", "--precision", "mixed"),
    "all three, a quarter": ("--value-adapter", "shared", "--lora-layers", "quarter", "--precision", "mixed"),
}


def cheaper_table(options: Options) -> Table:
    """Defines the table of the demo with what saves time and memory: does it still learn?"""
    runs = {
        f"{name}, seed {seed}": command(
            options,
            f"cheaper-{name.replace(' ', '-').replace(',', '').strip('-')}-{seed}",
            *("agents.train_ppo", "--env", "HH-v0", *(_LEARNED_BY if "--lora-layers" in words else BEFORE), *words),
            *("--seed", seed),
        )
        for name, words in CHEAPER.items()
        for seed in options.seeds.split(",")
    }
    return Table("PPO on HH-v0 with what saves time and memory", runs, variant_rows)


def pass_table(options: Options) -> Table:
    """Defines the table of pass@k: the runs of `ppo`, `tasks`, `ui` and `vqa`, each evaluated again with samples."""
    of_tables = {"HH": ppo_table(options).runs, "": tasks_table(options).runs, "UINav": ui_table(options).runs}
    trained = {
        ", ".join(filter(None, (task, name))): run
        for task, of_table in {**of_tables, "VQAv2": vqa_runs(options)}.items()
        for name, run in of_table.items()
    }
    runs = {}
    for name, run in trained.items():
        finish(run)
        words = (EVALUATE, "--run", run.folder, "--prompts", 200, "--samples", 16, "--show", 0)
        runs[name] = command(options, f"pass-{run.folder.name}", *words)
    return Table("pass@k at T = .7 on 200 held-out episodes: SFT and policy", runs, pass_rows)


def real_table(options: Options) -> Table:
    """Defines the table of the whole chain on the real corpus."""
    if not options.real:
        raise UserError("the table 'real' needs --real PATH, HH-RLHF's jsonl(.gz) file or folder.")
    data = ("--env", "HH-v0", "--data", options.real)
    sft = command(options, "real-sft", "agents.train_sft", *data, "--config", "recipes/sft/HH-v0-real.yaml")
    finish(sft)
    backbone, words = ("--backbone", sft.folder / "backbone"), ("--log-prob-weight", 0, "--epochs", 2)
    reward = command(options, "real-reward", "rewards.train_reward_model", *data, *backbone, *words)
    finish(reward)
    against = (*BEFORE, "--reward", reward.folder, "--total-timesteps", 1280)
    ppo = command(options, "real-ppo", "agents.train_ppo", *data, *backbone, *against)
    return Table("Anthropic's own pairs", {"sft": sft, "reward": reward, "ppo": ppo}, real_rows)


def taskmaster_table(options: Options) -> Table:
    """Pointwise reward models on the real files."""
    if not options.taskmaster:
        raise UserError("the table 'taskmaster' needs --taskmaster PATH, the folder of the reward files.")
    module, runs = "rewards.train_reward_model", {}
    for task in ("Taskmaster coffee", "Taskmaster ticketing"):
        words = (*TEXT_TASKS[task], "--data", options.taskmaster, "--epochs", 3)
        runs[task] = command(options, f"real-{task.split()[1]}", module, *words)
    return Table("Taskmaster's own labels, split by the dialog's first user turn", runs, label_rows)


TABLES: dict[str, Callable[[Options], Table]] = {
    "ppo": ppo_table,
    "long": long_table,
    "tasks": tasks_table,
    "bundled": bundled_table,
    "head": head_table,
    "reward": reward_table,
    "full": full_table,
    "cheaper": cheaper_table,
    "pass": pass_table,
    "audit": audit_table,
    "real": real_table,
    "taskmaster": taskmaster_table,
    "ui": ui_table,
    "ui-groups": groups_table,
    "ui-reward": ui_reward_table,
    "ui-start": start_table,
    "ui-attacks": attacks_table,
    "ui-pixels": pixels_table,
    "miniwob": miniwob_table,
    "vqa": vqa_table,
    "vqa-groups": vqa_groups_table,
    "vqa-ppo": vqa_ppo_table,
    "vqa-reward": vqa_reward_table,
    "nlvr": nlvr_table,
    "smollm": smollm_table,
}
# Whose figures are in the repository.
KEPT = {"paper": PAPER, "lora": LORA, "algorithms": COMPARED, "reward-metrics": METRICS}


if __name__ == "__main__":
    run_command(main)
