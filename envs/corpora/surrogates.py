"""Detects lone surrogates: text that no UTF-8 file and no tokenizer can hold."""


def has_lone_surrogate(text: str) -> bool:
    """Returns whether `text` has half of a UTF-16 pair, as broken JSON escapes leave behind."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False
