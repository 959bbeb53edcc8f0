"""The changes that a plan defers, as text below the plan."""

from collections.abc import Iterable
from itertools import groupby

from pragmaspec.planning.plan import PendingChange, Plan, Until
from pragmaspec.report.plan.layout import INDENT, wrap
from pragmaspec.report.plan.rows import IMPACT_LABELS, source_line
from pragmaspec.report.style import Style
from pragmaspec.report.table import Cell, Row, column_widths, format_row
from pragmaspec.text import joined

_MIN_WIDTH = 20


def pending_lines(plan: Plan, style: Style, width: int) -> list[str]:
    """Return a heading and a table for each kind of deferred change."""
    lines: list[str] = []
    for until in ("apply", "running"):
        pending = [change for change in plan.pending if change.until == until]
        if pending:
            lines += ["", style.safe(_heading(until, pending)), "", *_table(pending, plan, style, width)]
    return lines


def _heading(until: Until, pending: Iterable[PendingChange]) -> str:
    if until == "apply":
        return "Deferred to the next apply, because this plan only changes power:"
    clusters = list(dict.fromkeys(change.address.split("/")[1] for change in pending))
    return f"Deferred until {joined(clusters)} {'runs' if len(clusters) == 1 else 'run'} again (`state: off` in the spec):"


def _table(pending: Iterable[PendingChange], plan: Plan, style: Style, width: int) -> list[str]:
    rows = [
        _row(list(group), plan.spec_file)
        for _, group in groupby(pending, key=lambda change: (change.reason, change.impact, change.where))
    ]
    widths = column_widths(rows, style)
    if len(INDENT) + sum(column + 2 for column in widths if column) <= width + 2:
        return [INDENT + format_row(row, widths, style) for row in rows]
    narrow: list[str] = []
    for row in rows:
        text = style.safe(" ".join(cell.text for cell in row if cell.text))
        first, *rest = wrap(text, max(width - len(INDENT), _MIN_WIDTH), " ")
        narrow += [INDENT + first, *(INDENT * 2 + piece for piece in rest)]
    return narrow


def _row(similar: list[PendingChange], spec_file: str) -> Row:
    change = similar[0]
    return (
        Cell(text="~", tone="change"),
        Cell(text=joined([_subject(each.address) for each in similar]), tone="bold"),
        Cell(text=change.reason),
        Cell(text=IMPACT_LABELS[change.impact], tone="danger") if change.impact in ("rebuild", "data-loss") else Cell(text=""),
        Cell(text=source_line(change.where, spec_file), tone="dim"),
    )


def _subject(address: str) -> str:
    """Return the name of a node, or the cluster of an allocation."""
    return address.split("/")[-1 if "/node/" in address else 1]
