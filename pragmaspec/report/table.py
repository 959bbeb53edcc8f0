"""Rows of cells as aligned lines of text."""

from collections.abc import Sequence

from pragmaspec.frozen import Frozen
from pragmaspec.report.style import Style, Tone, display_width


class Cell(Frozen, frozen=True):
    """One field of a row; ``right``: numbers line up at their end."""

    text: str
    tone: Tone = "plain"
    right: bool = False


Row = Sequence[Cell]


def widths(rows: Sequence[Row], pen: Style) -> list[int]:
    """The columns each field needs, 0 for a field that is empty in every row."""
    most = [0] * max((len(row) for row in rows), default=0)
    for row in rows:
        for at, cell in enumerate(row):
            most[at] = max(most[at], display_width(pen.say(cell.text)))
    return most


def line(row: Row, fields: Sequence[int], pen: Style, gap: str = "  ") -> str:
    """One row in fields of the given widths; fields of width 0 are left out; nothing trails."""
    parts = []
    for cell, field in zip(row, fields, strict=False):
        if field:
            text = pen.say(cell.text)
            space = " " * (field - display_width(text))
            parts.append(space + pen.paint(text, cell.tone) if cell.right else pen.paint(text, cell.tone) + space)
    return gap.join(parts).rstrip()


def table(head: Sequence[str], rows: Sequence[Row], pen: Style, indent: str = "") -> list[str]:
    """A table with a heading in capitals, columns two blanks apart; a column that is empty in every row is left out."""
    body = widths(rows, pen)
    body += [0] * (len(head) - len(body))
    heading = [Cell(text=text.upper(), tone="dim", right=_right(rows, at)) for at, text in enumerate(head)]
    fields = [max(need, display_width(pen.say(cell.text))) if need else 0 for need, cell in zip(body, heading, strict=True)]
    return [indent + line(row, fields, pen) for row in (heading, *rows)]


def _right(rows: Sequence[Row], at: int) -> bool:
    return any(len(row) > at and row[at].right for row in rows)
