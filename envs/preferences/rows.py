"""From a row of a user's file to a record: the forms of preference data that are in use, as TRL documents them.

    prompt chosen rejected [margin]      a pair
    chosen rejected [margin]             a pair, the prompt inside of both
    prompt completion label              an answer with its label
    prompt completion                    an answer to imitate
    messages [label]                     the same, the answer being the last message
    prompt                               a prompt alone

Each text is a string, or a list of messages {"role", "content"}. Source of the forms: TRL's docs/source/
dataset_formats.md (github.com/huggingface/trl), which calls them standard and conversational.
"""

import sys
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from envs.corpora.fields import MAX_LENGTH, MAX_PROMPT, shown
from envs.corpora.jsonl import STRICT, json_faults
from envs.corpora.records import AnyRecord, Demonstration, LabelledRecord, Record, Skipped
from envs.preferences.answers import NoPrompt, Unfit, pair_of, prompt_of, split_messages, with_answer
from envs.preferences.columns import NUMBERS, described, known_fields
from envs.preferences.said import said
from perlhf.errors import DataError

FORMS = (  # the first whose columns are all there is taken: those that must be there, those that may
    (("prompt", "chosen", "rejected"), ("margin",)),
    (("chosen", "rejected"), ("margin",)),
    (("prompt", "completion"), ("label",)),
    (("messages",), ("label",)),
    (("prompt",), ()),
)
_LARGEST = sys.float_info.max
_TRUTHS = {"true": 1.0, "false": 0.0}  # in csv, in any case


class Form(NamedTuple):
    """What the rows of a set have in common.

    Attributes:
        columns: those that are used, by their known names.
        messages: which of them are lists of messages.
    """

    columns: tuple[str, ...]
    messages: frozenset[str]


class RowParser:
    """Makes records of rows, all of the form of the first."""

    def __init__(self, columns: tuple[tuple[str, str], ...] = ()) -> None:
        """
        Args:
            columns: (known name, column) of those that are called otherwise; see `parse_columns`.
        """
        self._columns = columns
        self._form: Form | None = None
        self._first = ""  # where the row is that the form is of

    def __call__(self, row: Mapping[str, Any], where: str, all_text: bool = False) -> AnyRecord | Skipped:
        """Returns the record of a row, or the reason why it is of no use.

        Args:
            row: its values by the names of its columns.
            where: FILE:LINE.
            all_text: whether it is a row of csv, in which numbers and lists of messages are written as text.

        Raises:
            DataError: the row is of no known form, or of another one than the first; the message starts with `where`.
        """
        fields = known_fields(row, self._columns, where)
        names = _used(fields)
        pair = [name for name in ("chosen", "rejected") if name in fields]
        if len(pair) == 1:
            (missing,) = {"chosen", "rejected"} - set(pair)
            raise DataError(
                f"{where}: has {pair[0]!r} and no {missing!r}, which a pair needs: name its column by --columns "
                f"{missing}=COLUMN; {described(row)}."
            )
        if names is None:
            raise DataError(f"{where}: {_no_form(row)}")
        if all_text:
            fields = self._typed(fields, names, where)
        parsed = {n: _number(fields[n], n, where) if n in NUMBERS else said(fields[n], n, where) for n in names}
        if isinstance(parsed.get("messages"), str):
            _fail(where, f"field 'messages' must be an array of messages, got {shown(parsed['messages'])}")
        self._check_form(Form(names, frozenset(n for n in names if isinstance(parsed[n], tuple))), where)
        try:
            return _within_limits(_record(parsed, {"where": where}))
        except NoPrompt as problem:
            raise DataError(f"{where}: {problem}; {described(row)}.") from None
        except Unfit as problem:
            return Skipped(where, str(problem))

    def _typed(self, fields: dict[str, Any], names: tuple[str, ...], where: str) -> dict[str, Any]:
        """Returns fields of csv as JSON would have them; the first row says in which columns there are messages."""
        typed = dict(fields)
        for name in names:
            text = fields[name]
            if name in NUMBERS:
                typed[name] = _number_in(text)
            elif _is_list(text) if self._form is None else name in self._form.messages:
                with json_faults(f"{where}: field {name!r}", " at character {0.pos}"):
                    typed[name] = STRICT.decode(text)
        return typed

    def _check_form(self, form: Form, where: str) -> None:
        if self._form is None:
            self._form, self._first = form, where
            return
        if form == self._form:
            return
        if form.columns != self._form.columns:
            got, first = ", ".join(form.columns), ", ".join(self._form.columns)
            raise DataError(
                f"{where}: has {got}, and the first row, {self._first}, {first}; all rows must have the same."
            )
        name = min(form.messages ^ self._form.messages)
        kinds = ("text", "messages") if name in self._form.messages else ("messages", "text")
        raise DataError(f"{where}: field {name!r} is {kinds[0]}, and in the first row, {self._first}, {kinds[1]}.")


