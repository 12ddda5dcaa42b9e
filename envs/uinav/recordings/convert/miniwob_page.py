"""A page of MiniWoB++ as elements.

A recorded page is a tree of nodes {tag, ref, left, top, width, height, text, value, id, classes, bgColor, focused,
children}. `recordingTarget`, which marks the answer, plays no part in them. A page does not say what reacts, so all its
elements count as clickable; containers are no elements.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from envs.corpora.fields import limited_text, shown
from envs.uinav.interface.screen import Box, Element
from envs.uinav.recordings.trajectory import area
from perlhf.errors import DataError

WIDTH, HEIGHT = 160, 210  # of a task's page, pixels

_KINDS = {
    "BUTTON": "button",
    "INPUT_button": "button",
    "INPUT_submit": "button",
    "INPUT_checkbox": "check",
    "INPUT_radio": "option",
    "TEXTAREA": "field",
    "A": "item",
    "LI": "item",
    "H3": "item",
    "OPTION": "item",
    "SELECT": "item",
    "TD": "item",
}
_WHOLE = {"A", "BUTTON", "H3", "TH", "LABEL", "OPTION", "text", "INPUT_button"}  # one element with all inside
_INLINE = {"t", "tspan", "BR", "B", "I"}
_CHECKS = ("INPUT_checkbox", "INPUT_radio")
_LOOKS = ("ui-button", "ui-corner", "ui-icon", "ui-state", "ui-widget")  # classes of jQuery UI that say nothing
_CLEAR = "rgba(0, 0, 0, 0)"
_COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 160, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "orange": (255, 165, 0),
    "purple": (128, 0, 128),
    "pink": (255, 160, 190),
    "cyan": (0, 255, 255),
    "black": (0, 0, 0),
    "grey": (128, 128, 128),
    "white": (255, 255, 255),
}


def check_node(node: Any, where: str) -> None:
    """Refuses a tree that is no page.

    Raises:
        DataError: starts with `where`.
    """
    if not isinstance(node, Mapping):
        raise DataError(f"{where}: a node must be an object, got {shown(node)}.")
    limited_text(node, "tag", where)
    for key in ("left", "top", "width", "height"):
        value: Any = node.get(key)
        if type(value) not in (int, float) or not -1e6 < value < 1e6:
            raise DataError(f"{where}: field {key!r} of a node must be a number of pixels, got {shown(value)}.")
    for key in ("text", "value", "id", "classes"):
        if node.get(key) and isinstance(node[key], str):
            limited_text(node, key, where)
    if not isinstance(node.get("children"), list):
        raise DataError(f"{where}: field 'children' must be an array, got {shown(node.get('children'))}.")
    for child in node["children"]:
        check_node(child, where)


def nodes_of(node: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yields the node and all below it."""
    yield node
    for child in node["children"]:
        yield from nodes_of(child)


def elements_of(page: Mapping[str, Any]) -> tuple[Element, ...]:
    """Returns the elements of a page in the order of its nodes."""
    return tuple(element for element, _ in found_in(page))


def found_in(page: Mapping[str, Any]) -> list[tuple[Element, Mapping[str, Any]]]:
    """Returns the elements of a page, each with its node."""
    return list(_walk(page, None, ""))


def box_of(node: Mapping[str, Any]) -> Box:
    """Returns the box of a node, in whole pixels."""
    left, top = node["left"], node["top"]
    return Box(math.floor(left), math.floor(top), math.ceil(left + node["width"]), math.ceil(top + node["height"]))


def is_field(node: Mapping[str, Any]) -> bool:
    """Returns whether text can be typed into it."""
    tag = node["tag"]
    return tag == "TEXTAREA" or (tag.startswith("INPUT_") and _KINDS.get(tag, "field") == "field")


def _walk(node: Mapping[str, Any], clip: Box | None, label: str) -> Iterator[tuple[Element, Mapping[str, Any]]]:
    check = next((n for n in nodes_of(node) if n["tag"] in _CHECKS), None) if node["tag"] == "LABEL" else None
    if check is not None:
        yield _element(check, _joined(node), _around(box_of(node), box_of(check))), check
        return
    if node["tag"] in _WHOLE or not node["children"] or _is_inline(node):
        box = box_of(node) if clip is None else _within(box_of(node), clip)
        element = _element(node, _joined(node), box, label)
        named = element.label and (element.text or node["tag"] != "TD")
        if area(element) and (named or element.editable or element.checked is not None):
            yield element, node
        return
    inner = box_of(node) if _is_list(node) else clip
    before = ""
    for child in node["children"]:
        yield from _walk(child, inner, before)
        before = _joined(child) if child["tag"] == "LABEL" else ""


def _is_list(node: Mapping[str, Any]) -> bool:
    """Returns whether it is a list whose options reach beyond what is shown; those of a closed one do not."""
    return node["tag"] == "SELECT" and any(box_of(node).holds(*box_of(child).middle) for child in node["children"])


def _is_inline(node: Mapping[str, Any]) -> bool:
    """Returns whether there is nothing but text inside."""
    return all(child["tag"] in _INLINE for child in nodes_of(node) if child is not node)


def _joined(node: Mapping[str, Any]) -> str:
    return " ".join(" ".join(_string(n, "text") for n in nodes_of(node)).split())


def _string(node: Mapping[str, Any], key: str) -> str:
    """Returns a text of a node; of SVG an object stands there."""
    value = node.get(key, "")
    return value if isinstance(value, str) else ""


def _around(one: Box, other: Box) -> Box:
    return Box(
        min(one.left, other.left), min(one.top, other.top), max(one.right, other.right), max(one.bottom, other.bottom)
    )


def _within(box: Box, clip: Box) -> Box:
    left, top = max(box.left, clip.left), max(box.top, clip.top)
    return Box(left, top, max(left, min(box.right, clip.right)), max(top, min(box.bottom, clip.bottom)))


def _element(node: Mapping[str, Any], text: str, box: Box, label: str = "") -> Element:
    """Returns a node as an element.

    Args:
        node: of the page.
        text: in it and in all that is inside.
        box: where it is.
        label: the words before a field.
    """
    tag, name = node["tag"], _string(node, "id")
    if is_field(node):
        value = node.get("value", "")
        description = label or name or tag.partition("_")[2]
        text = value if isinstance(value, str) else ""
        return Element("field", text, description, name, box, True, True, focused=node.get("focused") is True)
    checked = node.get("value") is True if tag in _CHECKS else None
    kind = _KINDS.get(tag, "text" if text else "icon")
    description = "" if text else _named(node)
    return Element(kind, text, description, name, box, True, focused=node.get("focused") is True, checked=checked)


def _named(node: Mapping[str, Any]) -> str:
    """Returns a name for a node without text: by its classes, or its name, and its colour."""
    classes = [name for name in _string(node, "classes").split() if not name.startswith(_LOOKS)]
    name = " ".join(classes[:3]) or _string(node, "id")
    if not name and node["tag"].islower() and node["tag"] not in ("t", "svg"):
        name = node["tag"]  # a shape of SVG
    colour = _colour(_string(node, "bgColor")) if node["tag"] in ("DIV", "SPAN") else ""
    return " ".join(part for part in (name, colour) if part)


def _colour(value: str) -> str:
    """Returns the nearest name of a colour such as "rgb(0, 128, 0)"; "" for none."""
    parts = value.removeprefix("rgb(").removesuffix(")").split(",")
    if value == _CLEAR or len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        return ""
    given = [int(part) for part in parts]
    return min(_COLOURS, key=lambda name: sum((a - b) ** 2 for a, b in zip(given, _COLOURS[name], strict=True)))
