"""The files of a node in the pool: those we made, and those based on them, such as the files of snapshots."""

from collections.abc import Iterable
from typing import NamedTuple

import libvirt

from pragmaspec.errors import SiteConflictError
from pragmaspec.providers.libvirt import names, volumes
from pragmaspec.providers.libvirt.domains import lookup as domains
from pragmaspec.providers.libvirt.domains.disk_chain import all_files, snapshot_files
from pragmaspec.providers.libvirt.errors import absent_is_fine
from pragmaspec.providers.libvirt.host import Host
from pragmaspec.providers.libvirt.xml import parsed
from pragmaspec.resources import Mark, Node
from pragmaspec.text import joined


class NodeFiles(NamedTuple):
    """Names of the volumes that are removed with a node, and of those based on them that may belong to others."""

    ours: frozenset[str]
    theirs: frozenset[str]


def written_by(host: Host, domain: libvirt.virDomain) -> frozenset[str]:
    """Names of the volumes in the pool that a domain's own disks and its snapshots consist of."""
    seen = domains.seen(domain)
    files = {file for root in (seen.definition, seen.active) if root is not None for file in all_files(root, own=True)}
    if seen.snapshots:
        for snapshot in domain.listAllSnapshots(0):
            files |= snapshot_files(parsed(snapshot.getXMLDesc(0))).keys()
    return frozenset(name for directory, _, name in (file.rpartition("/") for file in files) if directory == host.directory)


def belongings(host: Host, node: Node, mark: Mark, written: frozenset[str]) -> NodeFiles:
    """Volumes in the pool of this build of the node and of earlier ones. ``written``: volumes that its domain names."""
    listed = volumes.listed(host)
    ours = {name for name in listed if _is_made(name, node, mark)}
    ours |= {name for name in written & listed if not _is_shared(name)}  # by what libvirt lists: a file may be gone
    others = {
        name: _below(host, name) for name in listed - ours if not _is_shared(name) and names.parsed_node_volume(name) is None
    }
    ours |= {name for name, below in others.items() if _is_named_after(name, node, mark) and _is_named_after(below, node, mark)}
    theirs: set[str] = set()
    while found := {name for name, below in others.items() if below in ours | theirs} - ours - theirs:
        called_after = {name for name in found if _is_named_after(name, node, mark)}
        ours |= called_after
        theirs |= found - called_after
    return NodeFiles(frozenset(ours), frozenset(theirs))


def require_unused(host: Host, node: Node, mark: Mark, found: NodeFiles) -> None:
    """Raise SiteConflictError when other machines, or volumes that are not the node's, stand on what belongs to the node."""
    paths = {host.path(name): name for name in found.ours}
    users: dict[str, str] = {}
    own = names.domain_name(node.name, mark)
    for domain in host.handle().listAllDomains(0):
        if domain.name() != own and domain.UUIDString() != mark.uuid:
            files = _files(host, domain)
            users |= {paths[file]: f"machine {domain.name()}" for file in files if file in paths}
    users |= {name: f"volume {name}" for name in found.theirs}
    if users:
        raise SiteConflictError(
            "Something else stands on a node's disk",
            f"{joined(sorted(set(users.values())))} at site {host.site.name} would lose what {node.name}'s files hold "
            f"({joined(sorted(found.ours))}); nothing of it was removed. Take the file from the machine (virsh detach-disk), "
            "give the volume a copy of what it stands on (qemu-img rebase), or remove them; then apply again.",
        )


def _is_made(name: str, node: Node, mark: Mark) -> bool:
    found = names.parsed_node_volume(name)
    return found is not None and _is_the_node(found, node, mark)


def _is_named_after(name: str, node: Node, mark: Mark) -> bool:
    """True if ``name`` has the form of a disk of the node or of a snapshot of it; the file may be missing."""
    found = names.parsed_disk(name) or names.parsed_layer(name)
    return found is not None and _is_the_node(found, node, mark)


def _is_the_node(found: names.NodeVolume, node: Node, mark: Mark) -> bool:
    """A later build is another machine, perhaps the one in use."""
    ours = (names.made_name(node.name, mark), mark.short)
    return (found.node, found.short) == ours and found.generation <= mark.generation


def _is_shared(name: str) -> bool:
    return names.is_marker(name) or names.is_image_part(name)


def _files(host: Host, domain: libvirt.virDomain) -> frozenset[str]:
    """All files of a machine, as it is defined and as it runs; asked once of a node, of which there may be many."""
    uuid = domain.UUIDString()
    found = host.node_files.get(uuid)
    if found is None:
        found = frozenset()
        with absent_is_fine(libvirt.VIR_ERR_NO_DOMAIN):
            kinds = {0, libvirt.VIR_DOMAIN_XML_INACTIVE if domain.isActive() else 0}
            found = frozenset(file for kind in kinds for file in all_files(parsed(domain.XMLDesc(kind)), own=False))
        if names.parsed_domain(domain.name()) is not None:
            host.node_files[uuid] = found
    return found


def _below(host: Host, name: str) -> str:
    """The volume of the pool that a volume stands on; asked once, because what a file stands on hardly ever changes."""
    if name not in host.stands_on:
        host.stands_on[name] = ""
        volume = volumes.find(host, name)
        if volume is not None:
            with absent_is_fine(libvirt.VIR_ERR_NO_STORAGE_VOL):
                directory, _, below = parsed(volume.XMLDesc(0)).findtext("backingStore/path", "").rpartition("/")
                host.stands_on[name] = below if directory == host.directory else ""
    return host.stands_on[name]


def uppermost_first(found: Iterable[str]) -> list[str]:
    """Names of volumes, those that are written to before the disk that they stand on."""
    return sorted(found, key=lambda name: (names.parsed_disk(name) is not None, name))
