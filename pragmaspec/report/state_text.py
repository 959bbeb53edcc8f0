"""The output of ``state`` and ``show``: records, versions of the state, and the holder of its lock."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pragmaspec.frozen import to_plain
from pragmaspec.planning.allocation.pin_requests import cpu_ranges
from pragmaspec.report.json_forms import JsonObject, fields_json, record_json
from pragmaspec.report.lists_text import STATUS_TONES, node_status
from pragmaspec.report.plan.differences import devices_text, disk_text, flavor_choice_text, grant_text, network_text
from pragmaspec.report.style import Style, Tone
from pragmaspec.report.table import Cell, column_widths, format_row, lines_text, table
from pragmaspec.report.unknown import interface_text, shown
from pragmaspec.resources import STANDARD_MTU, Allocation, Node, StagedImage, Volume
from pragmaspec.state.backends.base import LockHolder, StateVersion
from pragmaspec.state_model import Record, State
from pragmaspec.text import duration, memory, size


def show_text(record: Record, images: Mapping[str, str], style: Style, more: Iterable[tuple[str, str]] = ()) -> str:
    """Return all recorded facts of one address, one per line. ``images``: names by digest; ``more``: further facts."""
    resource = record.resource
    status = node_status(record)
    facts: list[tuple[str, str, Tone]] = [("address", record.address, "bold"), ("status", status, STATUS_TONES[status])]
    if record.problem:
        facts.append(("problem", record.problem.split("\n", 1)[0], "danger"))
    if isinstance(resource, Node):
        facts += [(name, text, "plain") for name, text in _node_facts(resource, record, images)]
    elif isinstance(resource, Allocation):
        facts += [(name, text, "plain") for name, text in _allocation_facts(resource)]
    elif isinstance(resource, Volume):
        facts += [(name, text, "plain") for name, text in _volume_facts(resource)]
    else:
        facts += [(name, text, "plain") for name, text in _image_facts(resource)]
    facts += [(name, text, "dim") for name, text in (*record.outputs, *more)]
    rows = [(Cell(text=name, tone="dim"), Cell(text=text, tone=tone)) for name, text, tone in facts]
    widths = column_widths(rows, style)
    return lines_text(format_row(row, widths, style) for row in rows)


def _host_parts(node: Node) -> Iterator[tuple[str, str]]:
    """Yield the parts of its host that the node has for itself."""
    if node.pinned:
        yield "pinned to", cpu_ranges(node.pinned)
    if node.devices:
        yield "devices", devices_text(node.devices)


def _node_facts(node: Node, record: Record, images: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield "role", f"{node.group_name} {node.index}" if node.role == "compute" else node.role
    if node.flavor:
        yield "flavor", flavor_choice_text(node)
    yield "cpus", str(node.cpus)
    if node.cpu:
        yield "processor", node.cpu
    yield from _host_parts(node)
    yield "memory", memory(node.memory_mib)
    yield "disk", size(node.disk_bytes)
    for disk in node.disks:
        yield "disk", disk_text(disk)
    yield "image", f"{images[node.image]} {node.image[:16]}" if node.image in images else node.image[:16]
    if node.firmware != "bios":
        yield "firmware", node.firmware
    for nic in node.nics:
        gateway = f" · gateway {nic.gateway}" if nic.gateway else ""
        dns = f" · dns {', '.join(nic.dns)}" if nic.dns else ""
        mtu = f" · mtu {nic.mtu}" if nic.mtu != STANDARD_MTU else ""
        told = "translated to the private interface" if nic.translated else f"{shown(nic.mac)}{gateway}{dns}{mtu}"
        yield nic.network, f"{interface_text(nic)} · {told}"
    if node.readiness.when == "none":
        yield "ready when", "booted"
    else:
        yield "ready when", f"{node.readiness.when}, within {duration(node.readiness.timeout_s)}"
    yield "generation", str(record.generation)
    if node.autostart:
        yield "autostart", "yes"
    if node.protect:
        yield "protected", "yes"


def _allocation_facts(allocation: Allocation) -> Iterator[tuple[str, str]]:
    for network in allocation.networks:
        gateway = f" · gateway {network.gateway}" if network.gateway else ""
        yield ("private" if network.name == "private" else "network"), network_text(network) + gateway
    for grant in allocation.public:
        yield "public", f"{grant_text(grant)} · for {grant.node}"
    if allocation.protect:
        yield "protected", "yes"


def _volume_facts(volume: Volume) -> Iterator[tuple[str, str]]:
    yield "size", size(volume.size_bytes)
    yield "format", volume.format
    if volume.cluster:
        yield "cluster", volume.cluster


def _image_facts(image: StagedImage) -> Iterator[tuple[str, str]]:
    yield "name", image.name
    yield "digest", image.digest
    if image.site_image:
        use = "used in place" if image.in_place else "copied at the site"
        yield "lives at", f"{image.site}, as {image.site_name} ({image.site_image}), {use}"
        yield from (("checksum", image.checksum),) if image.checksum else ()
    yield "format", image.format
    disk = f"a disk of {size(image.virtual_size_bytes)}"
    yield "size", disk if image.in_place else f"{size(image.size_bytes)}, {disk}"
    if image.kernel is not None:
        yield "boots", f"a separate kernel and initrd, `{image.cmdline}`"


def state_text(state: State, title: str, style: Style) -> str:
    """Return the location and identity of the state, and a table of its records."""
    head = f"{title}  ·  serial {state.serial}  ·  stack {state.lineage}"
    if not state.records:
        return style.safe(f"{head}  ·  no records") + "\n"
    rows = [
        (
            Cell(text=record.address, tone="bold"),
            Cell(text=node_status(record), tone=STATUS_TONES[node_status(record)]),
            Cell(text=str(record.generation or ""), right=True),
            Cell(text=record.origin),
            Cell(text=record.problem.split("\n", 1)[0], tone="danger"),
        )
        for record in state.records
    ]
    return lines_text([style.safe(head), "", *table(("address", "status", "generation", "created as", "problem"), rows, style)])


def state_json(state: State, title: str) -> JsonObject:
    """Return the document of the state."""
    return {
        "kind": "state",
        "format": 1,
        "store": title,
        "lineage": state.lineage,
        "serial": state.serial,
        "records": [recorded_json(record, state.lineage) for record in state.records],
    }


def recorded_text(record: Record, lineage: str, images: Mapping[str, str], style: Style) -> str:
    """Return the facts of one record, including the identity of its object at the site."""
    mark = record.mark(lineage)
    facts = (("created as", record.origin), ("uuid", mark.uuid), ("creation", record.op))
    return show_text(record, images, style, [(name, text) for name, text in facts if text])


def recorded_json(record: Record, lineage: str) -> JsonObject:
    """Return one record, including the identity of its object at the site."""
    return {**record_json(record), "op": record.op, "origin": record.origin or None, "uuid": record.mark(lineage).uuid}


def history_text(versions: Sequence[StateVersion], title: str, style: Style) -> str:
    """Return a table of the stored versions of the state, the current one first."""
    if not versions:
        return style.safe(f"No versions: nothing was ever recorded at {title}.") + "\n"
    rows = [
        (
            Cell(text=str(version.serial), right=True, tone="bold"),
            Cell(text=version.written),
            Cell(text=size(version.size_bytes), right=True),
            Cell(text="current" if index == 0 else "", tone="dim"),
        )
        for index, version in enumerate(versions)
    ]
    return lines_text(table(("serial", "written", "size", ""), rows, style))


def history_json(versions: Sequence[StateVersion], title: str) -> JsonObject:
    """Return the document of the stored versions of the state."""
    return {"kind": "history", "format": 1, "store": title, "versions": [to_plain(version) for version in versions]}


def holder_text(holder: LockHolder | None, title: str, style: Style) -> str:
    """Return a sentence about the lock of ``title``."""
    if holder is None:
        return style.safe(f"The lock of {title} is free.") + "\n"
    return style.safe(f"Lock {holder.id} of {title} is held by {holder_description(holder)}.") + "\n"


def holder_description(holder: LockHolder) -> str:
    """Return ``process 12 of ada on desk, since …, for `apply` ``."""
    process = f"process {holder.pid} of " if holder.pid else ""
    owner = f"{holder.user or 'an unknown user'} on {holder.host or 'an unknown host'}"
    return f"{process}{owner}, since {holder.since}, for `{holder.command}`"


def holder_json(holder: LockHolder | None, title: str) -> JsonObject:
    """Return the document of the lock of ``title``."""
    fields = None if holder is None else fields_json(holder, "id", "pid", "user", "host", "since", "command")
    return {"kind": "lock", "format": 1, "store": title, "holder": fields}
