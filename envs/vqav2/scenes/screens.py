"""Screens of miniature VQA: a few rows with buttons, boxes and switches, and the questions about them (level 4)."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from envs.vqav2.scenes.families import YES_NO, Family, Posed, Words, numbers, yes
from envs.vqav2.scenes.questions import only
from envs.vqav2.scenes.scene import COLORS, FOLDS, Draw, is_unseen

LABELS = tuple("Mail News Wifi Alarm Radio Photo Games Book".split())
KINDS = ("button", "box", "switch")
_PAIRS = [[(c, w) for c in COLORS for i, w in enumerate(LABELS) if is_unseen(c, i) is held] for held in (False, True)]


class Row(NamedTuple):
    """A button filled with its colour, or a box or switch outlined in it, which may be `on`. A button never is."""

    kind: str
    color: str
    label: str
    on: bool = False


class Screen(NamedTuple):
    """Two to four rows from the top; no two have the same label or colour."""

    rows: tuple[Row, ...]

    @property
    def fold(self) -> int:
        """Returns the quarter of all screens that this one is in."""
        return sum((2 * i + 1) * _code(row) for i, row in enumerate(self.rows)) % FOLDS


def _code(row: Row) -> int:
    color = COLORS.index(row.color)
    # The two colours held out with a label are four apart; repainting must be able to change the fold.
    return color + color // 4 + LABELS.index(row.label) * 2 + KINDS.index(row.kind) + row.on


def caption(screen: Screen) -> str:
    """Returns what is to be seen: "red button Mail, blue box Wifi on, green switch News off"."""
    state = {row: "" if row.kind == "button" else " on" if row.on else " off" for row in screen.rows}
    return ", ".join(f"{row.color} {row.kind} {row.label}{state[row]}" for row in screen.rows)


def _draw_row(draw: Draw, kind: str, others: Sequence[Row], on: bool | None = None) -> Row:
    """Returns a row of another colour and label than `others`."""
    while True:
        color, label = draw.pick(_PAIRS[draw.unseen])
        if all(color != row.color and label != row.label for row in others):
            break
    return Row(kind, color, label, kind != "button" and (draw.coin() if on is None else on))


def _draw_rows(draw: Draw, kinds: Sequence[str], ons: Sequence[bool | None] = ()) -> list[Row]:
    rows: list[Row] = []
    for i, kind in enumerate(kinds):
        rows.append(_draw_row(draw, kind, rows, ons[i] if ons else None))
    return rows


def _repainted(row: Row, others: Sequence[Row], draw: Draw) -> Row:
    """Returns the row in a colour of its label that no other row has."""
    taken = {other.color for other in others}
    colors = [c for c, label in _PAIRS[draw.unseen] if label == row.label and c not in taken]
    return row._replace(color=draw.pick(colors)) if colors else row


def _kinds(draw: Draw, first: str) -> list[str]:
    """Returns the kinds of three or four rows, the first one given."""
    return [first, *(draw.pick(KINDS) for _ in range(2 + draw.below(2)))]


def _posed(words: Words, draw: Draw, rows: Sequence[Row], edit: Callable[[Draw], list[Row]]) -> Posed:
    """Returns a question about the rows in a random order, which the edited rows keep; their last is repainted."""
    order = draw.some(range(len(rows)), len(rows))

    def changed(d: Draw) -> Screen:
        new = edit(d)
        new[-1] = _repainted(new[-1], new[:-1], d)
        return Screen(tuple(new[i] for i in order))

    return Posed(words, Screen(tuple(rows[i] for i in order)), changed)


# Pairs of screens


def _flipped(row: Row) -> Row:
    return row._replace(on=not row.on)


def _pose_on(draw: Draw, kind: str) -> Posed:
    """Returns a question of whether a box is checked, or a switch on."""
    rows = _draw_rows(draw, _kinds(draw, kind))
    return _posed({"label": rows[0].label}, draw, rows, lambda d: [_flipped(rows[0]), *rows[1:]])


def _pose_count_on(draw: Draw) -> Posed:
    count, total = draw.below(4), 3 + draw.below(2)
    rows = _draw_rows(draw, ["box"] * total, [i < count for i in range(total)])

    def edit(d: Draw) -> list[Row]:
        wanted = d.other(range(4), count)
        return [row._replace(on=i < wanted) for i, row in enumerate(rows)]

    return _posed({}, draw, rows, edit)


def _pose_count_buttons(draw: Draw) -> Posed:
    count, total = draw.below(4), 3 + draw.below(2)
    rows = _draw_rows(draw, ["button" if i < count else draw.pick(KINDS[1:]) for i in range(total)])

    def edit(d: Draw) -> list[Row]:
        wanted, new = d.other(range(4), count), list(rows)
        for i in range(min(count, wanted), max(count, wanted)):
            kind = "button" if wanted > count else d.pick(KINDS[1:])
            new[i] = rows[i]._replace(kind=kind, on=kind != "button" and d.coin())
        return new

    return _posed({}, draw, rows, edit)


def _pose_button(draw: Draw, asked: str) -> Posed:
    """Returns a button whose `asked` is named, "color" or "label"; the other picture changes what is not named."""
    color, label = draw.pick(_PAIRS[draw.unseen])
    if asked == "color":
        new = color, draw.pick([w for c, w in _PAIRS[draw.unseen] if c == color and w != label])
    else:
        new = draw.pick([c for c, w in _PAIRS[draw.unseen] if w == label and c != color]), label
    rows = [Row("button", color, label), Row("button", *new)]
    for _ in range(2 + draw.below(2)):
        rows.append(_draw_row(draw, draw.pick(KINDS), rows))
    first, second, *others = rows
    words = {asked: getattr(first, asked)}
    return _posed(words, draw, [first, *others], lambda d: [second, *others])


def _pose_has_button(draw: Draw) -> Posed:
    rows = _draw_rows(draw, _kinds(draw, "button"))

    def edit(d: Draw) -> list[Row]:
        return [rows[0]._replace(kind=d.pick(KINDS[1:]), on=d.coin()), *rows[1:]]

    return _posed({"label": rows[0].label}, draw, rows, edit)


def _pose_below(draw: Draw) -> Posed:
    rows = _draw_rows(draw, _kinds(draw, draw.pick(KINDS)))
    at = draw.below(len(rows) - 1)

    def edit(d: Draw) -> Screen:
        others = [row for i, row in enumerate(rows) if i != at + 1]
        new = _draw_row(d, rows[at + 1].kind, [*others, rows[at + 1]])
        return Screen((*rows[: at + 1], new, *rows[at + 2 :]))

    return Posed({"label": rows[at].label}, Screen(tuple(rows)), edit)


# The programs


def _row(screen: Screen, words: Words) -> Row:
    return only([row for row in screen.rows if row.label == words["label"]])


def _color_of_button(screen: Screen, words: Words) -> str:
    return only([row for row in screen.rows if (row.kind, row.label) == ("button", words["label"])]).color


def _label_of_button(screen: Screen, words: Words) -> str:
    return only([row for row in screen.rows if (row.kind, row.color) == ("button", words["color"])]).label.lower()


def _below(screen: Screen, words: Words) -> str:
    return screen.rows[screen.rows.index(_row(screen, words)) + 1].label.lower()


_NAMES = tuple(label.lower() for label in LABELS)
FAMILIES: tuple[Family, ...] = (
    Family(
        "box checked", 4, "yes/no",
        (
            "Is the {label} box checked?", "Is there a check mark in the {label} box?",
            "Does the {label} box have a mark?",
        ),
        YES_NO, partial(_pose_on, kind="box"), lambda screen, words: yes(_row(screen, words).on),
    ),
    Family(
        "switch on", 4, "yes/no",
        (
            "Is the {label} switch on?", "Is the switch of {label} turned on?",
            "Does the screen show the {label} switch as on?",
        ),
        YES_NO, partial(_pose_on, kind="switch"), lambda screen, words: yes(_row(screen, words).on),
    ),
    Family(
        "count of checked boxes", 4, "number",
        ("How many boxes are checked?", "How many check marks are on the screen?", "What number of boxes is checked?"),
        numbers(0, 3), _pose_count_on, lambda screen, words: str(sum(row.on for row in screen.rows)),
    ),
    Family(
        "count of buttons", 4, "number",
        (
            "How many buttons are there?", "How many buttons does the screen have?",
            "What number of buttons is on the screen?",
        ),
        numbers(0, 3), _pose_count_buttons,
        lambda screen, words: str(sum(row.kind == "button" for row in screen.rows)),
    ),
    Family(
        "color of button", 4, "other",
        (
            "What color is the {label} button?", "What is the color of the {label} button?",
            "Which color does the {label} button have?",
        ),
        COLORS, partial(_pose_button, asked="label"), _color_of_button,
    ),
    Family(
        "label of button", 4, "other",
        (
            "What does the {color} button say?", "What is the name on the {color} button?",
            "Which word is on the {color} button?",
        ),
        _NAMES, partial(_pose_button, asked="color"), _label_of_button,
    ),
    Family(
        "has button", 4, "yes/no",
        (
            "Is there a button for {label}?", "Does the screen have the {label} button?",
            "Can you see the {label} button?",
        ),
        YES_NO, _pose_has_button, lambda screen, words: yes(_row(screen, words).kind == "button"),
    ),
    Family(
        "row below", 4, "other",
        ("What is right below {label}?", "What is the word right below {label}?", "Which word is right below {label}?"),
        _NAMES, _pose_below, _below,
    ),
)  # fmt: skip
