"""Describes a scene of miniature VQA, and draws one at random.

A scene is a few things on a plane: each has a colour, a shape, a size, a material and a place. Places are on a canvas
of 64 x 64 units with x to the right and y downwards; things sit in the cells of a 3 x 3 grid, so that none hides
another and left, right, above and below are never in doubt. Everything is made up.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

COLORS = tuple("red orange yellow green blue purple pink black".split())
SHAPES = tuple("circle square triangle star diamond cross heart ring".split())
SIZES = ("small", "large")
MATERIALS = tuple("rubber metal wood".split())
RADIUS = {"small": 6, "large": 9}  # units
UNITS = 64  # the side of the canvas
CELLS = [(column, row) for column in range(3) for row in range(3)]  # of the grid
_STEP, _FIRST = 21, 11  # of the grid's cells: from centre to centre, and the first centre
_JITTER = {"small": 3, "large": 1}  # units by which a thing may be off the centre of its cell
_MARGIN = 2  # units between a thing and the border
_BLOCK = 64  # random numbers asked for at a time
FOLDS = 4  # of all combinations: two for training, so that half of them are never seen there
_FOLDS_OF_SPLIT = {"test": (0,), "validation": (1,), "train": (2, 3)}

Item = TypeVar("Item")


class Thing(NamedTuple):
    """One thing; `x` and `y` are its centre in units."""

    color: str
    shape: str
    size: str
    material: str
    x: int
    y: int

    @property
    def name(self) -> str:
        return f"{self.color} {self.shape}"

    @property
    def cell(self) -> tuple[int, int]:
        """Column and row in the grid, each 0 to 2."""
        return self.x * 3 // UNITS, self.y * 3 // UNITS


class Scene(NamedTuple):
    """Things, none of which overlaps another; their order means nothing."""

    things: tuple[Thing, ...]

    @property
    def fold(self) -> int:
        """Returns the quarter of all scenes that this one is in, wherever its things are; see `in_split`."""
        return sum(_CODES[thing[:4]] for thing in self.things) % FOLDS


# For any colour and shape the sizes and materials reach all four folds, so no fold lacks a colour of a shape.
_CODES = {
    (color, shape, size, material): c + s + 2 * z + m
    for c, color in enumerate(COLORS)
    for s, shape in enumerate(SHAPES)
    for z, size in enumerate(SIZES)
    for m, material in enumerate(MATERIALS)
}


def in_split(fold: int, split: str) -> bool:
    """Returns whether pictures of `fold` belong to `split`: half of what can be shown is for training."""
    return fold in _FOLDS_OF_SPLIT[split]


def is_unseen(color: str, partner: int) -> bool:
    """Returns whether a colour with shape (or label, or kind of chart) number `partner` is held out of training."""
    return COLORS.index(color) % 4 == partner % 4


_PAIRS = [[(c, s) for c in COLORS for i, s in enumerate(SHAPES) if is_unseen(c, i) is held] for held in (False, True)]
SHAPES_WITH = [{c: tuple(s for d, s in pairs if d == c) for c in COLORS} for pairs in _PAIRS]  # [unseen][color]
COLORS_WITH = [{s: tuple(c for c, t in pairs if t == s) for s in SHAPES} for pairs in _PAIRS]  # [unseen][shape]


class Draw:
    """Random choices from one generator, and the things made of them.

    Attributes:
        unseen: whether things are made of the combinations of colour and shape held out of training, or of the others.
    """

    def __init__(self, rng: np.random.Generator, unseen: bool = False) -> None:
        self.unseen = unseen
        self._rng = rng
        self._numbers: list[float] = []

    def number(self) -> float:
        """Uniform in [0, 1). Drawn in blocks, since one call of the generator costs as much as sixty numbers."""
        if not self._numbers:
            self._numbers = self._rng.random(_BLOCK).tolist()
        return self._numbers.pop()

    def below(self, count: int) -> int:
        return int(self.number() * count)

    def coin(self) -> bool:
        return self.number() < 0.5

    def pick(self, items: Sequence[Item]) -> Item:
        return items[self.below(len(items))]

    def other(self, items: Sequence[Item], *but: Item) -> Item:
        """One of `items` that is none of `but`."""
        return self.pick([item for item in items if item not in but])

    def some(self, items: Sequence[Item], count: int) -> list[Item]:
        """`count` different ones of `items`, in any order."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(count)]

    # Combinations of colour and shape

    def pair(self) -> tuple[str, str]:
        """Returns a colour and a shape."""
        return self.pick(_PAIRS[self.unseen])

    def color_for(self, shape: str, *but: str) -> str:
        return self.other(COLORS_WITH[self.unseen][shape], *but)

    def shape_for(self, color: str, *but: str) -> str:
        return self.other(SHAPES_WITH[self.unseen][color], *but)

    def pair_where(self, suits: Callable[[str, str], bool]) -> tuple[str, str]:
        """Returns a colour and a shape for which `suits(color, shape)`."""
        while True:
            pair = self.pair()
            if suits(*pair):
                return pair

    def near(self, color: str, shape: str) -> tuple[str, str]:
        """Returns a pair that shares the colour or the shape, or neither, and is not the same."""
        chance = self.number()
        if chance < 0.35:
            return color, self.shape_for(color, shape)
        if chance < 0.7:
            return self.color_for(shape, color), shape
        return self.pair_where(lambda c, s: c != color and s != shape)

    # Things and places

    def cells(self, count: int) -> list[tuple[int, int]]:
        """Different cells of the grid."""
        return self.some(CELLS, count)

    def place(self, cell: tuple[int, int], size: str) -> tuple[int, int]:
        """Returns a centre in a cell."""
        off = _JITTER[size]
        x, y = (_FIRST + _STEP * part + self.below(2 * off + 1) - off for part in cell)
        return x, y

    def thing(self, cell: tuple[int, int], color: str, shape: str, size: str = "", material: str = "") -> Thing:
        """Returns a thing in a cell; size and material are drawn where they are not given."""
        size = size or self.pick(SIZES)
        return Thing(color, shape, size, material or self.pick(MATERIALS), *self.place(cell, size))

    def lone(self, color: str, shape: str) -> Scene:
        """Returns a scene of one thing, anywhere."""
        size = self.pick(SIZES)
        low = RADIUS[size] + _MARGIN
        x, y = (low + self.below(UNITS - 2 * low) for _ in range(2))
        return Scene((Thing(color, shape, size, self.pick(MATERIALS), x, y),))

    def scene(self, pairs: Sequence[tuple[str, str]], material: str = "") -> Scene:
        """Returns a scene with a thing for each pair of colour and shape."""
        cells = self.cells(len(pairs))
        return Scene(tuple(self.thing(c, *pair, material=material) for c, pair in zip(cells, pairs, strict=True)))

    def moved(self, thing: Thing, cell: tuple[int, int]) -> Thing:
        x, y = self.place(cell, thing.size)
        return thing._replace(x=x, y=y)

    def restyled(self, thing: Thing) -> Thing:
        """Returns the same thing of any material. A bystander that may change lets an edit stay in its split."""
        return thing._replace(material=self.pick(MATERIALS))

    def free_cell(self, things: Sequence[Thing]) -> tuple[int, int]:
        return self.other(CELLS, *(thing.cell for thing in things))


_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "center", "right")


def caption(scene: Scene) -> str:
    """Describes the scene by rows: "large red metal star top left, small blue wood ring bottom center"."""
    told = []
    for thing in sorted(scene.things, key=lambda t: (t.cell[1], t.cell[0])):
        told.append(f"{thing.size} {thing.color} {thing.material} {thing.shape} {place_of(thing)}")
    return ", ".join(told)


def place_of(thing: Thing) -> str:
    """Returns where a thing is, in words: "top left"."""
    column, row = thing.cell
    return f"{_ROWS[row]} {_COLUMNS[column]}"
