"""What is printed of text that others wrote."""

from hypothesis import given
from hypothesis import strategies as st

from perlhf.terminal import printable


def test_control_characters_are_written_out():
    assert printable("a\x1b[31mb\x00\n\tc\x0c") == "a\\x1b[31mb\\x00\n\tc\\x0c"
    assert printable("é 漢 🙂") == "é 漢 🙂"


@given(st.text())
def test_whatever_is_said_steers_no_terminal(text):
    shown = printable(text)
    assert all(sign.isprintable() or sign in "\n\t" for sign in shown)
    assert shown == text or not all(sign.isprintable() or sign in "\n\t" for sign in text)
