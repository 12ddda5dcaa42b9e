"""Shows text that others wrote on a terminal, without what would steer it."""


def printable(text: str) -> str:
    """Returns text with its control characters written out, as "\\\\x1b"; ends of lines and tabs stay.

    What a language model says may hold any of them.
    """
    return "".join(sign if sign.isprintable() or sign in "\n\t" else ascii(sign)[1:-1] for sign in text)