def _used(fields: Mapping[str, Any]) -> tuple[str, ...] | None:
    for needed, optional in FORMS:
        if all(name in fields for name in needed):
            return (*needed, *(name for name in optional if name in fields))
    return None


def _no_form(row: Mapping[str, Any]) -> str:
    known = "; ".join(", ".join((*needed, *(f"[{name}]" for name in more))) for needed, more in FORMS)
    return f"is of no known form: {described(row)}. Known: {known}. Name columns by --columns prompt=COLUMN,..."


def _is_list(text: str) -> bool:
    """Returns whether a cell of csv is a JSON array of objects."""
    if not text.lstrip().startswith("["):
        return False
    try:
        found = STRICT.decode(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, list) and bool(found) and all(isinstance(each, dict) for each in found)


def _number_in(text: str) -> Any:
    """Returns the number, or truth, that a cell of csv says; the text where it says none."""
    if text.strip().lower() in _TRUTHS:
        return _TRUTHS[text.strip().lower()]
    try:
        return float(text)
    except ValueError:
        return text


def _number(value: Any, name: str, where: str) -> float:
    """Returns a label, true, false or a share from 0 to 1, or a margin, any finite number."""
    if name == "label" and isinstance(value, bool):
        return float(value)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if name == "margin" and not (is_number and -_LARGEST <= value <= _LARGEST):
        _fail(where, f"field 'margin' must be a finite number, got {shown(value)}")
    if name == "label" and not (is_number and 0 <= value <= 1):
        _fail(where, f"field 'label' must be true, false or a number from 0 to 1, got {shown(value)}")
    return float(value)


def _fail(where: str, problem: str) -> NoReturn:
    raise DataError(f"{where}: {problem}.")


def _record(fields: Mapping[str, Any], meta: dict[str, Any]) -> AnyRecord:
    if "chosen" in fields:
        margin = {"margin": fields["margin"]} if "margin" in fields else {}
        return Record(*pair_of(fields.get("prompt"), fields["chosen"], fields["rejected"]), {**meta, **margin})
    if "messages" in fields:
        prompt, answer = split_messages(fields["messages"])
    elif "completion" in fields:
        prompt, answer = with_answer(fields["prompt"], fields["completion"], "completion")
    else:
        return Demonstration(prompt_of(fields["prompt"]), None, meta)
    if "label" in fields:
        return LabelledRecord(prompt, answer, fields["label"], meta)
    if not answer:
        raise Unfit("the answer is empty, so there is nothing to imitate")
    return Demonstration(prompt, answer, meta)


def _within_limits(record: AnyRecord) -> AnyRecord:
    """Returns the record; Unfit where it has no prompt, or texts beyond what the spaces of the env admit."""
    prompt, *others = record
    if not prompt.strip():
        raise Unfit("the prompt is empty")
    if len(prompt) > MAX_PROMPT:
        raise Unfit(f"the prompt has more than {MAX_PROMPT} characters")
    if any(isinstance(text, str) and len(text) > MAX_LENGTH for text in others):
        raise Unfit(f"an answer has more than {MAX_LENGTH} characters")
    return record
