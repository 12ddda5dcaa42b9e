"""The published conventions of when a step of AndroidControl is right. Each is one function, with its source.

They agree on most steps and not on all: the same predictions get step accuracies that are points apart. Where the code
of a convention was at hand its rule is that of the code, which is not always what its paper says. A function returns
None where a row does not hold what its convention needs, as the boxes of elements; such rows are left out of its
figures and counted.

What is written in a source as `type` or `input_text` is `input_text` here; a `type` of AndroidControl has a point too.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from evaluation.android.matching import (
    alike,
    contains,
    pixel_distance,
    relative_distance,
    scaled,
    token_f1,
    widened,
)
from evaluation.android.steps import (
    KINDS,
    POINTING,
    AndroidAction,
    Node,
    Point,
    Rect,
    Step,
    boxes_of,
    inside,
    middle,
    smallest_around,
)

FAR, NEAR = 0.14, 0.04  # of the screen: how far a click may be off
ENOUGH = 0.5  # F1 or similarity of texts that count as one
_STOPS = frozenset({"status", "wait", "answer"})
_AXIS = {"up": "down", "down": "down", "left": "across", "right": "across"}

Judge = Callable[[Step, AndroidAction], bool | None]


class Convention(NamedTuple):
    """One way of scoring.

    Attributes:
        judge: whether what was predicted for a step is right; None where the row does not say enough.
        says: the rule in a few words.
        counted: the kinds of recorded actions that it scores; steps of other kinds are not in its figures.
    """

    judge: Judge
    says: str
    counted: frozenset[str] = frozenset(KINDS)


def same_kind(step: Step, said: AndroidAction) -> bool:
    """Judges the kind of action alone: what tables call type accuracy.

    Source: `Type` of OS-Copilot/OS-Genesis: evaluation/android_control/ac_eval.py; `type_match` of
    OpenBMB/AgentCPM-GUI: eval/utils/evaluator.py.
    """
    return said.kind == step.gold.kind


def android_in_the_wild(step: Step, said: AndroidAction) -> bool:
    """Judges as Android in the Wild: a click within 14% of the screen, or in the same element made 2.4 times as large.

    Distances are of a screen whose sides are both 1. All elements of the screen count, not the target alone. A scroll
    is right along the right axis, up or down; of all else only the kind is compared, so any typed text is right.

    Source: google-research/google-research: android_in_the_wild/action_matching.py; njucckevin/SeeClick:
    agent_tasks/action_matching.py is the same.
    """
    gold = step.gold
    if gold.kind == "scroll":
        return said.kind == "scroll" and _AXIS.get(said.text) == _AXIS[gold.text]
    if gold.kind not in POINTING:
        return _same_rest(gold, said)
    if said.kind != gold.kind or said.point is None or gold.point is None:
        return False
    if relative_distance(said.point, gold.point, step.width, step.height) <= FAR:
        return True
    boxes = [widened(box, 1.4, step.width, step.height) for box in _all_boxes(step)]
    return any(inside(said.point, box) and inside(gold.point, box) for box in boxes)


def os_genesis(step: Step, said: AndroidAction) -> bool:
    """Judges as OS-Genesis: a click within 14% of the screen's diagonal, in pixels; a text with half of its words.

    This 14% is more than 14% of either side. Texts may also be equal; names of apps must be. Their code has a screen of
    1080 x 2400; here it is the row's own. It also takes a scroll that the words of the step's instruction ask for; rows
    have no instructions, so that is left out.

    Source: OS-Copilot/OS-Genesis: evaluation/android_control/ac_eval.py.
    """
    gold = step.gold
    if gold.kind in POINTING:
        reach = FAR * pixel_distance((0, 0), (step.width, step.height))
        return _points(gold, said, lambda point, right: pixel_distance(point, right) <= reach)
    if gold.kind == "input_text":
        return said.kind == gold.kind and (said.text == gold.text or token_f1(said.text, gold.text) > ENOUGH)
    if gold.kind in ("scroll", "open_app"):
        return said.kind == gold.kind and said.text == gold.text
    return _same_rest(gold, said)


def gui_odyssey(step: Step, said: AndroidAction) -> bool:
    """Judges as GUI-Odyssey: a click in the target's box or within 14% of the screen; texts that are half alike.

    Distances are of a screen whose sides are both 1. Texts count as one where one contains the other, or their edit
    distance is at most half of the longer one; case counts. It has no open_app, so by its rule for the rest any app is
    right. UI-TARS says that it scores AndroidControl so, open_app included (bytedance/UI-TARS#59, #79, #85), and UI-R1
    follows UI-TARS and OS-Atlas (lll6gg/UI-R1#7).

    Source: OpenGVLab/GUI-Odyssey: src/eval_mm/GUIOdyssey_action_matching.py.
    """
    gold = step.gold
    if gold.kind in POINTING:
        return _points(
            gold,
            said,
            lambda point, right: (
                any(inside(point, box) for box in boxes_of(step))
                or relative_distance(point, right, step.width, step.height) <= FAR
            ),
        )
    if gold.kind == "input_text":
        typed, wanted = said.text.strip(), gold.text.strip()
        return said.kind == gold.kind and (typed in wanted or wanted in typed or alike(typed, wanted, ENOUGH))
    if gold.kind == "scroll":
        return said.kind == gold.kind and said.text == gold.text
    return _same_rest(gold, said)


def gui_r1(step: Step, said: AndroidAction) -> bool:
    """Judges as GUI-R1: a point less than 14% of the screen away, a text with half of its words; no kinds compared.

    Its step accuracy is over clicks, long presses, scrolls, apps and texts alone; what waits or goes back is in its
    type accuracy only. A point is right whatever is done there, and so is a text; the direction of a scroll is a text.
    Single words count as one where one contains the other.

    Source: guir1/eval/eval_omni.py, as in icey-zhang/GUI-R1 and YangRui2015/GUI-R1; ritzz-ai/GUI-R1#21 asks about it.
    """
    gold = step.gold
    if gold.kind in POINTING:
        if said.point is None or gold.point is None:
            return False
        return relative_distance(said.point, gold.point, step.width, step.height) < FAR
    a, b = (text.replace("[", "").replace("]", "").lower() for text in (said.text, gold.text))
    if len(set(a.split())) == len(set(b.split())) == 1:
        one, other = a.split()[0], b.split()[0]
        if one in other or other in one:
            return True
    return token_f1(a, b) >= ENOUGH


def qwen(step: Step, said: AndroidAction) -> bool:
    """Judges as Qwen2.5-VL's authors: a click in a target's box made 1.2 times as large, or within 4% of the screen.

    Distances are of a screen whose sides are both 1. Texts and names of apps count as one where one contains the other,
    in any case. An app may also be opened by a click on its icon, where its box is among the row's. The direction of a
    scroll is not compared. How the boxes are found was asked in QwenLM/Qwen3-VL#1155, where they are said to be of the
    accessibility tree, and 64.8% came out instead of 67.4%.

    Source: the script of QwenLM/Qwen2.5-VL#904, gist.github.com/LukeForeverYoung/1f5d19495788de0d905c5ac6341153f5.
    """

    def near(point: Point, right: Point) -> bool:
        return relative_distance(point, right, step.width, step.height) <= NEAR

    if step.gold.kind == "scroll":
        return said.kind == "scroll"
    return _boxed(step, said, near)


def infigui(step: Step, said: AndroidAction) -> bool:
    """Judges as InfiGUI-R1: as `qwen`, but within 4% of the longer side in pixels, and scrolls the right way.

    Source: eval/android_control/evaluate_android_control.py of InfiXAI/InfiGUI-R1 (once Reallm-Labs), which is also in
    omprakashv3/MultiModel-MobileGUI-Agent; InfiXAI/InfiGUI-R1#8 asks about it.
    """

    def near(point: Point, right: Point) -> bool:
        return pixel_distance(point, right) <= NEAR * max(step.width, step.height)

    if step.gold.kind == "scroll":
        return said.kind == "scroll" and said.text == step.gold.text
    return _boxed(step, said, near)


def agentcpm(step: Step, said: AndroidAction) -> bool:
    """Judges as AgentCPM-GUI: a click in one of the five elements next to the recorded one, or within 4% of the screen.

    Next by their middles, and made 1.2 times as large, the upper left corner kept on the screen. Texts count as one
    where one contains the other, in any case. Waiting, answering and ending are one action. It knows no open_app.

    Source: OpenBMB/AgentCPM-GUI: eval/utils/evaluator.py, with `eval_android_control`.
    """
    gold = step.gold
    if gold.kind in _STOPS:
        return said.kind in _STOPS
    if gold.kind == "input_text":
        return said.kind == gold.kind and contains(said.text, gold.text)
    if gold.kind == "scroll":
        return said.kind == gold.kind and said.text == gold.text
    if gold.kind not in POINTING:
        return said.kind == gold.kind
    if said.kind != gold.kind or said.point is None or gold.point is None:
        return False
    right = gold.point
    boxes = [widened(box, 0.2, step.width, step.height) for box in _all_boxes(step)]
    boxes.sort(key=lambda box: relative_distance(middle(box), right, step.width, step.height))
    by_distance = relative_distance(said.point, right, step.width, step.height) <= NEAR
    return by_distance or any(inside(said.point, box) for box in boxes[:5])


def element(step: Step, said: AndroidAction) -> bool | None:
    """Judges by the element: a click in the box of the smallest node around the recorded click; all else equal.

    The box of a row that has no accessibility tree is its target's. A text must be typed into the right box where it
    was recorded with one. A recorded click with no node around it cannot be done right.

    Source: OSU-NLP-Group/UGround: offline_evaluation/AndroidControl/eval.py, without what it calls equivalent; the rule
    of arXiv 2406.03679 for clicks.
    """
    gold = step.gold
    if said.kind != gold.kind or said.text != gold.text:
        return False
    if gold.point is None:
        return True
    if not step.nodes and not step.boxes:
        return None
    node = smallest_around(step.nodes, gold.point)
    boxes = ((node.box,) if node else ()) if step.nodes else step.boxes
    return said.point is not None and any(inside(said.point, box) for box in boxes)


def android_control(step: Step, said: AndroidAction) -> bool | None:
    """Judges as AndroidControl's paper: as `element`, and takes what amounts to the same.

    Going back is a click on what says "back"; opening an app is a click on what says its name: in its text or its
    description, in any case; and the other way round. UGround's code takes the name of the recorded action even where
    that is the click, which has none, so that opening any app is right there; here it is the name of the one of the two
    that opens.

    Source: arXiv 2406.03679, appendix D.3, as google-research/google-research#2150 quotes it; OSU-NLP-Group/UGround:
    offline_evaluation/AndroidControl/eval.py.
    """
    gold = step.gold
    if {gold.kind, said.kind} not in ({"click", "open_app"}, {"click", "navigate_back"}):
        return element(step, said)
    if gold.kind == "open_app" and step.boxes:
        return said.point is not None and any(inside(said.point, box) for box in step.boxes)
    if not step.nodes:
        return None
    click, other = (gold, said) if gold.kind == "click" else (said, gold)
    wanted = other.text if other.kind == "open_app" else "back"
    return _says(smallest_around(step.nodes, click.point), wanted)


def _says(node: Node | None, wanted: str) -> bool:
    """Returns whether a node's text or description has a word in it."""
    word = wanted.lower().strip()
    return node is not None and bool(word) and (word in node.text.lower() or word in node.description.lower())


def _same_rest(gold: AndroidAction, said: AndroidAction) -> bool:
    """Compares what has neither a point nor words that count: the kind, and whether a status is "complete"."""
    return said.kind == gold.kind and (gold.kind != "status" or said.text == gold.text)


def _points(gold: AndroidAction, said: AndroidAction, near: Callable[[Point, Point], bool]) -> bool:
    """Compares two actions at a point: the same kind, and near enough."""
    together = said.kind == gold.kind and said.point is not None and gold.point is not None
    return together and near(said.point, gold.point)  # type: ignore[arg-type]  # both are points


def _all_boxes(step: Step) -> tuple[Rect, ...]:
    """Returns the boxes of all elements; those of the targets where the row has no accessibility tree."""
    return tuple(node.box for node in step.nodes) or step.boxes


def _boxed(step: Step, said: AndroidAction, near: Callable[[Point, Point], bool]) -> bool:
    """Compares all but scrolls as `qwen` and `infigui` do."""
    gold = step.gold
    if gold.kind == "open_app" and said.kind == "click" and step.boxes and said.point is not None:
        return _hits(said.point, middle(step.boxes[0]), step.boxes, near)
    if said.kind != gold.kind:
        return False
    if gold.kind in POINTING:
        if said.point is None or gold.point is None:
            return False
        return _hits(said.point, gold.point, boxes_of(step), near)
    if gold.kind in ("input_text", "open_app"):
        return contains(said.text, gold.text)
    return _same_rest(gold, said)


def _hits(point: Point, right: Point, boxes: tuple[Rect, ...], near: Callable[[Point, Point], bool]) -> bool:
    """Returns whether a point is in one of the boxes made 1.2 times as large, or near the right one."""
    return near(point, right) or any(inside(point, scaled(box, 1.2)) for box in boxes)


CONVENTIONS: Mapping[str, Convention] = {
    "kind": Convention(same_kind, "the kind of action alone"),
    "aitw": Convention(android_in_the_wild, "within 14%, or the same element x 2.4; texts not compared"),
    "os-genesis": Convention(os_genesis, "within 14% of the diagonal; texts F1 > .5"),
    "gui-odyssey": Convention(gui_odyssey, "in the box or within 14%; texts half alike; any app"),
    "gui-r1": Convention(
        gui_r1, "within 14%, texts F1 >= .5; kinds not compared",
        frozenset({"click", "long_press", "scroll", "open_app", "input_text"}),
    ),
    "qwen": Convention(qwen, "box x 1.2 or within 4%; texts contained; any scroll"),
    "infigui": Convention(infigui, "box x 1.2 or within 4% of the longer side; texts contained"),
    "agentcpm": Convention(
        agentcpm, "one of five boxes x 1.2 or within 4%; texts contained", frozenset(KINDS) - {"open_app"}
    ),
    "element": Convention(element, "the smallest accessibility box; all else equal"),
    "android-control": Convention(android_control, "as element; back and open_app may be clicks"),
}  # fmt: skip
