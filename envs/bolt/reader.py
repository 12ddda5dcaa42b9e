"""The readers of message threads: a JSON Lines format of our own, and the XML of BOLT English SMS/Chat.

A thread (`parse_thread`), one JSON object a line; `time` (ISO 8601) and `summary` may be absent or null:

    {"id": "t1", "messages": [{"sender": "Ann", "text": "Lunch?", "time": "2012-03-04T12:00:00"},
                              {"sender": "Bo", "text": "At one"}], "summary": "Ann and Bo lunch at one."}

BOLT (`read_bolt_xml`), one conversation a file:

    <conversation id="SMS_ENG_20120304.0001" medium="SMS"><messages>
      <message id="m0" date=".." participant="101"><body>Lunch?</body></message>
    </messages></conversation>

Both give the prompt "THREAD:\\nAnn: Lunch?\\nBo: At one\\n\\nTL;DR:"; newlines within a message become spaces.

Source: LDC2018T19 (catalog.ldc.upenn.edu/LDC2018T19), licensed. Checked against its catalogue entry: UTF-8 XML of SMS
and chat conversations. **Not tried on the licensed files**: all names of elements and attributes, and that a file is
one conversation, are from descriptions. `date` is not read, as its form is unknown. What is not as above is
refused with FILE:LINE, so nothing is lost without a word.
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from envs.corpora.fields import MAX_PROMPT, limited_text, list_field, shown
from envs.corpora.jsonl import read_jsonl, text_field
from envs.corpora.records import Content, Demonstration, Skipped, content_of
from envs.corpora.splits import hashed_split
from perlhf.errors import DataError


def read_bolt(path: str | Path) -> Content[Demonstration]:
    """Reads a file of either format, by its name: `.xml` is BOLT's."""
    return read_bolt_xml(path) if Path(path).suffix == ".xml" else read_threads(path)


def read_threads(path: str | Path, split: str | None = None) -> Content[Demonstration]:
    """Reads a whole file of our own format; every row is a thread or is reported in `skipped`.

    Raises:
        DataError: a row that is not of the format, with FILE:LINE; a file without rows.
    """
    return content_of((parse_thread(row, f"{path}:{number}", split) for number, row in read_jsonl(path)), path)


def read_bolt_xml(path: str | Path, split: str | None = None) -> Content[Demonstration]:
    """Reads one conversation of BOLT.

    Raises:
        DataError: not UTF-8, not XML, a DOCTYPE or entities, or another structure, each with FILE:LINE.
    """
    root, lines = _parse_xml(_read_utf8(path), path)
    return content_of([parse_thread(_row(root, lines, path), f"{path}:{lines[root]}", split)], path)


def parse_thread(row: Mapping[str, Any], where: str, split: str | None = None) -> Demonstration | Skipped:
    """One thread; `meta` has where, id, split and messages (their number).

    Args:
        row: the row.
        where: its place, "FILE:LINE".
        split: the split of the thread, where it is known; else a hash of its id says it.

    Raises:
        DataError: the row is not of the format; the message starts with `where`.
    """
    thread_id = text_field(row, "id", where)
    messages = list_field(row, "messages", where)
    lines = [_message(message, f"{where}: messages[{index}]") for index, message in enumerate(messages)]
    response = None if row.get("summary") is None else limited_text(row, "summary", where).strip() or None
    if not any(text for _, text in lines):
        return Skipped(where, "no message has any text")
    talk = "\n".join(f"{sender}: {text}" for sender, text in lines)
    prompt = f"THREAD:\n{talk}\n\nTL;DR:"
    if len(prompt) > MAX_PROMPT:
        raise DataError(f"{where}: the thread has {len(prompt)} characters, more than {MAX_PROMPT}.")
    meta = {"where": where, "id": thread_id, "split": split or hashed_split(thread_id), "messages": len(lines)}
    return Demonstration(prompt, response, meta)


def _message(message: Any, where: str) -> tuple[str, str]:
    """Sender and text, each on one line: no message can pass for two."""
    if not isinstance(message, Mapping):
        raise DataError(f"{where} must be an object, got {shown(message)}.")
    sender, text = (" ".join(limited_text(message, key, where).splitlines()).strip() for key in ("sender", "text"))
    if not sender:
        raise DataError(f"{where}: field 'sender' is empty.")
    if message.get("time") is not None:
        _check_time(text_field(message, "time", where), where)
    return sender, text


def _check_time(time: str, where: str) -> None:
    try:
        datetime.fromisoformat(time)
    except ValueError:
        raise DataError(
            f"{where}: field 'time' must be ISO 8601 such as 2012-03-04T12:00:00, got {shown(time)}."
        ) from None


# XML


def _read_utf8(path: str | Path) -> str:
    try:
        content = Path(path).read_bytes()
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}:{line}: not UTF-8 at byte {error.start} of the file.") from None
    except OSError as error:
        raise DataError(f"{path}:1: cannot be read ({error.strerror or error}).") from None


def _parse_xml(text: str, path: str | Path) -> tuple[Element, dict[Element, int]]:
    """Returns the root, and the line of every element, which ElementTree's own parser would not tell."""
    builder, lines = TreeBuilder(), {}
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        lines[builder.start(tag, attributes)] = parser.CurrentLineNumber

    def refuse(*declaration: Any) -> None:
        # Without a DOCTYPE there are no entities but XML's own five: nothing is fetched, nothing multiplies.
        raise DataError(f"{path}:{parser.CurrentLineNumber}: has a DOCTYPE, which is refused; remove it.")

    parser.StartElementHandler, parser.EndElementHandler = start, builder.end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, refuse
    try:
        parser.Parse(text, True)  # of a str, so a declared encoding changes nothing
    except expat.ExpatError as error:
        problem = expat.ErrorString(error.code)
        raise DataError(f"{path}:{error.lineno}: not XML at column {error.offset + 1}: {problem}.") from None
    return builder.close(), lines


def _row(root: Element, lines: Mapping[Element, int], path: str | Path) -> dict[str, Any]:
    """Returns a conversation in our own format."""
    where = f"{path}:{lines[root]}"
    _expect(root, "conversation", where)
    groups = root.findall("messages")
    if len(groups) != 1:
        raise DataError(f"{where}: <conversation> must hold one <messages>, got {len(groups)}.")
    messages = []
    for message in groups[0]:
        place = f"{path}:{lines[message]}"
        _expect(message, "message", place)
        messages.append(_xml_message(message, place))
    return {"id": _attribute(root, "id", where), "messages": messages}


def _xml_message(message: Element, where: str) -> dict[str, Any]:
    bodies = message.findall("body")
    if len(bodies) != 1:
        raise DataError(f"{where}: <message> must hold one <body>, got {len(bodies)}.")
    row = {"sender": _attribute(message, "participant", where), "text": "".join(bodies[0].itertext())}
    _message(row, where)  # here and not only in parse_thread, which knows the line of the conversation alone
    return row


def _expect(element: Element, tag: str, where: str) -> None:
    if element.tag != tag:
        raise DataError(f"{where}: expected <{tag}>, got <{element.tag}>.")


def _attribute(element: Element, name: str, where: str) -> str:
    if name not in element.attrib:
        raise DataError(f"{where}: <{element.tag}> has no attribute {name!r}; got {list(element.attrib)}.")
    return element.attrib[name]
