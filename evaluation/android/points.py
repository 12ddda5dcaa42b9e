"""The published conventions of when a point on a screenshot is right, and what its mean is taken over."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from evaluation.android.matching import overlap
from evaluation.android.steps import Point, Rect, Target, inside, middle

ENOUGH = 0.5  # intersection over union of boxes that count as one


class PointConvention(NamedTuple):
    """One way of scoring a target: whether what was predicted is right, and the rule in a few words."""

    judge: Callable[[Target, Point | Rect], bool | None]
    says: str


def in_box(target: Target, said: Point | Rect) -> bool:
    """Judges by the point, or by the middle of a predicted box: right in the target's box, its edges included.

    Source: njucckevin/SeeClick: pretrain/screenspot_test.py; likaixin2000/ScreenSpot-Pro-GUI-Grounding:
    eval_screenspot_pro.py; OSU-NLP-Group/UGround: offline_evaluation/ScreenSpot/eval.py; `Center_ACC` of
    EvolvingLMMs-Lab/lmms-eval: lmms_eval/tasks/screenspot/utils_rec.py.
    """
    return inside(middle(said) if len(said) == 4 else said, target.box)


def corner_in_box(target: Target, said: Point | Rect) -> bool:
    """Judges a predicted box by its upper left corner, as a reader does that takes the first two numbers for a point.

    Source: likaixin2000/ScreenSpot-Pro-GUI-Grounding#21, of its models/minicpmv.py.
    """
    return inside((said[0], said[1]), target.box)


def boxes_overlap(target: Target, said: Point | Rect) -> bool | None:
    """Judges a predicted box by its intersection with the target's over their union, at least a half; no points.

    Source: `ACC@0.5` of EvolvingLMMs-Lab/lmms-eval: lmms_eval/tasks/screenspot/utils_rec.py.
    """
    return overlap(said, target.box) >= ENOUGH if len(said) == 4 else None


POINT_CONVENTIONS: Mapping[str, PointConvention] = {
    "point": PointConvention(in_box, "the point, or the middle of the box, in the target's box"),
    "corner": PointConvention(corner_in_box, "the first two numbers as a point"),
    "iou": PointConvention(boxes_overlap, "intersection over union of boxes >= .5"),
}
