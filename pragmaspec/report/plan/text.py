"""A plan as a person reads it before saying yes."""

from collections.abc import Sequence

from pragmaspec.planning.plan import Drift, Plan
from pragmaspec.report.plan.groups import ClusterGroup, Fold, actions_by_resource, folded, groups_by_cluster
from pragmaspec.report.plan.layout import INDENT, Layout, wrap
from pragmaspec.report.plan.pending import pending_lines
from pragmaspec.report.plan.rows import PlanLines, source_line
from pragmaspec.report.plan.summary import summary_lines
from pragmaspec.report.style import Style, display_width
from pragmaspec.report.table import Cell, line, widths

_DRIFT_SHOWN = 12
_LEAST_DETAIL = 20


def plan_text(plan: Plan, *, width: int, colour: bool, unicode: bool = True, verbose: bool = False) -> str:
    """The whole plan: drift, then each cluster's actions in aligned columns, then the summary. Ends with a newline.

    ``width``: terminal columns; where they are few, lines say less, and what still does not fit is broken at a blank, never cut
    off. ``verbose``: folds nothing and shows every interface with its MAC. Text from people or sites cannot reach the terminal as
    control codes.
    """
    pen = Style(colour=colour, unicode=unicode)
    told = plan.drift if verbose or len(plan.drift) <= _DRIFT_SHOWN else plan.drift[:_DRIFT_SHOWN]
    lines = _drift_lines(told, len(plan.drift) - len(told), pen, width) + _kept_lines(plan)
    lines += _move_lines(plan, pen)
    if plan.empty:
        return "\n".join([*lines, *wrap(no_changes_text(plan, pen), width, " "), *pending_lines(plan, pen, width)]) + "\n"
    words = PlanLines(plan, told)
    listed = actions_by_resource(plan.actions)
    for group in groups_by_cluster(listed, plan):
        lines += [_heading(plan, group, pen, width), "", *_group_lines(group, words, pen, width, verbose=verbose), ""]
    lines += summary_lines(listed, plan, pen, width)
    lines += pending_lines(plan, pen, width)
    lines += _likely_lines(plan, pen, width)
    return "\n".join(lines) + "\n"


def no_changes_text(plan: Plan, pen: Style) -> str:
    """The one line for a plan with nothing to do."""
    sites = ", ".join(planned.site.name for planned in plan.sites if planned.identity is not None)
    if plan.pending and not plan.partial:
        return pen.say(f"No changes now{f' at {sites}' if sites else ''}: what {plan.spec_file} has otherwise waits.")
    if plan.partial:
        return pen.say(f"No changes: nothing of what was asked for is left to do{f' at {sites}' if sites else ''}.")
    if sites and plan.drift:
        return pen.say(f"No changes: the drift above is left as it is, and all else at {sites} is as {plan.spec_file} says.")
    if sites:
        return pen.say(f"No changes: everything at {sites} is as {plan.spec_file} says.")
    if plan.sites:
        return pen.say(f"No changes: everything recorded is as {plan.spec_file} says; no site was asked.")
    return pen.say(f"No changes: {plan.spec_file} asks for nothing and nothing is recorded.")


def _drift_lines(shown: Sequence[Drift], more: int, pen: Style, width: int) -> list[str]:
    if not shown:
        return []
    rows = [(Cell(text="!", tone="change"), Cell(text=_who(each), tone="bold"), Cell(text=each.detail)) for each in shown]
    fields = widths(rows, pen)
    under = len(INDENT) + sum(field + 2 for field in fields[:2])
    lines = [pen.paint("Drift", "bold") + ": the site differs from what the last apply recorded.", ""]
    for row in rows:
        first, *rest = wrap(pen.say(row[2].text), max(width - under, _LEAST_DETAIL), " ")
        lines.append(INDENT + line((*row[:2], Cell(text=first)), fields, pen))
        lines += [" " * under + piece for piece in rest]
    if more:
        lines.append(INDENT + pen.say(f"… {more:,} more (all with --verbose)"))
    return [*lines, ""]


def _kept_lines(plan: Plan) -> list[str]:
    """The sentence that manual additions are kept; a plan without actions says so of all drift that it shows."""
    taken = {action.address for action in plan.actions if action.drops}
    kept = any(each.added and each.address not in taken for each in plan.drift)
    return ["What was added by hand is kept.", ""] if kept and not plan.empty else []


def _move_lines(plan: Plan, pen: Style) -> list[str]:
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
    fields = widths(rows, pen)
    lines = [pen.paint("Moved", "bold") + ": known by another name from now on. Machines, disks and addresses stay.", ""]
    return [*lines, *(INDENT + line(row, fields, pen) for row in rows), ""]


def _likely_lines(plan: Plan, pen: Style, width: int) -> list[str]:
    """What to write when something was to be renamed and not to be removed."""
    if not plan.likely_moves:
        return []
    named = [f"{'the site ' if move.kind == 'site' else ''}{move.before} to {move.after}" for move in plan.likely_moves]
    asked = f"Did you mean to rename {', '.join(named)}? Then nothing need be lost. Write in {plan.spec_file}:"
    entries_ = [
        f"    - {{from: {move.before}, to: {move.after}{', kind: site' if move.kind == 'site' else ''}}}"
        for move in plan.likely_moves
    ]
    return ["", *wrap(pen.say(asked), width, " "), "", INDENT + "moved:", *map(pen.say, entries_)]


def _who(drift: Drift) -> str:
    """Nodes by their name, as everywhere else; images by theirs beside the digest; the rest by address."""
    last = drift.address.rsplit("/", 1)[-1]
    if drift.name:
        return f"{drift.name} ({last[:8]})"
    return last if "/node/" in drift.address else drift.address


def _heading(plan: Plan, group: ClusterGroup, pen: Style, width: int) -> str:
    identities = {planned.site.name: planned.identity for planned in plan.sites}
    identity = identities.get(group.site)
    site = f"site {group.site} ({identity.title if identity else 'not asked'})"
    left = pen.say(f"{group.cluster}  ·  {site}" if group.cluster else site)
    name, file = pen.say(group.cluster), pen.say(plan.spec_file)
    heading = pen.paint(name, "bold") + left[len(name) :]
    space = width - display_width(left) - display_width(file)
    return heading + " " * space + pen.paint(file, "dim") if space > 1 else heading


def _group_lines(group: ClusterGroup, words: PlanLines, pen: Style, width: int, *, verbose: bool) -> list[str]:
    shown = [each if isinstance(each, Fold) else words.line(each) for each in folded(group.entries, everything=verbose)]
    layout = Layout([each for each in shown if not isinstance(each, Fold)], width, pen)
    lines: list[str] = []
    for each in shown:
        if isinstance(each, Fold):
            lines.append(layout.fold(each.count))
        else:
            lines += layout.entry(each)
            lines += layout.interfaces(each) if verbose else []
    return lines
