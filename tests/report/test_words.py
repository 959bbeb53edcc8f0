"""Units, pens, tables: the small parts."""

from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.report.json_forms import json_text
from pragmaspec.report.style import Style, display_width, escape_controls
from pragmaspec.report.table import Cell, table


@given(st.text())
def test_what_is_said_is_never_obeyed(text: str) -> None:
    assert escape_controls(text).isprintable()
    said = Style(unicode=False).safe(text)
    assert said.isascii()
    assert said.isprintable()


def test_visible_characters_of_every_length() -> None:
    assert escape_controls("a\x1b\u2028\U000e0001\tb") == "a\\x1b\\u2028\\U000e0001 b"


def test_wide_characters_take_two_columns() -> None:
    assert display_width("クラ") == 4
    assert display_width("a·") == 2


def test_colour_only_where_wanted() -> None:
    assert Style(colour=True).paint("x", "danger") == "\x1b[1;31mx\x1b[0m"
    assert Style(colour=True).paint("x", "plain") == "x"
    assert Style().paint("x", "danger") == "x"


def test_tables_align_and_leave_out_empty_columns() -> None:
    rows = [
        (Cell(text="a"), Cell(text=""), Cell(text="1", right=True)),
        (Cell(text="bbb"), Cell(text=""), Cell(text="22", right=True)),
    ]
    assert table(("name", "none", "n"), rows, Style(), "  ") == ["  NAME   N", "  a      1", "  bbb   22"]
    assert table(("a", "b"), [], Style()) == [""]


def test_json_is_ascii() -> None:
    assert json_text({"a": "ü\x1b"}) == '{\n  "a": "\\u00fc\\u001b"\n}\n'
