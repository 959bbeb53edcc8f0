"""The output of ``orphans``: objects without a record, and the totals of other stacks."""

from collections.abc import Sequence

from pragmaspec.frozen import to_plain
from pragmaspec.planning.drift.condition import layer_text
from pragmaspec.planning.observed import ObservedAllocation, ObservedNode, ObservedVolume
from pragmaspec.planning.orphans import Orphan, OtherStack
from pragmaspec.report.json_forms import JsonObject, fields_json
from pragmaspec.report.style import Style
from pragmaspec.report.table import Cell, lines_text, table
from pragmaspec.text import counted, memory, size


def orphans_text(found: Sequence[Orphan], sites: Sequence[str], style: Style) -> str:
    """Return a table of orphans."""
    if not found:
        return style.safe(f"No orphans at {', '.join(sites) or 'any site'}.") + "\n"
    rows = [
        (
            Cell(text=orphan.address, tone="bold"),
            Cell(text=orphan.kind),
            Cell(text=_details(orphan)),
            Cell(text=orphan.seen.id if orphan.seen else "", tone="dim"),
            Cell(text=_status(orphan), tone="change"),
        )
        for orphan in found
    ]
    lines = table(("address", "kind", "observed", "id", ""), rows, style)
    if any(not orphan.recorded_beside and not orphan.left_over for orphan in found):
        advice = "`pragmaspec orphans --adopt ADDRESS` records an object, so that the next plan repairs or cleans it."
        lines += ["", style.safe(advice)]
    return lines_text(lines)


def other_stacks_text(found: Sequence[OtherStack], style: Style) -> str:
    """Return a table of other stacks per site."""
    if not found:
        return "No other stack has objects at these sites.\n"
    rows = [
        (
            Cell(text=each.lineage, tone="bold"),
            Cell(text=each.site),
            Cell(text=str(each.machines), right=True),
            Cell(text=str(each.vlans), right=True),
            Cell(text=str(each.addresses), right=True),
            Cell(text=str(each.volumes), right=True),
            Cell(text=", ".join(each.clusters)),
            Cell(text="known to this machine" if each.known else "", tone="add"),
        )
        for each in found
    ]
    return lines_text(table(("other stack", "site", "machines", "vlans", "addresses", "volumes", "clusters", ""), rows, style))


def orphans_json(found: Sequence[Orphan], sites: Sequence[str], others: Sequence[OtherStack] | None) -> JsonObject:
    """Return the document of orphans. ``others`` is None unless requested."""
    return {
        "kind": "orphans",
        "format": 1,
        "sites": list(sites),
        "orphans": [_orphan_json(orphan) for orphan in found],
        "other_stacks": None if others is None else [to_plain(each) for each in others],
    }


def _status(orphan: Orphan) -> str:
    if orphan.left_over:
        return "left over: the next apply removes it"
    return "a different object is recorded" if orphan.recorded_beside else "not recorded"


def _details(orphan: Orphan) -> str:
    seen = orphan.seen
    if isinstance(seen, ObservedNode):
        dimensions = f", {counted(seen.cpus, 'cpu')}, {memory(seen.memory_mib)}" if seen.cpus else ""
        layers = "".join(f", {layer_text(layer)}" for layer in seen.layers)
        return f"{seen.status}{dimensions}{'' if seen.disk else ', no disk'}{layers}"
    if isinstance(seen, ObservedVolume):
        return size(seen.size_bytes)
    if isinstance(seen, ObservedAllocation):
        vlans = [f"vlan {number}" for _, number in seen.vlans]
        return ", ".join((*seen.public, *vlans)) or ", ".join(seen.networks)
    return orphan.digest[:16]


def _orphan_json(orphan: Orphan) -> JsonObject:
    seen = orphan.seen
    return {
        **fields_json(orphan, "site", "address", "kind", "generation"),
        "id": seen.id if seen is not None and seen.id else None,
        "op": seen.op if seen is not None and seen.op else None,
        "observed": seen.status if isinstance(seen, ObservedNode) else None,
        **fields_json(orphan, "recorded_beside", "left_over"),
    }
