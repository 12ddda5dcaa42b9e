"""Makes a page out of a template in this folder. Whatever is put into one is shown as text, and never read as HTML."""

from pathlib import Path
from typing import Any

from perlhf.errors import UserError
from perlhf.run_folder import write_text

_FOLDER = Path(__file__).parent
SHARED = (_FOLDER / "shared.css").read_text(encoding="utf-8")
THEME = (_FOLDER / "theme.js").read_text(encoding="utf-8")
NEEDED = "pip install 'perlhf[report]'"


def write_page(path: Path, template: str, **values: Any) -> None:
    """Writes a page that needs nothing else: no network, no other file.

    Args:
        path: of the file.
        template: its name in this folder.
        values: that it shows.

    Raises:
        UserError: Jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError:
        raise UserError(f"pages of runs need Jinja2: {NEEDED}") from None
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    write_text(path, environment.get_template(template).render(**values))
