"""The output of ``list``: clusters, nodes and images."""

from collections.abc import Mapping, Sequence

from pragmaspec.frozen import Frozen, to_plain
from pragmaspec.planning.allocation.pin_requests import cpu_ranges
from pragmaspec.report.json_forms import JsonObject, fields_json, record_json, resource_json
from pragmaspec.report.plan.differences import devices_text, grant_text
from pragmaspec.report.style import Style, Tone
from pragmaspec.report.table import Cell, Row, lines_text, table
from pragmaspec.report.unknown import shown
from pragmaspec.resources import Allocation, Node, StagedImage, Volume
from pragmaspec.state_model import Record, State
from pragmaspec.text import memory, size

STATUS_TONES: Mapping[str, Tone] = {"ready": "add", "off": "dim", "pending": "change", "degraded": "danger"}


class ClusterSummary(Frozen, frozen=True):
    """A recorded cluster. ``ready``, ``off`` and ``pending`` are numbers of nodes."""

    site: str
    name: str
    nodes: int
    ready: int
    off: int
    pending: int
    cpus: int
    memory_mib: int
    allocation: Allocation | None
    is_allocated: bool = False
    """True if the record of the allocation is ready."""

    @property
    def status(self) -> str:
        """``ready``, ``off``, ``degraded``, or ``pending`` while its creation or change is unfinished."""
        if self.nodes == 0 and self.is_allocated:
            return "off"
        if self.nodes == 0 or self.allocation is None:
            return "pending"
        if self.ready == self.nodes:
            return "ready"
        if self.off == self.nodes:
            return "off"
        return "pending" if self.pending and self.ready + self.off + self.pending == self.nodes else "degraded"


class ImageRow(Frozen, frozen=True):
    """An image of the spec, the local store or a site."""

    name: str
    origin: str
    format: str
    size_bytes: int
    digest: str
    local: bool = False
    sites: tuple[str, ...] = ()
    """Sites at which it is staged for this stack."""


def cluster_summaries(state: State) -> tuple[ClusterSummary, ...]:
    """Return a summary per recorded cluster, by site and name."""
    nodes: dict[tuple[str, str], list[Record]] = {}
    allocations: dict[tuple[str, str], Record] = {}
    for record in state.records:
        resource = record.resource
        if isinstance(resource, Node):
            nodes.setdefault((resource.site, resource.cluster), []).append(record)
        elif isinstance(resource, Allocation):
            allocations[resource.site, resource.cluster] = record
    return tuple(_summary(key, nodes.get(key, []), allocations.get(key)) for key in sorted(nodes.keys() | allocations.keys()))


def _summary(key: tuple[str, str], records: Sequence[Record], allocation: Record | None) -> ClusterSummary:
    statuses = [node_status(record) for record in records]
    nodes = [record.resource for record in records if isinstance(record.resource, Node)]
    return ClusterSummary(
        site=key[0],
        name=key[1],
        nodes=len(records),
        ready=statuses.count("ready"),
        off=statuses.count("off"),
        pending=statuses.count("pending"),
        cpus=sum(node.cpus for node in nodes),
        memory_mib=sum(node.memory_mib for node in nodes),
        allocation=allocation.resource if allocation is not None and isinstance(allocation.resource, Allocation) else None,
        is_allocated=allocation is not None and allocation.status == "ready",
    )


def node_status(record: Record) -> str:
    """Return ``ready``, ``off``, ``pending`` or ``degraded``."""
    if record.status == "ready" and isinstance(record.resource, Node) and not record.resource.running:
        return "off"
    return record.status


def clusters_text(summaries: Sequence[ClusterSummary], style: Style) -> str:
    """Return a table of clusters."""
    if not summaries:
        return "No clusters are recorded. `pragmaspec apply` creates those of the spec.\n"
    rows = [
        (
            Cell(text=each.name, tone="bold"),
            Cell(text=each.status, tone=STATUS_TONES[each.status]),
            Cell(text=f"{each.ready}/{each.nodes}", right=True),
            Cell(text=f"{each.cpus:,}", right=True),
            Cell(text=memory(each.memory_mib), right=True),
            Cell(text=", ".join(grant_text(grant) for grant in each.allocation.public) if each.allocation else ""),
            Cell(text=_vlans(each.allocation), right=True),
            Cell(text=each.allocation.private.cidr if each.allocation else ""),
            Cell(text=each.site),
        )
        for each in summaries
    ]
    head = ("cluster", "status", "ready", "cpus", "memory", "public", "vlan", "private", "site")
    return lines_text(table(head, rows, style))


