"""Aligned text tables."""

from collections.abc import Iterable, Sequence

from pragmaspec.frozen import Frozen
from pragmaspec.report.style import Style, Tone, display_width


class Cell(Frozen, frozen=True):
    """One field of a row. ``right``: aligned to the right, for numbers."""

    text: str
    tone: Tone = "plain"
    right: bool = False


Row = Sequence[Cell]


def column_widths(rows: Sequence[Row], style: Style) -> list[int]:
    """Return the width of each column, 0 for a column that is empty in every row."""
    found = [0] * max((len(row) for row in rows), default=0)
    for row in rows:
        for column, cell in enumerate(row):
            found[column] = max(found[column], display_width(style.safe(cell.text)))
    return found


def format_row(row: Row, widths: Sequence[int], style: Style, gap: str = "  ") -> str:
    """Return one row in columns of ``widths``, without columns of width 0 and trailing blanks."""
    parts = []
    for cell, width in zip(row, widths, strict=False):
        if width:
            text = style.safe(cell.text)
            space = " " * (width - display_width(text))
            parts.append(space + style.paint(text, cell.tone) if cell.right else style.paint(text, cell.tone) + space)
    return gap.join(parts).rstrip()


def table(head: Sequence[str], rows: Sequence[Row], style: Style, indent: str = "") -> list[str]:
    """Return the lines of a table with a heading in capitals, without columns that are empty in every row."""
    body = column_widths(rows, style)
    body += [0] * (len(head) - len(body))
    heading = [Cell(text=text.upper(), tone="dim", right=_is_right(rows, column)) for column, text in enumerate(head)]
    widths = [max(width, display_width(style.safe(cell.text))) if width else 0 for width, cell in zip(body, heading, strict=True)]
    return [indent + format_row(row, widths, style) for row in (heading, *rows)]


def lines_text(lines: Iterable[str]) -> str:
    """Return ``lines``, separated by newlines and with one at the end."""
    return "\n".join(lines) + "\n"


def _is_right(rows: Sequence[Row], column: int) -> bool:
    return any(len(row) > column and row[column].right for row in rows)
