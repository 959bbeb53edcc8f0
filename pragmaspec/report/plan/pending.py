"""Changes that a plan leaves for later, as text below the plan."""

from collections.abc import Iterable
from itertools import groupby

from pragmaspec.planning.plan import PendingChange, Plan, Until
from pragmaspec.report.plan.layout import INDENT, wrap
from pragmaspec.report.plan.rows import IMPACT_LABELS, source_line
from pragmaspec.report.style import Style
from pragmaspec.report.table import Cell, line, widths
from pragmaspec.text import joined

_LEAST_REASON = 20


def pending_lines(plan: Plan, pen: Style, width: int) -> list[str]:
    """A heading and a line for each kind of change that waits; nothing when none does."""
    lines: list[str] = []
    for until in ("apply", "running"):
        waiting = [each for each in plan.pending if each.until == until]
        if waiting:
            lines += ["", pen.say(_heading(until, waiting)), "", *_rows(waiting, plan, pen, width)]
    return lines


def pending_subject(address: str) -> str:
    """The name of a node; of an allocation, that of its cluster."""
    return address.split("/")[-1 if "/node/" in address else 1]


def _heading(until: Until, waiting: Iterable[PendingChange]) -> str:
    if until == "apply":
        return "Left for the next apply, because this touches power alone:"
    clusters = list(dict.fromkeys(each.address.split("/")[1] for each in waiting))
    return f"Left until {joined(clusters)} {'runs' if len(clusters) == 1 else 'run'} again, because the spec says `state: off`:"


def _rows(waiting: Iterable[PendingChange], plan: Plan, pen: Style, width: int) -> list[str]:
    rows = [
        (
            Cell(text="~", tone="change"),
            Cell(text=joined([pending_subject(each.address) for each in alike]), tone="bold"),
            Cell(text=reason),
            Cell(text=IMPACT_LABELS[impact], tone="danger") if impact in ("rebuild", "data-loss") else Cell(text=""),
            Cell(text=source_line(where, plan.spec_file), tone="dim"),
        )
        for (reason, impact, where), alike in (
            (key, list(group)) for key, group in groupby(waiting, key=lambda each: (each.reason, each.impact, each.where))
        )
    ]
    fields = widths(rows, pen)
    if len(INDENT) + sum(field + 2 for field in fields if field) <= width + 2:
        return [INDENT + line(row, fields, pen) for row in rows]
    narrow: list[str] = []
    for row in rows:
        said = pen.say(" ".join(cell.text for cell in row if cell.text))
        first, *rest = wrap(said, max(width - len(INDENT), _LEAST_REASON), " ")
        narrow += [INDENT + first, *(INDENT * 2 + piece for piece in rest)]
    return narrow
