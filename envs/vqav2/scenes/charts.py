"""Charts of miniature VQA: bars and pies of coloured parts, and the questions about them (level 4)."""

from collections.abc import Callable
from typing import NamedTuple

from envs.vqav2.scenes.families import YES_NO, Family, Posed, Words, numbers, yes
from envs.vqav2.scenes.scene import COLORS, FOLDS, Draw, is_unseen

HIGHEST = 6  # value of a bar
EIGHTHS = 8  # parts of a pie
_BARS, _SLICES = 0, 1  # numbers of the kinds of chart, which decide what colours of theirs are held out


class Part(NamedTuple):
    """A bar or a slice. `value` is a height from 1 to 6, or a number of eighths."""

    color: str
    value: int


class BarChart(NamedTuple):
    """Bars from left to right, each of another colour and height."""

    parts: tuple[Part, ...]

    @property
    def fold(self) -> int:
        """Returns the quarter of all charts that this one is in."""
        return _fold(self.parts)


class PieChart(NamedTuple):
    """Slices clockwise from the top, each of another colour; one is the biggest, and the eighths add up."""

    parts: tuple[Part, ...]

    @property
    def fold(self) -> int:
        """Returns the quarter of all charts that this one is in."""
        return _fold(self.parts)


Chart = BarChart | PieChart


def _fold(parts: tuple[Part, ...]) -> int:
    # Weights by place, so that what two parts exchange counts.
    return sum((2 * i + 1) * COLORS.index(p.color) + (i + 1) * p.value for i, p in enumerate(parts)) % FOLDS


_PALETTES = [
    [tuple(c for c in COLORS if is_unseen(c, kind) is held) for held in (False, True)] for kind in (_BARS, _SLICES)
]  # [kind][held out]
_SHARES = {
    2: ((5, 3), (6, 2), (7, 1)), 3: ((4, 3, 1), (5, 2, 1)), 4: ((3, 2, 2, 1), (4, 2, 1, 1), (5, 1, 1, 1)),
    5: ((3, 2, 1, 1, 1), (4, 1, 1, 1, 1)),
}  # fmt: skip
# Parts of eight of which the first is more than half.
_MAJORITIES = ((5, 3), (6, 2), (7, 1), (5, 2, 1), (6, 1, 1), (5, 1, 1, 1))


def caption(chart: Chart) -> str:
    """Describes the chart: "bars: red 3, blue 5", "pie: red 5, blue 3"."""
    kind = "bars" if isinstance(chart, BarChart) else "pie"
    return f"{kind}: " + ", ".join(f"{part.color} {part.value}" for part in chart.parts)


def _draw_colors(draw: Draw, kind: int, count: int) -> list[str]:
    """Different colours; the first two are held out of training where `draw.unseen`."""
    seen, held_out = _PALETTES[kind]
    if draw.unseen:
        return [*draw.some(held_out, 2), *draw.some(seen, count - 2)]
    return draw.some(seen, count)


def _bars(draw: Draw, count: int) -> list[Part]:
    colors, values = _draw_colors(draw, _BARS, count), draw.some(range(1, HIGHEST + 1), count)
    return [Part(color, value) for color, value in zip(colors, values, strict=True)]


def _slices(draw: Draw, shares: tuple[int, ...]) -> list[Part]:
    colors = _draw_colors(draw, _SLICES, len(shares))
    return [Part(color, value) for color, value in zip(colors, shares, strict=True)]


def _exchanged(parts: list[Part], one: int, two: int) -> list[Part]:
    """Returns the parts with the values of two exchanged."""
    new = list(parts)
    new[one], new[two] = parts[one]._replace(value=parts[two].value), parts[two]._replace(value=parts[one].value)
    return new


def _repainted(parts: list[Part], draw: Draw, kind: int) -> list[Part]:
    """Returns the parts with another colour for the last, which of three or more is never asked about."""
    if len(parts) < 3:
        return parts
    free = [color for color in _PALETTES[kind][0] if color not in {part.color for part in parts[:-1]}]
    return [*parts[:-1], parts[-1]._replace(color=draw.pick(free))]


def _posed(words: Words, draw: Draw, kind: int, parts: list[Part], edit: Callable[[Draw], list[Part]]) -> Posed:
    """Returns a question about the parts in a random order, which the edited parts keep."""
    order = draw.some(range(len(parts)), len(parts))
    chart = (BarChart, PieChart)[kind]

    def arranged(some: list[Part]) -> Chart:
        return chart(tuple(some[i] for i in (*order, *range(len(order), len(some))) if i < len(some)))

    return Posed(words, arranged(parts), lambda d: arranged(_repainted(edit(d), d, kind)))


# Pairs of charts


def _pose_extreme(draw: Draw) -> Posed:
    parts, word = _bars(draw, 3 + draw.below(2)), draw.pick(("tallest", "shortest"))
    values = [part.value for part in parts]
    first = values.index(max(values) if word == "tallest" else min(values))
    parts = _exchanged(parts, 0, first) if first else parts
    return _posed({"word": word}, draw, _BARS, parts, lambda d: _exchanged(parts, 0, 1))


def _pose_value(draw: Draw) -> Posed:
    parts = _bars(draw, 3 + draw.below(2))

    def edit(d: Draw) -> list[Part]:
        value = d.other(range(1, HIGHEST + 1), *(part.value for part in parts))
        return [parts[0]._replace(value=value), *parts[1:]]

    return _posed({"color": parts[0].color}, draw, _BARS, parts, edit)


