"""The events of a MiniWoB++ demonstration as steps; `envs.uinav.recordings.convert.miniwob` says by which rules."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from envs.uinav.interface.screen import Box, Element
from envs.uinav.recordings.convert.miniwob_page import HEIGHT, WIDTH, box_of, elements_of, found_in, is_field, nodes_of
from envs.uinav.recordings.trajectory import Move, Shot, Step, area, meant, point_on

Page = Mapping[str, Any]
Found = Sequence[tuple[Element, Page]]  # the elements of a page, each with its node
_FAR = 5  # pixels between mousedown and mouseup that make a drag
_PAGE_WIDE = {"BODY", "FORM"}  # a click into one of these, or into `wrap` or `area`, is into no container of anything
_PAGE_IDS = {"wrap", "area"}


class ConversionError(Exception):
    """Say why a demonstration cannot be written in UINav's actions."""


class Act(NamedTuple):
    """A move, the page before it, and the number of the field that it is about, or None."""

    page: Page
    move: Move
    field: Any = None


class Chunk(NamedTuple):
    """Events that belong together, "mouse", "keys" or "scroll", with the page before and after them."""

    kind: str
    pages: tuple[Page, ...]  # before each event
    events: tuple[Mapping[str, Any], ...]
    after: Page


def convert_events(states: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """Returns the steps of a demonstration.

    Args:
        states: of the file, checked.

    Raises:
        ConversionError: with the reason.
    """
    if not states:
        raise ConversionError("it has no states")
    if any(node["tag"] == "SELECT" and not node["children"] for state in states for node in nodes_of(state["dom"])):
        raise ConversionError("a choice in a closed list is not recorded")
    acts: list[Act] = []
    for chunk in _chunks(states):
        for act in _CONVERTERS[chunk.kind](chunk):
            _add(acts, act)
    if not acts:
        raise ConversionError("nothing is done in it")
    return tuple(Step(Shot(elements_of(act.page), WIDTH, HEIGHT), act.move) for act in acts)


def _chunks(states: Sequence[Mapping[str, Any]]) -> list[Chunk]:
    """Returns the events of one effect: a mouse button from down to up, keys and scrolls that follow on."""
    groups: list[tuple[str, list[Page], list[Mapping[str, Any]]]] = []
    for state in states:
        action = state.get("action")
        if action is None or action["timing"] != 1 or action["type"] in ("click", "dblclick"):
            continue
        kind = "keys" if action["type"].startswith("key") else "scroll" if action["type"] == "scroll" else "mouse"
        held = groups and groups[-1][0] == "mouse" and groups[-1][2][-1]["type"] != "mouseup"
        follows = groups and groups[-1][0] == kind != "mouse"
        if action["type"] == "mouseup" and not held:
            continue  # of a button that went down before the first state
        if not follows and not (held and action["type"] != "mousedown" and kind != "keys"):
            groups.append((kind, [], []))
        groups[-1][1].append(state["dom"])
        groups[-1][2].append(action)
    afters = [*(pages[0] for _, pages, _ in groups[1:]), states[-1]["dom"]]
    return [Chunk(k, tuple(p), tuple(e), after) for (k, p, e), after in zip(groups, afters, strict=False)]


def _mouse(chunk: Chunk) -> list[Act]:
    page, event = chunk.pages[0], chunk.events[0]
    x, y = int(event["x"]), int(event["y"])
    found = found_in(page)
    target = meant([element for element, _ in found], (x, y))
    if _is_drag(chunk):
        moved = _scroll(chunk)
        if moved or target is None or not found[target][0].editable:
            return moved or _no_effect(chunk, "a drag changes the page")
    if target is None:
        return _scroll(chunk) or _beside(chunk, x, y)
    target, point = _uncovered(page, found, target, (x, y))
    node = found[target][1]
    if is_field(node):
        value = _fields(chunk.after).get(node.get("ref"))
        if value is not None and value != node.get("value"):
            return [_typed(page, node, value)]  # by the arrows in it
    return [Act(page, Move("click", point), node.get("ref") if is_field(node) else None)]


def _uncovered(page: Page, found: Found, target: int, point: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """Returns the element that was hit and a point that means it, where a menu lies over a smaller element.

    Pages do not say what lies on top. The mark of the browser does, `recordingTarget`: it is read here, where the
    answer is written down, and nowhere else.
    """
    marked = next((node for node in nodes_of(page) if node.get("recordingTarget")), None)
    inside = [] if marked is None else [id(node) for node in nodes_of(marked)]
    hit = [i for i, (element, node) in enumerate(found) if id(node) in inside and element.box.holds(*point)]
    if not hit or target in hit:
        return target, point
    hit.sort(key=lambda i: area(found[i][0]))
    free = point_on([element for element, _ in found], hit[0])
    if free is None:
        raise ConversionError("the element that is clicked is covered")
    return hit[0], free


def _is_drag(chunk: Chunk) -> bool:
    first, last = chunk.events[0], chunk.events[-1]
    return last["type"] == "mouseup" and max(abs(last["x"] - first["x"]), abs(last["y"] - first["y"])) > _FAR


def _no_effect(chunk: Chunk, reason: str) -> list[Act]:
    if _look(chunk.pages[0]) != _look(chunk.after):
        raise ConversionError(reason)
    return []


def _look(page: Page) -> list[tuple[Any, ...]]:
    """All of a page that a person sees, but for what has the focus."""
    return [(e.kind, e.text, e.description, e.checked, e.box) for e in elements_of(page)]


def _beside(chunk: Chunk, x: int, y: int) -> list[Act]:
    """Returns a click beside all elements: nothing, or one on the nearest element of the container."""
    page = chunk.pages[0]
    if _look(page) == _look(chunk.after):
        return []
    around = [node for node in nodes_of(page) if box_of(node).holds(x, y)]
    container = min(around, key=lambda node: node["width"] * node["height"], default=page)
    inside = [e for e in elements_of(container) if 0 <= e.box.middle[0] < WIDTH and 0 <= e.box.middle[1] < HEIGHT]
    if container["tag"] in _PAGE_WIDE or container.get("id") in _PAGE_IDS or not inside:
        raise ConversionError("a click on no element changes the page")
    nearest = min(inside, key=lambda element: _distance(element.box, x, y))
    return [Act(page, Move("click", nearest.box.middle))]


def _distance(box: Box, x: int, y: int) -> int:
    across, down = max(box.left - x, 0, x - box.right), max(box.top - y, 0, y - box.bottom)
    return across**2 + down**2


def _scroll(chunk: Chunk) -> list[Act]:
    """Returns a scroll, if the page moved."""
    page = chunk.pages[0]
    if all(event["type"] != "scroll" for event in chunk.events):
        return []
    before, after = ({n["ref"]: n for n in nodes_of(p) if "ref" in n} for p in (page, chunk.after))
    both = before.keys() & after.keys()
    down, right = (sum(before[ref][key] - after[ref][key] for ref in both) for key in ("top", "left"))
    if abs(down) < 1 and abs(right) < 1:
        return []
    if abs(down) >= abs(right):
        return [Act(page, Move("scroll", None, "down" if down > 0 else "up"))]
    return [Act(page, Move("scroll", None, "right" if right > 0 else "left"))]


def _keys(chunk: Chunk) -> list[Act]:
    """Returns what each field holds after the keys that did not before, in the order in which they were changed."""
    start, end = _fields(chunk.pages[0]), _fields(chunk.after)
    changed = [ref for ref in start if ref in end and end[ref] != start[ref]]
    if not changed:
        return _no_effect(chunk, "keys do something else than typing")
    if _checks(chunk.pages[0]) != _checks(chunk.after):
        raise ConversionError("keys change more than fields")
    held = [_fields(page) for page in chunk.pages]
    same = {ref: max(i for i, fields in enumerate(held) if fields.get(ref) == start[ref]) for ref in changed}
    acts: list[Act] = []
    for ref in sorted(changed, key=lambda ref: same[ref]):
        page = chunk.pages[same[ref] if acts else 0]
        node = next((n for n in nodes_of(page) if n.get("ref") == ref), None)
        if node is None:
            raise ConversionError("a field that is typed into goes away")
        acts.append(_typed(page, node, end[ref]))
    return acts


def _fields(page: Page) -> dict[Any, str]:
    """Returns the text in each field, by the number of its node."""
    return {
        n["ref"]: n["value"] for n in nodes_of(page) if is_field(n) and "ref" in n and isinstance(n.get("value"), str)
    }


def _checks(page: Page) -> dict[Any, bool]:
    return {n.get("ref"): e.checked for e, n in found_in(page) if e.checked is not None}


def _typed(page: Page, node: Mapping[str, Any], text: str) -> Act:
    point = box_of(node).middle
    found = found_in(page)
    target = meant([element for element, _ in found], point)
    if target is None or found[target][1] is not node:
        raise ConversionError("a field that is typed into is covered")
    return Act(page, Move("type", point, text), node.get("ref"))


def _add(acts: list[Act], act: Act) -> None:
    """Adds an act; clicks into a field and what was typed into it before become part of what is typed into it."""
    previous = acts[-1] if acts else None
    if act.move.kind == "scroll" and previous is not None and previous.move == act.move:
        return
    while act.move.kind == "type" and acts and acts[-1].field is not None and acts[-1].field == act.field:
        act = act._replace(page=acts.pop().page)
    acts.append(act)


_CONVERTERS = {"mouse": _mouse, "keys": _keys, "scroll": _scroll}
