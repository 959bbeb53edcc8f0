"""The output of ``list site``: capacity, pools, and their users."""

from collections.abc import Sequence
from textwrap import wrap

from pragmaspec.frozen import Frozen, to_plain
from pragmaspec.planning.allocation.flavors import flavor_order
from pragmaspec.planning.allocation.pin_requests import cpu_ranges
from pragmaspec.planning.allocation.pools import vlan_ranges
from pragmaspec.planning.allocation.quotas import quota_amount, quota_name
from pragmaspec.planning.observed import CapacityUse, Inventory, PoolUse, Quota
from pragmaspec.report.json_forms import JsonObject, fields_json, site_json
from pragmaspec.report.style import Style
from pragmaspec.report.table import Cell, Row, lines_text, table
from pragmaspec.site import Flavor, LibvirtSite, Site
from pragmaspec.text import duration, memory, size

_PROCESSORS_WIDTH = 110
"""Width of the lines of processors, of which there may be dozens."""


class SiteView(Frozen, frozen=True):
    """A site with its inventory, or the ``trouble`` of asking for it."""

    site: Site
    inventory: Inventory | None = None
    trouble: str = ""


def sites_text(views: Sequence[SiteView], style: Style) -> str:
    """Return a block per site."""
    if not views:
        return "No sites: the spec names none.\n"
    return "\n".join(lines_text(_site_lines(view, style)) for view in views)


def sites_json(views: Sequence[SiteView]) -> JsonObject:
    """Return the document of sites."""
    return {"kind": "sites", "format": 1, "sites": [_site_json(view) for view in views]}


def _site_lines(view: SiteView, style: Style) -> list[str]:
    name = style.paint(style.safe(view.site.name), "bold")
    if view.inventory is None:
        return [f"{name}{style.safe('  ·  ')}{style.paint(style.safe(view.trouble), 'danger')}"]
    inventory = view.inventory
    lines = [f"{name}{style.safe('  ·  ')}{style.safe(f'{inventory.identity.title}, {inventory.identity.arch}')}", ""]
    if inventory.reports_capacity:
        head = ("capacity", "total", "reserved", "allocated", "limit")
        lines += [*table(head, _capacity_rows(view.site, inventory), style, "  "), ""]
    if inventory.quotas:
        lines += [*table(("quota", "limit", "used", "free"), _quota_rows(inventory.quotas), style, "  "), ""]
    lines += _pool_lines(view.site, inventory, style)
    if inventory.flavors is not None:
        offered = ("flavor", "cpus", "memory", "disk", "devices", "")
        lines += ["", *table(offered, _flavor_rows(inventory.flavors), style, "  ")]
    if inventory.holdings:
        lines += ["", *_capacity_use_lines(sorted(inventory.holdings, key=_user), style)]
    in_use = [
        *_pool_use_rows("address", inventory.addresses),
        *_pool_use_rows("vlan", inventory.vlans),
        *_pool_use_rows("network", inventory.cidrs),
    ]
    if in_use:
        lines += ["", *table(("in use", "value", "by"), in_use, style, "  ")]
    return lines


def _capacity_rows(site: Site, inventory: Inventory) -> list[Row]:
    cpus = sum(use.cpus for use in inventory.holdings)
    memory_mib = sum(use.memory_mib for use in inventory.holdings)
    disk_bytes = sum(use.disk_bytes for use in inventory.holdings)
    limit_cpus = int((inventory.cpus - site.reserve.cpus) * site.overcommit.cpus)
    limit_mib = int((inventory.memory_mib - site.reserve.memory_mib) * site.overcommit.memory)
    limit_bytes = int(inventory.disk_bytes * site.overcommit.disk)
    reserved = memory(site.reserve.memory_mib) if site.reserve.memory_mib else ""
    return [
        _capacity_row("cpus", str(inventory.cpus), str(site.reserve.cpus or ""), str(cpus), str(limit_cpus)),
        _capacity_row("memory", memory(inventory.memory_mib), reserved, memory(memory_mib), memory(limit_mib)),
        _capacity_row("disk", size(inventory.disk_bytes), "", size(disk_bytes), size(limit_bytes)),
    ]


def _capacity_row(name: str, *amounts: str) -> Row:
    return (Cell(text=name), *_amounts(*amounts))


def _amounts(*amounts: str) -> Row:
    return tuple(Cell(text=amount, right=True) for amount in amounts)


def _quota_rows(quotas: Sequence[Quota]) -> list[Row]:
    rows: list[Row] = []
    for quota in quotas:
        limit = free = ""
        if quota.limit is not None:
            limit, free = quota_amount(quota.kind, quota.limit), quota_amount(quota.kind, max(0, quota.limit - quota.used))
        rows.append(_capacity_row(quota_name(quota.kind), limit or "none", quota_amount(quota.kind, quota.used), free))
    return rows


