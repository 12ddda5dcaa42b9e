"""Goes on with a run: its options, and its folder, as the training commands do alike."""

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar

from agents.processes import digest_of_rows
from agents.setup import FitOptions, recipe_of
from backbones import group
from backbones.fit_checkpoints import FitCheckpoints
from perlhf import run_lock
from perlhf.errors import UserError
from perlhf.options import parse_options, to_yaml
from perlhf.run_folder import naming_the_file, new_run_folder, read_run_config, read_summary, write_text

Options = TypeVar("Options", bound=Any)

# An option that a command alone has, by which its run folders are known; the first that is there counts.
_KNOWN_BY = {
    "total_timesteps": "agents.train_ppo",
    "folds": "rewards.probe",
    "pairs": "rewards.train_reward_model",
    "exercises_until": "agents.pretrain",
    "records": "agents.train_sft",
}
# What may change on resume of SFT and of reward models: nothing that the weights depend on.
_MAY_CHANGE = {
    "resume", "checkpoint_every", "keep_checkpoints", "threads", "device", "eval_records", "eval_pairs", "eval_split",
}  # fmt: skip


def config_of(resume: str, command: str) -> Path:
    """Returns the file of the options of a run.

    Args:
        resume: its folder.
        command: the module that it has to be a run of.

    Raises:
        UserError: a folder without a run of that command.
    """
    folder = Path(resume)
    config = read_run_config(folder)
    found = next((name for key, name in _KNOWN_BY.items() if key in config), "another command")
    if found != command:
        article = "an" if command[0] in "aeiou" else "a"
        raise UserError(f"{folder} is a run of {found}; --resume takes the folder of {article} {command} run.")
    return folder / "config.yaml"


def resumable_options(
    kind: type[Options],
    arguments: Sequence[str] | None,
    prog: str,
    defaults: Callable[[Options], Path | None],
    may_change: Collection[str],
) -> Options:
    """Returns the options of a command that has `--resume`.

    Args:
        kind: the dataclass of the options.
        arguments: the command line; that of the process where None.
        prog: how the command is called.
        defaults: gives the file of what was not given: that of the run which goes on, else a recipe.
        may_change: options that may be others when a run goes on.

    Raises:
        UserError: with `--resume`, a change of another option; or what `defaults` refuses.
    """
    options = parse_options(kind, arguments, prog=prog, defaults=defaults)
    if options.resume is not None:
        before = parse_options(kind, [], prog=prog, defaults=lambda _: defaults(options))
        _refuse_changes(before, options, may_change)
    return options


def _refuse_changes(before: Any, after: Any, may_change: Collection[str]) -> None:
    """Refuses another value of an option that a run cannot change on the way."""
    values = {f.name: (getattr(before, f.name), getattr(after, f.name)) for f in fields(after)}
    changed = [
        f"{name} is {old!r}, got {new!r}"
        for name, (old, new) in values.items()
        if old != new and name not in may_change
    ]
    if changed:
        raise UserError(f"{after.resume} cannot change on resume: {'; '.join(changed)}. Leave it, or start a new run.")


def fit_options(kind: type[Options], arguments: Sequence[str] | None, command: str, stage: str) -> Options:
    """Returns the options of SFT or of a reward model: of a new run over its recipe, with `--resume` those of that run.

    Args:
        kind: the dataclass of the options.
        arguments: the command line; that of the process where None.
        command: the module.
        stage: of its recipes.

    Raises:
        UserError: with `--resume`, a folder without a run of this command, or a change of what the run is.
    """

    def defaults(options: Any) -> Path | None:
        return recipe_of(stage, options) if options.resume is None else config_of(options.resume, command)

    return resumable_options(kind, arguments, f"python -m {command}", defaults, _MAY_CHANGE)


def fit_folder(options: FitOptions, name: str, is_finished: Callable[[Path], bool]) -> Path:
    """Makes the folder of a new run of SFT or of a reward model, or returns that of the run that goes on.

    Args:
        options: of the command.
        name: of a run that was given no folder.
        is_finished: says whether a folder has all that a run leaves.

    Raises:
        UserError: the run is finished, or another process writes to its folder.
    """

    def begin() -> Path:
        if options.resume is None:
            return new_run_folder(options.output_dir, name, options, resumable=True)
        folder = Path(options.resume)
        run_lock.take(folder)
        if read_summary(folder) and is_finished(folder):
            raise UserError(f"{folder} is finished; start a new run.")
        write_text(folder / "config.yaml", to_yaml(replace(options, resume=None)))
        return folder

    return group.from_first(begin)


@contextmanager
def saying_how_to_go_on(folder: Path, left: Callable[[Path], str] = lambda folder: "") -> Iterator[None]:
    """Says how a run goes on that a signal or a fault of the disk ends inside.

    Args:
        folder: of the run.
        left: says what else of a stopped run is there to use.
    """
    go_on = f"go on with --resume {folder}"
    try:
        with naming_the_file(folder, f"what is saved is sound; make room, then {go_on}"):
            yield
    except KeyboardInterrupt:
        print("; ".join(filter(None, ["stopped", left(folder), go_on])), file=sys.stderr)
        raise


def checkpoints_in(
    folder: Path, options: FitOptions, rows: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> FitCheckpoints:
    """Returns the store of a run of SFT or of a reward model that learns from these rows, in this order."""
    resumes = options.resume is not None
    return FitCheckpoints(folder, options.checkpoint_every, options.keep_checkpoints, resumes, digest_of_rows(rows))
