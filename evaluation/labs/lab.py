"""`Lab`: what `perlhf lab` knows of an experiment."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple


class Lab(NamedTuple):
    """Describes an experiment.

    Attributes:
        what: it answers, in a line.
        minutes: that it takes of one core, and with `--quick`.
        run: runs it in a folder, from a seed, whole or quick; what is there already is kept. It writes a figure and its
            tables there, and returns the tables as lines of Markdown.
    """

    what: str
    minutes: tuple[float, float]
    run: Callable[[Path, int, bool], list[str]]
