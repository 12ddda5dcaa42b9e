"""Questions about places, sizes and materials of things (level 3)."""

from collections.abc import Sequence
from functools import partial

from envs.vqav2.scenes.families import YES_NO, Family, Posed, Words, numbers, yes
from envs.vqav2.scenes.questions import only
from envs.vqav2.scenes.scene import CELLS, COLORS, MATERIALS, SHAPES, Draw, Scene, Thing

SIDES = {"to the left of": (0, -1), "to the right of": (0, 1), "above": (1, -1), "below": (1, 1)}  # axis, direction


def is_beside(thing: Thing, side: str, other: Thing) -> bool:
    """Returns whether `thing` is to the left of `other`, and so on for the other sides."""
    axis, direction = SIDES[side]
    return ((thing.x, thing.y)[axis] - (other.x, other.y)[axis]) * direction > 0


def named(scene: Scene, name: str) -> Thing:
    """Returns the thing of a name such as "red star"."""
    return only([thing for thing in scene.things if thing.name == name])


def beside(scene: Scene, words: Words) -> list[Thing]:
    """All that is on the side of the thing that `words` name."""
    other = named(scene, words["other"])
    return [thing for thing in scene.things if is_beside(thing, words["side"], other)]


def _at(side: str, rank: int, draw: Draw, taken: Sequence[tuple[int, int]] = ()) -> tuple[int, int]:
    """Returns a free cell `rank` steps (-1, 0, 1) towards `side` of the middle."""
    axis, direction = SIDES[side]
    return draw.pick([cell for cell in CELLS if cell[axis] == 1 + direction * rank and cell not in taken])


def _exchanged(scene: Scene, draw: Draw, one: int = 0, two: int = 1) -> Scene:
    """Returns the scene with two things in each other's places."""
    things = list(scene.things)
    things[one], things[two] = (
        draw.moved(things[one], scene.things[two].cell),
        draw.moved(things[two], scene.things[one].cell),
    )
    return Scene(tuple(things))


def _two(draw: Draw) -> list[tuple[str, str]]:
    """Two different pairs of colour and shape."""
    first = draw.pair()
    return [first, draw.pair_where(lambda c, s: (c, s) != first)]


def _with_bystander(draw: Draw, things: list[Thing]) -> Scene:
    """Half of the time a further thing, of another name."""
    if draw.coin():
        pair = draw.pair_where(lambda c, s: all(f"{c} {s}" != thing.name for thing in things))
        things.append(draw.thing(draw.free_cell(things), *pair))
    return Scene(tuple(things))


# Places


def _pose_side(draw: Draw) -> Posed:
    side, (one, two) = draw.pick(tuple(SIDES)), _two(draw)
    ranks = draw.pick(((1, 0), (1, -1), (0, -1)))
    things = [draw.thing(_at(side, rank, draw), *pair) for rank, pair in zip(ranks, (one, two), strict=True)]
    scene = _with_bystander(draw, things)
    words = {"thing": things[0].name, "side": side, "other": things[1].name}
    return Posed(words, scene, lambda d: _exchanged(scene, d))


def pose_neighbor(draw: Draw, same: str = "", tell: tuple[str, ...] = ()) -> Posed:
    """Returns a thing in the middle and one on either side of it, which the other picture exchanges.

    Args:
        draw: random choices.
        same: "shape" where the two at the sides share their shape, which the question then names.
        tell: what else the question tells of the one asked about.
    """
    side, middle = draw.pick(tuple(SIDES)), draw.pair()
    if same:
        one = draw.pair_where(lambda c, s: s != middle[1])
        two = (draw.color_for(one[1], one[0]), one[1])
    else:
        one = draw.pair_where(lambda c, s: (c, s) != middle)
        two = draw.pair_where(lambda c, s: (c, s) != middle and s != one[1])
    materials = draw.some(MATERIALS, 2)
    things = [
        draw.thing(_at(side, rank, draw), *pair, material=material)
        for rank, pair, material in zip((1, -1, 0), (one, two, middle), (*materials, ""), strict=True)
    ]
    scene, known = Scene(tuple(things)), {"shape": one[1], "color": one[0]}
    words = {"side": side, "other": things[2].name, **{name: known[name] for name in tell}}
    return Posed(words, scene, lambda d: _exchanged(scene, d))


