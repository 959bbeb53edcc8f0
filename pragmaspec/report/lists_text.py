"""The tables of ``list``: clusters, nodes, images and sites."""

from collections.abc import Mapping, Sequence

from pragmaspec.frozen import Frozen
from pragmaspec.report.json_forms import JsonObject, record_json, resource_json
from pragmaspec.report.plan.differences import grant_text
from pragmaspec.report.style import Style, Tone
from pragmaspec.report.table import Cell, Row, table
from pragmaspec.resources import Allocation, Node, StagedImage
from pragmaspec.state_model import Record, State
from pragmaspec.text import memory, size

STATUS_TONES: Mapping[str, Tone] = {"ready": "add", "off": "dim", "pending": "change", "degraded": "danger"}


class ClusterSummary(Frozen, frozen=True):
    """A recorded cluster in one line. ``ready`` of ``nodes`` nodes run and are ready."""

    site: str
    name: str
    nodes: int
    ready: int
    off: int
    pending: int
    cpus: int
    memory_mib: int
    allocation: Allocation | None

    @property
    def status(self) -> str:
        """``ready``, ``off``, ``degraded``: in one word; ``pending`` while its making, or a change of it, is unfinished."""
        if self.nodes == 0 or self.allocation is None:
            return "pending"
        if self.ready == self.nodes:
            return "ready"
        if self.off == self.nodes:
            return "off"
        return "pending" if self.pending and self.ready + self.off + self.pending == self.nodes else "degraded"


class ImageRow(Frozen, frozen=True):
    """An image of the spec, the local store or a site. ``sites``: where it is staged for this stack."""

    name: str
    origin: str
    format: str
    digest: str
    size_bytes: int
    sites: tuple[str, ...] = ()
    local: bool = False


def cluster_summaries(state: State) -> tuple[ClusterSummary, ...]:
    """Every recorded cluster, by site and name."""
    nodes: dict[tuple[str, str], list[Record]] = {}
    allocations: dict[tuple[str, str], Allocation] = {}
    for record in state.records:
        resource = record.resource
        if isinstance(resource, Node):
            nodes.setdefault((resource.site, resource.cluster), []).append(record)
        elif isinstance(resource, Allocation):
            allocations[resource.site, resource.cluster] = resource
    found = []
    for site, name in sorted(nodes.keys() | allocations.keys()):
        records = nodes.get((site, name), [])
        words = [node_status(record) for record in records]
        machines = [record.resource for record in records if isinstance(record.resource, Node)]
        found.append(
            ClusterSummary(
                site=site,
                name=name,
                nodes=len(records),
                ready=words.count("ready"),
                off=words.count("off"),
                pending=words.count("pending"),
                cpus=sum(node.cpus for node in machines),
                memory_mib=sum(node.memory_mib for node in machines),
                allocation=allocations.get((site, name)),
            )
        )
    return tuple(found)


def node_status(record: Record) -> str:
    """``ready``, ``off``, ``pending`` or ``degraded``."""
    if record.status == "ready" and isinstance(record.resource, Node) and not record.resource.running:
        return "off"
    return record.status


def clusters_text(summaries: Sequence[ClusterSummary], pen: Style) -> str:
    """One line per cluster, or one line that says there is none."""
    if not summaries:
        return "No clusters are recorded. `pragmaspec apply` makes those of the spec.\n"
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
    return _text(table(("cluster", "status", "ready", "cpus", "memory", "public", "vlan", "private", "site"), rows, pen))


def clusters_json(summaries: Sequence[ClusterSummary], state: State) -> JsonObject:
    """The same for programs, with every node and everything that is recorded of it."""
    return {
        "kind": "clusters",
        "format": 1,
        "clusters": [
            {
                "name": each.name,
                "site": each.site,
                "status": each.status,
                "ready": each.ready,
                "off": each.off,
                "cpus": each.cpus,
                "memory_mib": each.memory_mib,
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


def nodes_text(records: Sequence[Record], images: Mapping[str, str], pen: Style) -> str:
    """One line per node of a cluster; ``images`` names digests."""
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
                    Cell(text=str(node.cpus), right=True),
                    Cell(text=memory(node.memory_mib), right=True),
                    Cell(text=size(node.disk_bytes), right=True),
                    Cell(text=private.address if private else ""),
                    Cell(text=public.address if public else ""),
                    Cell(text=images.get(node.image, node.image[:16])),
                    Cell(text=record.problem.split("\n", 1)[0], tone="danger"),
                )
            )
    return _text(table(("node", "status", "cpus", "memory", "disk", "private", "public", "image", "problem"), rows, pen))


def image_names(state: State) -> dict[str, str]:
    """Digest → name of every recorded image."""
    return {record.resource.digest: record.resource.name for record in state.records if isinstance(record.resource, StagedImage)}


def repository_text(images: Sequence[ImageRow], pen: Style) -> str:
    """One line per image."""
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
    return _text(table(("image", "from", "format", "size", "digest", "local", "staged at"), rows, pen))


def repository_json(images: Sequence[ImageRow]) -> JsonObject:
    """The same for programs, digests whole."""
    return {
        "kind": "repository",
        "format": 1,
        "images": [
            {
                "name": image.name,
                "origin": image.origin,
                "format": image.format,
                "size_bytes": image.size_bytes,
                "digest": image.digest,
                "local": image.local,
                "sites": list(image.sites),
            }
            for image in images
        ],
    }


def _vlans(allocation: Allocation | None) -> str:
    numbers = [str(network.vlan) for network in allocation.networks if network.vlan is not None] if allocation else []
    return ", ".join(numbers)


def _text(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
