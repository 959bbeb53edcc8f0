"""A plan as a person reads it before saying yes."""

from collections.abc import Sequence

from pragmaspec.planning.plan import Drift, Plan
from pragmaspec.report.pen import Pen, columns
from pragmaspec.report.plan_groups import Entry, Fold, Group, entries, folded, groups
from pragmaspec.report.plan_layout import INDENT, Layout
from pragmaspec.report.plan_rows import PlanWords
from pragmaspec.report.plan_summary import summary_lines
from pragmaspec.report.table import Cell, line, widths

_DRIFT_SHOWN = 12


def plan_text(plan: Plan, *, width: int, colour: bool, unicode: bool = True, verbose: bool = False) -> str:
    """The whole plan: drift, then each cluster's actions in aligned columns, then the summary. Ends with a newline.

    ``width``: terminal columns; what does not fit moves its reason to a second line, nothing is cut off. ``verbose``: folds
    nothing and shows every interface with its MAC. Text from people or sites cannot reach the terminal as control codes.
    """
    pen = Pen(colour=colour, unicode=unicode)
    lines = _drift_lines(plan.drift, pen, verbose=verbose)
    if plan.empty:
        return "\n".join([*lines, no_changes_text(plan, pen)]) + "\n"
    words = PlanWords(plan)
    listed = entries(plan.actions)
    for group in groups(listed, plan):
        lines += [_heading(plan, group, pen, width), "", *_group_lines(group, words, pen, width, verbose=verbose), ""]
    lines += summary_lines(listed, pen, partial=plan.partial)
    return "\n".join(lines) + "\n"


def no_changes_text(plan: Plan, pen: Pen) -> str:
    """The one line for a plan with nothing to do."""
    sites = ", ".join(planned.site.name for planned in plan.sites if planned.identity is not None)
    if plan.partial:
        return pen.say(f"No changes: nothing is to be done for what was selected{f' at {sites}' if sites else ''}.")
    if sites:
        return pen.say(f"No changes: everything at {sites} is as {plan.spec_file} says.")
    if plan.sites:
        return pen.say(f"No changes: everything recorded is as {plan.spec_file} says; no site was asked.")
    return pen.say(f"No changes: {plan.spec_file} asks for nothing and nothing is recorded.")


def _drift_lines(drift: Sequence[Drift], pen: Pen, *, verbose: bool) -> list[str]:
    if not drift:
        return []
    shown = drift if verbose or len(drift) <= _DRIFT_SHOWN else drift[:_DRIFT_SHOWN]
    rows = [
        (Cell(text="!", tone="change"), Cell(text=_node_name(each.address), tone="bold"), Cell(text=each.detail))
        for each in shown
    ]
    fields = widths(rows, pen)
    lines = [pen.paint("Drift", "bold") + ": the site differs from what the last apply recorded.", ""]
    lines += [INDENT + line(row, fields, pen) for row in rows]
    if len(shown) < len(drift):
        lines.append(INDENT + pen.say(f"… {len(drift) - len(shown):,} more (all with --verbose)"))
    return [*lines, ""]


def _node_name(address: str) -> str:
    """Nodes by their name, as everywhere else; the rest by address."""
    return address.rsplit("/", 1)[-1] if "/node/" in address else address


def _heading(plan: Plan, group: Group, pen: Pen, width: int) -> str:
    identities = {planned.site.name: planned.identity for planned in plan.sites}
    identity = identities.get(group.site)
    site = f"site {group.site} ({identity.title if identity else 'not asked'})"
    left = pen.say(f"{group.cluster}  ·  {site}" if group.cluster else site)
    name, file = pen.say(group.cluster), pen.say(plan.spec_file)
    space = " " * max(2, width - columns(left) - columns(file))
    return pen.paint(name, "bold") + left[len(name) :] + space + pen.paint(file, "dim")


def _group_lines(group: Group, words: PlanWords, pen: Pen, width: int, *, verbose: bool) -> list[str]:
    shown = [(each, words.row(each) if isinstance(each, Entry) else ()) for each in folded(group.entries, everything=verbose)]
    layout = Layout([row for _, row in shown if row], width, pen)
    lines: list[str] = []
    for each, row in shown:
        if isinstance(each, Fold):
            lines.append(layout.fold(each.count))
        else:
            lines += layout.entry(row)
            lines += layout.interfaces(each) if verbose else []
    return lines
