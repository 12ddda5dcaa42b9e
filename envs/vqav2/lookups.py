"""Exercises in finding what a few words name in a picture, for a small model that learns to see.

A question is answered in a word or two, which teaches little when what it is about has first to be found. A look-up
names something, and the response tells how often it is there and everything else about it: many words that can only be
told where it was found. What no thing of the picture fits is looked up as often as what some thing fits.
"""

from collections.abc import Sequence

from envs.vqav2.scenes.charts import BarChart, PieChart
from envs.vqav2.scenes.relations import SIDES, is_beside
from envs.vqav2.scenes.scene import COLORS, MATERIALS, SIZES, Draw, Scene, Thing, place_of
from envs.vqav2.scenes.screens import KINDS, LABELS, Row, Screen
from envs.vqav2.task import prompt_of

_NONE = "0"
# What is said of a thing that is looked up; colour and shape, which most questions name, more often than the rest.
_ASKED = (
    ("color",), ("shape",), ("shape",), ("color", "shape"), ("color", "shape"), ("color", "shape"), ("material",),
    ("color", "material"),
)  # fmt: skip


def look_up(picture: Scene | BarChart | PieChart | Screen, draw: Draw) -> tuple[str, str]:
    """Returns a prompt that names something, and what the picture has of it.

    Args:
        picture: what is looked at.
        draw: random choices.
    """
    if isinstance(picture, Scene):
        words, found = _in_scene(picture, draw)
    elif isinstance(picture, Screen):
        words, found = _on_screen(picture, draw)
    else:
        words, found = _in_chart(picture, draw)
    return prompt_of(f"{words}?"), found


def _counted(found: Sequence[str]) -> str:
    """Returns "2, a, b" of a and b."""
    return ", ".join([str(len(found)), *found])


def _in_scene(scene: Scene, draw: Draw) -> tuple[str, str]:
    """Things of some features, or at a side of a thing that no other has the name of."""
    things = sorted(scene.things, key=lambda thing: (thing.cell[1], thing.cell[0]))
    names = [thing.name for thing in things]
    single = [thing for thing in things if names.count(thing.name) == 1]
    if len(things) > 1 and single and draw.number() < 0.4:
        other, side = draw.pick(single), draw.pick(tuple(SIDES))
        return f"{side} the {other.name}", _counted([_told(t, ()) for t in things if is_beside(t, side, other)])
    asked, thing = draw.pick(_ASKED), draw.pick(things)
    if draw.coin():
        color, shape = draw.near(thing.color, thing.shape)
        thing = thing._replace(color=color, shape=shape, size=draw.pick(SIZES), material=draw.pick(MATERIALS))
    said = [getattr(thing, name) for name in asked]
    fitting = [t for t in things if [getattr(t, name) for name in asked] == said]
    return " ".join(said), _counted([_told(t, asked) for t in fitting])


def _told(thing: Thing, said: Sequence[str]) -> str:
    """Returns a thing's features but for those that were said, and its place."""
    features = [getattr(thing, name) for name in ("size", "color", "material", "shape") if name not in said]
    return " ".join([*features, place_of(thing)])


def _in_chart(chart: BarChart | PieChart, draw: Draw) -> tuple[str, str]:
    """A part, by its colour: its value, and the parts that are larger; or the parts of an end of the scale."""
    parts = chart.parts
    if draw.number() < 0.3:
        word = draw.pick(("tallest", "shortest") if isinstance(chart, BarChart) else ("biggest",))
        end = (min if word == "shortest" else max)(part.value for part in parts)
        return word, _counted([f"{part.color} {part.value}" for part in parts if part.value == end])
    color = draw.pick(parts).color if draw.number() < 0.8 else draw.pick(COLORS)
    own = [part.value for part in parts if part.color == color]
    if not own:
        return color, _NONE
    larger = [f"{part.color} {part.value}" for part in parts if part.value > own[0]]
    return color, f"{own[0]}, {'taller' if isinstance(chart, BarChart) else 'bigger'} {_counted(larger)}"


def _on_screen(screen: Screen, draw: Draw) -> tuple[str, str]:
    """Rows by label, colour, or kind, and by what is checked or on."""
    by = draw.pick(("label", "label", "color", "kind", "state"))
    row = draw.pick(screen.rows)
    if by == "state":
        kind, state = draw.pick(KINDS[1:]), draw.pick(("on", "off"))
        fitting = [r for r in screen.rows if r.kind == kind and r.on == (state == "on")]
        return f"{kind} {state}", _counted([f"{r.color} {r.label}" for r in fitting])
    words = {"label": LABELS, "color": COLORS, "kind": KINDS}[by]
    word = getattr(row, by) if draw.number() < 0.75 else draw.pick(words)
    fitting = [r for r in screen.rows if getattr(r, by) == word]
    return word, _counted([_row_told(screen, r) for r in fitting])


def _row_told(screen: Screen, row: Row) -> str:
    """Returns what is on a row, and what is right below it."""
    state = "" if row.kind == "button" else " on" if row.on else " off"
    below = screen.rows[screen.rows.index(row) + 1 :]
    return f"{row.color} {row.kind}{state} {row.label} above {below[0].label if below else _NONE}"