def _pose_count_side(draw: Draw) -> Posed:
    side, other = draw.pick(tuple(SIDES)), draw.pair()
    count = draw.below(4)
    things = [draw.thing(_at(side, 0, draw), *other)]
    for i in range(3):
        cell = _at(side, 1 if i < count else -1, draw, [thing.cell for thing in things])
        things.append(draw.thing(cell, *draw.pair_where(lambda c, s: (c, s) != other)))
    scene = Scene(tuple(things))

    def edit(d: Draw) -> Scene:
        wanted, moved = d.other(range(4), count), list(scene.things)
        for i in range(min(count, wanted), max(count, wanted)):
            taken = [thing.cell for thing in moved]
            moved[i + 1] = d.moved(moved[i + 1], _at(side, 1 if wanted > count else -1, d, taken))
        return Scene(tuple(moved))

    return Posed({"side": side, "other": things[0].name}, scene, edit)


# Sizes, colours and materials


def _pose_size(draw: Draw) -> Posed:
    one, two = _two(draw)
    word, size, other = draw.pick((("bigger", "large", "small"), ("smaller", "small", "large")))
    cells = draw.cells(2)
    scene = _with_bystander(draw, [draw.thing(cells[0], *one, size=size), draw.thing(cells[1], *two, size=other)])

    def edit(d: Draw) -> Scene:
        sizes = d.pick(((other, size), (size, size), (other, other)))
        resized = [d.thing(t.cell, *t[:2], s, t.material) for t, s in zip(scene.things, sizes, strict=False)]
        return Scene((*resized, *map(d.restyled, scene.things[2:])))

    return Posed({"thing": scene.things[0].name, "word": word, "other": scene.things[1].name}, scene, edit)


def _pose_same_color(draw: Draw) -> Posed:
    color, shape = draw.pair()
    other = draw.shape_for(color, shape)
    bystander = [draw.pair_where(lambda c, s: s not in (shape, other))] if draw.coin() else []
    scene = draw.scene([(color, shape), (color, other), *bystander])

    def edit(d: Draw) -> Scene:
        thing = d.restyled(scene.things[0])._replace(color=d.color_for(shape, color))
        return Scene((thing, *scene.things[1:]))

    return Posed({"shape": shape, "shape2": other}, scene, edit)


def _pose_material(draw: Draw, asked: tuple[str, ...] = ()) -> Posed:
    cells, pairs = draw.cells(2), _two(draw)
    scene = _with_bystander(draw, [draw.thing(cell, *pair) for cell, pair in zip(cells, pairs, strict=True)])
    words = {"thing": scene.things[0].name, "material": scene.things[0].material}

    def edit(d: Draw) -> Scene:
        thing = scene.things[0]._replace(material=d.other(MATERIALS, scene.things[0].material))
        return Scene((thing, *map(d.restyled, scene.things[1:])))

    return Posed({name: words[name] for name in ("thing", *asked)}, scene, edit)


def pose_count_material(draw: Draw, with_color: bool = False) -> Posed:
    """Of three or four things zero to three are of a material (and colour); each of the others misses one of them."""
    material, color = draw.pick(MATERIALS), draw.pick(COLORS) if with_color else ""
    count, total = draw.below(4), 3 + draw.below(2)
    cells = draw.cells(total)
    scene = Scene(tuple(_of(draw, cell, material, color, i < count) for i, cell in enumerate(cells)))

    def edit(d: Draw) -> Scene:
        wanted, things = d.other(range(4), count), list(scene.things)
        for i in range(min(count, wanted), max(count, wanted)):
            new = _of(d, cells[i], material, color, wanted > count)
            things[i] = new if color else things[i]._replace(material=new.material)
        return Scene(tuple(things))

    return Posed({"material": material, **({"color": color} if with_color else {})}, scene, edit)


