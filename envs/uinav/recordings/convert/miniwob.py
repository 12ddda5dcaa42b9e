"""Demonstrations of MiniWoB++ as trajectories.

    {"utterance": "Log in as bob", "rawReward": 1, "states": [{"time": 0, "dom": {..}, "action": {"type": "mousedown",
     "x": 83, "y": 96, "timing": 1}}, ..]}

A page listener wrote down every event twice; those of `timing` 1 come before their effect, so their page is what the
person saw. From the events to UINav's macros:

- mousedown: a click on the smallest element around the point. Beside all elements it is left out where the page stays
  as it is, and else taken as a click on the nearest element of the container that was hit.
- keys between clicks: a type of what each field that changed holds in the end, so that pasting, Tab and corrections
  count as what they did; clicks into the field just before are part of it. The arrows inside a number or time field
  are a type too.
- scroll events, and dragging a scroll bar: a scroll, by where the page moved.

Not convertible, each with its reason: no states, a choice in a closed list (the browser did not record it), keys or
drags that do something else, clicks on nothing that change the page. Only `rawReward` 1 is a success, since `reward`
falls with time; the other trajectories have `success` False, and are not played. The group is the assignment of the
worker, which is in the file's name: TASK_ASSIGNMENT_d1.json.gz.

Source of the format: stanfordnlp/miniwob-plusplus-demos (Liu et al., ICLR 2018, arXiv 1802.08802).
"""

import gzip
import io
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from envs.corpora.fields import limited_text, list_field, mapping_field, shown
from envs.corpora.jsonl import STRICT, json_faults
from envs.corpora.records import Content, Skipped, content_of
from envs.uinav.recordings.convert.miniwob_events import ConversionError, convert_events
from envs.uinav.recordings.convert.miniwob_page import check_node
from envs.uinav.recordings.trajectory import Trajectory, complaint
from perlhf.errors import DataError

MAX_BYTES = 50_000_000  # of one demonstration, unpacked; the largest of the public ones has 5 million
_NAME = re.compile(r"(.+)_([A-Z0-9]+)_d([0-9]+)")
_MOUSE = ("mousedown", "mouseup", "click", "dblclick")
_EVENTS = (*_MOUSE, "keydown", "keypress", "keyup", "scroll")


def read_miniwob(path: str | Path) -> Content[Trajectory]:
    """Reads a tar archive of demonstrations, a folder of them, or one of them (`.json` or `.json.gz`).

    Every demonstration is a trajectory or is reported in `skipped`.

    Raises:
        DataError: "FILE:LINE" or "FILE: MEMBER:LINE", and what is wrong.
    """
    files = _files(Path(path))
    return content_of((parse_demonstration(_decoded(content, where), where) for where, content in files), path)


def _files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yields where each demonstration is, and its bytes as they are stored."""
    if path.is_dir():
        for file in sorted((*path.rglob("*.json"), *path.rglob("*.json.gz"))):
            yield str(file), file.read_bytes()
        return
    try:
        if path.name.endswith((".json", ".json.gz")):
            yield str(path), path.read_bytes()
            return
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile() and member.name.endswith((".json", ".json.gz")):
                    content = tar.extractfile(member)
                    assert content is not None  # it is a file
                    yield f"{path}: {ascii(member.name)[1:-1]}", content.read(MAX_BYTES + 1)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path}:1: the archive is damaged or cut short ({' '.join(str(error).split())}).") from None
    except OSError as error:
        raise DataError(f"{path}:1: cannot be read ({error.strerror or error}).") from None


def _decoded(content: bytes, where: str) -> Any:
    try:
        if where.endswith(".gz"):
            with gzip.open(io.BytesIO(content)) as file:
                content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where}:1: the gzip stream is damaged or cut short ({error}).") from None
    if len(content) > MAX_BYTES:
        raise DataError(f"{where}:1: has more than {MAX_BYTES} bytes.")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{where}:{line}: not UTF-8 at byte {error.start}.") from None
    with json_faults(f"{where}:1", " at line {0.lineno}, column {0.colno}"):
        return STRICT.decode(text)


def parse_demonstration(value: Any, where: str) -> Trajectory | Skipped:
    """One demonstration.

    Raises:
        DataError: it is not of the format; the message starts with `where`.
    """
    at = f"{where}:1"
    if not isinstance(value, Mapping):
        raise DataError(f"{at}: expected a JSON object, got {shown(value)}.")
    goal, reward = limited_text(value, "utterance", at), value.get("rawReward")
    if isinstance(reward, bool) or not isinstance(reward, (int, float)):
        raise DataError(f"{at}: field 'rawReward' must be a number, got {shown(reward)}.")
    states = list_field(value, "states", at)
    for i, state in enumerate(states):
        _check_state(state, f"{at}: states[{i}]")
    task, group, number = named(where)
    try:
        steps = convert_events(states)
    except ConversionError as reason:
        return Skipped(where, str(reason))
    trajectory = Trajectory(goal, steps, f"{group}_{number}", f"miniwob/{task}", group, success=reward == 1)
    problem = complaint(trajectory)
    return Skipped(where, problem) if problem else trajectory


def named(where: str) -> tuple[str, str, str]:
    """Task, assignment and number in the name of a demonstration's file."""
    stem = PurePosixPath(where.rpartition(": ")[2]).name.split(".json")[0]
    found = _NAME.fullmatch(stem)
    return (found[1], found[2], found[3]) if found else (stem, stem, "1")


def _check_state(state: Any, where: str) -> None:
    if not isinstance(state, Mapping):
        raise DataError(f"{where} must be an object, got {shown(state)}.")
    check_node(state.get("dom"), f"{where}: dom")
    if state.get("action") is None:
        return
    action = mapping_field(state, "action", where)
    kind = action.get("type")
    if kind not in _EVENTS:
        raise DataError(f"{where}: field 'type' of an action must be one of {', '.join(_EVENTS)}, got {shown(kind)}.")
    for key in ("timing", *(("x", "y") if kind in _MOUSE else ())):
        number = action.get(key)
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise DataError(f"{where}: field {key!r} of an action must be a number, got {shown(number)}.")


def conversion_rates(content: Content[Trajectory]) -> dict[str, tuple[int, int]]:
    """Counts for each task the demonstrations that were converted, and all."""
    converted = Counter(trajectory.source.partition("/")[2] for trajectory in content.records)
    lost = Counter(named(skipped.where)[0] for skipped in content.skipped)
    return {task: (converted[task], converted[task] + lost[task]) for task in sorted(converted | lost)}
