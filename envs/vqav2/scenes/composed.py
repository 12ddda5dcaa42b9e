"""Questions about things that are put together from several (level 4)."""

from functools import partial

from envs.vqav2.scenes.families import YES_NO, Family, Posed, Words, numbers, yes
from envs.vqav2.scenes.questions import PLURALS, only
from envs.vqav2.scenes.relations import beside, count_material, pose_count_material, pose_neighbor
from envs.vqav2.scenes.scene import COLORS, MATERIALS, SHAPES, Draw, Scene, Thing


def _pose_count_both(draw: Draw) -> Posed:
    color, shape = draw.pair()
    count, total = draw.below(4), 3 + draw.below(2)
    scene = draw.scene([(color, shape) if i < count else draw.near(color, shape) for i in range(total)])

    def edit(d: Draw) -> Scene:
        wanted, things = d.other(range(4), count), list(scene.things)
        for i in range(min(count, wanted), max(count, wanted)):
            new = (color, shape) if wanted > count else d.near(color, shape)
            things[i] = d.restyled(things[i])._replace(color=new[0], shape=new[1])
        return Scene(tuple(things))

    return Posed({"color": color, "shapes": PLURALS[shape], "shape": shape}, scene, edit)


def _pose_more(draw: Draw) -> Posed:
    """Three or four things of two shapes and perhaps another thing: are there more of the one?"""
    shape, other = draw.some(SHAPES, 2)
    total = 3 + draw.below(2)
    more, fewer = range(total // 2 + 1, total + 1), range(total // 2 + 1)
    count = draw.pick(more)
    pairs = [(draw.color_for(kind), kind) for kind in [shape] * count + [other] * (total - count)]
    bystander = [draw.pair_where(lambda c, s: s not in (shape, other))] if draw.coin() else []
    scene = draw.scene([*pairs, *bystander])

    def edit(d: Draw) -> Scene:
        wanted, things = d.pick(fewer), list(scene.things)
        for i in range(wanted, count):
            things[i] = d.restyled(things[i])._replace(color=d.color_for(other), shape=other)
        return Scene(tuple(things))

    words = {"shape": shape, "other": other, "shapes": PLURALS[shape], "others": PLURALS[other]}
    return Posed(words, scene, edit)


# The programs


def _count_both(scene: Scene, words: Words) -> str:
    return str(sum((t.color, t.shape) == (words["color"], words["shape"]) for t in scene.things))


def _are_more(scene: Scene, words: Words) -> str:
    shapes = [thing.shape for thing in scene.things]
    return yes(shapes.count(words["shape"]) > shapes.count(words["other"]))


def _neighbor_of_shape(scene: Scene, words: Words) -> Thing:
    return only([thing for thing in beside(scene, words) if thing.shape == words["shape"]])


FAMILIES: tuple[Family, ...] = (
    Family(
        "color of neighbor", 4, "other",
        (
            "What color is the {shape} {side} the {other}?", "What is the color of the {shape} {side} the {other}?",
            "Which color does the {shape} {side} the {other} have?",
        ),
        COLORS, partial(pose_neighbor, same="shape", tell=("shape",)),
        lambda scene, words: _neighbor_of_shape(scene, words).color,
    ),
    Family(
        "is color of neighbor", 4, "yes/no",
        (
            "Is the {shape} {side} the {other} {color}?", "Does the {shape} {side} the {other} look {color}?",
            "Is there a {color} {shape} {side} the {other}?",
        ),
        YES_NO, partial(pose_neighbor, same="shape", tell=("shape", "color")),
        lambda scene, words: yes(_neighbor_of_shape(scene, words).color == words["color"]),
    ),
    Family(
        "material of neighbor", 4, "other",
        (
            "What is the thing {side} the {other} made of?", "What kind of material is {side} the {other}?",
            "Which material is the object {side} the {other}?",
        ),
        MATERIALS, pose_neighbor, lambda scene, words: only(beside(scene, words)).material,
    ),
    Family(
        "count of color and shape", 4, "number",
        (
            "How many {color} {shapes} are there?", "How many {shapes} are {color}?",
            "What number of {color} {shapes} is shown?",
        ),
        numbers(0, 3), _pose_count_both, _count_both,
    ),
    Family(
        "count of color and material", 4, "number",
        (
            "How many {color} things are made of {material}?", "How many objects of {material} are {color}?",
            "What number of {color} objects is made of {material}?",
        ),
        numbers(0, 3), partial(pose_count_material, with_color=True), count_material,
    ),
    Family(
        "more", 4, "yes/no",
        (
            "Are there more {shapes} than {others}?", "Is the number of {shapes} higher than that of {others}?",
            "Do you see more {shapes} than {others}?",
        ),
        YES_NO, _pose_more, _are_more,
    ),
)  # fmt: skip
