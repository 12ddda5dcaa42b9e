"""Tells a user whose file is in the way where another package has one of our top-level names.

`agents`, `envs` and the others are common words: the distribution openai-agents owns an `agents` too, and so may a
folder beside a script. Python takes what it finds first, and pip lets one distribution write over the other's files.
Without this check either ends in an ImportError that names no cause.
"""

import os
from importlib.machinery import ModuleSpec
from importlib.util import find_spec

PACKAGES = ("agents", "backbones", "envs", "evaluation", "rewards")

# In the `__init__.py` of each of our packages, and in nobody else's: how a file that was written over is recognized.
MARK = b"import perlhf"

REINSTALL = "pip install --force-reinstall --no-deps perlhf"


def check_packages() -> None:
    """Checks, without importing them, that the names in `PACKAGES` lead to our own packages.

    It runs at the first import of anything of ours, and takes less than a millisecond where all is well.

    Raises:
        ImportError: one does not; its one line says whose file is in the way and what to do.
    """
    home = os.path.dirname(os.path.dirname(__file__))
    for name in PACKAGES:
        problem = _problem(name, os.path.join(home, name))
        if problem:
            raise ImportError(problem, name=name)


def _problem(name: str, folder: str) -> str | None:
    """Returns what is wrong with a package that should lie in `folder`, or None."""
    try:
        spec = find_spec(name)
    except ValueError:  # a module without a spec, as put into sys.modules by hand: a mock
        return None
    if spec is None or spec.origin is None:  # no such package, or folders without an `__init__.py`
        folders = list(spec.submodule_search_locations or ()) if spec else []
        if folders and not any(_same(other, folder) for other in folders):
            return _hidden(name, folders[0])
        return (
            f"perlhf's package {name!r} is damaged: {os.path.join(folder, '__init__.py')} is missing, as it is after "
            f"another package with this name was uninstalled. Reinstall perlhf: {REINSTALL}"
        )
    if not _same(os.path.dirname(spec.origin), folder):
        return _hidden(name, spec.origin)
    return None if _is_marked(spec) else _overwritten(name, spec.origin)


def _hidden(name: str, found: str) -> str:
    """Returns the line for a package that Python does not reach, since it finds another one first."""
    owner = _owner(found)
    if owner:
        way_out = f"Install perlhf in a virtual environment of its own, or uninstall {owner}."
    else:
        package = os.path.dirname(found) if os.path.basename(found) == "__init__.py" else found
        way_out = f"Rename {package}, or run Python from another folder."
    belongs = f" of {owner}" if owner else ""
    return f"perlhf's package {name!r} is out of reach: Python finds {found}{belongs} first. {way_out}"


def _overwritten(name: str, found: str) -> str:
    """Returns the line for a package whose `__init__.py` is no longer ours."""
    owner = _owner(found)
    return (
        f"perlhf's package {name!r} is damaged: {owner or 'another package'} wrote over {found}. Install perlhf in a "
        f"virtual environment of its own, or uninstall {owner or 'that package'} and reinstall perlhf: {REINSTALL}"
    )


def _owner(file: str) -> str | None:
    """Returns the name of the distribution that installed a file, or None where there is none but perlhf."""
    from importlib.metadata import distributions  # slow to import, and needed only where something is wrong

    package, module = os.path.split(os.path.dirname(file))[1], os.path.basename(file)
    wanted = {f"{package}/{module}", module}
    for distribution in distributions():
        for path in distribution.files or ():
            if path.as_posix() in wanted and _same(str(distribution.locate_file(path)), file):
                name = distribution.metadata["Name"]
                if name != "perlhf":
                    return name
    return None


def _is_marked(spec: ModuleSpec) -> bool:
    """Returns whether a package's file is one of ours; True where there is no source to look at."""
    file = str(spec.origin)
    if not file.endswith(".py"):
        return True
    try:
        return MARK in spec.loader.get_data(file)  # type: ignore[union-attr]  # also inside a zip file
    except (AttributeError, OSError):
        return True


def _same(one: str, other: str) -> bool:
    return one == other or os.path.realpath(one) == os.path.realpath(other)