def clusters_json(summaries: Sequence[ClusterSummary], state: State) -> JsonObject:
    """Return the document of clusters, with the records of their nodes."""
    return {
        "kind": "clusters",
        "format": 1,
        "clusters": [
            {
                **fields_json(each, "name", "site", "status", "ready", "off", "cpus", "memory_mib"),
                "allocation": resource_json(each.allocation) if each.allocation else None,
                "nodes": [
                    record_json(record)
                    for node in state.nodes(each.name)
                    if node.site == each.site and (record := state.record(node.address)) is not None
                ],
            }
            for each in summaries
        ],
    }


def nodes_text(records: Sequence[Record], images: Mapping[str, str], style: Style) -> str:
    """Return a table of the nodes of a cluster. ``images``: names by digest."""
    rows: list[Row] = []
    for record in records:
        node = record.resource
        if isinstance(node, Node):
            status = node_status(record)
            public, private = node.nic("public"), node.nic("private")
            rows.append(
                (
                    Cell(text=node.name, tone="bold"),
                    Cell(text=status, tone=STATUS_TONES[status]),
                    Cell(text=node.flavor),
                    Cell(text=str(node.cpus), right=True),
                    Cell(text=memory(node.memory_mib), right=True),
                    Cell(text=size(node.disk_bytes), right=True),
                    Cell(text=cpu_ranges(node.pinned)),
                    Cell(text=devices_text(node.devices)),
                    Cell(text=shown(private.address) if private else ""),
                    Cell(text=shown(public.address) if public else ""),
                    Cell(text=images.get(node.image, node.image[:16])),
                    Cell(text=record.problem.split("\n", 1)[0], tone="danger"),
                )
            )
    if not rows:
        return "No nodes are recorded.\n"
    head = ("node", "status", "flavor", "cpus", "memory", "disk", "pinned", "devices", "private", "public", "image", "problem")
    return lines_text(table(head, rows, style))


class VolumeRow(Frozen, frozen=True):
    """A recorded volume. ``user``: the node that uses it; empty: none."""

    site: str
    name: str
    size_bytes: int
    format: str
    status: str
    cluster: str
    user: str = ""


def volume_rows(state: State) -> tuple[VolumeRow, ...]:
    """Return the recorded volumes with their users, by site and name."""
    users = {(node.site, name): node.name for node in state.nodes() for name in node.volumes}
    rows = [
        VolumeRow(
            site=volume.site,
            name=volume.name,
            size_bytes=volume.size_bytes,
            format=volume.format,
            status=record.status,
            cluster=volume.cluster,
            user=users.get((volume.site, volume.name), ""),
        )
        for record in state.records
        if isinstance(volume := record.resource, Volume)
    ]
    return tuple(sorted(rows, key=lambda row: (row.site, row.name)))


def volumes_text(rows: Sequence[VolumeRow], style: Style) -> str:
    """Return a table of volumes."""
    if not rows:
        return "No volumes are recorded. Disks with `keep:` in the spec are volumes.\n"
    cells = [
        (
            Cell(text=row.name, tone="bold"),
            Cell(text=row.status, tone=STATUS_TONES[row.status]),
            Cell(text=size(row.size_bytes), right=True),
            Cell(text=row.format),
            Cell(text=row.user or "unused", tone="plain" if row.user else "dim"),
            Cell(text=row.site),
        )
        for row in rows
    ]
    return lines_text(table(("volume", "status", "size", "format", "used by", "site"), cells, style))


def volumes_json(rows: Sequence[VolumeRow]) -> JsonObject:
    """Return the document of volumes."""
    return {
        "kind": "volumes",
        "format": 1,
        "volumes": [
            {**fields_json(row, "site", "name", "size_bytes", "format", "status", "cluster"), "used_by": row.user or None}
            for row in rows
        ],
    }


def image_names(state: State) -> dict[str, str]:
    """Return the names of the recorded images, by digest."""
    return {record.resource.digest: record.resource.name for record in state.records if isinstance(record.resource, StagedImage)}


def repository_text(images: Sequence[ImageRow], style: Style) -> str:
    """Return a table of images."""
    if not images:
        return "No images: neither the spec nor the local store has any.\n"
    rows = [
        (
            Cell(text=image.name, tone="bold"),
            Cell(text=image.origin),
            Cell(text=image.format),
            Cell(text=size(image.size_bytes), right=True),
            Cell(text=image.digest[:16]),
            Cell(text="yes" if image.local else ""),
            Cell(text=", ".join(image.sites)),
        )
        for image in images
    ]
    return lines_text(table(("image", "from", "format", "size", "digest", "local", "staged at"), rows, style))


def repository_json(images: Sequence[ImageRow]) -> JsonObject:
    """Return the document of images."""
    return {"kind": "repository", "format": 1, "images": [to_plain(image) for image in images]}


def _vlans(allocation: Allocation | None) -> str:
    numbers = [str(network.vlan) for network in allocation.networks if network.vlan is not None] if allocation else []
    return ", ".join(numbers)
