"""The files of a node in the pool: volumes created for it, and those based on them, such as the files of snapshots."""

from collections.abc import Iterable
from typing import NamedTuple

import libvirt

from pragmaspec.errors import SiteConflictError
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains.disk_chain import all_files, snapshot_files
from pragmaspec.providers.libvirt.domains.lookup import observe_domain
from pragmaspec.providers.libvirt.errors import ignoring
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.xml import parse
from pragmaspec.resources import Mark, Node
from pragmaspec.text import joined


class NodeFiles(NamedTuple):
    """Names of the volumes that are removed with a node, and of those based on them that may belong to others."""

    own: frozenset[str]
    foreign: frozenset[str]


def domain_volumes(host: Host, domain: libvirt.virDomain) -> frozenset[str]:
    """The names of the volumes in the pool that a domain's own disks and its snapshots consist of."""
    observed = observe_domain(domain)
    files = {file for root in (observed.definition, observed.active) if root is not None for file in all_files(root, own=True)}
    if observed.snapshots:
        for snapshot in domain.listAllSnapshots(0):
            files |= snapshot_files(parse(snapshot.getXMLDesc(0))).keys()
    return frozenset(name for directory, _, name in (file.rpartition("/") for file in files) if directory == host.directory)


def find_node_files(host: Host, node: Node, mark: Mark, written: frozenset[str]) -> NodeFiles:
    """The volumes of this generation of the node and of earlier ones. ``written``: the volumes that its domain uses."""
    listed = volumes.list_names(host)
    own = {name for name in listed if _is_volume_of(name, node, mark)}
    own |= {name for name in written & listed if not _is_shared(name)}  # A file that the domain uses may be missing.
    others = {
        name: _backing_volume(host, name)
        for name in listed - own
        if not _is_shared(name) and names.parse_node_volume(name) is None
    }
    own |= {name for name, base in others.items() if _is_named_after(name, node, mark) and _is_named_after(base, node, mark)}
    foreign: set[str] = set()
    while above := {name for name, base in others.items() if base in own | foreign} - own - foreign:
        named_after = {name for name in above if _is_named_after(name, node, mark)}
        own |= named_after
        foreign |= above - named_after
    return NodeFiles(frozenset(own), frozenset(foreign))


def require_unused(host: Host, node: Node, mark: Mark, files: NodeFiles) -> None:
    """Raise SiteConflictError when other machines, or foreign volumes, are based on the node's files."""
    paths = {host.path(name): name for name in files.own}
    users: dict[str, str] = {}
    own = names.domain_name(node.name, mark)
    for domain in host.handle().listAllDomains(0):
        if domain.name() != own and domain.UUIDString() != mark.uuid:
            used = _domain_files(host, domain)
            users |= {paths[file]: f"machine {domain.name()}" for file in used if file in paths}
    users |= {name: f"volume {name}" for name in files.foreign}
    if users:
        raise SiteConflictError(
            "A node's disk is in use",
            f"{joined(sorted(set(users.values())))} at site {host.site.name} would lose the contents of {node.name}'s files "
            f"({joined(sorted(files.own))}); none of them was removed. Detach the file from the machine (virsh detach-disk), "
            "give the volume its own copy of the data (qemu-img rebase), or remove them; then apply again.",
        )


def _is_volume_of(name: str, node: Node, mark: Mark) -> bool:
    found = names.parse_node_volume(name)
    return found is not None and _is_the_node(found, node, mark)


def _is_named_after(name: str, node: Node, mark: Mark) -> bool:
    """True if ``name`` has the form of a disk of the node or of a snapshot of it; the file may be missing."""
    found = names.parse_disk(name) or names.parse_layer(name)
    return found is not None and _is_the_node(found, node, mark)


def _is_the_node(found: names.NodeVolume, node: Node, mark: Mark) -> bool:
    """True for this generation of the node or an earlier one; a later one is another machine, perhaps the one in use."""
    own = (names.original_node_name(node.name, mark), mark.short)
    return (found.node, found.short) == own and found.generation <= mark.generation


def _is_shared(name: str) -> bool:
    return names.is_marker(name) or names.is_image_part(name) or names.is_kept(name)


def _domain_files(host: Host, domain: libvirt.virDomain) -> frozenset[str]:
    """All files of a domain, as defined and as running; cached for nodes, which may be many."""
    uuid = domain.UUIDString()
    found = host.domain_files.get(uuid)
    if found is None:
        found = frozenset()
        with ignoring(libvirt.VIR_ERR_NO_DOMAIN):
            flags = {0, libvirt.VIR_DOMAIN_XML_INACTIVE if domain.isActive() else 0}
            found = frozenset(file for flag in flags for file in all_files(parse(domain.XMLDesc(flag)), own=False))
        if names.parse_domain(domain.name()) is not None:
            host.domain_files[uuid] = found
    return found


def _backing_volume(host: Host, name: str) -> str:
    """The volume of the pool that backs a volume, or empty; cached, because backing files hardly ever change."""
    if name not in host.backing_volumes:
        volume = volumes.find(host, name)
        host.backing_volumes[name] = volumes.backing_volume(host, volume) if volume is not None else ""
    return host.backing_volumes[name]


def top_layers_first(found: Iterable[str]) -> list[str]:
    """Sort names of volumes so that layers precede the disk that they are based on."""
    return sorted(found, key=lambda name: (names.parse_disk(name) is not None, name))