def _pose_taller(draw: Draw) -> Posed:
    parts = _bars(draw, 3 + draw.below(2))
    if parts[0].value < parts[1].value:
        parts = _exchanged(parts, 0, 1)
    words = {"color": parts[0].color, "other": parts[1].color}
    return _posed(words, draw, _BARS, parts, lambda d: _exchanged(parts, 0, 1))


def _pose_count_taller(draw: Draw) -> Posed:
    parts = _bars(draw, 4)

    def ranked(some: list[Part], rank: int) -> list[Part]:
        """Returns the values exchanged such that the first part is number `rank` from the top."""
        value = sorted((part.value for part in some), reverse=True)[rank]
        at = [part.value for part in some].index(value)
        return _exchanged(some, 0, at) if at else some

    count = draw.below(4)
    parts = ranked(parts, count)
    return _posed({"color": parts[0].color}, draw, _BARS, parts, lambda d: ranked(parts, d.other(range(4), count)))


def _pose_count_bars(draw: Draw) -> Posed:
    parts, count = _bars(draw, 5), 2 + draw.below(4)
    return _posed({}, draw, _BARS, parts[:count], lambda d: parts[: d.other(range(2, 6), count)])


def _pose_count_slices(draw: Draw) -> Posed:
    colors, count = _draw_colors(draw, _SLICES, 5), 2 + draw.below(4)

    def sliced(d: Draw, wanted: int) -> list[Part]:
        return [Part(color, value) for color, value in zip(colors, d.pick(_SHARES[wanted]), strict=False)]

    return _posed({}, draw, _SLICES, sliced(draw, count), lambda d: sliced(d, d.other(range(2, 6), count)))


def _pose_biggest(draw: Draw) -> Posed:
    parts = _slices(draw, draw.pick((*_SHARES[3], *_SHARES[4])))
    return _posed({}, draw, _SLICES, parts, lambda d: _exchanged(parts, 0, 1))


def _pose_bigger(draw: Draw) -> Posed:
    parts = _slices(draw, draw.pick((*_SHARES[3], *_SHARES[4])))
    words = {"color": parts[0].color, "other": parts[1].color}
    return _posed(words, draw, _SLICES, parts, lambda d: _exchanged(parts, 0, 1))


def _pose_half(draw: Draw) -> Posed:
    parts = _slices(draw, draw.pick(_MAJORITIES))
    return _posed({"color": parts[0].color}, draw, _SLICES, parts, lambda d: _exchanged(parts, 0, 1))


# The programs


def _values(chart: Chart) -> dict[str, int]:
    return {part.color: part.value for part in chart.parts}


def _extreme(chart: Chart, words: Words) -> str:
    choose = min if words.get("word") == "shortest" else max
    return choose(chart.parts, key=lambda part: part.value).color


def _is_more(chart: Chart, words: Words) -> str:
    values = _values(chart)
    return yes(values[words["color"]] > values[words["other"]])


def _count_taller(chart: Chart, words: Words) -> str:
    values = _values(chart)
    return str(sum(value > values[words["color"]] for value in values.values()))


def _count(chart: Chart, words: Words) -> str:
    return str(len(chart.parts))


FAMILIES: tuple[Family, ...] = (
    Family(
        "color of extreme bar", 4, "other",
        (
            "What color is the {word} bar?", "What is the color of the {word} bar?",
            "Which color does the {word} bar have?",
        ),
        COLORS, _pose_extreme, _extreme,
    ),
    Family(
        "value of bar", 4, "number",
        ("What number is the {color} bar?", "How tall is the {color} bar?", "What is the value of the {color} bar?"),
        numbers(1, HIGHEST), _pose_value, lambda chart, words: str(_values(chart)[words["color"]]),
    ),
    Family(
        "taller bar", 4, "yes/no",
        (
            "Is the {color} bar taller than the {other} bar?", "Does the {color} bar rise above the {other} bar?",
            "Is the {color} bar higher than the {other} one?",
        ),
        YES_NO, _pose_taller, _is_more,
    ),
    Family(
        "count of taller bars", 4, "number",
        (
            "How many bars are taller than the {color} bar?", "How many bars are higher than the {color} one?",
            "What number of bars is taller than the {color} bar?",
        ),
        numbers(0, 3), _pose_count_taller, _count_taller,
    ),
    Family(
        "count of bars", 4, "number",
        ("How many bars are there?", "How many bars does the chart have?", "What number of bars is in the chart?"),
        numbers(2, 5), _pose_count_bars, _count,
    ),
    Family(
        "count of slices", 4, "number",
        ("How many slices are there?", "How many slices does the pie have?", "What number of slices is in the pie?"),
        numbers(2, 5), _pose_count_slices, _count,
    ),
    Family(
        "color of biggest slice", 4, "other",
        (
            "What color is the biggest slice?", "What is the color of the biggest slice?",
            "Which color has the biggest slice?",
        ),
        COLORS, _pose_biggest, _extreme,
    ),
    Family(
        "bigger slice", 4, "yes/no",
        (
            "Is the {color} slice bigger than the {other} slice?",
            "Does the {color} slice look bigger than the {other} one?",
            "Is there more {color} than {other} in the pie?",
        ),
        YES_NO, _pose_bigger, _is_more,
    ),
    Family(
        "more than half", 4, "yes/no",
        (
            "Is more than half of the pie {color}?", "Is the {color} slice more than half of the pie?",
            "Does the {color} slice fill more than half of the pie?",
        ),
        YES_NO, _pose_half, lambda chart, words: yes(2 * _values(chart)[words["color"]] > EIGHTHS),
    ),
)  # fmt: skip
