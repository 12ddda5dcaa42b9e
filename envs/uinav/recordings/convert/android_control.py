"""AndroidControl's TFRecord files as trajectories (google-research/google-research: android_control/README.md).

Its accessibility trees are serialized AndroidAccessibilityForest messages; the fields that are read are those of
google-deepmind/android_env: android_env/proto/a11y. Written from these two descriptions and tried on files made by
hand: the real files, 50 GB, were not at hand.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envs.corpora.fields import shown
from envs.corpora.jsonl import STRICT, json_faults
from envs.corpora.records import Content, Skipped, content_of
from envs.uinav.recordings.convert.tfrecord import (
    Example,
    integers,
    nested,
    numbers,
    parse_example,
    read_records,
    signed,
    texts,
)
from envs.uinav.recordings.files import parse_trajectory
from envs.uinav.recordings.trajectory import Trajectory, kind_of
from perlhf.errors import DataError

SOURCE = "android_control"
MAX_DEPTH = 200  # of a tree

# Fields of AndroidAccessibilityNodeInfo.
_TEXTS = {3: "class", 4: "content_description", 5: "hint", 7: "text", 10: "resource_id"}
_FLAGS = {
    12: "checkable",
    13: "is_checked",
    14: "clickable",
    15: "editable",
    16: "enabled",
    18: "focused",
    19: "long_clickable",
    21: "scrollable",
    23: "visible",
}
_ID, _BOUNDS, _CHILDREN = 1, 2, 25  # of AndroidAccessibilityNodeInfo, beside the flags above
_SIDES = {1: 0, 2: 1, 3: 2, 4: 3}  # of ProtoRect: left, top, right, bottom
_LAYER, _TITLE, _KIND, _TREE = 4, 5, 6, 11  # of AndroidAccessibilityWindowInfo
_APPLICATION = 1  # the kind of a window that is an app, and not a status bar or a keyboard


def read_android_control(path: str | Path, screenshots: str | Path | None = None) -> Content[Trajectory]:
    """Reads one file; every episode is a trajectory or is reported in `skipped`.

    Args:
        path: a TFRecord file, packed with gzip as the real ones are, or not.
        screenshots: a folder to write the episodes' PNG files into, as EPISODE_STEP.png; None to leave them out.

    Raises:
        DataError: an episode that is not of the format, with FILE:NUMBER.
    """
    folder = None if screenshots is None else Path(screenshots)
    return content_of((_episode(content, where, folder) for where, content in read_records(path)), path)


def _episode(content: bytes, where: str, folder: Path | None) -> Trajectory | Skipped:
    example = parse_example(content, where)
    forests = [_forest(forest, where) for forest in numbers(example, "accessibility_trees", where, bytes)]
    episode = _one(numbers(example, "episode_id", where), "episode_id", where)
    goal = _one(texts(example, "goal", where), "goal", where)
    row = {
        "episode_id": episode,
        "goal": goal,
        "source": SOURCE,
        "group": goal,  # the README's splits are by task too
        "screenshots": [] if folder is None else _save(example, episode, folder, where),
        "screenshot_widths": numbers(example, "screenshot_widths", where),
        "screenshot_heights": numbers(example, "screenshot_heights", where),
        "screens": [{"title": title} for title, _ in forests],
        "accessibility_trees": [nodes for _, nodes in forests],
        "actions": [_action(text, where) for text in texts(example, "actions", where)],
        "step_instructions": texts(example, "step_instructions", where),
    }
    return parse_trajectory(row, where)


def _one(values: list[Any], key: str, where: str) -> Any:
    if len(values) != 1:
        raise DataError(f"{where}: feature {key!r} has {len(values)} values, expected 1.")
    return values[0]


def _action(text: str, where: str) -> Any:
    with json_faults(f"{where}: action {shown(text)}", " at column {0.colno}"):
        return STRICT.decode(text)


def _save(example: Example, episode: int, folder: Path, where: str) -> list[str]:
    names = []
    for i, picture in enumerate(numbers(example, "screenshots", where, bytes)):
        names.append(f"{episode}_{i}.png")
        (folder / names[-1]).write_bytes(picture)
    return names


def _forest(message: bytes, where: str) -> tuple[str, list[dict[str, Any]]]:
    """Returns the title of the application's window, and the nodes of all shown windows, the front ones first."""
    windows = [_window(window, where) for number, window in nested(message, where) if number == 1]
    windows.sort(key=lambda window: -window[0])
    titles = [title for _, title, kind, _ in windows if kind == _APPLICATION and title]
    return (titles[0] if titles else ""), [node for *_, nodes in windows for node in nodes]


