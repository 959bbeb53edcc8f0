"""Everything that is recorded of one address, one line per fact."""

from collections.abc import Iterable, Iterator, Mapping

from pragmaspec.recorded import Allocation, Node, Record, StagedImage
from pragmaspec.report import units
from pragmaspec.report.differences import grant_words, network_words
from pragmaspec.report.lists import STATUS_TONES, node_status
from pragmaspec.report.pen import Pen, Tone
from pragmaspec.report.table import Cell, line, widths


def show_text(record: Record, images: Mapping[str, str], pen: Pen, more: Iterable[tuple[str, str]] = ()) -> str:
    """The record for people; ``images`` names digests, ``more`` are further facts."""
    resource = record.resource
    status = node_status(record)
    facts: list[tuple[str, str, Tone]] = [("address", record.address, "bold"), ("status", status, STATUS_TONES[status])]
    if record.problem:
        facts.append(("problem", record.problem.split("\n", 1)[0], "danger"))
    if isinstance(resource, Node):
        facts += [(name, text, "plain") for name, text in _node(resource, record, images)]
    elif isinstance(resource, Allocation):
        facts += [(name, text, "plain") for name, text in _allocation(resource)]
    else:
        facts += [(name, text, "plain") for name, text in _image(resource)]
    facts += [(name, text, "dim") for name, text in (*record.outputs, *more)]
    rows = [(Cell(text=name, tone="dim"), Cell(text=text, tone=tone)) for name, text, tone in facts]
    fields = widths(rows, pen)
    return "\n".join(line(row, fields, pen) for row in rows) + "\n"


def _node(node: Node, record: Record, images: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield "role", f"{node.role} {node.index}" if node.role == "compute" else node.role
    yield "cpus", str(node.cpus)
    yield "memory", units.memory(node.memory_mib)
    yield "disk", units.size(node.disk_bytes)
    yield "image", f"{images[node.image]} {node.image[:16]}" if node.image in images else node.image[:16]
    if node.firmware != "bios":
        yield "firmware", node.firmware
    for nic in node.nics:
        gateway = f" · gateway {nic.gateway}" if nic.gateway else ""
        dns = f" · dns {', '.join(nic.dns)}" if nic.dns else ""
        mtu = f" · mtu {nic.mtu}" if nic.mtu != 1500 else ""  # noqa: PLR2004 - the usual one is not worth saying
        yield nic.network, f"{nic.address}/{nic.prefix} · {nic.mac}{gateway}{dns}{mtu}"
    if node.readiness.when == "none":
        yield "ready when", "booted; nothing is waited for"
    else:
        yield "ready when", f"{node.readiness.when}, within {units.duration(node.readiness.timeout_s)}"
    yield "generation", str(record.generation)
    if node.autostart:
        yield "autostart", "yes"
    if node.protect:
        yield "protected", "yes"


def _allocation(allocation: Allocation) -> Iterator[tuple[str, str]]:
    for network in allocation.networks:
        yield ("private" if network.name == "private" else "network"), network_words(network)
    for grant in allocation.public:
        yield "public", f"{grant_words(grant)} · for {grant.node}"
    if allocation.protect:
        yield "protected", "yes"


def _image(image: StagedImage) -> Iterator[tuple[str, str]]:
    yield "name", image.name
    yield "digest", image.digest
    yield "format", image.format
    yield "size", f"{units.size(image.transfer_bytes)}, a disk of {units.size(image.virtual_size_bytes)}"
    if image.kernel is not None:
        yield "boots", f"kernel and initrd beside the disk, `{image.cmdline}`"
