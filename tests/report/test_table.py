from pragmaspec.report.style import Style
from pragmaspec.report.table import Cell, table


def test_tables_omit_empty_columns() -> None:
    rows = [
        (Cell(text="a"), Cell(text=""), Cell(text="1", right=True)),
        (Cell(text="bbb"), Cell(text=""), Cell(text="22", right=True)),
    ]
    assert table(("name", "none", "n"), rows, Style(), "  ") == ["  NAME   N", "  a      1", "  bbb   22"]
    assert table(("a", "b"), [], Style()) == [""]
