"""Writes docs/map.md, the tree of the repository, from the first line of every file's docstring or comment.

Run it with `make map`. A test compares the page with what this makes.
"""

import ast
import textwrap
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "map.md"
FOLDERS = ("perlhf", "recipes", "envs", "backbones", "rewards", "agents", "evaluation", "integrations", "examples",
           "benchmarks")  # fmt: skip
HEAD = """# Map

Every file with the first line that it says of itself. `make map` writes this page; nobody edits it. The packages stand
here from the lowest floor to the highest ([architecture.md](architecture.md#floors)).
"""


def page() -> str:
    """Returns the text of docs/map.md."""
    return HEAD + "".join(section(folder) for name in FOLDERS for folder in folders(ROOT / name))


def folders(top: Path) -> Iterator[Path]:
    """Yields a folder and those inside it that hold Python or YAML files, each before what it holds."""
    if not top.is_dir():
        return
    if any(files(top)):
        yield top
    for folder in sorted(path for path in top.iterdir() if path.is_dir()):
        yield from folders(folder)


def files(folder: Path) -> Iterator[Path]:
    """Yields the files of a folder that say what they are: modules, and recipes; not the configs of shipped models."""
    recipes = folder.relative_to(ROOT).parts[0] == "recipes"
    kinds = (".py", ".yaml") if recipes else (".py",)
    yield from sorted(path for path in folder.iterdir() if path.suffix in kinds)


def section(folder: Path) -> str:
    """Returns a folder's heading, what its `__init__.py` says, and a line for each other file."""
    name = folder.relative_to(ROOT).as_posix()
    init = folder / "__init__.py"
    about = wrapped(first_line(init)) if init.is_file() else ""
    lines = "\n".join(wrapped(f"- `{path.name}`: {first_line(path)}") for path in files(folder) if path != init)
    return "".join(f"\n{part}\n" for part in (f"## [{name}/](../{name})", about, lines) if part)


def wrapped(text: str) -> str:
    """Returns a line broken at 120 columns."""
    return textwrap.fill(text, 120, subsequent_indent="  " if text.startswith("-") else "", break_on_hyphens=False)


def first_line(path: Path) -> str:
    """Returns the first line of a module's docstring, or the first sentence of a YAML file's opening comment."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yaml":
        comment = takewhile(lambda line: line.startswith("#"), text.splitlines())
        return " ".join(line.strip("# ") for line in comment).partition(". ")[0].rstrip(".") + "."
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0].strip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
