"""Holds the parts that conventions of scoring are made of: distances, larger boxes, and texts that count as one."""

from math import hypot

from evaluation.android.steps import Point, Rect


def relative_distance(first: Point, second: Point, width: float, height: float) -> float:
    """Returns the distance of two points where the screen is a square of side 1.

    On a tall screen a pixel sideways counts more than one downwards.
    """
    return hypot((first[0] - second[0]) / width, (first[1] - second[1]) / height)


def pixel_distance(first: Point, second: Point) -> float:
    """Returns the distance of two points in pixels."""
    return hypot(first[0] - second[0], first[1] - second[1])


def scaled(box: Rect, factor: float) -> Rect:
    """Returns a box so many times as wide and high around the same middle."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half_width, half_height = (box[2] - box[0]) * factor / 2, (box[3] - box[1]) * factor / 2
    return x - half_width, y - half_height, x + half_width, y + half_height


def widened(box: Rect, added: float, width: float, height: float) -> Rect:
    """Returns a box that is larger by so many times its sides, its upper left corner kept on the screen.

    As Android in the Wild does it: a corner that is moved back onto the screen takes the box with it, whose sides stay
    as long as they are (google-research/google-research: android_in_the_wild/action_matching.py).
    """
    across, down = box[2] - box[0], box[3] - box[1]
    left, top = max(0.0, box[0] - added * across / 2), max(0.0, box[1] - added * down / 2)
    return left, top, left + min(width, across * (1 + added)), top + min(height, down * (1 + added))


def overlap(first: Rect, second: Rect) -> float:
    """Returns the intersection over union of two boxes, 0 where both are empty."""
    across = max(0.0, min(first[2], second[2]) - max(first[0], second[0]))
    down = max(0.0, min(first[3], second[3]) - max(first[1], second[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    union = areas - across * down
    return across * down / union if union > 0 else 0.0


def contains(first: str, second: str) -> bool:
    """Returns whether one of two texts contains the other, in any case and without outer space.

    The empty text is in all: under conventions that go by this, typing nothing is right.
    """
    a, b = first.lower().strip(), second.lower().strip()
    return a in b or b in a


def token_f1(first: str, second: str) -> float:
    """Returns the F1 of two texts as sets of words in small letters; 0 where they share none."""
    a, b = set(first.lower().split()), set(second.lower().split())
    return 2 * len(a & b) / (len(a) + len(b)) if a & b else 0.0


def similarity(first: str, second: str) -> float:
    """Returns 1 less the edit distance of two texts over the length of the longer one; 1 for two empty ones."""
    longest = max(len(first), len(second))
    return 1 - edit_distance(first, second) / longest if longest else 1.0


def alike(first: str, second: str, enough: float) -> bool:
    """Returns whether the similarity of two texts is at least so much."""
    shortest, longest = sorted((len(first), len(second)))
    # Their distance is at least the difference of their lengths: an endless answer need not be compared.
    return shortest >= enough * longest and similarity(first, second) >= enough


def edit_distance(first: str, second: str) -> int:
    """Returns the least number of characters to insert, delete or replace (Levenshtein)."""
    row = list(range(len(second) + 1))
    for i, sign in enumerate(first, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(second, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (sign != other))
    return row[-1]
