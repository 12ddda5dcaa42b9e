"""Compares answers as a person would: how a time, a number or an apostrophe is written makes no other answer."""

import unicodedata


def same_answer(said: str, wanted: str, question: str = "") -> bool:
    """Returns whether two answers to a question are one."""
    return plain(said) == plain(wanted)


def plain(text: str) -> str:
    """Returns an answer without what does not count: case, space around and between words, a full stop at the end."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).removesuffix(".")
