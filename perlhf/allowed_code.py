"""Says which modules a file may name code of, such as a reward "module:name" in the config.yaml of a run folder.

Whoever types a name, or passes it in Python, asks for that code. A file may come from somebody else: what it names runs
only if its module is allowed, by `--allow-code`, by the variable PERLHF_ALLOW_CODE, by `allow_code` below, or because
the same command line names that module. Names of what perlhf ships need no permission; see SECURITY.md.
"""

import os
import re
from collections.abc import Iterable

from perlhf.errors import UserError

VARIABLE = "PERLHF_ALLOW_CODE"

_ENTRY_POINT = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_]\w*")
ALLOWED: set[str] = set()


def allow_code(modules: str | Iterable[str]) -> None:
    """Lets files name code of these modules and of those below them, in this process from now on.

    Args:
        modules: as in `import`; of a text several are joined by "+".
    """
    ALLOWED.update(_split(modules) if isinstance(modules, str) else modules)


def check_code(modules: Iterable[str], where: str, also: str | Iterable[str] = ()) -> None:
    """Refuses what a file names where its module is not allowed.

    Args:
        modules: that the file names.
        where: the file, and what stands there, in front of the message.
        also: modules that are allowed here beside those of the process.

    Raises:
        UserError: one of them is not allowed; it says how to allow it.
    """
    allowed = ALLOWED | set(_split(os.environ.get(VARIABLE, ""))) | set(_split(also) if type(also) is str else also)
    for module in sorted(modules):
        if not any(f"{module}.".startswith(f"{name}.") for name in allowed):
            raise UserError(
                f"{where} would run code of the module {module!r}, and a file may not ask for that by itself. If you "
                f"trust it, give --allow-code {module}, in Python allow_code={module!r}, or set {VARIABLE}."
            )


def module_of(value: object) -> str:
    """Returns the module of "module:name"; "" of any other value."""
    found = _ENTRY_POINT.fullmatch(value.strip()) if isinstance(value, str) else None
    return found[1] if found else ""


def _split(text: str) -> list[str]:
    return [name for name in re.split(r"[+,\s]+", text) if name]