def _window(message: Any, where: str) -> tuple[int, str, int, list[dict[str, Any]]]:
    layer, title, kind, nodes = 0, "", 0, []
    for number, value in nested(message, where):
        if number == _LAYER and isinstance(value, int):
            layer = signed(value)
        elif number == _TITLE:
            title = _text(value, where)
        elif number == _KIND and isinstance(value, int):
            kind = value
        elif number == _TREE:
            nodes = _tree(value, where)
    return layer, title, kind, nodes


def _tree(message: Any, where: str) -> list[dict[str, Any]]:
    """Returns the nodes of a tree in reading order."""
    by_id = {}
    for number, value in nested(message, where):
        if number == 1:
            node = _node(value, where)
            by_id[node["id"]] = node
    children = {child for node in by_id.values() for child in node["children"]}
    roots = [node for key, node in by_id.items() if key not in children]
    return [plain for root in roots for plain in _shown(root, by_id, where, 0)]


def _shown(node: dict[str, Any], by_id: dict[int, Any], where: str, depth: int) -> Iterator[dict[str, Any]]:
    """Yields the nodes from this one on that matter: what reacts, or says something that no other says.

    What reacts and has no words of its own, as a row of a list, takes those inside, and they are not shown again.
    """
    if depth > MAX_DEPTH:
        raise DataError(f"{where}: an accessibility tree is deeper than {MAX_DEPTH} nodes, or goes in a circle.")
    below = [by_id[child] for child in node["children"] if child in by_id]
    inside = [plain for child in below for plain in _shown(child, by_id, where, depth + 1)]
    plain = _plain(node)
    reacts = node.get("clickable") or node.get("long_clickable") or node.get("editable") or node.get("checkable")
    if not node.get("visible") or not (reacts or plain["text"] or plain["content_description"]):
        yield from inside
        return
    if reacts and not (plain["text"] or plain["content_description"]):
        words = [p for p in inside if not (p["clickable"] or p["editable"] or p["long_clickable"])]
        plain["text"] = ", ".join(p["content_description"] or p["text"] for p in words)
        inside = [p for p in inside if not any(p is word for word in words)]
    yield plain
    yield from inside


def _plain(node: dict[str, Any]) -> dict[str, Any]:
    """Returns a node as `envs.uinav.recordings.files` has it."""
    flags = ("clickable", "editable", "scrollable", "focused", "enabled", "long_clickable")
    checkable = node.get("checkable") or kind_of(node.get("class", "")) in ("check", "toggle", "option")
    return {
        "class": node.get("class", ""),
        "text": node.get("text", ""),
        "content_description": node.get("content_description", "") or node.get("hint", ""),
        "resource_id": node.get("resource_id", ""),
        "bounds": node["bounds"],
        **{flag: node.get(flag, False) for flag in flags},
        "checked": node.get("is_checked", False) if checkable else None,
    }


def _node(message: Any, where: str) -> dict[str, Any]:
    node: dict[str, Any] = {"id": 0, "bounds": [0, 0, 0, 0], "children": []}
    for number, value in nested(message, where):
        if number in _TEXTS:
            node[_TEXTS[number]] = _text(value, where)
        elif number in _FLAGS:
            node[_FLAGS[number]] = bool(value)
        elif number == _ID and isinstance(value, int):
            node["id"] = signed(value)
        elif number == _BOUNDS:
            for side, length in nested(value, where):
                if side in _SIDES and isinstance(length, int):
                    node["bounds"][_SIDES[side]] = signed(length)
        elif number == _CHILDREN:
            node["children"] += integers(value, where)
    left, top, right, bottom = node["bounds"]
    node["bounds"] = [left, top, max(left, right), max(top, bottom)]  # what is scrolled away has them the other way
    return node


def _text(value: Any, where: str) -> str:
    if not isinstance(value, bytes):
        raise DataError(f"{where}: damaged protocol buffer (a number where a text should be).")
    return value.decode("utf-8", "replace").replace("\0", "")
