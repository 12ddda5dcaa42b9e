"""Measures what policies reach that know a shortcut and not the task."""

from collections.abc import Iterable, Iterator

from envs.task import Scored
from evaluation.metrics import Interval, bootstrap_mean, group_means


def shortcut_means(scores: Iterable[Scored]) -> Iterator[tuple[str, dict[str, Interval]]]:
    """Yields the name of each policy and its mean gold by group of episodes, with intervals.

    Beside them, where there is one, the verdict of the official script on all episodes.
    """
    for each in scores:
        officially = {"all, official script": bootstrap_mean(each.officials)} if each.officials else {}
        yield each.name, group_means(each.golds, each.groups) | officially
