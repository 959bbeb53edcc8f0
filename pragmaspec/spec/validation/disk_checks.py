"""Checks of further disks: their mount points, and volumes that several nodes want."""

from collections.abc import Iterator

from pragmaspec.spec.findings import Finding
from pragmaspec.spec.models.cluster import ClusterModel, NodesModel, RoleModel, SpecModel
from pragmaspec.spec.models.roles import NodeSet, node_entries, node_sets
from pragmaspec.spec.quantity import format_size
from pragmaspec.spec.yaml.tree import TreePath
from pragmaspec.text import counted

DISKS_MAX = 20
"""Maximum number of further disks of a node, each of which needs a slot of its virtual machine."""
SIZE_MIN = {"ext4": 16 * 2**20, "xfs": 300 * 2**20, "none": 0}
"""Minimum sizes of file systems; that of XFS is of xfsprogs 5.19."""


def disk_findings(at: TreePath, cluster: ClusterModel) -> Iterator[Finding]:
    """Yield the findings in the disks of the cluster at ``at``."""
    for entry in node_entries(cluster):
        yield from _mount_findings((*at, *entry.path, "disks"), entry.nodes)


def _mount_findings(at: TreePath, nodes: RoleModel) -> Iterator[Finding]:
    if len(nodes.disks) > DISKS_MAX:
        yield Finding(at, "Too many disks", f"A node can have at most {DISKS_MAX} further disks. Remove some.", at_key=True)
    holders: dict[str, str] = {}
    for name, disk in nodes.disks.items():
        path: TreePath = (*at, name, "mount")
        if disk.size_bytes < SIZE_MIN[disk.format]:
            minimum = format_size(SIZE_MIN[disk.format])
            detail = f"The file system {disk.format} needs at least {minimum}. Write `size: {minimum}` or more."
            yield Finding((*at, name, "size"), "Disk too small", detail, about=((*at, name, "format"),))
        if disk.mount is None:
            continue
        if disk.format == "none":
            detail = "A disk with `format: none` has no file system to mount. Remove `mount`, or write `format: ext4`."
            yield Finding(path, "Nothing to mount", detail, about=((*at, name, "format"),))
        holder = holders.setdefault(disk.mount, name)
        if holder != name:
            detail = f"Disk `{holder}` is already mounted at {disk.mount}. Write another directory."
            yield Finding(path, "Claimed twice", detail)


def volume_findings(spec: SpecModel) -> Iterator[Finding]:
    """Yield a finding per two places of the spec whose nodes want the same volumes of a site."""
    holders: dict[tuple[str, str], tuple[TreePath, str]] = {}
    shared: dict[tuple[TreePath, TreePath, bool], list[str]] = {}
    for cluster, model in spec.clusters.items():
        for found in node_sets(model):
            for in_cluster, name, disk in _volumes(cluster, found):
                path: TreePath = ("clusters", cluster, *in_cluster)
                first, holder = holders.setdefault((model.site, name), (path, disk))
                if holder != disk:
                    same_node = holder.rpartition(".")[0] == disk.rpartition(".")[0]
                    shared.setdefault((first, path, same_node), []).append(f"{holder} and {disk} both want the volume `{name}`")
    for (first, path, same_node), wishes in shared.items():
        more = f" The same holds for {counted(len(wishes) - 1, 'more pair')} of disks." if len(wishes) > 1 else ""
        limit = "is one disk" if same_node else "has one user"
        detail = f"{wishes[0]}, and a volume {limit}.{more} Write another name."
        yield Finding(path, f"Two {'disks' if same_node else 'nodes'} want one volume", detail, about=(first,))


def _volumes(cluster: str, found: NodeSet) -> Iterator[tuple[TreePath, str, str]]:
    """Yield the path in its cluster, the name and the user of each volume of a set of nodes."""
    overrides = found.nodes.overrides if isinstance(found.nodes, NodesModel) else {}
    own = {index: each for index, each in overrides.items() if "disks" in each.model_fields_set}
    if not own and not any(disk.keep for disk in found.nodes.disks.values()):
        return
    for index in range(found.count):
        path = (*found.path, "overrides", str(index)) if index in own else found.path
        node = f"{cluster}-frontend" if found.name == "frontend" else f"{cluster}-{found.name}-{index}"
        for disk, wanted in own.get(index, found.nodes).disks.items():
            if wanted.keep is not False:
                suffix = "" if found.name == "frontend" else f"-{index}"
                name = f"{wanted.keep}{suffix}" if isinstance(wanted.keep, str) else f"{node}-{disk}"
                yield (*path, "disks", disk, "keep"), name, f"{node}.{disk}"
