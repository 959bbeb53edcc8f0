"""How the lines of one group fit the width: one line each when they do, else broken inside their columns."""

from collections.abc import Sequence
from itertools import zip_longest

from pragmaspec.recorded import Node
from pragmaspec.report.pen import Pen, columns
from pragmaspec.report.plan_groups import Entry
from pragmaspec.report.table import Cell, Row, line, widths

INDENT = "  "
_DETAILS, _REASON = 3, 4
_LEAST_DETAILS, _LEAST_REASON = 18, 12


class Layout:
    """The columns shared by all lines of a group. Details and reasons that do not fit are broken inside their columns."""

    def __init__(self, rows: Sequence[Row], width: int, pen: Pen) -> None:
        self._pen = pen
        self._fields = widths(rows, pen)
        details, reason = self._fields[_DETAILS], self._fields[_REASON]
        room = width - self._taken(len(self._fields)) + details + reason + 2
        if details + reason > room:
            self._fields[_REASON] = min(reason, max(_LEAST_REASON, room * 2 // 5, room - details))
            self._fields[_DETAILS] = max(_LEAST_DETAILS, room - self._fields[_REASON])

    def entry(self, row: Row) -> list[str]:
        """The line or lines of one entry."""
        details = broken(self._pen.say(row[_DETAILS].text), self._fields[_DETAILS], self._pen.say(" · "))
        reasons = broken(self._pen.say(row[_REASON].text), self._fields[_REASON], " ")
        first = (*row[:_DETAILS], Cell(text=details[0]), Cell(text=reasons[0]), *row[_REASON + 1 :])
        symbol = self._pen.paint(row[0].text.rjust(self._fields[0]), row[0].tone)
        lines = [f"{INDENT}{symbol} {line(first[1:], self._fields[1:], self._pen)}"]
        under = " " * self._taken(_DETAILS)
        for detail, reason in zip_longest(details[1:], reasons[1:], fillvalue=""):
            lines.append(under + line((Cell(text=detail), Cell(text=reason)), self._fields[_DETAILS : _REASON + 1], self._pen))
        return lines

    def fold(self, count: int) -> str:
        """The line that stands for ``count`` entries like its neighbours."""
        words = self._pen.say(f"… {count:,} more like this …")
        return " " * self._taken(1) + self._pen.paint(words, "dim")

    def interfaces(self, entry: Entry) -> list[str]:
        """One line per interface of a node that is booted, with its MAC."""
        resource = entry.main.resource
        if not isinstance(resource, Node) or entry.main.verb != "boot":
            return []
        rows = [
            tuple(Cell(text=text, tone="dim") for text in (nic.network, nic.mac, f"{nic.address}/{nic.prefix}"))
            for nic in resource.nics
        ]
        fields = widths(rows, self._pen)
        return [" " * self._taken(2) + line(row, fields, self._pen) for row in rows]

    def _taken(self, fields: int) -> int:
        """Where the field after the first ``fields`` begins; only one blank follows the symbol."""
        return len(INDENT) - 1 + sum(field + 2 for field in self._fields[:fields] if field)


def broken(text: str, field: int, joint: str) -> list[str]:
    """``text`` in pieces of at most ``field`` columns, cut at its joints, else at blanks, never inside a word."""
    pieces: list[str] = []
    for part in text.split(joint):
        if pieces and columns(pieces[-1]) + columns(joint) + columns(part) <= field:
            pieces[-1] += joint + part
        elif columns(part) > field and joint != " ":
            pieces += broken(part, field, " ")
        else:
            pieces.append(part)
    return pieces
