"""What ``orphans`` shows: objects without a record, and what sites hold of other stacks."""

from collections.abc import Sequence

from pragmaspec.planning.drift.condition import layer_text
from pragmaspec.planning.observed import ObservedAllocation, ObservedNode
from pragmaspec.planning.orphans import Orphan, OtherStack
from pragmaspec.report.json_forms import JsonObject
from pragmaspec.report.style import Style
from pragmaspec.report.table import Cell, table
from pragmaspec.text import counted, memory


def orphans_text(found: Sequence[Orphan], sites: Sequence[str], pen: Style) -> str:
    """One line per object, or one line that says there is none."""
    where = ", ".join(sites) or "no site"
    if not found:
        return pen.say(f"Nothing with this stack's marks is without a record at {where}.") + "\n"
    rows = [
        (
            Cell(text=orphan.address, tone="bold"),
            Cell(text=orphan.kind),
            Cell(text=_details(orphan)),
            Cell(text=orphan.seen.id if orphan.seen else "", tone="dim"),
            Cell(text=_fate(orphan), tone="change"),
        )
        for orphan in found
    ]
    lines = table(("address", "kind", "seen", "id", ""), rows, pen)
    if any(not orphan.recorded_beside and not orphan.left_over for orphan in found):
        lines += ["", pen.say("`pragmaspec orphans --adopt ADDRESS` records one, so that the next plan repairs or cleans it.")]
    return "\n".join(lines) + "\n"


def other_stacks_text(found: Sequence[OtherStack], pen: Style) -> str:
    """One line per site and stack, or one line that says there is none."""
    if not found:
        return "No other stack has anything at these sites.\n"
    rows = [
        (
            Cell(text=each.lineage, tone="bold"),
            Cell(text=each.site),
            Cell(text=str(each.machines), right=True),
            Cell(text=str(each.vlans), right=True),
            Cell(text=str(each.addresses), right=True),
            Cell(text=", ".join(each.clusters)),
            Cell(text="known to this machine" if each.known else "", tone="add"),
        )
        for each in found
    ]
    return "\n".join(table(("other stack", "site", "machines", "vlans", "addresses", "clusters", ""), rows, pen)) + "\n"


def orphans_json(found: Sequence[Orphan], sites: Sequence[str], others: Sequence[OtherStack] | None) -> JsonObject:
    """The same for programs; ``others`` is None when nobody asked for them."""
    return {
        "kind": "orphans",
        "format": 1,
        "sites": list(sites),
        "orphans": [_form(orphan) for orphan in found],
        "other_stacks": None if others is None else [_other_form(each) for each in others],
    }


def _fate(orphan: Orphan) -> str:
    if orphan.left_over:
        return "left over: the next apply removes it"
    return "beside the recorded one" if orphan.recorded_beside else "not recorded"


def _details(orphan: Orphan) -> str:
    seen = orphan.seen
    if isinstance(seen, ObservedNode):
        size = f", {counted(seen.cpus, 'cpu')}, {memory(seen.memory_mib)}" if seen.cpus else ""
        beside = "".join(f", {layer_text(layer)}" for layer in seen.layers)
        return f"{seen.status}{size}{'' if seen.disk else ', no disk'}{beside}"
    if isinstance(seen, ObservedAllocation):
        vlans = [f"vlan {number}" for _, number in seen.vlans]
        return ", ".join((*seen.public, *vlans)) or ", ".join(seen.networks)
    return orphan.digest[:16]


def _form(orphan: Orphan) -> JsonObject:
    seen = orphan.seen
    return {
        "site": orphan.site,
        "address": orphan.address,
        "kind": orphan.kind,
        "generation": orphan.generation,
        "id": seen.id if seen is not None and seen.id else None,
        "op": seen.op if seen is not None and seen.op else None,
        "observed": seen.status if isinstance(seen, ObservedNode) else None,
        "recorded_beside": orphan.recorded_beside,
        "left_over": orphan.left_over,
    }


def _other_form(each: OtherStack) -> JsonObject:
    return {
        "site": each.site,
        "lineage": each.lineage,
        "known": each.known,
        "machines": each.machines,
        "vlans": each.vlans,
        "addresses": each.addresses,
        "clusters": list(each.clusters),
    }
