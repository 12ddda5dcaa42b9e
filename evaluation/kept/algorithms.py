"""Algorithms side by side: the five of the one loop on text, phone and pictures. See docs/algorithms_compared.md."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agents.algorithms import ALGORITHMS
from evaluation.kept.cells import SEEDS, Cell, Experiment, Known
from evaluation.kept.paper_cells import kept_of_policy
from evaluation.kept.rows import MISSING, command_lines, count, mean_of, over, sound
from evaluation.labs.cells import table
from evaluation.metrics import interquartile_mean, interval, stratified_interval
from perlhf.run_folder import read_summary

TRIES = 16


class Task(NamedTuple):
    """Describes a task of the comparison.

    Attributes:
        words: of the command.
        judged: held-out episodes, and those on validation that SFT's temperature is chosen on.
        seconds: CPU seconds that a run and its evaluation take, about.
    """

    words: tuple[str, ...]
    judged: tuple[int, int]
    seconds: float


TASKS: Mapping[str, Task] = {
    "text": Task(("--env", "HH-v0", "--total-timesteps", "1536", "--kl-coef", "0.15"), (300, 60), 130),
    "phone": Task(
        ("--env", "UINav-v0", "--env-options", "templates=easiest,max_steps=10", "--total-timesteps", "32000",
         "--kl-coef", "0.01"), (160, 60), 670,
    ),
    "pictures": Task(
        ("--env", "VQAv2-v0", "--backbone", "tiny-vqav2-told", "--total-timesteps", "32768", "--kl-coef", "0.01",
         "--eval-every", "0", "--keep-best", "none"), (500, 100), 540,
    ),
}  # fmt: skip


def plan(known: Known, seeds: Sequence[int], quick: bool) -> list[Cell]:
    """Returns all cells; see `evaluation.kept.cells.Experiment`. Quick are two algorithms on text."""
    tasks, algorithms = (["text"], ["ppo", "grpo"]) if quick else (list(TASKS), list(ALGORITHMS))
    return [cell_of(task, algorithm, seed) for seed in seeds for task in tasks for algorithm in algorithms]


def cell_of(task: str, algorithm: str, seed: int) -> Cell:
    """Returns the run of an algorithm on a task with a seed; `evaluation.evaluate` judges it, with samples."""
    of = TASKS[task]
    words = ("agents.train_ppo", *of.words, "--algorithm", algorithm, "--eval-prompts", "0", "--seed", str(seed))
    prompts, validation = map(str, of.judged)
    then = ("--prompts", prompts, "--validation-prompts", validation, "--samples", str(TRIES), "--show", "0")
    return Cell(f"{task} {algorithm}, seed {seed}", words, kept_of, of.seconds, then=then)


def kept_of(folder: Path) -> dict[str, Any]:
    """Returns what a policy is worth, and what its tries reach."""
    tries = read_summary(folder)["pass_at"]
    passed = {side: {k: of["mean"] for k, of in tries[side].items()} for side in ("sft", "policy")}
    return {**kept_of_policy(folder), "pass_at": passed}


def room_gained(run: Mapping[str, Any]) -> float:
    """Returns which part of what SFT's samples lack the policy's have; below 0 where they are worse."""
    sft, policy = run["sft"]["gold"], run["policy"]["gold"]
    return (policy - sft) / (1 - sft) if sft < 1 else 0.0


def tables(known: Known) -> dict[str, list[str]]:
    """Returns the tables of the page by their names on it."""
    found = {task: rows_of(known, task) for task in TASKS}
    cells = [cell_of(task, algorithm, SEEDS[0]) for task in TASKS for algorithm in ALGORITHMS]
    return {"together": together_rows(known), **found, "commands": command_lines(cells)}


def runs_of(known: Known, task: str, algorithm: str) -> list[dict[str, Any]]:
    """Returns the runs of an algorithm on a task that are there."""
    return sound(known, names_of(task, algorithm))


def names_of(task: str, algorithm: str) -> list[str]:
    """Returns the names of their cells, a seed each."""
    return [cell_of(task, algorithm, seed).name for seed in SEEDS]


def together_rows(known: Known) -> list[str]:
    """Returns the interquartile mean over all runs of the part of the room that is gained, an algorithm a row."""
    rows = []
    for algorithm in ALGORITHMS:
        gained = [[room_gained(run) for run in runs_of(known, task, algorithm)] for task in TASKS]
        flat = [value for of_task in gained for value in of_task]
        if not all(gained):
            said = MISSING
        elif min(map(len, gained)) < 2:
            said = f"{interquartile_mean(flat):.3f}"
        else:
            said = interval(stratified_interval(gained, interquartile_mean))
        rows.append([algorithm, said, *(over(of_task) for of_task in gained), str(len(flat))])
    return table(["part of the room gained", "interquartile mean", *TASKS, "runs"], rows)


def rows_of(known: Known, task: str) -> list[str]:
    """Returns what each algorithm is worth on a task, and SFT."""
    head = ["", "gold, sampled", "gold, greedy", "beyond sharpening", f"pass@{TRIES}", "KL (nats)", "CPU s", "seeds"]
    rows: list[list[str]] = []
    for algorithm in ALGORITHMS:
        runs = runs_of(known, task, algorithm)
        if runs and not rows:
            sft = [over([run["sft"][key] for run in runs]) for key in ("gold", "gold_greedy")]
            rows.append(["SFT", *sft, "", over([run["pass_at"]["sft"][str(TRIES)] for run in runs]), "", "", ""])
        cells = [over([run["policy"][key] for run in runs]) for key in ("gold", "gold_greedy")]
        cells += [over([run["beyond_sharpening"]["mean"] for run in runs], with_sign=True)]
        cells += [over([run["pass_at"]["policy"][str(TRIES)] for run in runs])]
        cells += [mean_of([run["kl"] for run in runs], 2), mean_of([run["cpu_seconds"] for run in runs], 0)]
        rows.append([algorithm, *cells, count(known, names_of(task, algorithm))])
    return table(head, rows)


COMPARED = Experiment(
    "PPO, REINFORCE, RLOO, GRPO and REINFORCE++ on text, phone and pictures", "algorithms_compared.md", plan, tables
)
