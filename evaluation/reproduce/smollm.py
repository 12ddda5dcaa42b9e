"""The table of docs/results.md on SmolLM2-135M-Instruct: a language model that people have, through every stage."""

import json
from pathlib import Path
from typing import Protocol

from evaluation.metrics import interval, signed
from evaluation.reproduce.cached_runs import Table, Where, command, finish
from evaluation.reproduce.tables import CONTROL, Summary, arrow, control_cells, row, table_head
from perlhf.errors import UserError
from perlhf.run_folder import write_text

SHORT = "- reward: rewards.functions:length_penalty\n  target: 12\n"  # words; PPO's easy reward
CHEAP = ("--precision", "mixed", "--lora-targets", "attention", "--lora-layers", "quarter")
PPO = (
    *CHEAP, "--value-adapter", "shared", "--n-envs", 16, "--batch-size", 8, "--n-epochs", 4, "--schedule", "constant",
    "--kl-coef", 0.05, "--max-new-tokens", 32,
)  # fmt: skip
TALKS = {
    "its template, told to be brief": ("--env-options", "instructions=You are brief. Answer in one or two sentences."),
    "its template": (),
    "no template": ("--chat-template", "none"),
}
PAIRS = ("--pairs", 240, "--eval-pairs", 200)


class Choices(Where, Protocol):
    """The options of evaluation.reproduce that this table needs."""

    smollm: str
    real: str
    taskmaster: str


def smollm_table(options: Choices) -> Table:
    """Defines the table: probes, reward models, PPO against two rewards, the phone without any training."""
    for name, what in {"smollm": "the model's folder", "real": "HH-RLHF's file", "taskmaster": "its folder"}.items():
        if not getattr(options, name):
            raise UserError(f"the table 'smollm' needs --{name} PATH, {what}.")
    model = ("--backbone", options.smollm)
    hh = ("--env", "HH-v0", "--data", options.real, *model)
    reward = "rewards.train_reward_model"
    runs = {
        f"probe, {pairs} pairs": command(
            options, f"smollm-probe-{pairs}", "rewards.probe", *hh, "--precision", "mixed", "--pairs", pairs,
            "--max-tokens", 220, "--folds", 10,
        )
        for pairs in (200, 960)
    }  # fmt: skip
    runs["HH"] = command(options, "smollm-reward", reward, *hh, *CHEAP, *PAIRS)
    for domain in ("coffee", "ticketing"):
        words = ("--env", "Taskmaster-v0", "--env-options", f"domain={domain}", "--data", options.taskmaster)
        runs[domain] = command(options, f"smollm-{domain}", reward, *words, *model, *CHEAP, *PAIRS)
    finish(runs["probe, 960 pairs"])  # which is the reward of the second run of PPO
    easy = Path(options.output_dir) / "short.yaml"
    write_text(easy, SHORT)
    turns = ("--total-timesteps", 160, "--eval-prompts", 48)
    for name, of in {"short answers": easy, "learned reward": runs["probe, 960 pairs"].folder}.items():
        folder = f"smollm-ppo-{name.replace(' ', '-')}"
        runs[name] = command(options, folder, "agents.train_ppo", *hh, *PPO, *turns, "--reward", of)
    phone = ("--env", "UINav-v0", "--env-options", "lenient=true,max_steps=10", *model, "--precision", "mixed")
    runs["phone"] = command(
        options, "smollm-phone", "evaluation.zero_shot", *phone, "--prompts", 20, "--max-new-tokens", 24
    )
    talk = ("--reward", easy, "--prompts", 64, "--temperature", 1, "--max-new-tokens", 96, "--precision", "mixed")
    for number, (name, how) in enumerate(TALKS.items()):
        runs[name] = command(options, f"smollm-ended-{number}", "evaluation.zero_shot", *hh, *talk, *how)
    samples = {name: runs[name].folder for name in ("short answers", "learned reward")}
    return Table("SmolLM2-135M-Instruct", runs, lambda summaries: smollm_rows(summaries, samples))


def smollm_rows(summaries: dict[str, Summary], folders: dict[str, Path]) -> list[str]:
    """Returns the rows of all stages, and samples of PPO's runs in these folders."""
    probes = {name: s for name, s in summaries.items() if "cross_validated" in s}
    rewards = {name: s for name, s in summaries.items() if "baselines" in s}
    policies = {name: summaries[name] for name in folders}
    rows = [*probe_rows(probes), "", *reward_rows(rewards), "", *ppo_rows(policies), ""]
    rows += [*phone_rows(summaries["phone"]), ""]
    rows += [*ended_rows({name: summaries[name] for name in TALKS}), ""]
    for name, folder in folders.items():
        rows += [f"Before and after, {name}:", "", *sample_lines(folder), ""]
    return rows[:-1]