def _flavor_rows(flavors: Sequence[Flavor]) -> list[Row]:
    return [
        (
            *_capacity_row(flavor.name, str(flavor.cpus), memory(flavor.memory_mib), _flavor_disk(flavor)),
            Cell(text=", ".join(f"{count} {alias}" for alias, count in flavor.devices)),
            Cell(text=flavor.description),
        )
        for flavor in sorted(flavors, key=flavor_order)
    ]


def _flavor_disk(flavor: Flavor) -> str:
    return size(flavor.disk_bytes) if flavor.disk_bytes else "any"


def _pool_lines(site: Site, inventory: Inventory, style: Style) -> list[str]:
    free = f"{size(inventory.disk_free_bytes)} free on disk"
    lines = [f"  storage pool {site.pool}, {free}" if isinstance(site, LibvirtSite) else f"  {free}"]
    lines = lines if inventory.reports_capacity else []
    if site.vlans:
        lines.append(f"  vlans {vlan_ranges(site)}")
    public = inventory.public
    if public is not None:
        name = f"network {public.network}" if public.network else f"bridge {public.bridge}"
        lines.append(f"  public {name}" + (f", {public.cidr}" if public.cidr else ""))
    if inventory.processors:
        named = (f"{each} (default)" if each == inventory.default_processor else each for each in inventory.processors)
        lines += wrap(f"  processors {', '.join(named)}", _PROCESSORS_WIDTH, subsequent_indent="    ", break_on_hyphens=False)
    if inventory.host_cpus is not None:
        taken = cpu_ranges(tuple({int(use.value) for use in inventory.cpu_uses}))
        lines.append(f"  cpus that nodes can be pinned to: {len(inventory.host_cpus)}; pinned: {taken or 'none'}")
    lines += (f"  devices {alias}: {_device_numbers(alias, inventory)}" for alias in inventory.device_aliases)
    return [style.safe(line) for line in lines]


def _device_numbers(alias: str, inventory: Inventory) -> str:
    """Return ``1 of 2 free``, with the number of those that cannot be used."""
    used = {use.value for use in inventory.device_uses}
    here = [device for device in inventory.host_devices if alias in device.aliases]
    free = [device for device in here if not device.problem and device.address not in used]
    unusable = sum(bool(device.problem) for device in here)
    return f"{len(free)} of {len(here)} free" + (f", {unusable} unusable" if unusable else "")


def _capacity_use_lines(uses: Sequence[CapacityUse], style: Style) -> list[str]:
    """Return the table of uses, with flavors and times where the site reports them."""
    head: tuple[str, ...] = ("used by", "cpus", "memory", "disk")
    rows: list[Row] = [
        (Cell(text=_user(use)), *_amounts(str(use.cpus), memory(use.memory_mib), size(use.disk_bytes))) for use in uses
    ]
    if any(use.flavor for use in uses):
        head = (*head, "flavor", "running")
        times = [duration(use.running_s) if use.running_s else "" for use in uses]
        rows = [
            (*row, Cell(text=use.flavor), Cell(text=time, right=True)) for row, use, time in zip(rows, uses, times, strict=True)
        ]
    return table(head, rows, style, "  ")


def _user(use: CapacityUse | PoolUse) -> str:
    """Return the address and stack of a marked object, the same for all providers; else the provider's owner."""
    return f"{use.address} of stack {use.lineage[:8]}" if use.lineage and use.address else use.owner


def _pool_use_rows(kind: str, uses: Sequence[PoolUse]) -> list[Row]:
    return [(Cell(text=kind), Cell(text=use.value), Cell(text=_user(use))) for use in uses]


def _flavor_json(flavor: Flavor) -> JsonObject:
    return {
        **fields_json(flavor, "name", "cpus", "memory_mib"),
        "disk_bytes": flavor.disk_bytes or None,
        "devices": dict(flavor.devices),
        "description": flavor.description,
    }


def _site_json(view: SiteView) -> JsonObject:
    document: JsonObject = {**site_json(view.site), "trouble": view.trouble or None, "inventory": None}
    inventory = view.inventory
    if inventory is not None:
        totals = ("cpus", "cpus_per_node", "memory_mib", "disk_bytes", "disk_free_bytes")
        document["inventory"] = {
            **fields_json(inventory.identity, "id", "title", "virt_type", "arch"),
            **fields_json(inventory, *totals, "holdings", "addresses", "vlans"),
            "networks": to_plain(inventory.cidrs),
            "images": to_plain(inventory.images),
            "reports_capacity": inventory.reports_capacity,
            "flavors": None if inventory.flavors is None else [_flavor_json(each) for each in inventory.flavors],
            "processors": to_plain(inventory.processors),
            "default_processor": inventory.default_processor or None,
            **fields_json(inventory, "device_aliases", "host_devices", "device_uses", "host_cpus", "cpu_uses"),
            "quotas": [fields_json(each, "kind", "limit", "used", "users") for each in inventory.quotas],
        }
    return document
