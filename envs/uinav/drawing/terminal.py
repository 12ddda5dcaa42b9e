"""Writes a screen in the terminal, in a frame of box-drawing characters and without escape codes."""

import unicodedata
from collections.abc import Iterator, Sequence

from envs.uinav.interface.screen import Element, Screen

_CONTAINERS = frozenset({"bar", "list", "foot", "dialog", "keyboard", "screen"})
_KEYS = "qwertyuiop asdfghjkl zxcvbnm"
_NARROWEST = 24  # columns in which a dialog still fits


def write_screen(screen: Screen, width: int = 46) -> str:
    """Writes the screen in lines of `width` columns, at least 24: a frame, the title, the numbered elements.

    Elements that stand side by side are in one line where they fit. Of what is behind a dialog only the title is
    shown. East Asian wide characters take two columns.
    """
    width = max(width, _NARROWEST)
    room = width - 4
    numbers = {id(element): number for number, element in enumerate(screen.elements, 1)}
    head = screen.app if screen.title in ("", screen.app) else f"{screen.app}: {screen.title}"
    lines = ["╭" + "─" * (width - 2) + "╮", _framed(head, room), "├" + "─" * (width - 2) + "┤"]
    parts = screen.parts or screen.elements
    dialogs = [part for part in parts if part.kind == "dialog"]
    if screen.above:
        lines.append(_framed("▲ more above", room))
    for part in dialogs or parts:
        lines += [_framed(line, room) for line in _part(part, numbers, room)]
    if screen.below:
        lines.append(_framed("▼ more below", room))
    if screen.notice:
        lines.append(_framed(f"» {screen.notice}", room))
    return "\n".join([*lines, "╰" + "─" * (width - 2) + "╯"])


def columns(text: str) -> int:
    """Columns that a text without control and combining characters takes in a terminal."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _part(part: Element, numbers: dict[int, int], room: int) -> list[str]:
    """Returns the lines of a container, or of an element that stands alone."""
    rows = list(_rows(part if part.kind in _CONTAINERS else part._replace(kind="list", children=(part,)), numbers))
    if part.kind == "dialog":
        inner = room - 4
        body = [f"│ {_padded(line, inner)} │" for row in rows for line in _joined(row, inner)]
        return ["", "┌" + "─" * (room - 2) + "┐", *body, "└" + "─" * (room - 2) + "┘", ""]
    if part.kind == "keyboard":
        keys = [cell for row in rows for cell in row]
        return ["─" * room, *_joined([_KEYS], room), *_joined(keys, room)]
    lines = [line for row in rows for line in _joined(row, room)]
    return ["─" * room, *lines] if part.kind == "foot" else lines


def _rows(part: Element, numbers: dict[int, int]) -> Iterator[list[str]]:
    """Yields what is written of the elements in a container; those that begin at the same height together."""
    row: list[str] = []
    top: int | None = None
    for element in _leaves(part):
        if element.box.top != top and row:
            yield row
            row = []
        top = element.box.top
        number = numbers.get(id(element))
        row.append(f"{'' if number is None else number:>2} {_shown(element)}")
    if row:
        yield row


def _leaves(part: Element) -> Iterator[Element]:
    for child in part.children:
        if child.kind in _CONTAINERS:
            yield from _leaves(child)
        else:
            yield child


def _shown(element: Element) -> str:
    """Returns an element without its number, in one line."""
    label, text, kind = _plain(element.label), _plain(element.text), element.kind
    on = bool(element.checked)
    if kind == "field":
        cursor = "▏" if element.focused else ""
        return f"[{_plain(element.description)}: {text}{cursor}]"
    marks = {
        "toggle": f"{'—●' if on else '○—'} {label}",
        "check": f"[{'x' if on else ' '}] {label}",
        "option": f"({'•' if on else ' '}) {label}",
        "tab": f"▔{label}▔" if on else label,
        "button": f"( {label} )",
        "key": f"( {label} )",
        "icon": f"<{label}>",
        "image": f"[image: {label}]",
    }
    return marks.get(kind, label) + ("" if element.enabled else " (disabled)")


def _plain(text: str) -> str:
    """Returns the text in one line of characters of known width."""
    kept = (" " if char.isspace() else char for char in unicodedata.normalize("NFC", text))
    return "".join(char for char in kept if unicodedata.category(char)[0] not in "CM")


def _joined(cells: Sequence[str], room: int) -> list[str]:
    """Cells side by side, as many in a line as fit; one that fits in none is folded."""
    lines: list[str] = []
    for cell in cells:
        if lines and columns(lines[-1]) + 2 + columns(cell.lstrip()) <= room:
            lines[-1] += f"  {cell.lstrip()}"
        else:
            lines.append(cell)
    return [piece for line in lines for piece in _folded(line, room)]


def _folded(line: str, room: int) -> list[str]:
    """Returns the line, or at most three for one that is too long, indented as far as its number."""
    if columns(line) <= room:
        return [line]
    number, rest = line[:3], line[3:]
    folded = [""]
    for word in rest.split(" "):
        grown = f"{folded[-1]} {word}".strip()
        if columns(grown) <= room - 3 or not folded[-1]:
            folded[-1] = grown
        else:
            folded.append(word)
    if len(folded) > 3:
        folded[2:] = [" ".join(folded[2:])]
    return [_cut((number if i == 0 else "   ") + piece, room) for i, piece in enumerate(folded)]


def _cut(text: str, room: int) -> str:
    """Returns the text, or its beginning and dots."""
    if columns(text) <= room:
        return text
    kept = ""
    for char in text:
        if columns(kept + char) > room - 1:
            break
        kept += char
    return kept + "…"


def _padded(text: str, room: int) -> str:
    shown = _cut(text, room)
    return shown + " " * (room - columns(shown))


def _framed(text: str, room: int) -> str:
    return f"│ {_padded(_plain(text), room)} │"