def probe_rows(probes: dict[str, Summary]) -> list[str]:
    """Returns accuracies of the probe beside what needs no model, on the same records, unseen in turn."""
    names = {"probe": "chosen", "TF-IDF": "tfidf", "length": "length", "log p": "log p"}
    rows = table_head("10-fold by first turn", "pairs", *names, "CPU s of states and fit")
    for name, s in probes.items():
        figures = (interval(s["cross_validated"][key]) for key in names.values())
        rows.append(row(name, str(s["pairs"]), *figures, f"{s['cpu_seconds']:.0f}"))
    return rows


def reward_rows(rewards: dict[str, Summary]) -> list[str]:
    """Returns held-out accuracies, or AUCs of labels, beside the probe that training began from, and cost."""
    rows = table_head(
        "reward model", "held out", "n", "TF-IDF", "length", "kept", "loss, probe and lowest", "CPU s", "peak MB"
    )
    for name, s in rewards.items():
        kind = "auc" if "auc" in s else "accuracy"
        base, history = s["baselines"], s["validation"]
        kept = "the probe" if s["kept_step"] is None else f"step {s['kept_step']}"
        losses = arrow(history[0]["loss"], min(each["loss"] for each in history[1:]))
        cells = [f"{kind.replace('auc', 'AUC')} {interval(s[kind])}", str(s[kind]["n"]), f"{base['tfidf']:.3f}"]
        cells += [f"{base['length']:.3f}", kept, losses, f"{s['cpu_seconds']:.0f}", f"{s['peak_rss_mb']:.0f}"]
        rows.append(row(name, *cells))
    return rows


def ppo_rows(policies: dict[str, Summary]) -> list[str]:
    """Returns what PPO moved, in the reward's own units and in standard deviations of SFT's score, and cost."""
    names = (
        "score, sampled",
        *CONTROL,
        "gain, paired",
        "in SDs",
        "KL (nats)",
        "ended",
        "tokens",
        "turns",
        "CPU s a turn",
    )
    rows = table_head("PPO", *names, "peak MB")
    for name, s in policies.items():
        sides, gain = (s["sft"], s["policy"]), s["gain"]["sampled"]
        score, ended, length = (arrow(*(side[key] for side in sides)) for key in ("score", "ended", "length"))
        cells = [
            score,
            *control_cells([s]),
            signed(gain),
            f"{gain['mean'] / s['sft']['score_sd']:.2f}",
            f"{s['kl']:.1f}",
            ended,
            length,
        ]
        cost = 1 / s["samples_per_cpu_second"]
        rows.append(row(name, *cells, str(s["turns"]), f"{cost:.2f}", f"{s['peak_rss_mb']:.0f}"))
    return rows


def phone_rows(phone: Summary) -> list[str]:
    """Returns what the model does on the phone with nothing but the instructions."""
    rows = table_head("phone, untrained", "turns", "are actions", "leniently read", "success", "CPU s a turn")
    shares = (f"{phone[name]:.3f}" for name in ("actions", "actions, leniently read"))
    cost = f"{phone['cpu_seconds'] / phone['turns']:.2f}"
    return [*rows, row(f"{phone['n']} episodes", str(phone["turns"]), *shares, interval(phone["gold"]), cost)]


def ended_rows(summaries: dict[str, Summary]) -> list[str]:
    """Returns how many sampled responses to HH's prompts end within 96 tokens, by the template."""
    rows = table_head("untrained on HH's prompts", "responses", "end within 96 tokens", "tokens")
    return rows + [row(name, str(s["n"]), f"{s['ended']:.3f}", f"{s['length']:.1f}") for name, s in summaries.items()]


def sample_lines(folder: Path, count: int = 2) -> list[str]:
    """Returns the first prompts of an evaluation with both sampled answers, a line each."""
    lines = []
    for sample in json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))["samples"][:count]:
        asked = " ".join(sample["prompt"].split())
        lines.append(f"- {asked[-160:]!r}")
        for side in ("sft", "policy"):
            said = sample[f"{side}_sampled"]
            lines.append(f"  - {side}: {' '.join(said['text'].split())!r} ({said['score']:+.2f})")
    return lines
