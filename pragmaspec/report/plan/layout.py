"""How the lines of one group fit the width: one line each where possible, with as much said as that leaves room for."""

import re
from collections.abc import Sequence

from pragmaspec.frozen import Frozen
from pragmaspec.report.style import Style, Tone, display_width
from pragmaspec.report.table import Cell, Row, line, widths
from pragmaspec.resources import Node

INDENT = "  "
_TOGETHER = re.compile(r"--allow \S+|[0-9]+ to [a-z]+")
_DETAILS = 3
_LEAST_DETAILS = 14


class PlanLine(Frozen, frozen=True):
    """What there is to say of one entry of a plan.

    ``brief`` stands for ``verbs`` where room is short. ``reason`` goes the same way when it is ``plain``: it then says what the
    rest of the line shows too.
    """

    symbol: str
    verbs: str
    brief: str
    subject: str
    details: str = ""
    reason: str = ""
    plain: bool = False
    impact: str = ""
    place: str = ""
    tone: Tone = "plain"
    impact_tone: Tone = "plain"
    node: Node | None = None
    """The node that is booted, if one is."""


class _Look(Frozen, frozen=True):
    """How much a line says. ``reasons``: all in a column; only those that say something new; those on a line of their own."""

    brief: bool = False
    reasons: str = "all"
    places: bool = True

    def row(self, said: PlanLine) -> Row:
        """The cells of the line: symbol, verbs, subject, details, reason, impact, place."""
        return (
            Cell(text=said.symbol, tone=said.tone),
            Cell(text=said.brief if self.brief else said.verbs, tone=said.tone),
            Cell(text=said.subject, tone="bold"),
            Cell(text=said.details),
            Cell(text=said.reason if self.reasons == "all" or (self.reasons == "new" and not said.plain) else ""),
            Cell(text=said.impact, tone=said.impact_tone),
            Cell(text=said.place if self.places else "", tone="dim"),
        )

    def beneath(self, said: PlanLine) -> str:
        """The reason, where it stands under the line."""
        return said.reason if self.reasons == "beneath" and not said.plain else ""


_LOOKS = (
    _Look(),
    _Look(brief=True),
    _Look(reasons="new"),
    _Look(brief=True, reasons="new"),
    _Look(brief=True, reasons="new", places=False),
    _Look(reasons="beneath"),
    _Look(brief=True, reasons="beneath"),
    _Look(brief=True, reasons="beneath", places=False),
)
"""From what says most to what needs least room; of those that give the fewest lines the first is taken."""


class Layout:
    """The columns shared by all lines of a group. Details that do not fit are broken inside their column."""

    def __init__(self, listed: Sequence[PlanLine], width: int, pen: Style) -> None:
        self._pen = pen
        self._width = width
        narrowest = _Fit(listed, _LOOKS[-1], width, pen)
        self._fit = _Fit(listed, _LOOKS[0], width, pen)
        fewest = self._fit.broken_of(narrowest)
        for look in _LOOKS[1:]:
            if not fewest:
                break
            fit = _Fit(listed, look, width, pen)
            count = fit.broken_of(narrowest)
            if count < fewest:
                self._fit, fewest = fit, count

    def entry(self, said: PlanLine) -> list[str]:
        """The line or lines of one entry."""
        fit, pen = self._fit, self._pen
        row = fit.look.row(said)
        details = wrap(pen.say(said.details), fit.fields[_DETAILS], pen.say(" · "))
        first = (*row[:_DETAILS], Cell(text=details[0]), *row[_DETAILS + 1 :])
        symbol = pen.paint(pen.say(said.symbol).rjust(fit.fields[0]), said.tone)
        lines = [f"{INDENT}{symbol} {line(first[1:], fit.fields[1:], pen)}"]
        under = " " * fit.taken(_DETAILS)
        lines += [under + piece for piece in details[1:]]
        because = pen.say(fit.look.beneath(said))
        if because:
            lines += [under + piece for piece in wrap(because, self._width - len(under), " ")]
        return lines

    def fold(self, count: int) -> str:
        """The line that stands for ``count`` entries like its neighbours."""
        words = self._pen.say(f"… {count:,} more like this …")
        return " " * self._fit.taken(1) + self._pen.paint(words, "dim")

    def interfaces(self, said: PlanLine) -> list[str]:
        """One line per interface of a node that is booted, with its MAC."""
        if said.node is None:
            return []
        rows = [
            tuple(Cell(text=text, tone="dim") for text in (nic.network, nic.mac, f"{nic.address}/{nic.prefix}"))
            for nic in said.node.nics
        ]
        fields = widths(rows, self._pen)
        return [" " * self._fit.taken(2) + line(row, fields, self._pen) for row in rows]


class _Fit:
    """How wide the columns are in one look, and how many lines do not fit."""

    def __init__(self, listed: Sequence[PlanLine], look: _Look, width: int, pen: Style) -> None:
        self.look = look
        self._listed = listed
        self._pen = pen
        self.fields = widths([look.row(said) for said in listed], pen)
        details = self.fields[_DETAILS]
        room = width - self.taken(len(self.fields)) + details + (2 if details else 0)
        self._over = max(0, min(details, _LEAST_DETAILS) - room)
        self.fields[_DETAILS] = min(details, max(room, _LEAST_DETAILS))

    def taken(self, fields: int) -> int:
        """Where the field after the first ``fields`` begins; only one blank follows the symbol."""
        return len(INDENT) - 1 + sum(field + 2 for field in self.fields[:fields] if field)

    def broken_of(self, narrowest: "_Fit") -> int:
        """How many lines are added to one for each entry; details too long for every look do not count."""
        if self._over:
            return 3 * len(self._listed) + self._over
        room, most = self.fields[_DETAILS], narrowest.fields[_DETAILS]
        details = (self._pen.say(said.details) for said in self._listed)
        more = (len(wrap(text, room, self._pen.say(" · "))) - 1 for text in details if room < display_width(text) <= most)
        return sum(bool(self.look.beneath(said)) for said in self._listed) + sum(more)


def wrap(text: str, field: int, joint: str) -> list[str]:
    """``text`` in pieces of at most ``field`` columns, cut at its joints, else at blanks, never inside a word."""
    pieces: list[str] = []
    for part in text.split(joint):
        if pieces and display_width(pieces[-1]) + display_width(joint) + display_width(part) <= field:
            pieces[-1] += joint + part
        elif display_width(part) > field and joint != " ":
            pieces += wrap(part, field, " ")
        else:
            pieces.append(part)
    return pieces


def wrap_sentences(text: str, field: int) -> list[str]:
    """``text`` in lines of at most ``field`` columns, cut at blanks.

    An option stays with its value, a number with what it counts.
    """
    whole = _TOGETHER.sub(lambda found: found[0].replace(" ", "\0"), text)
    return [piece.replace("\0", " ") for piece in wrap(whole, field, " ")]
