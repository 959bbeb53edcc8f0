from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.report.style import Style, display_width, escape_controls


@given(st.text())
def test_safe_text_is_printable(text: str) -> None:
    assert escape_controls(text).isprintable()
    message = Style(unicode=False).safe(text)
    assert message.isascii()
    assert message.isprintable()


def test_escaped_characters_of_every_length() -> None:
    assert escape_controls("a\x1b\u2028\U000e0001\tb") == "a\\x1b\\u2028\\U000e0001 b"


def test_wide_characters_take_two_columns() -> None:
    assert display_width("クラ") == 4
    assert display_width("a·") == 2


def test_paint_only_with_colour() -> None:
    assert Style(colour=True).paint("x", "danger") == "\x1b[1;31mx\x1b[0m"
    assert Style(colour=True).paint("x", "plain") == "x"
    assert Style().paint("x", "danger") == "x"
