"""Errors that are the user's to mend: one line that says what was given, what was expected, what to do."""

import difflib
import io
import re
import sys
from collections.abc import Callable, Iterable

from perlhf import stopping


class UserError(ValueError):
    """A mistake in what was given. Commands print its one line and exit with 2, without a traceback."""


class DataError(UserError):
    """A data file that cannot be read as what it should be; the message starts with FILE:LINE."""


class RewardError(UserError):
    """A reward that cannot be found, or that returned something which is not one finite number per turn."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' Did you mean 'x'?' with the nearest known name, or the list of names where none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f" Did you mean {near[0]!r}?"
    return f" Known: {', '.join(names)}." if names else ""


def run_command(main: Callable[[], None]) -> None:
    """Runs a command's `main`; a mistake of the user's, a fault of the disk's or a lack of memory is a line on stderr.

    Its exit status is 2 of a mistake, 1 of a fault, and 128 + the number of a signal that ends it. What it prints is
    there line by line, in a log file too.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    try:
        with stopping.at_once():
            main()
    except (UserError, OSError) as error:
        print(f"error: {line_of(error)}", file=sys.stderr)
        sys.exit(status_of(error))
    except KeyboardInterrupt as stopped:
        sys.exit(status_of(stopped))
    except (MemoryError, RuntimeError) as error:
        if not (line := out_of_memory(error)):
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(1)


def out_of_memory(error: BaseException) -> str:
    """Returns the one line of an error that there is no memory left for an array or a tensor; "" of any other error.

    torch raises a RuntimeError of it on a CPU, a kind of its own on a GPU, and numpy a MemoryError.
    """
    lacking = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    if not lacking and "can't allocate memory" not in str(error):
        return ""
    found = re.search(r"(?:tried|Tried|Unable) to allocate ([\d.]+ \w+)", str(error))
    return (
        f"out of memory{f', {found[1]} were asked for' if found else ''}; ask for less: a smaller --micro-batch-size, "
        "--batch-size or --n-envs, shorter --max-prompt-tokens, or --gradient-checkpointing. A run with checkpoints "
        "goes on with --resume."
    )


def status_of(error: BaseException) -> int:
    """Returns what a command leaves with that ends by this error."""
    if isinstance(error, UserError):
        return 2
    if isinstance(error, KeyboardInterrupt):
        return getattr(error, "status", 130)
    return 1


def line_of(error: UserError | OSError) -> str:
    """Returns the one line that a command prints of a mistake: of one of the disk's with the name of the file."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else one_line(error)
    return str(error)


def one_line(error: BaseException) -> str:
    """Returns the first line of an error's message; its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
