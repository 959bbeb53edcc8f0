"""Units, pens, tables: the small parts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pragmaspec.report import units
from pragmaspec.report.json_forms import json_text
from pragmaspec.report.style import Style, display_width, escape_controls
from pragmaspec.report.table import Cell, table


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (612 * 2**20, "612 MiB"),
        (3 * 2**29, "1.5 GiB"),
        (20 * 10**9, "18.6 GiB"),
        (2**40, "1 TiB"),
        (2**60, "1024 PiB"),
        (10**8 + 1, "95.4 MiB"),
    ],
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert units.size(size_bytes) == text


def test_a_change_of_size_is_always_visible() -> None:
    assert units.size_change(4 * 2**30, 8 * 2**30) == "4 GiB → 8 GiB"
    assert units.size_change(4 * 2**30, 4 * 2**30 + 512) == "4294967296 B → 4294967808 B"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.05, "0.05 s"), (3.21, "3.2 s"), (42.4, "42 s"), (125, "2 min 5 s"), (600, "10 min"), (3780, "1 h 3 min"), (7200, "2 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert units.duration(seconds) == text


def test_counts() -> None:
    assert (units.cpus(1), units.cpus(2), units.counted(10_000, "node")) == ("1 cpu", "2 cpus", "10,000 nodes")
    assert (units.memory(1536), units.memory(0)) == ("1.5 GiB", "0 MiB")


@given(st.text())
def test_what_is_said_is_never_obeyed(text: str) -> None:
    assert escape_controls(text).isprintable()
    said = Style(unicode=False).say(text)
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
