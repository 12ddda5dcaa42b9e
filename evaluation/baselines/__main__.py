"""Score shortcuts that must not win a task, against the gold judge and against the labels.

    python -m evaluation.baselines --env HH-v0

Prints the tables of the task's page in docs/tasks/.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from agents.setup import Setup, TaskOptions
from envs.corpora.records import AnyRecord, LabelledRecord, Record
from envs.feedback import Feedback, ShortcutPolicy
from envs.task import Task
from evaluation.baselines.shortcuts import shortcut_means
from evaluation.metrics import Interval, bootstrap_mean, group_means, pair_accuracy
from evaluation.reward_models import label_baselines, label_ceiling, majority_accuracy
from perlhf.errors import UserError, run_command
from perlhf.options import option, parse_options
from rewards.baselines import fit_baselines

FITTED = 4000  # training records that predictors of labels are fitted on


@dataclass
class Options(TaskOptions):
    """Scores shortcuts that know nothing of the task: as policies against gold, as predictors against labels."""

    group: ClassVar[str] = TaskOptions.group
    prompts: int = option(2000, "held-out records, or episodes, to score on", low=1)
    seed: int = option(0, "decides what shortcuts draw", low=0, high=2**32 - 1)


def main() -> None:
    """Runs the command."""
    options = parse_options(Options, prog="python -m evaluation.baselines")
    setup = Setup.of(options.env, options.env_options, options.data, columns=options.columns)
    print_tables(setup.task("train"), setup.task("test"), options)


def print_tables(train: Task, test: Task, options: Options) -> None:
    """Prints what there is to do, what shortcuts reach of it, and of a text task what predicts its labels."""
    if (catalogue := test.catalogue()) is not None:
        print_head(*catalogue.head)
        for row in catalogue.rows:
            print_row(*row)
        print()
    scores = test.shortcut_scores(train, options.prompts, options.seed)
    if scores is None:
        print_text_tables(train, test, options)
        return
    rows = dict(shortcut_means(scores))
    for number, columns in enumerate(test.group_tables([*next(iter(rows.values()))])):
        if number:
            print()
        print_head("policy", *columns)
        for name, means in rows.items():
            print_row(name, *(show(means[column]) for column in columns))


def print_head(*names: str) -> None:
    """Prints the head of a table."""
    print_row(*names)
    print("|---" * len(names) + "|")


def print_row(*cells: str) -> None:
    """Prints a row of a table."""
    print(f"| {' | '.join(cells)} |")


def print_text_tables(train_task: Task, test_task: Task, options: Options) -> None:
    """Prints what shortcuts reach of gold, and what predicts the labels."""
    train, test = train_task.feedback(), test_task.feedback()
    if train is None or test is None:
        raise UserError(f"{options.env} has no shortcuts and no records of prompts and responses to compare.")
    count = min(options.prompts, len(test.records))
    if shortcuts := test.shortcuts():
        print_head("policy", "gold", "words")
        for name, gold, words in policies(test, shortcuts, count, options.seed):
            print_row(name, show(gold), f"{words:.1f}")
        print()
    if pairs := pairs_of(test.records[:count]):
        print_predictors(pairs_of(train.records[:FITTED]), pairs, label_ceiling(test, pairs))
        print_repeated(pairs_of(train.records), pairs)
    labelled = labelled_of(test.records[:count])
    if not shortcuts and not pairs and not labelled:
        raise UserError(f"{options.data} has no judge, no preference pairs and no labels: there is nothing to compare.")
    if labelled:
        print_label_predictors(labelled_of(train.records[:FITTED]), labelled, label_ceiling(test, labelled))


def pairs_of(records: Sequence[AnyRecord]) -> list[Record]:
    """Returns those of the records that are preference pairs."""
    return [record for record in records if isinstance(record, Record)]


def labelled_of(records: Sequence[AnyRecord]) -> list[LabelledRecord]:
    """Returns those of the records that are labelled responses."""
    return [record for record in records if isinstance(record, LabelledRecord)]


def print_predictors(train: Sequence[Record], test: Sequence[Record], ceiling: float | None) -> None:
    """Prints the table of what predicts the labels of pairs."""
    print("| predictor of the label | accuracy |\n|---|---|")
    for name, accuracy in predictors(train, test):
        print(f"| {name} | {show(accuracy)} |")
    if ceiling is not None:
        print(f"| ceiling that the label noise implies | {ceiling:.3f} |")


def print_label_predictors(
    train: Sequence[LabelledRecord], test: Sequence[LabelledRecord], ceiling: float | None
) -> None:
    """Prints the table of what predicts the labels of single responses."""
    print("| predictor of the label | AUC | accuracy |\n|---|---|---|")
    for name, area in label_baselines(train, test).items():
        print(f"| {name} | {show(area)} | |")
    print(f"| the more frequent label | 0.500 | {majority_accuracy(test):.3f} |")
    if ceiling is not None:
        print(f"| ceiling: gold itself | {ceiling:.3f} | |")


def print_repeated(train: Sequence[Record], test: Sequence[Record]) -> None:
    """Prints the table of what could be learned by heart."""
    print("\n| prompts | preferred answers that are word for word preferred ones of training |\n|---|---|")
    for name, share in repeated(train, test).items():
        print(f"| {name} | {show(share)} |")


def repeated(train: Sequence[Record], test: Sequence[Record]) -> dict[str, Interval]:
    """Returns the share of preferred test responses that are also preferred in training, by group of prompts too."""
    known = {record.chosen for record in train}
    groups = [["all", *record.meta.get("groups", ())] for record in test]
    return group_means([record.chosen in known for record in test], groups)


def policies(
    task: Feedback, shortcuts: Mapping[str, ShortcutPolicy], count: int, seed: int
) -> list[tuple[str, Interval, float]]:
    """Name, gold and mean words of each of the shortcuts on the first `count` records, and of the oracle."""
    rng = np.random.default_rng(seed)
    rows = []
    for name, answer in {**shortcuts, "oracle": lambda index, rng: task.oracle(index)}.items():
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
    """Returns a mean with its interval."""
    return f"{interval['mean']:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


if __name__ == "__main__":
    run_command(main)
