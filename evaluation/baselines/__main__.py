"""What a task cannot be won by: tricks against the gold judge, and against the labels.

    python -m evaluation.baselines --env HH-v0

Prints the tables of the task's page in docs/tasks/.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import gymnasium as gym
import numpy as np

from agents.setup import TaskOptions
from envs.core import task_class
from envs.corpora.records import AnyRecord, LabelledRecord, Record
from envs.registry import env_id, env_options, task_of, text_tasks
from envs.text_task import TextTask
from envs.uinav.task import UINav
from envs.vqav2.files.vqa import ANSWER_TYPES
from envs.vqav2.task import VQAv2
from evaluation.baselines.pictures import blind_rows
from evaluation.baselines.ui import template_rows, trick_rows
from evaluation.metrics import Interval, bootstrap_mean, group_means, pair_accuracy
from evaluation.reward_models import label_baselines, label_ceiling, majority_accuracy
from perlhf.errors import UserError, run_command
from perlhf.options import option, parse_options
from rewards.baselines import fit_baselines

FITTED = 4000  # training records that predictors of labels are fitted on


@dataclass
class Options(TaskOptions):
    """Scores tricks that know nothing of the task: as policies against gold, as predictors against labels."""

    group: ClassVar[str] = TaskOptions.group
    prompts: int = option(2000, "held-out records, or episodes, to score on", low=1)
    seed: int = option(0, "decides what tricks draw", low=0, high=2**32 - 1)


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.baselines")
    full_id = env_id(options.env)
    kind = task_class(gym.spec(full_id).kwargs["task"])
    if issubclass(kind, UINav):
        print_ui_tables(full_id, options)
    elif issubclass(kind, VQAv2):
        print_picture_tables(full_id, options)
    else:
        print_text_tables(full_id, options)


def print_ui_tables(full_id: str, options: Options) -> None:
    """The templates of a UI task, and what tricks reach."""
    if options.data != "miniature":
        raise UserError(f"--data {options.data}: the tables of {full_id} are of the simulated phone, 'miniature'.")
    task = task_of(full_id, **env_options(full_id, options.env_options), split="test")
    assert isinstance(task, UINav)
    print("| app | template | a goal | oracle's steps | |\n|---|---|---|---|---|")
    for row in template_rows(task):
        print(f"| {' | '.join(row)} |")
    print("\n| policy | success rate |\n|---|---|")
    for name, success in trick_rows(task, options.prompts, options.seed):
        print(f"| {name} | {show(success)} |")


def print_picture_tables(full_id: str, options: Options) -> None:
    """VQA accuracy of policies that see no picture: over all and by answer type, then by what else groups questions."""
    given = {**env_options(full_id, options.env_options), "data": options.data}
    train, test = (task_of(full_id, **given, split=split) for split in ("train", "test"))
    assert isinstance(train, VQAv2)
    assert isinstance(test, VQAv2)
    rows = dict(blind_rows(train, test, options.prompts, options.seed))
    groups = next(iter(rows.values()))
    types = [name for name in ("all", *ANSWER_TYPES, "true/false") if name in groups]
    print_means(rows, types)
    if others := [name for name in groups if name not in types]:
        print()
        print_means(rows, others)


def print_means(rows: Mapping[str, Mapping[str, Interval]], columns: Sequence[str]) -> None:
    """A table of some of the groups of each policy."""
    print(f"| policy | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
    for name, means in rows.items():
        print(f"| {name} | {' | '.join(show(means[column]) for column in columns)} |")


def print_text_tables(full_id: str, options: Options) -> None:
    """What tricks reach of gold, and what predicts the labels."""
    train, test = text_tasks(full_id, options.env_options, options.data, ("train", "test"))
    count = min(options.prompts, len(test.records))
    if test.miniature is not None:
        print("| policy | gold | words |\n|---|---|---|")
        for name, gold, words in policies(test, count, options.seed):
            print(f"| {name} | {show(gold)} | {words:.1f} |")
        print()
    if pairs := pairs_of(test.records[:count]):
        print_predictors(pairs_of(train.records[:FITTED]), pairs, label_ceiling(test, pairs))
        print_repeated(pairs_of(train.records), pairs)
    labelled = labelled_of(test.records[:count])
    if test.miniature is None and not pairs and not labelled:
        raise UserError(f"{options.data} has no judge, no preference pairs and no labels: there is nothing to compare.")
    if labelled:
        print_label_predictors(labelled_of(train.records[:FITTED]), labelled, label_ceiling(test, labelled))


def pairs_of(records: Sequence[AnyRecord]) -> list[Record]:
    """Those of the records that are preference pairs."""
    return [record for record in records if isinstance(record, Record)]


def labelled_of(records: Sequence[AnyRecord]) -> list[LabelledRecord]:
    """Those of the records that are labelled responses."""
    return [record for record in records if isinstance(record, LabelledRecord)]


def print_predictors(train: Sequence[Record], test: Sequence[Record], ceiling: float | None) -> None:
    """The table of what predicts the labels of pairs."""
    print("| predictor of the label | accuracy |\n|---|---|")
    for name, accuracy in predictors(train, test):
        print(f"| {name} | {show(accuracy)} |")
    if ceiling is not None:
        print(f"| ceiling that the label noise implies | {ceiling:.3f} |")


def print_label_predictors(
    train: Sequence[LabelledRecord], test: Sequence[LabelledRecord], ceiling: float | None
) -> None:
    """The table of what predicts the labels of single responses."""
    print("| predictor of the label | AUC | accuracy |\n|---|---|---|")
    for name, area in label_baselines(train, test).items():
        print(f"| {name} | {show(area)} | |")
    print(f"| the more frequent label | 0.500 | {majority_accuracy(test):.3f} |")
    if ceiling is not None:
        print(f"| ceiling: gold itself | {ceiling:.3f} | |")


def print_repeated(train: Sequence[Record], test: Sequence[Record]) -> None:
    """The table of what could be learned by heart."""
    print("\n| prompts | preferred answers that are word for word preferred ones of training |\n|---|---|")
    for name, share in repeated(train, test).items():
        print(f"| {name} | {show(share)} |")


def repeated(train: Sequence[Record], test: Sequence[Record]) -> dict[str, Interval]:
    """The share of preferred test responses that are also preferred in training, of all and by group of prompts."""
    known = {record.chosen for record in train}
    groups = [["all", *record.meta.get("groups", ())] for record in test]
    return group_means([record.chosen in known for record in test], groups)


def policies(task: TextTask, count: int, seed: int) -> list[tuple[str, Interval, float]]:
    """Name, gold and mean words of each shortcut on the first `count` records, and of the oracle."""
    rng = np.random.default_rng(seed)
    rows = []
    for name, answer in {**task.shortcuts(), "oracle": lambda index, rng: task.oracle(index)}.items():
        texts = [answer(index, rng) for index in range(count)]
        golds = [float(task.judge(task.turn(index, text)) or 0.0) for index, text in enumerate(texts)]
        rows.append((name, bootstrap_mean(golds), float(np.mean([len(text.split()) for text in texts]))))
    return rows


def predictors(train: Sequence[Record], test: Sequence[Record]) -> list[tuple[str, Interval]]:
    """Name and accuracy on labels of scores that see the response alone, fitted on `train`."""
    rows = []
    for name, baseline in fit_baselines(train).items():
        chosen, rejected = ([baseline(getattr(r, side)) for r in test] for side in ("chosen", "rejected"))
        rows.append((name, bootstrap_mean(pair_accuracy(chosen, rejected))))
    return rows


def show(interval: Interval) -> str:
    """A mean with its interval."""
    return f"{interval['mean']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


if __name__ == "__main__":
    run_command(main)
