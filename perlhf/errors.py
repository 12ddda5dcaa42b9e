"""Errors that are the user's to mend: one line that says what was given, what was expected, what to do."""

import difflib
import sys
from collections.abc import Callable, Iterable


class UserError(ValueError):
    """A mistake in what was given. Commands print its one line and exit with 2; they print no traceback."""


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
    """Runs a command's `main`; a `UserError` becomes one line on stderr and exit status 2."""
    try:
        main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
