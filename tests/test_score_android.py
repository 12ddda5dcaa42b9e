"""The published conventions of scoring phone actions and points, each on cases worked out by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import perlhf
from evaluation.android.conventions import CONVENTIONS
from evaluation.android.matching import edit_distance, overlap, relative_distance, similarity, token_f1, widened
from evaluation.android.points import POINT_CONVENTIONS
from evaluation.android.steps import AndroidAction, Node, Step, Target

assert perlhf  # registers nothing here; the front door is imported first, as everywhere
WIDTH, HEIGHT = 1000, 2000


def step(gold, boxes=(), nodes=(), width=WIDTH, height=HEIGHT):
    return Step("f:1", "", width, height, gold, tuple(boxes), tuple(nodes))


def right(name, of, kind, point=None, text=""):
    return CONVENTIONS[name].judge(of, AndroidAction(kind, point, text))


def click(x, y, **where):
    return step(AndroidAction("click", (x, y)), **where)


# Clicks by distance. The screen is 1000 x 2000, so 14% are 140 pixels across, 280 down, or 313.05 of its diagonal.


@pytest.mark.parametrize(
    ("name", "point", "is_right"),
    [
        ("aitw", (640, 1000), True),
        ("aitw", (641, 1000), False),
        ("aitw", (500, 1280), True),
        ("aitw", (500, 1281), False),
        ("gui-odyssey", (640, 1000), True),
        ("gui-odyssey", (641, 1000), False),
        ("gui-r1", (640, 1000), False),  # less than, not at most
        ("gui-r1", (639, 1000), True),
        ("os-genesis", (813, 1000), True),
        ("os-genesis", (814, 1000), False),
        ("os-genesis", (500, 1313), True),
        ("qwen", (540, 1000), True),
        ("qwen", (541, 1000), False),
        ("qwen", (500, 1080), True),
        ("qwen", (500, 1081), False),
        ("infigui", (580, 1000), True),  # 4% of the longer side
        ("infigui", (581, 1000), False),
        ("agentcpm", (540, 1000), True),
        ("agentcpm", (541, 1000), False),
        ("kind", (0, 0), True),
        ("element", (500, 1000), None),  # which box is not known
        ("android-control", (500, 1000), None),
    ],
)
def test_clicks_without_boxes(name, point, is_right):
    assert right(name, click(500, 1000), "click", point) is is_right


@pytest.mark.parametrize("name", sorted(set(CONVENTIONS) - {"kind", "gui-r1"}))
@pytest.mark.parametrize("said", [AndroidAction("long_press", (500, 1000)), AndroidAction("click"), AndroidAction("x")])
def test_a_click_is_a_click_somewhere(name, said):
    of = click(500, 1000, boxes=[(400, 900, 600, 1100)], nodes=[Node((400, 900, 600, 1100))])
    assert CONVENTIONS[name].judge(of, said) is False


@pytest.mark.parametrize(
    ("name", "point", "is_right"),
    [
        ("qwen", (620, 1120), True),  # [400, 900, 600, 1100] x 1.2 is [380, 880, 620, 1120]
        ("qwen", (621, 1120), False),
        ("infigui", (620, 1120), True),
        ("infigui", (620, 1121), False),
        ("gui-odyssey", (600, 1100), True),
        ("agentcpm", (620, 1120), True),
        ("element", (600, 1100), True),
        ("element", (601, 1100), False),
        ("android-control", (600, 1100), True),
    ],
)
def test_clicks_with_the_box_of_the_target(name, point, is_right):
    assert right(name, click(500, 1000, boxes=[(400, 900, 600, 1100)]), "click", point) is is_right


def test_any_box_of_several_is_right():
    of = click(500, 1000, boxes=[(400, 900, 600, 1100), (0, 0, 100, 100)])
    assert right("qwen", of, "click", (110, 110))  # [-10, -10, 110, 110]
    assert not right("qwen", of, "click", (111, 110))


def test_aitw_takes_two_clicks_in_the_same_enlarged_element():
    of = click(150, 1000, nodes=[Node((100, 990, 900, 1010))])  # 800 x 20, with 140% more: [0, 976, 1000, 1024]
    assert right("aitw", of, "click", (950, 1020))
    assert not right("aitw", of, "click", (950, 1025))
    assert not right("aitw", click(150, 970, nodes=of.nodes), "click", (950, 1020))  # the recorded one is outside


def test_aitw_moves_a_box_at_the_edge_instead_of_cutting_it():
    assert widened((0, 0, 100, 100), 1.4, 1000, 2000) == (0, 0, 240, 240)
    of = click(50, 50, nodes=[Node((0, 0, 100, 100))])
    assert right("aitw", of, "click", (235, 50))
    assert not right("aitw", of, "click", (241, 50))


def test_agentcpm_takes_the_five_elements_next_to_the_recorded_click():
    nodes = [Node((450 + 200 * i, 950, 550 + 200 * i, 1050)) for i in range(6)]  # middles at 500, 700 .. 1500
    of = step(AndroidAction("click", (500, 1000)), (), nodes, 2000, 2000)
    assert right("agentcpm", of, "click", (1300, 1000))
    assert right("agentcpm", of, "click", (1360, 1060))  # 20 more of 100, half of it on each side
    assert not right("agentcpm", of, "click", (1361, 1060))
    assert not right("agentcpm", of, "click", (1500, 1000))


def test_element_takes_the_smallest_node_around_the_recorded_click():
    nodes = [Node((0, 0, 1000, 2000)), Node((400, 900, 600, 1100)), Node((490, 990, 510, 1010)), Node((0, 0, 5, 5))]
    of = click(500, 1000, nodes=nodes, boxes=[(0, 0, 1000, 2000)])  # the tree is asked first
    assert right("element", of, "click", (510, 1010))
    assert not right("element", of, "click", (511, 1010))
    assert right("element", click(999, 1, nodes=nodes), "click", (5, 1999))
    assert right("element", click(500, 1000, nodes=nodes[3:]), "click", (500, 1000)) is False  # no node is there


# Texts, scrolls, apps, and what else there is


@pytest.mark.parametrize(
    ("gold", "said", "names"),
    [
        # F1 of one word of three: precision 1, recall 1/3, F1 1/2
        ("hello big world", "hello", "aitw gui-odyssey gui-r1 qwen infigui agentcpm kind"),
        # F1 of two words of three: precision 1, recall 2/3, F1 4/5
        ("hello big world", "world hello", "aitw os-genesis gui-r1 kind"),
        # edit distance 3 of 7: 4/7 alike
        ("sitting", "kitten", "aitw gui-odyssey kind"),
        ("ABC", "abc", "aitw os-genesis gui-r1 qwen infigui agentcpm kind"),
        ("settings", "set", "aitw gui-odyssey gui-r1 qwen infigui agentcpm kind"),
        ("milk", "", "aitw gui-odyssey qwen infigui agentcpm kind"),  # nothing is in everything
        ("milk", "bread", "aitw kind"),
        ("a b", "a b", " ".join(CONVENTIONS)),
    ],
)
def test_typed_texts(gold, said, names):
    of = step(AndroidAction("input_text", None, gold))
    assert {name for name in CONVENTIONS if right(name, of, "input_text", None, said)} == set(names.split())


def test_a_text_that_was_typed_into_a_field_belongs_there_by_element_alone():
    of = step(AndroidAction("input_text", (500, 1000), "milk"), boxes=[(400, 900, 600, 1100)])
    assert right("element", of, "input_text", (500, 1000), "milk")
    assert not right("element", of, "input_text", (0, 0), "milk")
    assert not right("element", of, "input_text", None, "milk")
    assert right("qwen", of, "input_text", (0, 0), "milk")


def test_scrolls():
    of = step(AndroidAction("scroll", None, "down"))
    sides = {way: {n for n in CONVENTIONS if right(n, of, "scroll", None, way)} for way in ("down", "up", "left", "")}
    assert sides["down"] == set(CONVENTIONS)
    assert sides["up"] == {"kind", "aitw", "qwen"}
    assert sides["left"] == sides[""] == {"kind", "qwen"}


def test_opened_apps():
    of = step(AndroidAction("open_app", None, "Google Maps"))
    same = {"kind", "aitw", "os-genesis", "gui-odyssey", "gui-r1", "qwen", "infigui", "agentcpm"}
    assert {name for name in CONVENTIONS if right(name, of, "open_app", None, "Google Maps")} == set(CONVENTIONS)
    assert {n for n in CONVENTIONS if right(n, of, "open_app", None, "maps")} == same - {"os-genesis"}  # F1 2/3
    assert {n for n in CONVENTIONS if right(n, of, "open_app", None, "Mail")} == {
        "kind",
        "aitw",
        "gui-odyssey",
        "agentcpm",
    }
    assert "open_app" not in CONVENTIONS["agentcpm"].counted


def test_an_app_opened_by_its_icon():
    boxes, nodes = [(100, 100, 200, 200)], [Node((100, 100, 200, 200), "", "Open Clock"), Node((0, 0, 1000, 2000))]
    of = step(AndroidAction("open_app", None, "clock"), boxes)
    assert {n for n in CONVENTIONS if right(n, of, "click", (150, 150))} == {"qwen", "infigui", "android-control"}
    assert {n for n in CONVENTIONS if right(n, of, "click", (205, 205))} == {"qwen", "infigui"}  # x 1.2
    of = step(AndroidAction("open_app", None, "clock"), (), nodes)
    assert {n for n in CONVENTIONS if right(n, of, "click", (150, 150))} == {"android-control"}
    assert right("android-control", of, "click", (300, 300)) is False
    assert right("android-control", step(of.gold), "click", (150, 150)) is None
    tapped = click(150, 150, nodes=nodes)
    assert right("android-control", tapped, "open_app", None, "Clock")
    assert right("android-control", tapped, "open_app", None, "Mail") is False
    assert right("android-control", tapped, "open_app", None, "") is False


def test_back_is_what_says_back():
    nodes = [Node((0, 0, 100, 100), "", "Go Back"), Node((0, 0, 1000, 2000), "menu")]
    of = step(AndroidAction("navigate_back"), (), nodes)
    assert {n for n in CONVENTIONS if right(n, of, "click", (50, 50))} == {"android-control"}
    assert right("android-control", of, "click", (500, 500)) is False
    assert right("android-control", click(50, 50, nodes=nodes), "navigate_back")
    assert right("element", of, "click", (50, 50)) is False
    assert right("android-control", of, "navigate_back")


def test_ends_and_waits():
    of = step(AndroidAction("status", None, "complete"))
    others = {"gui-r1", "kind", "agentcpm"}
    assert {n for n in CONVENTIONS if right(n, of, "status", None, "complete")} >= set(CONVENTIONS) - {"gui-r1"}
    assert {n for n in CONVENTIONS if right(n, of, "status", None, "infeasible")} - others == set()
    assert right("agentcpm", step(AndroidAction("wait")), "status", None, "complete")
    assert not right("agentcpm", step(AndroidAction("navigate_home")), "navigate_back")
    assert right("gui-r1", click(500, 1000), "open_app", (500, 1000), "Mail")  # it compares no kinds
    assert CONVENTIONS["gui-r1"].counted == {"click", "long_press", "scroll", "open_app", "input_text"}


# Properties

BARE = ["navigate_home", "navigate_back", "wait", "keyboard_enter"]
sides = st.integers(100, 3000)
golds = st.one_of(
    st.builds(AndroidAction, st.sampled_from(["click", "long_press"]), st.tuples(sides, sides), st.just("")),
    st.builds(AndroidAction, st.just("input_text"), st.none(), st.text("ab ", max_size=8)),
    st.builds(AndroidAction, st.just("scroll"), st.none(), st.sampled_from(["up", "down", "left", "right"])),
    st.builds(AndroidAction, st.just("open_app"), st.none(), st.text("ab ", min_size=1, max_size=8)),
    st.builds(AndroidAction, st.sampled_from(BARE), st.none(), st.just("")),
    st.builds(AndroidAction, st.just("status"), st.none(), st.sampled_from(["complete", "infeasible"])),
)
rects = st.tuples(sides, sides, sides, sides).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)
steps = st.builds(
    step, golds, st.lists(rects, max_size=2), st.lists(st.builds(Node, rects, st.text("abck", max_size=4)), max_size=7),
    st.integers(200, 3000), st.integers(200, 3000),
)  # fmt: skip


@given(steps)
def test_what_was_done_is_right_wherever_it_can_be_judged(of):
    """A click with no node around it is wrong by element, and so by AndroidControl."""
    for name, convention in CONVENTIONS.items():
        wordless = of.gold.point is None and not of.gold.text.split()
        if of.gold.kind not in convention.counted or (name == "gui-r1" and wordless):
            continue  # gui-r1 has 0 for the F1 of two texts without words
        nodes = [Node((0, 0, 3000, 3000)), *of.nodes]
        boxes = [(of.gold.point * 2), *of.boxes] if of.gold.point and of.boxes else of.boxes
        assert convention.judge(of._replace(nodes=tuple(nodes), boxes=tuple(boxes)), of.gold)


@given(rects)
def test_a_click_in_the_middle_of_the_box_is_right_everywhere(box):
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    of = step(AndroidAction("click", (x, y)), [box], [Node((0, 0, 3000, 3000)), Node(box)], 3000, 3000)
    assert all(convention.judge(of, AndroidAction("click", (x, y))) for convention in CONVENTIONS.values())


@given(steps, golds)
def test_stricter_conventions_take_nothing_that_laxer_ones_refuse(of, said):
    verdicts = {name: convention.judge(of, said) for name, convention in CONVENTIONS.items()}
    pairs = [("element", "android-control"), ("element", "kind"), ("os-genesis", "kind"), ("gui-odyssey", "aitw")]
    if of.gold.kind in ("click", "long_press") and not of.boxes and not of.nodes:  # by distance alone
        pairs += [("qwen", "infigui"), ("gui-odyssey", "os-genesis"), ("qwen", "gui-odyssey"), ("agentcpm", "qwen")]
    if of.gold.kind == said.kind:
        pairs += [("infigui", "qwen")] if of.gold.kind not in ("click", "long_press") else [("qwen", "infigui")]
    if of.boxes or of.nodes:
        pairs.remove(("gui-odyssey", "aitw"))
    for strict, lax in pairs:
        assert not (verdicts[strict] and verdicts[lax] is False), (strict, lax)


@given(st.text("abc", max_size=6), st.text("abc", max_size=6), st.text("abc", max_size=6))
def test_edit_distance_is_a_distance(a, b, c):
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert 0 <= similarity(a, b) <= 1


def test_parts_by_hand():
    assert relative_distance((0, 0), (30, 80), 100, 200) == pytest.approx(0.5)  # 0.3 and 0.4
    assert token_f1("a b c", "C d") == pytest.approx(0.4)  # 2 x 1 / (3 + 2)
    assert token_f1("", "") == 0
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0
    assert edit_distance("kitten", "sitting") == 3


# Targets


def target(said, box=(10, 20, 30, 40)):
    of = Target("f:1", "", box, "")
    return {name: convention.judge(of, said) for name, convention in POINT_CONVENTIONS.items()}


def test_points_and_boxes_on_a_target():
    assert target((30, 40)) == {"point": True, "corner": True, "iou": None}
    assert target((31, 40)) == {"point": False, "corner": False, "iou": None}
    assert target((10, 20, 30, 40)) == {"point": True, "corner": True, "iou": True}
    assert target((10, 20, 90, 90)) == {"point": False, "corner": True, "iou": False}
    assert target((0, 10, 40, 50)) == {"point": True, "corner": False, "iou": False}  # 400 / 1600
    assert target((10, 20, 30, 30)) == {"point": True, "corner": True, "iou": True}  # 200 / 400
