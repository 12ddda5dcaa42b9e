"""Questions and referring expressions about real Android screens, as trajectories of one step.

- `read_screen_qa`: screens of google-research-datasets/screen_annotation (arXiv 2402.04615), a CSV of
  `11107,"PICTOGRAM three bars 0 132 30 109, TOOLBAR 0 999 31 109 (TEXT Account 171 352 54 84)"` (type, text, x0 x1 y0
  y1 in thousandths), and questions of google-research-datasets/screen_qa (arXiv 2209.08199), a JSON array of
  {image_id, question, ground_truth}. The step is done(answer), or
  infeasible(no answer) where that is what all annotators say.
- `read_ref_exp`: google-research-datasets/uibert: ref_exp (arXiv 2107.13731), TFRecords of candidate boxes, the index
  of the right one, the words for it, and the texts of the screen. The step is click(i).

Elements have what is in the files: no screenshots, and of most boxes no text. So not every question can be answered.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from envs.corpora.fields import int_field, limited_text, list_field, shown
from envs.corpora.json_array import read_array, read_text
from envs.corpora.records import Content, Skipped, content_of
from envs.uinav.interface.screen import Box, Element
from envs.uinav.recordings.convert.tfrecord import numbers, parse_example, read_records, texts
from envs.uinav.recordings.trajectory import Move, Shot, Step, Trajectory, area, complaint, point_on
from perlhf.errors import DataError

SIDE = 1000  # annotations are in thousandths of the screen
WIDTH, HEIGHT = 1440, 2560  # of Rico's screens, pixels
_TYPES = {
    "TEXT": "text",
    "LABEL": "text",
    "PICTOGRAM": "icon",
    "IMAGE": "image",
    "MAP": "image",
    "BUTTON": "button",
    "TEXT_INPUT": "field",
    "CHECKBOX": "check",
    "RADIO_BUTTON": "option",
    "SWITCH": "toggle",
    "LIST_ITEM": "item",
    "TOOLBAR": "bar",
    "NAVIGATION_BAR": "bar",
    "PAGER_INDICATOR": "image",
    "KEYBOARD": "keyboard",
}
_PLAIN = ("text", "image", "bar", "keyboard")  # kinds that do not react
_NONE = "<no answer>"
_ANY = "|".join(_TYPES)
_NUMBER = "(0|[1-9][0-9]{0,3})"
_PART = re.compile(rf"({_ANY})(?: (.*?))?? {' '.join([_NUMBER] * 4)}(?= \((?:{_ANY})\b|\)|, (?:{_ANY})\b|$)", re.DOTALL)


def read_screens(path: str | Path) -> dict[int, Shot]:
    """Annotated screens by number.

    Raises:
        DataError: a row that is not of the format, with FILE:LINE.
    """
    screens: dict[int, Shot] = {}
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        for i, row in enumerate(reader):
            where = f"{path}:{reader.line_num}"
            if i == 0 and row != ["screen_id", "screen_annotation"]:
                raise DataError(f"{where}: the columns must be screen_id, screen_annotation; got {shown(str(row))}.")
            if i > 0:
                number, shot = _screen(row, where)
                if number in screens:
                    raise DataError(f"{where}: screen {number} is there twice.")
                screens[number] = shot
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not CSV ({error}).") from None
    if not screens:
        raise DataError(f"{path}:1: the file has no screens.")
    return screens


def _screen(row: list[str], where: str) -> tuple[int, Shot]:
    if len(row) != 2 or not re.fullmatch(r"[0-9]{1,9}", row[0]):
        raise DataError(f"{where}: expected a screen's number and its annotation, got {shown(str(row))}.")
    limited_text({"screen_annotation": row[1]}, "screen_annotation", where)
    elements, at = _parts(row[1], 0, where, 0)
    if at < len(row[1]):
        raise DataError(f"{where}: no annotation from character {at + 1} on: {shown(row[1][at:])}.")
    return int(row[0]), Shot(tuple(elements), SIDE, SIDE)


def _parts(text: str, at: int, where: str, depth: int) -> tuple[list[Element], int]:
    """Returns the elements from a place to the end of their list; of a nest those that say something new."""
    elements: list[Element] = []
    while True:
        found = _PART.match(text, at)
        if found is None or depth > 50:
            raise DataError(f"{where}: no annotation from character {at + 1} on: {shown(text[at:])}.")
        inside: list[Element] = []
        at = found.end()
        if text.startswith(" (", at):
            inside, at = _parts(text, at + 2, where, depth + 1)
            if not text.startswith(")", at):
                raise DataError(f"{where}: expected ')' at character {at + 1}.")
            at += 1
        elements += _nest(_annotated(found), inside)
        if not text.startswith(", ", at):
            return elements, at
        at += 2


def _annotated(found: re.Match[str]) -> Element:
    kind, (left, right, top, bottom) = _TYPES[found[1]], (int(found[i]) for i in range(3, 7))
    box = Box(left, top, max(left, right), max(top, bottom))
    said = (found[2] or "").strip()
    checked = False if kind in ("check", "option", "toggle") else None  # whether it is, no annotation says
    named = kind in ("icon", "image")
    text, description = ("", said) if named else (said, "")
    return Element(kind, text, description, "", box, kind not in _PLAIN, kind == "field", checked=checked)


def _nest(outer: Element, inside: list[Element]) -> list[Element]:
    if not inside:
        return [outer] if outer.label or outer.kind not in ("bar", "item", "keyboard") else []
    if outer.kind == "field":
        return [outer._replace(text=outer.text or " ".join(element.label for element in inside))]
    new = [element for element in inside if element.label != outer.label or element.clickable]
    return [outer, *new] if outer.label else new


def read_screen_qa(annotations: str | Path, questions: str | Path) -> Content[Trajectory]:
    """Reads questions; every one is a trajectory or is reported in `skipped`, as when its screen is not annotated.

    Raises:
        DataError: a row of either file that is not of the format, with FILE:LINE.
    """
    screens = read_screens(annotations)
    return content_of((_question(row, where, screens) for where, row in read_array(questions)), questions)


def _question(row: Any, where: str, screens: Mapping[int, Shot]) -> Trajectory | Skipped:
    if not isinstance(row, Mapping):
        raise DataError(f"{where}: a question must be an object, got {shown(row)}.")
    number, question = int_field(row, "image_id", where), limited_text(row, "question", where)
    truth = list_field(row, "ground_truth", where)
    answers = [limited_text({f"ground_truth[{i}]": a}, f"ground_truth[{i}]", where) for i, a in enumerate(truth)]
    if not any(answer.strip() for answer in answers):
        return Skipped(where, "it has no answer")
    if number not in screens:
        return Skipped(where, "its screen is not annotated")
    move = _answer([answer for answer in answers if answer.strip()])
    episode = f"{number}_{where.rpartition('[')[2].rstrip(']')}"
    trajectory = Trajectory(question, (Step(screens[number], move),), episode, "screen_qa", str(number))
    problem = complaint(trajectory)
    return Skipped(where, problem) if problem else trajectory


def _answer(answers: list[str]) -> Move:
    """Returns the move that answers, or that says infeasible if no annotator found an answer."""
    found = [answer for answer in answers if answer != _NONE]
    return (
        Move("done", None, found[0], tuple(dict.fromkeys(found[1:])))
        if found
        else Move("infeasible", None, "no answer")
    )


def read_ref_exp(path: str | Path) -> Content[Trajectory]:
    """Reads referring expressions; every one is a trajectory or is reported in `skipped`.

    Raises:
        DataError: a record that is not of the format, with FILE:NUMBER.
    """
    return content_of((_expression(content, where) for where, content in read_records(path)), path)


def _expression(content: bytes, where: str) -> Trajectory | Skipped:
    example = parse_example(content, where)
    label = _single(numbers(example, "image/ref_exp/label", where), where)
    goal = _single(texts(example, "image/ref_exp/text", where), where)
    image = _single(texts(example, "image/id", where), where)
    boxes = list(_boxes(example, "image/object/bbox", where))
    if not 0 <= label < len(boxes):
        raise DataError(f"{where}: the right box is number {label} of {len(boxes)}.")
    names = ("text", "description", "id/name", "class/name")
    words = [texts(example, f"image/view_hierarchy/{name}", where) for name in names]
    spots = list(_boxes(example, "image/view_hierarchy/bbox", where))
    if any(len(each) != len(spots) for each in words):
        raise DataError(f"{where}: the texts of the screen are not as many as their boxes.")
    leaves = [_leaf(box, *said) for box, *said in zip(spots, *words, strict=True)]
    elements = [_candidate(box, leaves) for box in boxes]
    right = elements[label]
    elements += [leaf for leaf in leaves if leaf.label and not any(_overlap(leaf.box, box) > 0.5 for box in boxes)]
    elements.sort(key=lambda element: (element.box.top, element.box.left))
    index = next(i for i, element in enumerate(elements) if element is right)
    point = point_on(elements, index)
    if point is None:
        return Skipped(where, "the right box is covered by smaller ones")
    shot = Shot(tuple(elements), WIDTH, HEIGHT)
    episode = f"{image}_{where.rpartition(':')[2]}"
    trajectory = Trajectory(goal, (Step(shot, Move("click", point)),), episode, "uibert", image)
    problem = complaint(trajectory)
    return Skipped(where, problem) if problem else trajectory


def _single(values: list[Any], where: str) -> Any:
    if len(values) != 1:
        raise DataError(f"{where}: expected one number, one text and one id of an image, got {len(values)} of one.")
    return values[0]


def _boxes(example: Mapping[str, list[Any]], prefix: str, where: str) -> Iterator[Box]:
    sides = [numbers(example, f"{prefix}/{side}", where, float) for side in ("xmin", "ymin", "xmax", "ymax")]
    if len({len(side) for side in sides}) > 1:
        raise DataError(f"{where}: {prefix} has not as many of each side.")
    for left, top, right, bottom in zip(*sides, strict=True):
        if not (-1 <= left <= right <= 2 and -1 <= top <= bottom <= 2):
            raise DataError(f"{where}: {prefix} must be shares of the screen, left before right, top before bottom.")
        yield Box(round(left * WIDTH), round(top * HEIGHT), round(right * WIDTH), round(bottom * HEIGHT))


def _leaf(box: Box, text: str, description: str, name: str, kind: str) -> Element:
    """Returns a leaf of the view hierarchy; its classes are called IMAGE_BUTTON, TEXT_VIEW and so on."""
    kinds = {
        "IMAGE_BUTTON": "icon",
        "IMAGE_VIEW": "image",
        "BUTTON": "button",
        "EDIT_TEXT": "field",
        "SWITCH": "toggle",
    }
    return Element(kinds.get(kind, "text"), text.strip(), description.strip(), name.strip(), box)


def _candidate(box: Box, leaves: list[Element]) -> Element:
    """Returns a candidate box with the words of the leaf that it overlaps most; without, an icon that says nothing."""
    best = max(leaves, key=lambda leaf: _overlap(leaf.box, box), default=None)
    if best is None or _overlap(best.box, box) < 0.2:
        return Element("icon", "", "", "", box, clickable=True)
    return best._replace(box=box, clickable=True, editable=best.kind == "field")


def _overlap(one: Box, other: Box) -> float:
    """Returns the part of the two boxes' area that they share."""
    left, top = max(one.left, other.left), max(one.top, other.top)
    right, bottom = min(one.right, other.right), min(one.bottom, other.bottom)
    shared = max(0, right - left) * max(0, bottom - top)
    whole = _area(one) + _area(other) - shared
    return shared / whole if whole else 0.0


def _area(box: Box) -> int:
    return area(Element("item", "", "", "", box))