def _of(draw: Draw, cell: tuple[int, int], material: str, color: str, fits: bool) -> Thing:
    """Draws a thing of the material and colour ("" for any), or one of which one or both are not so."""
    misses = draw.below(3)  # material, colour, both
    own_material = material if fits or (color and misses == 1) else draw.other(MATERIALS, material)
    if not color:
        pair = draw.pair()
    elif fits or misses == 0:
        pair = (color, draw.shape_for(color))
    else:
        pair = draw.pair_where(lambda c, s: c != color)
    return draw.thing(cell, *pair, material=own_material)


# The programs


def _is_beside(scene: Scene, words: Words) -> str:
    return yes(is_beside(named(scene, words["thing"]), words["side"], named(scene, words["other"])))


def _is_bigger(scene: Scene, words: Words) -> str:
    sizes = [named(scene, words[name]).size for name in ("thing", "other")]
    return yes(sizes == (["large", "small"] if words["word"] == "bigger" else ["small", "large"]))


def _is_same_color(scene: Scene, words: Words) -> str:
    one, two = (only([t for t in scene.things if t.shape == words[name]]) for name in ("shape", "shape2"))
    return yes(one.color == two.color)


def count_material(scene: Scene, words: Words) -> str:
    """Counts the things of the material, and of the colour where one is named."""
    color = words.get("color")
    return str(sum(t.material == words["material"] and color in (None, t.color) for t in scene.things))


FAMILIES: tuple[Family, ...] = (
    Family(
        "side", 3, "yes/no",
        (
            "Is the {thing} {side} the {other}?", "Is there a {thing} {side} the {other}?",
            "Can you see the {thing} {side} the {other}?",
        ),
        YES_NO, _pose_side, _is_beside,
    ),
    Family(
        "size", 3, "yes/no",
        (
            "Is the {thing} {word} than the {other}?", "Does the {thing} look {word} than the {other}?",
            "Can you see that the {thing} is {word} than the {other}?",
        ),
        YES_NO, _pose_size, _is_bigger,
    ),
    Family(
        "same color", 3, "yes/no",
        (
            "Are the {shape} and the {shape2} the same color?", "Is the {shape} of the same color as the {shape2}?",
            "Does the {shape} have the color of the {shape2}?",
        ),
        YES_NO, _pose_same_color, _is_same_color,
    ),
    Family(
        "is material", 3, "yes/no",
        (
            "Is the {thing} made of {material}?", "Is {material} what the {thing} is made of?",
            "Does the {thing} consist of {material}?",
        ),
        YES_NO, partial(_pose_material, asked=("material",)),
        lambda scene, words: yes(named(scene, words["thing"]).material == words["material"]),
    ),
    Family(
        "material", 3, "other",
        (
            "What is the {thing} made of?", "What material is the {thing}?",
            "What kind of material is the {thing} made of?",
        ),
        MATERIALS, _pose_material, lambda scene, words: named(scene, words["thing"]).material,
    ),
    Family(
        "count of material", 3, "number",
        (
            "How many objects are made of {material}?", "How many things of {material} are there?",
            "What number of things is made of {material}?",
        ),
        numbers(0, 3), pose_count_material, count_material,
    ),
    Family(
        "neighbor", 3, "other",
        (
            "What is {side} the {other}?", "What shape is {side} the {other}?",
            "Which shape can you see {side} the {other}?",
        ),
        SHAPES, pose_neighbor, lambda scene, words: only(beside(scene, words)).shape,
    ),
    Family(
        "count at side", 3, "number",
        (
            "How many things are {side} the {other}?", "How many objects can you see {side} the {other}?",
            "What number of objects is {side} the {other}?",
        ),
        numbers(0, 3), _pose_count_side, lambda scene, words: str(len(beside(scene, words))),
    ),
)  # fmt: skip
