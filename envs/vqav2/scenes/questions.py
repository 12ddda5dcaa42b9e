"""Questions about things as they are: one thing (level 1), and two to four (level 2)."""

from functools import partial

from envs.vqav2.scenes.families import YES_NO, Family, Posed, Words, numbers, yes
from envs.vqav2.scenes.scene import COLORS, SHAPES, Draw, Item, Scene

PLURALS = {shape: f"{shape}es" if shape.endswith("s") else f"{shape}s" for shape in SHAPES}


def only(found: list[Item]) -> Item:
    """Returns the one thing that a question is about; there must be no other."""
    (item,) = found
    return item


# Level 1: one thing


def _pose_lone(draw: Draw, asked: tuple[str, ...], changed: str) -> Posed:
    """One thing of which the question names what is `asked`; in the other picture its `changed` differs."""
    color, shape = draw.pair()
    scene, words = draw.lone(color, shape), {"color": color, "shape": shape}
    return Posed({name: words[name] for name in asked}, scene, lambda d: _changed(scene, changed, d))


def _changed(scene: Scene, what: str, draw: Draw) -> Scene:
    """Returns the scene with another colour or shape of its first thing."""
    thing = draw.restyled(scene.things[0])
    if what == "color":
        thing = thing._replace(color=draw.color_for(thing.shape, thing.color))
    else:
        thing = thing._replace(shape=draw.shape_for(thing.color, thing.shape))
    return Scene((thing, *scene.things[1:]))


# Level 2: a few things


def _pose_exists(draw: Draw) -> Posed:
    color, shape = draw.pair()
    scene = draw.scene([(color, shape), *(draw.near(color, shape) for _ in range(1 + draw.below(2)))])

    def edit(d: Draw) -> Scene:
        thing, rest = scene.things[0], scene.things[1:]
        new_color, new_shape = d.near(color, shape)
        return Scene((d.restyled(thing)._replace(color=new_color, shape=new_shape), *rest))

    return Posed({"color": color, "shape": shape}, scene, edit)


def _pose_among(draw: Draw, alone: str, changed: str) -> Posed:
    """Two or three things, the first of which has its colour or shape `alone`; the question names that."""
    words = dict(zip(("color", "shape"), draw.pair(), strict=True))

    def differs(color: str, shape: str) -> bool:
        return (color if alone == "color" else shape) != words[alone]

    others = [draw.pair_where(differs) for _ in range(1 + draw.below(2))]
    scene = draw.scene([(words["color"], words["shape"]), *others])
    return Posed({alone: words[alone]}, scene, lambda d: _changed(scene, changed, d))


def _pose_count_all(draw: Draw) -> Posed:
    count = 1 + draw.below(4)
    scene = draw.scene([draw.pair() for _ in range(count)])

    def edit(d: Draw) -> Scene:
        wanted = d.other(range(1, 5), count)
        things = list(scene.things[:wanted])
        while len(things) < wanted:
            things.append(d.thing(d.free_cell(things), *d.pair()))
        return Scene(tuple(things))

    return Posed({}, scene, edit)


def _count_of(draw: Draw, words: Words) -> Posed:
    """Returns a question of how many of three or four things are of a colour or a shape; zero to three are."""

    def fits(color: str, shape: str) -> bool:
        return words.get("color", color) == color and words.get("shape", shape) == shape

    count, total = draw.below(4), 3 + draw.below(2)
    is_one = [i < count for i in range(total)]
    scene = draw.scene([_pair(draw, words) if one else draw.pair_where(lambda c, s: not fits(c, s)) for one in is_one])

    def edit(d: Draw) -> Scene:
        wanted, things = d.other(range(4), count), list(scene.things)
        for i in range(min(count, wanted), max(count, wanted)):
            new = _pair(d, words) if wanted > count else d.pair_where(lambda c, s: not fits(c, s))
            things[i] = d.restyled(things[i])._replace(color=new[0], shape=new[1])
        return Scene(tuple(things))

    return Posed(words, scene, edit)


