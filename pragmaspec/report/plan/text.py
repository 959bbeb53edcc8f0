"""The human-readable form of a plan, to review before an apply."""

from collections.abc import Sequence

from pragmaspec.planning.plan import Drift, Plan
from pragmaspec.report.plan.groups import ClusterGroup, Fold, actions_by_resource, folded, groups_by_cluster
from pragmaspec.report.plan.layout import INDENT, Layout, wrap
from pragmaspec.report.plan.pending import pending_lines
from pragmaspec.report.plan.rows import PlanLines, source_line
from pragmaspec.report.plan.summary import summary_lines
from pragmaspec.report.style import Style, display_width
from pragmaspec.report.table import Cell, column_widths, format_row, lines_text

_DRIFT_SHOWN = 12
_MIN_DETAIL = 20


def plan_text(plan: Plan, *, width: int, colour: bool, unicode: bool = True, verbose: bool = False) -> str:
    """Return the whole plan: drift, each cluster's actions in aligned columns, and a summary.

    ``width``: terminal columns. Narrow lines contain less, and are wrapped at blanks, never cut off. ``verbose``: folds nothing
    and shows every interface with its MAC. Text from the spec or sites cannot reach the terminal as control sequences.
    """
    style = Style(colour=colour, unicode=unicode)
    drift = plan.drift if verbose or len(plan.drift) <= _DRIFT_SHOWN else plan.drift[:_DRIFT_SHOWN]
    lines = _drift_lines(drift, len(plan.drift) - len(drift), style, width) + _additions_lines(plan)
    lines += _move_lines(plan, style)
    if plan.empty:
        return lines_text([*lines, *wrap(style.safe(_no_changes(plan)), width, " "), *pending_lines(plan, style, width)])
    builder = PlanLines(plan, drift)
    entries = actions_by_resource(plan.actions)
    for group in groups_by_cluster(entries, plan):
        lines += [_heading(plan, group, style, width), "", *_group_lines(group, builder, style, width, verbose=verbose), ""]
    lines += summary_lines(entries, plan, style, width)
    lines += pending_lines(plan, style, width)
    lines += _likely_move_lines(plan, style, width)
    return lines_text(lines)


def _no_changes(plan: Plan) -> str:
    sites = [planned.site.name for planned in plan.sites if planned.identity is not None]
    names = ", ".join(sites)
    at_sites = f" at {names}" if sites else ""
    matches = "matches" if len(sites) == 1 else "match"
    if plan.pending and not plan.partial:
        return f"No changes now{at_sites}: the changes of {plan.spec_file} are deferred."
    if plan.partial:
        return f"No changes: the selected resources{at_sites} are up to date."
    if sites and plan.drift:
        return f"No changes: the drift above is left alone, and all else at {names} matches {plan.spec_file}."
    if sites:
        return f"No changes: {names} {matches} {plan.spec_file}."
    if plan.sites:
        return f"No changes: the recorded state matches {plan.spec_file}; no site was asked."
    return f"No changes: {plan.spec_file} defines no clusters, and nothing is recorded."


def _drift_lines(shown: Sequence[Drift], omitted: int, style: Style, width: int) -> list[str]:
    if not shown:
        return []
    rows = [(Cell(text="!", tone="change"), Cell(text=_subject(each), tone="bold"), Cell(text=each.detail)) for each in shown]
    widths = column_widths(rows, style)
    offset = len(INDENT) + sum(column + 2 for column in widths[:2])
    lines = [style.paint("Drift", "bold") + ": the site differs from the recorded state.", ""]
    for row in rows:
        first, *rest = wrap(style.safe(row[2].text), max(width - offset, _MIN_DETAIL), " ")
        lines.append(INDENT + format_row((*row[:2], Cell(text=first)), widths, style))
        lines += [" " * offset + piece for piece in rest]
    if omitted:
        lines.append(INDENT + style.safe(f"… {omitted:,} more (all with --verbose)"))
    return [*lines, ""]


def _additions_lines(plan: Plan) -> list[str]:
    """Return a sentence if manual additions are kept. A plan without actions leaves all drift alone anyway."""
    dropped = {action.address for action in plan.actions if action.drops}
    kept = any(each.added and each.address not in dropped for each in plan.drift)
    return ["Manual additions are kept.", ""] if kept and not plan.empty else []


def _move_lines(plan: Plan, style: Style) -> list[str]:
    if not plan.moves:
        return []
    rows = [
        (
            Cell(text="~", tone="change"),
            Cell(text=f"{move.kind} {move.before} → {move.after}", tone="bold"),
            Cell(text=source_line(move.where, plan.spec_file), tone="dim"),
        )
        for move in plan.moves
    ]
    widths = column_widths(rows, style)
    lines = [style.paint("Moved", "bold") + ": only names change. Machines, disks and addresses are kept.", ""]
    return [*lines, *(INDENT + format_row(row, widths, style) for row in rows), ""]


def _likely_move_lines(plan: Plan, style: Style, width: int) -> list[str]:
    if not plan.likely_moves:
        return []
    names = [f"{'the site ' if move.kind == 'site' else ''}{move.before} to {move.after}" for move in plan.likely_moves]
    question = f"Did you mean to rename {', '.join(names)}? To lose nothing, write in {plan.spec_file}:"
    entries = [
        f"    - {{from: {move.before}, to: {move.after}{', kind: site' if move.kind == 'site' else ''}}}"
        for move in plan.likely_moves
    ]
    return ["", *wrap(style.safe(question), width, " "), "", INDENT + "moved:", *map(style.safe, entries)]


def _subject(drift: Drift) -> str:
    """Return the name of a node or an image (with its digest), else the address."""
    last = drift.address.rsplit("/", 1)[-1]
    if drift.name:
        return f"{drift.name} ({last[:8]})"
    return last if "/node/" in drift.address else drift.address


def _heading(plan: Plan, group: ClusterGroup, style: Style, width: int) -> str:
    identities = {planned.site.name: planned.identity for planned in plan.sites}
    identity = identities.get(group.site)
    site = f"site {group.site} ({identity.title if identity else 'not asked'})"
    left = style.safe(f"{group.cluster}  ·  {site}" if group.cluster else site)
    name, file = style.safe(group.cluster), style.safe(plan.spec_file)
    heading = style.paint(name, "bold") + left[len(name) :]
    space = width - display_width(left) - display_width(file)
    return heading + " " * space + style.paint(file, "dim") if space > 1 else heading


def _group_lines(group: ClusterGroup, builder: PlanLines, style: Style, width: int, *, verbose: bool) -> list[str]:
    shown = [each if isinstance(each, Fold) else builder.line(each) for each in folded(group.entries, everything=verbose)]
    layout = Layout([each for each in shown if not isinstance(each, Fold)], width, style)
    lines: list[str] = []
    for each in shown:
        if isinstance(each, Fold):
            lines.append(layout.fold(each.count))
        else:
            lines += layout.entry(each)
            lines += layout.interfaces(each) if verbose else []
    return lines
