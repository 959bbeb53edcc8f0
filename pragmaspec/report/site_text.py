"""What ``list site`` shows: capacity, what is promised and free, and who holds it."""

from collections.abc import Sequence

from pragmaspec.frozen import Frozen
from pragmaspec.planning.observed import CapacityUse, Inventory, PoolUse
from pragmaspec.report.json_forms import JsonObject, site_json
from pragmaspec.report.style import Style
from pragmaspec.report.table import Cell, Row, table
from pragmaspec.site import LibvirtSite, Site
from pragmaspec.text import memory, size


class SiteView(Frozen, frozen=True):
    """A site and what it answered; ``trouble`` instead of an inventory when it did not."""

    site: Site
    inventory: Inventory | None = None
    trouble: str = ""


def sites_text(views: Sequence[SiteView], pen: Style) -> str:
    """Each site: its head line, its capacity, its holders, what is taken of its pools."""
    if not views:
        return "No sites: the spec names none.\n"
    return "\n".join("\n".join(_lines(view, pen)) + "\n" for view in views)


def sites_json(views: Sequence[SiteView]) -> JsonObject:
    """The same for programs."""
    return {"kind": "sites", "format": 1, "sites": [_form(view) for view in views]}


def _lines(view: SiteView, pen: Style) -> list[str]:
    name = pen.paint(pen.say(view.site.name), "bold")
    if view.inventory is None:
        return [f"{name}{pen.say('  ·  ')}{pen.paint(pen.say(view.trouble), 'danger')}"]
    seen = view.inventory
    lines = [f"{name}{pen.say('  ·  ')}{pen.say(f'{seen.identity.title}, {seen.identity.arch}')}", ""]
    lines += table(("capacity", "in all", "for the host", "promised", "of at most"), _capacity(view.site, seen), pen, "  ")
    lines += ["", *_pools(view.site, seen, pen)]
    if seen.holdings:
        rows = [_holding(holding) for holding in sorted(seen.holdings, key=_holder)]
        lines += ["", *table(("held by", "cpus", "memory", "disk"), rows, pen, "  ")]
    taken = [*_taken("address", seen.addresses), *_taken("vlan", seen.vlans), *_taken("network", seen.cidrs)]
    if taken:
        lines += ["", *table(("taken", "value", "by"), taken, pen, "  ")]
    return lines


def _capacity(site: Site, seen: Inventory) -> list[Row]:
    cpus = sum(holding.cpus for holding in seen.holdings)
    memory_mib = sum(holding.memory_mib for holding in seen.holdings)
    disk_bytes = sum(holding.disk_bytes for holding in seen.holdings)
    most_cpus = int((seen.cpus - site.reserve.cpus) * site.overcommit.cpus)
    most_memory = int((seen.memory_mib - site.reserve.memory_mib) * site.overcommit.memory)
    most_disk = int(seen.disk_bytes * site.overcommit.disk)
    reserved = memory(site.reserve.memory_mib) if site.reserve.memory_mib else ""
    return [
        _amounts("cpus", str(seen.cpus), str(site.reserve.cpus or ""), str(cpus), str(most_cpus)),
        _amounts("memory", memory(seen.memory_mib), reserved, memory(memory_mib), memory(most_memory)),
        _amounts("disk", size(seen.disk_bytes), "", size(disk_bytes), size(most_disk)),
    ]


def _amounts(name: str, *amounts: str) -> Row:
    return (Cell(text=name), *(Cell(text=amount, right=True) for amount in amounts))


def _pools(site: Site, seen: Inventory, pen: Style) -> list[str]:
    ranges = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in site.vlans)
    lines = []
    if isinstance(site, LibvirtSite):
        lines.append(f"  storage pool {site.pool}, {size(seen.disk_free_bytes)} free on disk")
    else:
        lines.append(f"  {size(seen.disk_free_bytes)} free on disk")
    if ranges:
        lines.append(f"  vlans {ranges}")
    if seen.public is not None:
        what = f"network {seen.public.network}" if seen.public.network else f"bridge {seen.public.bridge}"
        lines.append(f"  public {what}" + (f", {seen.public.cidr}" if seen.public.cidr else ""))
    return [pen.say(line) for line in lines]


def _holding(holding: CapacityUse) -> Row:
    return (
        Cell(text=_holder(holding)),
        Cell(text=str(holding.cpus), right=True),
        Cell(text=memory(holding.memory_mib), right=True),
        Cell(text=size(holding.disk_bytes), right=True),
    )


def _holder(held: CapacityUse | PoolUse) -> str:
    """Who holds it: what is marked always in the same words, however its provider puts it."""
    return f"{held.address} of stack {held.lineage[:8]}" if held.lineage and held.address else held.owner


def _taken(kind: str, values: Sequence[PoolUse]) -> list[Row]:
    return [(Cell(text=kind), Cell(text=each.value), Cell(text=_holder(each))) for each in values]


def _form(view: SiteView) -> JsonObject:
    seen = view.inventory
    form: JsonObject = {**site_json(view.site), "trouble": view.trouble or None, "inventory": None}
    if seen is None:
        return form
    form["inventory"] = {
        "id": seen.identity.id,
        "title": seen.identity.title,
        "virt_type": seen.identity.virt_type,
        "arch": seen.identity.arch,
        "cpus": seen.cpus,
        "cpus_per_node": seen.cpus_per_node,
        "memory_mib": seen.memory_mib,
        "disk_bytes": seen.disk_bytes,
        "disk_free_bytes": seen.disk_free_bytes,
        "holdings": [
            {
                "owner": holding.owner,
                "cpus": holding.cpus,
                "memory_mib": holding.memory_mib,
                "disk_bytes": holding.disk_bytes,
                "lineage": holding.lineage,
                "address": holding.address,
            }
            for holding in seen.holdings
        ],
        "addresses": [_taken_form(each) for each in seen.addresses],
        "vlans": [_taken_form(each) for each in seen.vlans],
        "networks": [_taken_form(each) for each in seen.cidrs],
        "images": list(seen.images),
    }
    return form


def _taken_form(each: PoolUse) -> JsonObject:
    return {"value": each.value, "owner": each.owner, "lineage": each.lineage, "address": each.address}
