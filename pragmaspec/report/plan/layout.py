"""Fits the lines of a group into the terminal's width, with as much detail as possible."""

import re
from collections.abc import Sequence

from pragmaspec.frozen import Frozen
from pragmaspec.report.style import Style, Tone, display_width
from pragmaspec.report.table import Cell, Row, column_widths, format_row
from pragmaspec.report.unknown import interface_text, shown
from pragmaspec.resources import Node

INDENT = "  "
_UNBREAKABLE = re.compile(r"--allow \S+|[0-9]+ to [a-z]+")
_DETAILS = 3
"""Index of the column of details."""
_MIN_DETAILS = 14
"""Minimum width of the column of details."""


class PlanLine(Frozen, frozen=True):
    """All texts of one entry of a plan. Narrow terminals show some of them."""

    symbol: str
    verbs: str
    brief: str
    """Short form of ``verbs``."""
    subject: str
    details: str = ""
    reason: str = ""
    obvious: bool = False
    """True if the rest of the line implies the reason."""
    impact: str = ""
    position: str = ""
    """Line of the spec."""
    tone: Tone = "plain"
    impact_tone: Tone = "plain"
    node: Node | None = None
    """The node that is booted, if any."""


class _Format(Frozen, frozen=True):
    """A selection of texts. ``reasons``: "all" in a column; only "new" information in a column; or "below" the line."""

    brief: bool = False
    reasons: str = "all"
    positions: bool = True

    def row(self, line: PlanLine) -> Row:
        """Return the cells of a line: symbol, verbs, subject, details, reason, impact, position."""
        return (
            Cell(text=line.symbol, tone=line.tone),
            Cell(text=line.brief if self.brief else line.verbs, tone=line.tone),
            Cell(text=line.subject, tone="bold"),
            Cell(text=line.details),
            Cell(text=line.reason if self.reasons == "all" or (self.reasons == "new" and not line.obvious) else ""),
            Cell(text=line.impact, tone=line.impact_tone),
            Cell(text=line.position if self.positions else "", tone="dim"),
        )

    def below(self, line: PlanLine) -> str:
        """Return the reason if it is shown below the line."""
        return line.reason if self.reasons == "below" and not line.obvious else ""


_FORMATS = (
    _Format(),
    _Format(brief=True),
    _Format(reasons="new"),
    _Format(brief=True, reasons="new"),
    _Format(brief=True, reasons="new", positions=False),
    _Format(reasons="below"),
    _Format(brief=True, reasons="below"),
    _Format(brief=True, reasons="below", positions=False),
)
"""From the most detailed to the narrowest. The first of those with the fewest lines is used."""


class Layout:
    """The columns of a group. Details that do not fit are wrapped inside their column."""

    def __init__(self, lines: Sequence[PlanLine], width: int, style: Style) -> None:
        self._style = style
        self._width = width
        narrowest = _Fit(lines, _FORMATS[-1], width, style)
        self._fit = _Fit(lines, _FORMATS[0], width, style)
        fewest = self._fit.extra_lines(narrowest)
        for format_ in _FORMATS[1:]:
            if not fewest:
                break
            fit = _Fit(lines, format_, width, style)
            count = fit.extra_lines(narrowest)
            if count < fewest:
                self._fit, fewest = fit, count

    def entry(self, line: PlanLine) -> list[str]:
        """Return the line or lines of one entry."""
        fit, style = self._fit, self._style
        row = fit.format.row(line)
        details = wrap(style.safe(line.details), fit.widths[_DETAILS], style.safe(" · "))
        first = (*row[:_DETAILS], Cell(text=details[0]), *row[_DETAILS + 1 :])
        symbol = style.paint(style.safe(line.symbol).rjust(fit.widths[0]), line.tone)
        lines = [f"{INDENT}{symbol} {format_row(first[1:], fit.widths[1:], style)}"]
        indent = " " * fit.offset(_DETAILS)
        lines += [indent + piece for piece in details[1:]]
        reason = style.safe(fit.format.below(line))
        if reason:
            lines += [indent + piece for piece in wrap(reason, self._width - len(indent), " ")]
        return lines

    def fold(self, count: int) -> str:
        """Return the line for ``count`` omitted entries."""
        text = self._style.safe(f"… {count:,} more like this …")
        return " " * self._fit.offset(1) + self._style.paint(text, "dim")

    def interfaces(self, line: PlanLine) -> list[str]:
        """Return one line per interface of a node that is booted, with its MAC."""
        if line.node is None:
            return []
        rows = [
            tuple(Cell(text=text, tone="dim") for text in (nic.network, shown(nic.mac), interface_text(nic)))
            for nic in line.node.nics
        ]
        widths = column_widths(rows, self._style)
        return [" " * self._fit.offset(2) + format_row(row, widths, self._style) for row in rows]


class _Fit:
    """The column widths of one format."""

    def __init__(self, lines: Sequence[PlanLine], format_: _Format, width: int, style: Style) -> None:
        self.format = format_
        self._lines = lines
        self._style = style
        self.widths = column_widths([format_.row(line) for line in lines], style)
        details = self.widths[_DETAILS]
        available = width - self.offset(len(self.widths)) + details + (2 if details else 0)
        self._excess = max(0, min(details, _MIN_DETAILS) - available)
        self.widths[_DETAILS] = min(details, max(available, _MIN_DETAILS))

    def offset(self, columns: int) -> int:
        """Return the offset of the column after the first ``columns``. A single blank follows the symbol."""
        return len(INDENT) - 1 + sum(width + 2 for width in self.widths[:columns] if width)

    def extra_lines(self, narrowest: "_Fit") -> int:
        """Return the number of lines beyond one per entry. Details that are too long for every format do not count."""
        if self._excess:
            return 3 * len(self._lines) + self._excess
        available, most = self.widths[_DETAILS], narrowest.widths[_DETAILS]
        details = (self._style.safe(line.details) for line in self._lines)
        separator = self._style.safe(" · ")
        more = (len(wrap(text, available, separator)) - 1 for text in details if available < display_width(text) <= most)
        return sum(bool(self.format.below(line)) for line in self._lines) + sum(more)


def wrap(text: str, width: int, separator: str) -> list[str]:
    """Return ``text`` in pieces of at most ``width`` columns, broken at separators, else at blanks, never inside a word."""
    pieces: list[str] = []
    for part in text.split(separator):
        if pieces and display_width(pieces[-1]) + display_width(separator) + display_width(part) <= width:
            pieces[-1] += separator + part
        elif display_width(part) > width and separator != " ":
            pieces += wrap(part, width, " ")
        else:
            pieces.append(part)
    return pieces


def wrap_sentences(text: str, width: int) -> list[str]:
    """Return ``text`` in lines of at most ``width`` columns, broken at blanks.

    An option is kept together with its value, and a number with its verb.
    """
    protected = _UNBREAKABLE.sub(lambda match: match[0].replace(" ", "\0"), text)
    return [piece.replace("\0", " ") for piece in wrap(protected, width, " ")]