def _pair(draw: Draw, words: Words) -> tuple[str, str]:
    """Returns a pair of the colour or the shape that `words` name."""
    if "color" in words:
        return words["color"], draw.shape_for(words["color"])
    return draw.color_for(words["shape"]), words["shape"]


def _pose_count_color(draw: Draw) -> Posed:
    return _count_of(draw, {"color": draw.pick(COLORS)})


def _pose_count_shape(draw: Draw) -> Posed:
    shape = draw.pick(SHAPES)
    return _count_of(draw, {"shape": shape, "shapes": PLURALS[shape]})


# The programs


def _color_of(scene: Scene, words: Words) -> str:
    return only([t for t in scene.things if t.shape == words["shape"]]).color


def _shape_of(scene: Scene, words: Words) -> str:
    return only([t for t in scene.things if t.color == words["color"]]).shape


def _is_pair(scene: Scene, words: Words) -> str:
    return yes(any((t.color, t.shape) == (words["color"], words["shape"]) for t in scene.things))


def _is_color(scene: Scene, words: Words) -> str:
    return yes(any(t.color == words["color"] for t in scene.things))


def _count_color(scene: Scene, words: Words) -> str:
    return str(sum(t.color == words["color"] for t in scene.things))


def _count_shape(scene: Scene, words: Words) -> str:
    return str(sum(t.shape == words["shape"] for t in scene.things))


FAMILIES: tuple[Family, ...] = (
    Family(
        "color", 1, "other",
        ("What color is the {shape}?", "What is the color of the {shape}?", "What color is this {shape}?"),
        COLORS, partial(_pose_lone, asked=("shape",), changed="color"), _color_of,
    ),
    Family(
        "shape", 1, "other",
        ("What shape is the {color} object?", "What is the shape of the {color} object?", "Which shape is {color}?"),
        SHAPES, partial(_pose_lone, asked=("color",), changed="shape"), _shape_of,
    ),
    Family(
        "is color", 1, "yes/no",
        ("Is the {shape} {color}?", "Is this {shape} {color}?", "Does this {shape} look {color}?"),
        YES_NO, partial(_pose_lone, asked=("color", "shape"), changed="color"), _is_pair,
    ),
    Family(
        "is shape", 1, "yes/no",
        (
            "Is the {color} object a {shape}?", "Is this {color} thing a {shape}?",
            "Does the {color} thing look like a {shape}?",
        ),
        YES_NO, partial(_pose_lone, asked=("color", "shape"), changed="shape"), _is_pair,
    ),
    Family(
        "exists", 2, "yes/no",
        ("Is there a {color} {shape}?", "Does the picture show a {color} {shape}?", "Can you see a {color} {shape}?"),
        YES_NO, _pose_exists, _is_pair,
    ),
    Family(
        "any of color", 2, "yes/no",
        ("Are there any {color} objects?", "Is anything {color}?", "Is there something {color} in the picture?"),
        YES_NO, partial(_pose_among, alone="color", changed="color"), _is_color,
    ),
    Family(
        "count", 2, "number",
        ("How many objects are there?", "How many things can you see?", "What number of objects is in the picture?"),
        numbers(1, 4), _pose_count_all, lambda scene, words: str(len(scene.things)),
    ),
    Family(
        "count of color", 2, "number",
        ("How many {color} objects are there?", "How many things are {color}?", "What number of objects is {color}?"),
        numbers(0, 3), _pose_count_color, _count_color,
    ),
    Family(
        "count of shape", 2, "number",
        ("How many {shapes} are there?", "How many {shapes} can you see?", "What number of {shapes} is shown?"),
        numbers(0, 3), _pose_count_shape, _count_shape,
    ),
    Family(
        "color among", 2, "other",
        (
            "Which color is the {shape}?", "What color is the {shape} in the picture?",
            "What color does the {shape} have?",
        ),
        COLORS, partial(_pose_among, alone="shape", changed="color"), _color_of,
    ),
    Family(
        "shape among", 2, "other",
        ("What shape is {color}?", "What is the {color} object?", "Which of the shapes is {color}?"),
        SHAPES, partial(_pose_among, alone="color", changed="shape"), _shape_of,
    ),
)  # fmt: skip
