"""Compares answers as a person would: how a time, a number, a currency or an apostrophe is written is no other answer.

Digits are never rounded, converted or left out, so two different numbers are never one answer: "1,200" is 1200, and
"1.200" is 1.2, since the phone writes decimals with a point; "7:30" is in the morning, since its clock has 24 hours.
"""

import re
import unicodedata
from typing import NamedTuple

_ALIKE = str.maketrans(
    {
        **dict.fromkeys("‘’‚‛ʼʹ′`´", "'"),
        **dict.fromkeys("“”„‟«»″", '"'),
        **dict.fromkeys("‐‑‒–—―−", "-"),
        **dict.fromkeys("\u200b\u2060\ufeff", None),  # of no width
    }
)
_CURRENCIES = {"$": "usd dollar dollars", "€": "eur euro euros", "£": "gbp", "¥": "jpy yen", "₹": "inr rupee rupees"}
_OTHER_UNITS = {
    "%": "percent",
    "km": "kilometer kilometers kilometre kilometres",
    "m": "meter meters metre metres",
    "mi": "mile miles",
    "kg": "kilogram kilograms",
    "g": "gram grams",
    "kb": "kilobyte kilobytes",
    "mb": "megabyte megabytes",
    "gb": "gigabyte gigabytes",
    "h": "hour hours hr hrs",
    "min": "minute minutes mins",
    "s": "second seconds sec secs",
}
_UNITS = {name: unit for unit, names in (_CURRENCIES | _OTHER_UNITS).items() for name in (unit, *names.split())}
_SIGNS = (*_CURRENCIES, "%")  # may be left out, whatever the question says

_TIME = re.compile(r"([0-9]{1,2})(?::([0-9]{2}))?\s?(?:([ap])\.?\s?m)?")
_NUMBER = r"[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+"
_AMOUNT = re.compile(rf"(-?)([^\W\d]*|[$€£¥₹])\s?({_NUMBER})(?:\.([0-9]+))?\s?([^\W\d]*|[$€£¥₹%])")
_CALLED = re.compile(r"\+?[0-9]{1,4}(?:[ -][0-9]{3,4})+|[0-9]{7,}")  # the number of a phone


class _Amount(NamedTuple):
    """Holds a number with its sign, digits and decimals as written, and its unit; "" for none."""

    whole: str
    decimals: str
    unit: str


def same_answer(said: str, wanted: str, question: str = "") -> bool:
    """Returns whether two answers to a question are one.

    They are where they are equal as texts (see `plain`); as times, where one may have AM or PM and the other 24 hours;
    as phone numbers, in whatever groups; or as amounts: with separators of thousands or without, with the sign or name
    of a currency or of percent or without, with another unit or without where the question says it. Two that stand in
    the question as different things stay different.
    """
    one, other = plain(said), plain(wanted)
    if one == other:
        return True
    if _told_apart(one, other, plain(question)):
        return False
    for read in (_time, _called):
        first = read(one)
        if first and first == read(other):
            return True
    return _same_amount(_amount(one), _amount(other), question)


def plain(text: str) -> str:
    """Returns an answer without what does not count.

    That is case, space around and between words, a full stop at the end, quotes around the whole, and which of many
    apostrophes, quotes and dashes are used.
    """
    text = unicodedata.normalize("NFKC", text.translate(_ALIKE)).translate(_ALIKE)
    text = " ".join(text.casefold().split()).removesuffix(".")
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip().removesuffix(".")
    return text


def _told_apart(one: str, other: str, question: str) -> bool:
    """Returns whether a question says both, each by itself."""
    short, long = sorted((one, other), key=len)
    return (
        bool(short)
        and long in question
        and bool(re.search(rf"(?<!\w){re.escape(short)}(?!\w)", question.replace(long, " ")))
    )


def _time(text: str) -> str:
    """Returns a time of the day by the clock of 24 hours, "7:05"; "" for what is none."""
    read = _TIME.fullmatch(text)
    if read is None or not (read[2] or read[3]):
        return ""
    hour, half = int(read[1]), read[3]
    if int(read[2] or 0) > 59 or hour > 23 or (half and not 1 <= hour <= 12):
        return ""
    return f"{hour % 12 + 12 * (half == 'p') if half else hour}:{read[2] or '00'}"


def _called(text: str) -> str:
    """Returns the digits of a phone number; "" for what is none."""
    digits = text.replace(" ", "").replace("-", "")
    return digits if _CALLED.fullmatch(text) and len(digits) >= 7 else ""


def _amount(text: str) -> _Amount | None:
    read = _AMOUNT.fullmatch(text)
    if read is None:
        return None
    minus, before, whole, decimals, after = read.groups("")
    currency = _UNITS.get(before, before)
    if before and (currency not in _CURRENCIES or after):
        return None
    decimals = "" if decimals in ("0", "00") else decimals
    return _Amount(minus + whole.replace(",", ""), decimals, currency or _UNITS.get(after, after))


def _same_amount(one: _Amount | None, other: _Amount | None, question: str) -> bool:
    if one is None or other is None or one.whole != other.whole:
        return False
    units = {one.unit, other.unit} - {""}
    if len(units) == 2:
        return False
    unit = next(iter(units), "")
    if "" in (one.unit, other.unit) and unit not in ("", *_SIGNS) and unit not in _units_of(question):
        return False
    if unit in _CURRENCIES:  # $7.5 is $7.50
        return one.decimals.rstrip("0") == other.decimals.rstrip("0")
    return one.decimals == other.decimals


def _units_of(question: str) -> set[str]:
    """Returns the words of a question, units by their short names."""
    words = (word.strip("\"'.,;:?!()") for word in question.casefold().split())
    return {_UNITS.get(word, word) for word in words}
